"""The functions that are timed, each written once as ``loss(np, data, *xs)``.

`np` is NumPy (on Variables), jax.numpy, autograd.numpy, or the few functions of it that a module of
`peers` gives to another framework; `data` are constant arrays, which each peer converts once.
`make("lj/300")` gives the workload that a name stands for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

import numpy

Array = numpy.ndarray[Any, Any]
Loss = Callable[..., Any]


@dataclass
class Workload:
    """A function ``loss(np, data, *xs)`` with its constants and its inputs."""

    name: str
    loss: Loss
    xs: tuple[Array, ...]
    data: tuple[Array, ...] = ()

    def function(self, np: Any, *xs: Any) -> Any:
        """The function of its inputs alone, on NumPy's constants."""
        return self.loss(np, self.data, *xs)

    @property
    def size(self) -> int:
        """Rows of the Hessian."""
        return sum(x.size for x in self.xs)


def _log_sum_exp(np: Any, z: Any) -> Any:
    """Along the last axis, as it is written by hand everywhere."""
    top = np.max(z, axis=-1, keepdims=True)
    return np.log(np.sum(np.exp(z - top), axis=-1)) + top[..., 0]


def _unpack(flat: Any, shapes: tuple[tuple[int, ...], ...]) -> list[Any]:
    """Parameters of a model, from the one vector that optimizers keep."""
    parts, start = [], 0
    for shape in shapes:
        parts.append(flat[start : start + prod(shape)].reshape(shape))
        start += prod(shape)
    return parts


# --- regressions --------------------------------------------------------------------------------


def logistic(rows: int = 2000, columns: int = 500) -> Workload:
    rng = numpy.random.default_rng(0)
    X = rng.normal(size=(rows, columns))
    t = rng.integers(0, 2, rows).astype(float)

    def loss(np: Any, data: Any, w: Any) -> Any:
        X, t = data
        z = X @ w
        return np.sum(np.logaddexp(0, z) - t * z)

    xs = (0.1 * rng.normal(size=columns),)
    return Workload(f"logistic regression, {rows} x {columns}", loss, xs, (X, t))


def softmax(rows: int = 2000, columns: int = 50, classes: int = 10) -> Workload:
    rng = numpy.random.default_rng(8)
    X = rng.normal(size=(rows, columns))
    labels = rng.integers(0, classes, rows)

    def loss(np: Any, data: Any, W: Any, b: Any) -> Any:
        X, samples, labels = data
        z = X @ W + b
        return np.sum(_log_sum_exp(np, z) - z[samples, labels])

    xs = (0.1 * rng.normal(size=(columns, classes)), 0.1 * rng.normal(size=classes))
    name = f"softmax regression, {rows} x {columns}, {classes} classes"
    return Workload(name, loss, xs, (X, numpy.arange(rows), labels))


# --- the problems of Laue, Mitterreiter and Giesen ----------------------------------------------


def laue_logistic(n: int = 500) -> Workload:
    """Their logistic regression: twice as many samples as features."""
    rng = numpy.random.default_rng(9)
    X = rng.normal(size=(2 * n, n))
    y = rng.choice([-1.0, 1.0], size=2 * n)

    def loss(np: Any, data: Any, w: Any) -> Any:
        X, y = data
        return np.sum(np.log(np.exp(-y * (X @ w)) + 1))

    return Workload(
        f"Laue logistic, {2 * n} x {n}", loss, (rng.normal(size=n) / n**0.5,), (X, y)
    )  # fmt: skip


def factorisation(n: int = 200, rank: int = 5) -> Workload:
    """``||T - U V^T||^2`` over all entries, by U."""
    rng = numpy.random.default_rng(10)

    def loss(np: Any, data: Any, U: Any) -> Any:
        T, V = data
        return np.sum((T - U @ V.T) ** 2)

    data = (rng.normal(size=(n, n)), rng.normal(size=(n, rank)))
    name = f"matrix factorisation, {n} x {n}, rank {rank}"
    return Workload(name, loss, (rng.normal(size=(n, rank)),), data)


