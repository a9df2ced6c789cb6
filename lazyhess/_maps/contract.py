"""The pairwise contraction with a fixed array."""

from __future__ import annotations

from functools import cached_property
from math import prod

import numpy as np

from lazyhess._maps.axes import Expand, Permute
from lazyhess._maps.base import NOTHING, Chain, Map, Weighted
from lazyhess._maps.gather import Gather
from lazyhess._tangents import (
    ENTRY_COST,
    SMALL,
    Array,
    Block,
    Factored,
    Ids,
    Pattern,
    Shape,
    Sparse,
    changes,
    divide,
    embed,
    identity,
    settle,
    strides,
)

# A sparse entry costs as much as this many elements in a product of matrices, if it is wide enough.
_PRODUCT_COST = 48
_WIDE = 16
# Elements of a temporary array in products of factored blocks.
_CHUNK = 1 << 19


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
        # What the sparse side asks of every pattern: axes of the input, and sizes.
        self.kept = (*self.shared, *self.free)
        self.met = (*self.shared, *self.summed)
        self.kept_axes = tuple(labels.index(x) for x in self.kept)
        self.met_axes = tuple(labels.index(x) for x in self.met)
        self.places, self.rows = self._size(self.kept), self._size(self.met)
        self.width = self._size(self.new)
        self.key = (labels, with_, onto, self.out)

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

    def sparse(self, block: Sparse) -> Block:
        if not self.new:
            return self._along(block)
        if block.unit and not self.shared and not self.free:
            # Identity seeds pick rows of the matrix: the answer is a view of the operand.
            start, labels = self._born(block.pattern)
            rows = self.matrix_for(labels)[start : start + block.count]
            if rows.dtype == np.result_type(rows, block.val):
                made = rows.reshape((block.count, *self._shape(self.new)))
                return made.transpose((0, *(self.new.index(label) + 1 for label in self.onto)))
        grid = self._grid(block)
        if grid is not None:
            return grid
        wide = self.finite and self.rows >= _WIDE
        if wide and block.pattern.entries * _PRODUCT_COST > block.count * prod(self.inp):
            return self.dense(block.dense())
        return self._across(block)

    def _born(self, pattern: Pattern) -> tuple[int, tuple[int, ...]]:
        """Where identity seeds start, and the labels of the array that they were born in."""
        if pattern.turned is None:
            return pattern.start or 0, self.labels
        start, axes = pattern.turned
        return start, self._before(axes)

    def _before(self, axes: tuple[int, ...]) -> tuple[int, ...]:
        """The labels of the input before its axes were put into this order."""
        return tuple(self.labels[axes.index(axis)] for axis in range(len(axes)))

    def unit(self, axes: tuple[int, ...] | None = None) -> int:
        """How many identity seeds in a row make a factored block; 0 where none do.

        With `axes` they are those of an array whose axes were put into this order.
        """
        return self._unit(self.labels if axes is None else self._before(axes))

    def _unit(self, labels: tuple[int, ...]) -> int:
        if self.shared or not (self.free and self.summed and self.new):
            return 0
        free = tuple(label for label in labels if label in self.free)
        summed = tuple(label for label in labels if label in self.summed)
        if labels == summed + free:
            return self.places
        return self.rows if labels == free + summed else 0

    def _grid(self, block: Sparse) -> Factored | None:
        """Identity seeds as a factored block: the matrix along the new axes, units along the free.

        ``None`` where they are no grid, or a small one.
        """
        if not block.unit:
            return None
        start, labels = self._born(block.pattern)
        unit, count = self._unit(labels), block.count
        if not unit or count * prod(self.out) <= SMALL or not self.finite:
            return None
        low, rest = divmod(start, unit)
        high = low + count // unit
        if rest or count % unit:
            return None
        free = tuple(label for label in labels if label in self.free)
        summed = tuple(label for label in labels if label in self.summed)
        weights = self.matrix_for(summed).reshape((self.rows, *self._shape(self.new)))
        first = labels[0] in summed
        if first:
            weights, units = weights[low:high], np.arange(self.places)
        else:
            units = np.arange(low, high)
        if len(weights) == 1:
            return None
        axes = tuple(self.onto.index(label) for label in self.new)
        seeds = identity(units, self._shape(free), block.dtype)
        made = tuple(label for label in self.onto if label in free)
        if made != free:
            turn = Permute(self._shape(free), tuple(free.index(label) for label in made))
            seeds = turn.sparse(seeds)
        inner = Expand(self._shape(made), axes, self.out).sparse(seeds)
        return Factored(weights, axes, inner, first)

    def keeps(self, axes: tuple[int, ...]) -> tuple[int, ...] | None:
        names = [self.labels[axis] for axis in axes]
        return tuple(map(self.onto.index, names)) if set(names) <= set(self.onto) else None

    def factored(self, block: Factored) -> Block:
        names = tuple(self.labels[axis] for axis in block.axes)
        inner, (count, others) = block.inner, block.grid
        free = self._size(self.free)
        if (
            set(names) != set(self.summed)
            or self.shared
            or isinstance(inner, Sparse)
            or not self.finite
            or others * free < self.width
        ):
            return super().factored(block)
        # The weights times the matrix, for each a and each new place: that is the smaller array.
        order = (*(block.axes[k] + 1 for k in range(len(names))), 0)
        order += tuple(self.labels.index(label) + 1 for label in self.free)
        right = inner.transpose(order).reshape(self.rows, others * free)
        matrix = np.ascontiguousarray(self.matrix_for(names).T)
        weights = block.weights.reshape(count, 1, self.rows)
        dtype = np.result_type(weights, matrix, right)
        made = np.empty((count, self.width, others * free), dtype)
        step = max(1, _CHUNK // max(matrix.size, 1))
        for start in range(0, count, step):
            left = weights[start : start + step] * matrix
            many = len(left) * self.width
            part = made[start : start + step].reshape(many, others * free)
            np.matmul(left.reshape(many, self.rows), right, out=part)
        made = made.reshape((count, *self._shape(self.new), others, *self._shape(self.free)))
        places = {label: k + 1 for k, label in enumerate(self.new)}
        places |= {label: k + 2 + len(self.new) for k, label in enumerate(self.free)}
        axis = 1 + len(self.new)
        return block.ordered(made.transpose((0, axis, *(places[label] for label in self.onto))))

    def matrix_for(self, summed: tuple[int, ...]) -> Array:
        """The matrix with the summed labels in the given order (no shared labels)."""
        weights = self.weights.transpose([self.with_.index(x) for x in (*summed, *self.new)])
        return weights.reshape((self._size(summed), self._size(self.new)))

    def _along(self, block: Sparse) -> Sparse | Array:
        """No new axis: every entry stays one entry."""
        pattern = block.pattern

        def make() -> Pattern:
            pos = self._place(pattern.project(self.kept_axes), self.kept)
            lone = self._size(self.summed) == 1
            return pattern.moved(self.out, pos, distinct=pattern.distinct and lone)

        val = block.val * self.matrix.reshape(-1).take(pattern.project(self.met_axes))
        if not self.finite:
            val[block.val == 0] = 0
        return settle(Sparse(pattern.derive(("along", self.key), make), val))

    def _place(self, pos: Ids, made: tuple[int, ...]) -> Ids:
        """Flat indices over the labels `made` -> their share of flat indices of the output."""
        if made == self.onto:
            return pos
        width = dict(zip(self.onto, strides(self.out), strict=True))
        return embed(pos, self._shape(made), [width[label] for label in made])

    def _across(self, block: Sparse) -> Sparse | Array:
        """New axes: entries of one (seed, shared, free) place make one fibre along them."""
        pattern, val = block.pattern, block.val

        def group() -> tuple[Ids | None, Array, Ids]:
            keys = pattern.seed * self.places + pattern.project(self.kept_axes)
            order = None
            if len(keys) > 1 and (keys[1:] < keys[:-1]).any():
                order = np.argsort(keys, kind="stable")
                keys = keys[order]
            first = changes(keys)
            return order, first, keys[first]

        order, first, keys = pattern.derive(("across", self.kept_axes), group)
        at = pattern.project(self.met_axes)
        if order is not None:
            at, val = at[order], val[order]
        alone = len(keys) == len(val)
        summed = self._size(self.summed)
        if not alone and not self.shared and self.finite and len(keys) * summed < 8 * len(val):
            # The entries nearly fill the matrix (groups, summed): multiply it whole.
            flat = (np.cumsum(first) - 1) * summed + at
            full = np.zeros(len(keys) * summed, val.dtype)
            if pattern.distinct:
                full[flat] = val
            else:
                np.add.at(full, flat, val)
            fibres = np.matmul(full.reshape(len(keys), summed), self.matrix)
        else:
            fibres = self._rows(at)
            fibres = fibres if block.unit else fibres * val[:, None]
            if not self.finite:
                fibres[val == 0] = 0
            if not alone:
                fibres = np.add.reduceat(fibres, np.flatnonzero(first), axis=0)
        return self._spread(pattern, alone and order is None, keys, fibres)

    def _rows(self, at: Ids) -> Array:
        return self.matrix.reshape(self.rows, self.width).take(at, axis=0)

    def _spread(self, pattern: Pattern, alone: bool, keys: Ids, fibres: Array) -> Sparse | Array:
        """Fibres at (seed, place) -> a block: dense where they fill it, else sparse.

        `alone` says that every entry of the pattern is a group, and so a fibre, of its own.
        """
        count, new = pattern.count, self.width
        total = count * self.places
        if len(keys) * ENTRY_COST > total or total * new <= SMALL:
            if len(keys) == total:
                full = fibres
            else:
                full = np.zeros((total, new), fibres.dtype)
                full[keys] = fibres
            order = (*self.kept, *self.new)
            full = full.reshape((count, *self._shape(order)))
            return full.transpose((0, *(order.index(label) + 1 for label in self.onto)))

        def make() -> Pattern:
            if alone:
                seed, place = pattern.seed, pattern.project(self.kept_axes)
            else:
                seed, place = divide(keys, self.places)
            if self.onto == self.kept + self.new:
                base, along = place * new, np.arange(new)
            else:
                base, along = self._place(place, self.kept), self._place(np.arange(new), self.new)
            pos = (base[:, None] + along).reshape(-1)
            return Pattern(count, self.out, seed.repeat(new), pos, distinct=True)

        return Sparse(pattern.derive(("spread", self.key), make), fibres.reshape(-1))

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

    def tail(self, start: int) -> Map | None:
        if not self.onto or not self.summed:
            return None
        first = self.onto[0]
        inp, weights, ahead = self.inp, self.weights, None
        if first in self.labels:
            axis = self.labels.index(first)
            ahead = Gather(
                inp, _from(axis, start), (*inp[:axis], inp[axis] - start, *inp[axis + 1 :])
            )
            inp = ahead.out
        if first in self.with_:
            weights = weights[_from(self.with_.index(first), start)]
        cut = Contract(self.labels, self.with_, self.onto, weights, inp)
        cut._finite = self.finite or None  # of some of the numbers: only "not all" may change
        return cut if ahead is None else Chain(ahead, cut)


def _from(axis: int, start: int) -> tuple[slice, ...]:
    """The index that cuts off what comes before `start` along an axis."""
    return (*(slice(None),) * axis, slice(start, None))


def _swap(array: Array) -> Array:
    return array.swapaxes(-1, -2)
