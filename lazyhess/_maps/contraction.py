"""The pairwise contraction with a fixed array."""

from __future__ import annotations

from functools import cached_property
from math import prod

import numpy as np

from lazyhess._costs import COSTS
from lazyhess._create import accumulator, buffer, contiguous
from lazyhess._indices import Array, Ids, Shape, changes, divide, embed, in_order, strides
from lazyhess._maps.axes import Expand, Permute
from lazyhess._maps.base import NOTHING, Axes, Chain, Map, Weighted
from lazyhess._maps.gather import Gather
from lazyhess._maps.matmul import matmul_plan
from lazyhess._maps.pairing import ContractionSpec, Labels, contraction_spec
from lazyhess._tangents import (
    Block,
    KhatriRao,
    Pattern,
    SourceView,
    Sparse,
    identity,
    settle,
)


class Contract(Weighted):
    """The pairwise contraction with a fixed array, as ``einsum("in,with->out", block, weights)``.

    Labels are integers. No label stands twice in one operand, every label of `labels` stands in
    `with_` or `onto`, every label of `onto` in one of the two, and those of `with_` in the others.
    """

    def __init__(
        self, labels: Labels, with_: Labels, onto: Labels, weights: Array, inp: Shape
    ) -> None:
        self._set(contraction_spec(labels, with_, onto, weights.shape, inp), weights)

    def _set(self, how: ContractionSpec, weights: Array) -> None:
        self.how = how
        self.weights = weights
        self.inp, self.out, self.grows = how.inp, how.out, how.grows

    @cached_property
    def matrix(self) -> Array:
        """The weights as (shared..., summed, new)."""
        return self.weights.transpose(self.how.turn).reshape(self.how.matrix)

    @property
    def work(self) -> int:  # type: ignore[override]
        """The multiplications for one seed."""
        how = self.how
        return how.places * how.rows * how.width

    def dense(self, block: Array) -> Array:
        how, weights = self.how, self.weights
        if not how.summed and not how.new:
            result = block.transpose(how.forth) * self.matrix.reshape(how.spread)
            return result.transpose(how.back)
        return matmul_plan(
            how,
            (block.shape, weights.shape),
            (block.strides, weights.strides),
            (block.itemsize, weights.itemsize),
        ).apply(block, weights)

    def sparse(self, block: Sparse) -> Block:
        how = self.how
        if not how.new:
            return self._along(block)
        grid = self._grid(block)
        if grid is not None:
            return grid
        if block.is_identity and how.places == 1 and not how.shared:
            # Identity seeds pick rows of the matrix: the answer is a view of the operand.
            start, labels = self._seeded(block.pattern)
            summed = tuple(label for label in labels if label in how.summed)
            rows = self.matrix_for(summed)[start : start + block.count]
            if rows.dtype == np.result_type(rows, block.val):
                order = (*how.free, *how.new)
                made = rows.reshape((block.count, *how.shape(order)))
                return made.transpose((0, *(order.index(label) + 1 for label in how.onto)))
        wide = self.finite and how.rows >= COSTS.wide
        if wide and block.pattern.entries * COSTS.product > block.count * prod(self.inp):
            return self.dense(block.dense())
        return self._across(block)

    def _seeded(self, pattern: Pattern) -> tuple[int, Labels]:
        """The first position of identity seeds in the source, and its labels."""
        assert pattern.view is not None
        return -pattern.view.start, self._source_labels(pattern.view)

    def _source_labels(self, view: SourceView) -> Labels:
        """The labels of the source that the input is a view of: as its axes were ordered there."""
        axes, labels = view.axes, self.how.labels
        if axes is None:
            return labels
        return tuple(labels[axes.index(axis)] for axis in range(len(axes)))

    def seed_group(self, view: SourceView) -> int:
        return self._seed_group(self._source_labels(view))

    def _seed_group(self, labels: Labels) -> int:
        how = self.how
        if how.shared or not (how.free and how.summed and how.new):
            return 0
        free = tuple(label for label in labels if label in how.free)
        summed = tuple(label for label in labels if label in how.summed)
        if labels == summed + free:
            return how.places
        return how.rows if labels == free + summed else 0

    def _grid(self, block: Sparse) -> KhatriRao | None:
        """Identity seeds as a factored block: the matrix by new axes, unit vectors by free ones.

        ``None`` where they are no grid, or a small one.
        """
        how = self.how
        if not block.is_identity:
            return None
        start, labels = self._seeded(block.pattern)
        group, count = self._seed_group(labels), block.count
        if not group or count * prod(self.out) <= COSTS.small or not self.finite:
            return None
        low, rest = divmod(start, group)
        high = low + count // group
        if rest or count % group:
            return None
        free = tuple(label for label in labels if label in how.free)
        summed = tuple(label for label in labels if label in how.summed)
        weights = self.matrix_for(summed).reshape((how.rows, *how.shape(how.new)))
        first = labels[0] in summed
        if first:
            weights, positions = weights[low:high], np.arange(how.places)
        else:
            positions = np.arange(low, high)
        if len(weights) == 1:
            return None
        axes = tuple(how.onto.index(label) for label in how.new)
        seeds = identity(positions, how.shape(free), block.dtype)
        made = tuple(label for label in how.onto if label in free)
        if made != free:
            turn = Permute(how.shape(free), tuple(free.index(label) for label in made))
            seeds = turn.sparse(seeds)
        inner = Expand(how.shape(made), axes, self.out).sparse(seeds)
        return KhatriRao(weights, axes, inner, first)

    def out_axes(self, axes: Axes) -> Axes | None:
        how = self.how
        names = [how.labels[axis] for axis in axes]
        return tuple(map(how.onto.index, names)) if set(names) <= set(how.onto) else None

    def at_one_place(self, axes: Axes, out_axes: Axes) -> Map | None:
        how = self.how
        if not {how.labels[axis] for axis in axes} <= set(how.free):
            return None
        map_ = object.__new__(Contract)
        map_._set(how.at_one_place(axes), self.weights)
        map_._finite = self._finite
        return map_

    def khatri_rao(self, block: KhatriRao) -> Block:
        how = self.how
        names = tuple(how.labels[axis] for axis in block.axes)
        inner, (count, others) = block.inner, block.grid
        free = how.size(how.free)
        if (
            set(names) != set(how.summed)
            or how.shared
            or isinstance(inner, Sparse)
            or not self.finite
            or others * free < how.width
        ):
            return super().khatri_rao(block)
        # The weights times the matrix, for each a and each new place: that is the smaller array.
        order = (*(block.axes[k] + 1 for k in range(len(names))), 0)
        order += tuple(how.labels.index(label) + 1 for label in how.free)
        right = inner.transpose(order).reshape(how.rows, others * free)
        matrix = contiguous(self.matrix_for(names).T)
        weights = block.weights.reshape(count, 1, how.rows)
        dtype = np.result_type(weights, matrix, right)
        products = buffer((count, how.width, others * free), dtype)
        step = max(1, COSTS.chunk // max(matrix.size, 1))
        for start in range(0, count, step):
            left = weights[start : start + step] * matrix
            many = len(left) * how.width
            part = products[start : start + step].reshape(many, others * free)
            np.matmul(left.reshape(many, how.rows), right, out=part)
        products = products.reshape((count, *how.shape(how.new), others, *how.shape(how.free)))
        places = {label: k + 1 for k, label in enumerate(how.new)}
        places |= {label: k + 2 + len(how.new) for k, label in enumerate(how.free)}
        axis = 1 + len(how.new)
        return block.ordered(products.transpose((0, axis, *(places[label] for label in how.onto))))

    def matrix_for(self, summed: tuple[int, ...]) -> Array:
        """The matrix with the summed labels in the given order (no shared labels)."""
        how = self.how
        weights = self.weights.transpose([how.with_.index(x) for x in (*summed, *how.new)])
        return weights.reshape((how.size(summed), how.size(how.new)))

    def _along(self, block: Sparse) -> Sparse | Array:
        """No new axis: every entry stays one entry."""
        how = self.how
        pattern = block.pattern

        def make() -> Pattern:
            pos = self._place(pattern.project(how.kept_axes), how.kept)
            lone = how.size(how.summed) == 1
            return pattern.moved(self.out, pos, distinct=pattern.distinct and lone)

        val = block.val * self.matrix.reshape(-1).take(pattern.project(how.met_axes))
        if not self.finite:
            val[block.val == 0] = 0
        return settle(Sparse(pattern.derive(("along", how.key), make), val))

    def _place(self, pos: Ids, labels: tuple[int, ...]) -> Ids:
        """Flat indices over the labels `labels` -> their share of flat indices of the output."""
        how = self.how
        if labels == how.onto:
            return pos
        width = dict(zip(how.onto, strides(self.out), strict=True))
        return embed(pos, how.shape(labels), [width[label] for label in labels])

    def _across(self, block: Sparse) -> Sparse | Array:
        """New axes: entries of one (seed, shared, free) place make one fibre along them."""
        how = self.how
        pattern, val = block.pattern, block.val

        def group() -> tuple[Ids | None, Array, Ids]:
            keys = pattern.seed * how.places + pattern.project(how.kept_axes)
            order = None
            if not in_order(keys):
                order = np.argsort(keys, kind="stable")
                keys = keys[order]
            first = changes(keys)
            return order, first, keys[first]

        order, first, keys = pattern.derive(("across", how.kept_axes), group)
        at = pattern.project(how.met_axes)
        if order is not None:
            at, val = at[order], val[order]
        alone = len(keys) == len(val)
        summed = how.size(how.summed)
        if not alone and not how.shared and self.finite and len(keys) * summed < 8 * len(val):
            # The entries nearly fill the matrix (groups, summed): multiply it whole.
            flat = (np.cumsum(first) - 1) * summed + at
            full = accumulator((len(keys) * summed,), val.dtype)
            if pattern.distinct:
                full[flat] = val
            else:
                np.add.at(full, flat, val)
            fibres = np.matmul(full.reshape(len(keys), summed), self.matrix)
        else:
            fibres = self._rows(at)
            fibres = fibres if block.is_identity else fibres * val[:, None]
            if not self.finite:
                fibres[val == 0] = 0
            if not alone:
                fibres = np.add.reduceat(fibres, np.flatnonzero(first), axis=0)
        return self._spread(pattern, alone and order is None, keys, fibres)

    def _rows(self, at: Ids) -> Array:
        return self.matrix.reshape(self.how.rows, self.how.width).take(at, axis=0)

    def _spread(self, pattern: Pattern, alone: bool, keys: Ids, fibres: Array) -> Sparse | Array:
        """Fibres at (seed, place) -> a block: dense where they fill it, else sparse.

        `alone` says that every entry of the pattern is a group, and so a fibre, of its own.
        """
        how = self.how
        count, new = pattern.count, how.width
        total = count * how.places
        if len(keys) * COSTS.entry > total or total * new <= COSTS.small:
            if len(keys) == total:
                full = fibres
            else:
                full = accumulator((total, new), fibres.dtype)
                full[keys] = fibres
            order = (*how.kept, *how.new)
            full = full.reshape((count, *how.shape(order)))
            return full.transpose((0, *(order.index(label) + 1 for label in how.onto)))

        def make() -> Pattern:
            if alone:
                seed, place = pattern.seed, pattern.project(how.kept_axes)
            else:
                seed, place = divide(keys, how.places)
            if how.onto == how.kept + how.new:
                base, along = place * new, np.arange(new)
            else:
                base, along = (
                    self._place(place, how.kept),
                    self._place(np.arange(new), how.new),
                )
            pos = (base[:, None] + along).reshape(-1)
            return Pattern(count, self.out, seed.repeat(new), pos, distinct=True)

        return Sparse(pattern.derive(("spread", how.key), make), fibres.reshape(-1))

    def reach(self, labels: Ids) -> Ids:
        how = self.how
        axes = tuple(how.labels.index(label) for label in how.summed)
        kept = [label for label in how.labels if label not in how.summed]
        if labels.size:  # along stride-0 axes one label stands for all
            flat = [axis in axes and step == 0 for axis, step in enumerate(labels.strides)]
            labels = labels[tuple(slice(0, 1) if one else slice(None) for one in flat)]
        labels = np.max(labels, axis=axes, initial=NOTHING)
        order = [label for label in how.onto if label in kept]
        labels = labels.transpose([kept.index(label) for label in order])
        thin = [how.extent[label] if label in kept else 1 for label in how.onto]
        return np.broadcast_to(labels.reshape(thin), self.out)

    @property
    def T(self) -> Map:
        map_ = object.__new__(Contract)
        map_._set(self.how.T, self.weights)
        map_._finite = self.finite
        return map_

    def trailing(self, start: int) -> Map | None:
        how = self.how
        if not how.onto or not how.summed:
            return None
        first = how.onto[0]
        inp, weights, ahead = self.inp, self.weights, None
        if first in how.labels:
            axis = how.labels.index(first)
            ahead = Gather(
                inp, _from(axis, start), (*inp[:axis], inp[axis] - start, *inp[axis + 1 :])
            )
            inp = ahead.out
        if first in how.with_:
            weights = weights[_from(how.with_.index(first), start)]
        cut = Contract(how.labels, how.with_, how.onto, weights, inp)
        cut._finite = self.finite or None  # of some of the numbers: only "not all" may change
        return cut if ahead is None else Chain(ahead, cut)


def _from(axis: int, start: int) -> tuple[slice, ...]:
    """The index that cuts off what comes before `start` along an axis."""
    return (*(slice(None),) * axis, slice(start, None))
