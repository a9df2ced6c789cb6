"""Order and statistics: sorting, quantiles, sets, running extremes, covariance, counts.

Order is a matter of plain values: what is sorted or picked is gathered by positions that the
values decide, and a quantile is a mean of two gathered elements.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lazyhess._indices import Array
from lazyhess._maps import Gather, Scatter
from lazyhess._primitives.base import (
    astype,
    axis_tuple,
    implements,
    nested,
    one_axis,
    structural,
    variables,
)
from lazyhess._primitives.reduce import given, max_, min_
from lazyhess._primitives.shape import positions_of, take_along_axis, take_flat
from lazyhess._record.primitive import METHODS, refuse_out
from lazyhess._record.variable import Variable, shape_of, value_of

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


# --- quantiles ------------------------------------------------------------------------------------
# How the position among n sorted elements grows with q: as q * (n + constant). With the methods
# that are not here it jumps.
_GROWTH = {
    "linear": -1.0,
    "weibull": 1.0,
    "hazen": 0.0,
    "interpolated_inverted_cdf": 0.0,
    "median_unbiased": 1 / 3,
    "normal_unbiased": 1 / 4,
}


def interpolated(
    name: str,
    function: Callable[[Array], Any],
    a: Any,
    axis: Any,
    keepdims: bool,
    q: Any = None,
    growth: float | None = None,
) -> Any:
    """Quantiles of `a`, for NumPy's own `function` of an array.

    Quantiles are linear in the sorted elements. So those of the elements' ranks say which two
    elements are taken, and how much of each: whatever the method, the weights, and what is done
    about NaN.
    """
    axes = axis_tuple(axis, a.ndim)
    kept = tuple(k for k in range(a.ndim) if k not in axes)
    thin = tuple(1 if k in axes else n for k, n in enumerate(a.shape))
    rest = thin if keepdims else tuple(a.shape[k] for k in kept)
    count = int(np.prod([a.shape[k] for k in axes], dtype=int))
    size = int(np.prod(rest, dtype=int))
    value = value_of(a)

    def lanes(x: Array) -> Array:
        return np.transpose(x, (*kept, *axes)).reshape(size, count)

    missing = np.isnan(lanes(value))
    order = np.argsort(lanes(value), axis=-1, kind="stable")
    # In the dtype of `a`, in which NumPy then works, if it can tell so many elements apart.
    exact = value.dtype.kind == "f" and count * np.finfo(value.dtype).eps < 1
    ranks = np.empty(order.shape, value.dtype if exact else np.float64)
    np.put_along_axis(ranks, order, np.arange(count, dtype=ranks.dtype), axis=-1)
    ranks[missing] = np.nan
    # In the shape of `a`, which the weights may have too.
    spread = tuple(a.shape[k] for k in (*kept, *axes))
    at = np.asarray(function(ranks.reshape(spread).transpose(np.argsort((*kept, *axes)))))
    dtype = at.dtype if exact or value.dtype.kind != "f" else value.dtype
    if not count:  # nothing to depend on
        return astype(np.broadcast_to(np.sum(a), at.shape) + at, dtype)
    # Where the answer is NaN, it is the last of the sorted elements, which is NaN.
    lower = np.where(np.isnan(at), count - 1, np.floor(at)).astype(np.intp)
    share = np.where(np.isnan(at), 0, at - lower).astype(dtype)
    lane = np.arange(size).reshape(rest) * count
    source = np.take_along_axis(lanes(positions_of(a)), order, axis=-1).reshape(-1)
    low = _picked(name, a, source[lane + lower])
    fixed = share == 0
    if isinstance(q, Variable):
        valid = count - np.sum(missing, axis=-1).reshape(rest)
        inside = (at > 0) & (at < valid - 1) & (growth is not None)
        slope = np.where(inside, valid + (growth or 0.0), 0.0).astype(dtype)
        q = np.reshape(q, q.shape + (1,) * (at.ndim - q.ndim))
        share = share + slope * (q - value_of(q))
        fixed = fixed & (slope == 0)
    if fixed.all():
        return astype(low, dtype)
    high = _picked(name, a, source[lane + np.minimum(lower + 1, count - 1)])
    # Between two infinities of one sign there is nothing but that.
    fixed = fixed | (np.isinf(value_of(low)) & (value_of(low) == value_of(high)))
    made = low + (high - low) * share
    return np.where(fixed, low, made) if fixed.any() else made


def _picked(name: str, a: Any, positions: Array) -> Any:
    return take_flat(name, a, positions) if isinstance(a, Variable) else np.ravel(a)[positions]


def _median(function: Callable[..., Any]) -> Any:
    def median(
        a: Any,
        axis: Any = None,
        out: Any = None,
        overwrite_input: bool = False,
        keepdims: Any = _NONE,
    ) -> Any:
        if out is not None:
            refuse_out(function.__name__)
        keep = bool(given(keepdims) and keepdims)
        return interpolated(
            function.__name__, lambda ranks: function(ranks, axis, keepdims=keep), a, axis, keep
        )

    median.__doc__ = f"`numpy.{function.__name__}`."
    return median


def _quantile(function: Callable[..., Any], unit: float) -> Any:
    """Where `unit` is the whole: 1 for quantiles, 100 for percentiles."""

    def quantile(
        a: Any,
        q: Any,
        axis: Any = None,
        out: Any = None,
        overwrite_input: bool = False,
        method: str = "linear",
        keepdims: Any = _NONE,
        *,
        weights: Any = None,
        **kwargs: Any,
    ) -> Any:
        if out is not None:
            refuse_out(function.__name__)
        keep = bool(given(keepdims) and keepdims)
        options = {"method": method, "keepdims": keep, "weights": value_of(weights), **kwargs}
        fixed: Any = value_of(q)

        def of_ranks(ranks: Array) -> Any:
            if np.ndim(fixed) < 2 or not ranks.size:
                return function(ranks, fixed, axis, **options)
            # One axis, since nanquantile() gets the order of the axes wrong for more.
            found = function(ranks, np.ravel(fixed), axis, **options)
            return np.reshape(found, np.shape(fixed) + found.shape[1:])

        return interpolated(
            function.__name__,
            of_ranks,
            nested(a),
            axis,
            keep,
            q / unit if isinstance(q, Variable) else None,
            _GROWTH.get(method),
        )

    quantile.__doc__ = f"`numpy.{function.__name__}`."
    return quantile


_function: Any
for _function in (np.median, np.nanmedian):
    implements(_function)(_median(_function))
for _function, _unit in (
    (np.quantile, 1.0),
    (np.nanquantile, 1.0),
    (np.percentile, 100.0),
    (np.nanpercentile, 100.0),
):
    implements(_function)(_quantile(_function, _unit))


# --- sets -----------------------------------------------------------------------------------------
def _among(name: str, pool: Any, found: Array) -> Any:
    """Gather values from where they stand first in a flat pool."""
    value = value_of(pool)
    order = np.argsort(value, kind="stable")
    first = np.searchsorted(value, found, sorter=order)
    return take_flat(name, pool, order[first].reshape(found.shape))


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
    made = (values, *([index] if return_index else []), *more)
    return made if len(made) > 1 else values


@implements(np.unique_values)
def unique_values(x: Any) -> Any:
    """`numpy.unique_values`."""
    return _among("unique", np.ravel(x), np.unique_values(value_of(x)))


def _unique(function: Callable[..., Any]) -> None:
    def with_more(x: Any) -> Any:
        found = function(value_of(x))
        return found._replace(values=_among("unique", np.ravel(x), found.values))

    implements(function)(with_more)


def _set(function: Callable[..., Any]) -> None:
    def of_both(ar1: Any, ar2: Any, *args: Any, **kwargs: Any) -> Any:
        found = function(value_of(ar1), value_of(ar2), *args, **kwargs)
        pool = np.concatenate([np.ravel(nested(ar1)), np.ravel(nested(ar2))])
        if isinstance(found, tuple):
            return _among(function.__name__, pool, found[0]), *found[1:]
        return _among(function.__name__, pool, found)

    implements(function)(of_both)


for _function in (np.unique_all, np.unique_counts, np.unique_inverse):
    _unique(_function)
for _function in (np.union1d, np.intersect1d, np.setdiff1d, np.setxor1d):
    _set(_function)


# --- moments --------------------------------------------------------------------------------------
@implements(np.average)
def average(
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = _NONE
) -> Any:
    """`numpy.average`."""
    a = nested(a)
    axes = axis_tuple(axis, a.ndim)
    keep: dict[str, Any] = {"axis": axes, "keepdims": bool(given(keepdims) and keepdims)}
    if weights is None:
        mean = np.mean(a, **keep)
        total: Any = mean.dtype.type(a.size / mean.size) if mean.size else np.nan
    else:
        weights = _weights(nested(weights), a.shape, axis, axes)
        kind = np.result_type(a.dtype, weights.dtype, *(["f8"] if a.dtype.kind in "iub" else []))
        total = np.sum(weights, dtype=kind, **keep)
        if np.any(value_of(total) == 0):
            raise ZeroDivisionError("Weights sum to zero, can't be normalized")
        mean = np.sum(astype(a * weights, kind), **keep) / total
    return (mean, np.broadcast_to(total, mean.shape)) if returned else mean


def _weights(weights: Any, shape: tuple[int, ...], axis: Any, axes: tuple[int, ...]) -> Any:
    if weights.shape == shape:
        return weights
    if axis is None:
        raise TypeError("Axis must be specified when shapes of a and weights differ.")
    if weights.shape != tuple(shape[k] for k in axes):
        raise ValueError("Shape of weights must be consistent with shape of a along specified axis")
    weights = np.transpose(weights, np.argsort(axes))
    return np.reshape(weights, tuple(n if k in axes else 1 for k, n in enumerate(shape)))


@implements(np.cov)
def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: Any = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    """`numpy.cov`."""
    m = nested(m)
    kind = np.result_type(m.dtype, np.float64) if dtype is None else np.dtype(dtype)
    if y is not None:
        y = nested(y)
        kind = np.result_type(kind, y.dtype) if dtype is None else kind
    rows = [_observations(x, kind, rowvar) for x in (m, y) if x is not None]
    x = rows[0] if y is None else np.concatenate(rows)
    if not rows[0].shape[0]:
        return np.zeros((0, 0))
    ddof = (0 if bias else 1) if ddof is None else ddof
    if ddof != int(ddof):
        raise ValueError("ddof must be integer")
    weights = None
    for name, given_weights in (("fweights", fweights), ("aweights", aweights)):
        if given_weights is not None:
            more = nested(given_weights)
            _check_weights(name, value_of(more), x.shape[1])
            weights = more if weights is None else weights * more
    mean, total = average(x, 1, weights, True)
    total = total[0] if total.size else 0.0
    if weights is None:
        divisor: Any = x.shape[1] - ddof
    elif ddof == 0 or aweights is None:
        divisor = total - ddof
    else:
        divisor = total - ddof * np.sum(weights * nested(aweights)) / total
    if value_of(divisor) <= 0:
        divisor = 0.0  # as NumPy, which warns
    away = x - mean[:, None]
    other = away if weights is None else away * weights
    return np.squeeze(astype((away @ np.conjugate(other.T)) / divisor, kind))


def _observations(x: Any, kind: np.dtype[Any], rowvar: bool) -> Any:
    """An array of samples, with a row for each of its variables."""
    if x.ndim > 2:
        raise ValueError("m and y have at most 2 dimensions")
    made = np.atleast_2d(astype(x, kind))
    return made if rowvar or x.ndim < 2 else made.T


def _check_weights(name: str, weights: Array, count: int) -> None:
    if weights.ndim > 1:
        raise RuntimeError(f"cannot handle multidimensional {name}")
    if weights.shape != (count,):
        raise RuntimeError(f"incompatible numbers of samples and {name}")
    if np.any(weights < 0):
        raise ValueError(f"{name} cannot be negative")
    if name == "fweights" and np.any(weights != np.rint(weights)):
        raise TypeError("fweights must be integer")


@implements(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *args: Any, dtype: Any = None) -> Any:
    """`numpy.corrcoef`."""
    c = cov(x, y, rowvar, dtype=dtype)
    if not c.ndim:
        return c / c
    deviations = np.sqrt(np.real(np.diag(c)) if c.dtype.kind == "c" else np.diag(c))
    made = c / deviations[:, None] / deviations
    # What rounding put beyond 1 is put back, and its derivative left alone.
    value = value_of(made)
    if value.dtype.kind == "c":
        back = np.clip(value.real, -1, 1) + 1j * np.clip(value.imag, -1, 1) - value
    else:
        back = np.clip(value, -1, 1) - value
    return made + back if np.any(back != 0) else made


# --- counts ---------------------------------------------------------------------------------------
def _sums(name: str, bins: Array, count: int, weights: Any) -> Any:
    """The sum of the weights in each of some bins."""
    gather = Gather((count,), (bins,), bins.shape)
    return structural(name, weights, Scatter(gather))


@implements(np.bincount)
def bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Any:
    """`numpy.bincount`: with weights, their sum for each integer."""
    x = np.asarray(value_of(x))
    counts = np.bincount(x, minlength=minlength)
    weights = nested(weights)
    if weights.shape != x.shape:
        raise ValueError("The weights and list don't have the same length.")
    return _sums("bincount", x.astype(np.intp), len(counts), astype(weights, np.float64))


def _edges(a: Any, bins: Any, range: Any, found: Array) -> Any:
    """The edges of bins as what they depend on: the ends of `a`, or what was given."""
    if not isinstance(bins, str) and len(shape_of(bins)) == 1:
        return nested(bins) if variables(*bins) or isinstance(bins, Variable) else found
    if range is not None:
        low, high = range
    elif not a.size:
        return found
    else:
        low, high = np.min(a), np.max(a)
    if not variables(low, high):
        return found
    if value_of(low) == value_of(high):
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, len(found), dtype=found.dtype)


@implements(np.histogram_bin_edges)
def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    """`numpy.histogram_bin_edges`: they move with the smallest and the largest element."""
    a = nested(a)
    found = np.histogram_bin_edges(value_of(a), value_of(bins), value_of(range), value_of(weights))
    return _edges(a, bins, range, found)


@implements(np.histogram)
def histogram(
    a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> Any:
    """`numpy.histogram`: the counts are constant, the sums of weights and the edges are not."""
    a = nested(a)
    value = value_of(a)
    counts, found = np.histogram(value, value_of(bins), value_of(range), weights=value_of(weights))
    edges = _edges(a, bins, range, found)
    made: Any = counts
    if isinstance(weights, Variable):
        inside = (value >= found[0]) & (value <= found[-1])
        last = len(found) - 2
        bin_of = np.minimum(np.searchsorted(found, value[inside], side="right") - 1, last)
        made = _sums("histogram", bin_of, last + 1, np.ravel(weights[inside]))
    if density:
        made = made / np.diff(edges) / np.sum(made)
    return made, edges
