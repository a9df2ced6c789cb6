"""The arguments of hessian() beside those of JAX: lists, batches, containers, intermediates."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lazyhess as lh
from tests.jax.compare import difference, evaluated, tree_difference

N = np.random.default_rng(17).normal


def sample(np: Any, a: Any, b: Any) -> Any:
    """For one sample, or for a batch of them in front, as both count from the end."""
    rows = np.sum(np.tanh(a) ** 2, axis=-1) * np.exp(-b)
    return np.sum(rows, axis=-1) ** 2 + np.prod(a[..., 0, :], axis=-1) * np.sum(b, axis=-1)


@pytest.mark.parametrize("axes", list(product([0, 1, 2, -1, -2, -3], [0, 1, -1, -2])), ids=str)
def test_every_place_of_the_batch_axis(axes: tuple[int, int]) -> None:
    a, b = N(size=(4, 2, 3)), N(size=(4, 2))
    want = jax.jit(jax.vmap(jax.hessian(lambda *v: sample(jnp, *v), (0, 1))))(a, b)
    xs = tuple(lh.variable(np.moveaxis(v, 0, axis)) for v, axis in zip((a, b), axes, strict=True))
    front = (np.moveaxis(x, axis, 0) for x, axis in zip(xs, axes, strict=True))
    H = lh.hessian(sample(np, *front), xs, axes)
    assert difference(H[0][1][2], want[0][1][2]) < 1e-12
    assert difference(H[1][0][[3, 0], :, 1], want[1][0][np.array([3, 0]), :, 1]) < 1e-12
    assert tree_difference(evaluated(H), want) < 1e-12


@pytest.mark.parametrize("axis", [0, 1, -1, -2])
def test_one_batch_axis_for_all(axis: int) -> None:
    a, b = N(size=(5, 3)), N(size=(5, 2))

    def model(np: Any, a: Any, b: Any) -> Any:
        return np.sum(a**3, axis=-1) * np.sum(np.sin(b), axis=-1)

    want = jax.jit(jax.vmap(jax.hessian(lambda *v: model(jnp, *v), (0, 1))))(a, b)
    xs = tuple(np.moveaxis(v, 0, axis) for v in (a, b))
    H = lh.hessian(lambda *v: model(np, *(np.moveaxis(x, axis, 0) for x in v)), xs, axis)
    assert tree_difference(evaluated(H), want) < 1e-12
    alone = lh.hessian(lambda v: np.sum(np.moveaxis(v, axis, 0) ** 3, axis=1), xs[0], axis)
    one = jax.vmap(jax.hessian(lambda v: jnp.sum(v**3)))(a)
    assert difference(alone, one) < 1e-12


def test_batches_of_scalars_and_of_one() -> None:
    a = N(size=4)
    want = jax.vmap(jax.hessian(lambda v: jnp.sin(v) * v**2))(a)
    assert difference(lh.hessian(lambda v: np.sin(v) * v**2, a, 0), want) < 1e-12
    want = jax.vmap(jax.hessian(lambda v: jnp.sum(v) ** 3))(a[None])
    assert difference(lh.hessian(lambda v: np.sum(v, axis=1) ** 3, a[None], 0), want) < 1e-12


def outputs(np: Any, x: Any, z: Any) -> list[Any]:
    return [np.sin(x) * z[0, :2], np.prod(x) * z, x[0] ** 3, np.outer(x, x)[:0]]


def test_the_sum_of_a_list() -> None:
    x, z = N(size=2), N(size=(1, 3))

    def total(x: Any, z: Any) -> Any:
        return sum(jnp.sum(y) for y in outputs(jnp, x, z))

    want = jax.jit(jax.hessian(total, (0, 1)))(x, z)
    xs = (lh.variable(x), lh.variable(z))
    for kind in (list, tuple):
        H = lh.hessian(kind(outputs(np, *xs)), xs, reduction="sum")
        assert tree_difference(evaluated(H), want) < 1e-12
    H = lh.hessian(lambda *v: outputs(np, *v), (x, z), reduction="sum")
    assert tree_difference(evaluated(H), want) < 1e-12
    slope = lh.gradient(outputs(np, *xs), xs, reduction="sum")
    assert tree_difference(slope, jax.grad(total, (0, 1))(x, z)) < 1e-12


@pytest.mark.parametrize("shape", [(2, 3), (), (1,), (4, 1, 2)], ids=str)
def test_every_element_of_the_output(shape: tuple[int, ...]) -> None:
    x, z = N(size=3), N(size=(2, 1))
    weights = N(size=(*shape, 3))

    def model(np: Any, x: Any, z: Any) -> Any:
        return np.sin(np.sum(weights * x, axis=-1)) * np.sum(z**2) + np.prod(x) * z[0, 0]

    want = jax.jit(jax.hessian(lambda *v: model(jnp, *v), (0, 1)))(x, z)
    H = lh.hessian(lambda *v: model(np, *v), (x, z), reduction="none")
    assert H[0][1].shape == (*shape, 3, 2, 1)
    assert difference(H[1][0][(0,) * len(shape)], want[1][0][(0,) * len(shape)]) < 1e-12
    assert tree_difference(evaluated(H), want) < 1e-12


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3)], ids=str)
def test_no_element_of_the_output(shape: tuple[int, ...]) -> None:
    x = N(size=4)
    want = jax.hessian(lambda x: jnp.broadcast_to(jnp.sum(x**3), shape))(x)
    H = lh.hessian(lambda x: np.broadcast_to(np.sum(x**3), shape), x, reduction="none")
    assert difference(H, want) < 1e-12
    assert H.cache_info().products == 0


def function(np: Any, a: Any, b: Any, c: Any) -> Any:
    return np.sum(a * b[:, None] ** 2) * c + np.sum(np.sin(a)) * b[0]


@pytest.mark.parametrize(
    "argnums", [0, 1, 2, -1, (0,), (0, 2), (2, 0), (1, 0, 2), (-1, 1)], ids=str
)
def test_argnums(argnums: Any) -> None:
    args = (N(size=(2, 3)), N(size=2), 1.7)
    want = jax.jit(jax.hessian(lambda *v: function(jnp, *v), argnums))(*args)
    got = lh.hessian(lambda *v: function(np, *v), args, argnums=argnums)
    assert tree_difference(evaluated(got), want) < 1e-12


def test_has_aux() -> None:
    def both(np: Any, x: Any) -> Any:
        return np.sum(x**3), {"square": x * x, "name": 3}

    x = N(size=3)
    want, aux = jax.hessian(lambda v: both(jnp, v), has_aux=True)(x)
    H, ours = lh.hessian(lambda v: both(np, v), x, has_aux=True)
    assert difference(H, want) < 1e-12
    assert tree_difference(ours, jax.tree_util.tree_map(np.asarray, aux)) < 1e-12


Pair = namedtuple("Pair", "a b")
TREES: dict[str, Any] = {
    "dict": {"w": N(size=(2, 2)), "b": N(size=2)},
    "list": [N(size=2), N(size=(1, 2))],
    "nested": {"layers": [(N(size=2), N(size=())), (N(size=(2, 1)), N(size=3))], "last": N(size=1)},
    "namedtuple": Pair(N(size=2), {"k": N(size=())}),
    "one in a tuple": (N(size=3),),
    "deep": [[[{"x": (N(size=2),)}]], N(size=())],
}


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES)
def test_containers(tree: Any) -> None:
    """A tuple or list of xs is spread over a callable's arguments, so it goes in by argnums."""

    def model(np: Any, tree: Any) -> Any:
        total = 1.0
        for k, leaf in enumerate(jax.tree_util.tree_leaves(tree)):
            total = total * (1.5 + np.sum(np.sin(leaf + k))) + np.sum(leaf**3)
        return total

    want = jax.jit(jax.hessian(lambda t: model(jnp, t)))(tree)
    got = lh.hessian(lambda t: model(np, t), (tree,), argnums=0)
    assert tree_difference(evaluated(got), want) < 1e-11
    variables = jax.tree_util.tree_map(lh.variable, tree)
    recorded = lh.hessian(model(np, variables), variables)
    assert tree_difference(evaluated(recorded), want) < 1e-11
    slope = lh.gradient(model(np, variables), variables)
    assert tree_difference(slope, jax.jit(jax.grad(lambda t: model(jnp, t)))(tree)) < 1e-11


