"""Every function in float32, on 0-d and on empty arrays, wherever NumPy takes them.

What the modules of cases leave out is made from the cases they have: the same call on inputs cast
to float32, cut to one element without axes, or cut to none.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests.cases.base import CASES, Case, case

Inputs = tuple[np.ndarray, ...]


def single(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32)


def scalar(x: np.ndarray) -> np.ndarray:
    return x.reshape(-1)[:1].reshape(()) if x.size else x


def no_rows(x: np.ndarray) -> np.ndarray:
    return x[:0] if x.ndim else x


def no_columns(x: np.ndarray) -> np.ndarray:
    return x[..., :0] if x.ndim else x


EDGES: list[tuple[Callable[[np.ndarray], bool], tuple[Callable[[np.ndarray], np.ndarray], ...]]] = [
    (lambda x: x.dtype == np.float32, (single,)),
    (lambda x: x.ndim == 0, (scalar,)),
    (lambda x: x.size == 0, (no_rows, no_columns)),
]


# Not of empty arrays: what they give then is a constant.
CONSTANT = (
    np.histogram,
    np.histogram_bin_edges,
    np.polymul,
    np.roots,
    np.cov,
    np.corrcoef,
)
# Not of 0-d arrays: a kink, and calls with an axis, which NumPy lets pass.
KINKED = (np.std, np.nanstd, np.cumulative_prod, np.apply_over_axes)


def accepted(one: Case, inputs: Inputs) -> bool:
    """Whether NumPy gives a floating array for these inputs, and has no doubts about it."""
    if one.key in CONSTANT and any(x.size == 0 for x in inputs):
        return False
    if one.key in KINKED and any(x.ndim == 0 or x.size == 0 for x in inputs):
        return False
    try:
        with np.errstate(all="raise"), warnings.catch_warnings():
            warnings.simplefilter("error")
            made = one.function(*inputs)
    except Exception:  # whatever NumPy says to it
        return False
    return isinstance(made, (np.ndarray, np.generic)) and made.dtype.kind in "fc"


def missing() -> Iterator[tuple[Case, Inputs]]:
    """For every function the edges that no case of it has, if NumPy takes them."""
    groups: dict[Any, list[Case]] = {}
    for one in CASES:
        groups.setdefault(one.key, []).append(one)
    for cases in groups.values():
        for there, makers in EDGES:
            if any(there(x) for one in cases for x in one.inputs):
                continue
            for one, inputs in (
                (one, tuple(map(make, one.inputs))) for one in cases for make in makers
            ):
                if any(map(there, inputs)) and accepted(one, inputs):
                    yield one, inputs
                    break


def add() -> None:
    """Add cases for what is missing, once all functions have theirs."""
    for one, inputs in list(missing()):
        case(one.key, one.function, *inputs, extended=one.extended)
