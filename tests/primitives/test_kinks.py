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
    "minimum": (lambda x: np.minimum(x[0], x[1]), [1.0, 1.0], [0.5, 0.5], eye(0, 0)),
    "fmax": (lambda x: np.fmax(x[0], x[1]), [1.0, 1.0], [0.5, 0.5], eye(0, 0)),
    "fmin": (lambda x: np.fmin(x[0], x[1]), [1.0, 1.0], [0.5, 0.5], eye(0, 0)),
    "fmin squared": (lambda x: np.fmin(x[0], x[1]) ** 2, [1.0, 1.0], [1, 1], np.full((2, 2), 0.5)),
    "max": (lambda x: np.max(x), [1.0, 1.0, 1.0, 0.0], [1 / 3, 1 / 3, 1 / 3, 0], np.zeros((4, 4))),
    "min": (lambda x: np.min(x), [1.0, 2.0, 1.0], [0.5, 0, 0.5], np.zeros((3, 3))),
    "clip": (lambda x: np.sum(np.clip(x, 0, 1)), [0.0, 1.0, 0.5], [0.5, 0.5, 1], np.zeros((3, 3))),
    "sort": (lambda x: np.sum(np.sort(x) * np.arange(3.0)), [1.0, 1.0, 0.0], [1, 2, 0], np.zeros((3, 3))),
    "median": (lambda x: np.median(x), [1.0, 2.0, 2.0, 3.0], [0, 0.5, 0.5, 0], np.zeros((4, 4))),
    "quantile": (lambda x: np.quantile(x, 0.375), [1.0, 2.0, 2.0, 3.0], [0, 0.875, 0.125, 0], np.zeros((4, 4))),
    "steps": (lambda x: np.sum(np.sign(x) + np.floor(x) + np.rint(x) + x // 1), [0.0, 0.5], [0, 0], eye(0, 0)),
    "other steps": (lambda x: np.sum(np.ceil(x) + np.trunc(x)), [0.0, 0.5], [0, 0], eye(0, 0)),
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
    "det of rank n - 2": (lambda x: np.linalg.det(x.reshape(3, 3)), [1.0] + [0.0] * 8, [0] * 9,
                          np.pad(np.fliplr(eye(1.0, -1, 0, -1, 1)), ((4, 0), (4, 0)))),
    "sqrt": (lambda x: np.sum(np.sqrt(x)), [0.0, 1.0], [inf, 0.5], eye(-inf, -0.25)),
    "cbrt": (lambda x: np.sum(np.cbrt(x)), [0.0, 1.0], [inf, 1 / 3], eye(-inf, -2 / 9)),
    "root of squares": (lambda x: np.sqrt(np.sum(x**2)), [0.0, 0.0], [nan, nan], eye(inf, inf)),
    "norm": (lambda x: np.linalg.norm(x), [0.0, 0.0], [0, 0], eye(0, 0)),
    **{f"norm of order {order}": (lambda x, o=order: np.linalg.norm(x, o), [0.0, 0.0], [0, 0], eye(0, 0))
       for order in (0.5, 1, 2, 3, inf, -inf)},
    "norm of some rows": (lambda x: np.sum(np.linalg.norm(x.reshape(2, 1), axis=1)), [0.0, 2.0], [0, 1], eye(0, 0)),
    "hypot": (lambda x: np.hypot(x[0], x[1]), [0.0, 0.0], [0, 0], eye(0, 0)),
    "std": (lambda x: np.std(x), [1.0, 1.0, 1.0], [nan] * 3, np.full((3, 3), nan)),
    "std of one": (np.std, [1.0], [0], eye(0)),
    "std of one of 0 axes": (lambda x: np.std(x[0]), [1.0], [0], eye(0)),
    "std of rows of one": (lambda x: np.sum(np.std(x[:, None], axis=1, keepdims=True)), [1.0, 2.0], [0, 0], eye(0, 0)),
    "std of columns of one": (lambda x: np.sum(x.reshape(1, 2).std(axis=0)), [1.0, 2.0], [0, 0], eye(0, 0)),
    "std where one is": (lambda x: np.std(x, where=np.array([True, False])), [1.0, 2.0], [0, 0], eye(0, 0)),
    "std where one is, and two": (
        lambda x: np.sum(np.std(x.reshape(2, 2), axis=1, where=np.array([[True, False], [True, True]]))),
        [1.0, 2.0, 3.0, 5.0], [0, 0, -0.5, 0.5], eye(0, 0, 0, 0),
    ),
    "std of one and a mean": (lambda x: np.std(x, mean=np.array(3.0)), [1.0], [-1], eye(0)),
    "std of one, squared": (lambda x: np.std(x) ** 2 + x[0] ** 2, [1.0], [2], eye(2)),
    "nanstd of one": (lambda x: np.nanstd(np.where(np.array([True, False]), x, np.nan)), [1.0, 2.0], [0, 0], eye(0, 0)),
    "logaddexp of one -inf": (lambda x: np.logaddexp(x[0], x[1]), [-inf, 1.0], [0, 1], eye(0, 0)),
    "logaddexp of -inf": (lambda x: np.logaddexp(x[0], x[1]), [-inf, -inf], [0, 0], eye(0, 0)),
    "logaddexp of inf": (lambda x: np.logaddexp(x[0], x[1]), [inf, 1.0], [1, 0], eye(0, 0)),
    "logsumexp": (lambda x: lh.special.logsumexp(x), [-inf, 1.0, 1.0], [0, 0.5, 0.5], np.pad(QUARTER, ((1, 0), (1, 0)))),
    "logsumexp of -inf": (lambda x: lh.special.logsumexp(x), [-inf, -inf], [0, 0], eye(0, 0)),
    "x log x": (lambda x: np.sum(x * np.log(x)), [0.0, 1.0], [-inf, 1], eye(inf, 1)),
    "sinc": (lambda x: np.sum(np.sinc(x)), [0.0], [0], eye(-np.pi**2 / 3)),
    "arctan2": (lambda x: np.arctan2(x[0], x[1]), [0.0, 0.0], [nan, nan], np.full((2, 2), nan)),
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


def test_std_of_a_rounded_mean():
    """The mean of three elements 0.1 is not 0.1, so their deviation is not 0 either."""
    x = lh.variable([0.1, 0.1, 0.1])
    y = np.std(x)
    assert 0 < y.value < 1e-16
    assert np.isfinite(lh.gradient(y, x)).all()
    assert lh.hessian(y, x)[0, 0] > 1e15


def values_of_svd(a):
    return np.linalg.svd(a, compute_uv=False)


@pytest.mark.parametrize("values", [np.linalg.eigvals, np.linalg.eigvalsh, values_of_svd])
def test_equal_values_have_first_derivatives_only(values):
    x = lh.variable(np.eye(2))
    y = np.sum(np.real(values(x)) ** 2)
    np.testing.assert_allclose(lh.gradient(y, x), 2 * np.eye(2))
    assert np.isnan(np.asarray(lh.hessian(y, x))).any()


VECTORS = {
    "eig": lambda a: np.linalg.eig(a)[1],
    "eigh": lambda a: np.linalg.eigh(a)[1],
    "svd, left": lambda a: np.linalg.svd(a)[0],
    "svd, right": lambda a: np.linalg.svd(a)[2],
}


@pytest.mark.parametrize("vectors", VECTORS.values(), ids=VECTORS)
def test_vectors_of_equal_values_have_no_derivatives(vectors):
    x = lh.variable(np.eye(2))
    y = np.sum(np.real(vectors(x)))
    assert np.isnan(lh.gradient(y, x)).any()
    assert np.isnan(np.asarray(lh.hessian(y, x))).any()


@pytest.mark.parametrize("vectors", VECTORS.values(), ids=VECTORS)
def test_signs_of_vectors_are_those_of_lapack(vectors):
    a = np.array([[2.0, 0.3], [0.3, -1.0]])
    np.testing.assert_array_equal(vectors(lh.variable(a)).value, vectors(a))


# Of the matrix u vᵀ, of rank 1, on paper.
W, B = np.array([[1.0, -2.0, 0.5], [3.0, 1.0, -1.0]]), np.array([1.0, 3.0, -2.0])
RANK_ONE = {
    "pinv": (
        lambda a: np.sum(W * np.linalg.pinv(a)),
        lambda u, v: v @ W @ u / ((u @ u) * (v @ v)),
    ),
    "lstsq": (
        lambda a: np.sum(W[:, 0] * np.linalg.lstsq(a, B, rcond=None)[0]),
        lambda u, v: (v @ W[:, 0]) * (u @ B) / ((u @ u) * (v @ v)),
    ),
}


@pytest.mark.parametrize("pair", RANK_ONE.values(), ids=RANK_ONE)
def test_the_rank_is_the_one_found(pair):
    """Changes that keep the rank have the derivatives of the function on paper."""
    function, paper = pair
    us = lh.variable(np.array([1.0, 2.0, -2.0])), lh.variable(np.array([0.5, 1.5]))
    matrix = np.multiply.outer(*us)
    assert np.linalg.matrix_rank(matrix) == 1
    y, wanted = function(matrix), paper(*us)
    for got, want in zip(lh.gradient(y, us), lh.gradient(wanted, us), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-14)
    H, want = lh.hessian(y, us), lh.hessian(wanted, us)
    for i in range(2):
        for j in range(2):
            np.testing.assert_allclose(H[i][j], np.asarray(want[i][j]), rtol=1e-12, atol=1e-13)


def test_singular_matrices_raise():
    x = lh.variable([[1.0, 2.0], [2.0, 4.0]])
    for function in (np.linalg.inv, lambda a: np.linalg.solve(a, np.ones(2))):
        for a in (x, x.value):
            with pytest.raises(np.linalg.LinAlgError):
                function(a)


def test_logarithm_of_the_determinant_of_a_singular_matrix():
    """It has a value and no derivative, and where nothing is taken of it that is not seen."""
    x = lh.variable([[1.0, 2.0], [2.0, 4.0]])
    sign, y = np.linalg.slogdet(x)
    assert (sign, y.value) == (0, -inf)
    assert np.isnan(lh.gradient(y, x)).all()
    assert np.isnan(lh.hessian(y, x)[0, 0]).all()
    masked = np.where(sign == 0, x[0, 0] ** 2, y)
    np.testing.assert_array_equal(lh.gradient(masked, x), [[2, 0], [0, 0]])
    np.testing.assert_array_equal(lh.hessian(masked, x)[0, 0], [[2, 0], [0, 0]])
    recorded = lh.hessian(masked, x, create_graph=True)
    np.testing.assert_array_equal(recorded[0, 0].value, [[2, 0], [0, 0]])
    # Of several matrices, the singular one is left out.
    stack = lh.variable(np.stack([x.value, [[2.0, 1.0], [1.0, 3.0]]]))
    sign, y = np.linalg.slogdet(stack)
    regular = lh.variable(stack.value[1])
    H = lh.hessian(np.sum(np.where(sign > 0, y, 0)), stack)
    want = lh.hessian(np.linalg.slogdet(regular)[1], regular)
    np.testing.assert_allclose(H[1, :, :, 1], want)
    assert not np.any(H[0])


def test_one_triangle():
    a = np.array([[2.0, 0.3], [0.3, 1.0]])
    for function in (np.linalg.cholesky, np.linalg.eigvalsh, lambda a: np.linalg.eigh(a)[1]):
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
