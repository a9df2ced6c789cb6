"""Weighted means, covariance, correlation."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyhess._decisions import nowhere
from lazyhess._indices import Array
from lazyhess._primitives.base import astype, axis_tuple, implements, nested
from lazyhess._primitives.reduce import keeping
from lazyhess._record.variable import value_of

_NONE: Any = np._NoValue


@implements(np.average)
def average(
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = _NONE
) -> Any:
    """`numpy.average`."""
    a = nested(a)
    axes = axis_tuple(axis, a.ndim)
    keep: dict[str, Any] = {"axis": axes, "keepdims": keeping(keepdims)}
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
    rows = np.atleast_2d(astype(x, kind))
    return rows if rowvar or x.ndim < 2 else rows.T


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
    matrix = c / deviations[:, None] / deviations
    # What rounding put beyond 1 is put back, and its derivative left alone.
    value = value_of(matrix)
    if value.dtype.kind == "c":
        back = np.clip(value.real, -1, 1) + 1j * np.clip(value.imag, -1, 1) - value
    else:
        back = np.clip(value, -1, 1) - value
    return matrix if nowhere(back) else matrix + back
