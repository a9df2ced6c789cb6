"""What checks others is checked: right ones pass, and every planted error is found and named."""

import pickle

import numpy as np
import pytest

import lazyhess as lh
from lazyhess.extend import (
    Curved,
    Differential,
    Primitive,
    contract,
    elementwise,
    record,
    scale,
    value_of,
)
from lazyhess.testing.rules import Rule, check_hessian, check_rule

X = np.array([[0.3, -1.2, 0.7], [1.1, 0.2, -0.4]])


def model(x, w):
    return np.sum(np.sin(x @ w) ** 2) + np.prod(w)


def test_any_hessian_is_compared_block_by_block():
    xs = (X, np.array([0.5, -0.3, 1.0]))
    assert check_hessian(model, xs) < 1e-8
    blocks = [[np.array(b) for b in row] for row in lh.hessian(model, xs)]
    assert check_hessian(model, xs, blocks) < 1e-8
    blocks[1][0][2, 0, 1] += 1e-3
    with pytest.raises(
        AssertionError, match=r"block \(1, 0\) of the Hessian\[2, 0, 1\]: got .* off by 0\.001"
    ):
        check_hessian(model, xs, blocks)
    blocks[1][0][2, 0, 1] = np.nan
    with pytest.raises(AssertionError, match=r"got nan, differences .*; 1 of 18 elements"):
        check_hessian(model, xs, blocks)
    with pytest.raises(AssertionError, match=r"shape \(2,\), differences give has shape \(3, 3\)"):
        check_hessian(lambda w: model(X, w), xs[1], np.zeros(2))


SCALES = [1e-12, 1e-6, 1.0, 1e6, 1e12]


def quartic(x):
    return np.sum(x**4) + np.prod(np.ravel(x)) + 1


@pytest.mark.parametrize("dtype", [None, np.float64], ids=["extended", "double"])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 2)])
def test_planted_errors_are_found_at_all_scales(shape, scale, dtype):
    x = np.linspace(0.5, 1.5, int(np.prod(shape))).reshape(shape)

    def f(x):
        return scale * quartic(x)

    right = np.asarray(lh.hessian(f, x))
    assert check_hessian(f, x, right, dtype=dtype) < 1e-6
    assert check_hessian(f, x, dtype=dtype) < 1e-6
    largest = np.max(np.abs(right))
    wrong = [
        -right,
        0 * right,
        2 * right,
        right + 1e-4 * largest,
        right * (1 + 1e-4),
        right * 1e-12,
    ]
    for k in range(right.size):
        one = right.copy()
        one.reshape(-1)[k] += 1e-4 * largest
        wrong.append(one)
    for H in wrong:
        with pytest.raises(AssertionError, match="differences give"):
            check_hessian(f, x, H, dtype=dtype)


@pytest.mark.parametrize("dtype", [None, np.float64], ids=["extended", "double"])
@pytest.mark.parametrize("scale", SCALES)
def test_what_rounding_makes_of_differences_is_no_error(scale, dtype):
    """A linear function passes, a constant too, and one whose large terms cancel; and no others."""
    a, b = np.array([1.0, -3.0, 2e3]), np.array([2.0, 1 / 3, 1e-3])
    x = np.array([0.3, -0.7, 1.1])
    functions = [
        lambda x: scale * (a @ x + 5),
        lambda x: scale * np.sum(a) + 0 * x[0],
        lambda x: scale * (np.sum(1e5 * a * x) - np.sum(1e5 * (a - b) * x)),
    ]
    for f in functions:
        assert check_hessian(f, x, dtype=dtype) == 0
        assert check_hessian(f, x, np.zeros((3, 3)), dtype=dtype) == 0
        with pytest.raises(AssertionError):
            check_hessian(f, x, scale * np.eye(3), dtype=dtype)
    assert check_hessian(lambda x: 3 * x + 1, np.array(2.0), dtype=dtype) == 0
    with pytest.raises(AssertionError, match=r"Hessian: got 0\.01, differences give"):
        check_hessian(lambda x: 3 * x + 1, np.array(2.0), np.array(0.01), dtype=dtype)


def test_a_kink_is_not_taken_for_rounding():
    x = np.zeros(2)
    with pytest.raises(AssertionError, match="differences give"):
        check_hessian(lambda x: np.sum(np.abs(x)), x, np.zeros((2, 2)))


@pytest.mark.parametrize("scale", SCALES)
def test_planted_errors_of_rules_are_found_at_all_scales(scale):
    """Of a rule whose values are small or large."""

    def square(x):
        return scale * x * x

    right = elementwise(
        square, [lambda z, x: 2 * scale * x], {(0, 0): lambda z, x: 2 * scale}, name=f"r{scale}"
    )
    check_rule(right, np.array([1.0, 2.0]))
    slope = elementwise(
        square, [lambda z, x: -2 * scale * x], {(0, 0): lambda z, x: 2 * scale}, name=f"s{scale}"
    )
    with pytest.raises(AssertionError, match="gradient"):
        check_rule(slope, np.array([1.0, 2.0]))
    bend = elementwise(
        square, [lambda z, x: 2 * scale * x], {(0, 0): lambda z, x: -2 * scale}, name=f"b{scale}"
    )
    for check in ("hessian", "curvature"):
        with pytest.raises(AssertionError, match="Hessian|curvature"):
            getattr(Rule(bend, (np.array([1.0, 2.0]),)), check)()


