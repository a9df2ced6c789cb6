"""hessian() and gradient(): their arguments, and the structure of their answers."""

import gc
import weakref
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import lazyhess as lh
from lazyhess._engines.recorded import prepared
from lazyhess._maps.matmul import MatmulPlan
from lazyhess._sweep.linearization import Linearization
from lazyhess._tangents import Pattern
from tests import oracles
from tests.helpers import same_as_differences

A = np.array([[2.0, 1.0], [1.0, 3.0]])


def f(x, z):
    return np.sum(np.sin(x) * np.sum(z * z)) + x @ A @ x


POINT = (np.array([0.3, 1.1]), np.array([[0.5], [0.2], [1.0]]))


def test_recorded_and_callable_agree():
    xs = tuple(lh.variable(v) for v in POINT)
    same_as_differences(lh.hessian(f(*xs), xs), f, POINT)
    same_as_differences(lh.hessian(f, POINT), f, POINT)
    H = lh.hessian(f, POINT)
    assert type(H) is tuple
    assert type(H[0]) is tuple
    assert H[0][1].shape == (2, 3, 1)
    one = lh.hessian(lambda x: x @ A @ x, POINT[0])
    np.testing.assert_array_equal(one, 2 * A)
    assert lh.hessian(lambda x: x**3, 2.0)[()] == 12
    assert lh.hessian(lambda x: x**3, (2.0,))[0][0][()] == 12


def test_containers_mirror():
    Point = namedtuple("Point", "u v")
    u, v = (lh.variable(x) for x in POINT)
    want = lh.hessian(f(u, v), (u, v))
    H = lh.hessian(f(u, v), {"u": u, "rest": [v]})
    np.testing.assert_array_equal(H["u"]["rest"][0], want[0][1])
    np.testing.assert_array_equal(H["rest"][0]["u"], want[1][0])
    H = lh.hessian(f(u, v), Point(u, v))
    assert type(H) is Point
    np.testing.assert_array_equal(H.v.u, want[1][0])
    H = lh.hessian(lambda p: f(p["u"], p["v"]), {"u": POINT[0], "v": POINT[1]})
    np.testing.assert_array_equal(H["v"]["u"], want[1][0])
    assert type(lh.hessian(f(u, v), [u, v])) is list
    assert lh.hessian(f(u, v), ()) == ()
    assert lh.gradient(f(u, v), {"u": u})["u"].shape == (2,)


def test_argnums_and_aux():
    def g(a, b, c):
        return np.sum(a * b**2) * c, {"b": b, "n": 3}

    args = (np.array([1.0, 2.0]), np.array([3.0, 4.0]), 2.0)
    H, aux = lh.hessian(g, args, argnums=1, has_aux=True)
    np.testing.assert_array_equal(H, np.diag([4.0, 8.0]))
    np.testing.assert_array_equal(aux["b"], [3, 4])
    assert type(aux["b"]) is np.ndarray
    assert aux["n"] == 3
    H, _ = lh.hessian(g, args, argnums=(0, -2), has_aux=True)
    np.testing.assert_array_equal(H[0][1], np.diag([12.0, 16.0]))
    G, _ = lh.gradient(g, args, argnums=0, has_aux=True)
    np.testing.assert_array_equal(G, [18, 32])


def test_reductions():
    x = lh.variable(np.array([1.0, 2.0]))
    ys = [x**3, np.prod(x), x[:1] * 4]
    H = lh.hessian(ys, x, reduction="sum")
    np.testing.assert_array_equal(H, [[6, 1], [1, 12]])
    np.testing.assert_array_equal(lh.gradient(ys, x, reduction="sum"), [3 + 2 + 4, 12 + 1])
    y = np.multiply.outer(x, x**2)
    H = lh.hessian(y, x, reduction="none")
    assert H.shape == (2, 2, 2, 2)
    for a in range(2):
        for b in range(2):
            want = oracles.hessian(lambda v, a=a, b=b: v[a] * v[b] ** 2, [x.value])[0][0]
            assert oracles.close(H[a, b], want, 1e-7)
    assert H.cache_info().products == 8
    np.testing.assert_allclose(H @ np.ones(2), np.asarray(H) @ np.ones(2))
    assert lh.hessian(y[:0], x, reduction="none")[...].shape == (0, 2, 2, 2)
    empty = lh.hessian(y[:0], x, reduction="none")
    assert (empty @ np.ones(2)).shape == (0, 2, 2)


