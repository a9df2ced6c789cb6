"""Models as users write them, against jax.hessian."""

from collections import namedtuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lazyhess as lh
from tests.benchmarks import workloads
from tests.jax.compare import compare, difference

rng = np.random.default_rng(8)


def test_the_comparison_catches_a_wrong_hessian():
    with pytest.raises(AssertionError):
        # A wrong curvature: the term is there in one of the two only.
        compare(lambda np, x: np.sum(x**3) + (1e-6 * x[0] * x[1] if np is jnp else 0.0), np.ones(2))
    with pytest.raises(AssertionError):
        compare(lambda np, x: np.sum(x**3) * (1 if np is jnp else 1 + 1e-6), np.ones(2))
    assert difference(np.ones(2), np.ones(3)) == np.inf
    assert difference([np.nan], [1.0]) == np.inf


@pytest.mark.parametrize(
    "work",
    [workloads.logistic(50, 12), workloads.perceptron(9), workloads.lennard_jones(7),
     workloads.lennard_jones(40), workloads.lennard_jones_pairs(30), workloads.rosenbrock(400),
     workloads.scalar_loop(12), workloads.polynomial(30)], ids=lambda work: work.name,
)  # fmt: skip
def test_benchmarks(work):
    compare(work.function, *work.xs)


def softmax(np, z):
    e = np.exp(z - np.max(z, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def attention(np, q, k, v):
    weights = softmax(np, np.einsum("bhid,bhjd->bhij", q, k) / 2)
    return np.sum(np.einsum("bhij,bhjd->bihd", weights, v) ** 2)


def recurrent(np, w, u, h):
    for k in range(5):
        h = np.tanh(w @ h + u * k)
    return np.sum(h**2)


def convolution(np, image, kernel):
    out = 0
    for a in range(3):
        for b in range(2):
            out = out + kernel[:, a, b, None, None] * image[None, a : a + 4, b : b + 5]
    return np.sum(np.maximum(out, 0.1 * out) ** 2)


def batch_norm(np, x, g):
    centred = x - np.mean(x, axis=0)
    return np.sum(np.sin(g * centred / np.sqrt(np.var(x, axis=0) + 1e-3)))


def factorisation(np, u, v):
    data = np.arange(20.0).reshape(5, 4) % 3
    return np.sum((data - u @ v.T) ** 2) + 0.1 * np.sum(u**2) * np.sum(v**2)


def einsums(np, a, b, c):
    x = np.einsum("ij,jk,kl->il", a, b, c)
    y = np.einsum("ii->", x) + np.einsum("ij->j", a)[0]
    z = np.einsum("i...,i...->...", b, b)
    w = np.einsum("ij,ij,ji->i", a, a, b)
    return y * np.sum(np.sin(z)) + np.einsum("i,j->", w, w) + np.einsum("...i,i", c, w[:3])[0]


def structure(np, x, z):
    parts = np.split(x, 2, axis=1)
    joined = np.concatenate([parts[1], np.flip(parts[0], 0), np.roll(z, 1, 0)], axis=1)
    padded = np.pad(joined, ((1, 0), (0, 2)))
    grid = np.tile(padded, (2, 1))[::3] * np.repeat(z, 2, axis=1)[:1, :3].sum()
    return np.sum(np.cumsum(grid**2, axis=1)) + np.trace(np.outer(x[0], x[1])) ** 2


def statistics(np, x):
    return (
        np.var(x, ddof=1) * np.std(x[:, 0]) + np.prod(x[0]) * np.max(x) - np.min(x, axis=0)[1] ** 2
        + np.sum(np.clip(x, -0.5, 0.7) ** 2) + np.sum(np.where(x > 0, x**3, np.cos(x)))
    )  # fmt: skip


def elementary(np, x):
    y = 0.2 + x * x
    return np.sum(
        np.log1p(y) * np.arctan2(x, y) + np.hypot(x, y) ** 1.5 + np.logaddexp(x, 2 * y)
        + np.sqrt(y) * np.tanh(x) / (1 + np.exp2(x)) + np.cbrt(y) * np.expm1(-y) + y**x
        + np.arcsin(x / 3) * np.arccosh(1 + y) + np.log10(y) * np.log2(y) * np.sinh(x)
    )  # fmt: skip


MASK = np.arange(12).reshape(3, 4) % 3 == 0  # JAX wants masks that are no part of the trace


def picked(np, x):
    rows = np.array([0, 2, 2, 1])
    return np.sum(x[rows] ** 3) * np.sum(x[MASK]) + np.sum(
        x[[[0], [2]], [1, 3]] ** 2 * x[::-2, None, 1]
    )


N = rng.normal
MODELS = {
    "attention": (attention, (N(size=(2, 2, 3, 4)), N(size=(2, 2, 3, 4)), N(size=(2, 2, 3, 4)))),
    "recurrent": (recurrent, (N(size=(3, 3)), N(size=3), N(size=3))),
    "convolution": (convolution, (N(size=(6, 6)), N(size=(2, 3, 2)))),
    "batch norm": (batch_norm, (N(size=(6, 3)), N(size=3))),
    "factorisation": (factorisation, (N(size=(5, 2)), N(size=(4, 2)))),
    "einsums": (einsums, (N(size=(3, 3)), N(size=(3, 3)), N(size=(3, 3)))),
    "structure": (structure, (N(size=(3, 4)), N(size=(3, 2)))),
    "statistics": (statistics, (N(size=(3, 4)),)),
    "elementary": (elementary, (N(size=(2, 3)),)),
    "picked": (picked, (N(size=(3, 4)),)),
    "broadcast matmul": (lambda np, a, b: np.sum((a @ b) ** 3), (N(size=(3, 1, 2, 3)), N(size=(2, 3, 2)))),
    "scalar": (lambda np, a, b: np.sin(a * b) * a, (np.array(0.3), np.array(1.2))),
    "empty": (lambda np, a, b: np.sum(a**2) + np.sum(b**2), (np.zeros((0, 3)), np.ones(2))),
    "linear": (lambda np, a: np.sum(a * 3), (np.ones(3),)),
}  # fmt: skip


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_models(model):
    function, xs = model
    compare(function, *xs)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_models_in_single_precision(model):
    function, xs = model
    compare(function, *(x.astype(np.float32) for x in xs), tolerance=2e-4)


@pytest.mark.parametrize("axes", [(0, 0), (1, -1), (-1, 0), (2, 1)])
def test_per_sample(axes):
    a, b = N(size=(5, 2, 3)), N(size=(5, 4))

    def model(np, a, b):
        return np.sum(np.tanh(a) ** 2) * np.sum(np.exp(-b)) + np.prod(a[0]) * b[1] ** 2

    want = jax.vmap(jax.hessian(lambda a, b: model(jnp, a, b), argnums=(0, 1)))(a, b)
    xs = tuple(lh.variable(np.moveaxis(v, 0, k)) for v, k in zip((a, b), axes, strict=True))
    u, v = (np.moveaxis(x, k, 0) for x, k in zip(xs, axes, strict=True))
    y = (
        np.sum(np.tanh(u) ** 2, axis=(1, 2)) * np.sum(np.exp(-v), axis=1)
        + np.prod(u[:, 0], axis=1) * v[:, 1] ** 2
    )
    H = lh.hessian(y, xs, axes)
    for i in range(2):
        for j in range(2):
            assert difference(H[i][j][3], want[i][j][3]) < 1e-12
            assert difference(H[i][j], want[i][j]) < 1e-12


def test_outputs_of_any_shape():
    def f(np, x):
        return np.multiply(x[:2, None], np.sin(x)) ** 2

    x = N(size=3)
    want = jax.hessian(lambda x: f(jnp, x))(x)
    assert difference(lh.hessian(lambda x: f(np, x), x, reduction="none"), want) < 1e-12


def test_containers_and_arguments():
    Pair = namedtuple("Pair", "a b")

    def f(np, tree, scale):
        return np.sum(tree["u"] ** 2 * tree["p"].a) * np.sum(tree["p"].b[0] * scale**2)

    tree = {"p": Pair(np.array(0.7), [N(size=2)]), "u": N(size=3)}
    want = jax.hessian(lambda t, s: f(jnp, t, s), argnums=(0, 1))(tree, 1.5)
    H = lh.hessian(lambda t, s: f(np, t, s), (tree, 1.5), argnums=(0, 1))
    assert difference(H[0]["u"][1], want[0]["u"][1]) < 1e-12
    assert difference(H[0]["p"].b[0][0]["u"], want[0]["p"].b[0][0]["u"]) < 1e-12
    assert difference(H[1][0]["p"].a, want[1][0]["p"].a) < 1e-12
    one = jax.hessian(lambda t, s: (f(jnp, t, s), t["u"]), argnums=1, has_aux=True)(tree, 1.5)
    ours = lh.hessian(lambda t, s: (f(np, t, s), t["u"]), (tree, 1.5), argnums=1, has_aux=True)
    assert difference(ours[0], one[0]) < 1e-12
    np.testing.assert_array_equal(ours[1], one[1])


def test_intermediates_are_perturbed_in_place():
    def f(np, x, dz):
        z = np.exp(x) * x[0] + dz
        return np.sum(z**2 * np.sin(x))

    x = N(size=3)
    want = jax.hessian(lambda x, d: f(jnp, x, d), argnums=(0, 1))(x, np.zeros(3))
    v = lh.variable(x)
    z = np.exp(v) * v[0]
    H = lh.hessian(np.sum(z**2 * np.sin(v)), (v, z))
    for i in range(2):
        for j in range(2):
            assert difference(H[i][j], want[i][j]) < 1e-12
