"""Products of stacked vectors: cross products, and with matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyhess._primitives.base import implements, nested, options


@implements(np.cross)
def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None
) -> Any:
    """`numpy.cross`."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = nested(a), nested(b)
    if not a.ndim or not b.ndim:
        raise ValueError("At least one array has zero dimension")
    a, b = np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1)
    sizes = a.shape[-1], b.shape[-1]
    if not {*sizes} <= {2, 3}:
        raise ValueError("incompatible dimensions for cross product\n(dimension must be 2 or 3)")
    if sizes == (2, 2):
        return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    # A vector in the plane has a third component of zero.
    a, b = (
        x if x.shape[-1] == 3 else np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, 1)]) for x in (a, b)
    )
    after, before = [1, 2, 0], [2, 0, 1]
    product = a[..., after] * b[..., before] - a[..., before] * b[..., after]
    return np.moveaxis(product, -1, axisc)


@implements(np.linalg.cross)
def linalg_cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """`numpy.linalg.cross`."""
    x1, x2 = nested(x1), nested(x2)
    if x1.shape[axis] != 3 or x2.shape[axis] != 3:
        raise ValueError(
            "Both input arrays must be (arrays of) 3-dimensional vectors, "
            f"but they are {x1.shape[axis]} and {x2.shape[axis]} dimensional instead."
        )
    return cross(x1, x2, axis=axis)


if hasattr(np, "matvec"):  # since NumPy 2.2

    @implements(np.matvec)
    def matvec(x1: Any, x2: Any, /, **kwargs: Any) -> Any:
        """`numpy.matvec`."""
        x1, x2 = options("matvec", (x1, x2), kwargs)
        return np.matmul(x1, nested(x2)[..., None])[..., 0]

    @implements(np.vecmat)
    def vecmat(x1: Any, x2: Any, /, **kwargs: Any) -> Any:
        """`numpy.vecmat`."""
        x1, x2 = (nested(x) for x in options("vecmat", (x1, x2), kwargs))
        x1 = np.conjugate(x1) if x1.dtype.kind == "c" else x1
        return np.matmul(x1[..., None, :], x2)[..., 0, :]
