"""Gradient and Hessian-vector product, written once for all primitives.

A `Linearization` is the recorded graph between some inputs and one output, as linear maps: each
step has its Jacobians J_k and, once it is asked for, its curvatures C_kl. An adjoint sweep goes as
far down as there is curvature, and further on when the gradient is asked for; `push` gives
Hessian-vector products by two sweeps over tangent blocks (A. Griewank and A. Walther,
*Evaluating Derivatives*, 2nd ed., SIAM 2008, chapter 5)::

    dz = sum_k J_k da_k                               forward
    dā_k += J_kᵀ dz̄ + sum_l C_kl da_l                 backward
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from lazyhess._indices import Array, Ids, Shape
from lazyhess._maps import (
    NOTHING,
    Map,
    Mask,
    Scale,
    chain,
)
from lazyhess._record.primitive import Primitive
from lazyhess._record.variable import Variable, ancestors, leaf
from lazyhess._sweep.products import Edge, Plan
from lazyhess._tangents import Block, cast, dense, total


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
        # For each slot the positions of its operands with slots, and those slots.
        active: list[dict[int, int]] = []
        # Slots whose adjoints a curvature wants, of their own step or of one further down.
        curved: set[int] = set()
        for node in ancestors([root]):
            slots = {}
            for k, x in enumerate(node._operands):
                if type(x) is Variable:
                    operand = slot_of.get(x._serial)
                    if operand is not None:
                        slots[k] = operand
            if slots or node._serial in wanted:
                slot = slot_of[node._serial] = len(nodes)
                nodes.append(node)
                active.append(slots)
                primitive = node._primitive
                if not curved.isdisjoint(slots.values()) or (
                    slots and primitive is not None and primitive.curved(tuple(slots))
                ):
                    curved.add(slot)
        self.slots = [slot_of.get(x._serial) for x in xs]
        self.shapes = [x.shape for x in xs]
        self.dtypes = [x.dtype for x in xs]
        self.count = len(nodes)
        self.sizes = [node._value.size for node in nodes]
        self.root = slot_of.get(root._serial)
        self.steps: list[Step] = []
        self._targets = {slot for slot in self.slots if slot is not None}
        self._adjoints: dict[int, Block] = {}
        # What is left of the adjoint sweep for the gradient: a slot, its dtype, the transposed
        # Jacobians to be applied, and its adjoint, where it is known.
        self._rest: list[tuple[int, np.dtype[Any], list[tuple[int, Map]], list[Block]]] = []
        self._lock = threading.Lock()
        with np.errstate(all="ignore"):
            self._sweep(nodes, active, curved, np.asarray(cotangent, root.dtype)[None])
        self.steps.reverse()
        if not all(j.finite for step in self.steps for _, j, _ in step.jacobian):
            self._mask_dead([node.shape for node in nodes])
        self._plans: dict[Any, Plan] = {}
        # What an engine found out about batch axes, for as long as this holds.
        self.verdicts: dict[tuple[int, ...], int | None] = {}

    def _sweep(
        self,
        nodes: list[Variable],
        active: list[dict[int, int]],
        curved: set[int],
        cotangent: Block,
    ) -> None:
        """Make the steps, with the adjoints of all that are curved."""
        # By slot, what is added up to its adjoint. An adjoint may be zero by its values: what the
        # root depends on is told by the maps.
        pending: dict[int, list[Block]] = {}
        if self.root is not None:
            pending[self.root] = [cotangent]
        for slot in range(len(nodes) - 1, -1, -1):
            blocks = pending.pop(slot, None)
            if blocks is None:
                continue
            node = nodes[slot]
            known = slot in curved
            adjoint = cast(total(blocks), node._value.dtype) if known else None
            if known and slot in self._targets:
                self._adjoints[slot] = adjoint
            step = Step(slot, node._value)
            if node._primitive is not None:
                self._linearize(step, node, active[slot], adjoint)
                if step.jacobian:
                    self.steps.append(step)
            later = []
            for operand, _, transposed in step.jacobian:
                found = pending.setdefault(operand, [])
                if operand in curved:
                    found.append(transposed.apply(adjoint))
                else:
                    later.append((operand, transposed))
            if later or not known:
                self._rest.append((slot, step.dtype, later, [adjoint] if known else blocks))

    def _linearize(self, step: Step, node: Variable, slots: dict[int, int], adjoint: Block) -> None:
        """Work out the Jacobians of a step, and keep what its curvature needs."""
        primitive, value = node._primitive, node._value
        assert primitive is not None
        out: Any = node if self.recorded else value
        args = node._operands
        if not self.recorded:
            args = tuple([x._value if type(x) is Variable else x for x in args])
        for k, operand in slots.items():
            jacobian = primitive.jacobian(k, args, out)
            if jacobian is not None:
                step.jacobian.append((operand, jacobian, jacobian.T))
        if len(slots) > 1 and len(set(slots.values())) < len(slots):
            merged = _merged([(operand, step.out, j) for operand, j, _ in step.jacobian])
            step.jacobian = [(operand, j, j.T) for operand, _, j in merged]
        if adjoint is not None and primitive.curved(tuple(slots)):
            weights = dense(adjoint, 1, value.shape, value.dtype)[0]
            step.defer(primitive, args, out, weights, slots)

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
        if self._rest:
            with self._lock, np.errstate(all="ignore"):
                self._finish()
        slot = self.slots[k]
        block = None if slot is None else self._adjoints.get(slot)
        made = dense(block, 1, self.shapes[k], self.dtypes[k])[0]
        if isinstance(made, Variable):
            return made
        return leaf(np.array(made)) if self.recorded else np.array(made)

    def _finish(self) -> None:
        """The rest of the adjoint sweep: down to what the gradient is by."""
        rest = self._rest  # of the thread that comes second nothing
        pending: dict[int, list[Block]] = {}
        for slot, dtype, edges, blocks in rest:
            adjoint = cast(total([*blocks, *pending.pop(slot, ())]), dtype)
            if slot in self._targets:
                self._adjoints[slot] = adjoint
            for operand, transposed in edges:
                pending.setdefault(operand, []).append(transposed.apply(adjoint))
        self._rest = []

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
                    made = jacobian.out_axes(places[operand])
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
