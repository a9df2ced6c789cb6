"""Sparse rows: what sparse blocks are kept as, and answered from."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyhess._indices import Array, Ids
from lazyhess._tangents.blocks import Sparse


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

    def take(self, rows: Ids) -> CSR:
        """The named rows, in the order named."""
        lengths = np.diff(self.indptr)[rows]
        indptr = np.zeros(len(rows) + 1, np.intp)
        np.cumsum(lengths, out=indptr[1:])
        at = np.arange(indptr[-1]) + np.repeat(self.indptr[rows] - indptr[:-1], lengths)
        return CSR(indptr, self.cols[at], self.vals[at], self.ncols)
