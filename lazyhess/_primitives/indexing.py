"""Indexing: every form of ``x[index]``."""

from __future__ import annotations

import operator
from functools import lru_cache
from typing import Any

import numpy as np

from lazyhess._indices import Shape
from lazyhess._maps import Gather
from lazyhess._primitives.base import Structural, implements, structural
from lazyhess._record.variable import Variable, record


def _fixed(item: Any) -> Any:
    """An index item that nobody else can change, free of Variables."""
    if item is None or item is Ellipsis or isinstance(item, (int, np.integer, slice)):
        return item
    if isinstance(item, Variable):
        raise IndexError(
            "arrays used as indices must be of integer (or boolean) type, and a Variable is not; "
            "compare it to make a mask"
        )
    made = np.array(item)
    if made.size == 0 and not isinstance(item, np.ndarray):
        made = made.astype(np.intp)
    return made


def _key(item: Any) -> Any:
    """An item of a basic index as a key, a slice as a tuple; else `NotImplemented`."""
    if type(item) is int or item is None or item is Ellipsis:
        return item
    if isinstance(item, np.integer):
        return int(item)
    if type(item) is slice:
        parts = item.start, item.stop, item.step
        if all(part is None or type(part) is int for part in parts):
            return parts
    return NotImplemented


# Loops over scalars use an index for each; a basic one takes next to no memory.
@lru_cache(maxsize=1 << 13)
def _basic(shape: Shape, keys: tuple[Any, ...]) -> Structural:
    """The primitive of a basic index: one object for equal shapes and indices."""
    index = tuple(slice(*key) if type(key) is tuple else key for key in keys)
    return Structural("getitem", Gather(shape, index))


@implements(operator.getitem)
def getitem(a: Any, index: Any) -> Any:
    """``a[index]``."""
    items = index if type(index) is tuple else (index,)
    keys = tuple([_key(item) for item in items])
    if NotImplemented not in keys:
        return record(_basic(a.shape, keys), a)
    return structural("getitem", a, Gather(a.shape, tuple(_fixed(item) for item in items)))
