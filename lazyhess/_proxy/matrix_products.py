"""Products of a Hessian with matrices and vectors, without forming it."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from lazyhess._indices import Shape
from lazyhess._proxy.rows import Core

# Elements of the tangents that one call of the engine gets in a matrix product.
_TANGENTS = 1 << 22


class MatrixProducts:
    """Matrix products of a Hessian without forming it."""

    __slots__ = ()

    if TYPE_CHECKING:  # of the Hessian
        _core: Core
        _i: int
        _j: int
        _transposed: bool

        @property
        def shape(self) -> Shape: ...
        @property
        def ndim(self) -> int: ...
        @property
        def dtype(self) -> Any: ...
        @property
        def T(self) -> MatrixProducts: ...

        def __getitem__(self, index: Any) -> Any: ...

    def __matmul__(self, other: Any) -> Any:
        return self._product(other, left=False)

    def __rmatmul__(self, other: Any) -> Any:
        return self._product(other, left=True)

    def _product(self, other: Any, *, left: bool) -> Any:
        """``self @ other``, or ``other @ self``: as NumPy's, but without the dense Hessian."""
        other, arrays = dense(other), self._core.engine.arrays
        if (made := self._followed(other, left)) is not None:
            return made
        operand, other = other, self._core.engine.vectors(other)
        if other is None:
            return self._evaluated(operand, left)
        if self._transposed:
            # (H.T @ v) contracts the first axes of H; where H is a matrix that is v @ H.
            if self.ndim == 2 and other.ndim in (1, 2):
                plain = self.T
                return plain._product(other.T, left=not left).T
            return self._evaluated(other, left)
        lead = len(self._core.engine.lead)
        axis = self.ndim - (2 if left else 1)
        if other.dtype.kind not in "biufc" or axis < lead or not other.ndim:
            return self._evaluated(other, left)
        n = self.shape[axis]
        inner = other.shape[-1 if left or other.ndim == 1 else -2]
        if inner != n:
            a, b = (other.shape, self.shape) if left else (self.shape, other.shape)
            raise ValueError(
                f"matmul: mismatch in the contracted dimension, shapes {a} and {b}: {inner} is "
                f"different from {n}"
            )
        stacked = other.ndim > 2
        if stacked and not (lead == other.ndim - 2 == 1 and self.ndim == 3):
            return self._evaluated(other, left)
        if other.dtype.kind == "c":
            real, imaginary = (self._product(part, left=left) for part in (other.real, other.imag))
            return real + 1j * imaginary
        # The vectors as (K,) + batch (or nothing) + (n,).
        vectors = other.reshape(1, n) if other.ndim == 1 else other
        if not left and other.ndim > 1:
            vectors = vectors.swapaxes(-1, -2)
        vectors = np.moveaxis(vectors, -2, 0)
        made = self._contract(axis, vectors, stacked)
        if made is None:
            return self._evaluated(other, left)
        made = arrays.promoted(made, self.dtype, other.dtype)
        # The contracted axis is now K, where NumPy puts it; a vector has none.
        axes = [*range(1, len(made.shape))]
        axes.insert(axis, 0)
        made = arrays.transpose(made, axes)
        shape = tuple(made.shape)
        return arrays.reshape(made, shape[:axis] + shape[axis + 1 :]) if other.ndim == 1 else made

    def _followed(self, other: Any, left: bool) -> Any:
        """The product of a matrix with vectors of the framework's own, which may have a graph.

        None where it is no such thing, or where the dense matrix is as cheap.
        """
        core, engine = self._core, self._core.engine
        i, j, arrays = self._i, self._j, engine.arrays
        if not arrays.of_framework(other):
            return None
        if self._transposed:
            left = not left
        if engine.lead or len(self.shape) != 2 or len(engine.shapes[i]) != 1:
            return None
        if getattr(other, "dtype", None) != self.dtype or len(other.shape) not in (1, 2):
            return None
        source, target = (i, j) if left else (j, i)
        (n,) = engine.shapes[source]
        flat = len(other.shape) == 1
        columns = (not left) != self._transposed  # vectors are the columns of other
        if other.shape[0 if flat or columns else 1] != n:
            return None  # refused where all are
        vectors = arrays.reshape(other, (1, n)) if flat else other
        if columns and not flat:
            vectors = arrays.transpose(other, (1, 0))
        everything = [np.arange(core.rows_of(k)) for k in (i, j)]
        count = int(vectors.shape[0])
        if not count or core.lacking(i, j, *everything) < count:
            return None
        made = core.apply(source, vectors, target)
        if flat:
            return arrays.reshape(made, engine.shapes[target])
        return arrays.transpose(made, (1, 0)) if columns else made

    def _evaluated(self, other: Any, left: bool) -> Any:
        whole = self[...]
        a, b = (other, whole) if left else (whole, other)
        return self._core.engine.arrays.matmul(a, b)

    def _contract(self, axis: int, vectors: Any, stacked: bool) -> Any:
        """The sum along an axis times each vector: (K,) + the other axes. None if dense is cheaper.

        The tangents are a vector along the axis and unit vectors along the other axes of its x.
        """
        core, engine = self._core, self._core.engine
        lead = engine.lead
        shapes = (engine.shapes[self._i], engine.shapes[self._j])
        on_rows = axis < len(lead) + len(shapes[0])
        source, target = (self._i, self._j) if on_rows else (self._j, self._i)
        shape = engine.shapes[source]
        own = axis - len(lead) - (0 if on_rows else len(shapes[0]))
        units = prod(shape[:own] + shape[own + 1 :])
        everything = [np.arange(core.rows_of(k)) for k in (self._i, self._j)]
        if core.lacking(self._i, self._j, *everything) < len(vectors) * units:
            return None
        batch = lead if stacked else (1,) * len(lead)
        vectors = vectors.reshape((len(vectors), *batch, shape[own]))
        flat = np.broadcast_to(vectors, (len(vectors), *lead, shape[own]))
        other = engine.lead + engine.shapes[target]
        parts = []
        step = max(1, _TANGENTS // max(prod(lead) * prod(shape), 1))
        for start in range(0, len(vectors) * units, step):
            which = np.arange(start, min(start + step, len(vectors) * units))
            k, unit = np.divmod(which, max(units, 1))
            place = np.zeros((len(which), *(1 for _ in lead), units, 1), np.bool_)
            place[np.arange(len(which)), ..., unit, 0] = True
            tangents = np.where(place, flat[k][..., None, :], 0)
            tangents = tangents.reshape(
                (len(which), *lead, *shape[:own], *shape[own + 1 :], shape[own])
            )
            tangents = np.moveaxis(tangents, -1, 1 + len(lead) + own)
            parts.append(core.apply(source, tangents, target))
        rest = shape[:own] + shape[own + 1 :]
        arrays = engine.arrays
        none = arrays.zeros((0, *other), self.dtype)
        made = parts[0] if len(parts) == 1 else arrays.concatenate([none, *parts])
        made = arrays.reshape(made, (len(vectors), *rest, *other))
        # (K, rest of the contracted x, lead, other x) -> (K, lead, x_i's axes, x_j's axes)
        ends = np.cumsum([1, len(rest), len(lead), len(shapes[1 if on_rows else 0])]).tolist()
        _, rest_axes, lead_axes, other_axes = (list(range(a, b)) for a, b in pairwise([0, *ends]))
        both = rest_axes + other_axes if on_rows else other_axes + rest_axes
        return arrays.transpose(made, [0, *lead_axes, *both])


def dense(x: Any) -> Any:
    """Hessians as arrays, in lists too."""
    if isinstance(x, MatrixProducts):
        return x[...]
    if type(x) in (list, tuple):
        return type(x)(dense(item) for item in x)
    return x
