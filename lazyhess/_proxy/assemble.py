"""Rows -> the answer in the shape that the index asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from lazyhess._engines.arrays import Arrays
from lazyhess._indices import Array, Ids, Shape
from lazyhess._proxy.chunks import ChunkProjection


def empty(shape: Shape, dtype: np.dtype[Any]) -> Array:
    """A new array, or a MemoryError that says how large it would be, and the ways out."""
    nbytes = prod(shape) * dtype.itemsize
    try:
        if nbytes <= _memory():
            return np.empty(shape, dtype)
    except MemoryError:
        pass
    raise MemoryError(
        f"the dense result of shape {shape} and dtype {dtype} needs {nbytes / 2**30:.1f} GiB, more "
        f"than this machine has; index a slice (H[3:5]), multiply without forming it (H @ v), or "
        "take the nonzeros (H.tocoo())"
    )


def _memory() -> float:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not told by this system
        return float("inf")


def fill(
    projections: Sequence[ChunkProjection],
    count: int,
    of_row: Ids,
    columns: Ids,
    shape: Shape,
    width: int,
    dtype: Any,
    arrays: Arrays,
) -> Any:
    """The answer, element by element ``rows[of_row][columns]``.

    Parameters
    ----------
    projections : sequence of ChunkProjection
        `count` rows of `width` columns.
    of_row, columns : ndarray of intp
        For every element which row, by its number, and which column; they broadcast to `shape`.

    Returns
    -------
    ndarray
        Or what the engine answers with, where its rows are no plain arrays.
    """
    outer = [axis for axis in range(len(shape)) if of_row.shape[axis] != 1]
    inner = [axis for axis in range(len(shape)) if axis not in outer]
    order = (*outer, *inner)
    grid_like = all(columns.shape[axis] == 1 for axis in outer)
    if not arrays.in_place:
        place = np.argsort(np.concatenate([part.at for part in projections]))
        chunks = [_whole(part, arrays) for part in projections]
        whole = chunks[0] if len(chunks) == 1 else arrays.concatenate(chunks)
        if not grid_like:
            return arrays.points(whole, *np.broadcast_arrays(place[of_row], columns))
        numbers = place[of_row.reshape(-1)]
        straight = len(numbers) == count and bool((numbers == np.arange(count)).all())
        answer = whole  # which the chunks were joined to, or is kept, and then a copy is taken
        if len(chunks) == 1 or not straight:
            answer = arrays.take(whole, numbers, 0)
        wanted = np.broadcast_to(
            columns, [shape[k] if k in inner else 1 for k in range(len(shape))]
        ).reshape(-1)
        if len(wanted) != width or not (wanted[1:] > wanted[:-1]).all():
            answer = arrays.take(answer, wanted, 1)
        answer = arrays.reshape(answer, tuple(shape[axis] for axis in order))
        in_order = list(order) == sorted(order)
        return answer if in_order else arrays.transpose(answer, np.argsort(order).tolist())
    if grid_like:
        out = empty(tuple(shape[axis] for axis in order), dtype)
        grid = out.reshape(of_row.size, prod(shape[axis] for axis in inner))
        wanted = np.broadcast_to(
            columns, [shape[k] if k in inner else 1 for k in range(len(shape))]
        )
        _fill_grid(projections, count, of_row.reshape(-1), wanted.reshape(-1), grid, width, arrays)
        # A plain transposed view would keep the caller's array in an order that NumPy never gives.
        return np.ascontiguousarray(out.transpose(np.argsort(order))).reshape(shape)
    out = empty(shape, dtype)
    numbers = np.broadcast_to(of_row, shape).reshape(-1)
    _fill_points(
        projections, count, numbers, np.broadcast_to(columns, shape).reshape(-1), out, arrays
    )
    return out


def _whole(part: ChunkProjection, arrays: Arrays) -> Any:
    """Rows of a chunk in the order of the projection; the kept ones themselves, if they are all."""
    rows, offset = part.rows, part.offset
    if len(offset) == rows.shape[0] and bool((offset == np.arange(len(offset))).all()):
        return rows
    return arrays.take(rows, offset, 0)


def _fill_grid(
    projections: Sequence[ChunkProjection],
    count: int,
    numbers: Ids,
    columns: Ids,
    grid: Array,
    width: int,
    arrays: Arrays,
) -> None:
    """All wanted columns of all wanted rows."""
    everything = len(columns) == width and bool((columns == np.arange(width)).all())
    straight = len(numbers) == count and bool((numbers == np.arange(count)).all())
    target = grid if straight else np.empty((count, grid.shape[1]), grid.dtype)
    for part in projections:
        arrays.write(target, part.at, part.rows, part.offset, None if everything else columns)
    if not straight:
        np.take(target, numbers, axis=0, out=grid)


def _fill_points(
    projections: Sequence[ChunkProjection],
    count: int,
    numbers: Ids,
    columns: Ids,
    out: Array,
    arrays: Arrays,
) -> None:
    """Single elements, without the grid of all rows and columns."""
    chunk_of = np.zeros(count, np.intp)
    offset_of = np.zeros(count, np.intp)
    for k, part in enumerate(projections):
        chunk_of[part.at] = k
        offset_of[part.at] = part.offset
    flat = out.reshape(-1)
    owner = chunk_of[numbers]
    for k, part in enumerate(projections):
        at = np.flatnonzero(owner == k)
        flat[at] = arrays.points(part.rows, offset_of[numbers[at]], columns[at])