def test_differences_in_double_where_a_function_knows_no_other():
    def f(x):
        return np.linalg.slogdet(x @ x.T + np.eye(2))[1]

    assert check_hessian(f, X) < 1e-7
    assert check_hessian(f, X, dtype=np.float64) < 1e-7


@pytest.mark.parametrize(
    "args", [(X,), (X.astype(np.float32),), (np.array(0.4),), (np.zeros((0, 3)),)]
)
def test_a_right_rule_passes(args):
    check_rule(lambda x: np.tanh(x) * x, *args)


def logistic(x):
    return 1 / (1 + np.exp(-x))


def first(z, x):
    return z * (1 - z)


WRONG = {
    "value": (elementwise(logistic, [first], name="v"), lambda f: lambda x: f(x) + (0.1 if isinstance(x, lh.Variable) else 0)),
    "gradient": (elementwise(logistic, [lambda z, x: z], name="g"), None),
    "curvature": (elementwise(logistic, [first], {(0, 0): lambda z, x: z}, name="h"), None),
}  # fmt: skip


@pytest.mark.parametrize("check", WRONG)
def test_a_wrong_elementwise_rule_is_caught(check):
    function, spoil = WRONG[check]
    rule = Rule(spoil(function) if spoil else function, (X,))
    with pytest.raises(AssertionError):
        getattr(rule, check)()
    with pytest.raises(AssertionError):
        check_rule(rule.outer, X)


def test_a_wrong_third_derivative_is_caught():
    # The second derivative is right as a number, and says nothing true of its own derivative.
    frozen = elementwise(
        logistic, [first], {(0, 0): lambda z, x: value_of(z * (1 - z) * (1 - 2 * z))}, name="frozen"
    )
    rule = Rule(frozen, (X,))
    for check in ("value", "gradient", "hessian", "maps", "symmetry"):
        getattr(rule, check)()
    with pytest.raises(AssertionError, match="derivative of the Hessian by argument 0"):
        rule.third()


class Skew(Primitive):
    """x yᵀ-like product with a curvature that is stated for one side only."""

    name = "skew"

    def value(self, *args):
        return args[0] * args[1]

    def jacobian(self, k, args, out):
        return scale(args[1 - k], out.shape)

    def curvature(self, args, out, adjoint, active):
        yield 0, 1, scale(adjoint, out.shape)


def test_an_asymmetric_curvature_is_caught():
    rule = Rule(
        lambda x, y: record(Skew(), x, y) if isinstance(x, lh.Variable) else x * y, (X, X[::-1])
    )
    with pytest.raises(AssertionError, match="not symmetric"):
        rule.symmetry()
    with pytest.raises(AssertionError, match="skew: the curvature as stated"):
        rule.curvature()


class Lopsided(type(scale(X, X.shape))):
    @property
    def T(self):
        return scale(2 * self.weights, self.inp)


class Twice(Primitive):
    name = "twice"

    def value(self, *args):
        return 2.0 * args[0]

    def jacobian(self, k, args, out):
        return Lopsided(np.array(2.0), out.shape)


def test_a_wrong_transpose_is_caught():
    rule = Rule(lambda x: record(Twice(), x) if isinstance(x, lh.Variable) else 2 * x, (X,))
    with pytest.raises(AssertionError, match="Lopsided and its transpose disagree"):
        rule.maps()


# --- adding primitives ----------------------------------------------------------------------------
class Sinkhorn(Differential):
    """A row-normalized matrix, by its differential."""

    name = "rows"

    def value(self, *args):
        return args[0] / np.sum(args[0], axis=1, keepdims=True)

    def differential(self, k, args, out, tangent):
        total = np.sum(args[0], axis=1, keepdims=True)
        return (tangent - out * np.sum(tangent, axis=1, keepdims=True)) / total


class Gram(Curved):
    """x xᵀ, by its Jacobian as a map, the curvature worked out."""

    name = "gram"

    def value(self, *args):
        return args[0] @ args[1].T

    def jacobian(self, k, args, out):
        if k == 0:
            return contract((0, 1), (2, 1), (0, 2), args[1], args[0].shape)
        return contract((2, 1), (0, 1), (0, 2), args[0], args[1].shape)


def applied(primitive):
    def function(*xs):
        if any(isinstance(x, lh.Variable) for x in xs):
            return record(primitive, *xs)
        return primitive.value(*xs)

    return function


def test_primitives_of_all_kinds():
    check_rule(applied(Sinkhorn()), np.exp(X))
    check_rule(lambda x: np.exp(applied(Sinkhorn())(x * x)), np.exp(X))
    check_rule(applied(Gram()), X, X[:, ::-1] + 0.1)
    check_rule(lambda x: applied(Gram())(np.sin(x), x), X)
    check_rule(elementwise(lambda a, b: a * np.exp(b), [lambda z, a, b: np.exp(b), lambda z, a, b: z], name="axb"),
               X, np.array([0.3, 0.1, -0.2]))  # fmt: skip


def test_a_pickled_graph_finds_its_elementwise_function():
    f = elementwise(logistic, [first], name="pickled logistic")
    x = lh.variable(X)
    y = pickle.loads(pickle.dumps(np.sum(f(x) ** 2)))
    assert y.value == np.sum(logistic(X) ** 2)


def test_products_are_counted():
    H = lh.hessian(lambda x, w: model(x, w), (X, np.ones(3)))
    with lh.testing.products(H) as count:
        H[0][0][1], H[1][0][:]
        inner = count()
        H[1][1][0]
    assert (inner, count()) == (6, 6)
