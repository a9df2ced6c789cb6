"""numpy.linalg and numpy.fft, function by function, against their derivatives in JAX.

Every function is seen through a scalar with a full Hessian that does not see what is arbitrary:
signs and phases of eigenvectors and of singular vectors.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lazyhess as lh
from tests.jax.compare import compare, difference, tree_difference

rng = np.random.default_rng(53)
N = rng.normal
# Matrices of both signs, far from singular, and stacked ones.
SQUARE = {
    "three": N(size=(3, 3)) - np.diag([2.0, 3.0, -4.0]),
    "stacked": N(size=(2, 1, 3, 3)) / 2 + np.diag([1.0, 2.5, -5.0]),
}
TWO = N(size=(2, 2)) + 2 * np.eye(2)
FOUR = N(size=(4, 4)) + np.diag([1.0, -2.0, 4.0, 7.0])
TALL, WIDE = N(size=(4, 2)), N(size=(2, 3))
TALLS = N(size=(2, 3, 2))


def bend(np, z):
    """A scalar with a full Hessian in z, and weights that tell elements apart."""
    flat = np.ravel(z)
    weights = 1 + np.arange(flat.size) / 7
    return np.sum(weights * np.tanh(flat / 2)) + np.sum(weights * flat) ** 2 / 10


def transposed(np, a):
    return np.swapaxes(a, -1, -2)


def symmetric(np, a):
    """Of a matrix as it stands its symmetric part: JAX sees no other, NumPy one triangle."""
    return (a + transposed(np, a)) / 2


def positive(np, a):
    return a @ transposed(np, a) + 0.5 * np.eye(a.shape[-1])


def by_name(zoo):
    return pytest.mark.parametrize("function", zoo.values(), ids=zoo)


every_shape = pytest.mark.parametrize("x", SQUARE.values(), ids=SQUARE)

OF_SQUARE = {
    "inv": lambda np, a: np.linalg.inv(a),
    "det": lambda np, a: np.linalg.det(a),
    "slogdet": lambda np, a: np.linalg.slogdet(a)[1],
    "slogdet, named": lambda np, a: np.linalg.slogdet(a).sign * np.linalg.slogdet(a).logabsdet,
    "cholesky": lambda np, a: np.linalg.cholesky(positive(np, a)),
    "cholesky, upper": lambda np, a: np.linalg.cholesky(positive(np, a), upper=True),
    "eigvalsh": lambda np, a: np.linalg.eigvalsh(symmetric(np, a)),
    "eigvalsh, U": lambda np, a: np.linalg.eigvalsh(symmetric(np, a), "U"),
    "eigh, vectors": lambda np, a: np.square(np.linalg.eigh(symmetric(np, a))[1]),
    "eigh, U": lambda np, a: np.abs(np.linalg.eigh(symmetric(np, a), "U").eigenvectors),
    "eigh, exponential": lambda np, a: eigh_function(np, symmetric(np, a), lambda w: np.exp(w / 3)),
    "svdvals": lambda np, a: np.linalg.svdvals(a),
    "svd, values": lambda np, a: np.linalg.svd(a, compute_uv=False),
    "svd": lambda np, a: np.square(np.linalg.svd(a).U) + np.square(np.linalg.svd(a).Vh),
    "svd, polar factor": lambda np, a: polar(np, a),
    "qr": lambda np, a: np.square(np.linalg.qr(a).Q) + np.square(np.linalg.qr(a).R),
    "qr, r": lambda np, a: np.abs(np.linalg.qr(a, "r")),
    "qr, complete": lambda np, a: np.abs(np.linalg.qr(a, mode="complete").R),
    "pinv": lambda np, a: np.linalg.pinv(a),
    "trace": lambda np, a: np.linalg.trace(a @ a, offset=0),
    "diagonal": lambda np, a: np.linalg.diagonal(a),
    "matrix_transpose": lambda np, a: np.linalg.matrix_transpose(a) @ a,
}


def eigh_function(np, a, function):
    w, v = np.linalg.eigh(a)
    return v * function(w)[..., None, :] @ transposed(np, v)


def polar(np, a):
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    return u @ vh + np.max(s, axis=-1)[..., None, None]


@every_shape
@by_name(OF_SQUARE)
def test_square_matrices(function, x):
    compare(lambda np, a: bend(np, function(np, a)), x)


OF_ANY = {
    "svd, U": lambda np, a: np.square(np.linalg.svd(a, full_matrices=False)[0]),
    "svd, Vh": lambda np, a: np.square(np.linalg.svd(a, False)[2]) * a[..., :1, :1],
    "svd, values": lambda np, a: np.linalg.svd(a, compute_uv=False),
    "polar": polar,
    "qr, Q": lambda np, a: np.square(np.linalg.qr(a)[0]),
    "qr, R": lambda np, a: np.square(np.linalg.qr(a, "r")),
    "pinv": lambda np, a: np.linalg.pinv(a),
    "pinv, rtol": lambda np, a: np.linalg.pinv(a, rtol=1e-6) ** 2,
}


@pytest.mark.parametrize("x", [TALLS, WIDE], ids=["tall", "wide"])
@by_name(OF_ANY)
def test_matrices_of_any_shape(function, x):
    if x.shape[-1] > x.shape[-2] and "qr" in function.__code__.co_names:
        # JAX refuses: by what is the same, the QR of the square part.
        def wide(np, a):
            m = a.shape[-2]
            q, r = np.linalg.qr(a[..., :m])
            return q, np.concatenate([r, transposed(np, q) @ a[..., m:]], axis=-1)

        def both(np, a):
            if np is jnp:
                q, r = wide(np, a)
            else:
                q, r = np.linalg.qr(a)
            return bend(np, np.square(q)) + bend(np, np.square(r))

        compare(both, x)
        return
    compare(lambda np, a: bend(np, function(np, a)), x)


SOLVE = {
    "vector": (SQUARE["three"], N(size=3)),
    "columns": (SQUARE["three"], N(size=(3, 2))),
    "stack, columns": (SQUARE["stacked"], N(size=(3, 2))),
    "stacks": (SQUARE["stacked"], N(size=(3, 3, 1))),
    "many right-hand sides": (TWO, N(size=(3, 2, 2))),
    "stack, vector": (SQUARE["stacked"], N(size=3)),
}


@pytest.mark.parametrize("xs", SOLVE.values(), ids=SOLVE)
def test_solve(xs):
    compare(lambda np, a, b: bend(np, np.linalg.solve(a, b)), *xs)


@pytest.mark.parametrize("name", ["columns", "stack, vector"])
def test_solve_of_one_variable(name):
    a, b = SOLVE[name]
    compare(lambda np, x: bend(np, np.linalg.solve(x, b)), a)
    compare(lambda np, x: bend(np, np.linalg.solve(a, x)), b)
    compare(lambda np, x: bend(np, np.linalg.solve(x, x[..., :1] ** 2)), a)


PRODUCTS = {
    "tensorsolve": (lambda np, a, b: np.linalg.tensorsolve(a, b),
                    (FOUR.reshape(2, 2, 4), N(size=(2, 2)))),
    "tensorsolve, axes": (lambda np, a, b: np.linalg.tensorsolve(a, b, axes=(0,)),
                          (FOUR.reshape(4, 2, 2).transpose(1, 0, 2), N(size=4))),
    "tensorinv": (lambda np, a: np.linalg.tensorinv(a), (FOUR.reshape(2, 2, 4),)),
    "tensorinv, ind": (lambda np, a: np.linalg.tensorinv(a, ind=1), (FOUR.reshape(4, 2, 2),)),
    "multi_dot": (lambda np, a, b, c: np.linalg.multi_dot([a, b, c]),
                  (N(size=(2, 3)), N(size=(3, 1)), N(size=(1, 4)))),
    "multi_dot, four": (lambda np, a, b: np.linalg.multi_dot([a, b, a, b]), (N(size=(2, 3)), N(size=(3, 2)))),
    "multi_dot, vectors": (lambda np, a, b, c: np.linalg.multi_dot([a, b, c]), (N(size=2), N(size=(2, 3)), N(size=3))),
    "lstsq": (lambda np, a, b: np.linalg.lstsq(a, b)[0], (TALL, N(size=4))),
    "lstsq, columns": (lambda np, a, b: np.linalg.lstsq(a, b)[0], (TALL, N(size=(4, 2)))),
    "lstsq, residuals": (lambda np, a, b: np.linalg.lstsq(a, b)[1], (TALL, N(size=4))),
    "lstsq, residuals of columns": (lambda np, a, b: np.linalg.lstsq(a, b)[1], (TALL, N(size=(4, 2)))),
    "lstsq, values": (lambda np, a: np.linalg.lstsq(a, np.ones(4))[3], (TALL,)),
    "lstsq, wide": (lambda np, a, b: np.linalg.lstsq(a, b)[0], (WIDE, N(size=2))),
    "cross": (lambda np, a, b: np.linalg.cross(a, b), (N(size=(2, 3)), N(size=3))),
    "outer": (lambda np, a, b: np.linalg.outer(a, b), (N(size=2), N(size=3))),
    "vecdot": (lambda np, a, b: np.linalg.vecdot(a, b), (N(size=(2, 3)), N(size=3))),
    "vecdot, axis": (lambda np, a, b: np.linalg.vecdot(a, b, axis=0), (N(size=(2, 3)), N(size=(2, 3)))),
    "tensordot": (lambda np, a, b: np.linalg.tensordot(a, b, axes=((0, 2), (1, 0))),
                  (N(size=(2, 3, 2)), N(size=(2, 2)))),
    "matmul": (lambda np, a, b: np.linalg.matmul(a, b), (TALLS, WIDE)),
    "generalized eigenvalues": (lambda np, a, b: generalized(np, a, b), (SQUARE["three"], N(size=(3, 3)))),
}  # fmt: skip


def generalized(np, a, b):
    """The eigenvalues of a v = w b v, by the Cholesky factor of b."""
    inverse = np.linalg.inv(np.linalg.cholesky(positive(np, b)))
    return np.linalg.eigvalsh(inverse @ symmetric(np, a) @ inverse.T)


@pytest.mark.parametrize("product", PRODUCTS.values(), ids=PRODUCTS)
def test_several_arrays(product):
    function, xs = product
    compare(lambda np, *xs: bend(np, function(np, *xs)), *xs)


@pytest.mark.parametrize("power", [-2, -1, 0, 1, 2, 3, 6, 7])
def test_matrix_power(power):
    for x in SQUARE.values():
        compare(lambda np, a: bend(np, np.linalg.matrix_power(a / 3, power)), x)


VECTOR_ORDERS = [None, 1, 2, 3, 2.5, 0.5, -1, -2, np.inf, -np.inf, 0]
MATRIX_ORDERS = [None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf]


@pytest.mark.parametrize("order", VECTOR_ORDERS)
def test_norms_of_vectors(order):
    x = N(size=(2, 3))

    def norms(np, x):
        total = bend(np, np.linalg.norm(x[0], order)) if order != 0 else 0.0
        total = total + bend(np, np.linalg.norm(x, order, axis=0))
        total = total + bend(np, np.linalg.norm(x, order, axis=-1, keepdims=True) * x)
        vector = 2 if order is None else order
        total = total + bend(np, np.linalg.vector_norm(x, ord=vector))
        return total + bend(np, np.linalg.vector_norm(x, ord=vector, axis=(1, 0), keepdims=True))

    compare(norms, x)


@pytest.mark.parametrize("order", MATRIX_ORDERS)
def test_norms_of_matrices(order):
    x = N(size=(2, 3, 2))

    def norms(np, x):
        total = bend(np, np.linalg.norm(x[0], order))
        total = total + bend(np, np.linalg.norm(x, order, axis=(0, 2)))
        total = total + bend(np, np.linalg.norm(x, order, axis=(-1, -3), keepdims=True) * x)
        matrix = "fro" if order is None else order
        total = total + bend(np, np.linalg.matrix_norm(x, ord=matrix))
        return total + bend(np, np.linalg.matrix_norm(x, ord=matrix, keepdims=True) + x)

    compare(norms, x)


def test_norm_of_everything():
    compare(lambda np, x: np.linalg.norm(x) ** 3 + np.linalg.norm(x[0, :, 0]), N(size=(2, 3, 2)))


@pytest.mark.parametrize("order", [None, 2, -2, 1, -1, np.inf, -np.inf, "fro"])
def test_condition_numbers(order):
    compare(lambda np, a: bend(np, np.linalg.cond(a, order)), SQUARE["stacked"], tolerance=1e-8)


def test_pseudo_inverse_that_cuts_singular_values():
    """Singular values below the bound are dropped, and how their vectors turn is not."""
    x = SQUARE["three"]
    u, s, vh = np.linalg.svd(x)
    rtol = s[1:].mean() / s[0]

    def f(np, a):
        if np is not jnp:
            return bend(np, np.linalg.pinv(a, rtol))
        u, s, vh = np.linalg.svd(a)
        return bend(np, transposed(np, vh) * np.where(s > rtol * s[0], 1 / s, 0.0) @ u.T)

    compare(f, x)


# --- eigenvalues of matrices that are not symmetric: JAX has first derivatives only ---
ROTATION = np.array([[0.3, 1.2, 0.1], [-1.4, 0.2, 0.3], [0.2, -0.1, 1.9]])  # a pair and a real one
TRIANGLE = np.diag([1.0, 2.5, 4.0]) + 0.3 * N(size=(3, 3))


@pytest.mark.parametrize("x", [ROTATION, TRIANGLE, np.stack([ROTATION, TRIANGLE])],
                         ids=["complex", "real", "stacked"])  # fmt: skip
def test_eigenvalues(x):
    """Symmetric functions of the eigenvalues are functions of the matrix that JAX has."""

    def f(np, a):
        if np is jnp:
            parts = a @ a @ a, np.linalg.inv(a + 5 * np.eye(3))
            traces = [np.trace(part, axis1=-2, axis2=-1) for part in parts]
        else:
            w = np.linalg.eigvals(a)
            traces = [np.sum(np.real(part), axis=-1) for part in (w**3, 1 / (w + 5))]
        return bend(np, np.stack(traces))

    compare(f, x)


@pytest.mark.parametrize("x", [ROTATION, TRIANGLE], ids=["complex", "real"])
def test_eigenvectors(x):
    """A function of a matrix through its eigenvectors, and without."""

    def f(np, a):
        if np is jnp:
            return bend(np, a @ a @ a + np.linalg.inv(a + 5 * np.eye(3)))
        w, v = np.linalg.eig(a)
        return bend(np, np.real(v * (w**3 + 1 / (w + 5)) @ np.linalg.inv(v)))

    compare(f, x)


def eigenpair(a, w, v):
    """An eigenvalue and its vector near w and v, of length 1 and with its largest element real.

    Two steps of Newton from the very solution: they give the derivatives up to the third.
    """
    top, n = np.argmax(np.abs(v)), len(v)

    def equations(z):
        v, w = z[:n] + 1j * z[n : 2 * n], z[2 * n] + 1j * z[2 * n + 1]
        gap = a @ v - w * v
        rest = jnp.stack([jnp.sum(jnp.abs(v) ** 2) - 1, jnp.imag(v[top])])
        return jnp.concatenate([jnp.real(gap), jnp.imag(gap), rest])

    z = np.concatenate([v.real, v.imag, [w.real, w.imag]])
    for _ in range(2):
        z = z - jnp.linalg.solve(jax.jacfwd(equations)(z), equations(z))
    return z[2 * n] + 1j * z[2 * n + 1], z[:n] + 1j * z[n : 2 * n]


@pytest.mark.parametrize("x", [ROTATION, TRIANGLE], ids=["complex", "real"])
def test_single_eigenvalues_and_vectors_as_they_are(x):
    start = np.linalg.eig(x)

    def f(np, a):
        if np is jnp:
            pairs = [eigenpair(a, w, v) for w, v in zip(start[0], start[1].T, strict=True)]
            w, v = np.stack([w for w, _ in pairs]), np.stack([v for _, v in pairs], axis=1)
        else:
            w, v = np.linalg.eig(a)
        parts = [np.real(w), np.imag(w), np.ravel(np.real(v)), np.ravel(np.imag(v))]
        return bend(np, np.concatenate(parts))

    compare(f, x)


@pytest.mark.parametrize("x", [ROTATION, TRIANGLE], ids=["complex", "real"])
def test_gradients_of_single_eigenvalues(x):
    def f(np, a):
        w = np.linalg.eigvals(a)
        return np.sum(np.abs(w) ** 3 * np.exp(np.real(w) * np.abs(np.imag(w)) - np.imag(w) ** 2))

    v = lh.variable(x)
    want = jax.jit(jax.grad(lambda a: f(jnp, a)))(x)
    assert difference(lh.gradient(f(np, v), v), want) < 1e-10


# --- where the derivative is delicate ---
def test_determinants_of_singular_matrices():
    """Polynomials, whatever the rank."""

    def f(np, a):
        if np is jnp:  # by its definition
            one, two, three = a[..., 0, :], a[..., 1, :], a[..., 2, :]
            return bend(np, jnp.sum(one * jnp.cross(two, three), axis=-1) + a[..., 0, 0])
        return bend(np, np.linalg.det(a) + a[..., 0, 0])

    for x in (
        np.outer([1.0, 2.0, -1.0], [1.0, 0.5, 3.0]),
        np.arange(9.0).reshape(3, 3),
        np.zeros((3, 3)),
        np.stack([np.eye(3), np.ones((3, 3)), np.diag([1.0, 2.0, 0.0])]),
    ):
        compare(f, x)


def test_trace_of_a_function_at_eigenvalues_that_meet():
    """Single eigenvalues have no second derivative there; squares of all of them have."""
    x = np.diag([1.0, 1.0 + 1e-5, 3.0])

    def f(np, a):
        a = symmetric(np, a)
        return np.sum(a * a) if np is jnp else np.sum(np.linalg.eigvalsh(a) ** 2)

    compare(f, x)


def test_ill_conditioned_matrices():
    """Relative to the largest element, inverses keep their digits but for the condition number."""
    hilbert = 1 / (np.arange(4)[:, None] + np.arange(4) + 1.0)
    compare(lambda np, a: np.linalg.slogdet(a)[1], hilbert, tolerance=1e-9)
    compare(lambda np, a: np.sum(np.linalg.inv(a)), hilbert, tolerance=1e-9)
    compare(lambda np, a: np.sum(np.linalg.solve(a, a[0] ** 2) ** 2), hilbert, tolerance=1e-9)


def test_matrices_of_one_triangle():
    """NumPy reads one triangle: nothing depends on the other one, as in the factor itself."""
    a = positive(np, N(size=(3, 3)))
    v = lh.variable(a)
    for y, unread in (
        (np.sum(np.linalg.cholesky(v) ** 3), np.triu_indices(3, 1)),
        (np.sum(np.linalg.cholesky(v, upper=True) ** 3), np.tril_indices(3, -1)),
        (np.sum(np.linalg.eigvalsh(v) ** 3), np.triu_indices(3, 1)),
        (np.sum(np.linalg.eigvalsh(v, "U") ** 3), np.tril_indices(3, -1)),
    ):
        H = np.asarray(lh.hessian(y, v))
        assert np.abs(H).max() > 0.1
        assert not H[unread].any()
        assert not H[:, :, *unread].any()


@by_name(dict(list(OF_SQUARE.items())[:9]))
def test_single_precision(function):
    x = np.stack([TWO + np.diag([0, 2.0]), TWO.T - np.diag([0, 5.0])])
    compare(lambda np, a: bend(np, function(np, a)), x.astype(np.float32), tolerance=1e-3)


@pytest.mark.parametrize(
    "name", ["inv", "det", "slogdet", "cholesky", "eigh, exponential", "svd, polar factor"]
)
def test_per_sample(name):
    """Stacked matrices are samples: their Hessians apart are the blocks of the batch."""
    function = OF_SQUARE[name]
    x = np.stack([TWO, TWO.T @ TWO + np.diag([0, 3.0]), TWO - 5 * np.eye(2)])

    want = jax.jit(jax.vmap(jax.hessian(lambda a: jnp.sum(jnp.sin(function(jnp, a))))))(x)
    v = lh.variable(x)
    z = np.sin(function(np, v))
    y = np.sum(z.reshape(3, -1), axis=1)
    H = lh.hessian(y, v, 0)
    assert difference(H[1], want[1]) < 1e-9
    assert difference(H, want) < 1e-9


# --- Fourier transforms ---
def spectrum(np, z):
    """A scalar that sees real and imaginary parts."""
    return bend(np, np.concatenate([np.ravel(np.real(z)), 0.7 * np.ravel(np.imag(z))]))


NORMS = pytest.mark.parametrize("norm", [None, "ortho", "forward"])
FFT = {
    "fft": lambda np, x, how: np.fft.fft(x, **how),
    "fft, padded": lambda np, x, how: np.fft.fft(x, n=5, axis=0, **how),
    "fft, cut": lambda np, x, how: np.fft.fft(x, 2, **how),
    "ifft": lambda np, x, how: np.fft.ifft(x * (1 + 0.5j), **how),
    "rfft": lambda np, x, how: np.fft.rfft(x, axis=0, **how),
    "rfft, padded": lambda np, x, how: np.fft.rfft(x, 7, **how),
    "irfft": lambda np, x, how: np.fft.irfft(x + 1j * x[::-1] ** 2, **how),
    "irfft, odd": lambda np, x, how: np.fft.irfft(x + 1j * x[::-1] ** 2, n=5, **how),
    "hfft": lambda np, x, how: np.fft.hfft(x + 1j * x[::-1] ** 2, **how),
    "ihfft": lambda np, x, how: np.fft.ihfft(x, **how),
    "fft2": lambda np, x, how: np.fft.fft2(x, **how),
    "ifft2": lambda np, x, how: np.fft.ifft2(x, axes=(1, 0), **how),
    "fftn": lambda np, x, how: np.fft.fftn(x, s=(2, 5), axes=(0, 1), **how),
    "ifftn": lambda np, x, how: np.fft.ifftn(x, **how),
    "rfft2": lambda np, x, how: np.fft.rfft2(x, **how),
    "irfft2": lambda np, x, how: np.fft.irfft2(x * (1 - 2j), s=(3, 6), axes=(0, 1), **how),
    "rfftn": lambda np, x, how: np.fft.rfftn(x, axes=(0,), **how),
    "irfftn": lambda np, x, how: np.fft.irfftn(x * (1 - 2j), **how),
    "shifts": lambda np, x, how: np.fft.fftshift(np.fft.fft(np.fft.ifftshift(x, axes=1), **how), 0) * np.arange(12).reshape(3, 4),
}  # fmt: skip


@NORMS
@by_name(FFT)
def test_fourier_transforms(function, norm):
    how = {} if norm is None else {"norm": norm}
    compare(lambda np, x: spectrum(np, function(np, x, how)), N(size=(3, 4)))


def test_convolution_by_fourier_transforms():
    def f(np, signal, kernel, gain):
        n = len(signal) + len(kernel) - 1
        made = np.fft.irfft(np.fft.rfft(signal, n) * np.fft.rfft(kernel, n) * np.exp(gain), n)
        return np.sum(np.tanh(made) ** 2 * np.arange(n))

    xs = N(size=8), N(size=3), np.array(0.2)
    compare(f, *xs)

    def direct(signal, kernel, gain):
        made = jnp.convolve(signal, kernel) * jnp.exp(gain)
        return jnp.sum(jnp.tanh(made) ** 2 * jnp.arange(10))

    H = lh.hessian(lambda *xs: f(np, *xs), xs)
    want = jax.jit(jax.hessian(direct, (0, 1, 2)))(*xs)
    assert tree_difference(jax.tree_util.tree_map(np.asarray, H), want) < 1e-9


def test_the_comparison_sees_a_wrong_convention():
    """The eigenvalues of one triangle are no function of the symmetric part, and it shows."""
    with pytest.raises(AssertionError):
        compare(lambda np, a: np.sum(np.linalg.eigvalsh(a) ** 3), symmetric(np, SQUARE["three"]))
