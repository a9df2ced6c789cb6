"""Hessians of each sample of a batch by arrays of which all samples share some."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np

from lazyhess._engines.batch import Batch
from lazyhess._engines.csr import CSR
from lazyhess._engines.protocol import Rows
from lazyhess._engines.recorded.engine import RecordedEngine
from lazyhess._engines.recorded.prepared import linearize
from lazyhess._indices import Array, Ids
from lazyhess._record.variable import Variable


class PerSampleEngine:
    """Rows for each sample, where a sum over samples would mix what they share.

    Every output has a linearization of its own; of an x with a batch axis a sample sees its part.

    Parameters
    ----------
    inner : RecordedEngine
        Rows of every output.
    batch : sequence of int or None
        The position of the batch axis in each x; ``None`` where all samples share it.
    """

    checks = 0

    def __init__(self, inner: RecordedEngine, batch: Sequence[int | None]) -> None:
        self.inner = inner
        self.arrays, self.dtypes = inner.arrays, inner.dtypes
        self.create_graph = inner.create_graph
        self.xs = inner.xs
        self.batch = Batch(inner.shapes, batch, inner.root.size)
        self.shapes, self.lead = self.batch.shapes, self.batch.lead

    def evaluated(self, values: Sequence[Array | Variable]) -> tuple[Variable, list[Variable]]:
        """The output and the inputs at other values of xs."""
        return self.inner.evaluated(values)

    def at(self, root: Variable, xs: Sequence[Variable], create_graph: bool) -> PerSampleEngine:
        """The engine of the same graph, evaluated at other values of xs."""
        return PerSampleEngine(self.inner.at(root, xs, create_graph), self.batch.axes)

    def vectors(self, operand: Any) -> Any:
        """What ``@`` was given as tangents for `apply`; None where the dense matrix is needed."""
        return self.inner.vectors(operand)

    def value(self) -> Any:
        """The value of ys."""
        return self.inner.value()

    def gradient(self, i: int) -> Any:
        """The gradient of each sample: as x_i, or behind an axis of samples where it is shared."""
        gradients = self.inner.gradient(i).reshape((*self.lead, *self.batch.full[i]))
        return gradients if self.batch.axes[i] is None else np.sum(gradients, axis=0)

    def interacting(self) -> int | None:
        """The first sample whose output depends on another sample, if any."""
        if all(axis is None for axis in self.batch.axes):
            return None
        return self.batch.interacting(linearize(self.inner.root, self.xs).reach)

    def products(self, i: int, rows: Ids) -> int:
        """How many Hessian-vector products these rows of x_i take."""
        return self.batch.products(i, rows)

    def along(self, i: int, j: int) -> tuple[int, ...]:
        """The other blocks (i, k) that may come along when rows of (i, j) are computed."""
        return self.inner.reach_table(self.batch).along(i, j)

    def rows(
        self, i: int, rows: Ids, columns: tuple[int, ...]
    ) -> Iterator[tuple[Ids, dict[int, Rows]]]:
        """Rows of the blocks (i, j) for j in columns, pass by pass, each row in one pass."""
        whole = prod(self.batch.full[i])
        sample, _ = self.batch.divide(i, rows)
        places = sample * whole + self.batch.places(i, rows)
        order = np.argsort(places)
        for at, blocks in self.inner.rows(i, places[order], columns):
            ids = rows[order[np.searchsorted(places[order], at)]]
            output = int(self.batch.divide(i, ids[:1])[0][0])
            yield ids, {j: self._part(j, output, blocks[j]) for j in columns}

    def _part(self, j: int, sample: int, rows: Rows) -> Rows:
        """Of rows of one sample's output, by all of x_j, what is by its own part."""
        if self.batch.axes[j] is None:
            return rows
        places = self.batch.part(j, sample)
        if not isinstance(rows, CSR):
            return np.take(rows, places, axis=1)
        # Samples do not interact: every entry is in this part.
        cols = np.searchsorted(places, rows.cols)
        return CSR(rows.indptr, cols, rows.vals, len(places))

    def apply(self, j: int, tangents: Any, columns: tuple[int, ...]) -> dict[int, Any]:
        """Products: ``(K,) + lead + shapes[j]`` -> for each i ``(K,) + lead + shapes[i]``."""
        count, samples, full = len(tangents), self.batch.samples, self.batch.full
        sample = np.arange(samples)[:, None]
        if self.batch.axes[j] is not None:
            size = self.batch.sizes[j]
            flat = np.reshape(tangents, (count, samples, size))
            padded = np.concatenate([flat, np.zeros((count, samples, 1), flat.dtype)], axis=2)
            source = np.full((samples, prod(full[j])), size)
            source[sample, self.batch.parts(j)] = np.arange(size)
            tangents = padded[:, sample, source]
        lead = self.inner.lead
        products = self.inner.apply(j, np.reshape(tangents, (count, *lead, *full[j])), columns)
        answer = {}
        for i in columns:
            part = np.reshape(products[i], (count, samples, prod(full[i])))
            if self.batch.axes[i] is not None:
                part = part[:, sample, self.batch.parts(i)]
            answer[i] = np.reshape(part, (count, samples, *self.shapes[i]))
        return answer
