"""Rows that are kept: bounded in bytes, least recently used first out.

What one pass gives for a block (i, j) is one *chunk*: the ids of its rows and their values. Chunks
are what the cache holds and drops, and all that has to be right: a table for each block says in
which chunk a row is, and can be made again from them at any time.
"""

from __future__ import annotations

import copy
import io
import os
import pickle
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, NamedTuple, TypeAlias

import cachetools
import numpy as np

from lazyhess._engines.arrays import Arrays
from lazyhess._engines.protocol import Rows
from lazyhess._indices import Ids, changes, runs, span
from lazyhess._locks import lock, under
from lazyhess._sizes import parse_bytes

DEFAULT_CACHE = "1GiB"
_DEFAULT = parse_bytes(DEFAULT_CACHE, "cache", "")
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


class PageTable:
    """For every row of a block its chunk and its place there, as one number; 0 where it has none.

    Only the parts that were touched take memory.

    Attributes
    ----------
    known : int
        Rows that have a chunk.
    """

    def __init__(self) -> None:
        self._pages: dict[int, Ids] = {}
        self.known = 0

    def at(self, row: int) -> int:
        """The number of one row."""
        page = self._pages.get(row >> _BITS)
        return 0 if page is None else int(page[row & _PAGE - 1])

    def __getitem__(self, ids: Ids) -> Ids:
        numbers = np.zeros(len(ids), np.intp)
        for page, part, places in _pages(ids, span(ids)):
            if page in self._pages:
                numbers[part] = self._pages[page][places]
        return numbers

    def enter(self, ids: Ids, chunk: int, row: slice | None) -> None:
        """Set the rows of a new chunk, with the `span` of their ids."""
        numbers = np.arange(chunk << _LOW, (chunk << _LOW) + len(ids))
        if row is None and (ids[1:] <= ids[:-1]).any():
            order = np.argsort(ids, kind="stable")
            ids, numbers = ids[order], numbers[order]
        for page, part, places in _pages(ids, row):
            if page not in self._pages:
                self._pages[page] = np.zeros(_PAGE, np.intp)
            held = self._pages[page][places]
            self.known += held.size - int(np.count_nonzero(held))
            self._pages[page][places] = numbers[part]

    def leave(self, ids: Ids, chunk: int) -> None:
        """Forget the rows of a chunk, where no later one has them."""
        row = span(ids)
        ids = ids if row is not None else np.sort(ids)
        for page, _, places in _pages(ids, row):
            held = self._pages[page][places]
            mine = held >> _LOW == chunk
            self.known -= int(np.count_nonzero(mine))
            self._pages[page][places] = np.where(mine, 0, held)


_BITS = 12
_PAGE = 1 << _BITS
# Of the number of a row, the bits that are its place in the chunk.
_LOW = 31
_PLACE = (1 << _LOW) - 1


def _pages(ids: Ids, row: slice | None) -> Iterator[tuple[int, slice, Ids | slice]]:
    """The pages that sorted ids are on, which of the ids are on each, and where there.

    `row` is the `span` of the ids.
    """
    if row is not None:
        for page in range(row.start >> _BITS, (row.stop - 1 >> _BITS) + 1):
            first, last = page << _BITS, page + 1 << _BITS
            first, last = max(first, row.start), min(last, row.stop)
            low = first & (_PAGE - 1)
            yield page, slice(first - row.start, last - row.start), slice(low, low + last - first)
        return
    pages = ids >> _BITS
    starts = np.flatnonzero(changes(pages)).tolist()
    for start, stop in zip(starts, [*starts[1:], len(ids)], strict=True):
        yield int(pages[start]), slice(start, stop), ids[start:stop] & (_PAGE - 1)


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
        held = table[ids] >> _LOW
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
            row = self._row(number >> _LOW) if number else None
            if row is None:
                return None
            # A later chunk may have some of its rows, too: they are the same.
            first = number & _PLACE
            last = min(row.stop - row.start, first + stop - start)
            numbers.append(number >> _LOW)
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
        number = 0 if table is None or table.known < count else table.at(0) >> _LOW
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
        held, offsets = places >> _LOW, places & _PLACE
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


