"""Rows that are kept: bounded in bytes, least recently used first out.

What one pass gives for a block (i, j) is one *chunk*: the ids of its rows and their values. Chunks
are what the cache holds and drops, and all that has to be right: a table for each block says in
which chunk a row is, and can be made again from them at any time.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple, TypeAlias

import cachetools
import numpy as np

from lazyhess._engines.arrays import Arrays
from lazyhess._engines.protocol import Rows
from lazyhess._indices import Ids, changes, runs, span
from lazyhess._proxy.pages import LOW, PLACE, PageTable

# A chunk is at most this part of the cache, so that dropping one drops little.
SHARE = 8
MOST = 1 << 27


class CacheInfo(NamedTuple):
    """What has been computed and what is kept, for all blocks of one `hessian` call.

    Attributes
    ----------
    products : int
        Hessian-vector products run so far.
    hits, misses : int
        Rows that answers took from what was there, and rows that had to be computed.
    rows : int
        Rows of blocks that are held now.
    currsize, maxsize : int
        Bytes held now, and at the most. Of a cache of your own, in its own units.
    checks : int
        Products of a framework run beside those, to compare them with: see `check` of
        `lazyhess.hessian`.
    """

    products: int
    hits: int
    misses: int
    rows: int
    currsize: float
    maxsize: float
    checks: int = 0


@dataclass
class Chunk:
    """Rows of one block: their ids and values."""

    block: tuple[int, int]
    ids: Ids
    rows: Rows
    nbytes: int
    row: slice | None
    """The `span` of the ids."""


Piece: TypeAlias = tuple[Rows, int, int]
"""Rows of a chunk: from one on, and up to another one."""


@dataclass
class ChunkProjection:
    """Where some of the wanted rows are: row ``at[n]`` of those wanted is ``rows[offset[n]]``."""

    at: Ids
    rows: Rows
    offset: Ids


class Store:
    """Rows of blocks by id, in a cache that this class makes and nobody else changes.

    One thread at a time may be in its methods. After an exception in one of them `repair` makes
    everything right again from the chunks that are there.

    Parameters
    ----------
    maxsize : int
        Bytes.
    arrays : Arrays
        What rows are made of.
    """

    cache: cachetools.Cache[Any, Chunk]

    def __init__(self, maxsize: int, arrays: Arrays) -> None:
        self.arrays = arrays
        self.cache = cachetools.LRUCache(maxsize, getsizeof=_nbytes)
        self._numbers = count(1)  # 0 is no chunk
        self._tables: dict[tuple[int, int], PageTable] = {}

    @property
    def chunk_bytes(self) -> int:
        """Bytes that a chunk has at the most, if it has more than one row."""
        return min(int(self.cache.maxsize / SHARE), MOST)

    def keeps(self, nbytes: int) -> bool:
        """Whether rows of so many bytes could all be kept."""
        return nbytes <= self.cache.maxsize

    # --- the cache --------------------------------------------------------------------------------

    def _get(self, number: int) -> Chunk | None:
        """A chunk, which is used by that."""
        return self.cache.get(number)

    def _row(self, number: int) -> slice | None:
        """The `span` of the ids of a chunk, which is not used by that."""
        chunk: Chunk = cachetools.Cache.__getitem__(self.cache, number)
        return chunk.row

    def _insert(self, number: int, chunk: Chunk) -> bool:
        """Whether the cache takes a chunk, for which it may drop others."""
        cache, nbytes = self.cache, chunk.nbytes
        if nbytes > cache.maxsize:  # returned, not kept
            return False
        while cache.currsize + nbytes > cache.maxsize:
            dropped, old = cache.popitem()
            self._tables[old.block].leave(old.ids, dropped)
        cache[number] = chunk
        return True

    def _gone(self, numbers: list[int]) -> list[int]:
        """Which of some chunks the cache has dropped without a word: it has not."""
        return []

    def chunks(self) -> list[tuple[int, Chunk]]:
        """All that is held, by number."""
        there = []
        for number in list(self.cache):
            chunk = cachetools.Cache.__getitem__(self.cache, number)  # looking is no using
            there.append((number, chunk))
        return there

    # --- rows -------------------------------------------------------------------------------------

    def known(self, i: int, j: int) -> int:
        """How many rows of a block are here, or were when they were last looked for."""
        table = self._tables.get((i, j))
        return 0 if table is None else table.known

    def lacking(self, i: int, j: int, ids: Ids) -> Ids:
        """Which of the wanted rows are not here. Asking does not count as using."""
        table = self._tables.get((i, j))
        if table is None or not table.known or not len(ids):
            return ids
        held = table[ids] >> LOW
        gone = self._gone(_distinct(held))
        missing = held == 0
        for number in gone:
            missing |= held == number
        lacking: Ids = ids[missing]
        return lacking

    def pieces(self, i: int, j: int, start: int, stop: int) -> list[Piece] | None:
        """Some rows in a row, chunk by chunk, where all are here in their order; else None."""
        table = self._tables.get((i, j))
        if table is None or table.known < stop - start:
            return None
        numbers, places = [], []
        while start < stop:
            number = table.at(start)
            row = self._row(number >> LOW) if number else None
            if row is None:
                return None
            # A later chunk may have some of its rows, too: they are the same.
            first = number & PLACE
            last = min(row.stop - row.start, first + stop - start)
            numbers.append(number >> LOW)
            places.append((first, last))
            start += last - first
        # Used only now that all are known to be there.
        chunks = [self._get(number) for number in numbers]
        pieces = [
            (chunk.rows, *place)
            for chunk, place in zip(chunks, places, strict=True)
            if chunk is not None
        ]
        return pieces if len(pieces) == len(chunks) else None

    def whole(self, i: int, j: int, count: int) -> Rows | None:
        """All `count` rows of a block where one chunk has them in their order; else None."""
        table = self._tables.get((i, j))
        number = 0 if table is None or table.known < count else table.at(0) >> LOW
        row = self._row(number) if number else None
        if row is None or row.stop - row.start < count:
            return None
        chunk = self._get(number)
        return None if chunk is None else chunk.rows

    def find(self, i: int, j: int, ids: Ids) -> tuple[Ids, list[ChunkProjection]]:
        """Which of the wanted rows are not here (positions in `ids`), and where the others are."""
        table = self._tables.get((i, j))
        if table is None or not table.known or not len(ids):
            return np.arange(len(ids)), []
        places = table[ids]
        held, offsets = places >> LOW, places & PLACE
        projections, missing = [], []
        for number, at in _by_chunk(held):
            chunk = self._get(number) if number else None
            if chunk is None:  # not here, or dropped since
                missing.append(at)
            else:
                projections.append(ChunkProjection(at, chunk.rows, offsets[at]))
        return np.sort(np.concatenate([np.zeros(0, np.intp), *missing])), projections

    def put(self, i: int, j: int, ids: Ids, rows: Rows) -> None:
        """Keep rows of a block, as far as the cache takes them."""
        if not len(ids) or self.cache.maxsize <= 0:
            return
        nbytes = self.arrays.nbytes(rows) + ids.nbytes
        step = max(1, self.chunk_bytes * len(ids) // nbytes)
        for start in range(0, len(ids), step):
            part = ids[start : start + step] if step < len(ids) else ids
            try:
                held = self.arrays.alone(rows, start, start + len(part))
            except MemoryError:  # what cannot be kept can be returned
                return
            nbytes = part.nbytes + self.arrays.nbytes(held)
            chunk = Chunk((i, j), part, held, nbytes, span(part))
            number = next(self._numbers)
            if self._insert(number, chunk):
                self._enter(number, chunk)

    def _enter(self, number: int, chunk: Chunk) -> None:
        table = self._tables.get(chunk.block)
        if table is None:
            table = self._tables[chunk.block] = PageTable()
        table.enter(chunk.ids, number, chunk.row)

    def clear(self) -> None:
        """Forget all rows."""
        self.cache = cachetools.LRUCache(self.cache.maxsize, getsizeof=_nbytes)
        self._tables = {}

    def look(self) -> None:
        """Forget what the cache has dropped without a word: it has not."""

    def held(self) -> tuple[int, float]:
        """Rows and bytes (or the cache's own units) that are held."""
        self.look()
        return sum([table.known for table in self._tables.values()]), self._currsize()

    def _currsize(self) -> float:
        return self.cache.currsize

    def repair(self) -> None:
        """Make the cache and the tables again, after a change that was interrupted."""
        chunks = self.chunks()
        self.clear()
        for number, chunk in chunks:
            if self._insert(number, chunk):
                self._enter(number, chunk)


# --- numbers --------------------------------------------------------------------------------------


def _distinct(numbers: Ids) -> list[int]:
    """The chunk numbers that occur; 0 is none."""
    ordered = np.sort(numbers)  # np.unique would import numpy.ma at its first call
    distinct: list[int] = ordered[changes(ordered)].tolist()
    return [number for number in distinct if number]


def _by_chunk(held: Ids) -> list[tuple[int, Ids]]:
    """The chunk numbers that occur, 0 among them, and where each does."""
    first = held[0]
    if first == held[-1] and not np.any(held != first):
        return [(int(first), np.arange(len(held)))]
    order, starts, numbers = runs(held)
    return list(zip(numbers.tolist(), np.split(order, starts[1:]), strict=True))


def _nbytes(chunk: Chunk) -> int:
    return chunk.nbytes
