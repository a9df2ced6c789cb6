"""Caches that users may have, with their own ideas of being copied."""

from __future__ import annotations

import pickle
from typing import Any

import cachetools


class Pickling(cachetools.LRUCache[Any, Any]):
    """Keeps what it is given as pickles, as one that stores on a disk does."""

    def __setitem__(self, key: Any, value: Any, *args: Any, **kwargs: Any) -> None:
        super().__setitem__(key, pickle.dumps(value), *args, **kwargs)

    def __getitem__(self, key: Any, *args: Any, **kwargs: Any) -> Any:
        return pickle.loads(super().__getitem__(key, *args, **kwargs))


class SelfCopying(cachetools.LRUCache[Any, Any]):
    """Is one for all: its deep copies are itself."""

    def __deepcopy__(self, memo: Any) -> SelfCopying:
        return self


class Named(SelfCopying):
    """Is one for all of a process: its pickles are its name."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _named, ()


NAMED = Named(10_000)


def _named() -> Named:
    return NAMED
