"""Maps that leave every element in its place: weights and masks."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from lazyhess._costs import COSTS
from lazyhess._create import contiguous
from lazyhess._decisions import selective
from lazyhess._indices import Array, Ids, Shape
from lazyhess._maps.base import NOTHING, Axes, Map, Weighted, thin
from lazyhess._tangents import Block, KhatriRao, Pattern, Sparse, compact
from lazyhess._tangents.boxes import weigh


class Scale(Weighted):
    """Each element times a weight of its own: a diagonal map."""

    def __init__(self, weights: Array, shape: Shape) -> None:
        self.inp = self.out = shape
        self.weights = compact(weights)  # broadcasts to `shape`

    def array(self, block: Array) -> Block:
        return self.dense(block) if self.finite else super().array(block)

    def dense(self, block: Array) -> Array:
        if block.size <= COSTS.small:
            scaled: Array = block * self.weights
            return scaled
        return self._weighed(block, len(block) > 1)

    def khatri_rao(self, block: KhatriRao) -> Block:
        if self.finite and isinstance(block.inner, np.ndarray) and block.inner.size > COSTS.small:
            return block.moved(block.axes, self._weighed(block.inner, True))
        return super().khatri_rao(block)

    def _weighed(self, block: Array, many: bool) -> Array:
        """The product; with `many` seeds in the best order in memory, whatever that of weights."""
        order = self._order(block) if many and self.weights.ndim == block.ndim - 1 else []
        if order == sorted(order):
            scaled: Array = block * self.weights
            return scaled
        weights = contiguous(self.weights.transpose([k - 1 for k in order[1:]]))
        lying: Array = block.transpose(order) * weights
        return lying.transpose([order.index(k) for k in range(len(order))])

    def _order(self, block: Array) -> list[int]:
        """Axes of the product as they should lie in memory, outermost first: seeds, long ones last.

        What lies somewhere stays in its order. Empty where any order is as good.
        """
        steps = block.strides
        if steps[0] < max(steps):
            return []
        weights = (0, *self.weights.shape)
        axes = range(1, block.ndim)
        new = [k for k in axes if steps[k] == 0 and weights[k] != 1]
        held = sorted((k for k in axes if k not in new), key=lambda k: -steps[k])
        new.sort(key=lambda k: block.shape[k])
        if new and held and block.shape[held[-1]] > block.shape[new[-1]]:
            return [0, *new, *held]
        return [0, *held, *new]

    @cached_property
    def lying(self) -> Array:
        """The weights as they are walked through by strides; a slice of an array is a copy."""
        return contiguous(self.weights)

    def sparse(self, block: Sparse) -> Sparse:
        pattern, weights = block.pattern, self.weights
        if pattern.boxes and weights.shape == pattern.shape:
            val = weigh(pattern.spans, block.val, self.lying)
        else:
            val = block.val * pick(weights, pattern)
        if not self.finite:
            val[block.val == 0] = 0
        return Sparse(block.pattern, val)

    def out_axes(self, axes: Axes) -> Axes | None:
        return axes

    def at_one_place(self, axes: Axes, out_axes: Axes) -> Map | None:
        missing = len(self.inp) - self.weights.ndim
        if any(axis >= missing and self.weights.shape[axis - missing] != 1 for axis in axes):
            return None
        map_ = Scale(self.weights, thin(self.inp, axes))
        map_._finite = self._finite
        return map_

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

    @cached_property
    def digest(self) -> tuple[Shape, bytes]:
        """The mask as a key: at another point it may be the same again, or not."""
        return self.mask.shape, np.packbits(self.mask).tobytes()

    def dense(self, block: Array) -> Array:
        return np.where(self.mask, block, block.dtype.type(0))

    def sparse(self, block: Sparse) -> Sparse:
        pattern, val = block.pattern, block.val
        if not selective(self.mask):  # all entries stay
            return Sparse(pattern, np.where(pick(self.mask, pattern), val, val.dtype.type(0)))

        def make() -> tuple[Pattern, Ids]:
            keep = np.flatnonzero(np.broadcast_to(pick(self.mask, pattern), pattern.pos.shape))
            moved = pattern.moved(
                self.out, pattern.pos[keep], seed=pattern.seed[keep], distinct=pattern.distinct
            )
            return moved, keep

        moved, keep = pattern.derive_few("masks", self.digest, make)
        return Sparse(moved, val[keep])

    def out_axes(self, axes: Axes) -> Axes | None:
        return axes

    def reach(self, labels: Ids) -> Ids:
        return np.where(self.mask, labels, NOTHING)

    @property
    def T(self) -> Map:
        return self


class Conjugate(Map):
    """The complex conjugate of each element: linear over the reals only.

    Tangents and adjoints pair as ``Re(sum(adjoint * tangent))``, which makes it its own transpose.
    """

    def __init__(self, shape: Shape) -> None:
        self.inp = self.out = shape

    def dense(self, block: Array) -> Array:
        conjugate: Array = np.conjugate(block)
        return conjugate

    def sparse(self, block: Sparse) -> Sparse:
        return Sparse(block.pattern, np.conjugate(block.val))

    def khatri_rao(self, block: KhatriRao) -> Block:
        if block.weights.dtype.kind != "c":
            return super().khatri_rao(block)
        # The conjugate of a product is that of both.
        weights = np.conjugate(block.weights)
        return super().khatri_rao(KhatriRao(weights, block.axes, block.inner, block.first))

    def out_axes(self, axes: Axes) -> Axes | None:
        return axes

    def at_one_place(self, axes: Axes, out_axes: Axes) -> Map | None:
        return Conjugate(thin(self.inp, axes))

    def reach(self, labels: Ids) -> Ids:
        return labels

    @property
    def T(self) -> Map:
        return self
