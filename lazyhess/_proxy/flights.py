"""Rows that a thread is computing, and how its passes are put together into chunks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from math import prod

import numpy as np

from lazyhess._engines.arrays import Arrays
from lazyhess._engines.protocol import Engine, Rows
from lazyhess._indices import Array, Ids, Shape

# Seconds after which whoever waits for a flight looks whether it is over, whatever woke nobody.
_LOOK = 0.05


class Flight:
    """Rows of x_i that a thread is computing, for a block (i, j) and those that come along.

    Parameters
    ----------
    i, j : int
        The block that was asked for.
    ids : ndarray of intp
        Its rows; sorted, without repeats.
    along : dict of int -> ndarray of intp
        For further blocks (i, k) which of these rows are computed for them, too.

    Attributes
    ----------
    parts : list of (ids, dict of int -> rows)
        What has been computed.
    complete : bool
        Whether that is all.
    over : bool
        Whether nobody computes any more.
    """

    __slots__ = ("_gate", "complete", "i", "ids", "over", "owner", "parts", "wanted")

    def __init__(self, i: int, j: int, ids: Ids, along: dict[int, Ids]) -> None:
        self.i, self.ids = i, ids
        self.wanted = {j: ids, **along}
        self.parts: list[tuple[Ids, dict[int, Rows]]] = []
        self.complete = self.over = False
        self.owner = threading.get_ident()
        self._gate = threading.Lock()
        self._gate.acquire()

    def groups(self) -> list[tuple[Ids, tuple[int, ...]]]:
        """Rows that are computed for the same blocks, and which those are."""
        if all(len(ids) == len(self.ids) for ids in self.wanted.values()):  # nearly always
            return [(self.ids, tuple(sorted(self.wanted)))]
        groups: list[tuple[Ids, tuple[int, ...]]] = [(self.ids, ())]
        for k in sorted(self.wanted):
            parts, groups = groups, []
            for ids, columns in parts:
                there = np.isin(ids, self.wanted[k])
                if there.any():
                    groups.append((ids if there.all() else ids[there], (*columns, k)))
                if not there.all():
                    groups.append((ids[~there], columns))
        return groups

    def land(self) -> None:
        """Let everybody know that it is over."""
        if not self.over:
            self.over = True
            self._gate.release()

    def wait(self) -> None:
        """Wait until it is over."""
        while not self.over:
            if self._gate.acquire(timeout=_LOOK):
                self._gate.release()


def flat(ids: Ids, blocks: dict[int, Rows], arrays: Arrays) -> tuple[Ids, dict[int, Rows]]:
    """A pass with one axis of rows."""
    if ids.ndim == 1:
        return ids, blocks
    flat = {k: arrays.reshape(rows, (ids.size, rows.shape[-1])) for k, rows in blocks.items()}
    return ids.reshape(-1), flat


def products_of(engine: Engine, i: int, ids: Ids) -> int:
    """How many products a pass was that gave some rows."""
    return engine.products(i, ids) if ids.ndim == 1 else ids.shape[1]


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

    Parameters
    ----------
    flight : Flight
        What is being computed.
    ids : ndarray of intp
        The rows of it that are put together here, for the blocks of some columns.
    columns : tuple of int
        Those.
    engine : Engine
        What computes it.
    chunk_bytes : int
        Bytes of a chunk at the most.
    keep : callable
        Takes the ids and rows of a chunk, and the products that it took and are not counted yet.
    count : callable
        Counts products.
    """

    def __init__(
        self,
        flight: Flight,
        ids: Ids,
        columns: tuple[int, ...],
        engine: Engine,
        chunk_bytes: int,
        keep: Callable[[Flight, Ids, dict[int, Rows], int], None],
        count: Callable[[int], None],
    ) -> None:
        self.flight, self.engine, self.chunk_bytes = flight, engine, chunk_bytes
        self.keep, self.count = keep, count
        self.columns = columns
        self.asked = self.left = len(ids)
        self.ids: list[Ids] = []
        self.filled = 0
        self.buffers: dict[int, Array] = {}
        self.shared: set[int] = set()  # buffers that the engine fills itself

    def add(self, ids: Ids, blocks: dict[int, Rows]) -> None:
        """Take the rows of one pass."""
        flight, joins = self.flight, self.engine.arrays.joins
        products = products_of(self.engine, flight.i, ids)
        if ids.size == self.asked or not all(map(joins, blocks.values())):
            self.flush()
            self.keep(flight, *flat(ids, blocks, self.engine.arrays), products)
            self.left -= ids.size
            return
        self.count(products)
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
        engine = self.engine
        widths = {k: prod(engine.shapes[k]) for k in self.columns}
        itemsize = engine.arrays.itemsize(engine.dtypes[self.flight.i])
        row_bytes = sum(widths.values()) * itemsize + 8  # and its id
        most = max(1, self.chunk_bytes // row_bytes)
        room = max(1, min(self.left, most) // prod(samples))
        for k, width in widths.items():
            shape, dtype, base = (*samples, room, width), blocks[k].dtype, blocks[k].base
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
            ids = np.concatenate(self.ids, axis=-1)[..., : self.filled]
            self.keep(self.flight, *flat(ids, blocks, self.engine.arrays), 0)
        self.filled = 0
        self.ids, self.buffers, self.shared = [], {}, set()
