"""What the modules of linear algebra share: stacked square matrices, and maps of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from lazyhess._indices import Shape
from lazyhess._maps import Map, Permute
from lazyhess._primitives.base import nested
from lazyhess._primitives.einsum import contract

Curvature = Iterable[tuple[int, int, Map]]


def square_matrices(name: str, a: Any) -> Any:
    """A stack of square matrices of a floating dtype, or NumPy's own error."""
    a = nested(a)
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        getattr(np.linalg, name)(np.zeros(a.shape))
    return a


def transposed(a: Any) -> Any:
    """The transpose of stacked matrices."""
    return np.swapaxes(a, -1, -2)


def adjoint(a: Any) -> Any:
    """The conjugate transpose of stacked matrices."""
    a = transposed(a)
    return np.conjugate(a) if a.dtype.kind == "c" else a


def times(side: str, a: Any, shape: Shape) -> Map:
    """The map of stacked matrices of `shape` to their products with `a` on the left or right."""
    lead = tuple(range(3, 3 + len(shape) - 2))
    if side == "left":
        return contract((*lead, 0, 1), (*lead, 2, 0), (*lead, 2, 1), a, shape)
    return contract((*lead, 0, 1), (*lead, 1, 2), (*lead, 0, 2), a, shape)


def turned(shape: Shape) -> Map:
    """The map of stacked matrices of `shape` to their transposes."""
    lead = range(len(shape) - 2)
    return Permute(shape, (*lead, len(shape) - 1, len(shape) - 2))
