"""Sparse rows: what sparse blocks are kept as, and answered from."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyhess._indices import Array, Ids
from lazyhess._tangents.blocks import Sparse

# Elements of a temporary array when sparse rows are written into a dense one.
CHUNK = 1 << 20


class CSR:
    """Sparse rows: row r has ``vals[indptr[r]:indptr[r + 1]]`` at the columns ``cols[...]``."""

    __slots__ = ("_rows", "cols", "indptr", "ncols", "vals")

    def __init__(
        self, indptr: Ids, cols: Ids, vals: Array, ncols: int, rows: Ids | None = None
    ) -> None:
        self.indptr = indptr
        self.cols = cols
        self.vals = vals
        self.ncols = ncols
        self._rows = rows  # of every entry, where that was at hand

    @classmethod
    def of(cls, block: Sparse) -> CSR:
        """A block as one row for each seed; the structure is shared with its pattern."""
        merged = block.merged()
        pattern = merged.pattern
        return cls(pattern.indptr(), pattern.pos, merged.val, pattern.size, pattern.seed)

    @classmethod
    def zeros(cls, shape: tuple[int, int], dtype: np.dtype[Any]) -> CSR:
        """Rows without entries."""
        none = np.zeros(0, np.intp)
        return cls(np.zeros(shape[0] + 1, np.intp), none, np.zeros(0, dtype), shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.indptr) - 1, self.ncols

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.vals.dtype

    @property
    def nbytes(self) -> int:
        return self.indptr.nbytes + self.cols.nbytes + self.vals.nbytes

    def rows(self) -> Ids:
        """The row of every entry."""
        if self._rows is not None:
            return self._rows
        return np.repeat(np.arange(self.shape[0]), np.diff(self.indptr))

    def lean(self) -> CSR:
        """The same rows without what can be worked out again."""
        return CSR(self.indptr, self.cols, self.vals, self.ncols)

    def dense(self) -> Array:
        """The rows as a two-dimensional array."""
        out = np.zeros(self.shape, self.vals.dtype)
        out[self.rows(), self.cols] = self.vals
        return out

    def __getitem__(self, index: tuple[Ids, Ids]) -> Array:
        """The elements at some rows and columns, which broadcast."""
        row, column = index
        wanted = row * self.ncols + column
        keys = self.rows() * self.ncols + self.cols
        if not len(keys):
            return np.zeros(np.shape(wanted), self.dtype)
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[at] == wanted, self.vals[at], self.dtype.type(0))

    def take(self, rows: Ids, axis: int = 0) -> CSR:
        """The named rows, in the order named."""
        assert axis == 0
        lengths = np.diff(self.indptr)[rows]
        indptr = np.zeros(len(rows) + 1, np.intp)
        np.cumsum(lengths, out=indptr[1:])
        at = np.arange(indptr[-1]) + np.repeat(self.indptr[rows] - indptr[:-1], lengths)
        return CSR(indptr, self.cols[at], self.vals[at], self.ncols)

    def reshape(self, shape: tuple[int, int]) -> CSR:
        """Itself: rows of a grid count in its order."""
        assert shape == self.shape
        return self

    def nonzeros(self) -> tuple[Ids, Ids, Array]:
        """Row, column and value of the entries that are not zero."""
        row = self.rows()
        if self.vals.all():
            return row, self.cols, self.vals
        there = np.flatnonzero(self.vals)  # entries may come out as zero
        return row[there], self.cols[there], self.vals[there]

    def write(self, out: Array, at: Ids, numbers: Ids, columns: Ids | None) -> None:
        """``out[at] = self[numbers][:, columns]``, some rows at a time."""
        step = max(1, CHUNK // max(self.ncols, 1))
        for start in range(0, len(at), step):
            some = self.take(numbers[start : start + step]).dense()
            out[at[start : start + step]] = some if columns is None else some.take(columns, axis=1)