@pytest.mark.parametrize("axes", [(0, 0), (1, 0), (-1, 1), (2, -1), 0])
def test_batches(axes):
    rng = np.random.default_rng(1)
    x, z = rng.normal(size=(4, 2, 3)), rng.normal(size=(4, 2))
    both = axes if isinstance(axes, tuple) else (axes, axes)
    xs = tuple(lh.variable(np.moveaxis(v, 0, axis)) for v, axis in zip((x, z), both, strict=True))
    X, Z = (np.moveaxis(v, axis, 0) for v, axis in zip(xs, both, strict=True))

    def model(x, z):
        return np.sum(np.sin(x) ** 2, axis=(-1, -2)) * np.prod(z, axis=-1)

    for shape in ((4,), (4, 1), (1, 4)):
        H = lh.hessian(np.reshape(model(X, Z), shape), xs, axes)
        assert H[0][1].shape == (4, 2, 3, 2)
        for b in range(4):
            one = [[block[b] for block in row] for row in H]
            same_as_differences(one, model, [x[b], z[b]])
    v = rng.normal(size=2)
    np.testing.assert_allclose(H[0][1] @ v, np.asarray(H[0][1]) @ v)


def test_a_batch_of_one_and_of_none():
    x = lh.variable(np.ones((1, 3)))
    assert lh.hessian(np.sum(x**2, 1), x, 0)[0].shape == (3, 3)
    x = lh.variable(np.ones((0, 3)))
    H = lh.hessian(np.sum(x**2, 1), x, 0)
    assert H[...].shape == (0, 3, 3)
    x = lh.variable(np.ones((2, 0)))
    assert lh.hessian(np.sum(x**2, 1), x, 0)[1].shape == (0, 0)


def test_intermediates():
    x = lh.variable(np.array([0.4, 0.9]))
    z = np.exp(x)
    y = np.sum(z * z * x)
    H = lh.hessian(y, (x, z))

    # Each input gets a perturbation at its own place: y(x, dz) = Y(x, z(x) + dz).
    def function(x, dz):
        z = np.exp(x) + dz
        return np.sum(z * z * x)

    same_as_differences(H, function, [x.value, np.zeros(2)])
    H = lh.hessian(y, z)
    np.testing.assert_allclose(np.asarray(H), np.diag(2 * x.value))
    G = lh.gradient(y, (z, x))
    np.testing.assert_allclose(G[0], 2 * z.value * x.value)


def test_odd_inputs():
    x, other = lh.variable(np.array([1.0, 2.0])), lh.variable(np.ones((0, 2)))
    y = np.sum(x**3)
    H = lh.hessian(y, (x, other, x))
    np.testing.assert_array_equal(H[0][2], H[0][0])
    assert H[0][1][...].shape == (2, 0, 2)
    assert not np.any(lh.hessian(y, (x, y))[1][1])
    assert lh.hessian(y, y)[()] == 0
    assert lh.gradient(y, y) == 1
    np.testing.assert_array_equal(lh.hessian(np.sum(x * 2), x), np.zeros((2, 2)))
    assert lh.hessian(np.sum(other**2), other)[...].shape == (0, 2, 0, 2)
    np.testing.assert_array_equal(lh.hessian(np.sum(x**2, keepdims=True), x), 2 * np.eye(2))


def test_value_gradient_and_hessian_share_one_linearization(monkeypatch):
    made = []

    class Counting(Linearization):
        def __init__(self, *args):
            made.append(1)
            super().__init__(*args)

    monkeypatch.setattr(prepared, "Linearization", Counting)
    x = lh.variable(np.array([1.0, 2.0]))
    y = np.prod(x) ** 2
    lh.gradient(y, x)
    np.asarray(lh.hessian(y, x))
    lh.gradient(y, x)[...] = 0
    np.testing.assert_array_equal(lh.gradient(y, x), [8, 4])
    assert len(made) == 1


def test_the_adjoint_sweep_goes_on_for_the_gradient_only(monkeypatch):
    products = []
    apply = MatmulPlan.apply

    def counting(self, left, right):
        products.append(1)
        return apply(self, left, right)

    monkeypatch.setattr(MatmulPlan, "apply", counting)
    rng = np.random.default_rng(0)
    X, v, x = rng.normal(size=(20, 300)), rng.normal(size=30), rng.normal(size=30)

    def f(x):  # linear maps at both ends: 20 x 10 elements come of them
        return np.sum(np.tanh(X[:, :3] @ x.reshape(3, 10)) @ X[:10])

    x = lh.variable(x)
    y = f(x)
    products.clear()
    H = lh.hessian(y, x)
    H @ v
    # Back to what tanh gives, its tangent there, and the tangent of the adjoint back to x.
    assert len(products) == 3
    first = H.gradient()
    assert len(products) == 4
    np.testing.assert_array_equal(first, H.gradient())
    assert len(products) == 4
    np.testing.assert_array_equal(first, lh.gradient(f, x.value))


