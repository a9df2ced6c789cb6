"""scipy.special: values and derivatives against mpmath, conventions, and what has no rule."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

import lazyhess as lh
from lazyhess import special
from lazyhess.special import log_softmax, logsumexp, multigammaln, polygamma, softmax
from tests.cases import CASES

mpmath = pytest.importorskip("mpmath")
sp = pytest.importorskip("scipy.special")
mp = mpmath.mp
inf = np.inf


def test_every_public_function_has_cases():
    assert {getattr(special, name) for name in special.__all__} <= {case.key for case in CASES}


# --- against mpmath -------------------------------------------------------------------------------
def _ndtr(x):
    return mpmath.erfc(-x / mpmath.sqrt(2)) / 2


def _inverse(function, guess):
    """The inverse, from a guess by scipy, of a function that mpmath has."""

    def inverse(x):
        start = mpmath.mpf(float(guess(float(x))))
        return mpmath.findroot(lambda z: mpmath.log(function(z) / x), start)

    return inverse


# Function, the same of mpmath, and points: tails, zeros, next to poles and to where formulas change.
EXACT = {
    "erf": (sp.erf, mpmath.erf, [-6, -1, -1e-8, 0, 0.3, 2, 5, 20]),
    "erfc": (sp.erfc, mpmath.erfc, [-3, 0, 0.5, 3, 10, 25]),
    "erfcx": (sp.erfcx, lambda x: mpmath.exp(x * x) * mpmath.erfc(x),
              [-5, -1, 0, 0.5, 1.5, 2.9, 3.1, 6, 30, 1e3, 1e6]),
    "erfi": (sp.erfi, mpmath.erfi, [-3, 0, 0.1, 2, 10, 20]),
    "erfinv": (sp.erfinv, mpmath.erfinv, [-0.999999, -0.5, 0, 1e-9, 0.3, 0.99]),
    "erfcinv": (sp.erfcinv, _inverse(mpmath.erfc, sp.erfcinv), [1e-100, 1e-10, 0.3, 1.3, 1.999]),
    "ndtr": (sp.ndtr, _ndtr, [-30, -2, 0, 1e-9, 3, 20]),
    "log_ndtr": (sp.log_ndtr, lambda x: mpmath.log(_ndtr(x)),
                 [-1e9, -1e5, -40, -10, -4.3, -4.2, -3, -1, 0, 1, 5, 30]),
    "ndtri": (sp.ndtri, _inverse(_ndtr, sp.ndtri), [1e-100, 1e-9, 0.2, 0.5, 0.7, 0.999]),
    "dawsn": (sp.dawsn, lambda x: mpmath.sqrt(mpmath.pi) / 2 * mpmath.exp(-x * x) * mpmath.erfi(x),
              [-8, -2, 0, 0.5, 3, 6.9, 7.1, 20, 90]),
    "expit": (sp.expit, lambda x: 1 / (1 + mpmath.exp(-x)), [-100, -3, 0, 1e-9, 2, 40, 100]),
    "logit": (sp.logit, lambda x: mpmath.log(x / (1 - x)), [1e-100, 1e-5, 0.3, 0.5, 0.999]),
    "log_expit": (sp.log_expit, lambda x: -mpmath.log1p(mpmath.exp(-x)), [-100, -3, 0, 2, 40, 100]),
    "gamma": (sp.gamma, mpmath.gamma, [-3.5, -0.3, 0.01, 0.5, 3, 20, 150]),
    "gammaln": (sp.gammaln, lambda x: mpmath.log(abs(mpmath.gamma(x))),
                [-1000.3, -3.5, 0.01, 0.5, 1, 2, 3, 20, 1e6]),
    "loggamma": (sp.loggamma, mpmath.loggamma, [0.01, 0.5, 3, 1e6]),
    "rgamma": (sp.rgamma, mpmath.rgamma, [-20.3, -3, -2 - 1e-7, -1, -0.3, 0, 1e-9, 0.4, 0.6, 20]),
    "psi": (sp.psi, mpmath.digamma, [-1000.3, -3.6, -0.1, 0.01, 0.5, 3, 1e5]),
    "zeta": (lambda x: sp.zeta(3.5, x), lambda x: mpmath.zeta(3.5, x), [0.1, 1, 5, 100]),
    "polygamma": (lambda x: polygamma(2, x), lambda x: mpmath.polygamma(2, x), [0.1, 1, 5, 100]),
    "multigammaln": (lambda x: multigammaln(x, 3),
                     lambda x: sum(mpmath.loggamma(x - mpmath.mpf(k) / 2) for k in range(3))
                     + mpmath.mpf(3) / 2 * mpmath.log(mpmath.pi), [1.01, 2, 50]),
    "entr": (sp.entr, lambda x: -x * mpmath.log(x), [1e-9, 0.3, 2]),
    "kl_div x": (lambda x: sp.kl_div(x, 0.75), lambda x: x * mpmath.log(x / 0.75) - x + 0.75,
                 [0.01, 0.5, 0.7500001, 3]),
    "kl_div y": (lambda y: sp.kl_div(0.75, y), lambda y: 0.75 * mpmath.log(0.75 / y) - 0.75 + y,
                 [0.01, 0.5, 0.7500001, 3]),
    "exprel": (sp.exprel, lambda t: mpmath.expm1(t) / t if t else mpmath.mpf(1),
               [-50, -1.1, -0.9, -1e-8, 0, 1e-5, 0.5, 0.99, 1.01, 5, 100]),
    "wrightomega": (sp.wrightomega, lambda x: mpmath.lambertw(mpmath.exp(x)).real, [-5, 0, 1, 30]),
    "boxcox": (lambda p: sp.boxcox(2.25, p),
               lambda p: (mpmath.mpf(2.25) ** p - 1) / p if p else mpmath.log(2.25),
               [-3, -1e-9, 0, 1e-5, 0.1, 1, 2, 9]),
    "pseudo_huber": (lambda d: sp.pseudo_huber(d, 0.75),
                     lambda d: d * d * (mpmath.sqrt(1 + (0.75 / d) ** 2) - 1), [1e-3, 0.1, 3, 100]),
    "exp1": (sp.exp1, mpmath.e1, [0.01, 0.5, 3, 30]),
    "expn": (lambda x: sp.expn(1, x), lambda x: mpmath.expint(1, x), [0.1, 1, 7]),
    "i0e": (sp.i0e, lambda x: mpmath.besseli(0, x) * mpmath.exp(-abs(x)), [-30, -2, 0.1, 24, 26, 1e4]),
    "i1e": (sp.i1e, lambda x: mpmath.besseli(1, x) * mpmath.exp(-abs(x)), [-30, -2, 0.1, 24, 26, 1e4]),
    "j1": (sp.j1, lambda x: mpmath.besselj(1, x), [0, 0.1, 3, 30]),
    "kv": (lambda x: sp.kv(2.5, x), lambda x: mpmath.besselk(2.5, x), [0.1, 3, 30]),
    "ellipk": (sp.ellipk, mpmath.ellipk, [-1e4, -1, -1e-9, 0, 1e-9, 0.3, 0.9, 0.999]),
    "ellipe": (sp.ellipe, mpmath.ellipe, [-1e4, -1, -1e-9, 0, 1e-9, 0.3, 0.9, 0.999]),
    "gammainc": (lambda x: sp.gammainc(50, x), lambda x: mpmath.gammainc(50, 0, x, regularized=True),
                 [1, 30, 48.5, 55, 100]),
    "betainc": (lambda x: sp.betainc(0.75, 3, x),
                lambda x: mpmath.betainc(0.75, 3, 0, x, regularized=True), [0.01, 0.5, 0.8]),
    "betaln": (lambda a: sp.betaln(a, 1e6), lambda a: mpmath.loggamma(a) + mpmath.loggamma(1e6)
               - mpmath.loggamma(a + 1000000), [1e-3, 0.5, 20, 1e3, 1e6]),
    "logsumexp": (lambda x: logsumexp([0.0, -1.0, x]) if not isinstance(x, lh.Variable)
                  else logsumexp(np.stack([0 * x, 0 * x - 1, x])),
                  lambda x: mpmath.log(1 + mpmath.exp(-1) + mpmath.exp(x)), [-700, -40, 0, 3, 500]),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_derivatives_are_exact_in_tails_and_next_to_poles(name):
    function, exact, points = EXACT[name]
    for point in points:
        x = lh.variable(float(point))
        y = function(x)
        got = [float(lh.gradient(y, x)), float(np.asarray(lh.hessian(y, x)))]
        with mp.workdps(90):
            p = mpmath.mpf(float(point))
            h = abs(p) * mpmath.mpf(10) ** -15 or mpmath.mpf(10) ** -17
            low, mid, high = (mpmath.re(exact(p + k * h)) for k in (-1, 0, 1))
            want = [(high - low) / (2 * h), (high - 2 * mid + low) / h**2]
        np.testing.assert_allclose(got, [float(w) for w in want], 3e-12, 1e-20, err_msg=f"{point}")


def test_far_tails():
    x = lh.variable([-1e9, -1e5, -40.0, 40.0, -inf, inf])
    y = sp.log_ndtr(x)
    np.testing.assert_allclose(lh.gradient(y.sum(), x)[[0, 1, 4]], [1e9, 1e5 + 1e-5, inf], 1e-15)
    curved = lh.hessian(y.sum(), x).diagonal()
    np.testing.assert_allclose(curved[[0, 1, 4]], [-1, -1 + 1e-10, -1], 1e-15)
    assert abs(curved[3]) < 1e-300
    assert curved[5] == 0
    for function in (sp.erf, sp.erfc, sp.ndtr, sp.expit, sp.log_expit):
        x = lh.variable([40.0, inf])
        y = np.sum(function(x))
        assert np.all(np.abs(lh.gradient(y, x)) < 1e-16)
        assert np.all(np.abs(np.asarray(lh.hessian(y, x))) < 1e-16)


# --- conventions ----------------------------------------------------------------------------------
def derivatives(function, *points):
    xs = tuple(lh.variable(float(p)) for p in points)
    y = function(*xs)
    H = lh.hessian(y, xs)
    second = [[float(np.asarray(h)) for h in row] for row in H]
    return [float(g) for g in lh.gradient(y, xs)], second


def test_zero_log_zero():
    assert derivatives(sp.xlogy, 0, 0) == ([0, 0], [[0, 0], [0, 0]])
    assert derivatives(sp.xlogy, 0, -1) == ([0, 0], [[0, 0], [0, 0]])
    assert derivatives(sp.xlogy, 0, 2) == ([np.log(2), 0], [[0, 0.5], [0.5, 0]])
    assert derivatives(sp.xlog1py, 0, -1) == ([0, 0], [[0, 0], [0, 0]])
    assert derivatives(sp.xlog1py, 0, 1) == ([np.log(2), 0], [[0, 0.5], [0.5, 0]])
    assert derivatives(sp.entr, 0) == ([inf], [[-inf]])
    assert derivatives(sp.rel_entr, 0, 0) == ([0, 0], [[0, 0], [0, 0]])
    assert derivatives(sp.rel_entr, 0, 2) == ([-inf, 0], [[inf, -0.5], [-0.5, 0]])
    assert derivatives(sp.kl_div, 0, 0) == ([0, 1], [[0, 0], [0, 0]])
    assert derivatives(sp.kl_div, 0, 2) == ([-inf, 1], [[inf, -0.5], [-0.5, 0]])
    # A probability of zero that never was counted leaves nothing behind.
    p = lh.variable([0.0, 0.25, 0.75])
    y = np.sum(sp.xlogy([0, 1, 3], p))
    np.testing.assert_allclose(lh.gradient(y, p), [0, 4, 4])
    np.testing.assert_allclose(lh.hessian(y, p).diagonal(), [0, -16, -16 / 3])


def test_kinks():
    assert derivatives(sp.huber, 1, 1) == ([0, 1], [[0, 0], [0, 1]])
    assert derivatives(sp.huber, 1, -3) == ([2, -1], [[-1, -1], [-1, 0]])
    assert derivatives(sp.pseudo_huber, 2, 0) == ([0, 0], [[0, 0], [0, 1]])
    assert derivatives(sp.i0e, 0)[0] == [0]
    assert derivatives(sp.round, 1.2) == ([0], [[0]])


def test_ends_of_incomplete_functions():
    def slopes(function, x):
        (slope,), ((curved,),) = derivatives(function, x)
        return slope, curved

    assert slopes(lambda x: sp.gammainc(1, x), 0) == (1, -1)
    assert slopes(lambda x: sp.gammainc(2, x), 0) == (0, 1)
    assert slopes(lambda x: sp.gammainc(3, x), 0) == (0, 0)
    assert slopes(lambda x: sp.gammainc(0.5, x), 0) == (inf, -inf)
    assert slopes(lambda x: sp.gammainc(2, x), inf) == (0, 0)
    assert slopes(lambda x: sp.betainc(1, 3, x), 0) == (3, -6)
    assert slopes(lambda x: sp.betainc(3, 1, x), 1) == (3, 6)
    assert slopes(lambda x: sp.betainc(2, 2, x), 1) == (0, -6)
    assert slopes(lambda x: sp.betainc(3, 3, x), 0) == (0, 0)


# --- what is recorded -----------------------------------------------------------------------------
def test_an_order_is_a_constant():
    x = lh.variable([1.0, 2.0])
    for function, name in ((sp.jv, "jv"), (sp.gammainc, "gammainc"), (sp.zeta, "zeta")):
        with pytest.raises(NotImplementedError, match=rf"special\.{name} .* argument 1 of 2"):
            function(x, x)
    with pytest.raises(NotImplementedError, match="order"):
        polygamma(x, x)


def test_a_function_without_a_rule_says_so():
    x = lh.variable([1.0, 2.0])
    with pytest.raises(NotImplementedError, match="spence"):
        sp.spence(x)
    with pytest.raises(NotImplementedError, match="reduce"):
        sp.xlogy.reduce(x)


@pytest.mark.parametrize("function", [sp.logsumexp, sp.softmax, sp.log_softmax])
def test_what_scipy_writes_in_python_does_not_drop_derivatives(function):
    with pytest.raises(TypeError, match="a Variable does not turn into a plain array"):
        function(lh.variable([1.0, 2.0]))


def test_options_of_ufuncs():
    x = lh.variable(np.array([0.5, 1.0], np.float32))
    assert sp.erf(x, dtype=float).dtype == np.float64
    with pytest.raises(NotImplementedError, match="where"):
        sp.erf(x, where=[True, False])
    with pytest.raises(TypeError, match="out="):
        sp.erf(x, out=np.zeros(2))


def test_it_pickles_into_a_process_without_scipy_imported(tmp_path):
    x = lh.variable([0.5, 1.0])
    (tmp_path / "graph").write_bytes(pickle.dumps((np.sum(np.log1p(sp.log1p(x))), x)))
    code = (
        "import pickle, sys; import numpy as np, lazyhess as lh\n"
        "assert 'scipy' not in sys.modules\n"
        "y, x = pickle.load(open(sys.argv[1], 'rb'))\n"
        "print(*lh.hessian(y, x).diagonal())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "graph")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    want = lh.hessian(lambda x: np.sum(np.log1p(np.log1p(x))), x.value).diagonal()
    np.testing.assert_allclose(np.array(done.stdout.split(), float), want, 1e-14)


def test_importing_it_does_not_import_scipy():
    code = (
        "import sys, numpy as np, lazyhess as lh, lazyhess.special as s\n"
        "x = lh.variable([1.0, 2.0])\n"
        "for f in (s.logsumexp, s.softmax, s.log_softmax):\n"
        "    lh.hessian(lambda x: np.sum(f(x) ** 2), x.value)[:]\n"
        "assert 'scipy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- logsumexp, softmax ---------------------------------------------------------------------------
LOGSUMEXP = [
    ([[1.0, 2, 4], [3, 0, 5]], {}), ([[1.0, 2, 4], [3, 0, 5]], {"axis": 1}),
    ([[1.0, 2, 4], [3, 0, 5]], {"axis": (0,), "keepdims": True}), ([-inf, -inf], {}), (-inf, {}),
    ([inf, 1], {}), ([inf, -inf], {}), ([np.nan, 1], {}), ([0, -40], {}), ([1000, 1000], {}),
    (np.zeros((3, 0)), {"axis": 1}), (np.zeros((0, 3)), {"axis": 0, "keepdims": True}), (2.0, {}),
    (2.0, {"keepdims": True}), ([5.0, 4, 3], {"axis": ()}), (np.ones((2, 3, 4)), {"axis": (0, -1)}),
    ([1, 2], {"b": [1, -1.0]}), ([1, 2], {"b": [1, -1.0], "return_sign": True}),
    ([inf, 2], {"b": [0, 1.0]}), ([np.nan, 2], {"b": [0, 3.0]}), ([1, 2], {"b": [0.0, 0]}),
    ([1, 1], {"b": [1, -1.0], "return_sign": True}), ([inf, inf], {"b": [1, -1.0]}),
    ([inf, 1], {"b": [-1, 1.0], "return_sign": True}), ([1, 2, 3], {"b": 2.5}),
    ([[1.0, 2, 3]] * 2, {"b": [[-1], [2.0]], "axis": 0, "return_sign": True}),
    ([-inf, -inf], {"return_sign": True}), ([1, 2], {"return_sign": True}),
    (np.array([1.0, 2j]), {}), (np.array([1.0, 2j]), {"b": 2.0, "axis": 0}),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("a, kwargs", LOGSUMEXP)
def test_logsumexp_is_that_of_scipy(a, kwargs):
    want = sp.logsumexp(a, **kwargs)
    plain = logsumexp(a, **kwargs)
    a = np.asarray(a)
    recorded = logsumexp(lh.variable(a if a.dtype.kind in "fc" else a.astype(float)), **kwargs)
    if not kwargs.get("return_sign"):
        want, plain, recorded = (want,), (plain,), (recorded,)
    for w, p, r in zip(want, plain, recorded, strict=True):
        for got in (p, getattr(r, "value", r)):
            assert np.shape(got) == np.shape(w)
            assert got.dtype == w.dtype
            np.testing.assert_allclose(got, w, 1e-14)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("ours, theirs", [(softmax, sp.softmax), (log_softmax, sp.log_softmax)])
def test_softmax_is_that_of_scipy(ours, theirs):
    for x in ([1, 2], 3.0, [1000.0, 0], [-inf, 1], [np.nan, 1], [-inf, -inf], np.eye(3)):
        np.testing.assert_allclose(ours(x), theirs(x), 1e-14)
        np.testing.assert_allclose(ours(lh.variable(np.array(x, float))).value, theirs(x), 1e-14)
        assert np.shape(ours(x)) == np.shape(theirs(x))
    x = np.arange(24.0).reshape(2, 3, 4) / 7
    for axis in (None, 0, -1, (0, 2)):
        np.testing.assert_allclose(ours(x, axis), theirs(x, axis), 1e-14)
        np.testing.assert_allclose(ours(x, axis=axis), theirs(x, axis=axis), 1e-14)


def test_infinities_in_logsumexp():
    def shares(a, **kwargs):
        x = lh.variable(np.array(a, float))
        y = logsumexp(x, **kwargs)
        return lh.gradient(y, x).tolist(), np.asarray(lh.hessian(y, x)).tolist()

    assert shares([-inf, -inf]) == ([0, 0], [[0, 0], [0, 0]])
    assert shares([-inf, 1]) == ([0, 1], [[0, 0], [0, 0]])
    assert shares([inf, 1]) == ([1, 0], [[0, 0], [0, 0]])
    assert shares([inf, 1, inf])[0] == [0.5, 0, 0.5]
    assert shares([inf, 1, -inf], b=[0.0, 1, 1]) == ([0, 1, 0], [[0, 0, 0]] * 3)
    x = lh.variable(np.array([[-inf, -inf], [0.0, 0.0], [np.nan, 0.0]]))
    y = np.sum(logsumexp(x, axis=1)[:2])
    assert lh.gradient(y, x).tolist() == [[0, 0], [0.5, 0.5], [0, 0]]
    assert np.all(np.isfinite(lh.hessian(y, x)[:]))


def test_logsumexp_does_not_overflow_and_keeps_what_is_small():
    x = lh.variable([0.0, -40.0])
    y = logsumexp(x)
    np.testing.assert_allclose(y.value, np.exp(-40.0), 1e-15)
    np.testing.assert_allclose(lh.gradient(y, x), [1, np.exp(-40.0)], 1e-15)
    for shift in (-1e5, 1e5, 1e300):
        x = lh.variable([shift, shift])
        np.testing.assert_array_equal(lh.gradient(logsumexp(x), x), [0.5, 0.5])
        want = [[0.25, -0.25], [-0.25, 0.25]]
        np.testing.assert_array_equal(lh.hessian(logsumexp(x), x)[:], want)


def test_errors_of_arguments():
    x = lh.variable(np.ones((2, 3)))
    with pytest.raises(np.exceptions.AxisError):
        logsumexp(x, axis=2)
    with pytest.raises(ValueError, match="broadcast"):
        logsumexp(x, b=np.ones(2))
    with pytest.raises(NotImplementedError, match="return_sign"):
        logsumexp(lh.variable([1j]), return_sign=True)
    with pytest.raises(ValueError, match="condition a"):
        multigammaln(x, 5)
    with pytest.raises(ValueError, match="integer"):
        multigammaln(x, 1.5)
