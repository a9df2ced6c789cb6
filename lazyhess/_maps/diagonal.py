"""Maps that leave every element in its place: weights and masks."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from lazyhess._boxes import weigh
from lazyhess._maps.base import NOTHING, Map, Weighted
from lazyhess._tangents import (
    SMALL,
    Array,
    Block,
    Factored,
    Ids,
    Pattern,
    Shape,
    Sparse,
    compact,
    compactly,
)


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

    @cached_property
    def lying(self) -> Array:
        """The weights as they are walked through by strides; a slice of an array is a copy."""
        return np.ascontiguousarray(self.weights)

    def sparse(self, block: Sparse) -> Sparse:
        pattern, weights = block.pattern, self.weights
        if pattern.boxes and weights.shape == pattern.shape:
            val = weigh(pattern.spans, block.val, self.lying)
        else:
            val = block.val * pick(weights, pattern)
        if not self.finite:
            val[block.val == 0] = 0
        return Sparse(block.pattern, val)

    def keeps(self, axes: tuple[int, ...]) -> tuple[int, ...] | None:
        return axes

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
        pattern = block.pattern

        def make() -> tuple[Pattern, Ids]:
            keep = np.flatnonzero(np.broadcast_to(pick(self.mask, pattern), pattern.pos.shape))
            moved = pattern.moved(
                self.out, pattern.pos[keep], seed=pattern.seed[keep], distinct=pattern.distinct
            )
            return moved, keep

        moved, keep = pattern.derive_few("masks", self.digest, make)
        return Sparse(moved, block.val[keep])

    def keeps(self, axes: tuple[int, ...]) -> tuple[int, ...] | None:
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
        return compactly(np.conjugate, block)

    def sparse(self, block: Sparse) -> Sparse:
        return Sparse(block.pattern, np.conjugate(block.val))

    def factored(self, block: Factored) -> Block:
        if block.weights.dtype.kind != "c":
            return super().factored(block)
        # The conjugate of a product is that of both.
        weights = np.conjugate(block.weights)
        return super().factored(Factored(weights, block.axes, block.inner, block.first))

    def keeps(self, axes: tuple[int, ...]) -> tuple[int, ...] | None:
        return axes

    def reach(self, labels: Ids) -> Ids:
        return labels

    @property
    def T(self) -> Map:
        return self