def test_threads_share_one_gradient():
    x = lh.variable(np.linspace(0, 1, 50))
    y = np.sum(np.sin(x[::-1] * 2.0) ** 2)
    H = lh.hessian(y, x)
    H[:2]
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: H.gradient(), range(32)))
    for gradient in made:
        np.testing.assert_array_equal(gradient, made[0])
    np.testing.assert_allclose(made[0], 2 * np.sin(4 * x.value))


def test_an_adjoint_of_zero_is_no_constant():
    # That x is zero here makes the adjoint of all it goes into zero; its curvature is not.
    def f(x):
        both = np.concatenate([x * np.ones(5000), np.ones(5000) + x * x])
        return np.sum(both[np.array([1, 2, 7000])] ** 2)

    assert np.asarray(lh.hessian(f, np.array(0.0))) == 8
    assert lh.gradient(f, np.array(0.0)) == 0


def test_nothing_is_computed_by_the_call(monkeypatch):
    monkeypatch.setattr(prepared, "Linearization", None)
    x = lh.variable(np.array([1.0, 2.0]))
    H = lh.hessian(np.prod(x) ** 2, x)
    assert "0/2 rows" in repr(H)
    with pytest.raises(TypeError):
        H[0]


@pytest.mark.parametrize("block_size", [1, 3, 1000])
def test_block_sizes(block_size):
    x = lh.variable(np.linspace(0, 1, 7))
    y = np.sum(np.sin(x) * np.cumsum(x))
    np.testing.assert_allclose(lh.hessian(y, x, block_size=block_size), lh.hessian(y, x))


def test_progress():
    tqdm = pytest.importorskip("tqdm")
    assert tqdm
    np.asarray(lh.hessian(lambda x: np.sum(x**2), np.ones(3), progress=True))


def test_a_large_graph_of_scalars():
    x = lh.variable(np.linspace(0.1, 1, 50))
    s = 0.0
    for _ in range(20):
        for k in range(49):
            s = s + x[k] * x[k + 1] ** 2
    H = np.asarray(lh.hessian(s, x))
    want = np.zeros((50, 50))
    for k in range(49):
        want[k + 1, k + 1] += 40 * x.value[k]
        want[k, k + 1] = want[k + 1, k] = 40 * x.value[k + 1]
    np.testing.assert_allclose(H, want)


def test_sums_that_double_do_not_grow_without_end():
    x = lh.variable(np.linspace(0, 1, 500))
    u = x[1:] + x[:-1]
    for _ in range(40):
        u = 0.5 * np.sin(u) + 0.5 * np.roll(u, 1)
    H = lh.hessian(np.sum(u**2), x)
    want = np.asarray(H)
    np.testing.assert_allclose(want, want.T, atol=1e-12)


def test_nothing_outlives_its_use():
    gc.disable()
    try:
        x = lh.variable(np.linspace(0, 1, 30))
        y = np.sum(np.sin(x[1:] * x[:-1]) * np.cumsum(x)[1:]) ** 2
        H = lh.hessian(y, x)
        np.asarray(H)
        H @ np.ones(30)
        H.tocoo()
        lin = H._source.engine.linearization()
        dead = [weakref.ref(item) for item in (x, y, lin, *lin._plans.values())]
        del x, y, H, lin
        # By reference counts alone: a loop over large Hessians must not wait for the collector.
        assert [ref() for ref in dead] == [None] * len(dead)
    finally:
        gc.enable()


def test_patterns_do_not_hold_each_other():
    def area(u):
        down, right = u[1:, :-1] - u[:-1, :-1], u[:-1, 1:] - u[:-1, :-1]
        return np.sum(np.sqrt(1 + down**2 + right**2)) + np.sum(np.sin(right - down))

    def patterns():
        return sum(type(item) is Pattern for item in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = patterns()
        lh.hessian(area, np.linspace(0, 1, 900).reshape(30, 30)).tocoo()
        assert patterns() == before
    finally:
        gc.enable()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_every_real_floating_dtype(dtype):
    x = lh.variable(np.linspace(0.5, 1.5, 7, dtype=dtype))
    H = lh.hessian(np.sum(np.outer(x, x[1:] ** 2)) + np.sum(x[[0, 0, 3]] * x[2:5]), x)
    got = np.asarray(H)
    assert got.dtype == lh.gradient(np.sum(x**2), x).dtype == dtype
    np.testing.assert_allclose(got, got.T, rtol=10 * np.finfo(dtype).eps)
    wide = lh.variable(x.value.astype(float))
    want = lh.hessian(
        np.sum(np.outer(wide, wide[1:] ** 2)) + np.sum(wide[[0, 0, 3]] * wide[2:5]), wide
    )
    np.testing.assert_allclose(
        got.astype(float), want, rtol=20 * float(np.finfo(dtype).eps), atol=1e-6
    )


def test_names_that_a_user_sees_are_those_of_the_library():
    assert {name for name in dir(lh) if not name.startswith("_")} == set(lh.__all__)
