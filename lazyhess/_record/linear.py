"""The Jacobian of a recorded graph as one linear map.

Two things are made of it: a Jacobian that a rule writes down as NumPy code, linear in a tangent
(`linear`), and the curvature of a primitive that states its Jacobians alone (`curvature`), which is
the Jacobian of ``J_kᵀ adjoint``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from lazyhess._indices import Array, Ids, Shape
from lazyhess._maps import NOTHING, Map
from lazyhess._record.primitive import Primitive
from lazyhess._record.variable import Variable, ancestors, leaf, new_variable, record, value_of
from lazyhess._tangents import Block, Sparse, cast, total

# What a slot is made from: its number, dtype, and (operand's slot, Jacobian, transpose) for each.
_Step: TypeAlias = tuple[int, np.dtype[Any], list[tuple[int, Map, Map]]]


class Through(Map):
    """From one slot to another through recorded steps; forwards, or transposed backwards."""

    def __init__(
        self,
        steps: list[_Step],
        ends: tuple[int, int],
        shapes: tuple[Shape, Shape],
        dtypes: tuple[np.dtype[Any], np.dtype[Any]],
        backwards: bool = False,
    ) -> None:
        self.steps = steps
        self.ends, self.shapes, self.dtypes = ends, shapes, dtypes
        self.backwards = backwards
        self.inp, self.out = shapes[::-1] if backwards else shapes

    @property
    def finite(self) -> bool:
        """Whether no number in the steps is infinite or NaN."""
        return all(j.finite for _, _, edges in self.steps for _, j, _ in edges)

    def apply(self, block: Block) -> Block:
        source, target = self.ends
        if not self.backwards:
            tangents = {source: block}
            for slot, dtype, edges in self.steps:
                parts = [j.apply(tangents[k]) for k, j, _ in edges if k in tangents]
                tangents[slot] = cast(total(parts), dtype)
            return tangents.get(target)
        pending = {target: [block]}
        for slot, dtype, edges in reversed(self.steps):
            adjoint = cast(total(pending.pop(slot, ())), dtype)
            for k, _, transposed in edges:
                pending.setdefault(k, []).append(transposed.apply(adjoint))
        return cast(total(pending.get(source, ())), self.dtypes[0])

    def dense(self, block: Array) -> Sparse | Array:
        raise AssertionError("the steps apply themselves")

    def sparse(self, block: Sparse) -> Sparse | Array:
        raise AssertionError("the steps apply themselves")

    def reach(self, labels: Ids) -> Ids:
        source, target = self.ends
        held: dict[int, Ids] = {target if self.backwards else source: labels}

        def add(slot: int, made: Ids) -> None:
            held[slot] = np.maximum(held[slot], made) if slot in held else made

        for slot, _, edges in self.steps[:: -1 if self.backwards else 1]:
            for k, j, transposed in edges:
                if self.backwards and slot in held:
                    add(k, transposed.reach(held[slot]))
                elif not self.backwards and k in held:
                    add(slot, j.reach(held[k]))
        found = held.get(source if self.backwards else target)
        return np.full(self.out, NOTHING) if found is None else found

    @property
    def T(self) -> Map:
        return Through(self.steps, self.ends, self.shapes, self.dtypes, not self.backwards)


def _through(
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
    steps: list[_Step] = []
    for node in ancestors([root], lambda node: node._serial >= first):
        serial, primitive = node._serial, node._primitive
        if primitive is None:
            held.setdefault(serial, node._value)
            continue
        active = [
            (k, slots[x._serial])
            for k, x in enumerate(node._operands)
            if type(x) is Variable and x._serial in slots
        ]
        if not active and not again:
            continue  # stands for itself
        args = tuple(held.get(x._serial, x) if type(x) is Variable else x for x in node._operands)
        if serial not in held:
            fresh = again and any(type(x) is Variable for x in args)
            held[serial] = record(primitive, *args) if fresh else node._value
        edges = []
        for k, slot in active:
            jacobian = primitive.jacobian(k, args, held[serial])
            if jacobian is not None:
                edges.append((slot, jacobian, jacobian.T))
        if edges:
            slots[serial] = len(slots)
            steps.append((slots[serial], node.dtype, edges))
    target = slots.get(root._serial)
    return [
        None
        if target is None
        else Through(steps, (n, target), (x.shape, root.shape), (x.dtype, root.dtype))
        for n, x in enumerate(sources)
    ]


def linear(function: Callable[[Any], Any], shape: Shape, dtype: Any) -> Map | None:
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
        return _through(root, [tangent], {}, again=False)[0]


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
        found = _through(recorded[0], list(leaves.values()), held, again=True)
        for l, map_ in zip(inner, found, strict=True):
            if l in active and map_ is not None:
                yield k, l, map_


def _plain(x: Any) -> Array:
    """The value, as an array that may be made read-only."""
    return np.asarray(value_of(x)).view()


def _stand_in(x: Any) -> Variable:
    return leaf(_plain(x))