def masked_factorisation(n: int = 200, rank: int = 5) -> Workload:
    """The same over the entries that are known, a tenth of them."""
    rng = numpy.random.default_rng(11)

    def loss(np: Any, data: Any, U: Any) -> Any:
        T, V, known = data
        return np.sum((known * (T - U @ V.T)) ** 2)

    known = (rng.random((n, n)) < 0.1).astype(float)
    data = (rng.normal(size=(n, n)), rng.normal(size=(n, rank)), known)
    name = f"matrix factorisation, masked, {n} x {n}, rank {rank}"
    return Workload(name, loss, (rng.normal(size=(n, rank)),), data)


def small_net(n: int = 20, layers: int = 10) -> Workload:
    """Fully connected layers of one size with ReLU, and softmax cross-entropy, by the first."""
    rng = numpy.random.default_rng(12)
    rest = rng.normal(size=(layers - 1, n, n)) * (2 / n) ** 0.5
    samples, labels = numpy.arange(n), rng.integers(0, n, n)

    def loss(np: Any, data: Any, W: Any) -> Any:
        X, rest, samples, labels = data
        h = X @ W
        for k in range(layers - 1):
            h = np.maximum(h, 0) @ rest[k]
        return np.sum(_log_sum_exp(np, h) - h[samples, labels])

    data = (rng.normal(size=(n, n)), rest, samples, labels)
    xs = (rng.normal(size=(n, n)) * (2 / n) ** 0.5,)
    return Workload(f"small net, {layers} layers of {n} x {n}, by the first", loss, xs, data)


# --- models -------------------------------------------------------------------------------------


def perceptron(samples: int = 256, *sizes: int) -> Workload:
    sizes = sizes or (20, 30, 30, 5)
    rng = numpy.random.default_rng(1)
    X = rng.normal(size=(samples, sizes[0]))
    labels = rng.integers(0, sizes[-1], samples)
    xs: list[Array] = []
    for a, b in pairwise(sizes):
        xs += [rng.normal(size=(a, b)) / numpy.sqrt(a), 0.1 * rng.normal(size=b)]

    def loss(np: Any, data: Any, *parameters: Any) -> Any:
        h, samples, labels = data
        for w, b in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
            h = np.tanh(h @ w + b)
        z = h @ parameters[-2] + parameters[-1]
        return np.sum(_log_sum_exp(np, z) - z[samples, labels])

    count = sum(x.size for x in xs)
    name = f"softmax MLP, {count} parameters in {len(xs)} blocks"
    return Workload(name, loss, tuple(xs), (X, numpy.arange(samples), labels))


def flat_perceptron(samples: int = 512, *sizes: int) -> Workload:
    """A large MLP of one vector of parameters, as optimizers keep them."""
    sizes = sizes or (256, 512, 512, 10)
    parts = perceptron(samples, *sizes)
    shapes = tuple(x.shape for x in parts.xs)

    def loss(np: Any, data: Any, flat: Any) -> Any:
        return parts.loss(np, data, *_unpack(flat, shapes))

    flat = numpy.concatenate([x.reshape(-1) for x in parts.xs])
    return Workload(f"softmax MLP, {flat.size} parameters in one vector", loss, (flat,), parts.data)


def residual(batch: int = 16, channels: int = 16, side: int = 16, blocks: int = 3) -> Workload:
    """Residual blocks of two 3 x 3 convolutions each (patches by index arrays), in one vector."""
    rng = numpy.random.default_rng(13)
    images = rng.normal(size=(batch, 3, side, side))
    labels = rng.integers(0, 10, batch)
    # Patches wrap around: position p of the 9 in the kernel, pixel q of the image.
    a, b, y, x = numpy.indices((3, 3, side, side)).reshape(4, 9, side * side)
    patch_rows, patch_columns = (y + a - 1) % side, (x + b - 1) % side
    shapes = (
        (channels, 3, 9), *((channels, channels, 9),) * (2 * blocks), (channels, 10), (10,),
    )  # fmt: skip

    def loss(np: Any, data: Any, flat: Any) -> Any:
        images, rows, columns, samples, labels = data

        def convolved(h: Any, kernel: Any) -> Any:
            made = np.einsum("ncpq,kcp->nkq", h[:, :, rows, columns], kernel)
            return made.reshape((batch, channels, side, side))

        first, *kernels, w, bias = _unpack(flat, shapes)
        h = convolved(images, first)
        for inner, outer in zip(kernels[::2], kernels[1::2], strict=True):
            h = h + convolved(np.maximum(convolved(np.maximum(h, 0), inner), 0), outer)
        z = np.sum(h, axis=(2, 3)) / side**2 @ w + bias
        return np.sum(_log_sum_exp(np, z) - z[samples, labels])

    flat = numpy.concatenate([rng.normal(size=s).reshape(-1) / prod(s[1:]) ** 0.5 for s in shapes])
    data = (images, patch_rows, patch_columns, numpy.arange(batch), labels)
    return Workload(f"residual net, {flat.size} parameters, {batch} images", loss, (flat,), data)


