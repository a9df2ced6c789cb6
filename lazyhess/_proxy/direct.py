"""Requests that need no ids of single elements: what NumPy indexes itself, and rows in a row.

They are answered from what is there in one look at the store, or else by computing those rows.
What is not so simple is left to the general way (`lazyhess._proxy.index`), which gives the same.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from lazyhess._engines.arrays import Arrays
from lazyhess._indices import Array, Ids, Shape, span
from lazyhess._proxy.assemble import assemble, check_fits
from lazyhess._proxy.chunks import ChunkProjection, Piece
from lazyhess._proxy.index import Basic, Run, run_of
from lazyhess._proxy.rows import RowSource

# Numbers up to which a set of them is made faster than an array.
_FEW = 1 << 6


def answer(source: RowSource, i: int, j: int, transposed: bool, index: Any) -> Any:
    """The elements of an index, as an array of the caller's own, or None.

    Parameters
    ----------
    source : RowSource
        What holds and computes rows.
    i, j : int
        The block.
    transposed : bool
        Whether `index` is of the block with all axes reversed.
    index
        Any; a wrong one is left to the general way, too.
    """
    elements = _elements(source, i, j, transposed, index)
    dtype = source.engine.dtypes[i]
    if elements is None or elements.dtype == dtype:
        return elements
    return source.engine.arrays.cast(elements, dtype)


def _elements(source: RowSource, i: int, j: int, transposed: bool, index: Any) -> Any:
    """As `answer`, in the dtype of the rows."""
    engine = source.engine
    lead, of_i, of_j = engine.lead, engine.shapes[i], engine.shapes[j]
    dtype, in_place = engine.dtypes[i], engine.arrays.in_place
    if in_place:
        for a, b in ((i, j), (j, i)) if i != j else ((i, j),):
            whole = source.whole(a, b)
            if type(whole) is np.ndarray and whole.dtype == dtype:
                return _indexed(source, whole, (i, j), (a, b), transposed, index)
    if transposed or dtype != engine.dtypes[j]:
        return None
    axes = len(lead) + len(of_i)
    items = _items(index, lead + of_i + of_j)
    if items is None:
        return None
    of_rows, of_columns = items[:axes], items[axes:]
    rows = run_of(of_rows, lead + of_i)
    if rows is None:
        return None
    if in_place or _every(of_columns):
        pieces = source.pieces(i, j, rows.start, rows.stop)
        if pieces is not None:
            return _joined(source, pieces, rows, of_j, of_columns)
    columns = None if lead else run_of(of_columns, of_j)
    if columns is None:
        return None
    if in_place and (i != j or rows != columns):  # by symmetry
        pieces = source.pieces(j, i, columns.start, columns.stop)
        if pieces is not None:
            return _turned(_joined(source, pieces, columns, of_i, of_rows), columns)
    # What is not there is computed, on the cheaper side.
    shape = rows.shape + columns.shape
    check_fits(shape, engine.arrays.itemsize(dtype), dtype)
    wanted = np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop)
    by_rows, projections = source.gather(i, j, *wanted)
    outer, inner = (rows, columns) if by_rows else (columns, rows)
    width = prod(of_j if by_rows else of_i)
    rectangle = _rectangle(engine.arrays, dtype, projections, outer, inner, width)
    if not by_rows:
        rectangle = engine.arrays.transpose(rectangle, (1, 0))
    if not in_place:
        return engine.arrays.reshape(rectangle, shape)
    rectangle = np.ascontiguousarray(rectangle).reshape(shape)
    return rectangle if shape else rectangle[()]


def _count(run: Run) -> int:
    return run.stop - run.start


def _rectangle(
    arrays: Arrays,
    dtype: Any,
    projections: list[ChunkProjection],
    outer: Run,
    inner: Run,
    width: int,
) -> Any:
    """Some columns in a row of rows in a row."""
    count = _count(outer)
    if len(projections) == 1 and _count(inner) == width:
        (part,) = projections
        place = span(part.offset)
        if place is not None and part.at[0] == 0 and part.at[-1] == count - 1:
            return arrays.part(part.rows, place.start, place.stop)
    number, columns = np.arange(count)[:, None], np.arange(inner.start, inner.stop)[None]
    shape = count, _count(inner)
    return assemble(projections, count, number, columns, shape, width, dtype, arrays)


def _turned(columns: Any, run: Run) -> Any:
    """Columns, read as rows by symmetry, as columns."""
    first = len(run.shape)
    if columns is None or not 0 < first < columns.ndim:
        return columns
    return columns.transpose((*range(first, columns.ndim), *range(first))).copy()


def _items(index: Any, shape: Shape) -> tuple[Basic, ...] | None:
    """An index of integers and slices as one item for each axis.

    None if it is another one, if it is wrong, or if it names nothing.
    """
    items = list(index) if type(index) is tuple else [index]
    dots = 0
    for at, item in enumerate(items):
        if item is Ellipsis:
            dots += 1
        elif isinstance(item, np.integer):
            items[at] = int(item)
        elif type(item) is not int and type(item) is not slice:
            return None
    rest = len(shape) - len(items) + dots
    if rest < 0 or dots > 1:
        return None
    if dots:
        at = items.index(...)
        items[at : at + 1] = [_ALL] * rest
    else:
        items += [_ALL] * rest
    if dots and not any(isinstance(item, slice) for item in items):
        return None  # an array without axes, where else NumPy gives a scalar
    for item, n in zip(items, shape, strict=True):
        if not (-n <= item < n if type(item) is int else range(*item.indices(n))):
            return None
    return tuple(items)


_ALL = slice(None)


def _every(items: tuple[Basic, ...]) -> bool:
    return all(item == _ALL for item in items)


def _joined(
    source: RowSource, pieces: list[Piece], run: Run, columns: Shape, items: tuple[Basic, ...]
) -> Any:
    """Some columns of the rows of a run; None where rows are sparse and several."""
    arrays, count = source.engine.arrays, _count(run)
    in_place = arrays.in_place
    sparse = in_place and any(type(rows) is not np.ndarray for rows, *_ in pieces)
    if sparse and count > 1:
        return None
    source.hit(count)
    if sparse or not in_place:
        parts = [arrays.part(*piece) for piece in pieces]
    else:
        parts = [rows[first:last] for rows, first, last in pieces]
    if not _every(items):
        parts = [part.reshape((len(part), *columns))[(_ALL, *items)] for part in parts]
        columns = parts[0].shape[1:]
    if len(parts) > 1:
        answer = arrays.concatenate(parts)
    else:
        answer = parts[0].copy() if in_place else parts[0]
    answer = arrays.reshape(answer, run.shape + columns)
    return answer if run.shape or columns or not in_place else answer[()]


def _indexed(
    source: RowSource,
    rows: Array,
    block: tuple[int, int],
    held: tuple[int, int],
    transposed: bool,
    index: Any,
) -> Any:
    """The elements of an index of a block that is there as one array, or None."""
    dense, number = source.views(rows, block, held, transposed)
    try:
        answer: Any = dense[index]
        if not isinstance(answer, np.ndarray):
            source.hit(1)
            return answer
        named = number[index]
        if answer.base is not None and np.may_share_memory(answer, rows):
            steps = zip(named.shape, named.strides, strict=True)
            count = prod([n for n, step in steps if step]) if named.size else 0
            answer = answer.copy()
        else:
            count = _distinct(named, len(rows))
            # NumPy's arrays are in the order of their axes.
            answer = answer if answer.flags.c_contiguous else answer.copy()
    except IndexError:
        return None
    source.hit(count)
    return answer


def _distinct(ids: Ids, size: int) -> int:
    """How many of the numbers below `size` occur."""
    if ids.size <= _FEW:
        return len(set(ids.ravel().tolist()))
    there = np.zeros(size, np.bool_)
    there[ids] = True
    return int(np.count_nonzero(there))
