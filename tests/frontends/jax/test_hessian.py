"""Hessians of jax functions, against jax.hessian."""

from __future__ import annotations

import collections
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lazyhess as lh
from lazyhess._frontends.jax.products import Compiled
from tests.helpers import same

Layer = collections.namedtuple("Layer", "w b")


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Model:
    first: Any
    rest: Any


rng = np.random.default_rng(0)


def normal(*shape: int) -> Any:
    return jnp.asarray(rng.normal(size=shape))


X, T, x = normal(5, 4), normal(5, 2), normal(3)


def model() -> Model:
    return Model(Layer(normal(4, 3), normal(3)), {"out": [normal(3, 2), None], "s": normal()})


def loss(m: Model) -> Any:
    h = jax.nn.silu(X @ m.first.w + m.first.b)
    return jnp.sum((jax.nn.relu(h + 0.3) @ m.rest["out"][0] - T) ** 2) * m.rest["s"]


def quartic(x: Any) -> Any:
    return jnp.sum(x**4) * x[0] + jnp.prod(x)


def attention(p: Any) -> Any:
    q, k, v = X @ p["q"], X @ p["k"], X @ p["v"]
    return jnp.sum(jax.nn.softmax(q @ k.T / 2) @ v * T[:, :1])


def scanned(x: Any) -> Any:
    def step(carry: Any, k: Any) -> Any:
        return jnp.sin(carry) * x, carry.sum()

    carry, sums = jax.lax.scan(step, x, jnp.arange(5))
    return carry.sum() + sums[2]


def looped(x: Any) -> Any:
    total = 0.0
    for k in range(1, 3):
        total = total + jnp.tanh(x[k] * x[k - 1]) ** 2
    return total


def deciding(x: Any) -> Any:
    y = jnp.sum(x**2)
    while y > 0.1:
        y = y / 2 * jnp.cos(x[0])
    return y * x[1] if x[2] > 0 else y * x[1] ** 2


FUNCTIONS = [
    (loss, model()),
    (attention, {name: normal(4, 3) for name in "qkv"}),
    (quartic, x),
    (jax.jit(quartic), x),
    (scanned, x),
    (looped, x),
    (deciding, x),
    (lambda x: jax.lax.cond(x[0] > 0, jnp.prod, jnp.sum, x), x),
    (lambda x: jnp.sum(x[jnp.array([0, 2, 2])] ** 3), x),
    (lambda x: jnp.linalg.slogdet(jnp.outer(x, x) + jnp.eye(3))[1], x),
    (lambda x: x**3, jnp.array(2.0)),
    (lambda x: jnp.sum(x**3), jnp.ones((0, 2))),
]


def same_tree(H: Any, want: Any) -> None:
    blocks = jax.tree.leaves(H, is_leaf=lambda h: isinstance(h, lh.Hessian))
    wanted, structure = jax.tree.flatten(want)
    assert jax.tree.structure(H, is_leaf=lambda h: isinstance(h, lh.Hessian)) == structure
    for block, part in zip(blocks, wanted, strict=True):
        same(block[...], part)


@pytest.mark.parametrize(("function", "xs"), FUNCTIONS)
def test_entries(function: Any, xs: Any) -> None:
    same_tree(lh.hessian(function, xs), jax.hessian(function)(xs))


def test_rows_in_any_order_and_number() -> None:
    xs = normal(40)
    want = jax.hessian(quartic)(xs)
    H = lh.hessian(quartic, xs, cache=None)
    for count in (1, 7, 9, 11, 33, 39, 40):
        rows = rng.permutation(40)[:count]
        same(H[rows], want[rows])
        same(H[:, rows], want[:, rows])
    assert H.cache_info().products == 2 * sum((1, 7, 9, 11, 33, 39, 40))


def test_several_arguments_and_some_of_them() -> None:
    def function(a: Any, b: Any, power: int) -> Any:
        return jnp.sum(jnp.outer(a, b) ** power)

    a, b = normal(2), normal(3)
    same_tree(
        lh.hessian(function, (a, b, 3), argnums=(0, 1)), jax.hessian(function, (0, 1))(a, b, 3)
    )
    same_tree(lh.hessian(function, (a, b, 3), argnums=1), jax.hessian(function, 1)(a, b, 3))
    moved = lh.hessian(function, (a, b, 3), argnums=1).at(2 * b)
    same(moved[...], jax.hessian(function, 1)(a, 2 * b, 3))


def test_auxiliary_values() -> None:
    H, aux = lh.hessian(lambda x: (quartic(x), {"a": 2 * x, "b": "name", "c": 7}), x, has_aux=True)
    same(aux["a"], 2 * x)
    assert (aux["b"], aux["c"]) == ("name", 7)
    same(H.at(2 * x)[...], jax.hessian(quartic)(2 * x))
    _, aux = lh.hessian(lambda x: (deciding(x), (x, 7)), x, has_aux=True)
    assert aux[1] == 7


def test_several_outputs() -> None:
    def function(x: Any) -> Any:
        return jnp.tanh(X @ jnp.append(x, 1.0))

    H = lh.hessian(function, x, reduction="none")
    want = jax.hessian(function)(x)
    same(H[1, 2], want[1, 2])
    assert H.cache_info().products == 1
    same(H[...], want)
    same(H.gradient(), jax.jacobian(function)(x))
    H = lh.hessian(lambda x: [function(x), quartic(x)], x, reduction="sum")
    same(H[...], jax.hessian(lambda x: function(x).sum() + quartic(x))(x))
    eager = lh.hessian(lambda x: function(x) if x[0] > -9 else x, x, reduction="none")
    same(eager[...], want)
    same(eager.gradient(), jax.jacobian(function)(x))


