"""Linear maps: what Jacobians and curvatures are made of.

A closed little algebra. Each map knows how to act on a dense block (`dense`), on a sparse one
(`sparse`), and its transpose (`T`); `apply` chooses by kind, and zero stays zero. Blocks have a
leading seed axis that every map leaves alone, so that one call pushes all seeds of a pass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property, lru_cache
from math import isfinite, prod
from typing import Any

import numpy as np

from lazyhess._tangents import (
    ENTRY_COST,
    SMALL,
    Array,
    Block,
    Ids,
    Pattern,
    Shape,
    Sparse,
    compact,
    compactly,
    divide,
    embed,
    runs,
    settle,
    strides,
)

# The label of what depends on nothing.
NOTHING = np.iinfo(np.intp).min


class Map(ABC):
    """A linear map from arrays of shape `inp` to arrays of shape `out`."""

    inp: Shape
    out: Shape
    grows = False  # whether it can give more elements than it takes

    @property
    def finite(self) -> bool:
        """Whether no number in the map is infinite or NaN."""
        return True

    def apply(self, block: Block) -> Block:
        """The map of each of the K arrays of a block."""
        if block is None:
            return None
        if isinstance(block, Sparse):
            return self.sparse(block)
        if self.grows and block.size <= SMALL:
            return self._grow(block)
        return self.dense(block)

    def _grow(self, block: Array) -> Sparse | Array:
        """Make a small block larger: it became dense for being small, and may be sparse again."""
        if len(block) * prod(self.out) > SMALL:
            entries = np.count_nonzero(block)
            if entries * ENTRY_COST <= block.size:
                return self.sparse(Sparse.of(block))
        return self.dense(block)

    @abstractmethod
    def dense(self, block: Array) -> Sparse | Array: ...

    @abstractmethod
    def sparse(self, block: Sparse) -> Sparse | Array: ...

    @abstractmethod
    def reach(self, labels: Ids) -> Ids:
        """The largest label among the inputs that each output depends on, else `NOTHING`."""

    @property
    @abstractmethod
    def T(self) -> Map: ...


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
            moved = pattern.moved(self.out, pattern.pos, distinct=pattern.distinct)
            moved.start = pattern.start
            return moved

        return Sparse(pattern.derive(("reshape", self.out), make), block.val)

    def reach(self, labels: Ids) -> Ids:
        return labels.reshape(self.out)

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
        made: Array = block.transpose((0, *(axis + 1 for axis in self.axes)))
        return made

    def sparse(self, block: Sparse) -> Sparse:
        pattern = block.pattern

        def make() -> Pattern:
            return pattern.moved(self.out, pattern.project(self.axes), distinct=pattern.distinct)

        return Sparse(pattern.derive(("permute", self.axes), make), block.val)

    def reach(self, labels: Ids) -> Ids:
        return labels.transpose(self.axes)

    @property
    def T(self) -> Map:
        return Permute(self.out, tuple(int(axis) for axis in np.argsort(self.axes)))


class Reduce(Map):
    """The sum over some axes. `out` may keep them with length 1."""

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
        result: Array = np.add.reduce(block, axis=tuple(axis + 1 for axis in self.axes))
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

    def reach(self, labels: Ids) -> Ids:
        if labels.size:  # along stride-0 axes one label stands for all
            flat = [axis in self.axes and step == 0 for axis, step in enumerate(labels.strides)]
            labels = labels[tuple(slice(0, 1) if thin else slice(None) for thin in flat)]
        made: Ids = np.max(labels, axis=self.axes, initial=NOTHING)
        return made.reshape(self.out)

    @property
    def T(self) -> Map:
        return Expand(self.out, self.axes, self.inp)


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
        pattern = block.pattern
        if not self.axes:
            return Reshape(self.inp, self.out).sparse(block)
        copies = prod(self.out[axis] for axis in self.axes)
        total = pattern.count * prod(self.out)
        if total <= SMALL or len(pattern.pos) * copies * ENTRY_COST > total:
            return self.dense(block.dense())

        def make() -> Pattern:
            width = strides(self.out)
            base = embed(pattern.pos, self.thin, width)
            along = embed(
                np.arange(copies),
                tuple(self.out[axis] for axis in self.axes),
                [width[axis] for axis in self.axes],
            )
            pos = (base[:, None] + along).reshape(-1)
            seed = np.repeat(pattern.seed, copies)
            return Pattern(
                pattern.count,
                self.out,
                seed,
                pos,
                distinct=pattern.distinct,
                core=pattern.core * copies,
            )

        moved = pattern.derive(("expand", self.axes, self.out), make)
        return Sparse(moved, np.repeat(block.val, copies))

    def reach(self, labels: Ids) -> Ids:
        return np.broadcast_to(labels.reshape(self.thin), self.out)

    @property
    def T(self) -> Map:
        return Reduce(self.out, self.axes, self.inp)


def all_finite(array: Array) -> bool:
    """Whether no element is infinite or NaN."""
    if array.size == 1:
        return isfinite(array.item()) if array.dtype.kind != "c" else bool(np.isfinite(array))
    with np.errstate(all="ignore"):
        # The sum is not finite where an item is not; where it merely overflows, look closer.
        return bool(np.isfinite(array.sum())) or bool(np.isfinite(array).all())


class Weighted(Map):
    """A map with numbers in it, which may be infinite or NaN."""

    weights: Array
    _finite: bool | None = None

    @property
    def finite(self) -> bool:
        """Whether all weights are."""
        if self._finite is None:
            self._finite = all_finite(compact(self.weights))
        return self._finite

    def apply(self, block: Block) -> Block:
        if block is None:
            return None
        if isinstance(block, Sparse):
            return self.sparse(block)
        # A dense zero means "not there" as well as the number; an infinity must not meet it.
        return super().apply(block) if self.finite else self.sparse(Sparse.of(block))


class Scale(Weighted):
    """Each element times a weight of its own: a diagonal map."""

    def __init__(self, weights: Array, shape: Shape) -> None:
        self.inp = self.out = shape
        self.weights = compact(weights)  # broadcasts to `shape`

    def apply(self, block: Block) -> Block:
        if isinstance(block, np.ndarray) and self.finite:
            return self.dense(block)
        return super().apply(block)

    def dense(self, block: Array) -> Array:
        if block.size <= SMALL or 0 not in block.strides:
            made: Array = block * self.weights
            return made
        whole = np.broadcast_to(self.weights, self.inp)
        return compactly(np.multiply, block, np.broadcast_to(whole, block.shape))

    def sparse(self, block: Sparse) -> Sparse:
        weights = pick(self.weights, block.pattern)
        val = block.val * weights
        if not self.finite:
            val[block.val == 0] = 0
        return Sparse(block.pattern, val)

    def reach(self, labels: Ids) -> Ids:
        return labels

    @property
    def T(self) -> Map:
        return self


def pick(weights: Array, pattern: Pattern) -> Array:
    """The weights at the positions of a pattern; `weights` broadcasts to the pattern's shape."""
    if weights.size == 1:
        return weights.reshape(())
    if weights.shape == pattern.shape:
        if weights.flags.c_contiguous:
            return weights.reshape(-1).take(pattern.pos)
        axes = tuple(range(weights.ndim))
        return weights[tuple(pattern.project((axis,)) for axis in axes)]
    lead = len(pattern.shape) - weights.ndim
    axes = tuple(axis + lead for axis, n in enumerate(weights.shape) if n != 1)
    return weights.reshape(-1).take(pattern.project(axes))


