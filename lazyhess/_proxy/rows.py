"""What is asked, minus what is known: the cheaper side is computed, once, and handed on.

One `RowSource` serves all blocks of a `hessian` call. A request names pairs of rows and columns of
a block (i, j). A pair is known if its row of (i, j) is, or, by symmetry, its column as a row of
(j, i); so the fewest products are those of the rows, or of the columns, that are not known.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from lazyhess._engines.arrays import Arrays
from lazyhess._engines.protocol import Engine, Rows
from lazyhess._indices import Array, Ids, Shape, divide
from lazyhess._proxy.chunks import CacheInfo, ChunkProjection, Store


@dataclass(eq=False)
class Flight:
    """Rows of x_i that a thread is computing, for some blocks (i, j)."""

    i: int
    columns: tuple[int, ...]
    ids: Ids
    parts: list[tuple[Ids, dict[int, Rows]]] = field(default_factory=list)
    landed: bool = False


def _flat(ids: Ids, blocks: dict[int, Rows], arrays: Arrays) -> tuple[Ids, dict[int, Rows]]:
    """A pass with one axis of rows."""
    if ids.ndim == 1:
        return ids, blocks
    flat = {k: arrays.reshape(rows, (ids.size, rows.shape[-1])) for k, rows in blocks.items()}
    return ids.reshape(-1), flat


def _stands(rows: Array, buffer: Array, place: int) -> bool:
    """Whether rows are those of a buffer from a place on, in the same memory."""
    target = buffer[..., place:, :]
    return (
        rows.strides == buffer.strides
        and rows.__array_interface__["data"] == target.__array_interface__["data"]
    )


class ChunkWriter:
    """Passes of a flight put together into chunks of a good size.

    Many small arrays that live long between large ones that do not would tear the heap to pieces.
    """

    def __init__(self, source: RowSource, flight: Flight) -> None:
        self.source, self.flight = source, flight
        engine = source.engine
        self.widths = {k: prod(engine.shapes[k]) for k in flight.columns}
        self.dtypes = engine.dtypes
        itemsize = engine.arrays.itemsize(engine.dtypes[flight.i])
        row_bytes = sum(self.widths.values()) * itemsize + 8  # and its id
        self.most = max(1, source.store.chunk_bytes // max(row_bytes, 1))
        self.left = len(flight.ids)
        self.ids: list[Ids] = []
        self.filled = 0
        self.buffers: dict[int, Array] = {}
        self.shared: set[int] = set()  # buffers that the engine fills itself

    def add(self, ids: Ids, blocks: dict[int, Rows]) -> None:
        """Take the rows of one pass."""
        self.source.count(self.flight.i, ids)
        joins = self.source.engine.arrays.joins
        if ids.size == len(self.flight.ids) or not all(map(joins, blocks.values())):
            self.flush()
            self._keep(ids, blocks)
            self.left -= ids.size
            return
        # Of a grid the chunks are filled position by position, along the last axis of the ids.
        start = 0
        while start < ids.shape[-1]:
            if not self.buffers:
                self._begin(ids.shape[:-1], blocks)
            room = next(iter(self.buffers.values())).shape[-2] - self.filled
            part = slice(start, start + room)
            some = ids[..., part]
            stop = self.filled + some.shape[-1]
            for k, buffer in self.buffers.items():
                rows = blocks[k][..., part, :]
                if not _stands(rows, buffer, self.filled):
                    if k in self.shared:
                        buffer = self.buffers[k] = buffer.copy()
                        self.shared.remove(k)
                    buffer[..., self.filled : stop, :] = rows
            self.ids.append(some)
            self.left -= some.size
            start += some.shape[-1]
            self.filled = stop
            if some.shape[-1] == room:
                self.flush()

    def _begin(self, samples: Shape, blocks: dict[int, Rows]) -> None:
        """New buffers; where the engine fills a whole one itself, that."""
        room = max(1, min(self.left, self.most) // prod(samples))
        for k, width in self.widths.items():
            shape, dtype, base = (*samples, room, width), self.dtypes[k], blocks[k].base
            fits = type(base) is np.ndarray and base.shape == shape and base.dtype == dtype
            if fits and _stands(blocks[k], base, 0):
                self.buffers[k] = base
                self.shared.add(k)
            else:
                self.buffers[k] = np.empty(shape, dtype)

    def flush(self) -> None:
        """Hand on what has been put together."""
        if self.filled:
            blocks = {k: buffer[..., : self.filled, :] for k, buffer in self.buffers.items()}
            self._keep(np.concatenate(self.ids, axis=-1), blocks)
        self.ids, self.filled, self.buffers, self.shared = [], 0, {}, set()

    def _keep(self, ids: Ids, blocks: dict[int, Rows]) -> None:
        source, i = self.source, self.flight.i
        ids, blocks = _flat(ids, blocks, source.engine.arrays)
        with source._turn:
            self.flight.parts.append((ids, blocks))
            for k, rows in blocks.items():
                source.store.put(i, k, ids, rows)


class RowSource:
    """The engine, the store, and who computes what, for all blocks of one call.

    Parameters
    ----------
    engine : Engine
        What computes rows.
    cache : int, str, cachetools.Cache or None
        What keeps them.
    again : HessianTree, optional
        What makes the same blocks at another point.
    """

    def __init__(self, engine: Engine, cache: Any, again: Any = None) -> None:
        self.engine = engine
        self.again = again
        self.store = Store(cache, engine.arrays)
        self.products = self.hits = self.misses = 0
        self._flights: list[Flight] = []
        self._turn = threading.Condition()

    def __getstate__(self) -> dict[str, Any]:
        with self._turn:
            state = dict(self.__dict__)
        del state["_turn"]
        return {**state, "_flights": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _turn=threading.Condition())

    def info(self) -> CacheInfo:
        """See `CacheInfo`."""
        with self._turn:
            rows, size = self.store.held()
            return CacheInfo(
                self.products,
                self.hits,
                self.misses,
                rows,
                size,
                self.store.cache.maxsize,
                getattr(self.engine, "checks", 0),
            )

    def clear(self) -> None:
        """Forget all rows and counts."""
        with self._turn:
            self.store.clear()
            self.products = self.hits = self.misses = 0

    def rows_of(self, i: int) -> int:
        """How many rows the blocks (i, *) have, leading axes included."""
        return prod(self.engine.lead) * prod(self.engine.shapes[i])

    def known(self, i: int, j: int) -> int:
        """How many rows of a block are held."""
        with self._turn:
            everything = np.arange(self.rows_of(i))
            return len(everything) - len(self.store.lacking(i, j, everything))

    def lacking(self, i: int, j: int, rows: Ids, columns: Ids) -> int:
        """How many products a request would run."""
        with self._turn:
            return min(self._cost(i, j, rows)[0], self._cost(j, i, columns)[0])

    def gather(self, i: int, j: int, rows: Ids, columns: Ids) -> tuple[bool, list[ChunkProjection]]:
        """Rows of (i, j), or rows of (j, i), that hold every pair of the request.

        Parameters
        ----------
        i, j : int
            The block.
        rows, columns : ndarray of intp
            The ids of its rows, and of its columns as rows of (j, i); sorted, without repeats.

        Returns
        -------
        by_rows : bool
            Whether the projections hold `rows`; else they hold `columns`.
        projections : list of ChunkProjection
            Together every wanted row once.
        """
        while True:
            with self._turn:
                by_rows = self._by_rows(i, j, rows, columns)
                a, b, ids = (i, j, rows) if by_rows else (j, i, columns)
                missing, projections = self.store.find(a, b, ids)
                others = [f for f in self._flights if f.i == a and b in f.columns]
                left = ids[missing]
                for other in others:
                    left = left[~np.isin(left, other.ids)]
                flight = Flight(a, self._columns(a, b, left), left)
                if len(left):
                    self._flights.append(flight)
            if len(left):
                self._fly(flight)
            landed = self._wait(others)
            if not landed and others:
                continue
            with self._turn:
                self.misses += len(left)
                self.hits += len(ids) - len(left)
            wanted = ids[missing]
            for other in (flight, *others):
                for computed, blocks in other.parts:
                    if len(computed) == len(wanted) and bool((computed == wanted).all()):
                        everything = np.arange(len(computed))
                        projections.append(ChunkProjection(missing, blocks[b], everything))
                        continue
                    at = np.searchsorted(wanted, computed)
                    at[at == len(wanted)] = 0
                    offset = np.flatnonzero(wanted[at] == computed) if len(wanted) else at[:0]
                    if len(offset):
                        projections.append(ChunkProjection(missing[at[offset]], blocks[b], offset))
            return by_rows, projections

    def apply(self, j: int, tangents: Any, i: int) -> Any:
        """Products of x_j, seen by x_i; counted, not kept."""
        products: Any = self.engine.apply(j, tangents, (i,))[i]
        with self._turn:
            self.products += len(tangents)
        return products

    def count(self, i: int, ids: Ids) -> None:
        """Count the products of one pass."""
        products = self.engine.products(i, ids) if ids.ndim == 1 else ids.shape[1]
        with self._turn:
            self.products += products

    def nonzeros(self, i: int, j: int) -> tuple[Ids, Ids, Ids, Array]:
        """Lead, row, column and value of all elements of a block that are not zero."""
        size = prod(self.engine.shapes[i])
        arrays = self.engine.arrays
        with self._turn:
            missing, projections = self.store.find(i, j, np.arange(self.rows_of(i)))
        # Ids of rows, and row, column and value of what is not zero in those.
        parts = [
            (part.at, *arrays.nonzeros(arrays.take(part.rows, part.offset, 0)))
            for part in projections
        ]
        for ids, blocks in self.engine.rows(i, missing, (j,)) if len(missing) else ():
            self.count(i, ids)
            ids, blocks = _flat(ids, blocks, arrays)
            parts.append((ids, *arrays.nonzeros(blocks[j])))
        if not parts:
            none = np.zeros(0, np.intp)
            return none, none, none, arrays.zeros((0,), self.engine.dtypes[i])
        column = np.concatenate([part[2] for part in parts])
        value = arrays.concatenate([part[3] for part in parts])
        row = np.empty(len(column), np.intp)
        start, last = 0, -1
        in_order = True
        for at, offset, *_ in parts:
            stop = start + len(offset)
            straight = bool((at[1:] > at[:-1]).all())
            in_order = in_order and last < at[0] and straight
            last = at[-1]
            if straight and last - at[0] == len(at) - 1:
                np.add(offset, at[0], out=row[start:stop])
            else:
                row[start:stop] = at[offset]
            start = stop
        if not in_order:
            order = np.argsort(row, kind="stable")
            row, column, value = row[order], column[order], arrays.take(value, order, 0)
        if not self.engine.lead:
            return row[:0], row, column, value
        lead, row = divide(row, size)
        return lead, row, column, value

    def _by_rows(self, i: int, j: int, rows: Ids, columns: Ids) -> bool:
        """Whether the rows are the cheaper side, what is being computed counted as known."""
        row_cost, column_cost = self._cost(i, j, rows), self._cost(j, i, columns)
        return row_cost <= column_cost

    def _cost(self, i: int, j: int, ids: Ids) -> tuple[int, int]:
        """Products, and rows, that are neither known nor being computed."""
        lacking = self.store.lacking(i, j, ids)
        for flight in self._flights:
            if flight.i == i and j in flight.columns:
                lacking = lacking[~np.isin(lacking, flight.ids)]
        return (self.engine.products(i, lacking) if len(lacking) else 0), len(lacking)

    def _columns(self, i: int, j: int, ids: Ids) -> tuple[int, ...]:
        """The blocks (i, *) that come along: all that is not known, if it can be kept."""
        sizes = [prod(shape) for shape in self.engine.shapes]
        bytes_each = sum(sizes) * self.engine.arrays.itemsize(self.engine.dtypes[i])
        if len(sizes) == 1 or not self.store.keeps(len(ids) * bytes_each):
            return (j,)
        return tuple(k for k in range(len(sizes)) if k == j or self._wanted(i, k, ids))

    def _wanted(self, i: int, k: int, ids: Ids) -> bool:
        """Whether a block that was not asked for lacks some of these rows, on both sides."""
        return bool(self._cost(i, k, ids)[1]) and bool(
            self._cost(k, i, np.arange(self.rows_of(k)))[1]
        )

    def _fly(self, flight: Flight) -> None:
        """Compute rows outside the lock; what is done is kept, and counted, even if more fails."""
        writer = ChunkWriter(self, flight)
        try:
            for ids, blocks in self.engine.rows(flight.i, flight.ids, flight.columns):
                writer.add(ids, blocks)
            flight.landed = True
        finally:
            writer.flush()
            with self._turn:
                self._flights.remove(flight)
                self._turn.notify_all()

    def _wait(self, others: Sequence[Flight]) -> bool:
        """Wait until other threads are done with rows wanted here; whether all of them were."""
        with self._turn:
            self._turn.wait_for(lambda: not any(flight in self._flights for flight in others))
        return all(flight.landed for flight in others)
