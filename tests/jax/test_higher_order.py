"""Third order and beyond: what is made of Hessians is differentiated again, as in JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lazyhess as lh
from tests.jax.compare import difference, tree_difference

rng = np.random.default_rng(67)
N = rng.normal
TOLERANCE = 1e-9


# --- roots in one dimension ---
def newton(slopes):
    f, d, *_ = slopes
    return f / d


def halley(slopes):
    f, d, dd, *_ = slopes
    return 2 * f * d / (2 * d**2 - f * dd)


def householder(slopes):
    f, d, dd, ddd = slopes
    return f * (6 * d**2 - 3 * f * dd) / (6 * d**3 - 6 * f * d * dd + f**2 * ddd)


def curve(np, x):
    return np.exp(x) * np.cos(x) + np.sqrt(1 + x * x) - 4 * x


def derivatives(x, order):
    """Value and derivatives at a number."""
    v = lh.variable(np.asarray(x))
    y = curve(np, v)
    if order < 3:
        return (y.value, lh.gradient(y, v), lh.hessian(y, v)[()])[: order + 1]
    second = lh.hessian(y, v, create_graph=True)[()]
    return y.value, lh.gradient(y, v), second.value, lh.gradient(second, v)


METHODS = {"newton": (newton, 1), "halley": (halley, 2), "householder": (householder, 3)}


def root():
    x = 0.5
    for _ in range(8):
        x = x - householder(derivatives(x, 3))
    return float(x)


@pytest.mark.parametrize("x", [-1.3, 0.0, 0.4, 2.0])
def test_derivatives_of_a_curve(x):
    want, f = [], lambda x: curve(jnp, x)
    for _ in range(4):
        want.append(f(x))
        f = jax.grad(f)
    for order in (1, 2, 3):
        got = derivatives(x, order)
        for a, b in zip(got, want[: order + 1], strict=True):
            assert difference(a, b) < 1e-13


@pytest.mark.parametrize("method", METHODS)
def test_order_of_convergence(method):
    """The error of a step over the error to the power of 2, 3, 4: for a small error a constant."""
    step, order = METHODS[method]
    x = root()
    assert abs(curve(np, x)) < 1e-14
    f, d, dd, ddd = (float(s) for s in derivatives(x, 3))
    a, b = dd / (2 * d), ddd / (6 * d)
    constant = {"newton": a, "halley": a**2 - b}.get(method)
    errors = np.array([0.2, 0.1, 0.05])
    after = np.array([(x + e) - step(derivatives(x + e, order)) - x for e in errors])
    exponents = np.log2(np.abs(after[:-1] / after[1:]))
    np.testing.assert_allclose(exponents, order + 1, atol=0.35)
    assert abs(exponents[1] - order - 1) < abs(exponents[0] - order - 1) + 1e-3
    if constant is not None:
        np.testing.assert_allclose((after / errors ** (order + 1))[-1], constant, rtol=0.15)
    # From far away, too.
    y = -1.0
    for _ in range(12):
        y = y - step(derivatives(y, order))
    assert abs(y - x) < 1e-14


def test_steps_of_halley():
    """The errors of a run: each the cube of the one before, times a constant."""
    x, y, errors = root(), 1.1, []
    for _ in range(3):
        errors.append(abs(y - x))
        y = y - halley(derivatives(y, 2))
    errors.append(abs(y - x))
    assert errors[-1] < 1e-15
    assert errors[1] > 1e-4
    exponent = np.log(errors[2]) / np.log(errors[1])
    assert 2.5 < exponent < 4.2
    want = jax.grad(jax.grad(lambda x: curve(jnp, x)))(1.1)
    assert difference(derivatives(1.1, 2)[2], want) < 1e-13


# --- traces, determinants and norms of Hessians, of a network by its parameters and its inputs ---
TARGETS = np.sin(np.arange(5.0))


def network(np, W, b, v, X):
    h = np.tanh(X @ W + b)
    return np.mean((h @ v - TARGETS) ** 2) + 0.05 * np.sum(np.logaddexp(0, h) @ v**2)


NETWORK = N(size=(3, 4)) / 2, N(size=4) / 2, N(size=4), N(size=(5, 3))


def of_hessian(make, model, xs, of):
    """The gradient by all xs of ``make(np, *blocks)``, blocks of the xs numbered in `of`, both ways.

    Blocks come as matrices put together: one square matrix.
    """

    def whole(np, blocks):
        sizes = [int(np.size(blocks[k][k]) ** 0.5 + 0.5) for k in range(len(of))]
        return np.concatenate(
            [
                np.concatenate(
                    [np.reshape(blocks[i][j], (m, n)) for j, n in enumerate(sizes)], axis=1
                )
                for i, m in enumerate(sizes)
            ]
        )

    def theirs(*xs):
        return make(jnp, whole(jnp, jax.hessian(lambda *xs: model(jnp, *xs), of)(*xs)), *xs)

    want = jax.jit(jax.grad(theirs, tuple(range(len(xs)))))(*xs)
    variables = tuple(lh.variable(x) for x in xs)
    H = lh.hessian(model(np, *variables), tuple(variables[k] for k in of), create_graph=True)
    blocks = [[block[...] for block in row] for row in H]
    t = make(np, whole(np, blocks), *variables)
    got = lh.gradient(t, variables)
    assert max(np.abs(g).max() for g in got) > 1e-6
    return got, want


FUNCTIONS_OF_H = {
    "trace": lambda np, H, *xs: np.trace(H),
    "log det": lambda np, H, *xs: np.linalg.slogdet(H @ H + np.eye(len(H)))[1],
    "largest eigenvalue": lambda np, H, *xs: np.linalg.eigvalsh((H + H.T) / 2)[-1],
    "inverse": lambda np, H, *xs: np.sum(np.sin(np.linalg.inv(H + 9 * np.eye(len(H))))),
    "norm of a product": lambda np, H, *xs: np.linalg.norm(H @ np.cos(np.arange(H.shape[0]))),
    "Frobenius": lambda np, H, *xs: np.sum(H**2) * np.sum(xs[1]),
}


@pytest.mark.parametrize("of", [(0,), (3,), (1, 2)], ids=["weights", "inputs", "bias and readout"])
@pytest.mark.parametrize("name", FUNCTIONS_OF_H)
def test_gradients_of_functions_of_hessians(name, of):
    got, want = of_hessian(FUNCTIONS_OF_H[name], network, NETWORK, of)
    assert tree_difference(got, want) < TOLERANCE


def test_trace_of_the_whole_hessian_by_its_proxy():
    """`np.trace` of the proxy asks for its diagonal, not for a matrix."""

    def f(np, x):
        return np.sum(np.tanh(NETWORK[0].T @ x) ** 2 * NETWORK[2])

    x = N(size=3)
    want = jax.jit(jax.grad(lambda x: jnp.trace(jax.hessian(lambda x: f(jnp, x))(x))))(x)
    v = lh.variable(x)
    H = lh.hessian(f(np, v), v, create_graph=True)
    assert difference(lh.gradient(np.trace(H), v), want) < 1e-12
    assert difference(lh.gradient(np.sum(H.diagonal()), v), want) < 1e-12
    assert difference(lh.gradient(sum(H[k, k] for k in range(3)), v), want) < 1e-12
    # The Laplacian is a function like others: its Hessian, a fourth order, and its batch.
    second = jax.jit(jax.hessian(lambda x: jnp.trace(jax.hessian(lambda x: f(jnp, x))(x))))(x)
    assert difference(lh.hessian(np.trace(H), v), second) < 1e-11


@pytest.mark.parametrize("by", ["x", "v"])
def test_norm_of_a_hessian_vector_product(by):
    W, b, readout, X = NETWORK
    v = N(size=W.shape)

    def product(np, H, v):
        return np.sum(np.tanh(H) ** 2 * v) + np.linalg.norm(H)

    def theirs(W, v):
        slope = jax.grad(lambda W: network(jnp, W, b, readout, X))
        return product(jnp, jax.jvp(slope, (W,), (v,))[1], v)

    want = jax.jit(jax.grad(theirs, (0, 1)))(W, v)
    second = jax.jit(jax.hessian(theirs, 0 if by == "x" else 1))(W, v)
    x, u = lh.variable(W), lh.variable(v)
    H = lh.hessian(network(np, x, b, readout, X), x, create_graph=True)
    Hv = np.einsum("ijkl,kl->ij", H[...], u)
    matrix_free = np.reshape(
        lh.hessian(
            lambda flat: network(np, np.reshape(flat, W.shape), b, readout, X),
            np.reshape(x, (-1,)),
            create_graph=True,
        )
        @ np.reshape(u, (-1,)),
        W.shape,
    )
    for form in (Hv, matrix_free):
        y = product(np, form, u)
        assert tree_difference(lh.gradient(y, (x, u)), want) < TOLERANCE
        assert difference(lh.hessian(y, x if by == "x" else u), second) < TOLERANCE


# --- Laplace's approximation: the evidence by its hyperparameters ---
ROWS = N(size=(12, 3))
HITS = (ROWS @ [1.0, -2.0, 0.5] + 0.3 * N(size=12) > 0) * 1.0


def penalized(np, theta, log_precision, log_scale):
    z = ROWS @ theta * np.exp(log_scale)
    loss = np.sum(np.logaddexp(0, z) - HITS * z)
    return loss + 0.5 * np.sum(np.exp(log_precision) * theta**2)


def mode(log_precision, log_scale):
    theta = np.zeros(3)
    for _ in range(30):
        v = lh.variable(theta)
        y = penalized(np, v, log_precision, log_scale)
        theta = theta - np.linalg.solve(np.asarray(lh.hessian(y, v)), lh.gradient(y, v))
    assert np.abs(lh.gradient(penalized(np, v, log_precision, log_scale), v)).max() < 1e-10
    return theta


def evidence(np, H, loss, log_precision):
    return -loss + 0.5 * np.sum(log_precision) - 0.5 * np.linalg.slogdet(H)[1]


POINT = np.array([0.1, -0.4, 0.3]), np.array(0.2)


def laplace(theta, p, s):
    """The evidence at a theta, as a Variable."""
    y = penalized(np, theta, p, s)
    H = lh.hessian(y, theta, create_graph=True)
    return evidence(np, H[...], y, p)


def test_evidence_of_laplace_for_a_fixed_mode():
    theta = mode(*POINT)

    def theirs(theta, p, s):
        def f(theta):
            return penalized(jnp, theta, p, s)

        return evidence(jnp, jax.hessian(f)(theta), f(theta), p)

    want = jax.jit(jax.grad(theirs, (0, 1, 2)))(theta, *POINT)
    second = jax.jit(jax.hessian(theirs, (0, 1, 2)))(theta, *POINT)
    xs = tuple(lh.variable(x) for x in (theta, *POINT))
    y = laplace(*xs)
    assert tree_difference(lh.gradient(y, xs), want) < TOLERANCE
    H = jax.tree_util.tree_map(np.asarray, lh.hessian(y, xs))
    assert tree_difference(H, second) < TOLERANCE


def test_evidence_of_laplace_with_a_mode_that_moves():
    """The mode moves by -H⁻¹ d²L/dtheta dp; differences of modes found anew agree."""
    theta, p, s = (lh.variable(x) for x in (mode(*POINT), *POINT))
    loss = penalized(np, theta, p, s)
    blocks = lh.hessian(loss, (theta, p, s))
    by_theta, by_p, by_s = lh.gradient(laplace(theta, p, s), (theta, p, s))
    back = -np.linalg.solve(np.asarray(blocks[0][0]), by_theta)
    by_p = by_p + back @ np.asarray(blocks[0][1])
    by_s = by_s + back @ np.asarray(blocks[0][2])

    def anew(p, s):
        return float(laplace(lh.variable(mode(p, s)), lh.variable(p), lh.variable(s)).value)

    step = 1e-5
    for k in range(3):
        d = step * np.eye(3)[k]
        slope = (anew(POINT[0] + d, POINT[1]) - anew(POINT[0] - d, POINT[1])) / 2 / step
        assert abs(slope - by_p[k]) < 1e-7
    slope = (anew(POINT[0], POINT[1] + step) - anew(POINT[0], POINT[1] - step)) / 2 / step
    assert abs(slope - by_s) < 1e-7
    assert abs(slope) > 1e-2


# --- tensors of third and fourth order in full ---
def quartic(np, x):
    return np.exp(x[0] * x[1]) * np.sin(x[2]) + np.prod(x) ** 2 / (2 + x @ x) + np.tanh(x[1]) ** 3


def gaussian(np, x):
    K = np.exp(-((x[:, None] - x[None, :]) ** 2)) + np.eye(3)
    return np.linalg.slogdet(K)[1] + x @ np.linalg.solve(K, np.cos(x))


def spectral(np, x):
    return np.sum(np.abs(np.fft.fft(np.exp(x) * x[0])) ** 2) + np.linalg.det(
        np.outer(x, x) + np.diag(x)
    )


def eigen(np, x):
    w, v = np.linalg.eigh(np.diag(np.array([1.0, 3.0, 7.0])) + np.outer(x, x) + np.diag(x) * x[0])
    return np.sum(np.tanh(w) * w[0]) + np.sum(v[0] ** 4 * w)


def cholesky(np, x):
    L = np.linalg.cholesky(np.outer(x, x) + np.diag(np.exp(x)))
    return np.sum(np.sin(np.linalg.inv(L)) * L.T) + np.linalg.norm(L)


SMALL = {f.__name__: f for f in (quartic, gaussian, spectral, eigen, cholesky)}


@pytest.mark.parametrize("name", SMALL)
def test_tensors_of_third_and_fourth_order(name):
    f = SMALL[name]
    x = np.array([0.3, -0.7, 1.1])
    third = jax.jacfwd(jax.hessian(lambda x: f(jnp, x)))
    wanted, want = jax.jit(jax.jacfwd(lambda x: (third(x),) * 2, has_aux=True))(x)
    v = lh.variable(x)
    y = f(np, v)
    H = lh.hessian(y, v, create_graph=True)
    # Row by row; the Hessians of the gradient's elements; one after the other.
    rows = [[lh.gradient(H[i, j], v) for j in range(3)] for i in range(3)]
    assert difference(rows, want) < TOLERANCE
    slope = lh.gradient(y, v, create_graph=True)
    assert difference(lh.hessian(slope, v, reduction="none"), want) < TOLERANCE
    assert difference(lh.hessian(H[...], v, reduction="none"), wanted) < 10 * TOLERANCE
    nested = lh.hessian(lh.hessian(y, v, create_graph=True)[0, 1], v, create_graph=True)
    assert difference(nested[...].value, wanted[0, 1]) < 10 * TOLERANCE


def test_fourth_and_fifth_order_of_a_curve():
    x, f = lh.variable(0.7), lambda x: curve(jnp, x)
    y, got = curve(np, x), []
    for _ in range(5):
        y = lh.gradient(y, x, create_graph=True)
        got.append(y.value)
    for value in got:
        f = jax.grad(f)
        assert difference(value, f(0.7)) < 1e-12


def test_mixed_third_derivatives_of_several_inputs():
    def f(np, a, b):
        return np.sum(np.linalg.solve(a @ a.T + np.eye(2), b) ** 2) * np.exp(b[0, 0])

    xs = N(size=(2, 3)), N(size=(2, 2))
    want = jax.jit(jax.jacrev(jax.hessian(lambda *xs: f(jnp, *xs), (0, 1)), (0, 1)))(*xs)
    variables = tuple(lh.variable(x) for x in xs)
    H = lh.hessian(f(np, *variables), variables, create_graph=True)
    for i in range(2):
        for j in range(2):
            block = H[i][j][...]
            weights = np.sin(np.arange(block.size)).reshape(block.shape)
            got = lh.gradient(np.sum(weights * block), variables)
            for k in range(2):
                expected = np.tensordot(weights, want[i][j][k], weights.ndim)
                assert difference(got[k], expected) < TOLERANCE


def test_gradients_through_a_step_of_newton():
    """A step of optimization inside of a loss: the gradient by where it starts and by its data."""

    def inner(np, x, p):
        return np.sum(np.exp(p * x) + x**2) + np.prod(x)

    def stepped(np, x, p, slope, H):
        new = x - np.linalg.solve(H, slope)
        return np.sum(new**2) + inner(np, new, p)

    def theirs(x, p):
        def f(x):
            return inner(jnp, x, p)

        return stepped(jnp, x, p, jax.grad(f)(x), jax.hessian(f)(x))

    xs = N(size=3), 1 + 0.2 * N(size=3)
    want = jax.jit(jax.grad(theirs, (0, 1)))(*xs)
    second = jax.jit(jax.hessian(theirs, (0, 1)))(*xs)
    x, p = (lh.variable(v) for v in xs)
    y = inner(np, x, p)
    H = lh.hessian(y, x, create_graph=True)
    y = stepped(np, x, p, lh.gradient(y, x, create_graph=True), H[...])
    assert tree_difference(lh.gradient(y, (x, p)), want) < TOLERANCE
    got = jax.tree_util.tree_map(np.asarray, lh.hessian(y, (x, p)))
    assert tree_difference(got, second) < TOLERANCE


def test_the_comparison_sees_a_missing_dependence():
    """With rows that are plain the dependence on x is lost, and the numbers differ."""
    got, want = of_hessian(FUNCTIONS_OF_H["Frobenius"], network, NETWORK, (0,))
    variables = tuple(lh.variable(x) for x in NETWORK)
    plain = np.asarray(lh.hessian(network(np, *variables), variables[0])).reshape(12, 12)
    lost = lh.gradient(FUNCTIONS_OF_H["Frobenius"](np, plain, *variables), variables)
    assert tree_difference(got, want) < TOLERANCE
    assert tree_difference(lost, want) > 1e-3