class Mask(Map):
    """Elements where `mask` holds, zero elsewhere: whatever stands there, NaN too, is dropped."""

    def __init__(self, mask: Array, shape: Shape) -> None:
        self.inp = self.out = shape
        self.mask = mask

    def dense(self, block: Array) -> Array:
        return np.where(self.mask, block, block.dtype.type(0))

    def sparse(self, block: Sparse) -> Sparse:
        pattern = block.pattern

        def make() -> tuple[Pattern, Ids, Mask]:
            keep = np.flatnonzero(np.broadcast_to(pick(self.mask, pattern), pattern.pos.shape))
            moved = pattern.moved(
                self.out, pattern.pos[keep], seed=pattern.seed[keep], distinct=pattern.distinct
            )
            return moved, keep, self

        moved, keep, _ = pattern.derive(("mask", id(self)), make)
        return Sparse(moved, block.val[keep])

    def reach(self, labels: Ids) -> Ids:
        return np.where(self.mask, labels, NOTHING)

    @property
    def T(self) -> Map:
        return self


class Gather(Map):
    """Some elements, as ``array[index]``: every form of index, repeats included."""

    def __init__(self, inp: Shape, index: tuple[Any, ...], out: Shape) -> None:
        self.inp = inp
        self.index = index
        self.out = out
        self.grows = prod(out) > prod(inp)
        self.basic = all(
            item is None
            or item is Ellipsis
            or (isinstance(item, (int, np.integer, slice)) and not isinstance(item, bool))
            for item in index
        )

    @cached_property
    def source(self) -> Ids:
        """The flat position in the input of every element of the output."""
        grid: Ids = np.arange(prod(self.inp), dtype=np.intp).reshape(self.inp)
        picked: Ids = grid[self.index]
        return picked.reshape(-1)

    @cached_property
    def targets(self) -> tuple[Ids, Ids, Ids]:
        """The output positions sorted by source, where each source's run starts, the sources."""
        return runs(self.source)

    @cached_property
    def ranges(self) -> list[tuple[int, int, int, int, int]]:
        """A basic index, an axis of the input at a time: start, step, length, both strides.

        An integer is a range of length 1 without an axis in the output.
        """
        if len(self.index) == len(self.inp) == 1 and isinstance(self.index[0], int):
            # A scalar of a vector: what loops over scalars are made of.
            return [(self.index[0] % self.inp[0], 1, 1, 1, 0)]
        items = [item for item in self.index if item is not None]
        if Ellipsis in items:
            at = items.index(Ellipsis)
            items[at : at + 1] = [slice(None)] * (len(self.inp) - len(items) + 1)
        items += [slice(None)] * (len(self.inp) - len(items))
        table = []
        width = prod(self.inp)
        held = prod(self.out)
        for item, n in zip(items, self.inp, strict=True):
            width //= max(n, 1)
            if isinstance(item, slice):
                start, stop, step = item.indices(n)
                length = len(range(start, stop, step))
                held //= max(length, 1)
                table.append((start, step, length, width, held))
            else:
                table.append((int(item) % n, 1, 1, width, 0))
        return table

    def dense(self, block: Array) -> Array:
        if self.basic:
            return block[(slice(None), *self.index)]
        flat = block.reshape(block.shape[0], prod(self.inp))
        return flat.take(self.source, axis=1).reshape((block.shape[0], *self.out))

    def sparse(self, block: Sparse) -> Sparse | Array:
        pattern = block.pattern
        make = self._slice if self.basic else self._pick
        moved, keep = pattern.derive(("gather", id(self)), lambda: (self, make(pattern)))[1]
        return settle(Sparse(moved, block.val if keep is None else block.val[keep]))

    def _slice(self, pattern: Pattern) -> tuple[Pattern, Ids | slice | None]:
        if pattern.start is not None and len(self.inp) == 1 and self.ranges[0][1] == 1:
            # Identity seeds in order: the hits are a slice of them.
            first, _, length, _, held = self.ranges[0]
            lo = max(first - pattern.start, 0)
            hi = max(min(first + length - pattern.start, pattern.count), lo)
            pos = pattern.pos[lo:hi] - first if held else np.zeros(hi - lo, np.intp)
            seed = pattern.seed[lo:hi]
            return pattern.moved(self.out, pos, seed=seed, distinct=True), slice(lo, hi)
        keep: Ids | None = None
        hits: list[tuple[Ids, int]] = []
        inside: Array | None = None
        for axis, (start, step, length, _, held) in enumerate(self.ranges):
            whole = start == 0 and step == 1 and length == self.inp[axis]
            at = pattern.project((axis,))
            if not whole:
                offset = at - start if step > 0 else start - at
                test = (offset >= 0) & (offset < length * abs(step))
                if abs(step) != 1:
                    at, rest = divide(offset, abs(step))
                    test &= rest == 0
                else:
                    at = offset
                inside = test if inside is None else inside & test
            if held:
                hits.append((at, held))
        if inside is not None:
            keep = np.flatnonzero(inside)
            hits = [(at[keep], held) for at, held in hits]
        seed = pattern.seed if keep is None else pattern.seed[keep]
        pos = np.zeros(len(seed), np.intp)
        for at, held in hits:
            pos = pos + (at if held == 1 else at * held)
        return pattern.moved(self.out, pos, seed=seed, distinct=pattern.distinct), keep

    def _pick(self, pattern: Pattern) -> tuple[Pattern, Ids]:
        order, starts, sources = self.targets
        lengths = np.diff(starts, append=len(order))
        at = np.searchsorted(sources, pattern.pos)
        at[at == len(sources)] = 0
        hit = np.flatnonzero(sources[at] == pattern.pos) if len(sources) else np.zeros(0, np.intp)
        at = at[hit]
        copies = lengths[at]
        keep = np.repeat(hit, copies)
        ends = np.cumsum(copies)
        along = np.arange(len(keep)) - np.repeat(ends - copies, copies)
        pos = order[np.repeat(starts[at], copies) + along]
        moved = pattern.moved(self.out, pos, seed=pattern.seed[keep], distinct=pattern.distinct)
        return moved, keep

    def reach(self, labels: Ids) -> Ids:
        made: Ids = labels[self.index]
        return made

    @property
    def T(self) -> Map:
        return Scatter(self)


