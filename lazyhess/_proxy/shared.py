"""Rows in a cache of the user's, which several Hessians may share."""

from __future__ import annotations

import copy
import io
import os
import pickle
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import cachetools

from lazyhess._engines.arrays import Arrays
from lazyhess._indices import Ids
from lazyhess._locks import lock, under
from lazyhess._proxy.chunks import MOST, Chunk, Store
from lazyhess._sizes import parse_bytes

DEFAULT_CACHE = "1GiB"
_DEFAULT = parse_bytes(DEFAULT_CACHE, "cache", "")

# Caches of users are changed by one thread at a time.
_SHARED = lock()
_OURS = "lazyhess-"
# Caches, and the keys of Hessians that are gone, whose rows have not left yet.
_buried: deque[tuple[Any, str, Iterable[int]]] = deque()


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
    if cache is None:
        size = 0
    elif cache is DEFAULT_CACHE:  # as nearly always
        size = _DEFAULT
    else:
        size = parse_bytes(cache, "cache", ", a cachetools.Cache or None")
    return Store(size, arrays)


# --- the cache, one thread at a time --------------------------------------------------------------


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
