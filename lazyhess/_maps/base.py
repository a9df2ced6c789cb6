"""What a linear map is, maps with numbers in them, and chains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from math import prod
from typing import TypeAlias

import numpy as np

from lazyhess._costs import COSTS
from lazyhess._decisions import finite
from lazyhess._indices import Array, Ids, Shape, divide
from lazyhess._tangents import (
    Block,
    KhatriRao,
    Pattern,
    SourceView,
    Sparse,
    Structured,
    compact,
    mostly_zero,
    one_place,
    repeated,
    repeated_axes,
)

# Axes of an array, counted without the seed axis.
Axes: TypeAlias = tuple[int, ...]

# The label of what depends on nothing.
NOTHING = np.iinfo(np.intp).min


class Map(ABC):
    """A linear map from arrays of shape `inp` to arrays of shape `out`."""

    inp: Shape
    out: Shape
    grows = False  # whether it can give more elements than it takes
    work = 0  # multiplications for one seed, as far as they are products of matrices

    @property
    def finite(self) -> bool:
        """Whether no number in the map is infinite or NaN."""
        return True

    def apply(self, block: Block) -> Block:
        """The map of each of the K arrays of a block."""
        if isinstance(block, np.ndarray):
            if block.size <= COSTS.small or 0 not in block.strides:
                return self.array(block)
        elif isinstance(block, Sparse):
            return self.sparse(block)
        elif block is None:
            return None
        axes = repeated_axes(block)
        at_one_place = self._repeatable(axes) if axes else None
        if at_one_place is None:
            return self.array(block) if isinstance(block, np.ndarray) else block.mapped(self)
        map_, axes, out_axes = at_one_place
        answer = map_.apply(one_place(block, axes))
        if isinstance(block, np.ndarray) and isinstance(answer, np.ndarray):
            return np.broadcast_to(answer, (len(answer), *self.out))
        return repeated(answer, out_axes, self.out)

    def array(self, block: Array) -> Block:
        """The map of an array, which may be sparse again."""
        if self.grows and block.size <= COSTS.small:
            return self._grow(block)
        return self.dense(block)

    def khatri_rao(self, block: KhatriRao) -> Block:
        """The map of a factored block: of its inner one, where it does not mix the weights."""
        axes = self.out_axes(block.axes)
        if axes is None:
            return self.apply(block.expanded())
        return block.moved(axes, self.apply(block.inner))

    def out_axes(self, axes: Axes) -> Axes | None:
        """Where these axes of the input come out, if the map works at every place along them alone.

        ``None`` where it does not.
        """
        return None

    def at_one_place(self, axes: Axes, out_axes: Axes) -> Map | None:
        """The map at one place of some axes, which come out as `out_axes`.

        Its arrays have length 1 along them. ``None`` where places along them differ.
        """
        return None

    def _repeatable(self, axes: Axes) -> tuple[Map, Axes, Axes] | None:
        """The map at one place of some axes, of those along which it is the same.

        Which these are, and where they come out, is told, too.
        """
        out_axes = self.out_axes(axes)
        map_ = None if out_axes is None else self.at_one_place(axes, out_axes)
        if out_axes is not None and map_ is not None:
            return map_, axes, out_axes
        if len(axes) == 1:
            return None
        alone = tuple(axis for axis in axes if self._repeatable((axis,)) is not None)
        return self._repeatable(alone) if alone and alone != axes else None

    def _grow(self, block: Array) -> Block:
        """Make a small block larger: it became dense for being small, and may be sparse again."""
        if len(block) * prod(self.out) > COSTS.small and mostly_zero(block):
            return self.sparse(Sparse.of(block))
        return self.dense(block)

    @abstractmethod
    def dense(self, block: Array) -> Block: ...

    @abstractmethod
    def sparse(self, block: Sparse) -> Block: ...

    @abstractmethod
    def reach(self, labels: Ids) -> Ids:
        """The largest label among the inputs that each output depends on, else `NOTHING`."""

    @property
    @abstractmethod
    def T(self) -> Map: ...

    def batched(self, count: int) -> Map:
        """The map of each of `count` arrays that stand along a leading axis."""
        return Batched(self, count)

    def trailing(self, start: int) -> Map | None:
        """The map to the output rows ``start:`` alone, or ``None`` if that saves little."""
        return None

    def view(self, view: SourceView) -> SourceView | None:
        """The output as a view of a source, where that is what the input is; else ``None``."""
        return None

    def seed_group(self, view: SourceView) -> int:
        """How many identity seeds in a row this map makes one factored block of; 0 where none.

        The seeds are of a source that the input is a view of.
        """
        return 0


def thin(shape: Shape, axes: Axes) -> Shape:
    """The shape with length 1 along some axes."""
    return tuple(1 if axis in axes else n for axis, n in enumerate(shape))


class Weighted(Map):
    """A map with numbers in it, which may be infinite or NaN."""

    weights: Array
    _finite: bool | None = None

    @property
    def finite(self) -> bool:
        """Whether all weights are."""
        if self._finite is None:
            self._finite = finite(compact(self.weights))
        return self._finite

    def array(self, block: Array) -> Block:
        if self._finite or self.finite:
            return super().array(block)
        # A dense zero means "not there" as well as the number; an infinity must not meet it.
        return self.sparse(Sparse.of(block))

    def khatri_rao(self, block: KhatriRao) -> Block:
        return super().khatri_rao(block) if self.finite else self.apply(block.expanded())


class Chain(Map):
    """Maps one after the other, the first one first."""

    def __init__(self, *maps: Map) -> None:
        self.maps = maps
        self.inp = maps[0].inp
        self.out = maps[-1].out

    @property
    def work(self) -> int:  # type: ignore[override]
        """The multiplications for one seed."""
        return sum([step.work for step in self.maps])

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

    def out_axes(self, axes: Axes) -> Axes | None:
        out_axes: Axes | None = axes
        for step in self.maps:
            if out_axes is not None:
                out_axes = step.out_axes(out_axes)
        return out_axes

    def reach(self, labels: Ids) -> Ids:
        for step in self.maps:
            labels = step.reach(labels)
        return labels

    def trailing(self, start: int) -> Map | None:
        last = self.maps[-1].trailing(start)
        return None if last is None else Chain(*self.maps[:-1], last)

    def view(self, view: SourceView) -> SourceView | None:
        seen: SourceView | None = view
        for step in self.maps:
            if seen is not None:
                seen = step.view(seen)
        return seen

    def seed_group(self, view: SourceView) -> int:
        seen: SourceView | None = view
        for step in self.maps:
            group = step.seed_group(seen) if seen else 0
            if group or seen is None:
                return group
            seen = step.view(seen)
        return 0

    @cached_property
    def _transposed(self) -> Map:
        return Chain(*(step.T for step in reversed(self.maps)))

    @property
    def T(self) -> Map:
        return self._transposed


class Batched(Map):
    """A map of each of `count` arrays: they stand along a leading axis."""

    def __init__(self, map_: Map, count: int) -> None:
        self.map = map_
        self.count = count
        self.inp = (count, *map_.inp)
        self.out = (count, *map_.out)

    @property
    def finite(self) -> bool:
        """Whether no number in the map is infinite or NaN."""
        return self.map.finite

    def dense(self, block: Array) -> Block:
        flat = block.reshape((block.shape[0] * self.count, *self.map.inp))
        return self._gathered(self.map.apply(flat), block.shape[0])

    def sparse(self, block: Sparse) -> Block:
        pattern = block.pattern

        def make() -> Pattern:
            which, pos = divide(pattern.pos, prod(self.map.inp))
            seed = pattern.seed * self.count + which
            count = pattern.count * self.count
            return Pattern(count, self.map.inp, seed, pos, distinct=pattern.distinct)

        flat = Sparse(pattern.derive(("batched", self.count), make), block.val)
        return self._gathered(self.map.apply(flat), pattern.count)

    def _gathered(self, block: Block, seeds: int) -> Block:
        """Arrays as seeds -> arrays along the leading axis again."""
        if block is None:
            return None
        if isinstance(block, Structured):
            block = block.expanded()
        if isinstance(block, np.ndarray):
            return block.reshape((seeds, *self.out))
        assert isinstance(block, Sparse)
        pattern = block.pattern

        def make() -> Pattern:
            seed, which = divide(pattern.seed, self.count)
            pos = which * prod(self.map.out) + pattern.pos
            return Pattern(seeds, self.out, seed, pos, distinct=pattern.distinct)

        return Sparse(pattern.derive(("gathered", self.count), make), block.val)

    def reach(self, labels: Ids) -> Ids:
        if not self.count:
            return np.full(self.out, NOTHING)
        return np.stack([self.map.reach(part) for part in labels])

    @property
    def T(self) -> Map:
        return Batched(self.map.T, self.count)
