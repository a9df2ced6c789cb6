"""An engine that reads rows from given matrices, and counts: what it should do is plain to see."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from lazyhess._engines.arrays import NumpyArrays
from lazyhess._engines.csr import CSR
from lazyhess._tangents import Sparse


class DenseEngine:
    """Rows of a random symmetric Hessian for each leading index."""

    checks = 0

    def __init__(
        self,
        shapes: tuple[tuple[int, ...], ...],
        lead: tuple[int, ...] = (),
        *,
        sparse: bool = False,
        passes: int = 3,
        seed: int = 0,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.shapes, self.lead, self.sparse, self.passes = shapes, lead, sparse, passes
        self.dtypes = (np.dtype(float),) * len(shapes)
        self.sizes = [prod(shape) for shape in shapes]
        total = sum(self.sizes)
        whole = rng.normal(size=(prod(lead), total, total))
        if sparse:
            whole *= np.abs(whole) > 1
        whole = whole + whole.swapaxes(1, 2)
        ends = np.cumsum(self.sizes)
        starts = ends - self.sizes
        self.blocks = {
            (i, j): whole[:, starts[i] : ends[i], starts[j] : ends[j]]
            for i in range(len(shapes))
            for j in range(len(shapes))
        }
        self.create_graph = False
        self.arrays = NumpyArrays()
        self.computed: list[tuple[int, int]] = []  # (x, row) of every row that was computed
        self.before: Any = None  # called before each pass

    def dense(self, i: int, j: int) -> np.ndarray:
        return self.blocks[i, j].reshape(self.lead + self.shapes[i] + self.shapes[j])

    def vectors(self, operand: Any) -> np.ndarray:
        return np.asarray(operand)

    def products(self, i: int, rows: np.ndarray) -> int:
        if len(self.lead) == 1:  # as a batch
            return len(np.unique(rows % max(self.sizes[i], 1)))
        return len(rows)

    def along(self, i: int, j: int) -> tuple[int, ...]:
        return tuple(k for k in range(len(self.shapes)) if k != j)  # they cost nothing here

    def rows(
        self, i: int, rows: np.ndarray, columns: tuple[int, ...]
    ) -> Iterator[tuple[np.ndarray, dict[int, Any]]]:
        assert np.all(np.diff(rows) > 0)
        # A position of a batch is one product, and so it is in one pass.
        order = np.argsort(rows % max(self.sizes[i], 1), kind="stable")
        rows = rows[order] if len(self.lead) == 1 else rows
        position = rows % max(self.sizes[i], 1)
        groups = np.split(rows, np.flatnonzero(np.diff(position)) + 1) if len(rows) else []
        for part in np.array_split(np.arange(len(groups)), min(self.passes, len(groups)) or 1):
            if not len(part):
                continue
            ids = np.concatenate([groups[k] for k in part])
            if self.before is not None:
                self.before(i, ids)
            self.computed += [(i, int(row)) for row in ids]
            yield ids, {j: self._block(i, j)[ids] if not self.sparse else self._csr(i, j, ids)
                        for j in columns}  # fmt: skip

    def _block(self, i: int, j: int) -> np.ndarray:
        return self.blocks[i, j].reshape(prod(self.lead) * self.sizes[i], self.sizes[j])

    def _csr(self, i: int, j: int, ids: np.ndarray) -> CSR:
        part = self._block(i, j)[ids]
        return CSR.of(Sparse.of(part))

    def apply(
        self, j: int, tangents: np.ndarray, columns: tuple[int, ...]
    ) -> dict[int, np.ndarray]:
        flat = tangents.reshape(len(tangents), prod(self.lead), self.sizes[j])
        return {
            i: np.einsum("bij,kbj->kbi", self.blocks[i, j], flat).reshape(
                (len(tangents), *self.lead, *self.shapes[i])
            )
            for i in columns
        }