def test_ordered_dictionaries_mirror() -> None:
    tree = OrderedDict(z=N(size=2), a=N(size=()))
    H = lh.hessian(lambda t: np.sum(t["z"] ** 3) * t["a"], (tree,), argnums=0)
    want = jax.hessian(lambda t: jnp.sum(t["z"] ** 3) * t["a"])(dict(tree))
    assert difference(H["z"]["a"], want["z"]["a"]) < 1e-12
    assert difference(H["z"]["z"], want["z"]["z"]) < 1e-12


def test_intermediates() -> None:
    """What JAX sees in their place is a perturbation that is added to each."""

    def model(np: Any, x: Any, dh: Any, dz: Any) -> Any:
        h = np.tanh(x @ WEIGHTS) + dh
        z = h * h[::-1] + dz
        return np.sum(np.exp(z) * h) + np.sum(x) * np.sum(z)

    WEIGHTS = N(size=(3, 2))
    x = N(size=3)
    zero = np.zeros(2)
    want = jax.jit(jax.hessian(lambda *v: model(jnp, *v), (0, 1, 2)))(x, zero, zero)
    v = lh.variable(x)
    h = np.tanh(v @ WEIGHTS)
    z = h * h[::-1]
    y = np.sum(np.exp(z) * h) + np.sum(v) * np.sum(z)
    for xs, picked in [((v, h, z), (0, 1, 2)), ((h,), (1,)), ((z, v), (2, 0)), ((h, z), (1, 2))]:
        part = tuple(tuple(want[i][j] for j in picked) for i in picked)
        assert tree_difference(evaluated(lh.hessian(y, xs)), part) < 1e-12
    slopes = jax.grad(lambda *v: model(jnp, *v), (0, 1, 2))(x, zero, zero)
    assert tree_difference(lh.gradient(y, (v, h, z)), slopes) < 1e-12


