"""The costs from which the library chooses otherwise, set low: small programs take all its ways."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from hypothesis import strategies as st

from lazyhess._costs import COSTS

# The values worth a test, besides the library's own.
LOW: dict[str, tuple[int, ...]] = {
    "small": (0,),
    "entry": (0, 1, 1 << 20),
    "repeats": (0,),
    "product": (0, 1, 1 << 20),
    "wide": (0,),
    "chunk": (1,),
    "pass_bytes": (1, 1 << 10),
    "first_pass": (1, 3),
    "triangle_passes": (2,),
    "gram_bytes": (0,),
    "calls": (0, 1 << 20),
    "box": (0,),
    "run": (0,),
    "table": (0, 1 << 20),
    "loop_steps": (0,),
    "loop_shrinks": (0,),
    "loop_terms": (2,),
    "loop_picks": (0, 2),
}
# Never dense; factored, then never sparse; many passes.
SPARSE = {"small": 0, "entry": 0, "product": 0, "repeats": 0}
BOXES = {**SPARSE, "box": 0, "run": 0, "table": 1 << 20}
DENSE = {"small": 0, "entry": 1 << 20, "product": 1 << 20, "wide": 0, "chunk": 1}
PASSES = {
    "small": 0,
    "entry": 1,
    "pass_bytes": 1 << 10,
    "first_pass": 3,
    "triangle_passes": 2,
    "gram_bytes": 0,
}


@contextmanager
def costs(**values: int) -> Iterator[None]:
    """Within it, these costs hold."""
    before = asdict(COSTS)
    try:
        for name, value in values.items():
            assert name in before, f"there is no cost {name}"
            setattr(COSTS, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(COSTS, name, value)


def choices() -> st.SearchStrategy[dict[str, int]]:
    """Some of the costs, set low. `small` always is: above it lies all the rest."""
    low: dict[str, Any] = {name: st.sampled_from(values) for name, values in LOW.items()}
    return st.fixed_dictionaries({"small": low.pop("small")}, optional=low)
