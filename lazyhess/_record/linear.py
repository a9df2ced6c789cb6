"""Recorded steps as linear maps.

`recorded_maps` gives the graph between some inputs and an output, for the sweeps. `linear_map_of`
gives one map: of what a rule writes down as NumPy code, linear in a tangent. `curvature` is that of
a primitive that states its Jacobians alone: the Jacobian of ``J_kᵀ adjoint``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from lazyhess._indices import Array, Ids, Shape
from lazyhess._maps import NOTHING, Map, Scale
from lazyhess._maps.graph import (
    BLOCKS,
    LABELS,
    Algebra,
    CurvatureEdge,
    Edge,
    MapGraph,
    Step,
)
from lazyhess._record.primitive import Primitive
from lazyhess._record.variable import Variable, ancestors, leaf, new_variable, record, value_of
from lazyhess._tangents import Block, Sparse, cast, dense

V = TypeVar("V")


# --- a graph for the sweeps -----------------------------------------------------------------------


class Curvature:
    """The curvature maps of a recorded step, worked out when they are first asked for."""

    __slots__ = ("_edges", "_pending")

    def __init__(self, *pending: Any) -> None:
        self._edges: list[CurvatureEdge] = []
        # Primitive, operands, value, the slots of active operands by their positions, adjoint.
        self._pending: tuple[Any, ...] | None = pending

    def set_adjoint(self, adjoint: Block) -> None:
        """What the curvature is weighted by: the adjoint of the step, a block of one array."""
        assert self._pending is not None
        primitive, args, out, slots = self._pending
        self._pending = primitive, args, out, slots, dense(adjoint, 1, out.shape, out.dtype)[0]

    @property
    def edges(self) -> list[CurvatureEdge]:
        """The maps, between the slots of operands."""
        pending = self._pending
        if pending is not None:
            primitive, args, out, slots, adjoint = pending
            maps = primitive.curvature(args, out, adjoint, tuple(slots))
            self._edges = _merged([(slots[k], slots[l], c) for k, l, c in maps])
            self._pending = None
        return self._edges


class RecordedMaps:
    """The graph between some inputs and one output as linear maps, at the recorded point.

    Slots number the arrays that depend on an input, in the order of recording, and inputs.
    """

    def __init__(
        self,
        graph: MapGraph,
        curvature: dict[int, Curvature],  # by the slots of steps, the last one first
        root: int | None,  # slots; None where nothing depends on an input,
        inputs: list[int | None],  # or where nothing depends on this one
        shapes: list[Shape],  # of the inputs
        dtypes: list[np.dtype[Any]],
        sizes: list[int],  # elements of each slot
        curved: set[int],  # whose adjoints a curvature wants, of their own step or further down
        sources: frozenset[int],  # that no step computes, of those that the root depends on
    ) -> None:
        self.graph, self.curvature, self.root = graph, curvature, root
        self.inputs, self.shapes, self.dtypes, self.sizes = inputs, shapes, dtypes, sizes
        self.curved, self.sources = curved, sources
        self._parts: dict[frozenset[int], tuple[set[int], MapGraph]] = {}

    def part(self, slots: Iterable[int]) -> tuple[set[int], MapGraph]:
        """These slots and all that is computed from them, and the steps between those."""
        key = frozenset(slots)
        part = self._parts.get(key)
        if part is None:
            if key >= self.sources:  # all there is depends on these
                part = self.graph.slots | key, self.graph
            else:
                above = self.graph.above(key)
                part = above, self.graph.within(above)
            self._parts[key] = part
        return part


def recorded_maps(
    root: Variable, xs: Sequence[Variable], *, recorded: bool = False
) -> RecordedMaps:
    """Linearize what lies between some inputs and an output.

    Parameters
    ----------
    root : Variable
        The output.
    xs : sequence of Variable
        The inputs; intermediates are allowed.
    recorded : bool
        Whether the maps are made of Variables, so that what they give can be differentiated again.
    """
    wanted = {x._serial for x in xs}
    slot_of: dict[int, int] = {}
    nodes: list[Variable] = []
    active: list[dict[int, int]] = []  # for each slot the positions of active operands, their slots
    bent: set[int] = set()  # slots of steps that have a curvature
    curved: set[int] = set()  # and all that is computed from them
    for node in ancestors([root]):
        operands = {}
        for k, x in enumerate(node._operands):
            if type(x) is Variable:
                operand = slot_of.get(x._serial)
                if operand is not None:
                    operands[k] = operand
        if operands or node._serial in wanted:
            slot = slot_of[node._serial] = len(nodes)
            nodes.append(node)
            active.append(operands)
            primitive = node._primitive
            if operands and primitive is not None and primitive.curved(tuple(operands)):
                bent.add(slot)
                curved.add(slot)
            elif not curved.isdisjoint(operands.values()):
                curved.add(slot)
    output = slot_of.get(root._serial)
    steps: list[Step] = []
    curvature: dict[int, Curvature] = {}
    # What the root depends on is told by the maps: an adjoint may be zero by its values.
    reached = {output}
    for slot in range(len(nodes) - 1, -1, -1):
        node, operands = nodes[slot], active[slot]
        primitive = node._primitive
        if slot not in reached or primitive is None:
            continue
        # Unless recorded, no Variable is kept: the root keeps its linearization, and a cycle
        # would outlive both.
        args = node._operands
        out: Any = node
        if not recorded:
            args = tuple([x._value if type(x) is Variable else x for x in args])
            out = node._value
        edges = _edges(primitive, operands, args, out)
        if len(operands) > 1 and len(set(operands.values())) < len(operands):
            merged = _merged([(k, slot, j) for k, j, _ in edges])
            edges = [(k, j, j.T) for k, _, j in merged]
        if not edges:
            continue
        steps.append((slot, node._value.dtype, edges))
        for k, _, _ in edges:
            reached.add(k)
        if slot in bent:
            curvature[slot] = Curvature(primitive, args, out, operands)
    steps.reverse()
    graph = MapGraph(steps)
    computed = graph.slots
    return RecordedMaps(
        graph,
        curvature,
        output,
        [slot_of.get(x._serial) for x in xs],
        [x.shape for x in xs],
        [x.dtype for x in xs],
        [node._value.size for node in nodes],
        curved & computed,
        frozenset([slot for slot in reached if slot is not None and slot not in computed]),
    )


def _edges(
    primitive: Primitive, slots: dict[int, int], args: tuple[Any, ...], out: Any
) -> list[Edge]:
    """The Jacobians of a step by its active operands, whose slots stand by their positions."""
    edges = []
    for k, slot in slots.items():
        jacobian = primitive.jacobian(k, args, out)
        if jacobian is not None:
            edges.append((slot, jacobian, jacobian.T))
    return edges


def _merged(edges: list[CurvatureEdge]) -> list[CurvatureEdge]:
    """Maps between slots, where diagonal maps between the same two are one."""
    if len(edges) < 2:
        return edges
    places: dict[tuple[int, int], int] = {}
    merged: list[CurvatureEdge] = []
    for k, l, map_ in edges:
        at = places.get((k, l))
        if type(map_) is not Scale:
            merged.append((k, l, map_))
        elif at is None:
            places[k, l] = len(merged)
            merged.append((k, l, map_))
        else:
            other: Any = merged[at][2]
            merged[at] = k, l, Scale(other.weights + map_.weights, map_.out)
    return merged


# --- one map --------------------------------------------------------------------------------------


class JacobianMap(Map):
    """From one slot of a graph of maps to another; forward, or transposed backward."""

    def __init__(
        self,
        graph: MapGraph,
        slots: tuple[int, int],
        shapes: tuple[Shape, Shape],
        dtypes: tuple[np.dtype[Any], np.dtype[Any]],
        transposed: bool = False,
    ) -> None:
        self.graph = graph
        self.slots, self.shapes, self.dtypes = slots, shapes, dtypes
        self.transposed = transposed
        self.inp, self.out = shapes[::-1] if transposed else shapes

    @property
    def finite(self) -> bool:
        """Whether no number in the maps is infinite or NaN."""
        return self.graph.finite

    def _carried(self, value: V, algebra: Algebra[V]) -> V | None:
        """What comes out at the other end; ``None`` where nothing does."""
        source, target = self.slots
        if not self.transposed:
            return self.graph.forward({source: value}, algebra).get(target)
        parts = self.graph.backward({target: [value]}, algebra).get(source)
        return None if parts is None else algebra.add(parts, self.dtypes[0])

    def apply(self, block: Block) -> Block:
        return self._carried(block, BLOCKS)

    def dense(self, block: Array) -> Sparse | Array:
        raise AssertionError("the maps of the graph are applied one by one")

    def sparse(self, block: Sparse) -> Sparse | Array:
        raise AssertionError("the maps of the graph are applied one by one")

    def reach(self, labels: Ids) -> Ids:
        reached = self._carried(labels, LABELS)
        return np.full(self.out, NOTHING) if reached is None else reached

    @property
    def T(self) -> Map:
        return JacobianMap(self.graph, self.slots, self.shapes, self.dtypes, not self.transposed)


def _jacobian_maps(
    root: Variable, sources: Sequence[Variable], held: dict[int, Any], *, again: bool
) -> list[Map | None]:
    """The Jacobians of `root` by some of its ancestors; ``None`` where it does not depend on one.

    Parameters
    ----------
    root : Variable
        The output.
    sources : sequence of Variable
        The inputs. Whatever was recorded before the first of them is a constant.
    held : dict of int -> value or Variable
        What stands for Variables, by their serial numbers; without an entry their values do.
    again : bool
        Whether steps that depend on Variables in `held` are recorded again, on those.
    """
    first = min(x._serial for x in sources)
    slots = {x._serial: n for n, x in enumerate(sources)}
    steps: list[Step] = []
    for node in ancestors([root], lambda node: node._serial >= first):
        serial, primitive = node._serial, node._primitive
        if primitive is None:
            held.setdefault(serial, node._value)
            continue
        active = {
            k: slots[x._serial]
            for k, x in enumerate(node._operands)
            if type(x) is Variable and x._serial in slots
        }
        if not active and not again:
            continue  # stands for itself
        args = tuple(held.get(x._serial, x) if type(x) is Variable else x for x in node._operands)
        if serial not in held:
            fresh = again and any(type(x) is Variable for x in args)
            held[serial] = record(primitive, *args) if fresh else node._value
        edges = _edges(primitive, active, args, held[serial])
        if edges:
            slots[serial] = len(slots)
            steps.append((slots[serial], node.dtype, edges))
    target = slots.get(root._serial)
    if target is None:
        return [None] * len(sources)
    graph = MapGraph(steps)
    return [
        JacobianMap(graph, (n, target), (x.shape, root.shape), (x.dtype, root.dtype))
        for n, x in enumerate(sources)
    ]


def linear_map_of(function: Callable[[Any], Any], shape: Shape, dtype: Any) -> Map | None:
    """The map of a function that is linear, written with NumPy functions.

    Parameters
    ----------
    function : callable
        Takes an array of `shape`. What else it uses may be arrays or Variables.
    shape, dtype
        Of its argument.
    """
    tangent = leaf(np.zeros(shape, dtype))
    with np.errstate(all="ignore"):
        root = function(tangent)
        if not isinstance(root, Variable):
            return None
        return _jacobian_maps(root, [tangent], {}, again=False)[0]


def curvature(
    primitive: Primitive, args: tuple[Any, ...], out: Any, adjoint: Any, active: tuple[int, ...]
) -> Iterator[tuple[int, int, Map]]:
    """The curvature of a primitive, from its Jacobians, see `Primitive.curvature`."""
    weight = _stand_in(adjoint)
    # Operands that are no x of this Hessian may be recorded too.
    inner = [k for k, x in enumerate(args) if k in active or isinstance(x, Variable)]
    leaves = {k: _stand_in(args[k]) for k in inner}
    operands = tuple(leaves.get(k, value_of(x)) for k, x in enumerate(args))
    node = new_variable(primitive, operands, _plain(out))
    for k in active:
        stand_in: Any = node
        jacobian = primitive.jacobian(k, operands, stand_in)
        pulled: Any = None if jacobian is None else jacobian.T.apply(weight[None])
        if not isinstance(pulled, Variable):
            continue  # a constant
        recorded: Any = cast(pulled, leaves[k].dtype)
        held = {leaves[l]._serial: args[l] for l in inner}
        held |= {weight._serial: adjoint, node._serial: out}
        maps = _jacobian_maps(recorded[0], list(leaves.values()), held, again=True)
        for l, map_ in zip(inner, maps, strict=True):
            if l in active and map_ is not None:
                yield k, l, map_


def _plain(x: Any) -> Array:
    """The value, as an array that may be made read-only."""
    return np.asarray(value_of(x)).view()


def _stand_in(x: Any) -> Variable:
    return leaf(_plain(x))