class SharedStore(Store):
    """Rows in a cache of the user's, which may be shared, and may drop anything at any time.

    Parameters
    ----------
    cache : cachetools.Cache
        Its sizes are in its own units.
    """

    def __init__(self, cache: cachetools.Cache[Any, Any], arrays: Arrays) -> None:
        super().__init__(0, arrays)
        self.cache = cache
        self.stand_in = _stand_in(cache)
        # Keys of this store alone, in every process and copy.
        self.token = f"{_OURS}{os.urandom(12).hex()}"
        # Block, ids and their span of chunks that are not missed yet.
        self._ids: dict[int, tuple[tuple[int, int], Ids, slice | None]] = {}
        self._many = 64  # of them, at which it is looked for those that were dropped
        weakref.finalize(self, _bury, cache, self.token, self._ids).atexit = False

    @property
    def chunk_bytes(self) -> int:
        """Bytes that a chunk has at the most, if it has more than one row."""
        return MOST

    def keeps(self, nbytes: int) -> bool:
        """Whether rows of so many bytes could all be kept: nobody knows its units."""
        return self.cache.maxsize > 0

    def _get(self, number: int) -> Chunk | None:
        chunk = _taken(self.cache, (self.token, number))
        if chunk is None:
            self._forget(number)
        return chunk

    def _row(self, number: int) -> slice | None:
        return self._ids[number][2] if number in self._ids else None

    def _insert(self, number: int, chunk: Chunk) -> bool:
        # Noted first: what is in the cache is always among them.
        self._ids[number] = chunk.block, chunk.ids, chunk.row
        if not _taken_in(self.cache, (self.token, number), chunk):
            del self._ids[number]
            return False
        if len(self._ids) > self._many:
            self._gone(list(self._ids))
            self._many = 2 * len(self._ids) + 64
        return True

    def _currsize(self) -> float:
        return _size(self.cache)  # where rows expire, they do so then

    def _gone(self, numbers: list[int]) -> list[int]:
        gone = _missing(self.cache, self.token, numbers)
        for number in gone:
            self._forget(number)
        return gone

    def _forget(self, number: int) -> None:
        if number in self._ids:
            block, ids, _ = self._ids[number]
            if block in self._tables:
                self._tables[block].leave(ids, number)
            del self._ids[number]

    def chunks(self) -> list[tuple[int, Chunk]]:
        """All that is held, by number."""
        there = [(number, _taken(self.cache, (self.token, number))) for number in list(self._ids)]
        return [(number, chunk) for number, chunk in there if chunk is not None]

    def clear(self) -> None:
        """Forget all rows."""
        _drop(self.cache, self.token, self._ids)
        self._tables = {}
        self._ids.clear()

    def look(self) -> None:
        """Forget what the cache has dropped without a word."""
        self._gone(list(self._ids))

    def repair(self) -> None:
        """Make the tables again, after a change that was interrupted."""
        self._tables = {}
        chunks = self.chunks()
        for number in set(self._ids).difference([number for number, _ in chunks]):
            del self._ids[number]
        for number, chunk in chunks:
            self._enter(number, chunk)


def store_of(cache: Any, arrays: Arrays) -> Store:
    """What keeps rows, from the `cache` of `lazyhess.hessian`."""
    if isinstance(cache, cachetools.Cache):
        return SharedStore(cache, arrays)
    others = ", a cachetools.Cache or None"
    if cache is None:
        size = 0
    elif cache is DEFAULT_CACHE:  # as nearly always
        size = _DEFAULT
    else:
        size = parse_bytes(cache, "cache", others)
    return Store(size, arrays)


# --- caches that users share ----------------------------------------------------------------------

