"""What a linear map is, maps with numbers in them, and chains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from math import isfinite, prod

import numpy as np

from lazyhess._tangents import (
    ENTRY_COST,
    SMALL,
    Array,
    Block,
    Ids,
    Shape,
    Sparse,
    compact,
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
