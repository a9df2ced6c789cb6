"""Indexing: every form of ``x[index]``."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyhess._maps import Gather
from lazyhess._primitives.base import implements, structural
from lazyhess._variable import Variable, getitem


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


@implements(getitem)
def getitem_(a: Any, index: Any) -> Any:
    """``a[index]``."""
    if type(index) is int and a.ndim and -a.shape[0] <= index < a.shape[0]:
        # The one form that loops over scalars are made of.
        return structural("getitem", a, Gather(a.shape, (index,), a.shape[1:]))
    items = index if isinstance(index, tuple) else (index,)
    items = tuple(_fixed(item) for item in items)
    # NumPy checks the index and tells the shape, on an array without elements' memory.
    out = np.broadcast_to(np.empty((), "V0"), a.shape)[items].shape
    return structural("getitem", a, Gather(a.shape, items, out))
