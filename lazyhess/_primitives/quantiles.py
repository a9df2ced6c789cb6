"""Quantiles, percentiles, medians: means of two sorted elements.

Which two is a matter of plain values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lazyhess._create import asarray, buffer
from lazyhess._decisions import everywhere, nowhere
from lazyhess._indices import Array
from lazyhess._primitives.base import astype, axis_tuple, implements, nested
from lazyhess._primitives.reduce import keeping
from lazyhess._primitives.shape import positions_of, take_flat
from lazyhess._record.primitive import refuse_out
from lazyhess._record.variable import Variable, value_of

_NONE: Any = np._NoValue


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
    ranks = buffer(order.shape, value.dtype if exact else np.float64)
    np.put_along_axis(ranks, order, np.arange(count, dtype=ranks.dtype), axis=-1)
    ranks[missing] = np.nan
    # In the shape of `a`, which the weights may have too.
    spread = tuple(a.shape[k] for k in (*kept, *axes))
    at = asarray(function(ranks.reshape(spread).transpose(np.argsort((*kept, *axes)))))
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
    if everywhere(fixed):
        return astype(low, dtype)
    high = _picked(name, a, source[lane + np.minimum(lower + 1, count - 1)])
    # Between two infinities of one sign there is nothing but that.
    fixed = fixed | (np.isinf(value_of(low)) & (value_of(low) == value_of(high)))
    between = low + (high - low) * share
    return between if nowhere(fixed) else np.where(fixed, low, between)


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
        keep = keeping(keepdims)
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
        keep = keeping(keepdims)
        options = {"method": method, "keepdims": keep, "weights": value_of(weights), **kwargs}
        fixed: Any = value_of(q)

        def of_ranks(ranks: Array) -> Any:
            if np.ndim(fixed) < 2 or not ranks.size:
                return function(ranks, fixed, axis, **options)
            # One axis, since nanquantile() gets the order of the axes wrong for more.
            quantiles = function(ranks, np.ravel(fixed), axis, **options)
            return np.reshape(quantiles, np.shape(fixed) + quantiles.shape[1:])

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
