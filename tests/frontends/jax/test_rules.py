"""Functions that know reverse derivatives only, and jax as strict as it can be."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.ode import odeint

import lazyhess as lh
from tests.helpers import same

X = np.array([0.5, 1.0, 2.0])


def decayed(p: Any) -> Any:
    """At the end of a differential equation, whose solver has no forward derivative."""
    times = jnp.array([0.0, 1.0])
    return jnp.sum(odeint(lambda y, t, p: -p * y, jnp.asarray(X), times, p)[-1] ** 2)


def exactly(p: Any) -> Any:
    return np.sum((X * np.exp(-p)) ** 2)


def test_reverse_over_reverse() -> None:
    want = np.asarray(lh.hessian(exactly, X))
    H = lh.hessian(decayed, jnp.asarray(X))
    for got, other in (
        (H[1], want[1]),
        (H[:, :2], want[:, :2]),
        (H @ X, want @ X),
        (H[...], want),
        (lh.hessian(decayed, jnp.asarray(X))[...], want),
    ):
        np.testing.assert_allclose(got, other, atol=1e-6)
    assert H.cache_info().products == 4


@jax.custom_vjp
def slope(x: Any) -> Any:
    return 3 * x**2


@jax.custom_vjp
def cube(x: Any) -> Any:
    return x**3


slope.defvjp(lambda x: (3 * x**2, x), lambda x, v: (6 * x * v,))
cube.defvjp(lambda x: (x**3, x), lambda x, v: (slope(x) * v,))


def test_reverse_over_reverse_where_values_decide() -> None:
    def function(x: Any) -> Any:
        return jnp.sum(cube(x)) * x[0] if x[0] > 0 else jnp.sum(x)

    want = lh.hessian(lambda x: np.sum(x**3) * x[0], X)
    H = lh.hessian(function, jnp.asarray(X))
    same(np.asarray(H), np.asarray(want))
    same(np.asarray(H.gradient()), want.gradient())


@pytest.mark.parametrize("options", [{"batch_axis": 0}, {"reduction": "none"}])
def test_reverse_over_reverse_of_samples_and_outputs(options: Any) -> None:
    xs = np.stack([X, 2 * X])
    H = lh.hessian(lambda x: jnp.sum(cube(x), axis=1) * x[:, 0], jnp.asarray(xs), **options)
    want = lh.hessian(lambda x: np.sum(x**3, axis=1) * x[:, 0], xs, **options)
    same(np.asarray(H[1]), want[1])
    same(np.asarray(H), np.asarray(want))


@pytest.mark.parametrize("promotion", ["raise", "warn"])
def test_rank_promotion(promotion: str) -> None:
    rng = np.random.default_rng(0)
    xs, w = rng.normal(size=(4, 3)), rng.normal(size=3)

    def samples(xs: Any, w: Any) -> Any:
        return jnp.sum((xs * w[None]) ** 3, axis=1)

    def plain(xs: Any, w: Any) -> Any:
        return np.sum((xs * w) ** 3, axis=1)

    with jax.numpy_rank_promotion(promotion):
        for options in ({"batch_axis": (0, None)}, {"reduction": "none"}, {"reduction": "sum"}):
            arrays: Any = jnp.asarray(xs), jnp.asarray(w)
            H: Any = lh.hessian(samples, arrays, **options)  # type: ignore[call-overload]
            want: Any = lh.hessian(plain, (xs, w), **options)  # type: ignore[call-overload]
            for i in range(2):
                for j in range(2):
                    same(np.asarray(H[i][j][0]), want[i][j][0])
                    same(np.asarray(H[i][j]), np.asarray(want[i][j]))
                same(np.asarray(H[i][i].gradient()), np.asarray(want[i][i].gradient()))
        same(
            np.asarray(lh.hessian(lambda w: samples(xs[:1], w)[0], arrays[1]) @ w),
            np.asarray(lh.hessian(lambda w: plain(xs[:1], w)[0], w)) @ w,
        )
