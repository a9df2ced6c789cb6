"""Elementwise rules against mpmath: values and derivatives within 4 ulp, on hard grids."""

import numpy as np
import pytest

mpmath = pytest.importorskip("mpmath")

import lazyhess as lh  # noqa: E402
from lazyhess._primitives.base import Elementwise  # noqa: E402
from tests.accuracy import __main__ as page  # noqa: E402
from tests.accuracy.grids import GRIDS, Axis, differences, unary  # noqa: E402
from tests.accuracy.measure import (  # noqa: E402
    BOUND,
    DTYPES,
    computed,
    label,
    measure,
    measured_names,
    quantities,
    ulps,
    without_grid,
)

mp = mpmath.mp
NAMES = [name for name in measured_names() if name in GRIDS]
NUMPY = [name for name in NAMES if "." not in name]
FLOATING = [name for name in NUMPY if not any(axis.whole for axis in GRIDS[name].axes)]
TWO = [name for name in FLOATING if len(GRIDS[name].axes) == 2]
INFO = np.finfo(float)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_within_the_bound(name, dtype):
    for worst in measure(name, dtype):
        assert worst.points > 20
        assert worst.ulp <= worst.bound, worst


def test_every_function_has_a_grid(monkeypatch):
    assert without_grid() == []
    assert set(GRIDS) <= set(Elementwise.table)
    monkeypatch.delitem(GRIDS, "tanh")
    assert without_grid() == ["tanh"]


# --- the oracle -----------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_planted_error_is_caught(monkeypatch, dtype):
    rule = Elementwise.table["log1p"]

    def off(z, x):
        right = np.asarray(1 / (1 + x))
        right[x == 1] += 8 * np.spacing(right[x == 1])
        return right

    monkeypatch.setattr(rule, "first", (off,))
    worst = {label(w.quantity): w for w in measure("log1p", dtype)}
    assert 7.5 <= worst["d/dx"].ulp <= 8.5
    assert worst["d/dx"].at == (1.0,)
    assert all(worst[name].ulp <= BOUND for name in ("value", "d²/dx²"))


@pytest.mark.parametrize(
    "got, exact, error",
    [
        (1.0, 1.0, 0),
        (np.nextafter(1, 2), 1.0, 1),
        (np.nextafter(1, 0), 1.0, 0.5),
        (np.nan, 1.0, np.inf),
        (np.inf, 1e308, np.inf),
        (np.inf, "1e309", 0),
        (-np.inf, "1e309", np.inf),
        (1e308, "1e309", np.inf),
        (0.0, 1e-300, np.inf),
        (0.0, 1e-310, 0),
    ],
)
def test_the_unit(got, exact, error):
    assert ulps(got, mp.mpf(exact), INFO) == (
        error if error < 10 else pytest.approx(error, abs=1)
    ) or (error == np.inf and ulps(got, mp.mpf(exact), INFO) > 1e6)


@pytest.mark.parametrize("name", FLOATING)
def test_exact_formulas_are_those_of_differences(name):
    grid = GRIDS[name]
    for point in (
        [(0.3125,), (0.8125,)] if len(grid.axes) == 1 else [(2.71875, 1.3125), (0.75, 1.0625)]
    ):
        point = tuple(mp.mpf(x) + (1 if name == "arccosh" else 0) for x in point)
        for quantity in quantities(name):
            with mp.workdps(60):
                want = differences(grid.value, quantity)(*point) if quantity else grid.value(*point)
                got = grid.exact(quantity)(*point)
                assert abs(got - want) <= mp.mpf(10) ** -25 * (1 + abs(want)), label(quantity)


