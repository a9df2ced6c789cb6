"""The sizes from which the library chooses otherwise, set low: small programs take all its ways."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import strategies as st

# The values worth a test, besides the library's own.
LOW: dict[str, tuple[int, ...]] = {
    "SMALL": (0,),
    "ENTRY_COST": (0, 1, 1 << 20),
    "MERGE": (0,),
    "_PRODUCT_COST": (0, 1, 1 << 20),
    "_WIDE": (0,),
    "_CHUNK": (1,),
    "BUDGET": (1, 1 << 10),
    "PROBE": (1, 3),
    "CUTS": (2,),
    "_FORMED": (0,),
    "BOX_COST": (0,),
    "RUN_COST": (0,),
    "TABLE": (0, 1 << 20),
    "_STEPS": (0,),
    "_SPARED": (0,),
    "_TERMS": (2,),
    "_PICKS": (0, 2),
}
# Never dense; factored, then never sparse; many passes.
SPARSE = {"SMALL": 0, "ENTRY_COST": 0, "_PRODUCT_COST": 0, "MERGE": 0}
BOXES = {**SPARSE, "BOX_COST": 0, "RUN_COST": 0, "TABLE": 1 << 20}
DENSE = {"SMALL": 0, "ENTRY_COST": 1 << 20, "_PRODUCT_COST": 1 << 20, "_WIDE": 0, "_CHUNK": 1}
PASSES = {"SMALL": 0, "ENTRY_COST": 1, "BUDGET": 1 << 10, "PROBE": 3, "CUTS": 2, "_FORMED": 0}


def own() -> dict[str, dict[str, int]]:
    """Threshold -> module -> value; most modules import them by name."""
    modules = {name: m for name, m in sys.modules.items() if name.split(".")[0] == "lazyhess"}
    return {
        threshold: {name: vars(m)[threshold] for name, m in modules.items() if threshold in vars(m)}
        for threshold in LOW
    }


@contextmanager
def thresholds(**values: int) -> Iterator[None]:
    """Within it, these thresholds hold in all modules of the library."""
    before = own()
    try:
        for threshold, value in values.items():
            assert before[threshold], f"no module has a threshold {threshold}"
            for name in before[threshold]:
                setattr(sys.modules[name], threshold, value)
        yield
    finally:
        for threshold, held in before.items():
            for name, value in held.items():
                setattr(sys.modules[name], threshold, value)


def choices() -> st.SearchStrategy[dict[str, int]]:
    """Some of the thresholds, set low. `SMALL` always is: above it lies all the rest."""
    low: dict[str, Any] = {name: st.sampled_from(values) for name, values in LOW.items()}
    return st.fixed_dictionaries({"SMALL": low.pop("SMALL")}, optional=low)