def test_the_output_among_the_inputs() -> None:
    v = lh.variable(N(size=2))
    y = np.sum(v**3)
    H = lh.hessian(y * y, (y, v))
    assert difference(H[0][0], 2.0) < 1e-12
    want = jax.hessian(lambda d, x: (jnp.sum(x**3) + d) ** 2, (0, 1))(0.0, v.value)
    assert tree_difference(evaluated(H), want) < 1e-12
    own = lh.hessian(y, (y, v))
    want = jax.hessian(lambda d, x: jnp.sum(x**3) + d, (0, 1))(0.0, v.value)
    assert tree_difference(evaluated(own), want) < 1e-12


def test_matrix_products_and_diagonals() -> None:
    x, z = N(size=4), N(size=3)

    def model(np: Any, x: Any, z: Any) -> Any:
        return np.sum(np.outer(np.sin(x), z**2)) ** 2

    want = jax.jit(jax.hessian(lambda *v: model(jnp, *v), (0, 1)))(x, z)
    H = lh.hessian(lambda *v: model(np, *v), (x, z))
    for vectors in (N(size=3), N(size=(3, 2))):
        assert difference(H[0][1] @ vectors, want[0][1] @ vectors) < 1e-12
        assert difference(vectors.T @ H[1][0], vectors.T @ want[1][0]) < 1e-12
    assert H[0][1].cache_info().products == 6
    assert difference(H[0][0].diagonal(), np.diagonal(want[0][0])) < 1e-12
    assert difference(H[0][1].T, want[1][0]) < 1e-12


def test_mixed_precision() -> None:
    """Each block has the dtype of its row's x, in JAX as here."""
    x, z = N(size=3).astype(np.float32), N(size=2)
    want = jax.hessian(lambda x, z: jnp.sum(x**3) * jnp.sum(z**2), (0, 1))(x, z)
    H = lh.hessian(lambda x, z: np.sum(x**3) * np.sum(z**2), (x, z))
    for i, j in product(range(2), range(2)):
        assert H[i][j].dtype == (x, z)[i].dtype
        assert difference(H[i][j], want[i][j]) < 1e-5
