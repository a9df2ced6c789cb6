"""A graph of linear maps, and the two walks through it.

A `MapGraph` is linear maps between numbered arrays (*slots*), in the order in which they are
computed. Whatever is asked of it is a walk forward, from operands to what they are used in, or
backward, through the transposes. What travels is up to an `Algebra`: tangent blocks, for products;
labels, for what depends on what; axes, for what is independent along them; views of one array;
chains of maps; or a mere mark, for what is reached at all. No other code walks steps.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import reduce
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np

from lazyhess._indices import Ids
from lazyhess._maps.base import Map
from lazyhess._tangents import Block, cast, total

V = TypeVar("V")
T = TypeVar("T")

# An operand's slot, the Jacobian with respect to it, and its transpose.
Edge: TypeAlias = tuple[int, Map, Map]
# A slot, the dtype of its array, and what it is computed from. (Tuples, for speed.)
Step: TypeAlias = tuple[int, np.dtype[Any], list[Edge]]
# Slots k and l of operands, and a map from tangents of l to tangents of the adjoint of k.
CurvatureEdge: TypeAlias = tuple[int, int, Map]
NO_CURVATURE: Mapping[int, Sequence[CurvatureEdge]] = {}


class Algebra(NamedTuple, Generic[V]):
    """What travels through a graph: how a map acts on it, and how parts add up in a slot.

    Maps do not act on ``None``, which stays ``None``.
    """

    act: Callable[[Map, Any], V]
    add: Callable[[Sequence[V], np.dtype[Any]], V]


class MapGraph:
    """Linear maps between slots: each step computes one slot from earlier ones.

    Parameters
    ----------
    steps : list of (int, dtype, list of (int, Map, Map))
        In order: a slot, the dtype of its array, and for each operand its slot, the Jacobian with
        respect to it, and that one's transpose. A slot without a step is an input.
    """

    __slots__ = ("steps",)

    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps

    def forward(self, values: dict[int, V], algebra: Algebra[V]) -> dict[int, V]:
        """Fill in what reaches each slot from the given values.

        What is given at a slot that has a step is one more part of it.
        """
        act, add = algebra
        for slot, dtype, edges in self.steps:
            parts = [values[slot]] if slot in values else []
            for k, jacobian, _ in edges:
                if k in values:
                    value = values[k]
                    parts.append(value if value is None else act(jacobian, value))
            if parts:
                values[slot] = add(parts, dtype)
        return values

    def backward(
        self,
        pending: dict[int, list[V]],
        algebra: Algebra[V],
        keep: Collection[int] = (),
        curvature: Mapping[int, Sequence[CurvatureEdge]] = NO_CURVATURE,
        tangents: dict[int, V] | None = None,
    ) -> dict[int, list[V]]:
        """Bring what is pending at some slots down to what they are computed from.

        Parameters
        ----------
        pending : dict of int -> list
            The parts of what stands at a slot. At the end those of inputs are there.
        algebra : Algebra
            What is brought down.
        keep : collection of int
            Slots at which it stays, too, as a single part.
        curvature : dict of int -> sequence of (int, int, Map)
            By the slots of steps: the slots k and l of operands, and a map from what stands in
            `tangents` at l to one more part at k.
        tangents : dict of int -> value
            What curvature acts on. It is dropped as soon as nothing further down needs it.
        """
        act, add = algebra
        for slot, dtype, edges in reversed(self.steps):
            parts = pending.pop(slot, None)
            if parts is not None:
                value = add(parts, dtype)
                for k, _, transposed in edges:
                    part = value if value is None else act(transposed, value)
                    if k in pending:
                        pending[k].append(part)
                    else:
                        pending[k] = [part]
                if slot in keep:
                    pending[slot] = [value]
            if tangents is not None:
                if slot in curvature:
                    for k, l, map_ in curvature[slot]:
                        tangent = tangents[l]
                        part = tangent if tangent is None else act(map_, tangent)
                        if part is None:
                            continue
                        if k in pending:
                            pending[k].append(part)
                        else:
                            pending[k] = [part]
                tangents.pop(slot, None)
        return pending

    def above(self, slots: Iterable[int]) -> set[int]:
        """These slots and all that is computed from them."""
        return set(self.forward(dict.fromkeys(slots, True), MARKS))

    def within(self, slots: Collection[int]) -> MapGraph:
        """The steps of some slots, with the operands among them."""
        steps = []
        for step in self.steps:
            slot, dtype, edges = step
            if slot in slots:
                inner = _among(slots, edges)
                steps.append(step if inner is edges else (slot, dtype, inner))
        return MapGraph(steps)

    def divided(self, slots: Collection[int]) -> tuple[MapGraph, MapGraph]:
        """The steps `within` some slots, and what is left: edges from other slots, with steps."""
        inside, outside = [], []
        for step in self.steps:
            slot, dtype, edges = step
            inner = _among(slots, edges)
            if slot in slots:
                inside.append(step if inner is edges else (slot, dtype, inner))
            if not inner:
                outside.append(step)
            elif inner is not edges:
                outside.append((slot, dtype, [edge for edge in edges if edge[0] not in slots]))
        return MapGraph(inside), MapGraph(outside)

    def edited(self, edit: Callable[[int, Edge], Edge | None]) -> MapGraph:
        """Every edge to a slot replaced by what `edit` gives for the two, or left out."""
        return MapGraph(
            [
                (slot, dtype, [new for edge in edges if (new := edit(slot, edge)) is not None])
                for slot, dtype, edges in self.steps
            ]
        )

    @property
    def slots(self) -> set[int]:
        """The slots that have a step."""
        return {slot for slot, _, _ in self.steps}

    @property
    def edges(self) -> list[Edge]:
        """All edges, in order."""
        return [edge for _, _, edges in self.steps for edge in edges]

    @property
    def finite(self) -> bool:
        """Whether no number in the Jacobians is infinite or NaN."""
        for _, _, edges in self.steps:
            for _, jacobian, _ in edges:
                if not jacobian.finite:
                    return False
        return True


def _among(slots: Collection[int], edges: list[Edge]) -> list[Edge]:
    """The edges from the given slots: the same list where that is all of them."""
    for k, _, _ in edges:
        if k not in slots:
            return [edge for edge in edges if edge[0] in slots]
    return edges


# --- what travels ---------------------------------------------------------------------------------


def _apply(map_: Map, block: Block) -> Block:
    return map_.apply(block)


def _sum(blocks: Sequence[Block], dtype: np.dtype[Any]) -> Block:
    block = blocks[0] if len(blocks) == 1 else total(blocks)
    return block if block is None or block.dtype is dtype else cast(block, dtype)


def only(parts: Sequence[T | None], dtype: np.dtype[Any]) -> T | None:
    """The only part, else ``None``: for what a sum is not."""
    return parts[0] if len(parts) == 1 else None


BLOCKS: Algebra[Block] = Algebra(_apply, _sum)
"""Tangents and adjoints. Each has the dtype of its array."""

LABELS: Algebra[Ids] = Algebra(
    lambda map_, labels: map_.reach(labels), lambda parts, _: reduce(np.maximum, parts)
)
"""The largest label among all that an element depends on, see `Map.reach`."""

AXES: Algebra[tuple[int, ...] | None] = Algebra(
    lambda map_, axes: map_.out_axes(axes),
    lambda parts, _: parts[0] if parts.count(parts[0]) == len(parts) else None,
)
"""Where axes come out of which every place is computed by itself; ``None`` where places mix."""

MARKS: Algebra[bool] = Algebra(lambda _, mark: mark, lambda parts, _: True)
"""What is reached at all."""
