"""What was worked out about the structure of a graph, kept for the same graph at another point."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from cachetools import LRUCache

from lazyhess._costs import COSTS
from lazyhess._create import ones
from lazyhess._indices import Ids, Shape
from lazyhess._locks import lock
from lazyhess._tangents import Pattern, Sparse, identity


class _Kept(NamedTuple):
    pattern: Pattern
    nbytes: int
    derived: int  # how many things had been derived from it when its bytes were counted


class PatternCache:
    """Patterns of identity seeds, with all that maps derived from them; the last used ones.

    The maps of a graph that is evaluated again are the same objects, or have the same keys, so
    that they find in the patterns what they worked out at another point.
    """

    def __init__(self) -> None:
        self._lock = lock()
        self._patterns: LRUCache[tuple[int, int, int], _Kept] = LRUCache(
            COSTS.pattern_bytes, getsizeof=lambda kept: kept.nbytes
        )

    def seeds(self, i: int, ids: Ids, shape: Shape, dtype: np.dtype[Any]) -> Sparse:
        """As `identity`, for sorted positions in x_i."""
        key = self._key(i, ids)
        with self._lock:
            kept = self._patterns.get(key) if key else None
        if kept is None:
            return identity(ids, shape, dtype)
        return Sparse(kept.pattern, ones((len(ids),), dtype))

    def keep(self, i: int, ids: Ids, pattern: Pattern) -> None:
        """Keep the pattern of such seeds, and what has been derived from it."""
        key = self._key(i, ids)
        if key is None:
            return
        with self._lock:
            derived = len(pattern._derived)
            kept = self._patterns.get(key)
            if kept is None or kept.derived != derived:
                kept = _Kept(pattern, _weight(pattern, set()), derived)
                self._patterns.pop(key, None)
                if kept.nbytes <= self._patterns.maxsize:
                    self._patterns[key] = kept

    @staticmethod
    def _key(i: int, ids: Ids) -> tuple[int, int, int] | None:
        """What tells seeds in a row from others; of others nothing is kept."""
        n = len(ids)
        return (i, int(ids[0]), n) if n and int(ids[-1] - ids[0]) == n - 1 else None


def _weight(thing: Any, seen: set[int]) -> int:
    """Bytes of all arrays in a pattern and what is derived from it."""
    if id(thing) in seen:
        return 0
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        return thing.nbytes
    if isinstance(thing, Pattern):
        parts = [*thing.arrays, *thing._derived.values()]
        return sum(_weight(part, seen) for part in parts)
    if isinstance(thing, dict):
        thing = tuple(thing.values())
    if isinstance(thing, (tuple, list)):
        return sum(_weight(part, seen) for part in thing)
    return 0
