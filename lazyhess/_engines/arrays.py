"""What rows and answers are made of: NumPy's arrays, or a framework's own.

All that keeps, assembles and answers handles rows by these few operations only, so an engine may
answer with whatever it likes: on its device, and with the graph that differentiates it again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from lazyhess._engines.csr import CSR
from lazyhess._indices import Array, Ids, Shape, span


class Arrays(ABC):
    """Operations on arrays of one kind. None of them changes what it is given, but for `write`.

    Rows are two-dimensional arrays of this kind; those of NumPy may be sparse (`CSR`) as well.
    """

    in_place = False
    """Whether answers are NumPy's arrays: they are written part by part, and may be scalars."""

    @abstractmethod
    def numpy(self, array: Any) -> Array:
        """The numbers as a NumPy array, without their graph; shared where that is possible."""

    @abstractmethod
    def from_numpy(self, array: Array, dtype: Any) -> Any:
        """A NumPy array as one of this kind, in a dtype of this kind."""

    @abstractmethod
    def zeros(self, shape: Shape, dtype: Any) -> Any:
        """A new array."""

    @abstractmethod
    def concatenate(self, parts: Sequence[Any]) -> Any:
        """Arrays joined along their first axis."""

    @abstractmethod
    def take(self, array: Any, ids: Ids, axis: int) -> Any:
        """A new array of the named places along an axis."""

    @abstractmethod
    def points(self, array: Any, rows: Ids, columns: Ids) -> Any:
        """``array[rows, columns]``, which broadcast."""

    @abstractmethod
    def reshape(self, array: Any, shape: Shape) -> Any:
        """The same elements in C order."""

    @abstractmethod
    def transpose(self, array: Any, axes: Sequence[int]) -> Any:
        """Axes in another order."""

    @abstractmethod
    def cast(self, array: Any, dtype: Any) -> Any:
        """The numbers in another dtype of this kind."""

    @abstractmethod
    def nbytes(self, array: Any) -> int:
        """Bytes of the elements."""

    @abstractmethod
    def itemsize(self, dtype: Any) -> int:
        """Bytes of an element."""

    def promoted(self, product: Any, *dtypes: Any) -> Any:
        """A product in the dtype that NumPy gives it; frameworks keep that of the Hessian."""
        return product

    def matmul(self, a: Any, b: Any) -> Any:
        """The product of two arrays, of which one may be NumPy's."""
        a = self.from_numpy(a, b.dtype) if isinstance(a, np.ndarray) else a
        b = self.from_numpy(b, a.dtype) if isinstance(b, np.ndarray) else b
        if 1 not in (len(a.shape), len(b.shape)):
            return a @ b
        # Not every framework multiplies by vectors.
        vectors = len(a.shape) == 1, len(b.shape) == 1
        a = self.reshape(a, (1, *a.shape)) if vectors[0] else a
        b = self.reshape(b, (*b.shape, 1)) if vectors[1] else b
        product = a @ b
        *rest, m, n = product.shape
        rest += ([] if vectors[0] else [m]) + ([] if vectors[1] else [n])
        return self.reshape(product, tuple(rest))

    def of_framework(self, array: Any) -> bool:
        """Whether an array is a framework's own, which may have a graph to be followed."""
        return hasattr(array, "dtype") and not isinstance(array, (np.ndarray, np.generic))

    # --- rows -----------------------------------------------------------------------------------

    def alone(self, rows: Any, start: int, stop: int) -> Any:
        """Some rows, which keep nothing else alive."""
        if start == 0 and stop >= rows.shape[0]:
            return rows
        return self.take(rows, np.arange(start, stop), 0)

    def part(self, rows: Any, start: int, stop: int) -> Any:
        """Some rows in a row, as a new array."""
        return self.take(rows, np.arange(start, stop), 0)

    def nonzeros(self, rows: Any) -> tuple[Ids, Ids, Any]:
        """Row, column and value of what is not zero; perhaps not one's own."""
        row, column = np.nonzero(self.numpy(rows))
        return row, column, self.points(rows, row, column)

    def joins(self, rows: Any) -> bool:
        """Whether rows are of NumPy's arrays, which can be collected in a larger one."""
        return False

    def write(self, out: Array, at: Ids, rows: Any, numbers: Ids, columns: Ids | None) -> None:
        """``out[at] = rows[numbers][:, columns]``, where answers are written in place."""
        raise NotImplementedError


class NumpyFunctions(Arrays):
    """Operations by NumPy's functions and methods."""

    def concatenate(self, parts: Sequence[Any]) -> Any:
        return np.concatenate(parts)

    def take(self, array: Any, ids: Ids, axis: int) -> Any:
        return array.take(ids, axis)

    def points(self, array: Any, rows: Ids, columns: Ids) -> Any:
        return array[rows, columns]

    def reshape(self, array: Any, shape: Shape) -> Any:
        return array.reshape(shape)

    def transpose(self, array: Any, axes: Sequence[int]) -> Any:
        return np.transpose(array, tuple(axes))

    def cast(self, array: Any, dtype: Any) -> Any:
        return array.astype(dtype)

    def nbytes(self, array: Any) -> int:
        return int(array.nbytes)

    def itemsize(self, dtype: Any) -> int:
        return int(np.dtype(dtype).itemsize)

    def promoted(self, product: Any, *dtypes: Any) -> Any:
        return np.astype(product, np.result_type(*dtypes), copy=False)

    def matmul(self, a: Any, b: Any) -> Any:
        return a @ b

    def of_framework(self, array: Any) -> bool:
        return False


class NumpyArrays(NumpyFunctions):
    """NumPy's arrays; rows may be sparse."""

    in_place = True

    def numpy(self, array: Any) -> Array:
        return np.asarray(array)

    def from_numpy(self, array: Array, dtype: Any) -> Any:
        return array.astype(dtype, copy=False)

    def zeros(self, shape: Shape, dtype: Any) -> Any:
        return np.zeros(shape, dtype)

    def alone(self, rows: Any, start: int, stop: int) -> Any:
        whole = start == 0 and stop >= rows.shape[0]
        if isinstance(rows, CSR):
            return rows.lean() if whole else rows.take(np.arange(start, min(stop, rows.shape[0])))
        base = rows.base  # no array, where a pickle was read
        if whole and (base is None or (type(base) is np.ndarray and base.nbytes <= rows.nbytes)):
            return rows
        return rows[start:stop].copy()

    def part(self, rows: Any, start: int, stop: int) -> Any:
        if isinstance(rows, CSR):
            return rows.take(np.arange(start, stop)).dense()
        return rows[start:stop].copy()

    def nonzeros(self, rows: Any) -> tuple[Ids, Ids, Any]:
        return rows.nonzeros() if isinstance(rows, CSR) else super().nonzeros(rows)

    def joins(self, rows: Any) -> bool:
        return isinstance(rows, np.ndarray)

    def write(self, out: Array, at: Ids, rows: Any, numbers: Ids, columns: Ids | None) -> None:
        if isinstance(rows, CSR):
            rows.write(out, at, numbers, columns)
            return
        target, source = (ids if (run := span(ids)) is None else run for ids in (at, numbers))
        part = rows[source]
        out[target] = part if columns is None else part.take(columns, axis=1)