class Scatter(Map):
    """The transpose of `Gather`: elements put back to where they were taken from, added up."""

    def __init__(self, gather: Gather) -> None:
        self.inp = gather.out
        self.out = gather.inp
        self.gather = gather

    def dense(self, block: Array) -> Sparse | Array:
        count = block.shape[0]
        total = count * prod(self.out)
        if total > SMALL and count * prod(self.inp) * ENTRY_COST < total:
            return self.sparse(Sparse.of(block))
        out = np.zeros((count, *self.out), block.dtype)
        if self.gather.basic:
            out[(slice(None), *self.gather.index)] = block
            return out
        order, starts, sources = self.gather.targets
        if len(sources):
            picked = block.reshape(count, len(order)).take(order, axis=1)
            if len(sources) != len(order):
                picked = np.add.reduceat(picked, starts, axis=1)
            out.reshape(count, prod(self.out))[:, sources] = picked
        return out

    def sparse(self, block: Sparse) -> Sparse | Array:
        pattern = block.pattern
        gather = self.gather

        def make() -> tuple[Pattern, Gather]:
            if not gather.basic:
                pos = gather.source[pattern.pos]
                return pattern.moved(self.out, pos), gather
            pos = np.full(
                len(pattern.pos), sum(first * width for first, _, _, width, _ in gather.ranges)
            )
            for _, step, length, width, held in gather.ranges:
                if held:
                    at = pattern.pos if held == 1 else pattern.pos // held
                    if length * held != prod(self.inp):
                        at = at % length
                    pos += at * (step * width)
            return pattern.moved(self.out, pos, distinct=pattern.distinct), gather

        moved = pattern.derive(("scatter", id(gather)), make)[0]
        return settle(Sparse(moved, block.val))

    def reach(self, labels: Ids) -> Ids:
        out = np.full(self.out, NOTHING)
        if self.gather.basic:
            out[self.gather.index] = labels
        else:
            np.maximum.at(out.reshape(-1), self.gather.source, labels.reshape(-1))
        return out

    @property
    def T(self) -> Map:
        return self.gather


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

    def reach(self, labels: Ids) -> Ids:
        if not self.backwards:
            return np.maximum.accumulate(labels, axis=self.axis)
        return np.flip(np.maximum.accumulate(np.flip(labels, self.axis), axis=self.axis), self.axis)

    @property
    def T(self) -> Map:
        return Accumulate(self.inp, self.axis, backwards=not self.backwards)


