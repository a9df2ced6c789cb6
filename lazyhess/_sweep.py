"""Gradient and Hessian-vector product, written once for all primitives.

A `Linearization` is the recorded graph between some inputs and one output, as linear maps: each
step has its Jacobians J_k and, once it is asked for, its curvatures C_kl. The adjoint sweep that
makes it gives the gradient; `push` gives Hessian-vector products by two sweeps over tangent
blocks (A. Griewank and A. Walther, *Evaluating Derivatives*, 2nd ed., SIAM 2008, chapter 5)::

    dz = sum_k J_k da_k                               forward
    dā_k += J_kᵀ dz̄ + sum_l C_kl da_l                 backward
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import lcm, prod
from typing import Any, TypeAlias

import numpy as np

from lazyhess._maps import (
    NOTHING,
    Chain,
    Contract,
    Gather,
    Map,
    Mask,
    Permute,
    Reshape,
    Scale,
    chain,
)
from lazyhess._tangents import (
    Array,
    Block,
    Factored,
    Ids,
    Shape,
    Uniform,
    cast,
    dense,
    identity,
    nbytes,
    shape_of,
    total,
)
from lazyhess._variable import Primitive, Variable, ancestors, leaf

# Bytes of the Jacobian that a symmetric rank-k update may form.
_FORMED = 1 << 27

# An operand's slot, the Jacobian with respect to it, and its transpose.
Edge: TypeAlias = tuple[int, Map, Map]


class Step:
    """One recorded primitive as linear maps. Slots number the active arrays of the graph."""

    __slots__ = ("_curvature", "_pending", "dtype", "jacobian", "out", "shape")

    def __init__(self, out: int, array: Array) -> None:
        self.out = out
        self.shape: Shape = array.shape
        self.dtype = array.dtype
        self.jacobian: list[Edge] = []
        self._curvature: list[tuple[int, int, Map]] = []  # operand slots k and l, C_kl
        self._pending: tuple[Any, ...] | None = None

    def defer(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        value: Array,
        adjoint: Array,
        slots: dict[int, int],
    ) -> None:
        """Keep what the curvature will be worked out from."""
        self._pending = primitive, args, value, adjoint, slots

    @property
    def curvature(self) -> list[tuple[int, int, Map]]:
        """The curvature maps, worked out when first asked for."""
        pending = self._pending
        if pending is not None:
            primitive, args, value, adjoint, slots = pending
            found = primitive.curvature(args, value, adjoint, tuple(slots))
            self._curvature = _merged([(slots[k], slots[l], c) for k, l, c in found])
            self._pending = None
        return self._curvature


class Linearization:
    """The graph between `xs` and `root` as linear maps, at the recorded point.

    Parameters
    ----------
    root : Variable
        The output.
    xs : sequence of Variable
        The inputs; intermediates are allowed. An input that `root` does not depend on has no slot.
    cotangent : ndarray
        The weight of each element of `root`: the function is ``sum(cotangent * root)``.
    recorded : bool
        Whether the sweeps run on Variables, so that what comes out can be differentiated again.
    """

    # Unless recorded, no Variable is kept: the root keeps its linearization, and a cycle would
    # outlive both.

    def __init__(
        self,
        root: Variable,
        xs: Sequence[Variable],
        cotangent: Array,
        *,
        recorded: bool = False,
    ) -> None:
        self.recorded = recorded
        wanted = {x._serial for x in xs}
        slot_of: dict[int, int] = {}
        nodes: list[Variable] = []
        for node in ancestors([root]):
            active = node._serial in wanted
            for x in node._operands:
                active = active or (type(x) is Variable and x._serial in slot_of)
            if active:
                slot_of[node._serial] = len(nodes)
                nodes.append(node)
        self.slots = [slot_of.get(x._serial) for x in xs]
        self.shapes = [x.shape for x in xs]
        self.dtypes = [x.dtype for x in xs]
        self.count = len(nodes)
        self.sizes = [node._value.size for node in nodes]
        self.root = slot_of.get(root._serial)
        self.steps: list[Step] = []
        pending: dict[int, list[Block]] = {}
        if self.root is not None:
            pending[self.root] = [np.asarray(cotangent, root.dtype)[None]]
        targets = {slot for slot in self.slots if slot is not None}
        self.adjoints: dict[int, Block] = {}
        with np.errstate(all="ignore"):
            for slot in range(len(nodes) - 1, -1, -1):
                node, value = nodes[slot], nodes[slot]._value
                adjoint = cast(total(pending.pop(slot, ())), value.dtype)
                if slot in targets:
                    self.adjoints[slot] = adjoint
                if adjoint is None or node._primitive is None:
                    continue
                step = self._step(slot, node, slot_of, adjoint, pending)
                if step.jacobian:
                    self.steps.append(step)
        self.steps.reverse()
        if not all(j.finite for step in self.steps for _, j, _ in step.jacobian):
            self._mask_dead([node.shape for node in nodes])
        self._plans: dict[Any, Plan] = {}
        # What an engine found out about batch axes, for as long as this holds.
        self.verdicts: dict[tuple[int, ...], int | None] = {}

    def _step(
        self,
        slot: int,
        node: Variable,
        slot_of: dict[int, int],
        adjoint: Block,
        pending: dict[int, list[Block]],
    ) -> Step:
        value: Any = node if self.recorded else node._value
        primitive: Any = node._primitive
        args = node._operands
        slots: dict[int, int] = {}
        for k, x in enumerate(args):
            if type(x) is Variable:
                operand = slot_of.get(x._serial)
                if operand is not None:
                    slots[k] = operand
        if not self.recorded:
            args = tuple([x._value if type(x) is Variable else x for x in args])
        step = Step(slot, value)
        for k, operand in slots.items():
            jacobian = primitive.jacobian(k, args, value)
            if jacobian is not None:
                step.jacobian.append((operand, jacobian, jacobian.T))
        if len(slots) > 1 and len(set(slots.values())) < len(slots):
            merged = _merged([(operand, slot, j) for operand, j, _ in step.jacobian])
            step.jacobian = [(operand, j, j.T) for operand, _, j in merged]
        for operand, _, transposed in step.jacobian:
            pending.setdefault(operand, []).append(transposed.apply(adjoint))
        if type(primitive).curvature is not Primitive.curvature:
            weights = dense(adjoint, 1, value.shape, value.dtype)[0]
            step.defer(primitive, args, value, weights, slots)
        return step

    def _mask_dead(self, shapes: list[Shape]) -> None:
        """Keep infinities and NaN out of elements that the root does not depend on.

        They stand in branches that were not taken; a derivative of such an element is multiplied
        by zero further up, which would make NaN of it.
        """
        alive: list[Ids | None] = [None] * self.count
        if self.root is not None:
            alive[self.root] = np.zeros(shapes[self.root], np.intp)
        for step in reversed(self.steps):
            above = alive[step.out]
            if above is None:
                continue
            for operand, _, transposed in step.jacobian:
                made = transposed.reach(above)
                old = alive[operand]
                alive[operand] = made if old is None else np.maximum(old, made)
            for n, (operand, jacobian, _) in enumerate(step.jacobian):
                if not jacobian.finite:
                    masked = chain(jacobian, Mask(above != NOTHING, step.shape))
                    step.jacobian[n] = operand, masked, masked.T

    def gradient(self, k: int) -> Any:
        """The gradient with respect to ``xs[k]``, as a new array; recorded, as a Variable."""
        slot = self.slots[k]
        block = None if slot is None else self.adjoints[slot]
        made = dense(block, 1, self.shapes[k], self.dtypes[k])[0]
        if isinstance(made, Variable):
            return made
        return leaf(np.array(made)) if self.recorded else np.array(made)

    def plan(
        self, source: int, targets: tuple[int, ...], without: frozenset[Map] = frozenset()
    ) -> Plan:
        """The steps of both sweeps from one x to some, without dead or zero work.

        Curvatures in `without` are left out.
        """
        key = source, targets, without
        found = self._plans.get(key)
        if found is None:
            found = self._plans[key] = Plan(self, source, targets, without)
        return found

    def keeps(self, axes: Sequence[int]) -> bool:
        """Whether every step works alone at every place of an axis, which is given for each x.

        Then places do not depend on each other. (They may not, either, where steps mix and part
        them again: `reach` tells.)
        """
        places: dict[int, tuple[int, ...]] = {}
        for slot, axis in zip(self.slots, axes, strict=True):
            if slot is not None and places.setdefault(slot, (axis,)) != (axis,):
                return False
        for step in self.steps:
            for operand, jacobian, _ in step.jacobian:
                if operand in places:
                    made = jacobian.keeps(places[operand])
                    if made is None or places.setdefault(step.out, made) != made:
                        return False
        return True

    def reach(self, labels: Sequence[Ids]) -> Ids | None:
        """The largest label that each element of the root depends on, labels given for each x.

        `NOTHING` where it depends on none.
        """
        held: list[Ids | None] = [None] * self.count
        for slot, label in zip(self.slots, labels, strict=True):
            if slot is not None:
                held[slot] = label
        for step in self.steps:
            for operand, jacobian, _ in step.jacobian:
                below = held[operand]
                if below is not None:
                    made: Ids = jacobian.reach(below)
                    old = held[step.out]
                    held[step.out] = made if old is None else np.maximum(old, made)
        return None if self.root is None else held[self.root]


def _within(slots: set[int | None], jacobian: list[Edge]) -> list[Edge]:
    """The operands among the given slots: the same list where that is all of them."""
    for operand, _, _ in jacobian:
        if operand not in slots:
            return [edge for edge in jacobian if edge[0] in slots]
    return jacobian


def _work(map_: Map) -> int:
    """The multiplications of a map for one seed, as far as they are products of matrices."""
    if isinstance(map_, Chain):
        return sum(map(_work, map_.maps))
    return map_.work if isinstance(map_, Contract) else 0


def _merged(edges: list[tuple[int, int, Map]]) -> list[tuple[int, int, Map]]:
    """Maps between slots, where diagonal maps between the same two are one."""
    if len(edges) < 2:
        return edges
    places: dict[tuple[int, int], int] = {}
    made: list[tuple[int, int, Map]] = []
    for k, l, map_ in edges:
        at = places.get((k, l))
        if type(map_) is not Scale:
            made.append((k, l, map_))
        elif at is None:
            places[k, l] = len(made)
            made.append((k, l, map_))
        else:
            held: Any = made[at][2]
            made[at] = k, l, Scale(held.weights + map_.weights, map_.out)
    return made


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
                    if size * width * scale.weights.itemsize <= _FORMED:
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
                rows[k] = block.expanded() if isinstance(block, (Factored, Uniform)) else block
        return rows, held + 3 * largest + nbytes(rows.values())
