"""Rows that are kept: bounded in bytes, least recently used first out.

What one pass gives for a block (i, j) is one *chunk*: the ids of its rows and their values. Chunks
are what the cache holds and drops; an array for each block says in which chunk a row is, so that
looking up any number of rows is a few array operations.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from typing import Any, NamedTuple

import cachetools
import numpy as np

from lazyhess._engines.arrays import Arrays
from lazyhess._engines.protocol import Rows
from lazyhess._indices import Ids, changes, span

DEFAULT_CACHE = "1GiB"
# A chunk is at most this part of the cache, so that dropping one drops little.
SHARE = 8
MOST = 1 << 27

_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
_UNITS |= {f"{unit}i": 1024 ** (k + 1) for k, unit in enumerate("kmgt")}
# A cache that a user shares between Hessians is changed by one thread at a time.
_SHARED = threading.RLock()


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

    ids: Ids
    rows: Rows
    nbytes: int


@dataclass
class ChunkProjection:
    """Where some of the wanted rows are: row ``at[n]`` of those wanted is ``rows[offset[n]]``."""

    at: Ids
    rows: Rows
    offset: Ids


def parse_bytes(size: Any) -> int:
    """Bytes of an int, or of a string such as ``"512MB"`` or ``"1GiB"``."""
    if isinstance(size, str):
        match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([kmgt]?i?)b?\s*", size.lower())
        if match is None or match[2] not in _UNITS:
            raise ValueError(f'cache must be bytes such as 10**9, "512MB" or "1GiB", got {size!r}')
        number, given = Decimal(match[1]) * _UNITS[match[2]], repr(size)
    elif isinstance(size, bool) or not isinstance(size, (int, np.integer)):
        raise TypeError(
            "cache must be a number of bytes, a string such as '512MB', a cachetools.Cache or "
            f"None, got {type(size).__name__}"
        )
    else:
        number = Decimal(int(size))
        given = f"{number}" if abs(number) <= sys.maxsize else f"{number:.3e}"
    if number < 0:
        raise ValueError(f"cache must not be negative, got {given}")
    if number > sys.maxsize:
        given = given if len(given) < 40 else f"{given[:12]}... of {len(given) - 2} characters"
        raise ValueError(f"cache must be at most {sys.maxsize} bytes, got {given}")
    return int(number)


class PageTable:
    """A number for every row of a block, 0 where none was set; only touched parts take memory."""

    def __init__(self) -> None:
        self._pages: dict[int, Ids] = {}

    def __getitem__(self, ids: Ids) -> Ids:
        numbers = np.zeros(len(ids), np.intp)
        for page, part, places in _pages(ids):
            if page in self._pages:
                numbers[part] = self._pages[page][places]
        return numbers

    def __setitem__(self, ids: Ids, numbers: Ids) -> None:
        if (ids[1:] <= ids[:-1]).any():
            order = np.argsort(ids, kind="stable")
            ids, numbers = ids[order], numbers[order]
        for page, part, places in _pages(ids):
            if page not in self._pages:
                self._pages[page] = np.zeros(_PAGE, np.intp)
            self._pages[page][places] = numbers[part]


_BITS = 12
_PAGE = 1 << _BITS


def _pages(ids: Ids) -> Iterator[tuple[int, slice, Ids | slice]]:
    """The pages that sorted ids are on, which of the ids are on each, and where there."""
    row = span(ids)
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
    """Rows of blocks by id. The caller holds a lock around every method.

    Parameters
    ----------
    cache : int, str, cachetools.Cache or None
        As in `lazyhess.hessian`.
    arrays : Arrays
        What rows are made of.
    """

    def __init__(self, cache: Any, arrays: Arrays) -> None:
        self.arrays = arrays
        self._bounded = not isinstance(cache, cachetools.Cache)  # in bytes, by this class
        self.cache: cachetools.Cache[Any, Chunk]
        if isinstance(cache, cachetools.Cache):
            self.cache = cache
        else:
            size = 0 if cache is None else parse_bytes(cache)
            self.cache = cachetools.LRUCache(size, getsizeof=_nbytes)
        self._token = f"lazyhess-{next(_tokens)}-{id(self)}"
        self._numbers = count(1)
        self._lengths: dict[int, int] = {}  # rows of every chunk
        # For every row of a block the number of its chunk, and its place there in the low bits.
        self._where: dict[tuple[int, int], PageTable] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_numbers": next(self._numbers)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _numbers=count(state["_numbers"]))

    @property
    def _guard(self) -> AbstractContextManager[Any]:
        return nullcontext() if self._bounded else _SHARED

    @property
    def chunk_bytes(self) -> int:
        """Bytes that a chunk has at the most, if it has more than one row."""
        return min(int(self.cache.maxsize / SHARE), MOST) if self._bounded else MOST

    def keeps(self, nbytes: int) -> bool:
        """Whether rows of so many bytes could all be kept."""
        return nbytes <= self.cache.maxsize if self._bounded else self.cache.maxsize > 0

    def lacking(self, i: int, j: int, ids: Ids) -> Ids:
        """Which of the wanted rows are not here. Asking does not count as using."""
        where = self._where.get((i, j))
        if where is None or not len(ids):
            return ids
        held = where[ids] >> _LOW
        missing = held == 0
        with self._guard:
            for number in _distinct(held):
                if (self._token, number) not in self.cache:
                    missing |= held == number
        lacking: Ids = ids[missing]
        return lacking

    def find(self, i: int, j: int, ids: Ids) -> tuple[Ids, list[ChunkProjection]]:
        """Which of the wanted rows are not here (positions in `ids`), and where the others are."""
        where = self._where.get((i, j))
        if where is None or not len(ids):
            return np.arange(len(ids)), []
        places = where[ids]
        held, offsets = places >> _LOW, places & _PLACE
        projections = []
        missing = held == 0
        with self._guard:
            for number in _distinct(held):
                chunk = self.cache.get((self._token, number))
                if chunk is None:  # dropped since
                    missing |= held == number
                    continue
                at = np.flatnonzero(held == number)
                projections.append(ChunkProjection(at, chunk.rows, offsets[at]))
        return np.flatnonzero(missing), projections

    def put(self, i: int, j: int, ids: Ids, rows: Rows) -> None:
        """Keep rows of a block, as far as the cache takes them."""
        if not len(ids) or self.cache.maxsize <= 0:
            return
        nbytes = self.arrays.nbytes(rows) + ids.nbytes
        most = self.chunk_bytes if self._bounded else nbytes
        step = max(1, most * len(ids) // max(nbytes, 1))
        where = self._where.setdefault((i, j), PageTable())
        for start in range(0, len(ids), step):
            part = slice(start, start + step)
            held = self.arrays.alone(rows, start, min(start + step, len(ids)))
            chunk = Chunk(ids[part], held, ids[part].nbytes + self.arrays.nbytes(held))
            number = next(self._numbers)
            with self._guard:
                try:
                    self.cache[self._token, number] = chunk
                except ValueError:  # too large for this cache: returned, not kept
                    continue
            self._lengths[number] = len(chunk.ids)
            if len(self._lengths) > 2 * len(self.cache) + 64:  # most were dropped since
                live = {key[1] for key in self._keys()}
                self._lengths = {n: k for n, k in self._lengths.items() if n in live}
            where[chunk.ids] = (number << _LOW) + np.arange(len(chunk.ids))

    def clear(self) -> None:
        """Forget all rows."""
        with self._guard:
            for key in self._keys():
                self.cache.pop(key, None)
        self._where.clear()
        self._lengths.clear()

    def _keys(self) -> list[Any]:
        keys = list(self.cache)
        return [key for key in keys if isinstance(key, tuple) and key[0] == self._token]

    def held(self) -> tuple[int, float]:
        """Rows and bytes (or the cache's own units) that are held."""
        with self._guard:
            live = [key[1] for key in self._keys()]
            return sum(self._lengths[number] for number in live), self.cache.currsize


_tokens = count()
_LOW = 31
_PLACE = (1 << _LOW) - 1


def _distinct(numbers: Ids) -> list[int]:
    """The chunk numbers that occur; 0 is none."""
    if numbers[0] == numbers[-1] and not np.any(numbers != numbers[0]):
        return [int(numbers[0])] if numbers[0] else []
    ordered = np.sort(numbers)  # np.unique would import numpy.ma at its first call
    distinct: list[int] = ordered[changes(ordered)].tolist()
    return [number for number in distinct if number]


def _nbytes(chunk: Chunk) -> int:
    return chunk.nbytes