class Contract(Weighted):
    """The pairwise contraction with a fixed array, as ``einsum("in,with->out", block, weights)``.

    Labels are integers. No label stands twice in one operand, every label of `labels` stands in
    `with_` or `onto`, every label of `onto` in one of the two, and those of `with_` in the others.
    """

    def __init__(
        self,
        labels: tuple[int, ...],
        with_: tuple[int, ...],
        onto: tuple[int, ...],
        weights: Array,
        inp: Shape,
    ) -> None:
        self.labels, self.with_, self.onto = labels, with_, onto
        self.weights = weights
        self.inp = inp
        extent = dict(zip(labels, inp, strict=True)) | dict(zip(with_, weights.shape, strict=True))
        self.extent = extent
        self.out = tuple(extent[label] for label in onto)
        held = set(with_)
        self.shared = tuple(x for x in labels if x in held and x in onto)
        self.summed = tuple(x for x in labels if x in held and x not in onto)
        self.free = tuple(x for x in labels if x not in held)
        self.new = tuple(x for x in onto if x not in labels)
        self.grows = prod(self.out) > prod(inp)

    def _size(self, labels: tuple[int, ...]) -> int:
        return prod(self.extent[label] for label in labels)

    def _shape(self, labels: tuple[int, ...]) -> Shape:
        return tuple(self.extent[label] for label in labels)

    @cached_property
    def matrix(self) -> Array:
        """The weights as (shared..., summed, new)."""
        order = self.shared + self.summed + self.new
        weights = self.weights.transpose([self.with_.index(label) for label in order])
        return weights.reshape(
            (*self._shape(self.shared), self._size(self.summed), self._size(self.new))
        )

    def dense(self, block: Array) -> Array:
        count = block.shape[0]
        order = (*self.shared, *self.free, *self.summed)
        block = block.transpose((0, *(self.labels.index(label) + 1 for label in order)))
        shared = self._shape(self.shared)
        free, summed = self._size(self.free), self._size(self.summed)
        matrix = self.matrix
        if not self.summed and not self.new:
            weights = matrix.reshape(shared + (1,) * len(self.free))
            result = block * weights
            made = (*self.shared, *self.free)
        elif (
            self.free and self.new and self.onto.index(self.new[0]) < self.onto.index(self.free[0])
        ):
            # The new axes come first in the answer: multiply from the left, so that it lies
            # in memory the way the next map walks it.
            right = _swap(block.reshape((count, *shared, free, summed)))
            result = np.matmul(_swap(matrix), right)
            made = (*self.shared, *self.new, *self.free)
        elif not shared and (not self.free or block.flags.c_contiguous):
            # One product for all seeds; without free axes BLAS takes any layout.
            result = np.matmul(block.reshape((count * free, summed)), matrix)
            made = (*self.free, *self.new)
        elif shared and not self.free:
            # One vector for each seed: let the seeds be the rows of the matrix product.
            left = np.moveaxis(block.reshape((count, *shared, summed)), 0, -2)
            result = np.moveaxis(np.matmul(left, matrix), -2, 0)
            made = (*self.shared, *self.new)
        else:
            result = np.matmul(block.reshape((count, *shared, free, summed)), matrix)
            made = (*self.shared, *self.free, *self.new)
        result = result.reshape((count, *self._shape(made)))
        return result.transpose((0, *(made.index(label) + 1 for label in self.onto)))

    def sparse(self, block: Sparse) -> Sparse | Array:
        if not self.new:
            return self._along(block)
        if block.unit and not self.shared and not self.free:
            # Identity seeds pick rows of the matrix: the answer is a view of the operand.
            start = block.pattern.start or 0
            rows = self.matrix_for(self.labels)[start : start + block.count]
            if rows.dtype == np.result_type(rows, block.val):
                made = rows.reshape((block.count, *self._shape(self.new)))
                return made.transpose((0, *(self.new.index(label) + 1 for label in self.onto)))
        return self._across(block)

    def matrix_for(self, summed: tuple[int, ...]) -> Array:
        """The matrix with the summed labels in the given order (no shared labels)."""
        weights = self.weights.transpose([self.with_.index(x) for x in (*summed, *self.new)])
        return weights.reshape((self._size(summed), self._size(self.new)))

    def _along(self, block: Sparse) -> Sparse | Array:
        """No new axis: every entry stays one entry."""
        pattern = block.pattern

        def make() -> Pattern:
            made = (*self.shared, *self.free)
            pos = self._project(pattern, made)
            pos = self._place(pos, made)
            return pattern.moved(
                self.out, pos, distinct=pattern.distinct and self._size(self.summed) == 1
            )

        at = self._project(pattern, (*self.shared, *self.summed))
        weights = self.matrix.reshape(-1).take(at)
        val = block.val * weights
        if not self.finite:
            val[block.val == 0] = 0
        key = ("along", self.labels, self.with_, self.onto, self.out)
        return settle(Sparse(pattern.derive(key, make), val))

    def _project(self, pattern: Pattern, labels: tuple[int, ...]) -> Ids:
        return pattern.project(tuple(self.labels.index(label) for label in labels))

    def _place(self, pos: Ids, made: tuple[int, ...]) -> Ids:
        """Flat indices over the labels `made` -> their share of flat indices of the output."""
        if made == self.onto:
            return pos
        width = dict(zip(self.onto, strides(self.out), strict=True))
        return embed(pos, self._shape(made), [width[label] for label in made])

    def _across(self, block: Sparse) -> Sparse | Array:
        """New axes: entries of one (seed, shared, free) place make one fibre along them."""
        pattern = block.pattern
        made = (*self.shared, *self.free)
        places, new = self._size(made), self._size(self.new)

        def group() -> tuple[Ids | None, Ids | None, Ids]:
            keys = pattern.seed * places + self._project(pattern, made)
            if len(keys) < 2 or (keys[1:] > keys[:-1]).all():
                return None, None, keys
            return runs(keys)

        order, starts, keys = pattern.derive(("across", made, self.labels, places), group)
        at = self._project(pattern, (*self.shared, *self.summed))
        rows = self._size(self.summed)
        val = block.val
        if order is None or len(keys) == len(val):
            if order is not None:
                at, val = at[order], val[order]
            fibres = self._rows(at)
            fibres = fibres if block.unit else fibres * val[:, None]
            if not self.finite:
                fibres[val == 0] = 0
        elif not self.shared and self.finite and len(keys) * rows < 8 * len(val):
            # The entries nearly fill the matrix (groups, summed): multiply it whole.
            group_of = np.empty(len(val), np.intp)
            group_of[order] = np.repeat(np.arange(len(keys)), np.diff(starts, append=len(val)))
            flat = group_of * rows + at
            full = np.zeros(len(keys) * rows, val.dtype)
            if pattern.distinct:
                full[flat] = val
            else:
                np.add.at(full, flat, val)
            fibres = np.matmul(full.reshape(len(keys), rows), self.matrix)
        else:
            fibres = self._rows(at[order]) * val[order][:, None]
            if not self.finite:
                fibres[val[order] == 0] = 0
            fibres = np.add.reduceat(fibres, starts, axis=0)
        seeds = pattern.seed if order is None else None
        return self._spread(pattern, seeds, keys, places, fibres, made, new)

    def _rows(self, at: Ids) -> Array:
        return self.matrix.reshape(-1, self._size(self.new)).take(at, axis=0)

    def _spread(
        self,
        pattern: Pattern,
        seeds: Ids | None,
        keys: Ids,
        places: int,
        fibres: Array,
        made: tuple[int, ...],
        new: int,
    ) -> Sparse | Array:
        """Fibres at (seed, place) -> a block: dense where they fill it, else sparse."""
        count = pattern.count
        if len(keys) * new * ENTRY_COST > count * places * new or count * places * new <= SMALL:
            if len(keys) == count * places:
                full = fibres
            else:
                full = np.zeros((count * places, new), fibres.dtype)
                full[keys] = fibres
            order = (*made, *self.new)
            full = full.reshape((count, *self._shape(order)))
            return full.transpose((0, *(order.index(label) + 1 for label in self.onto)))

        def make() -> Pattern:
            if seeds is None:
                seed, place = divide(keys, places)
            else:  # every entry is a group of its own
                seed, place = seeds, self._project(pattern, made)
            if self.onto == made + self.new:
                base, along = place * new, np.arange(new)
            else:
                base, along = self._place(place, made), self._place(np.arange(new), self.new)
            pos = (base[:, None] + along).reshape(-1)
            return Pattern(count, self.out, seed.repeat(new), pos, distinct=True)

        key = ("spread", self.labels, self.with_, self.onto, self.out)
        return Sparse(pattern.derive(key, make), fibres.reshape(-1))

    def reach(self, labels: Ids) -> Ids:
        axes = tuple(self.labels.index(label) for label in self.summed)
        kept = [label for label in self.labels if label not in self.summed]
        labels = np.max(labels, axis=axes, initial=NOTHING)
        order = [label for label in self.onto if label in kept]
        labels = labels.transpose([kept.index(label) for label in order])
        thin = [self.extent[label] if label in kept else 1 for label in self.onto]
        return np.broadcast_to(labels.reshape(thin), self.out)

    @property
    def T(self) -> Map:
        return Contract(self.onto, self.with_, self.labels, self.weights, self.out)


