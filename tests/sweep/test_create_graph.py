"""Derivatives of Hessians: what `create_graph` gives is recorded, the same numbers, the same counts."""

import gc
import pickle
import tracemalloc

import numpy as np
import pytest

import lazyhess as lh
from tests import oracles

rng = np.random.default_rng(23)


def model(np, x, A):
    z = A @ np.tanh(x) + x[::-1] ** 2
    return np.sum(np.exp(0.3 * z) * x) + np.prod(x) + np.logaddexp(x[0], x[-1])


X, A = rng.normal(size=4) / 2, rng.normal(size=(4, 4)) / 2


def third(function, xs, i, j, weights):
    """By differences of plain Hessians: the gradient of a weighted sum of the block (i, j)."""

    def scalar(*xs):
        block = lh.hessian(function, tuple(np.asarray(x, float) for x in xs))[i][j]
        return np.sum(weights * np.asarray(block))

    return oracles.gradient(scalar, xs, step=1e-5)


def test_entries_rows_and_products_are_variables():
    x = lh.variable(X)
    y = model(np, x, A)
    H, plain = lh.hessian(y, x, create_graph=True), lh.hessian(y, x)
    v = rng.normal(size=4)
    for got, want in (
        (H[0, 1], plain[0, 1]), (H[2], plain[2]), (H[:, [0, 0, 3]], plain[:, [0, 0, 3]]),
        (H[...], plain[...]), (H.T[1:, ::-1], plain.T[1:, ::-1]), (H @ v, plain @ v), (v @ H, v @ plain),
        (H.diagonal(), plain.diagonal()), (np.trace(H), np.trace(plain)), (2 * H - 1, 2 * np.asarray(plain) - 1),
        (H[H[0].value > 0], plain[plain[0] > 0]), (H[1:1], plain[1:1]), (H.tocoo()[2], plain.tocoo()[2]),
        (-H, -np.asarray(plain)), (H[0] @ H[1], plain[0] @ plain[1]), (list(H)[1], plain[1]),
    ):  # fmt: skip
        assert isinstance(got, lh.Variable)
        assert got.shape == np.shape(want)
        np.testing.assert_allclose(got.value, want, rtol=1e-13, atol=1e-13)
    with pytest.raises(TypeError, match="derivative"):
        np.asarray(H)


def test_counts_are_those_of_plain_rows():
    x = lh.variable(X)
    y = model(np, x, A)
    H, plain = lh.hessian(y, x, create_graph=True), lh.hessian(y, x)
    for index in ((0, 1), (slice(None), 1), (1, slice(None)), [0, 0, 2], ..., 3):
        H[index], plain[index]
        assert H.cache_info().products == plain.cache_info().products
        assert H.cache_info()[:4] == plain.cache_info()[:4]


def test_third_and_fourth_order():
    x, a = lh.variable(X), lh.variable(A)
    y = model(np, x, a)
    H = lh.hessian(y, (x, a), create_graph=True)
    for i, j in ((0, 0), (0, 1), (1, 1), (1, 0)):
        w = rng.normal(size=H[i][j].shape)
        t = np.sum(w * H[i][j][...])
        want = third(lambda x, a: model(np, x, a), (X, A), i, j, w)
        for got, expected in zip(lh.gradient(t, (x, a)), want, strict=True):
            assert oracles.close(got, expected, 1e-7)
        fourth = lh.hessian(t, (x, a))[0][0]

        def cubic(x, a, i=i, j=j, w=w):
            x, a = lh.variable(np.asarray(x, float)), lh.variable(np.asarray(a, float))
            H = lh.hessian(model(np, x, a), (x, a), create_graph=True)
            return lh.gradient(np.sum(w * H[i][j][...]), x)

        step = 1e-6
        for k in range(4):
            d = step * np.eye(4)[k]
            assert oracles.close(fourth[k], (cubic(X + d, A) - cubic(X - d, A)) / 2 / step, 1e-6)


def test_a_function_of_variables_keeps_their_derivative():
    def trace(x):
        return np.trace(lh.hessian(lambda x: model(np, x, A), x, create_graph=True))

    x = lh.variable(X)
    H = lh.hessian(model(np, x, A), x, create_graph=True)
    want = lh.gradient(np.trace(H), x)
    np.testing.assert_allclose(lh.gradient(trace, X), want, rtol=1e-12)
    # Two arguments that are one Variable stay two inputs.
    B = lh.hessian(lambda a, b: a @ b**2, (x, x), create_graph=True)
    np.testing.assert_allclose(B[1][1].diagonal().value, 2 * X)
    np.testing.assert_allclose(lh.gradient(np.trace(B[1][1]), x), [2.0] * 4)


def test_gradients_are_recorded():
    x = lh.variable(X)
    g = lh.gradient(model(np, x, A), x, create_graph=True)
    assert isinstance(g, lh.Variable)
    plain = lh.hessian(model(np, x, A), x)
    np.testing.assert_allclose(lh.gradient(g[1], x), plain[1], rtol=1e-12)
    z = lh.variable(np.ones(2))
    assert isinstance(lh.gradient(np.sum(x), z, create_graph=True), lh.Variable)


def test_of_what_is_constant():
    x, z = lh.variable(X), lh.variable(np.ones(2))
    H = lh.hessian(x @ x, (x, z), create_graph=True)
    for block in (H[0][0][...], H[0][1][...], H[1][1][0]):
        assert isinstance(block, lh.Variable)
        assert not lh.gradient(np.sum(block), x).any()


