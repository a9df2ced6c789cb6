"""Maps that walk along axes: reshape, permute, sum, broadcast, running sum."""

from __future__ import annotations

from math import prod

import numpy as np

from lazyhess._costs import COSTS
from lazyhess._indices import Array, Ids, Shape
from lazyhess._maps.base import NOTHING, Axes, Map, thin
from lazyhess._tangents import Block, KhatriRao, Pattern, SourceView, Sparse, settle, spread

# Sums of more elements than this are left to `numpy.add.reduce`, which adds pairs up.
_LONG = 512
# Sums of fewer are not worth a product of matrices each.
_FEW = 8


def followed(
    axes: tuple[int, ...], inp: Shape, out: Shape, without: tuple[int, ...] = ()
) -> tuple[int, ...] | None:
    """Positions in `out` of the given axes of `inp`, or None if the reshape splits or merges one.

    Each has a place of its own, which is none of `without`.
    """
    if 0 in inp:
        return None
    places: list[int] = []
    for axis in axes:
        before, n = prod(inp[:axis]), inp[axis]
        at = [
            k
            for k, m in enumerate(out)
            if m == n and prod(out[:k]) == before and k not in without and k not in places
        ]
        if not at:
            return None
        places.append(at[-1])
    return tuple(places)


class Reshape(Map):
    """The same elements in another shape: the identity, up to shape."""

    def __init__(self, inp: Shape, out: Shape) -> None:
        self.inp = inp
        self.out = out

    def dense(self, block: Array) -> Array:
        return block.reshape((block.shape[0], *self.out))

    def sparse(self, block: Sparse) -> Sparse:
        pattern = block.pattern
        if self.inp == self.out:
            return block

        def make() -> Pattern:
            if pattern.boxes:
                boxes = list(pattern.boxes)
                moved = pattern.boxed(self.out, boxes, distinct=pattern.distinct)
            else:
                moved = pattern.moved(self.out, pattern.pos, distinct=pattern.distinct)
            moved.view = pattern.view and self.view(pattern.view)
            return moved

        return Sparse(pattern.derive(("reshape", self.out), make), block.val)

    def view(self, view: SourceView) -> SourceView | None:
        return view if view.axes is None or self.inp == self.out else None

    def out_axes(self, axes: Axes) -> Axes | None:
        return followed(axes, self.inp, self.out)

    def at_one_place(self, axes: Axes, out_axes: Axes) -> Map | None:
        return Reshape(thin(self.inp, axes), thin(self.out, out_axes))

    def reach(self, labels: Ids) -> Ids:
        return labels.reshape(self.out)

    def batched(self, count: int) -> Map:
        return Reshape((count, *self.inp), (count, *self.out))

    @property
    def T(self) -> Map:
        return self if self.inp == self.out else Reshape(self.out, self.inp)


class Permute(Map):
    """Axes in another order, as `numpy.transpose`."""

    def __init__(self, inp: Shape, axes: tuple[int, ...]) -> None:
        self.inp = inp
        self.axes = axes
        self.out = tuple(inp[axis] for axis in axes)

    def dense(self, block: Array) -> Array:
        turned: Array = block.transpose((0, *(axis + 1 for axis in self.axes)))
        return turned

    def sparse(self, block: Sparse) -> Sparse:
        pattern = block.pattern

        def make() -> Pattern:
            pos = pattern.project(self.axes)
            moved = pattern.moved(self.out, pos, distinct=pattern.distinct)
            moved.view = pattern.view and self.view(pattern.view)
            return moved

        return Sparse(pattern.derive(("permute", self.axes), make), block.val)

    def view(self, view: SourceView) -> SourceView | None:
        return SourceView(view.start, view.stop, self.axes) if view.axes is None else None

    def out_axes(self, axes: Axes) -> Axes | None:
        return tuple(self.axes.index(axis) for axis in axes)

    def at_one_place(self, axes: Axes, out_axes: Axes) -> Map | None:
        return Permute(thin(self.inp, axes), self.axes)

    def reach(self, labels: Ids) -> Ids:
        return labels.transpose(self.axes)

    @property
    def T(self) -> Map:
        return Permute(self.out, tuple(int(axis) for axis in np.argsort(self.axes)))


