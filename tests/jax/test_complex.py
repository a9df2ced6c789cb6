"""Complex numbers: holomorphic functions, and real functions that go through complex ones."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lazyhess as lh
from tests.jax.compare import compare, difference, largest, tree_difference

rng = np.random.default_rng(71)


def points(*shape):
    return rng.normal(size=shape) / 2 + 1j * rng.normal(size=shape) / 2


def compare_holomorphic(function, *xs, tolerance=1e-9):
    """As `compare`, with complex xs."""
    numbers = tuple(range(len(xs)))

    def slopes(*v):
        value, slope = (
            function(jnp, *v),
            jax.grad(lambda *v: function(jnp, *v), numbers, holomorphic=True)(*v),
        )
        return slope, (value, slope)

    hessian = jax.jacfwd(slopes, numbers, has_aux=True, holomorphic=True)
    want, (value, slope) = jax.jit(hessian)(*xs)
    variables = tuple(lh.variable(x) for x in xs)
    y = function(np, *variables)
    assert difference(y.value, value) <= tolerance
    assert tree_difference(lh.gradient(y, variables), slope) <= tolerance
    scale = largest(*jax.tree_util.tree_leaves(want))
    H = lh.hessian(y, variables)
    for i in numbers:
        for j in numbers:
            assert H[i][j].dtype == xs[i].dtype
            part = (..., *(slice(-1, None),) * xs[j].ndim)
            assert difference(H[i][j][part], want[i][j][part], scale) <= tolerance, (i, j)
            assert difference(H[i][j], want[i][j], scale) <= tolerance, (i, j)


def bend(np, z):
    """A holomorphic scalar with a full Hessian."""
    flat = np.ravel(z)
    weights = 1 + np.arange(flat.size) / 7 + 0.3j
    return np.sum(weights * np.exp(flat / 3)) + np.sum(weights * flat) ** 2 / 10


UNARY = {
    "exp": lambda np, z: np.exp(z), "log": lambda np, z: np.log(2 + z), "sqrt": lambda np, z: np.sqrt(2 + z),
    "sin": lambda np, z: np.sin(z), "cos": lambda np, z: np.cos(z), "tan": lambda np, z: np.tan(z / 2),
    "sinh": lambda np, z: np.sinh(z), "cosh": lambda np, z: np.cosh(z), "tanh": lambda np, z: np.tanh(z / 2),
    "arcsin": lambda np, z: np.arcsin(z / 3), "arccos": lambda np, z: np.arccos(z / 3),
    "arctan": lambda np, z: np.arctan(z / 3), "arcsinh": lambda np, z: np.arcsinh(z / 3),
    "arccosh": lambda np, z: np.arccosh(3 + z), "arctanh": lambda np, z: np.arctanh(z / 4),
    "expm1": lambda np, z: np.expm1(z), "log1p": lambda np, z: np.log1p(z), "square": lambda np, z: np.square(z),
    "reciprocal": lambda np, z: np.reciprocal(2 + z), "log2": lambda np, z: np.log2(3 + z),
    "log10": lambda np, z: np.log10(3 + z), "integer power": lambda np, z: z**3 + (2 + z) ** -2,
    "power": lambda np, z: (2 + z) ** (0.5 + 0.2j), "exponent": lambda np, z: (2 + 1j) ** z,
    "negative": lambda np, z: -z + +z * 2j, "prod": lambda np, z: np.prod(z, axis=0),
    "cumsum": lambda np, z: np.cumsum(z, axis=1), "cumprod": lambda np, z: np.cumprod(z, axis=0),
    "mean": lambda np, z: np.mean(z, axis=0) * z, "sum": lambda np, z: np.sum(z, axis=1, keepdims=True) * z,
    "indices": lambda np, z: z[np.array([1, 0, 1])] * z[:1, ::-1], "flip": lambda np, z: np.flip(z) * np.roll(z, 1, 0),
    "transpose": lambda np, z: z.T @ z, "trace": lambda np, z: np.trace(z @ z.T),
    "where": lambda np, z: np.where(np.arange(3) > 0, z * z, np.exp(z)),
    "concatenate": lambda np, z: np.concatenate([z, 2j * z[:1]]) ** 2,
    "pad": lambda np, z: np.pad(z, 1) * 1j, "diff": lambda np, z: np.diff(z, axis=1) ** 2,
    "convolve": lambda np, z: np.convolve(z[0], z[1]), "kron": lambda np, z: np.kron(z, z[:, :2]),
    "fft": lambda np, z: np.fft.fft(z), "ifft": lambda np, z: np.fft.ifft(z, 5, norm="ortho"),
    "fft2": lambda np, z: np.fft.fft2(z), "ifftn": lambda np, z: np.fft.ifftn(z, s=(3, 2), axes=(0, 1)),
}  # fmt: skip


def each(zoo, names, shape, tolerance=1e-9):
    """Functions of one array each, all of JAX's side in one compilation."""

    def term(np, name, z):
        return bend(np, zoo[name](np, z))

    def theirs(zs):
        made = {}
        for name, z in zs.items():
            f = partial(term, jnp, name)
            slope = jax.grad(f, holomorphic=True)
            made[name] = f(z), slope(z), jax.jacfwd(slope, holomorphic=True)(z)
        return made

    zs = {name: points(*shape) for name in names}
    for name, (value, slope, want) in jax.jit(theirs)(zs).items():
        x = lh.variable(zs[name])
        y = term(np, name, x)
        assert difference(y.value, value) <= tolerance, name
        assert difference(lh.gradient(y, x), slope) <= tolerance, name
        H = lh.hessian(y, x)
        assert H.dtype == complex
        assert difference(H[..., -1], want[..., -1], largest(want)) <= tolerance, name
        assert difference(H, want) <= tolerance, name


