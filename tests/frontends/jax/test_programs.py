"""What is compiled, and how often; what is kept, and for how long."""

from __future__ import annotations

import gc
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cachetools import LRUCache

import lazyhess as lh
from lazyhess._frontends.graphs import padded
from lazyhess._frontends.jax import products as programs

_compiled: list[str] = []


def _listen(name: str, *args: Any, **kwargs: Any) -> None:
    if "backend_compile" in name:
        _compiled.append(name)


jax.monitoring.register_event_duration_secs_listener(_listen)


@pytest.fixture
def compiled() -> list[str]:
    _compiled.clear()
    return _compiled


POINTS = [jnp.asarray(np.random.default_rng(k).normal(size=12)) for k in range(4)]
TRACES: list[None] = []


def function(x: Any) -> Any:
    TRACES.append(None)
    return jnp.sum(jax.nn.relu(x) ** 3) * jnp.sum(x[1:] * x[:-1])


def test_a_function_compiles_once(compiled: list[str]) -> None:
    TRACES.clear()
    H = lh.hessian(function, POINTS[0])
    first = H[3]
    assert compiled
    compiled.clear()
    for x in POINTS:
        H = lh.hessian(function, x)
        H[3], H[5], H[:, 7]
    assert not compiled
    assert len(TRACES) == 1 + len(POINTS)  # a call looks whether the function is still the same
    for x in POINTS:
        H = H.at(x)
        H[3], H[5], H[:, 7]
    assert not compiled
    assert len(TRACES) == 1 + len(POINTS)  # a point does not
    np.testing.assert_allclose(first, lh.hessian(function, POINTS[0])[3])


def test_a_jitted_function_is_traced_once() -> None:
    jitted = jax.jit(function)
    TRACES.clear()
    for x in POINTS:
        lh.hessian(jitted, x)[3]
    assert len(TRACES) == 1


def test_equal_functions_of_other_data_share_a_program(compiled: list[str]) -> None:
    data = [jnp.asarray(np.random.default_rng(k).normal(size=(5, 12))) for k in range(3)]
    for k, part in enumerate(data):
        H = lh.hessian(lambda x, part=part: jnp.sum(jax.nn.softplus(part @ x)), POINTS[0])
        row = H[2]
        if k:
            assert not compiled
        want = jax.hessian(lambda x, part=part: jnp.sum(jax.nn.softplus(part @ x)))(POINTS[0])
        np.testing.assert_allclose(row, want[2], rtol=1e-10)
        compiled.clear()


def test_what_a_function_closes_over_may_change() -> None:
    settings = {"scale": 2.0, "power": 3}

    def changing(x: Any) -> Any:
        return settings["scale"] * jnp.sum(x ** settings["power"])

    x = POINTS[0]
    for scale, power in ((2.0, 3), (5.0, 3), (5.0, 4)):
        settings.update(scale=scale, power=power)
        got = lh.hessian(changing, x).diagonal()
        np.testing.assert_allclose(got, scale * power * (power - 1) * x ** (power - 2))


def test_rules_of_derivatives_may_change() -> None:
    for factor in (1.0, 3.0):

        @jax.custom_jvp
        def cube(x: Any) -> Any:
            return x**3

        def rule(x: Any, t: Any, factor: float = factor) -> Any:
            return factor * x[0] ** 2 * t[0]

        cube.defjvp(lambda x, t, rule=rule: (x[0] ** 3, rule(x, t)))
        got = lh.hessian(lambda x, cube=cube: jnp.sum(cube(x)), POINTS[0]).diagonal()
        np.testing.assert_allclose(got, 2 * factor * POINTS[0])


def test_numbers_of_rows_share_programs() -> None:
    for count in range(1, 5000):
        size = padded(count, 0)
        assert count <= size <= 1.25 * count
    assert len({padded(count, 0) for count in range(1, 5000)}) <= 8 + 4 * 10
    assert padded(1001, 1001) == 1001


def test_programs_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_programs", LRUCache(3))
    for power in range(2, 9):
        lh.hessian(lambda x, power=power: jnp.sum(x**power), POINTS[0])
    assert len(programs._programs) == 3


def test_nothing_stays() -> None:
    data = jnp.ones((100, 100))

    def step() -> None:
        H = lh.hessian(lambda x: jnp.sum(jnp.tanh(data[:, :12] @ x) ** 2), POINTS[0] + 0.0)
        H[3], H.gradient(), H.value

    step()
    gc.collect()
    before = len(jax.live_arrays())
    for _ in range(5):
        step()
    gc.collect()
    assert len(jax.live_arrays()) <= before


def test_tracers_do_not_leak() -> None:
    with jax.checking_leaks():
        jax.jit(lambda x: lh.hessian(lambda y: jnp.sum(jax.nn.relu(x * y) ** 3), x)[0])(POINTS[0])


def layers(*ws: Any) -> Any:
    h = jnp.ones((60, 4))
    for w in ws:
        h = jnp.tanh(h @ w)
    return jnp.sum(h)


def scanned(first: Any, inner: Any, last: Any) -> Any:
    h = jax.nn.relu(jnp.tanh(jnp.ones((60, 4)) @ first))
    h, _ = jax.lax.scan(lambda h, w: (jnp.tanh(h @ w), None), h, inner[None])
    return jnp.sum(jnp.tanh(h @ last))


@pytest.mark.parametrize("loss", [layers, jax.jit(layers), jax.checkpoint(layers), scanned])
def test_the_last_layer_comes_alone(loss: Any) -> None:
    rng = np.random.default_rng(0)
    ws = [jnp.asarray(rng.normal(size=shape)) for shape in ((4, 40), (40, 40), (40, 2))]
    H = lh.hessian(loss, ws)
    np.asarray(H[2][2])
    assert H[2][2].cache_info().rows == 80  # of one block
    H[0][0][0, 0]  # through all layers, and so seen by all
    assert H[0][0].cache_info().rows == 83


def test_each_block_compiles_at_most_one_program(compiled: list[str]) -> None:
    rng = np.random.default_rng(0)
    ws = [jnp.asarray(rng.normal(size=shape)) for shape in ((4, 30), (30, 20), (20, 2))]
    H = lh.hessian(layers, ws)
    H[0][0][0, 0]
    compiled.clear()
    for i in (2, 1, 0):
        for j in (2, 1, 0):
            np.asarray(H[i][j])
    assert len(compiled) <= 6


def test_what_reaches_what_in_a_program() -> None:
    def f(a: Any, b: Any, c: Any) -> Any:
        return jnp.sum(jnp.sum(jnp.sin(a)) * b) + jnp.sum(jnp.cos(b))

    xs = [jnp.ones(n) for n in (2, 3, 5)]
    function = lh.hessian(f, xs)[0][0]._source.engine.function
    values = function.reach()
    assert values[0b001] == 2 + 1
    assert values[0b010] == 3 + 1
    assert values[0b011] >= 3 + 1 + 1
    assert not any(xs & 0b100 for xs in values)


def test_a_budget_for_passes() -> None:
    x = jnp.arange(20.0)
    row = 2 * x.nbytes  # with its tangent
    with lh.options(memory=3 * row):
        H = lh.hessian(lambda x: jnp.sum(x**3), x)
    for other in (H, H.at(x + 1)):
        engine = other._source.engine
        sizes = [len(ids) for ids, _ in engine.rows(0, np.arange(20), (0,))]
        assert sizes == [3, 3, 3, 3, 3, 3, 2]
