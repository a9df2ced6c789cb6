"""What is asked, minus what is known: the cheaper side is computed, once, and handed on.

One `RowSource` serves all blocks of a `hessian` call. A request names pairs of rows and columns of
a block (i, j). A pair is known if its row of (i, j) is, or, by symmetry, its column as a row of
(j, i); so the fewest products are those of the rows, or of the columns, that are not known.
"""

from __future__ import annotations

import threading
from math import prod
from pickle import UnpicklingError
from typing import Any, NamedTuple

import numpy as np

from lazyhess._engines.protocol import Engine, Rows
from lazyhess._indices import Array, Ids, divide
from lazyhess._locks import Shared, exclusive
from lazyhess._proxy.chunks import CacheInfo, ChunkProjection, Piece, Store
from lazyhess._proxy.flights import ChunkWriter, Flight, flat, products_of
from lazyhess._proxy.shared import SharedStore, store_of

# The pickles that this version reads.
FORMAT = 2


class Plan(NamedTuple):
    """What a request has to do.

    Attributes
    ----------
    by_rows : bool
        Whether it is answered by rows of (i, j); else by those of (j, i).
    block : tuple of int
        The one of them.
    ids, missing : ndarray of intp
        The rows, and which of them (positions in `ids`) are not in the store.
    projections : list of ChunkProjection
        Where the others are.
    flight : Flight or None
        What is to be computed for it.
    others : list of Flight
        Flights of other threads that compute some of the rest.
    """

    by_rows: bool
    block: tuple[int, int]
    ids: Ids
    missing: Ids
    projections: list[ChunkProjection]
    flight: Flight | None
    others: list[Flight]


