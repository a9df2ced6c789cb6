"""What is refused, and what the errors say."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lazyhess as lh

x, z = jnp.arange(1.0, 4.0), jnp.array([1 + 2j, 0.5j])


def total(x: Any) -> Any:
    return jnp.sum(x**3)


def test_an_array_is_no_function() -> None:
    with pytest.raises(TypeError, match=r"jax keeps no record .* lh\.hessian\(f, xs\)"):
        lh.hessian(total(x), x)
    with pytest.raises(TypeError, match="has_aux is for a callable ys"):
        lh.hessian(total(x), x, has_aux=True)


@pytest.mark.parametrize(
    ("xs", "message"),
    [
        (jnp.arange(3), r"xs must be floating or complex, got dtype int64 \(shape \(3,\)\)"),
        ((x, "name"), r"xs\[1\] must be a jax array, got str"),
        (({"w": [x > 0]},), r"xs\[0\]\['w'\]\[0\] must be floating or complex, got dtype bool"),
    ],
)
def test_inputs(xs: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        lh.hessian(lambda *xs: total(x), xs)


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x: x**2, ValueError, r"one element, got shape \(3,\)"),
        (lambda x: jnp.argmax(x), TypeError, "must be floating or complex .* got dtype int64"),
        (lambda x: [total(x)], TypeError, r'got list; for the sum of several give reduction="sum"'),
        (lambda x: (total(x), x), TypeError, r"for \(ys, aux\) give has_aux=True"),
        (lambda x: total(jnp.ones(3)), TypeError, "ys carries no record"),
        (lambda x: "text", TypeError, "ys must return a jax array, got str"),
        (lambda x: total(x) * 1j, TypeError, "ys has dtype complex128 and xs are real"),
    ],
)
def test_outputs(function: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        lh.hessian(function, x)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda z: jnp.sum(jnp.abs(z) ** 2), "it has dtype float64"),
        (lambda z: jnp.sum(jnp.conj(z) * z), "conj of a complex number"),
        (lambda z: jax.jit(jnp.real)(z).sum() + 0j, "real of a complex number"),
    ],
)
def test_functions_that_are_not_holomorphic(function: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        lh.hessian(function, z)


def test_complex_and_real_inputs() -> None:
    with pytest.raises(TypeError, match=r"xs\[0\] has dtype complex128 and xs\[1\] is real"):
        lh.hessian(lambda z, x: jnp.sum(z) * jnp.sum(x), (z, x))


def test_strict() -> None:
    def first(a: Any, b: Any) -> Any:
        return total(a) + 0 * jnp.sum(jax.lax.cond(True, jnp.cos, jnp.sin, a))

    with pytest.raises(ValueError, match=r"ys does not depend on xs\[1\] \(shape \(2,\)\)"):
        lh.hessian(first, (x, jnp.ones(2)), strict=True)

    def deciding(a: Any, b: Any) -> Any:
        return total(a) if a[0] > 0 else total(b)

    with pytest.raises(ValueError, match=r"ys does not depend on xs\[1\]"):
        lh.hessian(deciding, (x, x), strict=True)
    lh.hessian(lambda a, b: total(a) + jnp.sum(b), (x, x), strict=True)


def test_a_graph_that_jax_does_not_keep() -> None:
    with pytest.raises(TypeError, match=r"jax\.grad\(lambda x: lh\.hessian\(f, x\)\[0\]\.sum"):
        lh.hessian(total, x, create_graph=True)


def test_other_points() -> None:
    H = lh.hessian(total, x)
    with pytest.raises(ValueError, match=r"an array of shape \(3,\) and dtype float64 for xs"):
        H.at(jnp.ones(4))
    with pytest.raises(ValueError, match="in the structure of xs"):
        H.at({"a": x})
    with pytest.raises(TypeError, match="takes one argument"):
        H.at(x, x)


def test_arguments() -> None:
    with pytest.raises(ValueError, match="argnums 2 is out of range for 2 arguments"):
        lh.hessian(lambda a, b: total(a), (x, x), argnums=2)
    with pytest.raises(TypeError, match=r"with has_aux the callable returns \(ys, aux\)"):
        lh.hessian(total, x, has_aux=True)


def test_what_a_function_raises_passes_through() -> None:
    def function(x: Any) -> Any:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        lh.hessian(function, x)
    with pytest.raises(jax.errors.TracerArrayConversionError):
        lh.hessian(lambda x: jnp.sum(np.cumsum(np.asarray(x))), x)


def test_operations_without_derivatives() -> None:
    H = lh.hessian(lambda x: jax.lax.while_loop(lambda s: s < 9, lambda s: 2 * s, x[0]), x)
    with pytest.raises(
        NotImplementedError, match=r"while_loop.*ys uses while.*lax\.scan"
    ) as caught:
        H[0]
    assert isinstance(caught.value.__cause__, ValueError)
    H = lh.hessian(lambda x: jax.pure_callback(np.sum, jax.ShapeDtypeStruct((), x.dtype), x), x)
    with pytest.raises(NotImplementedError, match="ys uses pure_callback"):
        H @ x


def test_pickling() -> None:
    with pytest.raises(TypeError, match="a Hessian of a jax function does not pickle"):
        pickle.dumps(lh.hessian(total, x))


def test_devices_that_differ() -> None:
    program = """
import jax, jax.numpy as jnp, lazyhess as lh
a, b = (jax.device_put(jnp.ones(2), device) for device in jax.devices())
assert lh.hessian(lambda a: jnp.sum(a**3), b)[[0, 0]].devices() == {jax.devices()[1]}
try:
    lh.hessian(lambda a, b: a @ b, (a, b))
except ValueError as error:
    assert "xs must be on one device" in str(error), error
    print("refused")
"""
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    made = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert made.stdout.strip() == "refused", made.stderr


def test_what_does_not_fit_into_memory() -> None:
    def large(x: Any) -> Any:  # which is traced, and never run
        return jnp.sum(jnp.sin(jnp.sort(jnp.outer(x, x), axis=None)))

    H = lh.hessian(large, jnp.ones(1 << 22, jnp.float32))
    with pytest.raises(
        MemoryError, match=r"x of shape \(4194304,\).*dtype float32, needs about"
    ) as caught:
        H[:2, 0]
    assert "RESOURCE_EXHAUSTED" in str(caught.value.__cause__)
