"""Decisions from values: whatever the library decides by looking at numbers it decides here.

Most numbers allow a short cut: nothing is infinite, nothing is zero, each maximum stands alone.
`decide` asks whether they do. **Its answer is a permission: the way taken for False is the
general one, which is right for all numbers**, and takes masks and weights as data. So whoever keeps
what was computed may keep each decision as a guard, or take the general way and need none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import isfinite
from typing import Any, TypeAlias

import numpy as np

from lazyhess._indices import Array

# What answers for `decide`: of a kind, its test, and what that is asked of.
Decider: TypeAlias = Callable[[str, Callable[..., Any], tuple[Any, ...]], bool]

_decider: ContextVar[Decider | None] = ContextVar("decider", default=None)


def decide(kind: str, allows: Callable[..., Any], *values: Any) -> bool:
    """Whether values allow a short cut.

    Parameters
    ----------
    kind : str
        A short name for the condition.
    allows : callable
        ``allows(*values)`` says so. It depends on nothing but these, so that it can be asked again
        of other values.
    *values
        The values.
    """
    decider = _decider.get()
    return bool(allows(*values)) if decider is None else decider(kind, allows, values)


def everywhere(mask: Any) -> bool:
    """Whether a mask holds, or a number is not zero, everywhere: nothing need be left out."""
    return decide("everywhere", _all, mask)


def nowhere(mask: Any) -> bool:
    """Whether a mask holds nowhere, so that what it picks need not be worked out."""
    return decide("nowhere", _none, mask)


def finite(array: Array) -> bool:
    """Whether no element is infinite or NaN, so that zeros may be multiplied by it."""
    return decide("finite", all_finite, array)


def selective(mask: Array) -> bool:
    """Whether places may be picked where a mask holds, or numbers are not zero: an index array.

    The general way keeps all places, with zeros in the others. (At another point the places picked
    are right if nothing holds elsewhere: that is the guard.)
    """
    return decide("places", _always, mask)


def _always(mask: Any) -> bool:
    return True


def all_finite(array: Array) -> bool:
    """What `finite` asks."""
    if array.size == 1:
        return isfinite(array.item()) if array.dtype.kind != "c" else bool(np.isfinite(array))
    if array.dtype.kind == "f" and array.flags.forc:
        # The sum of squares is not finite where an item is not, and BLAS gives it in one call
        # without warnings; where it merely overflows, look closer.
        flat = array.ravel("K")
        if isfinite(flat.dot(flat)):
            return True
    return bool(np.isfinite(array).all())


# (The ufuncs' own reductions: masks are often small, and the layers of `numpy.all` are felt. What
# is asked may also be a scalar, or a Variable.)
_AND, _OR = np.logical_and.reduce, np.logical_or.reduce


def _all(mask: Any) -> Any:
    return _AND(mask, axis=None) if type(mask) is np.ndarray else np.all(mask)


def _none(mask: Any) -> Any:
    return not (_OR(mask, axis=None) if type(mask) is np.ndarray else np.any(mask))


@contextmanager
def deciding(decider: Decider) -> Iterator[None]:
    """Within it, in this thread, `decider` answers for `decide`."""
    token = _decider.set(decider)
    try:
        yield
    finally:
        _decider.reset(token)


def generally(kind: str, allows: Callable[..., Any], values: tuple[Any, ...]) -> bool:
    """A decider: the general way, always."""
    return False


class Decisions(list[tuple[str, bool]]):
    """A decider that decides as usual, and lists what was decided: kind and answer."""

    def __call__(self, kind: str, allows: Callable[..., Any], values: tuple[Any, ...]) -> bool:
        answer = bool(allows(*values))
        self.append((kind, answer))
        return answer