class RowSource(Shared):
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
        super().__init__()
        self.engine = engine
        self.again = again
        self.store: Store = store_of(cache, engine.arrays)
        self.products = self.hits = self.misses = 0
        self._flights: tuple[Flight, ...] = ()  # that are not over
        self._row_numbers: dict[Any, Array] = {}  # see `views`

    # --- copies -----------------------------------------------------------------------------------

    def __reduce__(self) -> tuple[Any, ...]:
        # The format is checked before anything else is read.
        return _blank, (FORMAT,), self._snapshot()

    @exclusive
    def _snapshot(self) -> dict[str, Any]:
        """The state for a copy; rows that are being computed are left out."""
        store = self.store
        return {
            "engine": self.engine,
            "again": self.again,
            "cache": store.stand_in if isinstance(store, SharedStore) else store.cache.maxsize,
            "chunks": [(*chunk.block, chunk.ids, chunk.rows) for _, chunk in store.chunks()],
            "counts": (self.products, self.hits, self.misses),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        RowSource.__init__(self, state["engine"], state["cache"], state["again"])
        for i, j, ids, rows in state["chunks"]:
            self.store.put(i, j, ids, rows)
        self.products, self.hits, self.misses = state["counts"]

    def repair(self) -> None:
        """Make the store right again, after a change that was interrupted."""
        self.store.repair()

    def forked(self) -> None:
        """Forget the flights of threads that a forked child does not have."""
        mine = threading.get_ident()
        flights, self._flights = self._flights, ()
        for flight in flights:
            if flight.owner == mine:
                self._flights += (flight,)
            else:
                flight.land()

    # --- what is known ----------------------------------------------------------------------------

    @exclusive
    def info(self) -> CacheInfo:
        """See `CacheInfo`."""
        rows, size = self.store.held()
        return CacheInfo(
            self.products,
            self.hits,
            self.misses,
            rows,
            size,
            self.store.cache.maxsize,
            self.engine.checks,
        )

    @exclusive
    def clear(self) -> None:
        """Forget all rows and counts."""
        self.store.clear()
        self._row_numbers = {}
        self.products = self.hits = self.misses = 0

    def rows_of(self, i: int) -> int:
        """How many rows the blocks (i, *) have, leading axes included."""
        return prod(self.engine.lead) * prod(self.engine.shapes[i])

    @exclusive
    def known(self, i: int, j: int) -> int:
        """How many rows of a block are held."""
        self.store.look()
        return self.store.known(i, j)

    @exclusive
    def lacking(self, i: int, j: int, rows: Ids, columns: Ids) -> int:
        """How many products a request would run."""
        return min(self._cost(i, j, rows)[0], self._cost(j, i, columns)[0])

    def pieces(self, i: int, j: int, start: int, stop: int) -> list[Piece] | None:
        """Rows ``start`` to ``stop`` of a block, where all are here in their order; else None.

        They are no hits yet.
        """
        if self.store.known(i, j) < stop - start:  # by a look that may be out of date
            return None
        return self._pieces(i, j, start, stop)

    @exclusive
    def _pieces(self, i: int, j: int, start: int, stop: int) -> list[Piece] | None:
        return self.store.pieces(i, j, start, stop)

    def whole(self, i: int, j: int) -> Rows | None:
        """All rows of a block, where one chunk has them in their order; else None. No hits yet."""
        count = self.rows_of(i)
        return self._whole(i, j, count) if self.store.known(i, j) >= count else None

    @exclusive
    def _whole(self, i: int, j: int, count: int) -> Rows | None:
        return self.store.whole(i, j, count)

    def views(
        self, rows: Array, block: tuple[int, int], held: tuple[int, int], transposed: bool
    ) -> tuple[Array, Array]:
        """A block that is held as one array of rows, as it looks, and the row of each element.

        Parameters
        ----------
        rows : ndarray
            All rows of the block `held`.
        block, held : tuple of int
            The same block, or (j, i) for (i, j).
        transposed : bool
            Whether it looks with all axes reversed.
        """
        engine, (a, b) = self.engine, held
        lead, of_a, of_b = len(engine.lead), engine.shapes[a], engine.shapes[b]
        axes = [*range(lead + len(of_a) + len(of_b))]
        if block != held:
            axes[lead:] = axes[lead + len(of_a) :] + axes[lead : lead + len(of_a)]
        if transposed:
            axes.reverse()
        whole = rows.reshape(engine.lead + of_a + of_b).transpose(axes)
        number = self._row_numbers.get((block, held, transposed))
        if number is None:
            number = np.arange(len(rows)).reshape(engine.lead + of_a + (1,) * len(of_b))
            number = np.broadcast_to(number, engine.lead + of_a + of_b).transpose(axes)
            self._row_numbers[block, held, transposed] = number
        return whole, number

    @exclusive
    def hit(self, count: int) -> None:
        """Count rows that an answer took from what is there."""
        self.hits += count

    @exclusive
    def _found(self, i: int, j: int, ids: Ids) -> tuple[Ids, list[ChunkProjection]]:
        return self.store.find(i, j, ids)

    # --- requests ---------------------------------------------------------------------------------

    def gather(
        self, i: int, j: int, rows: Ids, columns: Ids, *, alone: bool = False
    ) -> tuple[bool, list[ChunkProjection]]:
        """Rows of (i, j), or rows of (j, i), that hold every pair of the request.

        Parameters
        ----------
        i, j : int
            The block.
        rows, columns : ndarray of intp
            The ids of its rows, and of its columns as rows of (j, i); sorted, without repeats.
        alone : bool
            Whether no further block may come along.

        Returns
        -------
        by_rows : bool
            Whether the projections hold `rows`; else they hold `columns`.
        projections : list of ChunkProjection
            Together every wanted row once.
        """
        while True:
            # An exception may come between any two lines, in a `finally` too: so there are two.
            taken_off: list[Flight] = []
            try:
                try:
                    plan = self._plan(i, j, rows, columns, alone, taken_off)
                    if plan.flight is not None:
                        self._fly(plan.flight)
                finally:
                    self._land(taken_off)
            finally:
                if taken_off:
                    self._land(taken_off)
            if not len(plan.missing):
                return plan.by_rows, plan.projections
            for other in plan.others:
                other.wait()
            if all(other.complete for other in plan.others) and self._answered(plan):
                return plan.by_rows, plan.projections

    @exclusive
    def _plan(
        self, i: int, j: int, rows: Ids, columns: Ids, alone: bool, taken_off: list[Flight]
    ) -> Plan:
        """What to do for a request. What nobody computes is given to a flight, which is listed."""
        by_rows = self._by_rows(i, j, rows, columns)
        a, b, ids = (i, j, rows) if by_rows else (j, i, columns)
        missing, projections = self.store.find(a, b, ids)
        left = ids if len(missing) == len(ids) else ids[missing]
        others = []
        for other, computed in self._flying(a, b):
            theirs = np.isin(left, computed)
            if theirs.any():
                others.append(other)
                left = left[~theirs]
        flight = None
        if len(left):
            flight = Flight(a, b, left, {} if alone else self._along(a, b, left))
            taken_off.append(flight)
            self._flights += (flight,)
        if not len(missing):
            self.hits += len(ids)
        return Plan(by_rows, (a, b), ids, missing, projections, flight, others)

    def _fly(self, flight: Flight) -> None:
        """Compute rows outside the lock; what is done is kept, and counted, even if more fails."""
        for part, columns in flight.groups():
            writer = ChunkWriter(
                flight,
                part,
                columns,
                self.engine,
                self.store.chunk_bytes,
                self._keep,
                self.count,
            )
            try:
                for ids, blocks in self.engine.rows(flight.i, part, columns):
                    writer.add(ids, blocks)
            finally:
                writer.flush()
        flight.complete = True

    def _land(self, taken_off: list[Flight]) -> None:
        """End the flights that are listed, and take them off the list."""
        if taken_off:
            (flight,) = taken_off
            self._taken_off(flight)
            flight.land()
            taken_off.clear()

    @exclusive
    def _taken_off(self, flight: Flight) -> None:
        self._flights = tuple([other for other in self._flights if other is not flight])

    @exclusive
    def _keep(self, flight: Flight, ids: Ids, blocks: dict[int, Rows], products: int) -> None:
        """Keep what a flight has computed, and count products."""
        self.products += products
        flight.parts.append((ids, blocks))
        for k, rows in blocks.items():
            self.store.put(flight.i, k, ids, rows)

    def _answered(self, plan: Plan) -> bool:
        """Whether all rows are there now; they are added to the projections, and counted."""
        ids, missing, flight = plan.ids, plan.missing, plan.flight
        _, b = plan.block
        wanted = ids if len(missing) == len(ids) else ids[missing]
        if flight is not None and len(flight.parts) == 1 and flight.parts[0][0] is wanted:
            ((_, blocks),) = flight.parts
            plan.projections.append(ChunkProjection(missing, blocks[b], np.arange(len(wanted))))
            self._tally(len(ids), len(wanted))
            return True
        lacks = np.ones(len(wanted), np.bool_)
        for other in plan.others if flight is None else (flight, *plan.others):
            for computed, blocks in other.parts:
                if b not in blocks:
                    continue
                at, offset = _places(wanted, computed)
                new = lacks[at]
                if not new.all():  # several flights may have computed it
                    at, offset = at[new], offset[new]
                if len(at):
                    lacks[at] = False
                    plan.projections.append(ChunkProjection(missing[at], blocks[b], offset))
        if lacks.any():
            if flight is not None and np.isin(wanted[lacks], flight.ids).any():
                raise RuntimeError(f"the engine left out rows of x_{flight.i} that were asked for")
            return False
        self._tally(len(ids), 0 if flight is None else len(flight.ids))
        return True

    @exclusive
    def _tally(self, asked: int, computed: int) -> None:
        self.misses += computed
        self.hits += asked - computed

    def apply(self, j: int, tangents: Any, i: int) -> Any:
        """Products of x_j, seen by x_i; counted, not kept."""
        products: Any = self.engine.apply(j, tangents, (i,))[i]
        self.count(len(tangents))
        return products

    @exclusive
    def count(self, products: int) -> None:
        """Count products."""
        self.products += products

    def nonzeros(self, i: int, j: int) -> tuple[Ids, Ids, Ids, Array]:
        """Lead, row, column and value of all elements of a block that are not zero."""
        size = prod(self.engine.shapes[i])
        arrays = self.engine.arrays
        missing, projections = self._found(i, j, np.arange(self.rows_of(i)))
        # Ids of rows, and row, column and value of what is not zero in those.
        parts = [
            (part.at, *arrays.nonzeros(arrays.take(part.rows, part.offset, 0)))
            for part in projections
        ]
        for ids, blocks in self.engine.rows(i, missing, (j,)) if len(missing) else ():
            self.count(products_of(self.engine, i, ids))
            ids, blocks = flat(ids, blocks, arrays)
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

    # --- the cheaper side -------------------------------------------------------------------------

    def _by_rows(self, i: int, j: int, rows: Ids, columns: Ids) -> bool:
        """Whether the rows are the cheaper side, what is being computed counted as known."""
        # The smaller side first: it is often cheaper than the other one can be.
        if len(rows) <= len(columns):
            cost = self._cost(i, j, rows)
            return cost <= self._least(j, i, len(columns)) or cost <= self._cost(j, i, columns)
        cost = self._cost(j, i, columns)
        return cost >= self._least(i, j, len(rows)) and cost >= self._cost(i, j, rows)

    def _cost(self, i: int, j: int, ids: Ids) -> tuple[int, int]:
        """Products, and rows, that are neither known nor being computed."""
        lacking = self.store.lacking(i, j, ids)
        for _, computed in self._flying(i, j):
            lacking = lacking[~np.isin(lacking, computed)]
        return (self.engine.products(i, lacking) if len(lacking) else 0), len(lacking)

    def _least(self, i: int, j: int, count: int) -> tuple[int, int]:
        """What so many rows cost at the least, whichever they are."""
        flying = sum([len(computed) for _, computed in self._flying(i, j)])
        lacking = max(0, count - self.store.known(i, j) - flying)
        return -(-lacking // max(prod(self.engine.lead), 1)), lacking

    def _flying(self, i: int, j: int) -> list[tuple[Flight, Ids]]:
        """Flights of other threads that compute rows of a block, and which."""
        if not self._flights:
            return []
        me = threading.get_ident()  # a function that is differentiated may ask, and cannot wait
        return [
            (flight, flight.wanted[j])
            for flight in self._flights
            if flight.i == i and j in flight.wanted and flight.owner != me
        ]

    def _along(self, i: int, j: int, ids: Ids) -> dict[int, Ids]:
        """Which rows come along for blocks (i, k): those that nobody has, if all is kept."""
        engine = self.engine
        along: dict[int, Ids] = {}
        elements = len(ids) * prod(engine.shapes[j])
        for k in engine.along(i, j):
            count = self.rows_of(k)
            if not self._least(k, i, count)[1] and not self._cost(k, i, np.arange(count))[1]:
                continue  # all its columns are known
            lacking = self.store.lacking(i, k, ids)
            for _, computed in self._flying(i, k):
                lacking = lacking[~np.isin(lacking, computed)]
            if len(lacking):
                along[k] = lacking
                elements += len(lacking) * prod(engine.shapes[k])
        keeps = self.store.keeps(elements * engine.arrays.itemsize(engine.dtypes[i]))
        return along if keeps else {}


def _blank(version: int) -> RowSource:
    """A source for the state that is read next, if it is one of this version."""
    if version != FORMAT:
        raise UnpicklingError(
            f"this Hessian was pickled by another version of lazyhess (format {version}; this "
            f"one reads {FORMAT}): make it again with lazyhess.hessian"
        )
    return RowSource.__new__(RowSource)


def _places(wanted: Ids, computed: Ids) -> tuple[Ids, Ids]:
    """Where in `wanted`, which is sorted, some of the computed ids are, and which those are."""
    at = np.searchsorted(wanted, computed)
    at[at == len(wanted)] = 0
    offset = np.flatnonzero(wanted[at] == computed) if len(wanted) else at[:0]
    return at[offset], offset