def _swap(array: Array) -> Array:
    return array.swapaxes(-1, -2)


class Chain(Map):
    """Maps one after the other, the first one first."""

    def __init__(self, *maps: Map) -> None:
        self.maps = maps
        self.inp = maps[0].inp
        self.out = maps[-1].out

    @property
    def finite(self) -> bool:
        """Whether no number in the maps is infinite or NaN."""
        return all(step.finite for step in self.maps)

    def apply(self, block: Block) -> Block:
        for step in self.maps:
            block = step.apply(block)
        return block

    def dense(self, block: Array) -> Sparse | Array:
        raise AssertionError("a chain applies its maps one by one")

    def sparse(self, block: Sparse) -> Sparse | Array:
        raise AssertionError("a chain applies its maps one by one")

    def reach(self, labels: Ids) -> Ids:
        for step in self.maps:
            labels = step.reach(labels)
        return labels

    @cached_property
    def _transposed(self) -> Map:
        return Chain(*(step.T for step in reversed(self.maps)))

    @property
    def T(self) -> Map:
        return self._transposed


def chain(*maps: Map | None) -> Map:
    """The composition of maps, without those that change nothing (``None``, equal shapes)."""
    steps: list[Map] = []
    for step in maps:
        if isinstance(step, Chain):
            steps.extend(step.maps)
        elif step is not None and not (isinstance(step, Reshape) and step.inp == step.out):
            steps.append(step)
    if len(steps) == 1:
        return steps[0]
    if steps:
        return Chain(*steps)
    first = next(step for step in maps if step is not None)
    return Reshape(first.inp, first.inp)


@lru_cache(maxsize=1024)
def broadcast(inp: Shape, out: Shape) -> Map:
    """The map of `numpy.broadcast_to`. One object for equal shapes, so that patterns are shared."""
    if inp == out:
        return Reshape(inp, out)
    lead = len(out) - len(inp)
    axes = tuple(
        axis for axis, n in enumerate(out) if axis < lead or (inp[axis - lead] == 1 and n != 1)
    )
    return Expand(inp, axes, out)
