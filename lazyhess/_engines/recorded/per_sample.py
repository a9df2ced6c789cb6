"""Hessians of each sample of a batch by arrays of which all samples share some."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np

from lazyhess._engines.csr import CSR
from lazyhess._engines.protocol import Rows
from lazyhess._engines.recorded.engine import NumpyEngine
from lazyhess._engines.recorded.prepared import linearize
from lazyhess._indices import Array, Ids, Shape, divide, embed, strides
from lazyhess._maps import NOTHING
from lazyhess._record.variable import Variable


class PerSampleEngine:
    """Rows for each sample, where a sum over samples would mix what they share.

    Every output has a linearization of its own; of an x with a batch axis a sample sees its part.

    Parameters
    ----------
    inner : NumpyEngine
        Rows of every output.
    batch : sequence of int or None
        The position of the batch axis in each x; ``None`` where all samples share it.
    """

    def __init__(self, inner: NumpyEngine, batch: Sequence[int | None]) -> None:
        self.inner = inner
        self.batch = tuple(batch)
        self.arrays, self.dtypes = inner.arrays, inner.dtypes
        self.create_graph = inner.create_graph
        self.xs = inner.xs
        self.full = inner.shapes
        self.shapes: tuple[Shape, ...] = tuple(
            shape if axis is None else shape[:axis] + shape[axis + 1 :]
            for shape, axis in zip(self.full, self.batch, strict=True)
        )
        self.lead: Shape = (inner.root.size,)

    def at(self, values: Sequence[Array | Variable]) -> PerSampleEngine:
        """The engine of the same graph at other values of xs."""
        return PerSampleEngine(self.inner.at(values), self.batch)

    def own(self, array: Any) -> Any:
        """An array as the kind that this engine answers with."""
        return self.inner.own(array)

    def value(self) -> Any:
        """The value of ys."""
        return self.inner.value()

    def gradient(self, i: int) -> Any:
        """The gradient of each sample: as x_i, or behind an axis of samples where it is shared."""
        made = self.inner.gradient(i).reshape((*self.lead, *self.full[i]))
        return made if self.batch[i] is None else np.sum(made, axis=0)

    def interacting(self) -> int | None:
        """The first sample whose output depends on another sample, if any."""
        labels: list[Ids] = []
        for x, axis in zip(self.xs, self.batch, strict=True):
            label = np.full((), NOTHING)
            if axis is not None:
                label = np.arange(x.shape[axis]).reshape((-1, *(1,) * (x.ndim - axis - 1)))
            labels.append(np.broadcast_to(label, x.shape))
        if self.inner.root.size < 2 or all(axis is None for axis in self.batch):
            return None
        lin = linearize(self.inner.root, self.xs)
        last = lin.reach(labels)
        first = lin.reach([np.where(label == NOTHING, NOTHING, -label) for label in labels])
        if last is None or first is None:
            return None
        last, first, sample = last.reshape(-1), first.reshape(-1), np.arange(last.size)
        wrong = (last != NOTHING) & ((last != sample) | (first != -sample))
        return int(np.argmax(wrong)) if wrong.any() else None

    def products(self, i: int, rows: Ids) -> int:
        """How many Hessian-vector products these rows of x_i take."""
        return len(rows)

    def rows(
        self, i: int, rows: Ids, columns: tuple[int, ...]
    ) -> Iterator[tuple[Ids, dict[int, Rows]]]:
        """Rows of the blocks (i, j) for j in columns, pass by pass, each row in one pass."""
        size, whole = max(prod(self.shapes[i]), 1), max(prod(self.full[i]), 1)
        sample, position = divide(rows, size)
        places = sample * whole + self._places(i, sample, position)
        order = np.argsort(places)
        for found, made in self.inner.rows(i, places[order], columns):
            ids = rows[order[np.searchsorted(places[order], found)]]
            output = int(ids[0]) // size
            yield ids, {j: self._own_part(j, output, made[j]) for j in columns}

    def _places(self, i: int, sample: Any, position: Ids) -> Ids:
        """Positions in a sample's part of x_i -> flat positions in x_i."""
        axis = self.batch[i]
        if axis is None:
            return position
        widths = strides(self.full[i])
        rest = embed(position, self.shapes[i], (*widths[:axis], *widths[axis + 1 :]))
        places: Ids = sample * widths[axis] + rest
        return places

    def _parts(self, i: int) -> Ids:
        """For each sample the flat positions of its part of x_i."""
        return self._places(i, np.arange(self.lead[0])[:, None], np.arange(prod(self.shapes[i])))

    def _own_part(self, j: int, sample: int, rows: Rows) -> Rows:
        """Of rows of one sample's output, by all of x_j, what is by its own part."""
        if self.batch[j] is None:
            return rows
        places = self._places(j, sample, np.arange(prod(self.shapes[j])))
        if not isinstance(rows, CSR):
            return np.take(rows, places, axis=1)
        # Samples do not interact: every entry is in this part.
        cols = np.searchsorted(places, rows.cols)
        return CSR(rows.indptr, cols, rows.vals, len(places))

    def apply(self, j: int, tangents: Any, columns: tuple[int, ...]) -> dict[int, Any]:
        """Products: ``(K,) + lead + shapes[j]`` -> for each i ``(K,) + lead + shapes[i]``."""
        count, samples = len(tangents), self.lead[0]
        each = np.arange(samples)[:, None]
        if self.batch[j] is not None:
            size = prod(self.shapes[j])
            flat = np.reshape(tangents, (count, samples, size))
            padded = np.concatenate([flat, np.zeros((count, samples, 1), flat.dtype)], axis=2)
            source = np.full((samples, prod(self.full[j])), size)
            source[each, self._parts(j)] = np.arange(size)
            tangents = padded[:, each, source]
        lead = self.inner.lead
        made = self.inner.apply(j, np.reshape(tangents, (count, *lead, *self.full[j])), columns)
        answer = {}
        for i in columns:
            part = np.reshape(made[i], (count, samples, prod(self.full[i])))
            if self.batch[i] is not None:
                part = part[:, each, self._parts(i)]
            answer[i] = np.reshape(part, (count, samples, *self.shapes[i]))
        return answer
