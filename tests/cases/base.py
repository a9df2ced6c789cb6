"""What a case is, and the list of all of them."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

_generators: dict[str, np.random.Generator] = {}


@dataclass
class Case:
    key: Any  # the function in the registry, or (ufunc, method)
    name: str
    function: Callable[..., Any]
    inputs: tuple[np.ndarray, ...]
    extended: bool = True  # whether it runs in extended precision: scipy's functions mostly do not


CASES: list[Case] = []


def case(key: Any, function: Callable[..., Any], *inputs: Any, extended: bool = True) -> None:
    arrays = tuple(np.asarray(x, float) if np.asarray(x).dtype.kind != "f" else x for x in inputs)
    label = key.__name__ if not isinstance(key, tuple) else f"{key[0].__name__}.{key[1]}"
    if not isinstance(key, tuple) and getattr(np, label, None) is not key:
        home = "special" if isinstance(key, np.ufunc) else key.__module__.rpartition(".")[2]
        label = f"{home}.{label}"
    shapes = "x".join(str(np.shape(a)) for a in arrays)
    name = f"{label}-{shapes}-{len(CASES)}".replace(" ", "")
    CASES.append(Case(key, name, function, arrays, extended))


def spread(low: float, high: float, shape: tuple[int, ...]) -> np.ndarray:
    """Distinct points between two bounds, in no order; what other modules draw does not move them."""
    module = sys._getframe(1).f_globals["__name__"]
    rng = _generators.setdefault(module, np.random.default_rng(zlib.crc32(module.encode())))
    count = int(np.prod(shape))
    points = low + (high - low) * (rng.permutation(count) + rng.uniform(0.3, 0.7, count)) / max(
        count, 1
    )
    return points.reshape(shape)