@pytest.mark.parametrize("part", range(4))
def test_holomorphic_functions(part):
    each(UNARY, list(UNARY)[part::4], (2, 3))


def regular(np, z):
    return z + np.diag(np.array([2.0, -2.5, 3.0j]))


MATRICES = {
    "inv": lambda np, z: np.linalg.inv(regular(np, z)),
    "det": lambda np, z: np.linalg.det(regular(np, z)),
    "solve": lambda np, z: np.linalg.solve(regular(np, z), z[0] ** 2),
    "solve, columns": lambda np, z: np.linalg.solve(regular(np, z), z[:, :2] * z[0, 0]),
    "matrix_power": lambda np, z: np.linalg.matrix_power(z, 3) + np.linalg.matrix_power(regular(np, z), -2),
    "multi_dot": lambda np, z: np.linalg.multi_dot([z, z.T, z[:, 0]]),
    "tensorinv": lambda np, z: np.linalg.tensorinv(regular(np, z)[:, None], ind=2),
}  # fmt: skip


def test_holomorphic_linear_algebra():
    each(MATRICES, MATRICES, (3, 3))


def test_holomorphic_models():
    def chain(np, A, b, c):
        """A resolvent and its Fourier transform."""
        z = np.linalg.solve(A + 3j * np.eye(3), np.exp(b))
        return np.einsum("i,ij,j", z, A, c) * np.sqrt(3 + z @ z) + np.sum(np.fft.fft(z * c) ** 3)

    compare_holomorphic(chain, points(3, 3), points(3), points(3))

    def network(np, W, b, v):
        h = np.ones(2) + 0j
        for _ in range(4):
            h = np.tanh(W @ h / 2 + b) + v[None] * h
        return np.prod(h) / (4 + np.sum(h * h))

    compare_holomorphic(network, points(2, 2), points(2), points())