class Reduce(Map):
    """The sum over some axes. `out` may keep some of them with length 1."""

    def __init__(self, inp: Shape, axes: tuple[int, ...], out: Shape) -> None:
        self.inp = inp
        self.axes = axes
        self.out = out
        self.kept = tuple(axis for axis in range(len(inp)) if axis not in axes)

    def dense(self, block: Array) -> Array:
        # A stride-0 axis need not be walked: its sum is its length times one element.
        factor = 1
        for axis in self.axes:
            if block.strides[axis + 1] == 0 and block.shape[axis + 1] != 0:
                factor *= block.shape[axis + 1]
                block = block[(slice(None),) * (axis + 1) + (slice(0, 1),)]
        result = summed(block, tuple(axis + 1 for axis in self.axes))
        if factor != 1:
            result = result * result.dtype.type(factor)
        return result.reshape((block.shape[0], *self.out))

    def sparse(self, block: Sparse) -> Sparse | Array:
        pattern = block.pattern

        def make() -> Pattern:
            whole = all(self.inp[axis] == 1 for axis in self.axes)
            return pattern.moved(
                self.out, pattern.project(self.kept), distinct=pattern.distinct and whole
            )

        return settle(Sparse(pattern.derive(("reduce", self.axes, self.out), make), block.val))

    def out_axes(self, axes: Axes) -> Axes | None:
        if not set(axes) <= set(self.kept):
            return None
        thin = tuple(1 if axis in self.axes else n for axis, n in enumerate(self.inp))
        return followed(axes, thin, self.out)

    def at_one_place(self, axes: Axes, out_axes: Axes) -> Map | None:
        return Reduce(thin(self.inp, axes), self.axes, thin(self.out, out_axes))

    def khatri_rao(self, block: KhatriRao) -> Block:
        inner, axes = block.inner, block.axes
        if isinstance(inner, Sparse) or not set(axes) <= set(self.axes):
            return super().khatri_rao(block)
        rest = tuple(axis + 1 for axis in self.axes if axis not in axes)
        thin = [1 if axis in rest else n for axis, n in enumerate(inner.shape)]
        inner = summed(inner, rest).reshape(thin)
        inner = np.moveaxis(inner, [axis + 1 for axis in axes], range(len(axes)))
        count, others = block.grid
        grid = np.matmul(
            block.weights.reshape(count, block.weights[0].size),
            inner.reshape(block.weights[0].size, others * prod(self.out)),
        )
        return block.ordered(grid.reshape((count, others, *self.out)))

    def reach(self, labels: Ids) -> Ids:
        if labels.size:  # along stride-0 axes one label stands for all
            flat = [axis in self.axes and step == 0 for axis, step in enumerate(labels.strides)]
            labels = labels[tuple(slice(0, 1) if thin else slice(None) for thin in flat)]
        largest: Ids = np.max(labels, axis=self.axes, initial=NOTHING)
        return largest.reshape(self.out)

    def batched(self, count: int) -> Map:
        axes = tuple(axis + 1 for axis in self.axes)
        return Reduce((count, *self.inp), axes, (count, *self.out))

    @property
    def T(self) -> Map:
        return Expand(self.out, self.axes, self.inp)


def summed(array: Array, axes: tuple[int, ...]) -> Array:
    """The sum over some axes, as `numpy.add.reduce`, which is slow where inner axes are short."""
    order = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
    lying = array.transpose(order)  # as it lies in memory
    alike = array.dtype.kind in "fc" and array.dtype.itemsize <= (8, 16)[array.dtype.kind == "c"]
    if array.size <= COSTS.small or not alike or not lying.flags.c_contiguous:
        sums: Array = np.add.reduce(array, axis=axes)
        return sums
    while any(axis in axes for axis in order):  # neighbours at once, from the last ones on
        last = max(at for at, axis in enumerate(order) if axis in axes) + 1
        at = last - 1
        while at and order[at - 1] in axes:
            at -= 1
        shape = lying.shape
        flat = lying.reshape((prod(shape[:at]), prod(shape[at:last]), prod(shape[last:])))
        lying = _summed(flat).reshape(shape[:at] + shape[last:])
        del order[at:last]
    return lying.transpose([order.index(axis) for axis in sorted(order)])


def _summed(array: Array) -> Array:
    """The sum over the second of three axes."""
    _, count, inner = array.shape
    if (inner == 1 and count > _LONG) or inner > _LONG:
        sums: Array = np.add.reduce(array, axis=1)
    elif inner > 1 and count < _FEW:
        sums = np.einsum("anb->ab", array)
    else:  # several times faster, and as accurate where the sum is short
        ones = np.ones(count, array.dtype)
        sums = array.reshape(-1, count) @ ones if inner == 1 else np.matmul(ones, array)
    return sums


class Expand(Map):
    """The transpose of `Reduce`: the same value all along some axes of `out` (a broadcast)."""

    def __init__(self, inp: Shape, axes: tuple[int, ...], out: Shape) -> None:
        self.inp = inp
        self.axes = axes
        self.out = out
        self.thin = tuple(1 if axis in axes else n for axis, n in enumerate(out))
        self.grows = True

    def dense(self, block: Array) -> Array:
        count = block.shape[0]
        return np.broadcast_to(block.reshape((count, *self.thin)), (count, *self.out))

    def sparse(self, block: Sparse) -> Sparse | Array:
        if not self.axes:
            return Reshape(self.inp, self.out).sparse(block)
        return spread(block, self.thin, self.axes, self.out)

    def out_axes(self, axes: Axes) -> Axes | None:
        return followed(axes, self.inp, self.thin, without=self.axes)

    def at_one_place(self, axes: Axes, out_axes: Axes) -> Map | None:
        return Expand(thin(self.inp, axes), self.axes, thin(self.out, out_axes))

    def reach(self, labels: Ids) -> Ids:
        return np.broadcast_to(labels.reshape(self.thin), self.out)

    @property
    def T(self) -> Map:
        return Reduce(self.out, self.axes, self.inp)


class Accumulate(Map):
    """The running sum along an axis, forwards or backwards."""

    def __init__(self, shape: Shape, axis: int, *, backwards: bool = False) -> None:
        self.inp = self.out = shape
        self.axis = axis
        self.backwards = backwards

    def dense(self, block: Array) -> Array:
        if not self.backwards:
            return np.cumsum(block, axis=self.axis + 1, dtype=block.dtype)
        back = np.flip(block, self.axis + 1)
        return np.flip(np.cumsum(back, axis=self.axis + 1, dtype=block.dtype), self.axis + 1)

    def sparse(self, block: Sparse) -> Array:
        return self.dense(block.dense())

    def out_axes(self, axes: Axes) -> Axes | None:
        return None if self.axis in axes else axes

    def at_one_place(self, axes: Axes, out_axes: Axes) -> Map | None:
        return Accumulate(thin(self.inp, axes), self.axis, backwards=self.backwards)

    def reach(self, labels: Ids) -> Ids:
        if not self.backwards:
            return np.maximum.accumulate(labels, axis=self.axis)
        return np.flip(np.maximum.accumulate(np.flip(labels, self.axis), axis=self.axis), self.axis)

    @property
    def T(self) -> Map:
        return Accumulate(self.inp, self.axis, backwards=not self.backwards)
