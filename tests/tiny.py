"""The idea on one page: a Hessian that computes what is indexed, with dense matrices only.

It takes what lazyhess has recorded, asks each primitive for its Jacobians and its curvatures, and
does the rest by itself. So it shows what the library does, and is what the library is tested
against: none of its sparse blocks, sweeps, transposes or plans is used. Numbers are real, and every
linear map is a full matrix.

The words are those of A. Griewank and A. Walther, *Evaluating Derivatives*, 2nd ed., SIAM 2008.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from lazyhess._maps import Map
from lazyhess._record.variable import Variable
from lazyhess._tangents import dense

Matrix = np.ndarray


def trace(y: Variable) -> list[Variable]:
    """The evaluation trace: all that y was computed from, operands before results."""
    nodes, stack = {}, [y]
    while stack:
        z = stack.pop()
        if z._serial not in nodes:
            nodes[z._serial] = z
            stack += [a for a in z._operands if isinstance(a, Variable)]
    return [nodes[serial] for serial in sorted(nodes)]


def matrix(map_: Map) -> Matrix:
    """A linear map as a matrix: its columns are what it makes of the unit vectors."""
    n, m = prod(map_.inp), prod(map_.out)
    units = np.eye(n).reshape(n, *map_.inp)
    return dense(map_.apply(units), n, map_.out, float).reshape(n, m).T


@dataclass
class Step:
    """A recorded step z = f(a_1, a_2, ...) at its point. Arrays go by their serial numbers."""

    z: int
    jacobians: list[tuple[int, Matrix]] = field(default_factory=list)
    """(a_k, J_k) with J_k = ∂z/∂a_k."""
    curvatures: list[tuple[int, int, Matrix]] = field(default_factory=list)
    """(a_k, a_l, C_kl) with C_kl = Σ z̄ ∂²z/∂a_k ∂a_l."""


class Linearization:
    """A recorded y as matrices; gradients, and Hessian-vector products by two sweeps."""

    def __init__(self, y: Variable, xs: tuple[Variable, ...]) -> None:
        if any(z.dtype.kind == "c" for z in trace(y)):
            raise TypeError("this page is about real numbers")
        self.xs = xs
        self.sizes = {z._serial: z.size for z in (*trace(y), *xs)}
        self.steps: list[Step] = []
        self.adjoints = self.zeros(1)
        self.adjoints[y._serial][:] = 1
        for z in reversed(trace(y)):
            if z._primitive is not None:
                self.linearize(z)
        self.steps.reverse()

    def zeros(self, count: int) -> dict[int, Matrix]:
        """For each array of the trace `count` columns of zeros."""
        return {serial: np.zeros((size, count)) for serial, size in self.sizes.items()}

    def linearize(self, z: Variable) -> None:
        """Ask a step for its maps, and take the adjoint sweep past it: ā_k += J_kᵀ z̄."""
        step, adjoint = Step(z._serial), self.adjoints[z._serial]
        args = tuple(a._value if isinstance(a, Variable) else a for a in z._operands)
        active = {k: a._serial for k, a in enumerate(z._operands) if isinstance(a, Variable)}
        for k, a in active.items():
            jacobian = z._primitive.jacobian(k, args, z._value)
            if jacobian is not None:
                step.jacobians.append((a, matrix(jacobian)))
        weights = adjoint.reshape(z.shape)
        for k, l, curvature in z._primitive.curvature(args, z._value, weights, tuple(active)):
            step.curvatures.append((active[k], active[l], matrix(curvature)))
        for a, J in step.jacobians:
            self.adjoints[a] += J.T @ adjoint
        self.steps.append(step)

    def gradient(self, i: int) -> np.ndarray:
        """∂y/∂x_i: the adjoint of x_i."""
        return self.adjoints[self.xs[i]._serial].reshape(self.xs[i].shape)

    def products(self, i: int, seeds: Matrix) -> list[Matrix]:
        """Hessian-vector products: columns of tangents of x_i -> of each x_j, of its adjoint."""
        tangents = self.zeros(seeds.shape[1])
        tangents[self.xs[i]._serial] = seeds
        for step in self.steps:  # forward: dz = Σ_k J_k da_k
            for a, J in step.jacobians:
                tangents[step.z] += J @ tangents[a]
        adjoints = self.zeros(seeds.shape[1])
        for step in reversed(self.steps):  # backward: dā_k += J_kᵀ dz̄ + Σ_l C_kl da_l
            for a, J in step.jacobians:
                adjoints[a] += J.T @ adjoints[step.z]
            for a, b, C in step.curvatures:
                adjoints[a] += C @ tangents[b]
        return [adjoints[x._serial] for x in self.xs]


class Rows:
    """The rows of all blocks that are known, and how many products they have cost."""

    def __init__(self, linearization: Linearization) -> None:
        self.linearization = linearization
        self.products = 0
        self.known: list[dict[int, list[Matrix]]] = [{} for _ in linearization.xs]

    def compute(self, i: int, rows: Any) -> None:
        """Rows of x_i: one product for each."""
        seeds = np.eye(self.linearization.xs[i].size)[:, rows]
        columns = self.linearization.products(i, seeds)
        self.products += len(rows)
        for n, row in enumerate(rows):
            self.known[i][row] = [column[:, n] for column in columns]


class Block:
    """The Hessian of y by x_i and x_j, as an array that computes what is indexed."""

    def __init__(self, rows: Rows, i: int, j: int) -> None:
        self.rows, self.i, self.j = rows, i, j
        x, z = rows.linearization.xs[i], rows.linearization.xs[j]
        self.shape, self.columns = x.shape + z.shape, z.size

    def __getitem__(self, index: Any) -> Any:
        """Any index of NumPy: it picks from an array that numbers the elements."""
        picked = np.arange(prod(self.shape)).reshape(self.shape)[index]
        pairs = [divmod(int(element), self.columns) for element in np.ravel(picked)]
        here, there = self.rows.known[self.i], self.rows.known[self.j]
        missing = [(r, c) for r, c in pairs if r not in here and c not in there]
        R, C = sorted({r for r, _ in missing}), sorted({c for _, c in missing})
        if len(R) <= len(C):
            self.rows.compute(self.i, R)
        else:  # the Hessian is symmetric
            self.rows.compute(self.j, C)
        values = [here[r][self.j][c] if r in here else there[c][self.i][r] for r, c in pairs]
        return np.array(values).reshape(np.shape(picked))[()]

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self[...], dtype)


def hessian(y: Variable, xs: tuple[Variable, ...]) -> list[list[Block]]:
    """All blocks of the Hessian of y. Nothing is computed before one is indexed."""
    rows = Rows(Linearization(y, xs))
    return [[Block(rows, i, j) for j in range(len(xs))] for i in range(len(xs))]
