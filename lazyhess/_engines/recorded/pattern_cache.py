"""What was worked out about the structure of a graph, kept for the same graph at another point."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import numpy as np

from lazyhess._costs import COSTS
from lazyhess._indices import Ids, Shape
from lazyhess._tangents import Pattern, Sparse, identity


class Structure:
    """Patterns of identity seeds, with all that maps derived from them; the last used ones.

    The maps of a graph that is evaluated again are the same objects, or have the same keys, so
    that they find in the patterns what they worked out at another point.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # With the bytes they hold, and how much had been derived when those were counted.
        self._patterns: OrderedDict[tuple[int, int, int], tuple[Pattern, int, int]] = OrderedDict()

    def seeds(self, i: int, ids: Ids, shape: Shape, dtype: np.dtype[Any]) -> Sparse:
        """As `identity`, for sorted positions in x_i."""
        key = self._key(i, ids)
        with self._lock:
            found = self._patterns.get(key) if key else None
        if found is None:
            return identity(ids, shape, dtype)
        return Sparse(found[0], np.broadcast_to(np.ones((), dtype), (len(ids),)))

    def keep(self, i: int, ids: Ids, pattern: Pattern) -> None:
        """Keep the pattern of such seeds, and what has been derived from it."""
        key = self._key(i, ids)
        if key is None:
            return
        with self._lock:
            derived = len(pattern._derived)
            found = self._patterns.get(key)
            if found is None or found[2] != derived:
                self._patterns[key] = pattern, _weight(pattern, set()), derived
            self._patterns.move_to_end(key)
            while sum(weight for _, weight, _ in self._patterns.values()) > COSTS.pattern_bytes:
                self._patterns.popitem(last=False)

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
