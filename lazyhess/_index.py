"""A NumPy index -> which rows and columns it names, and how the answer is arranged.

Pure functions. NumPy itself does the indexing, on small arrays of ids: the ids of the rows of
x_i fill the axes of x_i and have length 1 along all others, and so for the columns and the
leading axes. Indexed, the three broadcast to the shape of the answer. That covers every form
of index, pointwise or outer, with NumPy's own rules for where axes go and NumPy's own errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from lazyhess._tangents import Ids, Shape


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


def select(index: Any, lead: Shape, rows: Shape, columns: Shape, *, transposed: bool) -> Selection:
    """What `index` names in an array of shape ``lead + rows + columns`` (or its transpose)."""
    groups = (lead, rows, columns)
    shape = lead + rows + columns
    of_axis = [group for group, part in enumerate(groups) for _ in part]
    if transposed:
        shape, of_axis = shape[::-1], of_axis[::-1]
    # NumPy checks the index and tells the shape, on an array without elements' memory, and, as it
    # goes through the elements that an index array picks, without the axes behind the index.
    given = index if isinstance(index, tuple) else (index,)
    named = sum(_axes_of(_array(item)) for item in given)
    behind: Shape = ()
    if named <= len(shape) and not any(item is Ellipsis for item in given):
        while given and _is_all(given[-1]):
            given, named = given[:-1], named - 1
            index = given
        behind = shape[named:]
    short = shape[: len(shape) - len(behind)] + (1,) * len(behind)
    whole = np.broadcast_to(np.empty((), "V0"), short)[index]
    scalar = not isinstance(whole, np.ndarray)
    found: Shape = () if scalar else whole.shape[: whole.ndim - len(behind)] + behind
    if not scalar and 0 in found:
        nothing = np.zeros(found, np.intp)
        return Selection(nothing, nothing, nothing, found, scalar)
    items, of_axis = _aligned(index, shape, of_axis)
    ids = []
    for group, part in enumerate(groups):
        own = [axis for axis, owner in enumerate(of_axis) if owner == group]
        grid = np.arange(prod(part), dtype=np.intp).reshape(part)
        thin = [1] * len(of_axis)
        for axis, n in zip(own, part[::-1] if transposed else part, strict=True):
            thin[axis] = n
        grid = (grid.T if transposed else grid).reshape(thin)
        mine = tuple(item if axis is None or axis in own else _thin(item) for item, axis in items)
        ids.append(np.asarray(grid[mine]))
    return Selection(ids[0], ids[1], ids[2], found, scalar)


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


def _is_all(item: Any) -> bool:
    return isinstance(item, slice) and item == slice(None)


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
