"""Inverses and solutions of linear equations."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from lazyhess._indices import Array, Ids, Shape
from lazyhess._maps import NOTHING, Map, Weighted, chain
from lazyhess._primitives.base import RecordedMap, astype, axis_tuple, implements, nested, variables
from lazyhess._primitives.einsum import contract
from lazyhess._primitives.linalg.base import Curvature, square_matrices, times, transposed, turned
from lazyhess._record.primitive import Primitive
from lazyhess._record.variable import Variable, record
from lazyhess._tangents import Sparse


def _columns(a: Any, block: Any) -> Any:
    """Solve for K right-hand sides of each matrix at once: one factorization for all."""
    count, shape = block.shape[0], block.shape[1:]
    columns = np.moveaxis(block, 0, -1).reshape((*shape[:-1], shape[-1] * count))
    solved = np.linalg.solve(a, columns).reshape((*shape, count))
    return np.moveaxis(solved, -1, 0)


class Solving(Weighted):
    """Stacked matrices B -> A⁻¹ B, or (`flipped`) A⁻ᵀ B."""

    def __init__(self, a: Array, shape: Shape, *, flipped: bool = False) -> None:
        self.weights = a
        self.inp = self.out = shape
        self.flipped = flipped

    def dense(self, block: Array) -> Array:
        solution: Array = _solved(self, block, self.weights)
        return solution

    def sparse(self, block: Sparse) -> Array:
        return self.dense(block.dense())

    def reach(self, labels: Ids) -> Ids:
        return np.broadcast_to(np.max(labels, axis=-2, keepdims=True, initial=NOTHING), self.out)

    @property
    def T(self) -> Map:
        return Solving(self.weights, self.out, flipped=not self.flipped)


def _solved(plain: Solving, block: Any, a: Any) -> Any:
    return _columns(transposed(a) if plain.flipped else a, block)


def solving(a: Any, shape: Shape) -> Map:
    """The map B -> A⁻¹ B of stacked matrices of `shape`."""
    if isinstance(a, Variable):
        return RecordedMap(Solving(a.value, shape), a, _solved)
    return Solving(a, shape)


class Solve(Primitive):
    """``X = A⁻¹ B`` for stacks of one leading shape: dX = A⁻¹ (dB - dA X).

    With L = A⁻ᵀ X̄ the adjoints are B̄ = L and Ā = -L Xᵀ; the curvature is the change of these.
    """

    name = "solve"

    def value(self, *args: Any) -> Array:
        a, b = args
        solution: Array = np.linalg.solve(a, b)
        return solution

    def jacobian(self, k: int, args: tuple[Any, ...], out: Array) -> Map:
        inverse = solving(args[0], out.shape)
        return inverse if k else chain(times("right", -out, args[0].shape), inverse)

    def curvature(
        self, args: tuple[Any, ...], out: Array, adjoint: Array, active: tuple[int, ...]
    ) -> Curvature:
        if 0 not in active:
            return
        a, shape = args[0], args[0].shape
        back = np.linalg.solve(transposed(a), adjoint)
        turn = turned(shape)
        narrow = 2 * out.shape[-1] < shape[-1]
        # dAᵀ (L Xᵀ), and dA (X Lᵀ), or with few columns (dAᵀ L) Xᵀ, and (dA X) Lᵀ.
        left, right = (back, out) if narrow else (back @ transposed(out), out @ transposed(back))
        solved = out.shape if narrow else shape
        first = times("right", transposed(out), solved) if narrow else None
        second = times("right", transposed(back), solved) if narrow else None
        yield 0, 0, chain(turn, times("right", left, shape), solving(transposed(a), solved), first)
        yield 0, 0, chain(times("right", right, shape), solving(a, solved), second, turn)
        if 1 in active:
            yield 1, 0, chain(turn, times("right", -back, shape), solving(transposed(a), out.shape))
            lead = tuple(range(3, 1 + len(shape)))
            spread = contract((*lead, 1, 2), (*lead, 0, 2), (*lead, 0, 1), -back, out.shape)
            yield 0, 1, chain(solving(a, out.shape), spread)


@implements(np.linalg.solve)
def solve(a: Any, b: Any) -> Any:
    """`numpy.linalg.solve`."""
    a, b = square_matrices("solve", a), nested(b)
    if not variables(a, b):
        return np.linalg.solve(a, b)
    if b.ndim == 0 or a.shape[-1] != b.shape[0 if b.ndim == 1 else -2]:
        np.linalg.solve(np.ones(a.shape), np.ones(b.shape))  # NumPy words the error
    vector = b.ndim == 1
    b = b[:, None] if vector else b
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    dtype = np.result_type(a.dtype, b.dtype)
    a, b = (np.broadcast_to(astype(x, dtype), lead + x.shape[-2:]) for x in (a, b))
    solution = record(Solve.of(), a, b)
    return solution[..., 0] if vector else solution


class Inverse(Primitive):
    """``X = A⁻¹``: dX = -X dA X, Ā = -Xᵀ X̄ Xᵀ, dĀ = -Xᵀ dAᵀ Ā - Ā dAᵀ Xᵀ."""

    name = "inv"

    def value(self, *args: Any) -> Array:
        inverse: Array = np.linalg.inv(args[0])
        return inverse

    def jacobian(self, k: int, args: tuple[Any, ...], out: Array) -> Map:
        return chain(times("left", -out, out.shape), times("right", out, out.shape))

    def curvature(
        self, args: tuple[Any, ...], out: Array, adjoint: Array, active: tuple[int, ...]
    ) -> Curvature:
        x, shape = transposed(out), out.shape
        back = x @ adjoint @ x  # -Ā
        yield 0, 0, chain(turned(shape), times("left", x, shape), times("right", back, shape))
        yield 0, 0, chain(turned(shape), times("left", back, shape), times("right", x, shape))


@implements(np.linalg.inv)
def inv(a: Any) -> Any:
    """`numpy.linalg.inv`."""
    return record(Inverse.of(), square_matrices("inv", a))


@implements(np.linalg.tensorsolve)
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """`numpy.linalg.tensorsolve`."""
    a, b = nested(a), nested(b)
    if axes is not None:
        order = [k for k in range(a.ndim) if k not in axis_tuple(axes, a.ndim)]
        a = np.transpose(a, (*order, *axis_tuple(axes, a.ndim)))
    rest = a.shape[-(a.ndim - b.ndim) :] if a.ndim > b.ndim else ()
    if prod(rest) != b.size:
        raise np.linalg.LinAlgError(
            "Input arrays must satisfy the requirement prod(a.shape[b.ndim:]) == "
            "prod(a.shape[:b.ndim])"
        )
    solution = solve(np.reshape(a, (b.size, b.size)), np.reshape(b, (b.size,)))
    return np.reshape(solution, rest)


@implements(np.linalg.tensorinv)
def tensorinv(a: Any, ind: int = 2) -> Any:
    """`numpy.linalg.tensorinv`."""
    if ind <= 0:
        raise ValueError("Invalid ind argument.")
    first, rest = a.shape[:ind], a.shape[ind:]
    inverse = inv(np.reshape(a, (prod(first), -1)))
    return np.reshape(inverse, (*rest, *first))