def test_samples_with_parameters_that_they_share() -> None:
    def one(row: Any, w: Any) -> Any:
        return jnp.tanh(row @ w) ** 2 * row[0]

    def function(rows: Any, w: Any) -> Any:
        return jax.vmap(one, (0, None))(rows, w)

    w = normal(4)
    H = lh.hessian(function, (X, w), (0, None))
    want = jax.vmap(jax.hessian(one, (0, 1)), (0, None))(X, w)
    same(H[1][1][3, 1], want[1][1][3, 1])
    assert H[1][1].cache_info().products == 1
    same_tree(H, want)
    turned = lh.hessian(lambda rows, w: function(rows.T, w), (X.T, w), (-1, None))
    same_tree(turned, want)


def test_holomorphic_functions() -> None:
    def function(z: Any) -> Any:
        return jnp.sum(jnp.sin(z) * z[0] ** 2)

    z = x + 1j * normal(3)
    same(lh.hessian(function, z)[...], jax.hessian(function, holomorphic=True)(z))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_short_dtypes(dtype: Any) -> None:
    H = lh.hessian(lambda x: jnp.sum(x**3), jnp.ones(3, dtype))
    assert H.dtype == H[0].dtype == np.asarray(H).dtype == dtype
    assert lh.hessian(lambda x: jnp.sum(x**3, 1), jnp.ones((2, 3), dtype), 0)[1, 0, 0] == 6


def test_blocks_have_the_dtype_of_their_rows() -> None:
    def function(a: Any, b: Any) -> Any:
        return jnp.sum(a) ** 2 * jnp.prod(b) + jnp.sum(b**3)

    a = jnp.ones(2, jnp.float32)
    H, want = lh.hessian(function, (a, x)), jax.hessian(function, (0, 1))(a, x)
    for i in range(2):
        for j in range(2):
            made = H[i][j][...]
            assert made.dtype == H[i][j].dtype == (a, x)[i].dtype
            np.testing.assert_allclose(made, want[i][j], rtol=1e-6)


def test_without_64_bits() -> None:
    with jax.enable_x64(False):
        H = lh.hessian(jax.jit(quartic), np.arange(3.0))  # told by the function
        assert H.dtype == H[0].dtype == H.gradient().dtype == jnp.float32
        np.testing.assert_allclose(H, jax.hessian(quartic)(jnp.arange(3.0)), rtol=1e-6)


def test_answers_keep_the_precision_of_the_call() -> None:
    H = lh.hessian(quartic, x)
    with jax.enable_x64(False):
        made = H[[2, 0]]
    same(made, jax.hessian(quartic)(x)[jnp.array([2, 0])])


def test_products_by_vectors() -> None:
    want, V = jax.hessian(quartic)(x), normal(3, 2)
    for H in (lh.hessian(quartic, x), lh.hessian(quartic, x).T):
        same(H @ x, want @ x)
        assert H.cache_info().products == 1
        same(x @ H, x @ want)
        same(H @ V, want @ V)
        same(V.T @ H, V.T @ want)


def test_blocks_times_vectors() -> None:
    def function(a: Any, b: Any) -> Any:
        return jnp.sum(a) ** 2 * jnp.prod(b)

    a, V = normal(2), normal(3, 2)
    block, want = lh.hessian(function, (a, x))[0][1], jax.hessian(function, (0, 1))(a, x)[0][1]
    same(block @ x, want @ x)
    same(a @ block, a @ want)
    same(block.T @ a, want.T @ a)
    same(x @ block.T, x @ want.T)
    same(block @ V, want @ V)
    same(V.T @ block.T, V.T @ want.T)
    with pytest.raises(ValueError, match="7 is different from 3"):
        block @ jnp.ones(7)


def test_inside_of_what_jax_traces() -> None:
    def third(hessian: Any) -> Any:
        return lambda x: hessian(x)[1:, 0].sum()

    mine, theirs = third(lambda x: lh.hessian(quartic, x)), third(jax.hessian(quartic))
    same(jax.grad(mine)(x), jax.grad(theirs)(x))
    same(jax.jit(jax.grad(mine))(x), jax.grad(theirs)(x))
    same(jax.vmap(mine)(normal(4, 3) * 0 + x), jax.vmap(theirs)(normal(4, 3) * 0 + x))
    made = jax.jit(lambda x, v: lh.hessian(quartic, x, create_graph=True) @ v)(x, 2 * x)
    same(made, jax.hessian(quartic)(x) @ (2 * x))

    def scaled(s: Any) -> Any:  # what the function closes over is traced
        return lh.hessian(lambda x: s**3 * quartic(x), x)[0].sum()

    same(jax.grad(scaled)(2.0), 12 * jax.hessian(quartic)(x)[0].sum())


def test_arrays_that_change_later() -> None:
    point, data = np.ones(3), np.arange(3.0)
    H = lh.hessian(lambda x, _: jnp.sum(data * x**3), (point, jnp.ones(1)), argnums=0)
    want = 6 * np.diag(data)
    point[:], data[:] = 9, 9
    np.testing.assert_allclose(H[0], want[0])
    np.testing.assert_allclose(H, want)


def test_a_wrong_product_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    true = Compiled.products

    def wrong(*args: Any) -> Any:
        return {j: part * 1.001 for j, part in true(*args).items()}

    monkeypatch.setattr(Compiled, "products", wrong)
    with pytest.raises(AssertionError):
        test_entries(quartic, x)
