"""What rows and answers are made of: NumPy's arrays, or a framework's own.

Store, fill and proxy handle rows by these few operations only, so an engine may answer with
whatever it likes: on its device, and with the graph that differentiates it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from lazyhess._indices import Array, Ids, Shape


class Arrays(Protocol):
    """Operations on arrays of one kind. None of them changes what it is given."""

    def numpy(self, array: Any) -> Array:
        """The numbers as a NumPy array, without their graph; shared where that is possible."""

    def own(self, array: Array, dtype: Any) -> Any:
        """A NumPy array as one of this kind, in a dtype of this kind."""

    def zeros(self, shape: Shape, dtype: Any) -> Any:
        """A new array."""

    def concatenate(self, parts: Sequence[Any]) -> Any:
        """Arrays joined along their first axis."""

    def take(self, array: Any, ids: Ids, axis: int) -> Any:
        """A new array of the named places along an axis."""

    def points(self, array: Any, rows: Ids, columns: Ids) -> Any:
        """``array[rows, columns]``, which broadcast."""

    def reshape(self, array: Any, shape: Shape) -> Any:
        """The same elements in C order."""

    def transpose(self, array: Any, axes: Sequence[int]) -> Any:
        """Axes in another order."""

    def nbytes(self, array: Any) -> int:
        """Bytes of the elements."""

    def itemsize(self, dtype: Any) -> int:
        """Bytes of an element."""


class Plain:
    """NumPy's arrays, and Variables."""

    def numpy(self, array: Any) -> Array:
        return np.asarray(getattr(array, "_value", array))

    def own(self, array: Array, dtype: Any) -> Any:
        return array.astype(dtype, copy=False)

    def zeros(self, shape: Shape, dtype: Any) -> Any:
        return np.zeros(shape, dtype)

    def concatenate(self, parts: Sequence[Any]) -> Any:
        return np.concatenate(parts)

    def take(self, array: Any, ids: Ids, axis: int) -> Any:
        return np.take(array, ids, axis)

    def points(self, array: Any, rows: Ids, columns: Ids) -> Any:
        return array[rows, columns]

    def reshape(self, array: Any, shape: Shape) -> Any:
        return np.reshape(array, shape)

    def transpose(self, array: Any, axes: Sequence[int]) -> Any:
        return np.transpose(array, tuple(axes))

    def nbytes(self, array: Any) -> int:
        return int(array.nbytes)

    def itemsize(self, dtype: Any) -> int:
        return int(np.dtype(dtype).itemsize)
