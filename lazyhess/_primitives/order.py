"""Order: sorting, running extremes, sets.

Order is a matter of plain values: what is sorted or picked is gathered by positions that the
values decide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lazyhess._indices import Array
from lazyhess._primitives.base import astype, implements, nested, one_axis
from lazyhess._primitives.reduce import max_, min_
from lazyhess._primitives.shape import take_along_axis, take_flat
from lazyhess._record.primitive import METHODS, refuse_out
from lazyhess._record.variable import value_of

_NONE: Any = np._NoValue

implements(np.amax)(max_)
implements(np.amin)(min_)


# --- sorting --------------------------------------------------------------------------------------
@implements(np.sort)
def sort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    """`numpy.sort`."""
    index = np.argsort(value_of(a), axis, kind, order, stable=stable)
    return take_along_axis(a, index, axis)


@implements(np.partition)
def partition(
    a: Any, kth: Any, axis: Any = -1, kind: Any = "introselect", order: Any = None
) -> Any:
    """`numpy.partition`."""
    return take_along_axis(a, np.argpartition(value_of(a), kth, axis, kind, order), axis)


@implements(np.ptp)
def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = _NONE) -> Any:
    """`numpy.ptp`."""
    if out is not None:
        refuse_out("ptp")
    return np.max(a, axis=axis, keepdims=keepdims) - np.min(a, axis=axis, keepdims=keepdims)


def _accumulated(pair: np.ufunc) -> Callable[..., Any]:
    """The running extreme: at each place the element that set it, the first one of equal ones."""

    def accumulate(a: Any, axis: Any = 0, dtype: Any = None, out: Any = None) -> Any:
        a = a if dtype is None else astype(a, dtype)
        axis = one_axis(axis, a.ndim)
        best = np.moveaxis(pair.accumulate(value_of(a), axis), axis, 0)
        new = np.ones(best.shape, np.bool_)
        new[1:] = (best[1:] != best[:-1]) & ~(np.isnan(best[1:]) & np.isnan(best[:-1]))
        places = np.arange(len(best)).reshape((-1,) + (1,) * (a.ndim - 1))
        setter = np.maximum.accumulate(np.where(new, places, 0), 0)
        return take_along_axis(a, np.moveaxis(setter, 0, axis), axis)

    return accumulate


_pair: Any
for _pair in (np.maximum, np.minimum, np.fmax, np.fmin):
    METHODS[_pair, "accumulate"] = _accumulated(_pair)


_function: Any


# --- sets -----------------------------------------------------------------------------------------
def _among(name: str, pool: Any, values: Array) -> Any:
    """Gather values from where they stand first in a flat pool."""
    value = value_of(pool)
    order = np.argsort(value, kind="stable")
    first = np.searchsorted(value, values, sorter=order)
    return take_flat(name, pool, order[first].reshape(values.shape))


@implements(np.unique)
def unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: Any = None,
    **kwargs: Any,
) -> Any:
    """`numpy.unique`: the first of equal elements is the one that is kept."""
    plain: Any = np.unique
    _, index, *more = plain(value_of(ar), True, return_inverse, return_counts, axis, **kwargs)
    values = take_flat("unique", ar, index) if axis is None else np.take(ar, index, axis)
    results = (values, *([index] if return_index else []), *more)
    return results if len(results) > 1 else values


@implements(np.unique_values)
def unique_values(x: Any) -> Any:
    """`numpy.unique_values`."""
    return _among("unique", np.ravel(x), np.unique_values(value_of(x)))


def _unique(function: Callable[..., Any]) -> None:
    def with_more(x: Any) -> Any:
        sets = function(value_of(x))
        return sets._replace(values=_among("unique", np.ravel(x), sets.values))

    implements(function)(with_more)


def _set(function: Callable[..., Any]) -> None:
    def of_both(ar1: Any, ar2: Any, *args: Any, **kwargs: Any) -> Any:
        result = function(value_of(ar1), value_of(ar2), *args, **kwargs)
        pool = np.concatenate([np.ravel(nested(ar1)), np.ravel(nested(ar2))])
        if isinstance(result, tuple):
            return _among(function.__name__, pool, result[0]), *result[1:]
        return _among(function.__name__, pool, result)

    implements(function)(of_both)


for _function in (np.unique_all, np.unique_counts, np.unique_inverse):
    _unique(_function)
for _function in (np.union1d, np.intersect1d, np.setdiff1d, np.setxor1d):
    _set(_function)
