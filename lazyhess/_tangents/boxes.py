"""Boxes: entries of a sparse block that form a grid, known by a few numbers instead of by arrays.

What slices make of unit seeds are boxes: finite differences, chains, stencils on grids. Where all
entries of a block are in boxes, maps move the boxes, and read and write values by strides; the
seed and the position of every entry are worked out only where somebody asks for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import NamedTuple, TypeAlias

import numpy as np

from lazyhess._costs import COSTS
from lazyhess._create import accumulator, asarray, buffer, strided
from lazyhess._indices import Array, Ids, Shape, evenly


class Box(NamedTuple):
    """Entries in a grid: one step along its axis k moves position and seed by so much."""

    lengths: Shape  # none is 1
    pos: int  # of the first entry: flat, in the shape of the block
    steps: Shape  # none is negative
    seed: int
    strides: Shape

    @property
    def size(self) -> int:
        """How many entries there are."""
        return prod(self.lengths)

    def seeds(self) -> Ids:
        """The seed of every entry."""
        return _grid(self.seed, self.strides, self.lengths)

    def positions(self) -> Ids:
        """The position of every entry."""
        return _grid(self.pos, self.steps, self.lengths)

    def within(self, array: Array) -> Array:
        """The elements at the positions of the entries; a view of a contiguous array."""
        return strided(array, self.lengths, self.steps, self.pos)


class Cut(NamedTuple):
    """A part of the entries of a box: the box's first entry in its block, and past its last."""

    start: int
    stop: int
    lengths: Shape
    at: tuple[slice, ...]


def _grid(start: int, steps: Shape, lengths: Shape) -> Ids:
    grid = np.full(1, start, np.intp)
    for step, length in zip(steps, lengths, strict=True):
        grid = (grid[:, None] + np.arange(length) * step).reshape(-1)
    return grid


def worthwhile(boxes: Sequence[Box]) -> bool:
    """Whether boxes are large enough to be faster than index arrays."""
    entries = sum(box.size for box in boxes)
    runs = sum(prod(box.lengths[:-1]) for box in boxes)
    return COSTS.box * len(boxes) + COSTS.run * runs <= entries


def spans(boxes: Sequence[Box]) -> list[tuple[Box, int, int]]:
    """Boxes, and where in their block their entries begin and end."""
    table, start = [], 0
    for box in boxes:
        stop = start + box.size
        table.append((box, start, stop))
        start = stop
    return table


def _widths(shape: Shape) -> Shape:
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _pieces(start: int, stop: int, shape: Shape) -> Iterator[tuple[int, Shape, Shape]]:
    """A run of flat positions as grids in a shape: first position, lengths and steps of each."""
    if len(shape) < 2:
        yield start, (stop - start,), (1,)
        return
    width = prod(shape[1:])
    base = start // width * width
    if start > base or stop < base + width:
        end = min(stop, base + width)
        for first, lengths, steps in _pieces(start - base, end - base, shape[1:]):
            yield base + first, lengths, steps
        start = end
    full = (stop - start) // width
    if full > 0:
        yield start, (full, *shape[1:]), _widths(shape)
        start += full * width
    if start < stop:
        for first, lengths, steps in _pieces(0, stop - start, shape[1:]):
            yield start + first, lengths, steps