@pytest.mark.parametrize("name", NUMPY)
def test_digits_are_enough(name):
    grid = GRIDS[name]
    operands = grid.operands("float64")
    every = max(len(operands[0]) // 25, 1)
    for point in zip(*(column[::every] for column in operands), strict=True):
        for quantity in quantities(name):
            found = []
            for digits in (60, 400):
                with mp.workdps(digits):
                    try:
                        found.append(grid.exact(quantity)(*map(mp.mpf, map(float, point))))
                    except ZeroDivisionError:
                        found.append(mp.nan)
            few, many = found
            if mp.isfinite(many):
                assert abs(few - many) <= abs(many) * mp.mpf(10) ** -30, (quantity, point)


def test_derivatives_left_out_are_taken_by_differences():
    with mp.workdps(60):
        grid = unary(mp.exp)
        for quantity in ((0,), (0, 0)):
            assert abs(grid.exact(quantity)(mp.mpf(2)) / mp.exp(2) - 1) < mp.mpf(10) ** -25


def test_an_axis_has_its_special_points():
    points = Axis(0, 3, near=(1,), also=(0.7,)).points("float32")
    assert points.dtype == np.float32
    assert points.min() == 0
    assert points.max() <= 3
    for one in (
        0.7,
        1,
        np.nextafter(np.float32(1), np.float32(2)),
        np.finfo(np.float32).tiny * 1.0001,
    ):
        assert np.min(np.abs(points - np.float32(one))) <= 1e-3 * one
    assert np.float32(0.7) in points


# --- the page -------------------------------------------------------------------------------------
def test_the_page_lists_every_rule():
    assert page.complaints(page.PAGE.read_text("utf-8")) == []


def test_a_wrong_page_is_seen():
    text = page.PAGE.read_text("utf-8")
    assert page.complaints(text.replace("| `tanh` | d/dx |", "| `tan` | d²/dz² |")) == [
        "not on the page: tanh d/dx",
        "on the page only: tan d²/dz²",
    ]
    found = measure("tanh", "float32")
    line = page.row("tanh", "value", [found[0], found[0]])
    assert page.stated(line) == {("tanh", "value"): [round(found[0].ulp, 2)] * 2}
    assert page.complaints(text + line.replace(f"{found[0].ulp:.2f}", "4.01"))


# --- operands of other kinds ----------------------------------------------------------------------
def formulas(name):
    rule = Elementwise.table[name]
    yield from (((k,), f) for k, f in enumerate(rule.first) if callable(f))
    yield from ((pair, f) for pair, f in rule.second.items() if callable(f))


def moderate(name, dtype=float):
    rng = np.random.default_rng(5)
    low = 1.1 if name == "arccosh" else 0.1
    return tuple(
        rng.uniform(low + k, low + 0.8 + k, 7).astype(dtype) for k in range(len(GRIDS[name].axes))
    )


@pytest.mark.parametrize("name", FLOATING)
def test_float32_stays_float32(name):
    rule, operands = Elementwise.table[name], moderate(name, np.float32)
    many = [operands]
    if len(operands) == 2 and name != "float_power":
        many += [
            (operands[0], 1.5),
            (1.5, operands[1]),
            (operands[0], 2),
            (operands[0], np.float32(3)),
        ]
    for args in many:
        value = np.asarray(rule.value(*args))
        for quantity, formula in formulas(name):
            assert np.asarray(formula(value, *args)).dtype == value.dtype, (args, quantity)


@pytest.mark.parametrize("name", TWO)
def test_operands_of_mixed_precision(name):
    x, y = moderate(name)
    rule = Elementwise.table[name]
    small = x.astype(np.float32)
    for args, same in (
        ((small, y), (small.astype(float), y)),
        ((x, np.array([1, 2, 3, 4, 5, 6, 7], np.int8)), (x, np.arange(1.0, 8))),
        ((np.array([1, 2, 3, 4, 5, 6, 7], np.int8), y), (np.arange(1.0, 8), y)),
    ):
        value = rule.value(*args)
        for quantity, formula in formulas(name):
            np.testing.assert_array_equal(
                formula(value, *args), formula(value, *same), str(quantity)
            )


@pytest.mark.parametrize("name", FLOATING)
def test_formulas_of_variables(name):
    """The same numbers, recorded: the derivative of a first one is the second."""
    rule, operands = Elementwise.table[name], moderate(name)
    plain = rule.value(*operands)
    recorded = [lh.variable(x) for x in operands]
    value = rule.ufunc(*recorded)
    for quantity, formula in formulas(name):
        with np.errstate(all="ignore"):
            made = formula(value, *recorded)
        want = formula(plain, *operands)
        np.testing.assert_allclose(
            getattr(made, "value", made), want, rtol=4e-15, err_msg=str(quantity)
        )
        if len(quantity) == 1 and isinstance(made, lh.Variable):
            (k,) = quantity
            for l, slope in enumerate(lh.gradient(np.sum(made), recorded)):
                second = np.zeros(7)
                if (min(k, l), max(k, l)) in rule.second:
                    second = computed(name, (min(k, l), max(k, l)), operands)
                np.testing.assert_allclose(
                    slope, second, rtol=1e-13, atol=1e-14, err_msg=f"{k} {l}"
                )


def test_even_functions_are_smooth_where_they_fold():
    x = lh.variable(np.zeros(3))
    slope = Elementwise.table["tanh"].first[0](np.tanh(x), x)
    np.testing.assert_allclose(np.diag(lh.hessian(np.sum(slope), x)), -2)
    y = lh.variable(np.ones(3))
    z = np.logaddexp(y, 1.0)
    rule = Elementwise.table["logaddexp"]
    np.testing.assert_allclose(lh.gradient(np.sum(rule.first[0](z, y, 1.0)), y), 0.25)
    np.testing.assert_allclose(lh.gradient(np.sum(rule.second[0, 0](z, y, 1.0)), y), 0, atol=1e-16)
    spread = rule.second[0, 0](z, y, 1.0)
    np.testing.assert_allclose(np.diag(lh.hessian(np.sum(spread), y)), -1 / 8)


HOLOMORPHIC = (
    "exp exp2 expm1 log log2 log10 log1p sqrt square reciprocal sin cos tan sinh cosh tanh arcsin "
    "arccos arctan arcsinh arccosh arctanh divide multiply power"
).split()


@pytest.mark.parametrize("name", HOLOMORPHIC)
def test_complex_operands(name):
    rng = np.random.default_rng(6)
    rule, grid = Elementwise.table[name], GRIDS[name]
    # In all four quadrants, off the branch cuts.
    corners = np.array([1 + 1j, 1 - 1j, -1 + 1j, -1 - 1j])
    operands = [corners * rng.uniform(0.3, 1.7, 4) + rng.uniform(0, 0.2, 4) for _ in grid.axes]
    value = rule.value(*operands)
    for quantity, formula in formulas(name):
        got = np.broadcast_to(formula(value, *operands), value.shape)
        for n, point in enumerate(zip(*operands, strict=True)):
            z = tuple(mp.mpc(complex(x)) for x in point)
            # Along the real line, by differences of NumPy's branch in mpmath.
            want = complex(differences(BRANCH.get(name, grid.value), quantity)(*z))
            assert abs(got[n] - want) <= 4e-15 * abs(want) * 8, (quantity, point)


# mpmath's numbers, where a grid's own formula is one of real numbers.
BRANCH = {"log1p": lambda x: mp.log(1 + x), "expm1": lambda x: mp.exp(x) - 1}


# --- conventions ----------------------------------------------------------------------------------
def test_power_at_zero():
    rule = Elementwise.table["power"]
    x = np.zeros(6)
    for y in (np.array([0, 1, 2, 3, 0.5, -1]), *(0, 1, 2, 3, 0.5, -1)):
        with np.errstate(all="ignore"):
            z = x**y
            first = np.broadcast_to(rule.first[0](z, x, y), 6)
            second = np.broadcast_to(rule.second[0, 0](z, x, y), 6)
        for n, p in enumerate(np.broadcast_to(y, 6)):
            assert first[n] == {0: 0, 1: 1, 2: 0, 3: 0, 0.5: np.inf, -1: -np.inf}[p]
            assert second[n] == {0: 0, 1: 0, 2: 2, 3: 0, 0.5: -np.inf, -1: np.inf}[p]


def test_power_of_zero_by_its_exponent():
    y = lh.variable(np.array([1.0, 2.5]))
    np.testing.assert_array_equal(lh.gradient(np.sum(np.power(0.0, y)), y), 0)


@pytest.mark.parametrize("name", ["absolute", "fabs"])
def test_absolute_at_zero(name):
    assert Elementwise.table[name].first[0](np.zeros(1), np.zeros(1)) == 0


def test_cbrt_at_zero():
    x = np.array([0.0, 8.0])
    with np.errstate(all="ignore"):
        assert computed("cbrt", (0,), (x,))[0] == np.inf
    np.testing.assert_allclose(computed("cbrt", (0,), (x,))[1], 1 / 12)