# They are changed by one thread at a time.
_SHARED = lock()
_OURS = "lazyhess-"
# Caches, and the keys of Hessians that are gone, whose rows have not left yet.
_buried: deque[tuple[Any, str, Iterable[int]]] = deque()


@under(_SHARED)
def _taken(cache: Any, key: tuple[str, int]) -> Chunk | None:
    chunk: Chunk | None = cache.get(key)
    return chunk


@under(_SHARED)
def _taken_in(cache: Any, key: tuple[str, int], chunk: Chunk) -> bool:
    _unbury()
    try:
        cache[key] = chunk
    except ValueError:  # too large for this cache: returned, not kept
        return False
    return True


@under(_SHARED)
def _size(cache: Any) -> float:
    size: float = cache.currsize
    return size


@under(_SHARED)
def _missing(cache: Any, token: str, numbers: list[int]) -> list[int]:
    return [number for number in numbers if (token, number) not in cache]


def _keys(cache: Any) -> list[Any]:
    """The keys of rows, of all Hessians."""
    return [
        key
        for key in list(cache)
        if type(key) is tuple
        and len(key) == 2
        and isinstance(key[0], str)
        and key[0].startswith(_OURS)
    ]


@under(_SHARED)
def _drop(cache: Any, token: str, numbers: Iterable[int]) -> None:
    for number in list(numbers):
        cache.pop((token, number), None)


def _bury(cache: Any, token: str, numbers: Iterable[int]) -> None:
    """Take the rows of a Hessian that is gone out of its cache."""
    _buried.append((cache, token, numbers))
    # This may come at any time, in the midst of a change, too: then the next change does it.
    if not _SHARED._is_owned():
        _unbury()


@under(_SHARED)
def _unbury() -> None:
    while _buried:
        _drop(*_buried[0])
        _buried.popleft()


class StandIn:
    """A user's cache as copies and pickles see it: at one moment, and without anybody's rows.

    Whoever copies reads the cache bit by bit, while other threads may change it. All Hessians over
    a cache have the same one, so that copies made together share a cache, too.
    """

    def __init__(self, cache: cachetools.Cache[Any, Any]) -> None:
        self.cache = cache

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return _without_rows(self.cache, partial(_deeply, memo))

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (_without_rows(self.cache, _by_pickle),)


_stand_ins: weakref.WeakValueDictionary[int, StandIn] = weakref.WeakValueDictionary()


@under(_SHARED)
def _stand_in(cache: cachetools.Cache[Any, Any]) -> StandIn:
    stand_in = _stand_ins.get(id(cache))
    if stand_in is None:
        stand_in = _stand_ins[id(cache)] = StandIn(cache)
    return stand_in


def _itself(cache: Any) -> Any:
    """What a stand-in is made into again."""
    return cache


@under(_SHARED)
def _without_rows(cache: Any, copied: Callable[[Any], Any]) -> Any:
    """A copy of a cache without the rows of Hessians; itself, where that is how it copies."""
    copy_of_it = copied(cache)
    if copy_of_it is not cache:
        for key in _keys(copy_of_it):
            copy_of_it.pop(key, None)
    return copy_of_it


def _deeply(memo: dict[int, Any], cache: Any) -> Any:
    for key in _keys(cache):
        chunk = cachetools.Cache.__getitem__(cache, key)
        memo[id(chunk)] = chunk
    return copy.deepcopy(cache, memo)


class _Pickler(pickle.Pickler):
    """Leaves rows out."""

    def persistent_id(self, obj: Any) -> Any:
        return "rows" if isinstance(obj, Chunk) else None


class _Unpickler(pickle.Unpickler):
    """Reads what `_Pickler` wrote."""

    def persistent_load(self, pid: Any) -> Any:
        return None


def _by_pickle(cache: Any) -> Any:
    file = io.BytesIO()
    _Pickler(file).dump(cache)
    file.seek(0)
    return _Unpickler(file).load()


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
