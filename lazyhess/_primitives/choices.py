"""Choices between operands, element by element: maximum, minimum, where, clip."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyhess._create import asarray
from lazyhess._decisions import everywhere, nowhere
from lazyhess._indices import Array
from lazyhess._maps import Map, Mask, Scale, broadcast, chain
from lazyhess._primitives.base import implements, options, variables
from lazyhess._record.primitive import UFUNCS, Primitive
from lazyhess._record.variable import record, shape_of, value_of


class Choice(Primitive):
    """The larger or the smaller of two; the derivative is that of the one taken, halved at ties.

    What was not taken is masked, not multiplied by zero, so that its NaN goes nowhere.
    """

    elementwise = True

    def __init__(self, name: str) -> None:
        self.name = name

    def value(self, *args: Any) -> Array:
        value: Array = getattr(np, self.name)(*args)
        return value

    def batched(self, count: int, along: tuple[bool, ...]) -> Primitive:
        return self

    def jacobian(self, k: int, args: tuple[Any, ...], out: Array) -> Map:
        operand, other = args[k], args[1 - k]
        # An operand that is NaN is taken by maximum, and left by fmax, as `out` shows.
        taken, also = operand == out, other == out
        missing = np.isnan(out)
        if not nowhere(missing):
            taken, also = taken | (missing & np.isnan(operand)), also | (missing & np.isnan(other))
        maps: list[Map] = [broadcast(shape_of(operand), out.shape)]
        if not everywhere(taken):
            maps.append(Mask(asarray(taken), out.shape))
        tied = taken & also
        if not nowhere(tied):
            shares = np.where(tied, out.dtype.type(0.5), out.dtype.type(1))
            maps.append(Scale(shares, out.shape))
        return chain(*maps)


def _choice(ufunc: np.ufunc) -> None:
    primitive = Choice.of(ufunc.__name__)
    UFUNCS[ufunc] = lambda a, b, **kwargs: record(
        primitive, *options(ufunc.__name__, (a, b), kwargs)
    )


for _ufunc in (np.maximum, np.minimum, np.fmax, np.fmin):
    _choice(_ufunc)


class Where(Primitive):
    """``where(condition, a, b)`` with a fixed condition."""

    name = "where"
    elementwise = True

    def value(self, *args: Any) -> Array:
        value: Array = np.where(*args)
        return value

    def batched(self, count: int, along: tuple[bool, ...]) -> Primitive:
        return self

    def jacobian(self, k: int, args: tuple[Any, ...], out: Array) -> Map | None:
        if k == 0:
            return None
        mask = np.broadcast_to(args[0] if k == 1 else np.logical_not(args[0]), out.shape)
        return chain(broadcast(shape_of(args[k]), out.shape), Mask(mask, out.shape))


_WHERE = Where.of()


@implements(np.where)
def where(condition: Any, /, *branches: Any) -> Any:
    """`numpy.where`; with one argument, the positions of what is not zero."""
    condition = value_of(condition)
    if not branches:
        return np.nonzero(condition)
    if not variables(*branches):
        return np.where(condition, *branches)
    return record(_WHERE, asarray(condition) != 0, *branches)


@implements(np.clip)
def clip(
    a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None, **kwargs: Any
) -> Any:
    """`numpy.clip`, as minimum(maximum(a, low), high)."""
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    a = a if low is None else np.maximum(a, low)
    return a if high is None else np.minimum(a, high)