def test_batches_and_third_order():
    def f(np, z, w):
        return np.linalg.det(z + 2 * np.eye(2)) * np.exp(w) + np.sum(np.sin(z * w)) ** 2

    z, w = points(3, 2, 2), points(3)

    def theirs(z, w):
        hessian = jax.hessian(lambda *v: f(jnp, *v), (0, 1), holomorphic=True)
        return jax.vmap(hessian)(z, w), jax.jacfwd(hessian, (0, 1), holomorphic=True)(z[1], w[1])

    want, third = jax.jit(theirs)(z, w)
    a, b = lh.variable(z), lh.variable(w)
    y = (
        np.linalg.det(a + 2 * np.eye(2)) * np.exp(b)
        + np.sum(np.sin(a * b[:, None, None]), axis=(1, 2)) ** 2
    )
    H = lh.hessian(y, (a, b), 0)
    a, b = lh.variable(z[1]), lh.variable(w[1])
    G = lh.hessian(f(np, a, b), (a, b), create_graph=True)
    for i in range(2):
        for j in range(2):
            assert difference(H[i][j][1], want[i][j][1]) < 1e-9
            assert difference(H[i][j], want[i][j]) < 1e-9
            block = G[i][j][...]
            weights = np.exp(1j * np.arange(block.size)).reshape(block.shape)
            got = lh.gradient(np.sum(weights * block), (a, b))
            for k in range(2):
                expected = np.tensordot(weights, third[i][j][k], block.ndim)
                assert difference(got[k], expected) < 1e-9


# --- real functions through complex numbers ---
def modulus(np, x, y):
    z = np.exp(x + 1j * y) * (2 - 1j)
    return np.sum(np.abs(z) ** 3 + np.angle(z) * np.real(z * z) + np.imag(np.sqrt(z)) ** 2)


def products(np, x, y):
    z, w = x + 1j * y, np.tanh(x - 2j * y)
    both = np.vdot(z, w) + np.sum(np.outer(z, np.conj(w)) ** 2) + np.einsum("i,i", z, w.conj())
    return np.real(both) * np.imag(both) + np.sum((z * w).real ** 2 / (1 + (z.imag) ** 2))


PAULI = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])


def circuit(np, angles, mixing):
    """The expected energy of two qubits behind rotations and an entangling gate."""
    state = np.array([1, 0, 0, 0]) + 0j
    entangle = np.diag(np.array([1, 1, 1, -1]))
    for layer in angles:
        first, second = (
            np.cos(t[0] / 2) * np.eye(2)
            - 1j * np.sin(t[0] / 2) * (np.cos(t[1]) * PAULI[0] + np.sin(t[1]) * PAULI[1])
            for t in layer
        )
        state = entangle @ np.kron(first, second) @ state
    energy = np.kron(PAULI[2], PAULI[2]) + mixing * np.kron(PAULI[0], PAULI[1])
    return np.real(np.vdot(state, energy @ state))


def propagated(np, couplings, field):
    """A probability after a time, from the eigenvalues of a Hermitian matrix."""
    upper = np.zeros((3, 3)) + couplings[0] * np.eye(3, k=1) + 1j * couplings[1] * np.eye(3, k=2)
    w, v = np.linalg.eigh(upper + np.conj(upper).T + np.diag(field))
    amplitude = (v * np.exp(-0.7j * w)) @ np.conj(v).T
    return np.sum(np.abs(amplitude) ** 2 * np.arange(9).reshape(3, 3)) + np.sum(w**3)


def whittle(np, ar, log_variance):
    """The likelihood of a spectrum: the transfer function of an autoregressive model."""
    series = np.sin(np.arange(16) ** 1.3) + 0.5
    power = np.abs(np.fft.rfft(series)) ** 2 / 16
    k = np.arange(1, 3)
    transfer = 1 - np.exp(-2j * np.pi * np.arange(9)[:, None] * k / 16) @ ar
    density = np.exp(log_variance) / np.abs(transfer) ** 2
    return np.sum(np.log(density) + power / density)


def holography(np, phase, amplitude):
    """Phases behind a lens and what a camera sees of them."""
    field = amplitude * np.exp(1j * phase)
    image = np.fft.fftshift(np.fft.fft2(field, norm="ortho"))
    target = np.arange(12).reshape(3, 4) / 10
    return np.sum((np.abs(image) ** 2 - target) ** 2) + np.sum(np.fft.ifft2(image).real)


def hermitian(np, x, y):
    z = x + 1j * y
    A = z @ np.conj(z).T + 0.5 * np.eye(3)
    L = np.linalg.cholesky(A)
    solved = np.linalg.solve(A, z)
    return (
        np.sum(np.abs(L) ** 3) + np.real(np.vdot(z, solved @ solved)) + np.linalg.slogdet(A)[1]
        + np.linalg.norm(z) ** 3 + np.linalg.norm(z, "nuc") + np.sum(np.log(np.linalg.eigvalsh(A)))
        + np.abs(np.linalg.det(z)) + np.real(np.trace(np.linalg.inv(A) @ z))
    )  # fmt: skip


