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


def check_fits(shape: Shape, itemsize: int, dtype: Any) -> None:
    """A MemoryError for what is larger than this machine, before the work."""
    if prod(shape) * itemsize > _memory():
        raise _too_large(shape, itemsize, dtype)


def empty(shape: Shape, dtype: np.dtype[Any]) -> Array:
    """A new array, or a MemoryError that says how large it would be, and the ways out."""
    try:
        return np.empty(shape, dtype)
    except MemoryError:
        raise _too_large(shape, dtype.itemsize, dtype) from None


def _too_large(shape: Shape, itemsize: int, dtype: Any) -> MemoryError:
    nbytes = prod(shape) * itemsize
    return MemoryError(
        f"the dense result of shape {shape} and dtype {dtype} needs {nbytes / 2**30:.1f} GiB, more "
        f"than this machine has; index a slice (H[3:5]), multiply without forming it (H @ v), or "
        "take the nonzeros (H.tocoo())"
    )


def _memory() -> float:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not told by this system
        return float("inf")


def assemble(
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
    if any(columns.shape[axis] != 1 for axis in outer):
        if not arrays.in_place:
            whole, place = _joined(projections, arrays)
            return arrays.points(whole, *np.broadcast_arrays(place[of_row], columns))
        out = empty(shape, dtype)
        numbers, wanted = (np.broadcast_to(ids, shape).reshape(-1) for ids in (of_row, columns))
        _write_points(projections, count, numbers, wanted, out, arrays)
        return out
    # A grid of rows and columns.
    order = (*outer, *inner)
    numbers = of_row.reshape(-1)
    wanted = np.broadcast_to(columns, [shape[k] if k in inner else 1 for k in range(len(shape))])
    wanted = wanted.reshape(-1)
    if arrays.in_place:
        out = empty(tuple(shape[axis] for axis in order), dtype)
        grid = out.reshape(of_row.size, prod(shape[axis] for axis in inner))
        _write_grid(projections, count, numbers, wanted, grid, width, arrays)
        # A plain transposed view would keep the caller's array in an order that NumPy never gives.
        return np.ascontiguousarray(out.transpose(np.argsort(order))).reshape(shape)
    answer, place = _joined(projections, arrays)
    numbers = place[numbers]
    straight = len(numbers) == count and bool((numbers == np.arange(count)).all())
    if len(projections) == 1 or not straight:  # what is kept is copied, what was joined is not
        answer = arrays.take(answer, numbers, 0)
    if len(wanted) != width or not (wanted[1:] > wanted[:-1]).all():
        answer = arrays.take(answer, wanted, 1)
    answer = arrays.reshape(answer, tuple(shape[axis] for axis in order))
    in_order = list(order) == sorted(order)
    return answer if in_order else arrays.transpose(answer, np.argsort(order).tolist())


def _joined(projections: Sequence[ChunkProjection], arrays: Arrays) -> tuple[Any, Ids]:
    """All rows in one array, and where in it each wanted row is."""
    place = np.argsort(np.concatenate([part.at for part in projections]))
    chunks = [_whole(part, arrays) for part in projections]
    return chunks[0] if len(chunks) == 1 else arrays.concatenate(chunks), place


def _whole(part: ChunkProjection, arrays: Arrays) -> Any:
    """Rows of a chunk in the order of the projection; the kept ones themselves, if they are all."""
    rows, offset = part.rows, part.offset
    if len(offset) == rows.shape[0] and bool((offset == np.arange(len(offset))).all()):
        return rows
    return arrays.take(rows, offset, 0)


def _write_grid(
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


def _write_points(
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
