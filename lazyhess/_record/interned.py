"""One object for each class and its parameters, as long as somebody holds it.

So primitives of equal parameters are the same object, also once unpickled: what was worked out for
one is found for the other, and a graph is told from another by the objects in it.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from types import EllipsisType
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import numpy as np

from lazyhess._indices import Array

T = TypeVar("T")

_known: WeakValueDictionary[Hashable, Any] = WeakValueDictionary()
_lock = threading.RLock()  # whatever the garbage collector calls may come here again


def interned(cls: type[T], *params: Any) -> T:
    """``cls(*params)``, or the object that was made so before.

    Nobody may change arrays in `params` any more. They are compared by what is in them.
    """
    key = (cls, *map(content_key, params))
    with _lock:
        known: T | None = _known.get(key)
    if known is not None:
        return known
    new = cls(*params)
    with _lock:  # another thread may have been faster
        return _known.setdefault(key, new)  # type: ignore[no-any-return]


# What is equal only to itself, or to what may stand for it.
_PLAIN = (int, str, type(None), EllipsisType, type)


def content_key(x: Any) -> Hashable:
    """What tells a constant from others: 0.0 from -0.0, 1 from 1.0 and True, one NaN from another.

    Nobody may change it any more, where it is an array.
    """
    kind = type(x)
    if kind in _PLAIN:
        return x  # type: ignore[no-any-return]
    if kind is tuple:
        return tuple([content_key(item) for item in x])
    if kind is slice:
        return slice, x.start, x.stop, x.step
    if isinstance(x, np.ndarray):
        return _Content(x)
    if isinstance(x, (float, complex, np.generic)):
        number = np.asarray(x)
        return kind, number.dtype.str, number.tobytes()
    return kind, x  # 1 and True are equal, and not the same


class _Content:
    """An array as a key: by what is in it. Of a large one the hash sees a part and the sum."""

    __slots__ = ("_hash", "array")

    def __init__(self, array: Array) -> None:
        self.array = array
        if array.nbytes <= _WHOLE:
            content: Any = array.tobytes()
        else:
            content = array.reshape(-1)[:: array.size // _PART].tobytes(), array.sum().item()
        self._hash = hash((array.dtype.str, array.shape, content))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Content):
            return NotImplemented
        a, b = self.array, other.array
        alike = a.dtype == b.dtype and a.shape == b.shape
        return a is b or (alike and a.tobytes() == b.tobytes())  # 0.0 is not -0.0


# Bytes of an array that are hashed whole, and about how many elements of a larger one.
_WHOLE, _PART = 1 << 12, 1 << 8
