"""The functions that are timed, each written once: `np` is NumPy (on Variables) or jax.numpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy

Function = Callable[..., Any]


@dataclass
class Workload:
    """A function ``f(np, *xs)`` with its inputs."""

    name: str
    function: Function
    xs: tuple[numpy.ndarray, ...]


def logistic(rows: int = 2000, columns: int = 500) -> Workload:
    rng = numpy.random.default_rng(0)
    X = rng.normal(size=(rows, columns))
    t = rng.integers(0, 2, rows).astype(float)

    def loss(np: Any, w: Any) -> Any:
        z = X @ w
        return np.sum(np.logaddexp(0, z) - t * z)

    return Workload(
        f"logistic regression, {rows} x {columns}", loss, (0.1 * rng.normal(size=columns),)
    )


def perceptron(samples: int = 256) -> Workload:
    rng = numpy.random.default_rng(1)
    X = rng.normal(size=(samples, 20))
    labels = rng.integers(0, 5, samples)
    sizes = (20, 30, 30, 5)
    xs: list[numpy.ndarray] = []
    for a, b in pairwise(sizes):
        xs += [rng.normal(size=(a, b)) / numpy.sqrt(a), 0.1 * rng.normal(size=b)]

    def loss(np: Any, *parameters: Any) -> Any:
        h = X
        for w, b in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
            h = np.tanh(h @ w + b)
        z = h @ parameters[-2] + parameters[-1]
        top = np.max(z, axis=1, keepdims=True)
        total = np.log(np.sum(np.exp(z - top), axis=1)) + top[:, 0]
        return np.sum(total - z[numpy.arange(samples), labels])

    return Workload("softmax MLP, 1715 parameters in 6 blocks", loss, tuple(xs))


def cluster(atoms: int) -> numpy.ndarray:
    """Atoms near the sites of a cubic lattice."""
    side = int(numpy.ceil(atoms ** (1 / 3)))
    grid = numpy.stack(numpy.meshgrid(*[numpy.arange(side)] * 3, indexing="ij"), axis=-1)
    noise = numpy.random.default_rng(2).normal(size=(atoms, 3))
    return 1.1 * grid.reshape(-1, 3)[:atoms] + 0.05 * noise


def lennard_jones(atoms: int) -> Workload:
    """All pairs by broadcasting, as in JAX issue 787."""
    diagonal = numpy.eye(atoms)

    def energy(np: Any, x: Any) -> Any:
        apart = x[:, None, :] - x[None, :, :]
        inverse = 1 / (np.sum(apart * apart, axis=-1) + diagonal) ** 3
        return 2 * np.sum((inverse * inverse - inverse) * (1 - diagonal))

    return Workload(f"Lennard-Jones, {atoms} atoms", energy, (cluster(atoms),))


def lennard_jones_pairs(atoms: int) -> Workload:
    """Each pair once, by index arrays."""
    first, second = numpy.triu_indices(atoms, 1)

    def energy(np: Any, x: Any) -> Any:
        apart = x[first] - x[second]
        inverse = 1 / np.sum(apart * apart, axis=1) ** 3
        return 4 * np.sum(inverse * inverse - inverse)

    return Workload(f"Lennard-Jones by pair list, {atoms} atoms", energy, (cluster(atoms),))


def rosenbrock(n: int = 100_000) -> Workload:
    def value(np: Any, x: Any) -> Any:
        return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    return Workload(f"Rosenbrock, n = {n}", value, (numpy.random.default_rng(3).normal(size=n),))


def scalar_loop(terms: int = 300) -> Workload:
    def value(np: Any, x: Any) -> Any:
        total = 0.0
        for k in range(terms):
            total = total + (x[k + 1] - x[k] ** 2) ** 2 * np.sin(x[k])
        return total

    xs = (numpy.random.default_rng(4).normal(size=terms + 1),)
    return Workload(f"Python loop over scalars, {terms} terms", value, xs)


def polynomial(n: int = 1000) -> Workload:
    def value(np: Any, x: Any) -> Any:
        return np.sum(x**3) * np.sum(x)

    return Workload(f"x cubed times sum, n = {n}", value, (numpy.linspace(0, 1, n),))


def per_sample(batch: int = 10_000, n: int = 20) -> Workload:
    """A small model for each sample; the answer has one element for each."""
    rng = numpy.random.default_rng(5)
    first, second = rng.normal(size=(n, 16)), rng.normal(size=(16, 3))

    def value(np: Any, x: Any) -> Any:
        z = np.tanh(x @ first) @ second
        return np.log(np.sum(np.exp(z), axis=1))

    return Workload(f"per sample, B = {batch}, N = {n}", value, (rng.normal(size=(batch, n)),))
