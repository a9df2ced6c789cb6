"""Complex inputs of holomorphic functions, and real functions through complex numbers."""

import numpy as np
import pytest

import lazyhess as lh
from tests import oracles
from tests.helpers import leaves, same_as_differences

rng = np.random.default_rng(31)


def points(*shape):
    return rng.normal(size=shape) / 2 + 1j * rng.normal(size=shape) / 2


def model(z, w):
    return np.sum(np.exp(z) * np.sin(w)) + np.prod(z) / (3 + w @ w) + np.sum(np.sqrt(2 + z * z))


def complex_hessian(function, xs, step=1e-3):
    """Differences along the real axis: a holomorphic function has one derivative for all."""
    flat = np.concatenate([x.ravel() for x in xs]).astype(np.clongdouble)
    cuts = np.cumsum([x.size for x in xs])[:-1]

    def at(point):
        return function(
            *(p.reshape(x.shape) for p, x in zip(np.split(point, cuts), xs, strict=True))
        )

    def second(h, i, j):
        e, f = h * np.eye(len(flat))[i], h * np.eye(len(flat))[j]
        return (at(flat + e + f) - at(flat + e - f) - at(flat - e + f) + at(flat - e - f)) / (
            4 * h * h
        )

    n = len(flat)
    h = np.longdouble(step)
    return np.array(
        [
            [complex((4 * second(h, i, j) - second(2 * h, i, j)) / 3) for j in range(n)]
            for i in range(n)
        ]
    )


def test_holomorphic_functions():
    z, w = lh.variable(points(3)), lh.variable(points(3))
    H = lh.hessian(model(z, w), (z, w))
    got = np.block([[np.asarray(b) for b in row] for row in H])
    want = complex_hessian(model, (z.value, w.value))
    assert got.dtype == complex
    assert oracles.close(got, want, 1e-9)
    np.testing.assert_allclose(got, got.T, rtol=1e-13)
    v = points(3)
    np.testing.assert_allclose(H[0][1] @ v, got[:3, 3:] @ v, rtol=1e-13)
    np.testing.assert_allclose(H[1][0][:, 2], got[3:, 2], rtol=1e-13)
    g = lh.gradient(model(z, w), z)
    step = 1e-6
    for k in range(3):
        d = step * np.eye(3)[k]
        slope = (model(z.value + d, w.value) - model(z.value - d, w.value)) / 2 / step
        assert oracles.close(g[k], slope, 1e-8)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_dtypes_batches_and_linear_algebra(dtype):
    z = lh.variable((points(4, 2, 2) + np.eye(2)).astype(dtype))
    y = (
        np.linalg.det(z) ** 2
        + np.sum(np.linalg.inv(z), axis=(1, 2))
        + np.trace(np.fft.fft(z), axis1=1, axis2=2)
    )
    H = lh.hessian(y, z, 0)
    assert H.dtype == dtype

    def one(z):
        return np.linalg.det(z) ** 2 + np.sum(np.linalg.inv(z)) + np.trace(np.fft.fft(z))

    want = complex_hessian(lambda z: one(z.astype(complex)), (z.value[2].astype(complex),), 5e-3)
    assert oracles.close(H[2].reshape(4, 4), want, 1e-6 if dtype == np.complex128 else 1e-4)


def test_third_order():
    z = lh.variable(points(2))
    H = lh.hessian(np.sum(np.exp(z) * z[::-1]), z, create_graph=True)
    t = lh.gradient(H[0, 0], z)
    a, b = z.value
    np.testing.assert_allclose(t, [np.exp(a) * b, np.exp(a)], rtol=1e-13)


def test_real_functions_through_complex_numbers():
    def f(x, y):
        z = np.exp(x + 1j * y) * (2 - 1j)
        spectrum = np.fft.fft(x * y)
        return (
            np.sum(np.abs(z) ** 3)
            + np.real(np.vdot(z, spectrum))
            + np.sum(np.angle(z)) ** 2
            + np.sum(np.imag(np.conjugate(z) * z[::-1] * x))
            + np.linalg.norm(np.outer(z, np.conjugate(z)) + np.eye(3), "nuc")
            + np.sum(
                np.linalg.eigvalsh(np.outer(z, np.conjugate(z)) + np.diag([1.0, 2.0, 4.0])) ** 2
            )
            + np.sum(
                np.abs(np.linalg.cholesky(np.outer(z, np.conjugate(z)) + np.diag([1.0, 2.0, 4.0])))
            )
            + np.linalg.slogdet(np.diag(z) + 0.5)[1]
        )

    xs = rng.normal(size=3) / 2, rng.normal(size=3) / 2
    got = lh.hessian(f, xs)
    assert all(block.dtype == float for block in leaves(got))
    same_as_differences(got, lambda *xs: f(*(x.astype(float) for x in xs)), xs, 1e-6, 3e-3)


def test_what_is_not_holomorphic_is_refused():
    z = lh.variable(points(3))
    for y in (
        np.sum(z * np.conjugate(z)),
        np.sum(np.abs(z)) + 0j,
        np.sum(z.real * z),
        np.linalg.norm(z),
    ):
        with pytest.raises(TypeError, match="holomorphic"):
            lh.hessian(y, z)
        with pytest.raises(TypeError, match="holomorphic"):
            lh.gradient(y, z)
    x = lh.variable(np.ones(3))
    with pytest.raises(TypeError, match=r"np\.real or np\.imag"):
        lh.hessian(np.sum(x * 1j), x)
    # Constants may be anything.
    c = np.abs(z.value)
    assert lh.hessian(np.sum(z**2 * c), z)[0, 0] == 2 * c[0]


def test_modulus_at_zero():
    x = lh.variable(np.array([0.0, 0.6]))
    y = np.sum(np.abs(x + 1j * x))
    np.testing.assert_allclose(lh.gradient(y, x), [0, np.sqrt(2)])
    np.testing.assert_allclose(lh.hessian(y, x), np.zeros((2, 2)), atol=1e-15)


@pytest.mark.parametrize("part", ["conj", "abs", "sum"])
def test_conjugates_of_products_with_many_seeds(part):
    """Of a product of two families of tangents the conjugate is that of both."""
    rng = np.random.default_rng(3)
    A = rng.normal(size=(60, 10)) + 1j * rng.normal(size=(60, 10))
    functions = {
        "conj": lambda W: np.sum(np.real((A @ W) ** 2 * np.conj(A @ W))),
        "abs": lambda W: np.sum(np.abs(A @ W) ** 3),
        "sum": lambda W: np.sum(np.real(np.sum(np.conj(A @ W), axis=0) ** 3)),
    }
    W = rng.normal(size=(10, 12))
    whole = np.asarray(lh.hessian(functions[part], W))
    by_row = lh.hessian(functions[part], W)
    rows = np.stack([by_row[k] for k in np.ndindex(W.shape)]).reshape(whole.shape)
    np.testing.assert_allclose(whole, rows, rtol=0, atol=1e-12 * np.abs(rows).max())
