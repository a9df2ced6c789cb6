"""What is asked, minus what is known: the cheaper side is computed, once, and handed on.

One `Core` serves all blocks of a `hessian` call. A request names pairs of rows and columns of a
block (i, j). A pair is known if its row of (i, j) is, or, by symmetry, its column as a row of
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
from lazyhess._indices import Array, Ids, divide
from lazyhess._proxy.chunks import CacheInfo, ChunkProjection, Store


@dataclass(eq=False)
class Flight:
    """Rows of x_i that a thread is computing, for some blocks (i, j)."""

    i: int
    columns: tuple[int, ...]
    ids: Ids
    parts: list[tuple[Ids, dict[int, Any]]] = field(default_factory=list)
    landed: bool = False


def _flat(done: Ids, made: dict[int, Rows], arrays: Arrays) -> tuple[Ids, dict[int, Rows]]:
    """A pass with one axis of rows."""
    if done.ndim == 1:
        return done, made
    flat = {k: arrays.reshape(rows, (done.size, rows.shape[-1])) for k, rows in made.items()}
    return done.reshape(-1), flat


def _stands(rows: Array, buffer: Array, place: int) -> bool:
    """Whether rows are those of a buffer from a place on, in the same memory."""
    target = buffer[..., place:, :]
    return (
        rows.strides == buffer.strides
        and rows.__array_interface__["data"] == target.__array_interface__["data"]
    )


class Shelf:
    """Passes of a flight put together into chunks of a good size.

    Many small arrays that live long between large ones that do not would tear the heap to pieces.
    """

    def __init__(self, core: Core, flight: Flight) -> None:
        self.core, self.flight = core, flight
        engine = core.engine
        self.widths = {k: prod(engine.shapes[k]) for k in flight.columns}
        self.dtypes = engine.dtypes
        row = (
            sum(self.widths.values()) * engine.arrays.itemsize(engine.dtypes[flight.i]) + 8
        )  # and its id
        self.most = max(1, core.store.chunk_bytes // max(row, 1))
        self.left = len(flight.ids)
        self.ids: list[Ids] = []
        self.held = 0
        self.buffers: dict[int, Array] = {}

    def add(self, done: Ids, made: dict[int, Rows]) -> None:
        """Take the rows of one pass."""
        count = self.core.engine.products(self.flight.i, done) if done.ndim == 1 else done.shape[1]
        with self.core._turn:
            self.core.products += count
        joins = self.core.engine.arrays.joins
        if done.size == len(self.flight.ids) or not all(map(joins, made.values())):
            self.flush()
            self._keep(done, made)
            self.left -= done.size
            return
        # Of a grid the chunks are filled position by position, along the last axis of the ids.
        samples, total = prod(done.shape[:-1]), done.shape[-1]
        start = 0
        while start < total:
            if not self.buffers:
                room = max(1, min(self.left, self.most) // samples)
                for k, n in self.widths.items():
                    shape, base = (*done.shape[:-1], room, n), made[k].base
                    fits = type(base) is np.ndarray and base.shape == shape
                    if fits and base.dtype == self.dtypes[k] and _stands(made[k], base, 0):
                        self.buffers[k] = base  # which the engine fills itself
                    else:
                        self.buffers[k] = np.empty(shape, self.dtypes[k])
            room = next(iter(self.buffers.values())).shape[-2] - self.held
            part = slice(start, start + room)
            ids = done[..., part]
            count = ids.shape[-1]
            for k, buffer in self.buffers.items():
                rows = made[k][..., part, :]
                if not _stands(rows, buffer, self.held):
                    if buffer is made[k].base:
                        buffer = self.buffers[k] = buffer.copy()
                    buffer[..., self.held : self.held + count, :] = rows
            self.ids.append(ids)
            self.held += count
            self.left -= ids.size
            start += count
            if count == room:
                self.flush()

    def flush(self) -> None:
        """Hand on what has been put together."""
        if self.held:
            self._keep(
                np.concatenate(self.ids, axis=-1),
                {k: b[..., : self.held, :] for k, b in self.buffers.items()},
            )
        self.ids, self.held, self.buffers = [], 0, {}

    def _keep(self, done: Ids, made: dict[int, Rows]) -> None:
        core, i = self.core, self.flight.i
        done, made = _flat(done, made, core.engine.arrays)
        with core._turn:
            self.flight.parts.append((done, made))
            for k, rows in made.items():
                core.store.put(i, k, done, rows)


class Core:
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
                self.products, self.hits, self.misses, rows, size, self.store.cache.maxsize
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
                mine = ids[missing]
                for flight in others:
                    mine = mine[~np.isin(mine, flight.ids)]
                own = Flight(a, self._columns(a, b, mine), mine)
                if len(mine):
                    self._flights.append(own)
            if len(mine):
                self._fly(own)
            landed = self._wait(others)
            if not landed and others:
                continue
            with self._turn:
                self.misses += len(mine)
                self.hits += len(ids) - len(mine)
            wanted = ids[missing]
            for flight in (own, *others):
                for done, made in flight.parts:
                    if len(done) == len(wanted) and bool((done == wanted).all()):
                        projections.append(ChunkProjection(missing, made[b], np.arange(len(done))))
                        continue
                    at = np.searchsorted(wanted, done)
                    at[at == len(wanted)] = 0
                    offset = np.flatnonzero(wanted[at] == done) if len(wanted) else at[:0]
                    if len(offset):
                        projections.append(ChunkProjection(missing[at[offset]], made[b], offset))
            return by_rows, projections

    def apply(self, j: int, tangents: Any, i: int) -> Any:
        """Products of x_j, seen by x_i; counted, not kept."""
        made: Any = self.engine.apply(j, tangents, (i,))[i]
        with self._turn:
            self.products += len(tangents)
        return made

    def nonzeros(self, i: int, j: int) -> tuple[Ids, Ids, Ids, Array]:
        """Lead, row, column and value of all elements of a block that are not zero."""
        size = prod(self.engine.shapes[i])
        arrays = self.engine.arrays
        with self._turn:
            missing, projections = self.store.find(i, j, np.arange(self.rows_of(i)))
        found = [
            (part.at, *arrays.nonzeros(arrays.take(part.rows, part.offset, 0)))
            for part in projections
        ]
        for done, made in self.engine.rows(i, missing, (j,)) if len(missing) else ():
            count = self.engine.products(i, done) if done.ndim == 1 else done.shape[1]
            with self._turn:
                self.products += count
            done, made = _flat(done, made, arrays)
            found.append((done, *arrays.nonzeros(made[j])))
        if not found:
            none = np.zeros(0, np.intp)
            return none, none, none, arrays.zeros((0,), self.engine.dtypes[i])
        column = np.concatenate([part[2] for part in found])
        value = arrays.concatenate([part[3] for part in found])
        row = np.empty(len(column), np.intp)
        start, last = 0, -1
        in_order = True
        for at, offset, *_ in found:
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
        shelf = Shelf(self, flight)
        try:
            for done, made in self.engine.rows(flight.i, flight.ids, flight.columns):
                shelf.add(done, made)
            flight.landed = True
        finally:
            shelf.flush()
            with self._turn:
                self._flights.remove(flight)
                self._turn.notify_all()

    def _wait(self, others: Sequence[Flight]) -> bool:
        """Wait until other threads are done with rows wanted here; whether all of them were."""
        with self._turn:
            self._turn.wait_for(lambda: not any(flight in self._flights for flight in others))
        return all(flight.landed for flight in others)