def attention(batch: int = 4, tokens: int = 16, width: int = 8, heads: int = 2) -> Workload:
    """A block of multi-head attention with its four matrices, in one vector."""
    rng = numpy.random.default_rng(14)
    shapes = ((width, 3, heads, width // heads), (heads, width // heads, width))
    X, target = rng.normal(size=(2, batch, tokens, width))

    def loss(np: Any, data: Any, flat: Any) -> Any:
        X, target = data
        inner, outer = _unpack(flat, shapes)
        qkv = np.einsum("bnd,dshe->sbhne", X, inner)
        scores = np.einsum("bhne,bhme->bhnm", qkv[0], qkv[1]) / (width / heads) ** 0.5
        e = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
        weights = e / np.sum(e, axis=-1, keepdims=True)
        mixed = np.einsum("bhnm,bhme->bhne", weights, qkv[2])
        return np.sum((X + np.einsum("bhne,hed->bnd", mixed, outer) - target) ** 2)

    flat = numpy.concatenate([rng.normal(size=s).reshape(-1) / width**0.5 for s in shapes])
    name = f"attention, {batch} x {tokens} tokens, width {width}, {flat.size} parameters"
    return Workload(name, loss, (flat,), (X, target))


def gaussian_process(points: int = 60, latent: int = 2, outputs: int = 5) -> Workload:
    """The marginal likelihood of a Gaussian process, by its inputs and its hyperparameters."""
    rng = numpy.random.default_rng(15)
    eye = numpy.eye(points)

    def loss(np: Any, data: Any, Z: Any, hyper: Any) -> Any:
        Y, eye = data
        apart = (Z[:, None, :] - Z[None, :, :]) / np.exp(hyper[1])
        K = np.exp(hyper[0] - np.sum(apart * apart, axis=-1) / 2) + np.exp(hyper[2]) * eye
        return (np.sum(Y * np.linalg.solve(K, Y)) + outputs * np.linalg.slogdet(K)[1]) / 2

    xs = (rng.normal(size=(points, latent)), numpy.array([0.1, 0.2, -2.0]))
    name = f"Gaussian process, {points} points, {xs[0].size + xs[1].size} variables"
    return Workload(name, loss, xs, (rng.normal(size=(points, outputs)), eye))


# --- energies -----------------------------------------------------------------------------------


def cluster(atoms: int) -> Array:
    """Atoms near the sites of a cubic lattice."""
    side = int(numpy.ceil(atoms ** (1 / 3)))
    grid = numpy.stack(numpy.meshgrid(*[numpy.arange(side)] * 3, indexing="ij"), axis=-1)
    noise = numpy.random.default_rng(2).normal(size=(atoms, 3))
    return 1.1 * grid.reshape(-1, 3)[:atoms] + 0.05 * noise


def lennard_jones(atoms: int = 300) -> Workload:
    """All pairs by broadcasting, as in JAX issue 787."""

    def energy(np: Any, data: Any, x: Any) -> Any:
        (diagonal,) = data
        apart = x[:, None, :] - x[None, :, :]
        inverse = 1 / (np.sum(apart * apart, axis=-1) + diagonal) ** 3
        return 2 * np.sum((inverse * inverse - inverse) * (1 - diagonal))

    name = f"Lennard-Jones, {atoms} atoms"
    return Workload(name, energy, (cluster(atoms),), (numpy.eye(atoms),))


def lennard_jones_pairs(atoms: int = 300) -> Workload:
    """Each pair once, by index arrays."""

    def energy(np: Any, data: Any, x: Any) -> Any:
        first, second = data
        apart = x[first] - x[second]
        inverse = 1 / np.sum(apart * apart, axis=1) ** 3
        return 4 * np.sum(inverse * inverse - inverse)

    name = f"Lennard-Jones by pair list, {atoms} atoms"
    return Workload(name, energy, (cluster(atoms),), numpy.triu_indices(atoms, 1))


def rosenbrock(n: int = 100_000) -> Workload:
    def value(np: Any, data: Any, x: Any) -> Any:
        return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    return Workload(f"Rosenbrock, n = {n}", value, (numpy.random.default_rng(3).normal(size=n),))


def minimal_surface(side: int = 316) -> Workload:
    """The area of a graph over a square grid, at all of its heights."""

    def area(np: Any, data: Any, u: Any) -> Any:
        down = u[1:, :-1] - u[:-1, :-1]
        right = u[:-1, 1:] - u[:-1, :-1]
        return np.sum(np.sqrt(1 + side**2 * (down**2 + right**2))) / side**2

    u = numpy.random.default_rng(16).normal(size=(side, side)) / side
    return Workload(f"minimal surface, {side} x {side}", area, (u,))


def springs(n: int = 100_000) -> Workload:
    """Springs between neighbours of a plane lattice and some of its diagonals, by index arrays.

    The first half of x are abscissas, the second ordinates.
    """
    side = int((n // 2) ** 0.5)
    rng = numpy.random.default_rng(17)
    number = numpy.arange(side * side).reshape(side, side)
    ends = [(number[1:], number[:-1]), (number[:, 1:], number[:, :-1])]
    ends += [(number[1:, 1:], number[:-1, :-1])]
    first, second = (
        numpy.concatenate([pair[k].reshape(-1) for pair in ends]) for k in range(2)
    )  # fmt: skip
    half = side * side

    def energy(np: Any, data: Any, x: Any) -> Any:
        first, second, rest = data
        a, b = x[:half], x[half:]
        length = np.sqrt((a[first] - a[second]) ** 2 + (b[first] - b[second]) ** 2)
        return np.sum((length - rest) ** 2)

    at = numpy.indices((side, side)).reshape(2, -1) + 0.1 * rng.normal(size=(2, half))
    rest = numpy.ones(len(first))
    name = f"springs between {half} points, n = {2 * half}"
    return Workload(name, energy, (at.reshape(-1),), (first, second, rest))


def scalar_loop(terms: int = 300) -> Workload:
    def value(np: Any, data: Any, x: Any) -> Any:
        total = 0.0
        for k in range(terms):
            total = total + (x[k + 1] - x[k] ** 2) ** 2 * np.sin(x[k])
        return total

    xs = (numpy.random.default_rng(4).normal(size=terms + 1),)
    return Workload(f"Python loop over scalars, {terms} terms", value, xs)


def polynomial(n: int = 1000) -> Workload:
    def value(np: Any, data: Any, x: Any) -> Any:
        return np.sum(x**3) * np.sum(x)

    return Workload(f"x cubed times sum, n = {n}", value, (numpy.linspace(0, 1, n),))


# --- batches ------------------------------------------------------------------------------------


def per_sample(batch: int = 10_000, n: int = 20) -> Workload:
    """A small model for each sample; the answer has one element for each."""
    rng = numpy.random.default_rng(5)

    def value(np: Any, data: Any, x: Any) -> Any:
        first, second = data
        z = np.tanh(x @ first) @ second
        return np.log(np.sum(np.exp(z), axis=1))

    data = (rng.normal(size=(n, 16)), rng.normal(size=(16, 3)))
    return Workload(
        f"per sample, B = {batch}, N = {n}", value, (rng.normal(size=(batch, n)),), data
    )


FAMILIES: dict[str, Callable[..., Workload]] = {
    "logistic": logistic,
    "softmax": softmax,
    "laue-logistic": laue_logistic,
    "factorisation": factorisation,
    "masked": masked_factorisation,
    "net": small_net,
    "mlp": perceptron,
    "flat-mlp": flat_perceptron,
    "residual": residual,
    "attention": attention,
    "gp": gaussian_process,
    "lj": lennard_jones,
    "lj-pairs": lennard_jones_pairs,
    "rosenbrock": rosenbrock,
    "surface": minimal_surface,
    "springs": springs,
    "loop": scalar_loop,
    "polynomial": polynomial,
    "batch": per_sample,
}


def make(name: str) -> Workload:
    """``make("logistic/2000/500")`` is ``logistic(2000, 500)``."""
    family, *sizes = name.split("/")
    return FAMILIES[family](*map(int, sizes))
