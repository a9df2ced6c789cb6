"""Loops over elements, put together: equal steps of a recorded graph as one step of arrays.

A Python loop records every operation of every turn, on scalars or on small arrays, and each costs
as much as an operation on thousands of elements. Two steps are of one *kind* if they are the same
primitive of operands of the same kinds, whatever their numbers; picks from one array are of one
kind, wherever they pick from. All steps of a kind stand along a leading axis of one array, so a
loop over 300 terms becomes the dozen of steps that somebody would have written without a loop. (It
is hash-consing, as in common subexpressions, with the place in a loop left out of the hash.)

The sum that a loop collects its terms in depends on itself from turn to turn; it is taken as a sum
of all its terms. Other recurrences stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, cast

import numpy as np

from lazyhess._costs import COSTS
from lazyhess._create import asarray
from lazyhess._decisions import decide, nowhere
from lazyhess._indices import Array, Ids, Shape, evenly
from lazyhess._maps import Gather, Reduce
from lazyhess._primitives.base import Elementwise, Structural
from lazyhess._primitives.shape import Concatenate
from lazyhess._record.interned import content_key
from lazyhess._record.primitive import Primitive
from lazyhess._record.variable import Variable, ancestors, record

_LOW = 32
_PLACE = (1 << _LOW) - 1
_ADD, _SUBTRACT = Elementwise.table["add"], Elementwise.table["subtract"]


def autobatch(root: Variable, xs: Sequence[Variable]) -> Variable:
    """An output of the same value and derivatives, with equal steps put together.

    The output itself, where that would not spare at least half of the steps.
    """
    if not xs or root._serial - min(x._serial for x in xs) < COSTS.loop_steps:
        return root
    wanted = {x._serial for x in xs}
    nodes = ancestors([root], lambda node: node._serial not in wanted)
    if len(nodes) < COSTS.loop_steps or sum(
        node._value.size for node in nodes
    ) > COSTS.loop_elements * len(nodes):
        return root
    graph = _Graph(root, xs, nodes)
    if COSTS.loop_shrinks * len(graph.kinds) > graph.steps:
        return root
    with np.errstate(all="ignore"):
        return graph.made()


class _Kind:
    """Steps of one kind, which become one."""

    __slots__ = ("alone", "members", "node", "numbers", "terms")

    def __init__(self, node: Variable, *, alone: bool = False) -> None:
        self.node = node  # the first of them
        self.alone = alone  # an array of its own, which does not stand in a larger one
        # The operands of each step, as numbers: `_Graph.operand`.
        self.members: list[tuple[int, ...]] = []
        self.numbers: dict[tuple[int, ...], int] = {}
        self.terms: list[tuple[int, int]] | None = None  # of a sum: sign and operand


class _Graph:
    """The steps between some inputs and an output, by kinds.

    An operand is a number: ``kind << _LOW | place in it``, or ``~n`` for constant n.
    """

    def __init__(self, root: Variable, xs: Sequence[Variable], nodes: list[Variable]) -> None:
        self.root = root
        self.kinds: list[_Kind] = []
        self.constants: list[Any] = []
        self._known: dict[int, int] = {}  # constants by id
        self._classes: dict[Any, int] = {}  # constants that can stand in one array
        self._class_of: list[int] = []
        self._keys: dict[Any, int] = {}
        self._place: dict[int, int] = {}  # serial -> operand
        for x in xs:
            if x._serial not in self._place:
                self._alone(x)
        user, picks = self._survey(nodes)
        self._picks = {serial: len(found) for serial, found in picks.items()}
        chains, absorbed = _chains(nodes, user)
        self.steps = 0
        for node in nodes:
            if node._serial in absorbed or node._primitive is None:
                continue
            terms = chains.get(node._serial)
            signs = None if terms is None else [sign for sign, _ in terms]
            parts = node._operands if terms is None else [x for _, x in terms]
            operands = tuple([self._operand(x) for x in parts])
            if max(operands) < 0:  # it is constant
                continue
            self.steps += 1
            if signs is not None:
                self._alone(node).terms = list(zip(signs, operands, strict=True))
                self.steps += len(signs)
            else:
                self._add(node, node._primitive, operands)

    def _survey(
        self, nodes: list[Variable]
    ) -> tuple[dict[int, Variable | None], dict[int, set[int]]]:
        """The only user of each array, and what picks from it."""
        user: dict[int, Variable | None] = {}
        picks: dict[int, set[int]] = {}
        for node in nodes:
            for x in node._operands:
                if type(x) is Variable:
                    user[x._serial] = None if x._serial in user else node
            if type(node._primitive) is Structural and _gather(node) is not None:
                picks.setdefault(node._operands[0]._serial, set()).add(id(node._primitive))
        return user, picks

    def _operand(self, x: Any) -> int:
        """The number of an operand."""
        if type(x) is Variable:
            found = self._place.get(x._serial)
            if found is not None:
                return found
            x = x._value
        known = self._known.get(id(x))
        if known is None:
            if isinstance(x, np.ndarray):
                what: Any = x.dtype, x.shape
            else:
                what = type(x)
            known = self._known[id(x)] = ~len(self.constants)
            self.constants.append(x)
            self._class_of.append(self._classes.setdefault(what, ~len(self._classes)))
        return known

    def _add(self, node: Variable, primitive: Any, operands: tuple[int, ...]) -> None:
        """Find the kind of a step."""
        if type(primitive).batched is Primitive.batched or self._source(node, operands):
            self._alone(node).members.append(operands)
            return
        key: tuple[Any, ...]
        if type(primitive) is Structural:
            if operands[0] >= 0 and self.single(operands[0]) and _gather(node) is not None:
                key = "pick", operands[0], node._value.shape
                operands = (self._operand(primitive.map),)
            else:
                key = id(primitive.map), operands[0] >> _LOW
        else:
            key = (
                id(primitive),
                *[x >> _LOW if x >= 0 else self._class_of[~x] for x in operands],
                *[
                    content_key(self.constants[~operands[n]])
                    for n in primitive.by_value
                    if operands[n] < 0
                ],
            )
        at = self._keys.get(key)
        if at is None:
            at = self._keys[key] = len(self.kinds)
            self.kinds.append(_Kind(node))
        kind = self.kinds[at]
        number = kind.numbers.get(operands)
        if number is None:
            number = kind.numbers[operands] = len(kind.members)
            kind.members.append(operands)
        self._place[node._serial] = at << _LOW | number

    def _alone(self, node: Variable) -> _Kind:
        made = _Kind(node, alone=True)
        self._place[node._serial] = len(self.kinds) << _LOW
        self.kinds.append(made)
        return made

    def _source(self, node: Variable, operands: tuple[int, ...]) -> bool:
        """Whether a step makes an array that turns of a loop pick from, not one of theirs."""
        picks = self._picks.get(node._serial, 0)
        if picks > COSTS.loop_picks or picks < 2 or _gather(node) is not None:
            return picks > COSTS.loop_picks
        return all(x < 0 or self.single(x) for x in operands)

    def single(self, operand: int) -> bool:
        """Whether an operand is an array that does not stand in a larger one."""
        return self.kinds[operand >> _LOW].alone

    # --- the new graph --------------------------------------------------------------------------

    def made(self) -> Variable:
        """Record one step for each kind."""
        self._arrays: list[Variable] = []
        for kind in self.kinds:
            self._arrays.append(self._record(kind))
        return self._element(self._place[self.root._serial])

    def _record(self, kind: _Kind) -> Variable:
        node = kind.node
        if kind.terms is not None:
            return self._total(kind.terms, node)
        if not kind.members:  # an input
            return node
        primitive: Any = node._primitive
        count, first = len(kind.members), kind.members[0]
        if first[0] < 0 and isinstance(self.constants[~first[0]], Gather):
            source = self._element(self._place[node._operands[0]._serial])
            if count == 1:
                return record(primitive, source)
            gathers = [self.constants[~pick] for (pick,) in kind.members]
            return _picked(source, gathers, node._value.shape)
        if count == 1:
            if isinstance(primitive, Concatenate):
                return self._joined(primitive, first)
            return record(primitive, *[self._single(x) for x in first])
        columns = [
            self._column(column, node, k in primitive.by_value)
            for k, column in enumerate(zip(*kind.members, strict=True))
        ]
        along = tuple([stacked for _, stacked in columns])
        arrays = [x for x, _ in columns]
        if not any(along):  # the same again and again, with constants that are equal
            kind.alone = True
            return record(primitive, *arrays)
        if primitive.elementwise:
            ndim = node._value.ndim + 1
            for k, x in enumerate(arrays):
                if along[k] and x.ndim < ndim:
                    arrays[k] = np.reshape(x, (count, *(1,) * (ndim - x.ndim), *x.shape[1:]))
        if not primitive.broadcasts:
            for k, x in enumerate(arrays):
                if not along[k]:
                    arrays[k] = np.broadcast_to(x, (count, *x.shape))
        return record(primitive.batched(count, along), *arrays)

    def _single(self, operand: int) -> Any:
        return self._element(operand) if operand >= 0 else self.constants[~operand]

    def _column(self, column: tuple[int, ...], node: Variable, by_value: bool) -> tuple[Any, bool]:
        """One operand of all steps of a kind, and whether they stand along its first axis.

        Constants that decide `by_value` what is done are equal, or the kind would be another.
        """
        first = column[0]
        if first >= 0:
            whole = self.single(first) or len(self.kinds[first >> _LOW].members) == 1
            if whole:
                return self._arrays[first >> _LOW], False
            return self._several(first >> _LOW, [x & _PLACE for x in column]), True
        values = [self.constants[~x] for x in column]
        if by_value or all(value is values[0] for value in values):
            return values[0], False
        if not isinstance(values[0], (np.ndarray, np.generic)):  # it takes what dtype it meets
            values = list(asarray(values, node._value.dtype))
        if decide("equal", _equal, *values):
            return self.constants[~first], False
        return np.stack(values), True

    def _several(self, at: int, numbers: list[int]) -> Variable:
        """Some of the arrays of a kind, along the first axis."""
        array, rows = self._arrays[at], asarray(numbers)
        if len(rows) == len(self.kinds[at].members) and rows[0] == 0 and evenly(rows, 1):
            return array
        return _rows(array, rows)

    def _element(self, operand: int) -> Variable:
        """One of the arrays of a kind."""
        array = self._arrays[operand >> _LOW]
        if self.single(operand) or len(self.kinds[operand >> _LOW].members) == 1:
            return array
        made: Variable = array[operand & _PLACE]
        return made

    def _joined(self, primitive: Concatenate, operands: tuple[int, ...]) -> Variable:
        """A concatenation, neighbours of a kind at once."""
        parts: list[Any] = []
        axis = primitive.axis
        for at, run in groupby(operands, lambda x: x >> _LOW if x >= 0 else x):
            numbers = [x & _PLACE for x in run]
            if at < 0 or len(numbers) == 1 or self.single(at << _LOW):
                whole = self.constants[~at] if at < 0 else self._element(at << _LOW | numbers[0])
                parts += [whole] * len(numbers)
            elif len(self.kinds[at].members) == 1:
                parts += [self._arrays[at]] * len(numbers)
            else:
                stacked: Any = self._several(at, numbers)
                rows = np.moveaxis(stacked, 0, axis)
                shape = rows.shape
                merged = (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :])
                parts.append(np.reshape(rows, merged))
        return parts[0] if len(parts) == 1 else record(primitive, *parts)

    def _total(self, terms: list[tuple[int, int]], node: Variable) -> Variable:
        """A sum of terms, those of a kind at once."""
        found: Any = None
        constant: Any = None
        rows: dict[tuple[int, int], list[int]] = {}
        for sign, term in terms:
            if term < 0:
                number = asarray(self.constants[~term], node._value.dtype)
                number = number if sign > 0 else -number
                constant = number if constant is None else constant + number
            else:
                rows.setdefault((term >> _LOW, sign), []).append(term & _PLACE)
        # `numpy.sum` starts from 0.0, so that a sum of -0.0 is 0.0; one without a start is not.
        starts = constant is not None and decide("no minus zero", _no_minus_zero, constant)
        started = False
        for (at, sign), numbers in rows.items():
            array = self._arrays[at]
            if self.kinds[at].alone or len(self.kinds[at].members) == 1:
                part = array if len(numbers) == 1 else array * array.dtype.type(len(numbers))
            elif starts:
                part = np.sum(self._several(at, numbers), axis=0)
                started = started or sign > 0
            else:  # of what is subtracted, so that 0.0 is -0.0
                several: Any = self._several(at, numbers)
                part = record(SignedSum.of(several.shape, 0), several if sign > 0 else -several)
                sign = 1
            if found is None:
                found = part if sign > 0 else -part
            else:
                found = found + part if sign > 0 else found - part
        if constant is None or (started and nowhere(constant)):
            return cast(Variable, found)
        return cast(Variable, found + constant)


class SignedSum(Structural):
    """The sum along an axis of one or more terms, as a loop adds them: without a start.

    Where all terms are -0.0, so is the sum; that of `numpy.sum` is 0.0.
    """

    def __init__(self, inp: Shape, axis: int) -> None:
        super().__init__("sum", Reduce, inp, (axis,), (*inp[:axis], *inp[axis + 1 :]))
        self.axis = axis

    def value(self, *args: Any) -> Array:
        start = -np.zeros((), args[0].dtype)  # of complex numbers in both parts
        total: Array = np.add.reduce(args[0], axis=self.axis, initial=start[()])
        return asarray(total)

    def batched(self, count: int, along: tuple[bool, ...]) -> Primitive:
        return SignedSum.of((count, *self.map.inp), self.axis + 1)


def _no_minus_zero(constant: Array) -> Any:
    return not np.any((constant == 0) & _negative(constant))


def _negative(array: Array) -> Any:
    """Where a sign bit is set, of complex numbers that of any part."""
    if array.dtype.kind == "c":
        return np.signbit(array.real) | np.signbit(array.imag)
    return np.signbit(array)


def _equal(first: Any, *others: Any) -> bool:
    """Whether arrays or scalars of one dtype and shape hold the same bits: 0.0 is not -0.0."""
    content = first.tobytes()
    return all(other.tobytes() == content for other in others)


def _chains(
    nodes: list[Variable], user: dict[int, Variable | None]
) -> tuple[dict[int, list[tuple[int, Any]]], set[int]]:
    """Chains of additions: the terms of each, with signs, by its last step; the steps within."""
    adds = {node._serial: node for node in nodes if _adds(node)}
    inner = set()
    for serial, node in adds.items():
        above = user.get(serial)
        if above is None or above._serial not in adds:
            continue
        # A sum that is subtracted stays one: of 0.0 it is -0.0, and so not that of its terms.
        subtracted = above._primitive is _SUBTRACT and above._operands[1] is node
        if above._value.dtype == node._value.dtype and not subtracted:
            inner.add(serial)
    chains: dict[int, list[tuple[int, Any]]] = {}
    absorbed: set[int] = set()
    for serial, node in adds.items():
        if serial in inner:
            continue
        terms: list[tuple[int, Any]] = []
        within: list[int] = []
        stack: list[tuple[int, Any]] = [(1, node)]
        while stack:
            sign, x = stack.pop()
            if x is node or (type(x) is Variable and x._serial in inner):
                within.append(x._serial)
                a, b = x._operands
                stack += [(-sign if x._primitive is _SUBTRACT else sign, b), (sign, a)]
            else:
                terms.append((sign, x))
        if len(terms) >= COSTS.loop_terms:
            chains[serial] = terms
            absorbed.update(within[1:])
    return chains, absorbed


def _adds(node: Variable) -> bool:
    """Whether this is a sum of two of its own shape and dtype."""
    if node._primitive is not _ADD and node._primitive is not _SUBTRACT:
        return False
    value = node._value
    for x in node._operands:
        if type(x) is Variable:
            if x._value.shape != value.shape or x._value.dtype != value.dtype:
                return False
        elif (x.shape if isinstance(x, (np.ndarray, np.generic)) else ()) != value.shape:
            return False
    return True


def _gather(node: Variable) -> Gather | None:
    """The map of a basic index, if the step is one."""
    primitive = node._primitive
    if not isinstance(primitive, Structural) or type(primitive.map) is not Gather:
        return None
    return primitive.map if primitive.map.basic else None


def _picked(source: Variable, gathers: list[Gather], shape: Shape) -> Variable:
    """The picks from one array, along a new first axis."""
    places = np.concatenate([gather.places() for gather in gathers])
    flat: Any = source if source.ndim == 1 else np.reshape(source, (source.size,))
    made: Any = _rows(flat, places)
    if shape != ():
        made = np.reshape(made, (len(gathers), *shape))
    picked: Variable = made
    return picked


def _rows(array: Variable, rows: Ids) -> Variable:
    """Rows of an array: as a slice, where they are one."""
    step = int(rows[1] - rows[0]) if len(rows) > 1 else 0
    even = step > 0 and evenly(rows, step)
    index: Any = slice(int(rows[0]), int(rows[-1]) + 1, step) if even else rows
    made: Variable = array[index]
    return made
