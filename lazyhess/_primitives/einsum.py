"""Products of arrays: einsum and everything that is one.

Every product is brought to pairwise contractions of clean operands (no repeated labels, no label
that only one side sums, no broadcasting): one primitive, `Contraction`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from lazyhess._create import asarray
from lazyhess._decisions import nowhere
from lazyhess._indices import Array, Shape
from lazyhess._maps import Contract, Map
from lazyhess._primitives.base import (
    RecordedMap,
    astype,
    axis_tuple,
    implements,
    nested,
    options,
)
from lazyhess._record.primitive import METHODS, Primitive, refuse_out
from lazyhess._record.variable import Variable, record, shape_of, value_of

Labels = tuple[int, ...]


def _contracted(plain: Contract, block: Any, weights: Any) -> Any:
    """The contraction of a block as recorded operations."""
    if plain.finite:
        return _seeded(plain, block, weights)
    # An element of zero is not there; an infinity must not meet it, and elsewhere counts.
    bad = ~np.isfinite(weights.value)
    there = (value_of(block) != 0).astype(float)
    hit = asarray(_seeded(plain, there, bad.astype(float))) != 0
    bounded = np.where(bad, weights.dtype.type(0), weights)
    clean, whole = (_seeded(plain, block, part) for part in (bounded, weights))
    return clean if nowhere(hit) else np.where(hit, whole, clean)


def _seeded(plain: Contract, block: Any, weights: Any) -> Any:
    labels, onto = plain.how.seeded
    return product([block, weights], [labels, plain.how.with_], onto)


def contract(labels: Labels, with_: Labels, onto: Labels, weights: Any, inp: Shape) -> Map:
    """The contraction with an array, see `Contract`."""
    if isinstance(weights, Variable):
        return RecordedMap(Contract(labels, with_, onto, weights.value, inp), weights, _contracted)
    return Contract(labels, with_, onto, weights, inp)


class Contraction(Primitive):
    """``einsum("left,right->onto", a, b)``; labels are integers, and clean as above."""

    name = "einsum"

    def __init__(self, left: Labels, right: Labels, onto: Labels) -> None:
        self.left, self.right, self.onto = left, right, onto

    def value(self, *args: Any) -> Array:
        a, b = args
        value = Contract(self.left, self.right, self.onto, b, a.shape).dense(a[None])[0]
        return asarray(value, order="C")

    def batched(self, count: int, along: tuple[bool, ...]) -> Primitive:
        new = max((*self.left, *self.right), default=0) + 1
        left, right = (
            (new, *names) if stacked else names
            for names, stacked in zip((self.left, self.right), along, strict=True)
        )
        return _contraction(left, right, (new, *self.onto))

    def jacobian(self, k: int, args: tuple[Any, ...], out: Array) -> Map:
        mine, other = (self.left, self.right)[:: 1 if k == 0 else -1]
        return contract(mine, other, self.onto, args[1 - k], args[k].shape)

    def curved(self, active: tuple[int, ...]) -> bool:
        return len(active) == 2

    def curvature(
        self, args: tuple[Any, ...], out: Array, adjoint: Array, active: tuple[int, ...]
    ) -> Iterable[tuple[int, int, Map]]:
        if len(active) == 2:
            a, b = args
            yield 0, 1, contract(self.right, self.onto, self.left, adjoint, b.shape)
            yield 1, 0, contract(self.left, self.onto, self.right, adjoint, a.shape)


def product(operands: Sequence[Any], labels: Sequence[Labels], onto: Labels) -> Any:
    """The general einsum: repeated, missing and broadcast labels, any number of operands."""
    if len(operands) == 2:
        (a, b), (left, right) = operands, labels
        if _clean_pair(shape_of(a), shape_of(b), tuple(left), tuple(right), tuple(onto)):
            return _pair(nested(a), tuple(left), nested(b), tuple(right), tuple(onto))
    extent: dict[int, int] = {}
    for a, names in zip(operands, labels, strict=True):
        for n, label in zip(shape_of(a), names, strict=True):
            if extent.setdefault(label, n) == 1:
                extent[label] = n
            elif n not in (1, extent[label]):
                raise ValueError(
                    f"operands could not be broadcast together: a subscript has length {n} and "
                    f"{extent[label]} (operand shapes {[shape_of(x) for x in operands]})"
                )
    parts = [_clean(a, names, extent) for a, names in zip(operands, labels, strict=True)]
    for k, (a, names) in enumerate(parts):
        # What only one operand has, and nobody wants, is summed first.
        wanted = set(onto).union(*(other for n, (_, other) in enumerate(parts) if n != k))
        lone = tuple(axis for axis, label in enumerate(names) if label not in wanted)
        if lone:
            parts[k] = (np.sum(a, axis=lone), tuple(label for label in names if label in wanted))
    for first, second in _path(parts, onto):
        (a, left), (b, right) = parts[first], parts[second]
        rest = [part for n, part in enumerate(parts) if n not in (first, second)]
        wanted = set(onto).union(*(names for _, names in rest))
        kept = dict.fromkeys(label for label in left + right if label in wanted)
        answer = tuple(label for label in onto if label in kept) if not rest else tuple(kept)
        parts = [*rest, (_pair(a, left, b, right, answer), answer)]
    a, names = parts[0]
    have = tuple(label for label in onto if label in names)
    if have != names:
        a = np.transpose(a, [names.index(label) for label in have])
    shape = tuple(extent[label] for label in onto)
    if a.shape == shape:
        return a
    # Labels of the answer that are broadcast everywhere.
    a = np.reshape(a, tuple(extent[label] if label in have else 1 for label in onto))
    return np.broadcast_to(a, shape)


@lru_cache(maxsize=4096)
def _clean_pair(a: Shape, b: Shape, left: Labels, right: Labels, onto: Labels) -> bool:
    """Whether operands of these shapes and labels are as `Contraction` wants them."""
    first, second, answer = set(left), set(right), set(onto)
    distinct = len(first) == len(left) and len(second) == len(right) and len(answer) == len(onto)
    pairs = (*zip(left, a, strict=True), *zip(right, b, strict=True))
    same = len(set(pairs)) == len(first | second)
    return distinct and same and answer <= first | second and first ^ second <= answer


@lru_cache(maxsize=4096)
def _contraction(left: Labels, right: Labels, onto: Labels) -> Contraction:
    return Contraction.of(left, right, onto)


def _pair(a: Any, left: Labels, b: Any, right: Labels, onto: Labels) -> Any:
    primitive = _contraction(left, right, onto)
    if isinstance(a, Variable) or isinstance(b, Variable):
        return record(primitive, a, b)
    return primitive.value(a, b)


def _clean(a: Any, names: Labels, extent: dict[int, int]) -> tuple[Any, Labels]:
    """An operand whose labels are distinct and which has no broadcast axis."""
    a = nested(a)
    keep = [axis for axis, label in enumerate(names) if a.shape[axis] == extent[label]]
    if len(keep) != len(names):
        a = np.reshape(a, tuple(a.shape[axis] for axis in keep))
        names = tuple(names[axis] for axis in keep)
    while len(set(names)) != len(names):
        label, _ = Counter(names).most_common(1)[0]
        first = names.index(label)
        second = names.index(label, first + 1)
        a = np.diagonal(a, 0, first, second)
        names = (*(x for axis, x in enumerate(names) if axis not in (first, second)), label)
    return a, names


def _path(parts: list[tuple[Any, Labels]], onto: Labels) -> list[tuple[int, int]]:
    """Which two operands to contract, again and again, until one is left."""
    if len(parts) < 3:
        return [(0, 1)] * (len(parts) - 1)
    interleaved: list[Any] = []
    names = {label: n for n, label in enumerate(dict.fromkeys(sum((p[1] for p in parts), ())))}
    for a, labels in parts:
        interleaved += [np.broadcast_to(np.zeros(()), a.shape), [names[x] for x in labels]]
    have = [names[label] for label in onto if label in names]
    steps, _ = np.einsum_path(*interleaved, have, optimize="greedy")
    path: list[tuple[int, int]] = []
    count = len(parts)
    for step in steps[1:]:
        # A step of more than two operands is done from its last two on.
        todo = sorted(step)
        while len(todo) > 1:
            second, first = todo.pop(), todo.pop()
            path.append((first, second))
            count -= 1
            todo.append(count - 1)
    return path


@implements(np.einsum)
def einsum(*operands: Any, out: Any = None, optimize: Any = False, **kwargs: Any) -> Any:
    """`numpy.einsum`, in both of its notations."""
    if out is not None:
        refuse_out("einsum")
    arrays, labels, onto = _parse(operands)
    answer = product(arrays, labels, onto)
    dtype = kwargs.get("dtype")
    return answer if dtype is None else astype(answer, dtype)


def _parse(operands: tuple[Any, ...]) -> tuple[list[Any], list[Labels], Labels]:
    """Arrays, labels of each, and labels of the answer. Broadcast (``...``) labels are negative."""
    if isinstance(operands[0], str):
        text, *arrays = operands
        text = text.replace(" ", "")
        left, arrow, right = text.partition("->")
        terms = [_letters(term) for term in left.split(",")]
        answer = _letters(right) if arrow else None
    else:
        whole = list(operands)
        answer = list(whole.pop()) if len(whole) % 2 else None
        arrays, terms = whole[::2], [list(term) for term in whole[1::2]]
    arrays = [nested(a) for a in arrays]
    if len(arrays) != len(terms):
        raise ValueError(f"einsum has {len(terms)} subscript terms for {len(arrays)} operands")
    labels: list[Labels] = []
    widest = 0
    for a, term in zip(arrays, terms, strict=True):
        dots = term.count(Ellipsis)
        spare = a.ndim - (len(term) - dots)
        if spare < 0 or dots > 1 or (spare and not dots):
            raise ValueError(
                f"einsum subscripts name {len(term) - dots} axes of an operand with shape {a.shape}"
            )
        if dots:
            at = term.index(Ellipsis)
            term = [*term[:at], *range(-spare, 0), *term[at + 1 :]]
            widest = max(widest, spare)
        labels.append(tuple(term))
    if answer is None:
        times = Counter(label for term in labels for label in term)
        answer = [*range(-widest, 0), *sorted(x for x, n in times.items() if n == 1 and x >= 0)]
    elif Ellipsis in answer:
        at = answer.index(Ellipsis)
        answer = [*answer[:at], *range(-widest, 0), *answer[at + 1 :]]
    known = {label for term in labels for label in term}
    for label in answer:
        if label not in known or answer.count(label) > 1:
            raise ValueError("einsum's answer must name subscripts of its operands, each once")
    return arrays, labels, tuple(answer)


def _letters(term: str) -> list[Any]:
    head, dots, tail = term.partition("...")
    for letter in head + tail:
        if not letter.isalpha():
            raise ValueError(f"einsum subscripts are letters, got {letter!r} in {term!r}")
    return [*(ord(x) for x in head), *([Ellipsis] if dots else []), *(ord(x) for x in tail)]


# --- products by other names ----------------------------------------------------------------------
def _stacked(a: Any, b: Any, left: Labels, right: Labels, onto: Labels) -> Any:
    """A product of the last axes, broadcast over all leading ones."""
    spare = (a.ndim - len(left), b.ndim - len(right))
    lead = tuple(range(-max(spare), 0))
    names = [lead[len(lead) - n :] + core for n, core in zip(spare, (left, right), strict=True)]
    return product([a, b], names, lead + onto)


@implements(np.matmul)
def matmul(x1: Any, x2: Any, /, **kwargs: Any) -> Any:
    """`numpy.matmul`."""
    a, b = (nested(x) for x in options("matmul", (x1, x2), kwargs))
    if not a.ndim or not b.ndim:
        raise ValueError(
            "matmul: an operand has no dimensions (it needs at least one), got shapes "
            f"{a.shape} and {b.shape}"
        )
    left, right = ((0, 1) if a.ndim > 1 else (1,)), ((1, 2) if b.ndim > 1 else (1,))
    if a.shape[-1] != b.shape[0 if b.ndim == 1 else -2]:
        raise ValueError(
            f"matmul: mismatch in the contracted dimension, shapes {a.shape} and {b.shape}"
        )
    onto = (*((0,) if a.ndim > 1 else ()), *((2,) if b.ndim > 1 else ()))
    return _stacked(a, b, left, right, onto)


@implements(np.vecdot, np.linalg.vecdot)
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1, **kwargs: Any) -> Any:
    """`numpy.vecdot`."""
    a, b = (nested(x) for x in options("vecdot", (x1, x2), kwargs))
    return np.sum(np.conjugate(a) * b, axis=axis)


@implements(np.dot)
def dot(a: Any, b: Any, out: Any = None) -> Any:
    """`numpy.dot`."""
    if out is not None:
        refuse_out("dot")
    a, b = nested(a), nested(b)
    if not a.ndim or not b.ndim:
        return a * b
    axis = b.ndim - 2 if b.ndim > 1 else 0
    if a.shape[-1] != b.shape[axis]:
        raise ValueError(
            f"shapes {a.shape} and {b.shape} not aligned: {a.shape[-1]} (dim {a.ndim - 1}) != "
            f"{b.shape[axis]} (dim {axis})"
        )
    return tensordot(a, b, ((a.ndim - 1,), (axis,)))


@implements(np.vdot)
def vdot(a: Any, b: Any, /) -> Any:
    """`numpy.vdot`."""
    return dot(np.conjugate(np.ravel(a)), np.ravel(b))


@implements(np.inner)
def inner(a: Any, b: Any, /) -> Any:
    """`numpy.inner`."""
    a, b = nested(a), nested(b)
    if not a.ndim or not b.ndim:
        return a * b
    return tensordot(a, b, ((a.ndim - 1,), (b.ndim - 1,)))


@implements(np.outer, np.linalg.outer)
def outer(a: Any, b: Any, out: Any = None) -> Any:
    """`numpy.outer`."""
    if out is not None:
        refuse_out("outer")
    return tensordot(np.ravel(nested(a)), np.ravel(nested(b)), 0)


@implements(np.tensordot, np.linalg.tensordot)
def tensordot(a: Any, b: Any, /, axes: Any = 2) -> Any:
    """`numpy.tensordot`."""
    a, b = nested(a), nested(b)
    if np.ndim(axes) == 0:
        first = tuple(range(a.ndim - int(axes), a.ndim))
        second = tuple(range(int(axes)))
    else:
        first, second = (axis_tuple(part, x.ndim) for part, x in zip(axes, (a, b), strict=True))
    if [a.shape[k] for k in first] != [b.shape[k] for k in second]:
        raise ValueError(f"shape-mismatch for sum: shapes {a.shape} and {b.shape}, axes {axes}")
    left = tuple(range(a.ndim))
    right = tuple(
        first[second.index(axis)] if axis in second else a.ndim + axis for axis in range(b.ndim)
    )
    onto = (
        *(x for k, x in enumerate(left) if k not in first),
        *(x for k, x in enumerate(right) if k not in second),
    )
    return product([a, b], [left, right], onto)


@implements(np.trace)
def trace(
    a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None
) -> Any:
    """`numpy.trace`."""
    return np.sum(np.diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype)


@implements(np.kron)
def kron(a: Any, b: Any) -> Any:
    """`numpy.kron`."""
    a, b = nested(a), nested(b)
    ndim = max(a.ndim, b.ndim)
    a = np.reshape(a, (1,) * (ndim - a.ndim) + a.shape)
    b = np.reshape(b, (1,) * (ndim - b.ndim) + b.shape)
    mixed = tensordot(a, b, 0)
    order = [axis for pair in zip(range(ndim), range(ndim, 2 * ndim), strict=True) for axis in pair]
    shape = tuple(m * n for m, n in zip(a.shape, b.shape, strict=True))
    return np.reshape(np.transpose(mixed, order), shape)


def _outer_of(ufunc: np.ufunc) -> Any:
    def method(a: Any, b: Any, **kwargs: Any) -> Any:
        a, b = nested(a), nested(b)
        return ufunc(np.reshape(a, a.shape + (1,) * b.ndim), b, **kwargs)

    return method


for _ufunc in (
    np.add, np.subtract, np.multiply, np.divide, np.floor_divide, np.remainder, np.fmod, np.power,
    np.float_power, np.maximum, np.minimum, np.fmax, np.fmin, np.hypot, np.arctan2, np.heaviside,
    np.copysign, np.logaddexp, np.logaddexp2,
):  # fmt: skip
    METHODS[_ufunc, "outer"] = _outer_of(_ufunc)
