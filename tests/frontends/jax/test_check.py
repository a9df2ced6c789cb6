"""Second derivatives that rules of users get wrong are seen by the comparison."""

from __future__ import annotations

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import lazyhess as lh

SIZE = 20


@jax.custom_jvp
def cube(x: Any) -> Any:
    return x**3


@cube.defjvp
def _(primals: Any, tangents: Any) -> Any:
    (x,), (v,) = primals, tangents
    return x**3, 3 * jax.lax.stop_gradient(x) ** 2 * v


@jax.custom_vjp
def cubed(x: Any) -> Any:
    return x**3


cubed.defvjp(lambda x: (x**3, x), lambda x, v: (3 * jax.lax.stop_gradient(x) ** 2 * v,))


@pytest.mark.parametrize(
    ("function", "name"), [(cube, r"cube \(jax\.custom_jvp\)"), (cubed, r"cubed \(jax\.custom_vjp")]
)
def test_rules_of_users_are_suspected(function: Any, name: str) -> None:
    H = lh.hessian(lambda x: jnp.sum(function(x)), jnp.ones(SIZE))
    with pytest.warns(RuntimeWarning, match=f"jax .*suspected: {name}"):
        H[...]
    assert H.cache_info()[0::6] == (SIZE, 2)


@pytest.mark.parametrize(("check", "count"), [("auto", 0), (True, 1), (False, 0)])
def test_rules_of_jax_are_compared_only_where_that_is_asked_for(check: Any, count: int) -> None:
    H = lh.hessian(lambda x: jnp.sum(jax.nn.relu(x - 0.5) ** 3), jnp.ones(SIZE), check=check)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        H[...]
    assert H.cache_info().checks == count


def test_a_function_that_decides_by_values_is_compared() -> None:
    def function(x: Any) -> Any:
        return jnp.sum(cube(x)) if x[0] > 0 else jnp.sum(x)

    H = lh.hessian(function, jnp.ones(SIZE))
    with pytest.warns(RuntimeWarning, match="not the change of the gradient"):
        H[...]
