"""Every rule: value, Jacobian, transpose, curvature, symmetry. One test for each, over all cases."""

import warnings

import numpy as np
import pytest

import lazyhess as lh
from lazyhess import special
from lazyhess._dispatch import IN_PLACE
from lazyhess._primitives.constants import PLAIN_FUNCTIONS, PLAIN_UFUNCS
from lazyhess._sweep import Linearization
from lazyhess._tangents import Pattern, Sparse, dense
from lazyhess._variable import FUNCTIONS, METHODS, UFUNCS, Variable, ancestors, mapped
from tests import oracles
from tests.cases import CASES

cases = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
warnings.filterwarnings("ignore", "(Mean of empty slice|invalid value|Degrees of freedom)")


def run(case):
    xs = [lh.variable(x) for x in case.inputs]
    return xs, case.function(*xs)


def weights(shape):
    return np.random.default_rng(3).uniform(0.5, 1.5, shape)


def tolerance(case, double):
    return 2e-4 if any(x.dtype == np.float32 for x in case.inputs) else double


def differences(case, derivative, w):
    """A derivative of the weighted sum; by longer differences where there is only double."""
    if case.extended:
        return derivative(oracles.scalar(case.function, w), case.inputs)

    def function(*xs):
        return case.function(*(x.astype(float) for x in xs))

    step = {oracles.gradient: 1e-5, oracles.hessian: 3e-3}[derivative]
    return derivative(oracles.scalar(function, w), case.inputs, step)


def test_every_registered_function_has_cases():
    registered = set(UFUNCS) | set(METHODS) | set(FUNCTIONS)
    without = set(PLAIN_UFUNCS) | set(PLAIN_FUNCTIONS) | set(IN_PLACE) | {mapped}
    public = {getattr(special, name) for name in special.__all__}  # composed of registered ones
    assert registered - without == {case.key for case in CASES} - public


@cases
def test_value(case):
    _, out = run(case)
    with np.errstate(all="ignore"):
        want = np.asarray(case.function(*case.inputs))
    assert isinstance(out, Variable)
    assert out.shape == want.shape
    assert out.dtype == want.dtype
    single = want.dtype == np.float32
    rtol = 3e-7 if single else 1e-14
    np.testing.assert_allclose(
        out.value, want, rtol, atol=rtol if single or not case.extended else 0
    )
    assert not out.value.flags.writeable


@cases
def test_gradient_is_that_of_differences(case):
    xs, out = run(case)
    w = weights(out.shape)
    got = lh.gradient(np.sum(w * out), xs)
    want = differences(case, oracles.gradient, w)
    for x, a, b in zip(case.inputs, got, want, strict=True):
        assert a.dtype == x.dtype
        assert oracles.close(a, b, tolerance(case, 1e-9 if case.extended else 1e-8))


@cases
def test_hessian_is_that_of_differences(case):
    xs, out = run(case)
    w = weights(out.shape)
    got = lh.hessian(np.sum(w * out), tuple(xs))
    want = differences(case, oracles.hessian, w)
    for i, x in enumerate(case.inputs):
        for j in range(len(case.inputs)):
            assert got[i][j].dtype == x.dtype
            assert oracles.close(np.asarray(got[i][j]), want[i][j], tolerance(case, 2e-7))


def maps_of(case):
    """Every Jacobian and curvature map of what a case records."""
    xs, out = run(case)
    lin = Linearization(out, xs, np.asarray(weights(out.shape), out.dtype))
    for step in lin.steps:
        for _, jacobian, _ in step.jacobian:
            yield jacobian
        for _, _, curvature in step.curvature:
            yield curvature


@cases
def test_maps_transpose_and_act_alike_on_sparse_and_dense(case):
    rng = np.random.default_rng(4)
    for map_ in maps_of(case):
        count = 3
        t = rng.normal(size=(count, *map_.inp))
        u = rng.normal(size=(count, *map_.out))
        forward = dense(map_.apply(t), count, map_.out, float)
        back = dense(map_.T.apply(u), count, map_.inp, float)
        assert forward.shape == u.shape
        assert back.shape == t.shape
        # Tangents and adjoints pair by the real part of their product.
        tol = tolerance(case, 1e-11) * max(1.0, np.abs(forward * u).sum())
        assert abs(np.sum((forward * u).real) - np.sum((t * back).real)) <= tol
        for sparse, one in ((random_block(rng, count, map_.inp), map_),
                            (random_block(rng, count, map_.out), map_.T)):  # fmt: skip
            a = dense(one.apply(sparse), count, one.out, float)
            b = dense(one.apply(sparse.dense()), count, one.out, float)
            assert oracles.close(a, b, tolerance(case, 1e-12))


def random_block(rng, count, shape):
    """A sparse block, with repeats."""
    size = int(np.prod(shape))
    entries = min(2 * size, 6)
    seed = np.sort(rng.integers(0, count, entries))
    pos = rng.integers(0, size, entries) if size else np.zeros(0, int)
    return Sparse(Pattern(count, shape, seed[: len(pos)], pos), rng.normal(size=len(pos)))


@cases
def test_curvature_is_symmetric(case):
    rng = np.random.default_rng(5)
    xs, out = run(case)
    lin = Linearization(out, xs, np.asarray(weights(out.shape), out.dtype))
    for step in lin.steps:
        slots = {slot for k, l, _ in step.curvature for slot in (k, l)}
        shapes = {k: c.out for k, _, c in step.curvature} | {l: c.inp for _, l, c in step.curvature}
        t, u = ({s: rng.normal(size=(1, *shapes[s])) for s in slots} for _ in range(2))

        def form(left, right, curvature=step.curvature):
            return sum(
                np.sum((left[k] * dense(c.apply(right[l]), 1, c.out, float)).real)
                for k, l, c in curvature
            )

        a, b = form(t, u), form(u, t)
        assert abs(a - b) <= tolerance(case, 1e-11) * max(1.0, abs(a))


def test_no_node_keeps_a_writable_array():
    for case in CASES:
        for node in ancestors([run(case)[1]]):
            for array in (node._value, *node._operands):
                assert not isinstance(array, np.ndarray) or not array.flags.writeable


def test_the_oracle_catches_a_wrong_hessian():
    def function(x):
        return np.sum(np.sin(x) * x[0])

    x = np.array([0.3, 1.2])
    right = np.asarray(lh.hessian(function, x))
    want = oracles.hessian(function, [x])[0][0]
    assert oracles.close(right, want, 1e-9)
    wrong = right.copy()
    wrong[0, 1] += 1e-6
    assert not oracles.close(wrong, want, 1e-9)
    assert not oracles.close(right[:1], want, 1e-9)
