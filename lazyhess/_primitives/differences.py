"""Differences between neighbours, slopes and integrals made of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyhess._primitives.base import astype, implements, nested, one_axis
from lazyhess._primitives.reduce import given
from lazyhess._record.variable import value_of

_NONE: Any = np._NoValue


@implements(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = _NONE, append: Any = _NONE) -> Any:
    """`numpy.diff`."""
    if n == 0:
        return a
    if n < 0:
        raise ValueError(f"order must be non-negative but got {n!r}")
    a = nested(a)
    if not a.ndim:
        raise ValueError("diff requires input that is at least one dimensional")
    axis = one_axis(axis, a.ndim)
    parts = [nested(part) if part is not a else a for part in (prepend, a, append) if given(part)]
    thin = tuple(1 if k == axis else m for k, m in enumerate(a.shape))
    if len(parts) > 1:
        parts = [part if part.ndim else np.broadcast_to(part, thin) for part in parts]
        a = np.concatenate(parts, axis)
    lead = (slice(None),) * axis
    for _ in range(n):
        a = a[(*lead, slice(1, None))] - a[(*lead, slice(None, -1))]
    return a


@implements(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """`numpy.ediff1d`."""
    ary = np.ravel(nested(ary))
    parts = [ary[1:] - ary[:-1]]
    if to_begin is not None:
        parts.insert(0, np.ravel(nested(to_begin)))
    if to_end is not None:
        parts.append(np.ravel(nested(to_end)))
    return astype(np.concatenate(parts), ary.dtype) if len(parts) > 1 else parts[0]


@implements(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """`numpy.gradient`: each axis with the parabola through three neighbours."""
    f = nested(f)
    if f.dtype.kind not in "fc":
        f = astype(f, np.float64)
    axes = (
        tuple(range(f.ndim))
        if axis is None
        else np.lib.array_utils.normalize_axis_tuple(axis, f.ndim)
    )
    spacings = [nested(x) if not np.isscalar(x) else x for x in varargs]
    if not spacings:
        spacings = [1.0] * len(axes)
    elif len(spacings) == 1 and np.ndim(value_of(spacings[0])) == 0:
        spacings = spacings * len(axes)
    elif len(spacings) != len(axes):
        raise TypeError("invalid number of arguments")
    if edge_order > 2:
        raise ValueError("'edge_order' greater than 2 not supported")
    slopes = tuple(_slope(f, x, k, edge_order) for k, x in zip(axes, spacings, strict=True))
    return slopes[0] if len(axes) == 1 else slopes


def _slope(f: Any, spacing: Any, axis: int, edge_order: int) -> Any:
    """The derivative along one axis, for a fixed distance or for coordinates."""
    n = f.shape[axis]
    ndim = np.ndim(value_of(spacing))
    if ndim > 1:
        raise ValueError("distances must be either scalars or 1d")
    if ndim and len(spacing) != n:
        raise ValueError("when 1d, distances must match the length of the corresponding dimension")
    if n < edge_order + 1:
        raise ValueError(
            "Shape of array too small to calculate a numerical gradient, "
            "at least (edge_order + 1) elements are required."
        )
    y = np.moveaxis(f, axis, -1)
    step = spacing
    if ndim:
        step = astype(spacing, np.float64) if spacing.dtype.kind in "iu" else spacing
        step = step[1:] - step[:-1]
    slope = (y[..., 1:] - y[..., :-1]) / step
    if ndim:
        before, after = step[:-1], step[1:]
        inner = (after * slope[..., :-1] + before * slope[..., 1:]) / (before + after)
    else:
        inner = (y[..., 2:] - y[..., :-2]) / (2.0 * step)
    first, last = slope[..., :1], slope[..., -1:]
    if edge_order == 2:
        # The slope at the end of the parabola through the last three points.
        if ndim:
            first = _end(slope[..., :2], step[0], step[1])
            last = _end(slope[..., :-3:-1], step[-1], step[-2])
        else:
            first, last = 2 * first - inner[..., :1], 2 * last - inner[..., -1:]
    slopes = np.concatenate([first, inner, last], axis=-1)
    return np.moveaxis(astype(slopes, f.dtype), -1, axis)


def _end(slopes: Any, near: Any, far: Any) -> Any:
    """The slope at the end of a parabola through two intervals, from the slopes of its chords."""
    bend = (slopes[..., :1] - slopes[..., 1:]) / (near + far)
    return slopes[..., :1] + near * bend


@implements(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """`numpy.trapezoid`."""
    y = nested(y)
    axis = one_axis(axis, y.ndim)
    lead = (slice(None),) * axis
    width = dx
    if x is not None:
        x = nested(x)
        width = diff(x, axis=-1 if x.ndim == 1 else axis - y.ndim)
        if x.ndim == 1:
            width = np.reshape(width, (-1,) + (1,) * (y.ndim - 1 - axis))
    both = y[(*lead, slice(1, None))] + y[(*lead, slice(None, -1))]
    return np.sum(width * both / 2.0, axis=axis)
