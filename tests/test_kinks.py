"""The conventions that docs/kinks.md writes down, line by line."""

import numpy as np
import pytest

import lazyhess as lh
import lazyhess.special

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
inf, nan = np.inf, np.nan
E = np.eye(2)


def eye(*diagonal):
    return np.diag(diagonal)


QUARTER = np.array([[0.25, -0.25], [-0.25, 0.25]])
KINKS = {
    "where log": (lambda x: np.sum(np.where(x > 0, np.log(x), 0)), [0.0, 1.0, -1.0], [0, 1, 0], eye(0, -1, 0)),
    "where sin(x)/x": (lambda x: np.sum(np.where(x == 0, 1, np.sin(x) / x)), [0.0], [0], eye(0.0)),
    "abs": (lambda x: np.sum(np.abs(x)), [0.0, -1.0], [0, -1], eye(0, 0)),
    "abs of complex": (lambda x: np.abs(x[0] + 1j * x[1]), [0.0, 0.0], [0, 0], eye(0, 0)),
    "maximum": (lambda x: np.maximum(x[0], x[1]), [1.0, 1.0], [0.5, 0.5], eye(0, 0)),
    "minimum": (lambda x: np.fmin(x[0], x[1]) ** 2, [1.0, 1.0], [1, 1], np.full((2, 2), 0.5)),
    "max": (lambda x: np.max(x), [1.0, 1.0, 1.0, 0.0], [1 / 3, 1 / 3, 1 / 3, 0], np.zeros((4, 4))),
    "clip": (lambda x: np.sum(np.clip(x, 0, 1)), [0.0, 1.0, 0.5], [0.5, 0.5, 1], np.zeros((3, 3))),
    "sort": (lambda x: np.sum(np.sort(x) * np.arange(3.0)), [1.0, 1.0, 0.0], [1, 2, 0], np.zeros((3, 3))),
    "median": (lambda x: np.median(x), [1.0, 2.0, 2.0, 3.0], [0, 0.5, 0.5, 0], np.zeros((4, 4))),
    "steps": (lambda x: np.sum(np.sign(x) + np.floor(x) + np.rint(x) + x // 1), [0.0, 0.5], [0, 0], eye(0, 0)),
    "abs squared": (lambda x: np.abs(x[0]) ** 2, [0.0], [0], eye(0.0)),
    "prod of squares": (lambda x: np.prod(x**2), [0.0] * 3, [0] * 3, np.zeros((3, 3))),
    "prod": (lambda x: np.prod(x), [0.0, 2.0, 3.0], [6, 0, 0], np.array([[0.0, 3, 2], [3, 0, 0], [2, 0, 0]])),
    "cumprod": (lambda x: np.cumprod(x)[-1], [0.0, 2.0, 3.0], [6, 0, 0], np.array([[0.0, 3, 2], [3, 0, 0], [2, 0, 0]])),
    "x**0": (lambda x: np.sum(x**0 + x**0.0), [0.0, 2.0], [0, 0], eye(0, 0)),
    "x**array": (lambda x: np.sum(x ** np.array([2.0, 1.0])), [0.0, 0.0], [0, 1], eye(2, 0)),
    "0**y": (lambda x: np.sum(0.0**x), [1.0, 2.0], [0, 0], eye(0, 0)),
    "x**y": (lambda x: x[0] ** x[1], [0.0, 2.0], [0, 0], eye(2, 0)),
    "x**1.5": (lambda x: np.sum(x**1.5), [0.0, 1.0], [0, 1.5], eye(inf, 0.75)),
    "det": (lambda x: np.linalg.det(x.reshape(2, 2)), [1.0, 2.0, 2.0, 4.0], [4, -2, -2, 1],
            np.fliplr(eye(1.0, -1, -1, 1))),
    "det of rank 0": (lambda x: np.linalg.det(x.reshape(2, 2)), [0.0] * 4, [0] * 4, np.fliplr(eye(1.0, -1, -1, 1))),
    "sqrt": (lambda x: np.sum(np.sqrt(x)), [0.0, 1.0], [inf, 0.5], eye(-inf, -0.25)),
    "cbrt": (lambda x: np.sum(np.cbrt(x)), [0.0, 1.0], [inf, 1 / 3], eye(-inf, -2 / 9)),
    "root of squares": (lambda x: np.sqrt(np.sum(x**2)), [0.0, 0.0], [nan, nan], eye(inf, inf)),
    "norm": (lambda x: np.linalg.norm(x), [0.0, 0.0], [0, 0], eye(0, 0)),
    "norm of order 3": (lambda x: np.linalg.norm(x, 3), [0.0, 0.0], [0, 0], eye(0, 0)),
    "norm of some rows": (lambda x: np.sum(np.linalg.norm(x.reshape(2, 1), axis=1)), [0.0, 2.0], [0, 1], eye(0, 0)),
    "hypot": (lambda x: np.hypot(x[0], x[1]), [0.0, 0.0], [0, 0], eye(0, 0)),
    "logaddexp of -inf": (lambda x: np.logaddexp(x[0], x[1]), [-inf, -inf], [0, 0], eye(0, 0)),
    "logaddexp of inf": (lambda x: np.logaddexp(x[0], x[1]), [inf, 1.0], [1, 0], eye(0, 0)),
    "logsumexp": (lambda x: lh.special.logsumexp(x), [-inf, 1.0, 1.0], [0, 0.5, 0.5], np.pad(QUARTER, ((1, 0), (1, 0)))),
    "logsumexp of -inf": (lambda x: lh.special.logsumexp(x), [-inf, -inf], [0, 0], eye(0, 0)),
    "x log x": (lambda x: np.sum(x * np.log(x)), [0.0, 1.0], [-inf, 1], eye(inf, 1)),
    "sinc": (lambda x: np.sum(np.sinc(x)), [0.0], [0], eye(-np.pi**2 / 3)),
    "reciprocal": (lambda x: np.sum(1 / x), [0.0, 1.0], [-inf, -1], eye(inf, 2)),
    "nan": (lambda x: np.sum(x**3), [nan, 1.0], [nan, 3], eye(nan, 6)),
}  # fmt: skip


@pytest.mark.parametrize("kink", KINKS.values(), ids=KINKS)
def test_conventions(kink):
    function, point, slope, hessian = kink
    x = lh.variable(point)
    y = function(x)
    np.testing.assert_allclose(lh.gradient(y, x), slope, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(np.asarray(lh.hessian(y, x)), hessian, rtol=1e-14, atol=1e-14)
    # Row by row, and recorded, the same.
    np.testing.assert_allclose(
        lh.hessian(y, x, block_size=1)[0], hessian[0], rtol=1e-14, atol=1e-14
    )
    if np.isfinite(hessian).all() and np.isfinite(slope).all():
        recorded = lh.hessian(y, x, create_graph=True)
        np.testing.assert_allclose(recorded[...].value, hessian, rtol=1e-14, atol=1e-14)


def test_masked_pairs():
    """The energy of jax issue 18562: distances whose diagonal is zero, masked."""
    x = np.array([[0.0, 0.1], [1.2, 0.3], [0.4, 1.4]])

    def energy(x, pairs):
        if pairs:
            i, j = np.triu_indices(3, 1)
            r2 = np.sum((x[i] - x[j]) ** 2, axis=1)
            return 2 * np.sum(4 * (r2**-6 - r2**-3))
        r = np.sqrt(np.sum((x[:, None] - x[None]) ** 2, axis=-1))
        return np.sum(np.where(np.eye(3, dtype=bool), 0.0, 4 * (r**-12 - r**-6)))

    got, want = (np.asarray(lh.hessian(lambda x, p=p: energy(x, p), x)) for p in (False, True))
    np.testing.assert_allclose(got, want, rtol=1e-11)


def test_equal_eigenvalues_have_first_derivatives_only():
    x = lh.variable(np.eye(2))
    y = np.sum(np.linalg.eigvalsh(x) ** 2)
    np.testing.assert_allclose(lh.gradient(y, x), 2 * np.eye(2))
    assert np.isnan(np.asarray(lh.hessian(y, x))).any()


def test_one_triangle():
    a = np.array([[2.0, 0.3], [0.3, 1.0]])
    for function in (np.linalg.cholesky, np.linalg.eigvalsh):
        g = lh.gradient(lambda a, f=function: np.sum(f(a) ** 3), a)
        assert g[0, 1] == 0 != g[1, 0]


def test_special_functions():
    scipy = pytest.importorskip("scipy.special")
    for function, point, slope, hessian in (
        (scipy.xlogy, (0.0, 0.0), (0, 0), np.zeros((2, 2))),
        (scipy.xlogy, (0.0, 1.0), (0, 0), np.array([[0.0, 1], [1, 0]])),
        (lambda x, y: scipy.entr(x) + scipy.entr(y), (0.0, 1.0), (inf, -1), eye(-inf, -1)),
    ):
        xs = [lh.variable(x) for x in point]
        y = function(*xs)
        np.testing.assert_allclose(lh.gradient(y, xs), slope)
        H = lh.hessian(y, tuple(xs))
        np.testing.assert_allclose([[float(b) for b in row] for row in H], hessian)
