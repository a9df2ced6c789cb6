"""Norms and condition numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyhess._decisions import nowhere
from lazyhess._primitives.base import axis_tuple, implements, squared
from lazyhess._primitives.linalg.base import square_matrices
from lazyhess._primitives.linalg.factorizations import svdvals
from lazyhess._primitives.linalg.solutions import inv
from lazyhess._record.variable import value_of


def _root(total: Any, power: float) -> Any:
    """total**power, with a derivative of zero where the total is zero: the norm's kink."""
    zero = value_of(total) == 0
    kink = not nowhere(zero)
    if kink:
        total = np.where(zero, total.dtype.type(1), total)
    root = np.sqrt(total) if power == 0.5 else total**power
    return np.where(zero, root.dtype.type(0), root) if kink else root


def _vector_norm(x: Any, order: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    how: dict[str, Any] = {"axis": axes, "keepdims": keepdims}
    if order in (None, 2, "fro", "f"):
        return _root(np.sum(squared(x), **how), 0.5)
    if isinstance(order, str):
        raise ValueError(f"Invalid norm order '{order}' for vectors")
    size = np.abs(x)
    if order == np.inf:
        return np.max(size, **how)
    if order == -np.inf:
        return np.min(size, **how)
    if order == 0:
        return np.sum(np.sign(size), **how)
    if order == 1:
        return np.sum(size, **how)
    return _root(np.sum(size**order, **how), 1 / order)


def _matrix_norm(x: Any, order: Any, axes: tuple[int, int], keepdims: bool) -> Any:
    rows, columns = axes
    if order in (None, "fro", "f"):
        return _vector_norm(x, None, axes, keepdims)
    if order in (1, -1, np.inf, -np.inf):
        summed, left = (rows, columns) if abs(order) == 1 else (columns, rows)
        total = np.sum(np.abs(x), axis=summed, keepdims=True)
        norms = (np.max if order > 0 else np.min)(total, axis=left, keepdims=True)
    elif order in (2, -2, "nuc"):
        s = svdvals(np.moveaxis(x, axes, (-2, -1)))
        combine: Any = {2: np.max, -2: np.min, "nuc": np.sum}[order]
        norms = np.expand_dims(combine(s, axis=-1), axes)
    else:
        raise ValueError(f"Invalid norm order {order!r} for matrices.")
    return norms if keepdims else np.squeeze(norms, axes)


@implements(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """`numpy.linalg.norm`."""
    if axis is None:
        axes = tuple(range(x.ndim))
        if ord is None or (x.ndim == 1 and ord in ("fro", "f")):
            if isinstance(ord, str):
                raise ValueError(f"Invalid norm order '{ord}' for vectors")
            return _vector_norm(x, None, axes, keepdims)
    else:
        axes = axis_tuple(axis, x.ndim)
    if len(axes) == 1:
        if isinstance(ord, str):
            raise ValueError(f"Invalid norm order '{ord}' for vectors")
        return _vector_norm(x, ord, axes, keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, ord, (axes[0], axes[1]), keepdims)
    raise ValueError("Improper number of dimensions to norm.")


@implements(np.linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """`numpy.linalg.vector_norm`."""
    return _vector_norm(x, ord, axis_tuple(axis, x.ndim), keepdims)


@implements(np.linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """`numpy.linalg.matrix_norm`."""
    return _matrix_norm(x, ord, (x.ndim - 2, x.ndim - 1), keepdims)


@implements(np.linalg.cond)
def cond(x: Any, p: Any = None) -> Any:
    """`numpy.linalg.cond`."""
    if p in (None, 2, -2):
        s = svdvals(x)
        first, last = (s[..., 0], s[..., -1])
        return last / first if p == -2 else first / last
    x = square_matrices("inv", x)
    return norm(x, p, axis=(-2, -1)) * norm(inv(x), p, axis=(-2, -1))