def _axes(box: Box, shape: Shape) -> list[int] | None:
    """The axis of the shape that each axis of the box moves along; ``None`` if there is none."""
    widths = _widths(shape)
    reach = [box.pos // width % n for n, width in zip(shape, widths, strict=True)]
    axes: list[int] = []
    for length, step in zip(box.lengths, box.steps, strict=True):
        axis = 0
        while axis < len(shape) and (shape[axis] == 1 or widths[axis] > step):
            axis += 1
        if axis == len(shape) or step % widths[axis]:
            return None
        reach[axis] += (length - 1) * (step // widths[axis])
        axes.append(axis)
    return axes if all(at < n for at, n in zip(reach, shape, strict=True)) else None


def _placed(box: Box, shape: Shape) -> list[tuple[Box, list[int]]] | None:
    """The box in pieces that are boxes in that shape, with their axes; entries stay in order."""
    axes = _axes(box, shape)
    if axes is not None:
        return [(box, axes)]
    if box.steps != (1,):
        return None
    pieces = []
    (stride,) = box.strides
    for first, lengths, steps in _pieces(box.pos, box.pos + box.size, shape):
        long = [(n, step) for n, step in zip(lengths, steps, strict=True) if n != 1]
        lengths, steps = tuple(n for n, _ in long), tuple(step for _, step in long)
        seed = box.seed + (first - box.pos) * stride
        piece = Box(lengths, first, steps, seed, tuple(step * stride for step in steps))
        axes = _axes(piece, shape)
        if axes is None:
            return None
        pieces.append((piece, axes))
    return pieces


# A slice along one axis: start, step, length, and the strides of the axis in the array and in what
# is picked from it, where that has the axis, else 0.
Range: TypeAlias = tuple[int, int, int, int, int]


def picked(
    boxes: Sequence[Box], shape: Shape, ranges: Sequence[Range]
) -> tuple[list[Box], list[Cut] | None] | None:
    """The boxes in what slices pick, and where their values are; ``None`` if that is no boxes.

    Instead of a list of cuts there is ``None`` if all entries stay.
    """
    if any(step < 0 for _, step, *_ in ranges):
        return None
    kept: list[Box] = []
    cuts: list[Cut] = []
    whole = True
    for box, start, _ in spans(boxes):
        pieces = _placed(box, shape)
        if pieces is None:
            return None
        for piece, axes in pieces:
            if len(set(axes)) < len(axes):
                return None
            stop = start + piece.size
            part = _picked(piece, axes, shape, ranges)
            if part is None:
                return None
            left, index = part
            if left is not None:
                kept.append(left)
                cuts.append(Cut(start, stop, piece.lengths, index))
            whole = whole and left is not None and left.size == piece.size
            start = stop
    return kept, None if whole else cuts


def _picked(
    box: Box, axes: list[int], shape: Shape, ranges: Sequence[Range]
) -> tuple[Box | None, tuple[slice, ...]] | None:
    pos, seed = 0, box.seed
    grid = [(length, 0, slice(0, length, 1)) for length in box.lengths]
    for axis, (first, step, length, width, held) in enumerate(ranges):
        at = box.pos // width % shape[axis] - first
        last = step * (length - 1)
        if axis not in axes:
            if not 0 <= at <= last or at % step:
                return None, ()
            pos += at // step * held
            continue
        k = axes.index(axis)
        pace = box.steps[k] // width
        begin = max(0, -(at // pace))
        if pace % step == 0:
            if at % step:
                return None, ()
            stride = 1
        elif pace == 1:
            begin += -(at + begin) % step
            stride = step
        else:
            return None
        end = min(box.lengths[k], (last - at) // pace + 1)
        taken = len(range(begin, end, stride))
        if taken <= 0:
            return None, ()
        pos += (at + begin * pace) // step * held
        seed += begin * box.strides[k]
        grid[k] = taken, pace * stride // step * held, slice(begin, end, stride)
    long = [k for k, (taken, _, _) in enumerate(grid) if taken != 1]
    left = Box(
        tuple(grid[k][0] for k in long),
        pos,
        tuple(grid[k][1] for k in long),
        seed,
        tuple(box.strides[k] * grid[k][2].step for k in long),
    )
    return left, tuple(index for *_, index in grid)


def cut(val: Array, cuts: Sequence[Cut]) -> Array:
    """The values of parts of boxes, one after the other."""
    parts = [val[c.start : c.stop].reshape(c.lengths)[c.at] for c in cuts]
    size = sum(part.size for part in parts)
    if val.strides == (0,):
        return np.broadcast_to(val[:1].reshape(()), (size,))
    if len(parts) == 1:
        return parts[0].reshape(-1)
    out = buffer((size,), val.dtype)
    start = 0
    for part in parts:
        out[start : start + part.size].reshape(part.shape)[...] = part
        start += part.size
    return out


def put_back(boxes: Sequence[Box], shape: Shape, ranges: Sequence[Range]) -> list[Box] | None:
    """The boxes in an array that slices pick `shape` from; ``None`` if that is no boxes.

    The entries stay in order.
    """
    if any(step < 0 for _, step, *_ in ranges):
        return None
    widths = _widths(shape)
    along = {held: step * width for _, step, length, width, held in ranges if length != 1}
    moved: list[Box] = []
    for box in boxes:
        pieces = _placed(box, shape)
        if pieces is None:
            return None
        for piece, axes in pieces:
            pos = 0
            for first, step, length, width, held in ranges:
                at = piece.pos // held % length if held else 0
                pos += (first + at * step) * width
            steps = tuple(
                step // widths[axis] * along[widths[axis]]
                for step, axis in zip(piece.steps, axes, strict=True)
            )
            moved.append(piece._replace(pos=pos, steps=steps))
    return moved


def weigh(spans: Sequence[tuple[Box, int, int]], val: Array, weights: Array) -> Array:
    """Values times the weights at their positions; `weights` is C-contiguous."""
    out = buffer((len(val),), np.result_type(val, weights))
    for box, start, stop in spans:
        np.multiply(
            val[start:stop].reshape(box.lengths),
            box.within(weights),
            out=out[start:stop].reshape(box.lengths),
        )
    return out


def disjoint(boxes: Sequence[Box]) -> bool:
    """Whether no entry stands twice, as far as different diagonals tell."""
    straight = all(box.steps == box.strides for box in boxes)
    return straight and len({box.pos - box.seed for box in boxes}) == len(boxes)


class Comb(NamedTuple):
    """Entries `start` to `stop` are added every `step` places, from `first` on."""

    start: int
    stop: int
    first: int
    step: int


def comb(val: Array, combs: Sequence[Comb], total: int) -> Array:
    """Values added up into an array of `total` elements."""
    single = val.dtype.kind == "f" and val.itemsize < 8  # added up in double precision
    out = accumulator((total,), np.float64 if single else val.dtype)
    for start, stop, first, step in combs:
        out[first : first + (stop - start - 1) * step + 1 : step] += val[start:stop]
    return out.astype(val.dtype, copy=False)


def merged(boxes: Sequence[Box], count: int) -> tuple[Ids, Ids, Ids | list[Comb]] | None:
    """Seeds and positions without repeats, sorted, and where in them every entry is added.

    Of boxes along few diagonals, where the position less the seed is constant: a table of seeds
    and diagonals tells what stands where, without sorting. ``None`` for others.
    """
    if any(box.steps != box.strides for box in boxes):
        return None
    diagonals = sorted({box.pos - box.seed for box in boxes})
    each = {diagonal: k for k, diagonal in enumerate(diagonals)}
    entries, width = sum(box.size for box in boxes), len(diagonals)
    if count * width > COSTS.table * entries:
        return None
    there = np.zeros(count * width, np.bool_)
    held = []
    for box in boxes:
        first = box.seed * width + each[box.pos - box.seed]
        held.append((tuple(stride * width for stride in box.strides), first))
        strided(there, box.lengths, *held[-1])[...] = True
    rank: Ids = np.cumsum(there, dtype=np.intp)
    rank -= 1
    at = np.flatnonzero(there)
    seed = at // width
    at -= seed * width
    pos = asarray(diagonals, np.intp).take(at)
    pos += seed
    combs = _combs(boxes, held, rank)
    if combs is not None:
        return seed, pos, combs
    places = buffer((entries,), np.intp)
    for (box, start, stop), place in zip(spans(boxes), held, strict=True):
        places[start:stop].reshape(box.lengths)[...] = strided(rank, box.lengths, *place)
    return seed, pos, places


def _combs(boxes: Sequence[Box], held: Sequence[tuple[Shape, int]], rank: Ids) -> list[Comb] | None:
    """The places of lines of entries, where they are as far from each other all along."""
    combs = []
    for (box, start, stop), place in zip(spans(boxes), held, strict=True):
        if len(box.lengths) > 1:
            return None
        places = strided(rank, box.lengths, *place).reshape(-1)
        step = int(places[1] - places[0]) if box.lengths else 1
        if not evenly(places, step):
            return None
        combs.append(Comb(start, stop, int(places[0]), step))
    return combs
