"""Running products, cumulative sums, sums of segments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lazyhess._create import asarray
from lazyhess._primitives.base import astype, implements, one_axis, scattered, structural
from lazyhess._primitives.reduce import cumsum
from lazyhess._record.primitive import METHODS, refuse_out
from lazyhess._record.variable import value_of


@implements(np.cumprod)
def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """`numpy.cumprod`, by products of pairs: exact where factors are zero."""
    if out is not None:
        refuse_out("cumprod")
    a = a if dtype is None else astype(a, dtype)
    if axis is None:
        a, axis = np.ravel(a), 0
    axis = one_axis(axis, a.ndim)
    return np.moveaxis(_running(np.moveaxis(a, axis, 0)), 0, axis)


def _running(a: Any) -> Any:
    """The running product along the first axis, from that of the products of pairs."""
    if len(a) < 2:
        return a
    whole = len(a) // 2 * 2
    odd = _running(a[:whole:2] * a[1::2])
    even = np.concatenate([a[:1], odd[: len(a[2::2])] * a[2::2]])
    pairs = np.stack([even[: len(odd)], odd], axis=1)
    products = np.reshape(pairs, (whole, *a.shape[1:]))
    return np.concatenate([products, even[-1:]]) if whole < len(a) else products


def _cumulative(function: Callable[..., Any], running: Any, start: float) -> Any:
    def cumulative(
        x: Any,
        /,
        *,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        include_initial: bool = False,
    ) -> Any:
        if out is not None:
            refuse_out(function.__name__)
        if axis is None:
            if x.ndim > 1:
                raise ValueError(
                    "For arrays which have more than one dimension ``axis`` argument is required."
                )
            x, axis = np.atleast_1d(x), 0
        result = running(x, axis, dtype)
        if include_initial:
            thin = tuple(1 if k == one_axis(axis, x.ndim) else n for k, n in enumerate(x.shape))
            result = np.concatenate([np.full(thin, start, result.dtype), result], axis)
        return result

    cumulative.__doc__ = f"`numpy.{function.__name__}`."
    return cumulative


implements(np.cumulative_sum)(_cumulative(np.cumulative_sum, cumsum, 0.0))
implements(np.cumulative_prod)(_cumulative(np.cumulative_prod, cumprod, 1.0))
METHODS[np.multiply, "accumulate"] = lambda a, axis=0, dtype=None, out=None: cumprod(a, axis, dtype)


def _add_reduceat(a: Any, indices: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
    """`numpy.add.reduceat`."""
    a = a if dtype is None else astype(a, dtype)
    axis = one_axis(axis, a.ndim)
    n = a.shape[axis]
    starts = asarray(value_of(indices))
    np.add.reduceat(np.zeros(n), starts)  # NumPy checks the indices
    ends = np.append(starts[1:], n)
    lengths = np.where(ends > starts, ends - starts, 1)
    segment = np.repeat(np.arange(len(starts)), lengths)
    within = np.arange(len(segment)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    lead = (slice(None),) * axis
    parts = a[(*lead, starts[segment] + within)]
    shape = (*a.shape[:axis], len(starts), *a.shape[axis + 1 :])
    return structural("reduceat", parts, scattered, shape, (*lead, segment), parts.shape)


METHODS[np.add, "reduceat"] = _add_reduceat