def factors(np, x, y):
    z = x + 1j * y
    u, s, vh = np.linalg.svd(z)
    q, r = np.linalg.qr(z)
    return (
        np.sum(np.abs(u @ vh + np.linalg.pinv(z)) ** 3) + np.sum(s**3)
        + np.sum(np.abs(r) ** 3) + np.sum(np.abs(q) ** 4) + np.sum(np.abs(u[0]) ** 4)
    )  # fmt: skip


def phases(np, x, y):
    """What has phases, as LAPACK gives them: R and the Cholesky factor have a real diagonal."""
    z = x + 1j * y
    q, r = np.linalg.qr(z)
    L = np.linalg.cholesky(z @ np.conj(z).T)
    return sum(
        np.sum((a.real + 2 * a.imag) ** 3 * np.arange(9).reshape(3, 3)) for a in (q, r, L)
    )  # fmt: skip


def impedance(np, resistance, inductance, capacitance):
    """A ladder of a filter: gains in decibels over frequencies, as an optimizer of circuits has them."""
    omega = np.array([0.3, 0.9, 2.0, 4.0])
    load = np.ones(4) + 0j
    for R, inductor, C in zip(resistance, inductance, capacitance, strict=True):
        series = np.exp(R) + 1j * omega * np.exp(inductor)
        load = 1 / (1j * omega * np.exp(C) + 1 / (series + load))
    return (
        np.sum((20 * np.log10(np.abs(load)) - np.array([-3, -6, -12, -20])) ** 2)
        + np.angle(load)[0]
    )


N = rng.normal
REAL = {
    f.__name__: (f, xs)
    for f, *xs in [
        (modulus, N(size=3), N(size=3)), (products, N(size=3), N(size=3)), (circuit, N(size=(2, 2, 2)), np.array(0.3)),
        (propagated, N(size=2), np.array([0.0, 1.5, 4.0])), (whittle, np.array([0.4, -0.3]), np.array(0.1)),
        (holography, N(size=(3, 4)), 1 + N(size=(3, 4)) / 5), (hermitian, N(size=(3, 3)), N(size=(3, 3))),
        (factors, N(size=(3, 3)), N(size=(3, 3))), (phases, N(size=(3, 3)), N(size=(3, 3))),
        (impedance, N(size=3) / 2, N(size=3) / 2, N(size=3) / 2),
    ]
}  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_real_functions_through_complex_numbers(name):
    function, xs = REAL[name]
    compare(function, *xs)


def test_two_forms_of_a_complex_derivative():
    """Of a holomorphic f, the Hessian of Re f in (x, y) is made of f'' (Cauchy and Riemann)."""

    def f(np, z):
        return np.sum(np.exp(z) * z[::-1]) + np.prod(z)

    z = points(3)
    second = np.asarray(lh.hessian(lambda z: f(np, z), z))
    xs = z.real.copy(), z.imag.copy()
    H = lh.hessian(lambda x, y: np.real(f(np, x + 1j * y)), xs)
    assert difference(H[0][0], second.real) < 1e-12
    assert difference(H[0][1], -second.imag) < 1e-12
    assert difference(H[1][1], -second.real) < 1e-12
    want = jax.jit(jax.hessian(lambda z: f(jnp, z), holomorphic=True))(z)
    assert difference(second, want) < 1e-12


def test_single_precision():
    z = points(3).astype(np.complex64)
    compare_holomorphic(lambda np, z: np.prod(np.sin(z)) + np.sum(z**2 * z[0]), z, tolerance=1e-5)
    for name in ("products", "hermitian"):
        function, xs = REAL[name]
        compare(function, *(x.astype(np.float32) for x in xs), tolerance=1e-3)


def test_the_comparison_catches_a_wrong_hessian():
    with pytest.raises(AssertionError):
        compare_holomorphic(
            lambda np, z: np.sum(z**3) + (1e-6j * z[0] * z[1] if np is jnp else 0.0), points(2)
        )
