"""A NumPy index -> which rows and columns it names, and how the answer is arranged.

Pure functions. NumPy itself does the indexing, on small arrays of ids: the ids of the rows of
x_i fill the axes of x_i and have length 1 along all others, and so for the columns and the
leading axes. Indexed, the three broadcast to the shape of the answer. That covers every form
of index, pointwise or outer, with NumPy's own rules for where axes go and NumPy's own errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from lazyhess._indices import Ids, Shape


@dataclass(frozen=True)
class Selection:
    """The elements that an index names.

    Attributes
    ----------
    lead, rows, columns : ndarray of intp
        Flat ids within the leading axes, x_i and x_j; they broadcast to `shape`.
    shape : tuple of int
        The shape of the answer.
    scalar : bool
        Whether NumPy gives a scalar, not an array.
    """

    lead: Ids
    rows: Ids
    columns: Ids
    shape: Shape
    scalar: bool


class Run(NamedTuple):
    """Rows ``start`` to ``stop``, and the shape that stands for them in the answer."""

    start: int
    stop: int
    shape: Shape


Basic: TypeAlias = int | slice


def run_of(items: Sequence[Basic], axes: Shape) -> Run | None:
    """The rows that integers and slices name, one for each of their axes, if they are in a row."""
    start, stop = 0, 1
    shape: Shape = ()
    for item, n in zip(items, axes, strict=True):
        if isinstance(item, slice):
            first, last, step = item.indices(n)
            if step != 1 or first >= last or (shape and last - first != n):
                return None
            start, stop = start * n + first, (stop - 1) * n + last
            shape += (last - first,)
        elif shape or not -n <= item < n:
            return None
        else:
            start = start * n + item % n
            stop = start + 1
    return Run(start, stop, shape)


def select(index: Any, lead: Shape, rows: Shape, columns: Shape, *, transposed: bool) -> Selection:
    """What `index` names in an array of shape ``lead + rows + columns`` (or its transpose)."""
    groups = (lead, rows, columns)
    shape = lead + rows + columns
    of_axis = [group for group, part in enumerate(groups) for _ in part]
    if transposed:
        shape, of_axis = shape[::-1], of_axis[::-1]
    # NumPy checks the index and tells the shape, on an array without elements' memory.
    rest = _untouched(index, shape)
    thin_rest = shape[: len(shape) - rest] + (1,) * rest
    whole = np.broadcast_to(np.empty((), "V0"), thin_rest)[index]
    scalar = not isinstance(whole, np.ndarray)
    asked: Shape = () if scalar else whole.shape
    asked = asked[: len(asked) - rest] + shape[len(shape) - rest :]
    if 0 in asked:
        nothing = np.zeros(asked, np.intp)
        return Selection(nothing, nothing, nothing, asked, scalar)
    items, of_axis = _aligned(index, shape, of_axis)
    ids = []
    for group, part in enumerate(groups):
        own = [axis for axis, owner in enumerate(of_axis) if owner == group]
        if prod(part) > _LARGE:
            ids.append(_without_grid(items, own, part, len(of_axis), transposed))
            continue
        grid = np.arange(prod(part), dtype=np.intp).reshape(part)
        thin = [1] * len(of_axis)
        for axis, n in zip(own, part[::-1] if transposed else part, strict=True):
            thin[axis] = n
        grid = (grid.T if transposed else grid).reshape(thin)
        mine = tuple(item if axis is None or axis in own else _thin(item) for item, axis in items)
        ids.append(np.asarray(grid[mine]))
    return Selection(ids[0], ids[1], ids[2], asked, scalar)


def _untouched(index: Any, shape: Shape) -> int:
    """How many axes at the end an index with arrays does not name, where its check would copy."""
    items = index if isinstance(index, tuple) else (index,)
    arrays = any(isinstance(item, (list, np.ndarray)) for item in items)
    if prod(shape) <= _LARGE or not arrays or any(item is Ellipsis for item in items):
        return 0
    return max(0, len(shape) - sum(_axes_of(_array(item)) for item in items))


# Ids of which no grid is made where few of them may be wanted.
_LARGE = 1 << 12


def _without_grid(
    items: list[tuple[Any, int | None]], own: list[int], part: Shape, ndim: int, transposed: bool
) -> Ids:
    """The ids of one group, as a sum over its axes: each by the positions that it names alone."""
    total: Ids = np.zeros((), np.intp)
    stride = 1
    named = {axis: item for item, axis in items if axis is not None}
    for axis, n in zip(own if transposed else own[::-1], part[::-1], strict=True):
        item = named[axis]
        place: Any  # the item for an array of its positions alone
        if isinstance(item, slice):
            positions, place = np.arange(*item.indices(n), dtype=np.intp), slice(None)
        elif isinstance(item, int):
            positions, place = np.array([item % n], np.intp), 0
        else:
            positions = item.reshape(-1).astype(np.intp) % n
            place = np.arange(item.size).reshape(item.shape)
        thin = [1] * ndim
        thin[axis] = len(positions)
        mine = tuple(
            place if at == axis else item if at is None else _thin(item) for item, at in items
        )
        total = total + (stride * positions).reshape(thin)[mine]
        stride *= n
    return np.asarray(total)


def _aligned(
    index: Any, shape: Shape, of_axis: list[int]
) -> tuple[list[tuple[Any, int | None]], list[int]]:
    """A valid index as one item for each axis (and ``None`` items), masks as positions.

    A truth value stands for an axis of length 1 of its own: it is added to the axes, without
    an owner.
    """
    items = list(index) if isinstance(index, tuple) else [index]
    fixed = [_array(item) for item in items]
    used = sum(_axes_of(item) for item in fixed)
    dots = [k for k, item in enumerate(fixed) if item is Ellipsis]
    at = dots[0] if dots else len(fixed)
    # An ellipsis that stands for no axis still keeps integer arrays apart, as NumPy has it.
    rest: list[Any] = [slice(None)] * (len(shape) - used)
    fixed[at : at + 1] = rest or [Ellipsis] * len(dots)
    aligned: list[tuple[Any, int | None]] = []
    owners: list[int] = []
    old = 0
    for item in fixed:
        if item is None or item is Ellipsis:
            aligned.append((item, None))
        elif isinstance(item, np.ndarray) and item.dtype == np.bool_:
            if item.ndim == 0:
                aligned.append((np.zeros(int(item), np.intp), len(owners)))
                owners.append(-1)
            for positions in item.nonzero() if item.ndim else ():
                aligned.append((positions, len(owners)))
                owners.append(of_axis[old])
                old += 1
        else:
            aligned.append((item, len(owners)))
            owners.append(of_axis[old])
            old += 1
    return aligned, owners


def _array(item: Any) -> Any:
    """Lists and other array-likes as arrays; integers as int; the rest as it is."""
    if item is None or item is Ellipsis or isinstance(item, slice):
        return item
    if isinstance(item, (int, np.integer)) and not isinstance(item, bool):
        return int(item)
    array = np.asarray(item)
    if array.size == 0 and array.dtype.kind == "f":
        array = array.astype(np.intp)  # an empty list names nothing
    return array


def _axes_of(item: Any) -> int:
    if item is None or item is Ellipsis:
        return 0
    if isinstance(item, np.ndarray) and item.dtype == np.bool_:
        return item.ndim
    return 1


def _thin(item: Any) -> Any:
    """The item for an axis that has length 1 in the ids of another group."""
    if isinstance(item, slice):
        return slice(None)
    if isinstance(item, int):
        return 0
    return np.zeros((1,) * item.ndim, np.intp)
