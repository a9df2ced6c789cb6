"""What a product has to do: the steps of both sweeps, in order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import lcm, prod
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from lazyhess._costs import COSTS
from lazyhess._indices import Array, Shape
from lazyhess._maps import (
    Chain,
    Contract,
    Gather,
    Map,
    Permute,
    Reshape,
    Scale,
)
from lazyhess._tangents import Block, Structured, cast, identity, nbytes, shape_of, total

if TYPE_CHECKING:
    from lazyhess._sweep.linearization import Linearization


# An operand's slot, the Jacobian with respect to it, and its transpose.
Edge: TypeAlias = tuple[int, Map, Map]


def _within(slots: set[int | None], jacobian: list[Edge]) -> list[Edge]:
    """The operands among the given slots: the same list where that is all of them."""
    for operand, _, _ in jacobian:
        if operand not in slots:
            return [edge for edge in jacobian if edge[0] in slots]
    return jacobian


def _work(map_: Map) -> int:
    """The multiplications of a map for one seed, as far as they are products of matrices."""
    if type(map_) is Contract:
        return map_.work
    return sum(map(_work, map_.maps)) if type(map_) is Chain else 0


class Window:
    """An array that is a piece of the source: elements `start` to `stop`, in order.

    With `axes`, those of the piece were put into this order.
    """

    __slots__ = ("axes", "start", "stop")

    def __init__(self, start: int, stop: int, axes: tuple[int, ...] | None = None) -> None:
        self.start, self.stop, self.axes = start, stop, axes

    def through(self, map_: Map) -> Window | None:
        """What a map gives of it, if that is one, too."""
        if isinstance(map_, Reshape):
            return self if self.axes is None or map_.inp == map_.out else None
        if self.axes is None and isinstance(map_, Permute):
            return Window(self.start, self.stop, map_.axes)
        if self.axes is None and isinstance(map_, Gather) and map_.window is not None:
            first, last = map_.window
            return Window(self.start + first, self.start + last)
        return None

    def unit(self, maps: Sequence[Map]) -> int:
        """How many seeds make a factored block in the first contraction, see `Contract.unit`."""
        window: Window | None = self
        for map_ in maps:
            if window is None:
                break
            if isinstance(map_, Contract):
                return map_.unit(window.axes)
            window = window.through(map_)
        return 0


def _maps(map_: Map) -> tuple[Map, ...]:
    return map_.maps if isinstance(map_, Chain) else (map_,)


class Square:
    """A part ``B.T @ diag(d) @ B`` of a symmetric matrix: a curvature between a map and itself."""

    def __init__(self, shape: Shape, maps: list[Map], scale: Scale, work: int) -> None:
        self.shape, self.maps, self.scale = shape, maps, scale
        self.work = work  # multiplications for one row

    def matrix(self) -> Array | None:
        """The matrix, or ``None`` where B is sparse, and its sweeps are cheaper."""
        weights = np.broadcast_to(self.scale.weights, self.scale.out).reshape(-1)
        size = prod(self.shape)
        block: Block = identity(np.arange(size), self.shape, weights.dtype)
        with np.errstate(all="ignore"):
            for step in self.maps:
                block = step.apply(block)
        if not isinstance(block, np.ndarray) or block.dtype != weights.dtype:
            return None
        rows = block.reshape(size, -1)
        below = weights < 0
        if not below.any():
            return self._of(rows, weights)
        if below.all():
            return -self._of(rows, -weights)
        above = ~below
        return self._of(rows[:, above], weights[above]) - self._of(rows[:, below], -weights[below])

    @staticmethod
    def _of(rows: Array, weights: Array) -> Array:
        # Of an array times its own transpose BLAS computes one half.
        half = rows * np.sqrt(weights)
        made: Array = half @ half.T
        return made


class Plan:
    """What a product from ``xs[source]`` to some targets has to do, in order."""

    def __init__(
        self,
        lin: Linearization,
        source: int,
        targets: tuple[int, ...],
        without: frozenset[Map] = frozenset(),
    ) -> None:
        # No reference to `lin`: it keeps its plans, and a cycle would outlive both.
        self.source = lin.slots[source]
        self.shape = lin.shapes[source]
        self.targets = {k: (lin.slots[k], lin.dtypes[k]) for k in targets}
        # Slots that the seeds reach, and slots from which the targets are reached.
        reached = {self.source}
        down = {lin.slots[k] for k in targets} - {None}
        for step in lin.steps:
            for operand, _, _ in step.jacobian:
                if operand in reached:
                    reached.add(step.out)
                if operand in down:
                    down.add(step.out)
        # Adjoints that have tangents: a curvature gave them some, here or further up.
        moved: set[int] = set()
        # Tangents that a curvature wants, or that lead to one it wants.
        forward, backward = [], []
        needed: set[int] = set()
        used: set[int] = set()
        with np.errstate(all="ignore"):
            for step in reversed(lin.steps):
                out = step.out
                if out in down:
                    curved = step.curvature
                    if curved:
                        curved = [c for c in curved if c[0] in down and c[1] in reached]
                        if without:
                            curved = [c for c in curved if c[2] not in without]
                        for _, l, _ in curved:
                            needed.add(l)
                            used.add(l)
                    if curved or out in moved:
                        backs = _within(down, step.jacobian) if out in moved else []
                        moved.update(k for k, _, _ in backs)
                        moved.update(k for k, _, _ in curved)
                        backward.append((step, backs, curved))
                if out in needed and out in reached and out != self.source:
                    ahead = _within(reached, step.jacobian)
                    for k, _, _ in ahead:
                        needed.add(k)
                    forward.append((step, ahead))
        forward.reverse()
        self.forward = forward
        self.backward = backward
        self.used = used
        self.kept = {slot for slot, _ in self.targets.values()}
        self.steps = lin.steps
        self.whole = source in targets
        # Elements of all arrays that a product passes through: bounds what one seed can hold.
        passed = {step.out for step, _ in forward} | {step.out for step, _, _ in backward}
        self.size = sum(lin.sizes[slot] for slot in passed | self.kept if slot is not None)

    def _multiplies(self) -> bool:
        """Whether there are products of matrices on the way."""
        for _, backs, curved in self.backward:
            for edge in (*backs, *curved):
                kind = type(edge[2])
                if kind is Contract or (kind is Chain and _work(edge[2])):
                    return True
        return False

    @cached_property
    def windows(self) -> dict[int, Window]:
        """Arrays that are pieces of the source, by their slots; none without products."""
        if self.source is None or not self._multiplies():
            return {}
        found = {self.source: Window(0, prod(self.shape))}
        for step in self.steps:
            if len(step.jacobian) == 1:
                operand, jacobian, _ = step.jacobian[0]
                window = found.get(operand)
                for map_ in _maps(jacobian):
                    window = None if window is None else window.through(map_)
                if window is not None:
                    found[step.out] = window
        return found

    @cached_property
    def segments(self) -> list[tuple[int, int, int]]:
        """Start, stop and unit of pieces of the source whose seeds make factored blocks.

        They do if they are taken in multiples of the unit.
        """
        if not self.windows:
            return []
        first = [(k, j) for _, ahead in self.forward for k, j, _ in ahead]
        first += [(l, c) for _, _, curved in self.backward for _, l, c in curved]
        units: dict[tuple[int, int], int] = {}
        for slot, map_ in first:
            window = self.windows.get(slot)
            unit = window.unit(_maps(map_)) if window else 0
            if window and unit:
                place = window.start, window.stop
                units[place] = lcm(unit, units.get(place, 1))
        found: list[tuple[int, int, int]] = []
        for (start, stop), unit in sorted(units.items()):
            if not found or start >= found[-1][1]:
                found.append((start, stop, unit))
        return found

    @cached_property
    def ends(self) -> dict[int, Map]:
        """The last maps of a sweep back to the source that need not give all of it, by identity."""
        found: dict[int, Map] = {}
        if not self.whole or not self.windows:
            return found
        spared = False  # a product of matrices: else it would not be worth it
        for step, backs, curved in self.backward:
            if step.out == self.source:  # an intermediate: what arrives is handed on
                return {}
            last = [(k, t) for k, _, t in backs] + [(k, c) for k, _, c in curved]
            found |= {id(m): m for k, m in last if k == self.source and m.tail(1) is not None}
            spared = spared or any(k in self.windows and _work(m) for k, m in last)
        return found if spared else {}

    def _known(self, start: int) -> frozenset[int]:
        """Slots whose adjoints lead only to what lies before `start` in the source."""
        before = start * prod(self.shape[1:])
        return frozenset(
            slot
            for slot, window in self.windows.items()
            if window.stop <= before and slot not in self.kept
        )

    @property
    def work(self) -> int:
        """The multiplications of matrix products on the way back, for one seed."""
        maps = [t for _, backs, _ in self.backward for _, _, t in backs]
        return sum(map(_work, maps + [c for _, _, found in self.backward for _, _, c in found]))

    def squares(self) -> list[Square]:
        """The parts of the block of the source with itself that are one rank-k update each.

        Those are diagonal curvatures to which one chain of maps leads from the source.
        """
        above = {step.out: ahead for step, ahead in self.forward}
        size, found = prod(self.shape), []
        for _, _, curved in self.backward:
            for k, l, scale in curved:
                if k != l or type(scale) is not Scale or scale.weights.dtype.kind != "f":
                    continue
                maps: list[Map] = []
                while k != self.source and len(above[k]) == 1:
                    k, jacobian, _ = above[k][0]
                    maps.insert(0, jacobian)
                if k != self.source or not sum(map(_work, maps)):
                    continue
                if all(m.finite for m in (*maps, scale)):
                    width = prod(scale.out)
                    if size * width * scale.weights.itemsize <= COSTS.gram_bytes:
                        found.append(Square(self.shape, maps, scale, size * width // 2))
        return found

    def push(self, seeds: Block, start: int = 0) -> tuple[dict[int, Block], int]:
        """Hessian-vector products.

        Parameters
        ----------
        seeds : Block
            Tangents of the source.
        start : int
            Of the source's own adjoint only what lies from here on along the first axis is asked.

        Returns
        -------
        rows : dict of int -> Block
            For each target, the tangents of its adjoint.
        held : int
            The bytes of tangents and adjoint tangents that were held at the most, about.
        """
        if self.source is None or not self.backward:
            return dict.fromkeys(self.targets), 0
        tangents: dict[int, Block] = {self.source: seeds}
        pending: dict[int, list[Block]] = {}
        tails = [(k, m.tail(start)) for k, m in self.ends.items()] if start else []
        ends = {k: tail for k, tail in tails if tail is not None}
        known = self._known(start) if start else frozenset()
        largest = 0
        with np.errstate(all="ignore"):
            for step, ahead in self.forward:
                if len(ahead) == 1:
                    k, j, _ = ahead[0]
                    block = j.apply(tangents[k])
                else:
                    block = total([j.apply(tangents[k]) for k, j, _ in ahead])
                tangents[step.out] = cast(block, step.dtype)
            tangents = {slot: block for slot, block in tangents.items() if slot in self.used}
            held = nbytes(tangents.values())
            for step, backs, curved in self.backward:
                out = step.out
                blocks = pending.pop(out, None)
                if blocks is not None:
                    block = cast(total(blocks), step.dtype)
                    for k, _, transposed in backs:
                        if k in known:
                            continue
                        transposed = ends.get(id(transposed), transposed)
                        pending.setdefault(k, []).append(transposed.apply(block))
                    if block is not None and block.nbytes > largest:
                        largest = block.nbytes
                    if out in self.kept:  # an intermediate: its own stays
                        pending[out] = [block]
                for k, l, c in curved:
                    if k in known:
                        continue
                    block = ends.get(id(c), c).apply(tangents[l])
                    if block is not None:
                        pending.setdefault(k, []).append(block)
                tangents.pop(out, None)
            rows: dict[int, Block] = {}
            shape = self.shape
            for k, (slot, dtype) in self.targets.items():
                blocks = None if slot is None else pending.get(slot)
                if blocks and start and slot == self.source:
                    behind = Gather(shape, (slice(start, None),), (shape[0] - start, *shape[1:]))
                    blocks = [b if shape_of(b, shape) != shape else behind.apply(b) for b in blocks]
                block = cast(total(blocks, last=True), dtype) if blocks else None
                rows[k] = block.expanded() if isinstance(block, Structured) else block
        return rows, held + 3 * largest + nbytes(rows.values())
