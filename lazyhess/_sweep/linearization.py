"""The adjoint sweep: what curvatures are weighted by, and the gradient.

A `Linearization` is the recorded graph between some inputs and one output, as linear maps: each
step has its Jacobians J_k and, once they are asked for, its curvatures C_kl. An adjoint sweep goes
as far down as there is curvature, and further on when the gradient is asked for. What
Hessian-vector products do with the maps stands in `lazyhess._sweep.products`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lazyhess._create import asarray, copied
from lazyhess._indices import Array, Ids, Shape
from lazyhess._locks import lock
from lazyhess._maps import NOTHING, Map, Mask, chain
from lazyhess._maps.graph import AXES, BLOCKS, LABELS, Edge, MapGraph
from lazyhess._record.linear import recorded_maps
from lazyhess._record.variable import Variable, leaf
from lazyhess._sweep.products import ProductPlan
from lazyhess._tangents import Block, dense


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

    def __init__(
        self,
        root: Variable,
        xs: Sequence[Variable],
        cotangent: Array,
        *,
        recorded: bool = False,
    ) -> None:
        self.recorded = recorded
        self._adjoints: dict[int, Block] = {}  # of inputs, by their slots
        self._lock = lock()
        with np.errstate(all="ignore"):
            self.maps = recorded_maps(root, xs, recorded=recorded)
            # What is left of the adjoint sweep for the gradient.
            self._rest = self._sweep(asarray(cotangent, root.dtype)[None])
        if not self.maps.graph.finite:
            self._mask_dead(root.shape)
        self._plans: dict[Any, ProductPlan] = {}
        # What an engine found out about batch axes, for as long as this holds.
        self.verdicts: dict[tuple[int, ...], int | None] = {}

    def _sweep(self, cotangent: Block) -> tuple[MapGraph, dict[int, list[Block]]] | None:
        """The adjoint sweep as far as curvatures want it; the steps below, and their adjoints."""
        maps = self.maps
        if maps.root is None:
            return None
        curved = maps.curved
        inside, rest = maps.graph.divided(curved)
        pending: dict[int, list[Block]] = {maps.root: [cotangent]}
        if maps.root not in curved:
            return rest, pending
        border = rest.slots
        inputs = {slot for slot in maps.inputs if slot in curved}
        keep = {*maps.curvature, *inputs, *border}
        inside.backward(pending, BLOCKS, keep)
        for slot, curvature in maps.curvature.items():
            curvature.set_adjoint(pending[slot][0])
        for slot in inputs:
            self._adjoints[slot] = pending[slot][0]
        return rest, {slot: pending[slot] for slot in border if slot in pending}

    def _mask_dead(self, shape: Shape) -> None:
        """Keep infinities and NaN out of elements that the root does not depend on.

        They stand in branches that were not taken; a derivative of such an element is multiplied
        by zero further up, which would make NaN of it.
        """
        maps = self.maps
        if maps.root is None:
            return
        alive = {maps.root: [np.zeros(shape, np.intp)]}
        maps.graph.backward(alive, LABELS, maps.graph.slots)

        def masked(slot: int, edge: Edge) -> Edge:
            k, jacobian, _ = edge
            if jacobian.finite:
                return edge
            (labels,) = alive[slot]
            jacobian = chain(jacobian, Mask(labels != NOTHING, labels.shape))
            return k, jacobian, jacobian.T

        maps.graph = maps.graph.edited(masked)

    def gradient(self, k: int) -> Any:
        """The gradient with respect to ``xs[k]``, as a new array; recorded, as a Variable."""
        if self._rest is not None:
            with self._lock, np.errstate(all="ignore"):
                self._finish()
        maps = self.maps
        slot = maps.inputs[k]
        block = None if slot is None else self._adjoints.get(slot)
        gradient = dense(block, 1, maps.shapes[k], maps.dtypes[k])[0]
        if isinstance(gradient, Variable):
            return gradient
        return leaf(copied(gradient)) if self.recorded else copied(gradient)

    def _finish(self) -> None:
        """The rest of the adjoint sweep: down to what the gradient is by."""
        if self._rest is None:  # another thread has done it
            return
        graph, rest = self._rest
        pending = {slot: [*parts] for slot, parts in rest.items()}  # the sweep may be interrupted
        dtypes = zip(self.maps.inputs, self.maps.dtypes, strict=True)
        inputs = {slot: dtype for slot, dtype in dtypes if slot is not None}
        graph.backward(pending, BLOCKS, inputs)
        for slot, dtype in inputs.items():
            if slot in pending:
                self._adjoints[slot] = BLOCKS.add(pending[slot], dtype)
        self._rest = None

    def plan(
        self, source: int, targets: tuple[int, ...], without: frozenset[Map] = frozenset()
    ) -> ProductPlan:
        """The steps of both sweeps from one x to some, without dead or zero work.

        Curvatures in `without` are left out.
        """
        key = source, targets, without
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = ProductPlan(self.maps, source, targets, without)
        return plan

    def keeps(self, axes: Sequence[int]) -> bool:
        """Whether every step works alone at every place of an axis, which is given for each x.

        Then places do not depend on each other. (They may not, either, where steps mix and part
        them again: `reach` tells.)
        """
        given: dict[int, tuple[int, ...] | None] = {}
        for slot, axis in zip(self.maps.inputs, axes, strict=True):
            if slot is not None and given.setdefault(slot, (axis,)) != (axis,):
                return False
        return None not in self.maps.graph.forward(given, AXES).values()

    def reach(self, labels: Sequence[Ids]) -> Ids | None:
        """The largest label that each element of the root depends on, labels given for each x.

        `NOTHING` where it depends on none.
        """
        inputs = zip(self.maps.inputs, labels, strict=True)
        given = {slot: label for slot, label in inputs if slot is not None}
        reached = self.maps.graph.forward(given, LABELS)
        return None if self.maps.root is None else reached.get(self.maps.root)
