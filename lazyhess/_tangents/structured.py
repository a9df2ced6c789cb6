"""The kinds of blocks that a smaller one and a rule make."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from lazyhess._costs import COSTS
from lazyhess._create import ones
from lazyhess._decisions import finite
from lazyhess._indices import Array, Shape
from lazyhess._tangents.blocks import (
    Block,
    Sparse,
    Structured,
    cast,
    compact,
    flat_axes,
    mostly_zero,
    one_place,
    settle,
    shape_of,
    spread,
)
from lazyhess._tangents.pattern import Pattern


class KhatriRao(Structured):
    """A tangent block whose seeds are a grid (a, b): ``weights[a] * inner[b]``.

    The weights vary along some axes of the shape only. So are the tangents of ``X @ W``, by W, and
    of all that is made from it without mixing the rows of X: ``weights`` are the columns of X, and
    maps act on `inner` alone, which has as many seeds as W has columns. (It is a Khatri-Rao
    product of the two.)

    Parameters
    ----------
    weights : ndarray
        Of shape ``(A,)`` and the lengths of `axes`.
    axes : tuple of int
        Increasing; counted without the seed axis.
    inner : Sparse or ndarray
        B arrays.
    first : bool
        Whether seed ``a * B + b`` is that of the grid's (a, b); else it is ``b * A + a``.
    """

    __slots__ = ("axes", "first", "inner", "weights")

    inner: Sparse | Array

    def __init__(
        self, weights: Array, axes: tuple[int, ...], inner: Sparse | Array, first: bool
    ) -> None:
        self.weights = weights
        self.axes = axes
        self.inner = inner
        self.first = first

    @property
    def shape(self) -> Shape:
        return shape_of(self.inner, ())

    @property
    def dtype(self) -> np.dtype[Any]:
        weights, inner = self.weights.dtype, self.inner.dtype
        return weights if weights is inner else np.result_type(weights, inner)

    @property
    def nbytes(self) -> int:
        """What grows with the number of seeds."""
        return self.weights.nbytes

    @property
    def grid(self) -> tuple[int, int]:
        """How many a there are, and how many b."""
        inner = self.inner
        return len(self.weights), inner.count if isinstance(inner, Sparse) else len(inner)

    def like(self, other: Any) -> bool:
        """Whether the other block is of this kind and differs in `inner` only."""
        return (
            isinstance(other, KhatriRao)
            and self.weights is other.weights
            and self.axes == other.axes
            and self.first == other.first
        )

    def of(self, inner: Block) -> Block:
        """The same weights along the same axes of another block."""
        return self.moved(self.axes, inner)

    def moved(self, axes: tuple[int, ...], inner: Block) -> Block:
        """The same weights along other axes of another block."""
        if inner is None:
            return None
        if not isinstance(inner, (np.ndarray, Sparse)):
            assert isinstance(inner, Structured)
            inner = inner.expanded()
        weights = self.weights
        if len(axes) > 1 and axes != self.axes:
            order = sorted(range(len(axes)), key=axes.__getitem__)
            if order != list(range(len(axes))):
                weights = weights.transpose((0, *(k + 1 for k in order)))
                axes = tuple(sorted(axes))
        return KhatriRao(weights, axes, inner, self.first)

    def ordered(self, grid: Array) -> Array:
        """An array with axes (a, b) in front, with one seed axis."""
        grid = grid if self.first else grid.swapaxes(0, 1)
        return grid.reshape((grid.shape[0] * grid.shape[1], *grid.shape[2:]))

    def expanded(self) -> Sparse | Array:
        """The block with every seed of its own."""
        count, others = self.grid
        if isinstance(self.inner, Sparse):
            return settle(self._entries(self.inner, count))
        thin = [n if axis in self.axes else 1 for axis, n in enumerate(self.shape)]
        weights, shape = self.weights.reshape((count, 1, *thin)), (count * others, *self.shape)
        inner = compact(self.inner)
        grid = weights * inner if self.first else inner[:, None] * weights.swapaxes(0, 1)
        if inner is not self.inner:  # stride-0 axes stay so, those of the seeds excepted
            grid = np.broadcast_to(grid, (*self.grid[:: 1 if self.first else -1], *self.shape))
        return grid.reshape(shape)

    def mapped(self, map_: Any) -> Block:
        """A linear map of each of the K arrays."""
        answer: Block = map_.khatri_rao(self)
        return answer

    @property
    def repeated_axes(self) -> tuple[int, ...]:
        """The axes along which all K arrays are the same; none of entries."""
        inner = self.inner
        if not isinstance(inner, np.ndarray) or 0 not in inner.strides:
            return ()
        return tuple([axis for axis in flat_axes(inner) if axis not in self.axes])

    def one_place(self, axes: tuple[int, ...]) -> Block:
        """The block at the first place of some of its `repeated_axes`."""
        return self.moved(self.axes, one_place(self.inner, axes))

    def repeated(self, axes: tuple[int, ...], shape: Shape) -> Block:
        """A block that is the same all along some axes, where this one has length 1."""
        inner, rest = self.inner, tuple(axis for axis in self.axes if axis not in axes)
        weights = self.weights
        if rest != self.axes:  # of length 1 so far: the weights are the same all along, too
            weights = weights.reshape((len(weights), *(self.shape[axis] for axis in rest)))
        if isinstance(inner, Sparse):
            inner = Repeated(inner, axes, shape).expanded()
        else:
            inner = np.broadcast_to(inner, (len(inner), *shape))
        return KhatriRao(weights, rest, inner, self.first)

    def _entries(self, inner: Sparse, count: int) -> Sparse:
        pattern, first = inner.pattern, self.first

        def make() -> Pattern:
            along = np.arange(count)[:, None]
            seed = along * pattern.count + pattern.seed if first else along + pattern.seed * count
            return Pattern(
                count * pattern.count,
                pattern.shape,
                seed.reshape(-1),
                np.tile(pattern.pos, count),
                distinct=pattern.distinct,
                core=pattern.core * count,
            )

        weights = self.weights.reshape(count, -1).take(pattern.project(self.axes), axis=1)
        moved = pattern.derive(("grid", count, first), make)
        return Sparse(moved, (weights * inner.val).reshape(-1))


class Repeated(Structured):
    """A sparse tangent block that is the same all along some axes.

    So are seeds of one position in every sample of a batch. A map that treats all places along
    these axes alike acts on `inner` alone.

    Parameters
    ----------
    inner : Sparse
        The block at one place: its shape has length 1 along `axes`.
    axes : tuple of int
        Counted without the seed axis.
    shape : tuple of int
        Of each of the K arrays.
    """

    __slots__ = ("axes", "inner", "shape")

    inner: Sparse

    def __init__(self, inner: Sparse, axes: tuple[int, ...], shape: Shape) -> None:
        self.inner = inner
        self.axes = axes
        self.shape = shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.inner.dtype

    @property
    def nbytes(self) -> int:
        return self.inner.nbytes

    def like(self, other: Any) -> bool:
        """Whether the other block is of this kind and differs in `inner` only."""
        return isinstance(other, Repeated) and self.axes == other.axes

    def of(self, inner: Block) -> Block:
        """Another block along the same axes."""
        return repeated(inner, self.axes, self.shape)

    def mapped(self, map_: Any) -> Block:
        """A linear map of each of the K arrays."""
        answer: Block = map_.apply(self.expanded())
        return answer

    def expanded(self) -> Sparse | Array:
        """The block with the entries of every place."""
        return spread(self.inner, self.inner.shape, self.axes, self.shape)

    def cast(self, dtype: np.dtype[Any]) -> Block:
        """The block with another dtype."""
        return self.of(cast(self.inner, dtype))

    @property
    def repeated_axes(self) -> tuple[int, ...]:
        """The axes along which all K arrays are the same."""
        return self.axes

    def one_place(self, axes: tuple[int, ...]) -> Block:
        """The block at the first place of some of its `repeated_axes`."""
        rest = tuple(axis for axis in self.axes if axis not in axes)
        if not rest:
            return self.inner
        shape = tuple(1 if axis in axes else n for axis, n in enumerate(self.shape))
        return Repeated(self.inner, rest, shape)

    def repeated(self, axes: tuple[int, ...], shape: Shape) -> Block:
        """A block that is the same all along some axes, where this one has length 1."""
        return Repeated(self.inner, tuple(sorted({*self.axes, *axes})), shape)


def repeated(block: Block, axes: tuple[int, ...], shape: Shape) -> Block:
    """A block that is the same all along some axes, from the block at one place of them.

    What varies along the other axes only is a factored block of one inner seed: what follows acts
    on that one, however many seeds there are.
    """
    if block is None:
        return None
    if isinstance(block, Structured):
        return block.repeated(axes, shape)
    assert isinstance(block, (Sparse, np.ndarray))
    count = block.shape[0] if isinstance(block, np.ndarray) else block.count
    large = count * prod(shape) > COSTS.small
    if isinstance(block, np.ndarray) and large and block.size <= COSTS.small and mostly_zero(block):
        block = Sparse.of(block)
    if isinstance(block, Sparse):
        return Repeated(block, axes, shape)
    rest = tuple(axis for axis in range(len(shape)) if axis not in axes)
    if large and count > 1 and rest and finite(block):
        weights = block.reshape((count, *(shape[axis] for axis in rest)))
        return KhatriRao(weights, rest, ones((1, *shape), block.dtype), first=True)
    return np.broadcast_to(block, (count, *shape))
