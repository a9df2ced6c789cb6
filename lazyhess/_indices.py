"""Positions of elements: flat indices, and how they go from one shape to another."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]


Ids: TypeAlias = NDArray[np.intp]


Shape: TypeAlias = tuple[int, ...]


def project(pos: Ids, shape: Shape, axes: tuple[int, ...]) -> Ids:
    """Flat C-order indices over `shape` -> flat indices over its `axes`, in their order."""
    result: Ids | None = None
    groups: list[tuple[int, int]] = []  # maximal runs of neighbouring axes: first, past the last
    for axis in axes:
        if groups and groups[-1][1] == axis:
            groups[-1] = (groups[-1][0], axis + 1)
        else:
            groups.append((axis, axis + 1))
    for first, last in groups:
        inner, extent = prod(shape[last:]), prod(shape[first:last])
        part = pos if inner == 1 else pos // inner
        if prod(shape[:first]) != 1:
            part = part % extent
        result = part if result is None else result * extent + part
    return np.zeros(len(pos), np.intp) if result is None else result


def embed(pos: Ids, shape: Shape, widths: Sequence[int]) -> Ids:
    """Flat C-order indices over `shape` -> the sum of coordinate times width over its axes."""
    result: Ids | None = None
    axis = 0
    while axis < len(shape):
        last = axis + 1
        # Neighbours that stay neighbours are one axis.
        while last < len(shape) and widths[last - 1] == widths[last] * shape[last]:
            last += 1
        if prod(shape[axis:last]) != 1:
            part = project(pos, shape, tuple(range(axis, last)))
            part = part if widths[last - 1] == 1 else part * widths[last - 1]
            result = part if result is None else result + part
        axis = last
    return np.zeros(len(pos), np.intp) if result is None else result


def strides(shape: Shape) -> tuple[int, ...]:
    """How far one step along each axis of a C-order array of `shape` goes, in elements."""
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


def runs(keys: Ids) -> tuple[Ids, Ids, Ids]:
    """Order that sorts `keys`, where each run of equal keys starts in it, and the keys once."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(changes(ordered))
    return order, starts, ordered[starts]


def changes(keys: Ids) -> NDArray[np.bool_]:
    """Whether each key is another one than the key before it."""
    first = np.ones(len(keys), np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    return first


def span(ids: Ids) -> slice | None:
    """Ids in a row as a slice: copying it is one memory copy. Else ``None``."""
    n = len(ids)
    if n and ids[-1] - ids[0] == n - 1 and bool((ids[1:] > ids[:-1]).all()):
        return slice(int(ids[0]), int(ids[0]) + n)
    return None


def divide(ids: Ids, size: int) -> tuple[Ids, Ids]:
    """Quotient and remainder of flat indices; far faster than `numpy.divmod`."""
    size = max(size, 1)
    quotient = ids // size
    return quotient, ids - quotient * size


# --- what patterns are like, which no value of a function decides ---------------------------------


def in_order(ids: Ids) -> bool:
    """Whether no index is smaller than the one before it."""
    return len(ids) < 2 or bool((ids[1:] >= ids[:-1]).all())


def evenly(ids: Ids, step: int) -> bool:
    """Whether each index is so much larger than the one before it."""
    return bool((ids[1:] - ids[:-1] == step).all())


def same(ids: Ids, others: Ids) -> bool:
    """Whether two index arrays, which broadcast, are the same."""
    return bool((ids == others).all())