@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_outputs_of_any_shape(reduction):
    def f(x):
        return np.exp(x[:2, None] * x) * x[0]

    x = lh.variable(X)
    got = lh.hessian(f(x), x, reduction=reduction, create_graph=True)
    want = lh.hessian(f(x), x, reduction=reduction)
    np.testing.assert_allclose(got[...].value, want[...], rtol=1e-13)
    np.testing.assert_allclose((got @ X).value, want @ X, rtol=1e-12)
    w = rng.normal(size=got.shape)
    (slope,) = oracles.gradient(
        lambda x: np.sum(w * np.asarray(lh.hessian(f, np.asarray(x, float), reduction=reduction))),
        (X,),
        1e-5,
    )
    assert oracles.close(lh.gradient(np.sum(w * got[...]), x), slope, 1e-7)


def test_per_sample():
    x, s = lh.variable(rng.normal(size=(3, 5))), lh.variable(rng.normal(size=(5,)))
    y = np.sum(np.sin(x) ** 3, axis=0) * np.exp(s)
    got, want = (lh.hessian(y, (x, s), (1, 0), create_graph=g) for g in (True, False))
    for i in range(2):
        for j in range(2):
            np.testing.assert_allclose(got[i][j][...].value, want[i][j][...], rtol=1e-12)
            np.testing.assert_allclose(got[i][j][3].value, want[i][j][3], rtol=1e-12)
    t = lh.gradient(np.sum(got[0][0][2]), x)
    assert np.count_nonzero(t.any(axis=0)) == 1


def test_parameters_that_are_no_x_are_in_the_graph():
    x, p = lh.variable(X), lh.variable(0.7)
    H = lh.hessian(np.sum(np.exp(p * x)), x, create_graph=True)
    np.testing.assert_allclose(
        lh.gradient(H[0, 0], p), (2 * 0.7 + 0.49 * X[0]) * np.exp(0.7 * X[0]), rtol=1e-13
    )


def test_parameters_of_rules_whose_curvature_is_worked_out():
    x, p = lh.variable(X), lh.variable(0.7)

    def entry(x, p):
        y = (
            np.sum(np.linalg.solve(np.eye(4) + p * A, x) ** 3)
            + np.linalg.slogdet(np.diag(x) + p * A)[1]
        )
        return lh.hessian(y, x, create_graph=True)[0, 1]

    got = lh.gradient(entry(x, p), (x, p))
    want = oracles.gradient(
        lambda x, p: entry(lh.variable(x), lh.variable(p)).value, (X, 0.7), 1e-5, np.float64
    )
    for a, b in zip(got, want, strict=True):
        assert oracles.close(a, b, 1e-7)


def test_products_are_recorded_in_the_vector_too():
    x, v = lh.variable(X), lh.variable(rng.normal(size=4))
    y = model(np, x, A)
    H, plain = lh.hessian(y, x, create_graph=True), lh.hessian(y, x)
    for form in (H @ v, v @ H, plain @ v):
        np.testing.assert_allclose(lh.gradient(form[1], v), plain[1], rtol=1e-12)


def test_nan_of_a_branch_not_taken_stays_out():
    x = lh.variable(np.array([0.0, 2.0]))
    with np.errstate(all="ignore"):  # the logarithm of 0, times 0: NumPy would warn as well
        y = np.sum(np.where(x > 1, np.log(x) * x**2, x**3))
    H = lh.hessian(y, x, create_graph=True)
    with np.errstate(all="ignore"):
        got = lh.gradient(np.trace(H), x)
    np.testing.assert_allclose(got, [6.0, 2 / 2.0], rtol=1e-13)


def test_infinite_factors_of_a_product_not_taken_stay_out():
    """Also where the product mixes elements: what has no weight meets no infinity."""
    x, w = lh.variable(np.array([0.0, 2.0])), lh.variable(np.array([[1.0, 2.0], [0.5, 3.0]]))
    with np.errstate(all="ignore"):
        taken = np.where(np.isfinite((w @ np.log(x)).value), w @ np.log(x), w @ np.sin(x))
        H = lh.hessian(np.sum(taken**2), (x, w), create_graph=True)
        plain = lh.hessian(np.sum(taken**2), (x, w))
        for i in range(2):
            for j in range(2):
                np.testing.assert_allclose(H[i][j][...].value, plain[i][j][...])
        for slope in lh.gradient(np.sum(H[1][1][...]) + np.sum(H[0][1][...]), (x, w)):
            assert np.isfinite(slope).all()


def test_it_pickles():
    x = lh.variable(X)
    H = lh.hessian(model(np, x, A), x, create_graph=True)
    want = H[0].value
    other = pickle.loads(pickle.dumps(H))
    np.testing.assert_array_equal(other[0].value, want)
    np.testing.assert_allclose(other[2].value, H[2].value)


@pytest.mark.parametrize("create_graph", [False, True])
def test_memory_does_not_grow_over_a_loop(create_graph):
    """Neither kept graphs nor cycles that only the collector would find."""
    x = lh.variable(X)

    def step():
        H = lh.hessian(model(np, x, A), x, create_graph=create_graph)
        H[0], H @ X, H[...]

    rounds = 40 if create_graph else 100
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        held = []
        for _ in range(7):  # the first ones fill Python's stocks of freed tuples
            for _ in range(rounds):
                step()
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
        gc.enable()
    assert held[-1] - held[-2] < 20_000
