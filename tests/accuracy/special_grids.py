"""The functions of `scipy.special`. Their values, and so some derivatives, are scipy's own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tests.accuracy.grids import GRIDS, LN10, Axis, Exact, Grid, Quantity, mp, unary

try:
    import lazyhess._primitives.special as rules
except ImportError:  # without scipy there is nothing to measure
    rules = None  # type: ignore[assignment]


def axis(low: float, high: float, *near: float, count: int = 24) -> Axis:
    return Axis(low, high, near=near, count=count)


def fixed(value: float) -> Axis:
    return Axis(value, value, also=(value,), count=1)


def bell(x: Any) -> Any:
    return 2 / mp.sqrt(mp.pi) * mp.exp(-x * x)


def density(x: Any) -> Any:
    return mp.npdf(x)


def ndtr(x: Any) -> Any:
    return mp.erfc(-x / mp.sqrt(2)) / 2


def expit(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def erfcx(x: Any) -> Any:
    return mp.exp(x * x) * mp.erfc(x)


def log_ndtr(x: Any) -> Any:
    return mp.log(ndtr(x)) if x < 5 else mp.log1p(-ndtr(-x))


def mills(x: Any) -> Any:
    return mp.npdf(x) / ndtr(x)


def solved(function: Exact, log_slope: Exact, x: Any, start: float) -> Any:
    """z with function(z) = x, by Newton on the logarithm."""
    z = mp.mpf(start)
    for _ in range(8):
        z -= mp.log(function(z) / x) / log_slope(z)
    return z


def erfcinv(x: Any) -> Any:
    import scipy.special as sp

    if x > 1:
        return -erfcinv(2 - x)
    if x == 1:
        return mp.zero
    return solved(mp.erfc, lambda z: -bell(z) / mp.erfc(z), x, float(sp.erfcinv(float(x))))


def ndtri(x: Any) -> Any:
    return -mp.sqrt(2) * erfcinv(2 * x)


def dawsn(x: Any) -> Any:
    return mp.sqrt(mp.pi) / 2 * mp.exp(-x * x) * mp.erfi(x)


def exprel(order: int, t: Any) -> Any:
    """The derivatives of (exp(t) - 1) / t."""
    if abs(t) < mp.mpf(10) ** -20:
        return mp.one / (order + 1) + t / (order + 2)
    if order == 0:
        return mp.expm1(t) / t
    return (mp.exp(t) - order * exprel(order - 1, t)) / t


def trigamma(x: Any) -> Any:
    return mp.psi(1, x)


def rgamma_1(x: Any) -> Any:
    if x >= 0.5:
        return -mp.psi(0, x) * mp.rgamma(x)
    y = 1 - x
    return mp.gamma(y) * (mp.cospi(x) - mp.sinpi(x) * mp.psi(0, y) / mp.pi)


def rgamma_2(x: Any) -> Any:
    if x >= 0.5:
        return mp.rgamma(x) * (mp.psi(0, x) ** 2 - trigamma(x))
    y = 1 - x
    bend = (mp.psi(0, y) ** 2 + trigamma(y)) / mp.pi - mp.pi
    return mp.gamma(y) * (mp.sinpi(x) * bend - 2 * mp.cospi(x) * mp.psi(0, y))


def lambert(x: Any) -> Any:
    return mp.lambertw(mp.exp(x)).real


ALL: dict[str, Grid] = {
    "erf": unary(mp.erf, bell, lambda x: -2 * x * bell(x), axis(-30, 30, 1)),
    "erfc": unary(mp.erfc, lambda x: -bell(x), lambda x: 2 * x * bell(x), axis(-30, 30, 1)),
    "erfcx": unary(
        erfcx,
        lambda x: 2 * x * erfcx(x) - 2 / mp.sqrt(mp.pi),
        lambda x: (2 + 4 * x * x) * erfcx(x) - 4 * x / mp.sqrt(mp.pi),
        axis(-20, 60, 1, 3),
    ),
    "erfi": unary(
        mp.erfi, lambda x: 2 / mp.sqrt(mp.pi) * mp.exp(x * x), lambda x: 4 * x / mp.sqrt(mp.pi) * mp.exp(x * x), axis(-26, 26, 1)
    ),
    "erfinv": unary(
        mp.erfinv,
        lambda x: 1 / bell(mp.erfinv(x)),
        lambda x: 2 * mp.erfinv(x) / bell(mp.erfinv(x)) ** 2,
        axis(-1, 1, 0.5, count=10),
    ),
    "erfcinv": unary(
        erfcinv, lambda x: -1 / bell(erfcinv(x)), lambda x: 2 * erfcinv(x) / bell(erfcinv(x)) ** 2, axis(1e-300, 1.999, 1, 0.5, count=10)
    ),
    "ndtr": unary(ndtr, density, lambda x: -x * density(x), axis(-37, 37, 1)),
    "log_ndtr": unary(log_ndtr, mills, lambda x: -mills(x) * (mills(x) + x), axis(-200, 30, 1, -4.25)),
    "ndtri": unary(
        ndtri, lambda x: 1 / density(ndtri(x)), lambda x: ndtri(x) / density(ndtri(x)) ** 2, axis(1e-300, 0.9999, 0.5, count=10)
    ),
    "dawsn": unary(
        dawsn,
        lambda x: 1 - 2 * x * dawsn(x),
        lambda x: -2 * dawsn(x) - 2 * x * (1 - 2 * x * dawsn(x)),
        axis(-20, 20, 1, 7),
    ),
    "expit": unary(
        expit,
        lambda x: expit(x) * expit(-x),
        lambda x: -expit(x) * expit(-x) * mp.tanh(x / 2),
        axis(-700, 700, 1),
    ),
    "logit": unary(
        lambda x: mp.log(x / (1 - x)),
        lambda x: 1 / (x * (1 - x)),
        lambda x: (2 * x - 1) / (x * (1 - x)) ** 2,
        axis(1e-30, 1 - 1e-6, 0.5),
    ),
    "log_expit": unary(
        lambda x: -mp.log1p(mp.exp(-x)), lambda x: expit(-x), lambda x: -expit(x) * expit(-x), axis(-700, 700, 1)
    ),
    "gamma": unary(
        mp.gamma,
        lambda x: mp.gamma(x) * mp.psi(0, x),
        lambda x: mp.gamma(x) * (mp.psi(0, x) ** 2 + trigamma(x)),
        axis(1e-100, 160, 1, 1.4616321449683622),
    ),
    "gammaln": unary(mp.loggamma, lambda x: mp.psi(0, x), trigamma, axis(1e-100, 1e100, 1, 2, 1.4616321449683622)),
    "loggamma": unary(mp.loggamma, lambda x: mp.psi(0, x), trigamma, axis(1e-100, 1e100, 1, 2, 1.4616321449683622)),
    "psi": unary(lambda x: mp.psi(0, x), trigamma, lambda x: mp.psi(2, x), axis(1e-100, 1e10, 1, 1.4616321449683622)),
    "rgamma": unary(
        mp.rgamma, rgamma_1, rgamma_2, axis(-20, 150, 1, 0.5, -1, -2, count=12),
        scale={(0,): lambda x: abs(mp.gamma(1 - x)) if x < 0.5 else 0, (0, 0): lambda x: abs(mp.gamma(1 - x)) if x < 0.5 else abs(mp.rgamma(x) * trigamma(x))},
    ),
    "entr": unary(lambda x: -x * mp.log(x), lambda x: -mp.log(x) - 1, lambda x: -1 / x, axis(0, 1e300, 1, 0.36787944117144233), scale={(0,): lambda x: 1}),
    "exprel": unary(
        lambda t: exprel(0, t), lambda t: exprel(1, t), lambda t: exprel(2, t), axis(-700, 700, 1, -1)
    ),
    "wrightomega": unary(
        lambert, lambda x: lambert(x) / (1 + lambert(x)), lambda x: lambert(x) / (1 + lambert(x)) ** 3, axis(-500, 1e6, 1, count=12)
    ),
    "exp1": unary(
        mp.e1, lambda x: -mp.exp(-x) / x, lambda x: mp.exp(-x) * (1 + x) / x**2, axis(1e-100, 700, 1)
    ),
    "expi": unary(
        mp.ei, lambda x: mp.exp(x) / x, lambda x: mp.exp(x) * (x - 1) / x**2, axis(-700, 700, 1, count=12)
    ),
    "exp10": unary(
        lambda x: mp.mpf(10) ** x, lambda x: LN10() * mp.mpf(10) ** x, lambda x: LN10() ** 2 * mp.mpf(10) ** x, axis(-300, 300, 1)
    ),
    "cosm1": unary(lambda x: -2 * mp.sin(x / 2) ** 2, lambda x: -mp.sin(x), lambda x: -mp.cos(x), axis(-100, 100, 1)),
    "ellipk": unary(
        mp.ellipk,
        lambda m: mp.pi / 8 * mp.hyp2f1(1.5, 1.5, 2, m),
        lambda m: 9 * mp.pi / 64 * mp.hyp2f1(2.5, 2.5, 3, m),
        axis(-100, 1 - 1e-3, 0.5, count=10),
    ),
    "ellipe": unary(
        mp.ellipe,
        lambda m: -mp.pi / 8 * mp.hyp2f1(0.5, 1.5, 2, m),
        lambda m: -3 * mp.pi / 64 * mp.hyp2f1(1.5, 2.5, 3, m),
        axis(-100, 1 - 1e-3, 0.5, count=10),
    ),
}  # fmt: skip
for _name in ("cbrt", "exp2", "expm1", "log1p"):
    ALL[_name] = GRIDS[_name]


# --- Bessel ---------------------------------------------------------------------------------------
def ladder(function: Any, below: int, above: int) -> tuple[Any, Any, Any]:
    """A function of order and x, with its derivatives in x."""

    def first(v: Any, x: Any) -> Any:
        return (below * function(v - 1, x) + above * function(v + 1, x)) / 2

    return function, first, lambda v, x: (below * first(v - 1, x) + above * first(v + 1, x)) / 2


def scaled(v: Any, x: Any) -> Any:
    return mp.besseli(v, x) * mp.exp(-abs(x))


def scaled_1(v: Any, x: Any) -> Any:
    return (scaled(v - 1, x) + scaled(v + 1, x)) / 2 - mp.sign(x) * scaled(v, x)


def scaled_2(v: Any, x: Any) -> Any:
    return (scaled_1(v - 1, x) + scaled_1(v + 1, x)) / 2 - mp.sign(x) * scaled_1(v, x)


BESSEL = {
    "j": (ladder(mp.besselj, 1, -1), axis(0.01, 30, 1, count=12)),
    "y": (ladder(mp.bessely, 1, -1), axis(1e-3, 30, 1, count=12)),
    "i": (ladder(mp.besseli, 1, 1), axis(0.01, 30, 1, count=12)),
    "k": (ladder(mp.besselk, -1, -1), axis(1e-3, 30, 1, count=12)),
    "ie": ((scaled, scaled_1, scaled_2), axis(0.01, 100, 25, count=12)),
}


def at_order(v: float, functions: tuple[Any, Any, Any], along: Axis) -> Grid:
    value, first, second = (lambda x, f=f: f(v, x) for f in functions)
    return unary(value, first, second, along)


def of_order(v: float, functions: tuple[Any, Any, Any], along: Axis) -> Grid:
    return Grid(
        functions[0], (fixed(v), Axis(1e-3, along.high, near=along.near, count=along.count)),
        (None, functions[1]), {(1, 1): functions[2]},
    )  # fmt: skip


for _kind, (_functions, _along) in BESSEL.items():
    for _order in (0, 1):
        ALL[f"{_kind[0]}{_order}{_kind[1:]}"] = at_order(_order, _functions, _along)
    ALL[f"{_kind[0]}v{_kind[1:]}"] = of_order(2.5, _functions, _along)
    if _kind in "yk":
        ALL[f"{_kind}n"] = of_order(2, _functions, _along)


# --- of several operands --------------------------------------------------------------------------
def last(value: Any, first: Any, second: Any, *axes: Axis) -> Grid:
    """The last operand has derivatives."""
    k = len(axes) - 1
    return Grid(value, axes, (*[None] * k, first), {(k, k): second})


def gammainc_1(a: Any, x: Any) -> Any:
    return mp.exp((a - 1) * mp.log(x) - x - mp.loggamma(a))


def betainc_1(a: Any, b: Any, x: Any) -> Any:
    return x ** (a - 1) * (1 - x) ** (b - 1) / mp.beta(a, b)


def boxcox(log: Any, base: Any) -> Grid:
    return Grid(
        lambda x, p: log(x) * exprel(0, p * log(x)),
        (axis(1e-10, 1e10, 1, count=6), axis(-5, 5, 1, count=6)),
        (lambda x, p: base(x) ** (p - 1), lambda x, p: log(x) ** 2 * exprel(1, p * log(x))),
        {
            (0, 0): lambda x, p: (p - 1) * base(x) ** (p - 2),
            (0, 1): lambda x, p: log(x) * base(x) ** (p - 1),
            (1, 1): lambda x, p: log(x) ** 3 * exprel(2, p * log(x)),
        },
    )  # fmt: skip


def inverse_boxcox(less: int) -> Grid:
    def power(y: Any, p: Any, n: int) -> Any:
        return (1 + p * y) ** (1 / p - n) if p else mp.exp(y)

    return Grid(
        lambda y, p: power(y, p, 0) - less,
        (axis(1e-10, 5, 1, count=12), fixed(0.25)),
        (lambda y, p: power(y, p, 1), None),
        {(0, 0): lambda y, p: (1 - p) * power(y, p, 2)},
    )


def logs(value: Any, first: Any, second: Any, low: float) -> Grid:
    return Grid(value, (axis(-1e3, 1e3, 1, count=6), axis(low, 1e3, 1, count=6)), first, second)


def beta(a: Any, b: Any) -> Any:
    return mp.beta(a, b)


def gap(n: int, a: Any, b: Any) -> Any:
    return mp.psi(n, a) - mp.psi(n, a + b)


POSITIVE = axis(1e-3, 50, 1, count=2)
RELATIVE = (axis(1e-100, 1e100, 1, count=6), axis(1e-100, 1e100, 1, count=6))
CURVED = {
    (0, 0): lambda x, y: 1 / x,
    (0, 1): lambda x, y: -1 / y,
    (1, 1): lambda x, y: x / y**2,
}


def phu(d: Any, r: Any) -> Any:
    return mp.sqrt(1 + (r / d) ** 2)


def no_ties(*operands: Any) -> Any:
    return np.abs(operands[1]) != operands[0]


ALL |= {
    "zeta": last(
        lambda s, q: mp.zeta(s, q),
        lambda s, q: -s * mp.zeta(s + 1, q),
        lambda s, q: s * (s + 1) * mp.zeta(s + 2, q),
        fixed(2.5), axis(1e-5, 1e5, 1, count=10),
    ),
    "gammainc": last(
        lambda a, x: mp.gammainc(a, 0, x, regularized=True),
        gammainc_1, lambda a, x: gammainc_1(a, x) * ((a - 1) / x - 1),
        fixed(20.5), axis(1e-3, 100, 20.5, count=10),
    ),
    "gammaincc": last(
        lambda a, x: mp.gammainc(a, x, regularized=True),
        lambda a, x: -gammainc_1(a, x), lambda a, x: -gammainc_1(a, x) * ((a - 1) / x - 1),
        fixed(20.5), axis(1e-3, 100, 20.5, count=10),
    ),
    "betainc": last(
        lambda a, b, x: mp.betainc(a, b, 0, x, regularized=True),
        betainc_1, lambda a, b, x: betainc_1(a, b, x) * ((a - 1) / x - (b - 1) / (1 - x)),
        fixed(2.5), fixed(30.5), axis(1e-3, 0.99, 0.5, count=8),
    ),
    "betaincc": last(
        lambda a, b, x: mp.betainc(a, b, x, 1, regularized=True),
        lambda a, b, x: -betainc_1(a, b, x),
        lambda a, b, x: -betainc_1(a, b, x) * ((a - 1) / x - (b - 1) / (1 - x)),
        fixed(2.5), fixed(30.5), axis(1e-3, 0.99, 0.5, count=8),
    ),
    "expn": last(
        mp.expint,
        lambda n, x: -mp.expint(n - 1, x),
        lambda n, x: mp.expint(n - 2, x),
        fixed(3), axis(1e-3, 500, 1, count=10),
    ),
    "hyp2f1": last(
        mp.hyp2f1,
        lambda a, b, c, x: a * b / c * mp.hyp2f1(a + 1, b + 1, c + 1, x),
        lambda a, b, c, x: a * b / c * (a + 1) * (b + 1) / (c + 1) * mp.hyp2f1(a + 2, b + 2, c + 2, x),
        fixed(0.5), fixed(1.25), fixed(2.25), axis(-10, 0.9, 0.5, count=8),
    ),
    "beta": Grid(
        beta, (POSITIVE, POSITIVE),
        scale={(0, 1): lambda a, b: beta(a, b) * gap(0, a, b) * gap(0, b, a)},
        first=(lambda a, b: beta(a, b) * gap(0, a, b), lambda a, b: beta(a, b) * gap(0, b, a)),
        second={
            (0, 0): lambda a, b: beta(a, b) * (gap(0, a, b) ** 2 + gap(1, a, b)),
            (0, 1): lambda a, b: beta(a, b) * (gap(0, a, b) * gap(0, b, a) - trigamma(a + b)),
            (1, 1): lambda a, b: beta(a, b) * (gap(0, b, a) ** 2 + gap(1, b, a)),
        },
    ),
    "betaln": Grid(
        lambda a, b: mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b),
        (axis(1e-3, 1e8, 1, count=2),) * 2,
        (lambda a, b: gap(0, a, b), lambda a, b: gap(0, b, a)),
        {
            (0, 0): lambda a, b: gap(1, a, b),
            (0, 1): lambda a, b: -trigamma(a + b),
            (1, 1): lambda a, b: gap(1, b, a),
        },
    ),
    "xlogy": logs(
        lambda x, y: x * mp.log(y) if x else mp.zero,
        (lambda x, y: mp.log(y), lambda x, y: x / y),
        {(0, 1): lambda x, y: 1 / y, (1, 1): lambda x, y: -x / y**2}, 1e-100,
    ),
    "xlog1py": logs(
        lambda x, y: x * mp.log1p(y) if x else mp.zero,
        (lambda x, y: mp.log1p(y), lambda x, y: x / (1 + y)),
        {(0, 1): lambda x, y: 1 / (1 + y), (1, 1): lambda x, y: -x / (1 + y) ** 2}, -0.99,
    ),
    "rel_entr": Grid(
        lambda x, y: x * mp.log(x / y), RELATIVE,
        (lambda x, y: mp.log(x / y) + 1, lambda x, y: -x / y), CURVED,
        scale={(0,): lambda x, y: 1},
    ),
    "kl_div": Grid(
        lambda x, y: x * mp.log(x / y) - x + y, RELATIVE,
        (lambda x, y: mp.log(x / y), lambda x, y: 1 - x / y), CURVED,
    ),
    "huber": Grid(
        lambda d, r: r * r / 2 if abs(r) <= d else d * (abs(r) - d / 2),
        (axis(1e-5, 1e5, 1, count=6), axis(-1e5, 1e5, 1, count=6)),
        (lambda d, r: max(abs(r) - d, mp.zero), lambda d, r: max(min(r, d), -d)),
        {
            (0, 0): lambda d, r: -mp.one * (abs(r) > d),
            (0, 1): lambda d, r: mp.sign(r) * (abs(r) > d),
            (1, 1): lambda d, r: mp.one * (abs(r) <= d),
        },
        within=no_ties,
    ),
    "pseudo_huber": Grid(
        lambda d, r: r * r / (phu(d, r) + 1),
        (axis(1e-5, 1e5, 1, count=6), axis(-1e5, 1e5, 1, count=6)),
        (
            lambda d, r: r**4 / d**3 / ((phu(d, r) + 1) ** 2 * phu(d, r)),
            lambda d, r: r / phu(d, r),
        ),
        {
            (0, 0): lambda d, r: -((r / d) ** 4) * (1 + 2 * phu(d, r)) / (phu(d, r) ** 3 * (1 + phu(d, r)) ** 2),
            (0, 1): lambda d, r: (r / d) ** 3 / phu(d, r) ** 3,
            (1, 1): lambda d, r: phu(d, r) ** -3,
        },
    ),
    "boxcox": boxcox(mp.log, lambda x: x),
    "boxcox1p": boxcox(mp.log1p, lambda x: 1 + x),
    "inv_boxcox": inverse_boxcox(0),
    "inv_boxcox1p": inverse_boxcox(1),
}  # fmt: skip

# --- bounds ---------------------------------------------------------------------------------------
# In ulp. Values are scipy's own; where they cross zero their relative error has no bound. What the
# derivatives lose beyond the rule for NumPy's functions is in the values that they are made of, in
# exponents of a hundred and more, or, for Bessel functions times exp(-x) and dawsn, in differences.
VALUES = {
    "beta": 128, "betainc": 32, "betaincc": np.inf, "betaln": np.inf, "boxcox": 32, "boxcox1p": 32,
    "cosm1": 1024, "dawsn": 32, "erfc": 128, "erfcx": 256, "erfi": 128, "exp1": 32, "expi": 64,
    "expn": 32, "gammainc": 256, "gammaincc": 256, "gammaln": np.inf, "loggamma": np.inf,
    "hyp2f1": 64, "ive": 512, "j0": 512, "j1": 512, "jv": 512, "kl_div": np.inf, "log_ndtr": 1024,
    "ndtr": 1024, "wrightomega": 64, "y0": 512, "y1": 512, "yn": 2048, "yv": 128,
}  # fmt: skip
DERIVATIVES = {
    "beta": 128, "betainc": 256, "betaincc": 256, "betaln": 16, "boxcox": 64, "boxcox1p": 64,
    "dawsn": 16384, "ellipe": 64, "ellipk": 64, "erfcinv": 64, "erfinv": 64, "erfcx": 256,
    "expn": 64, "exprel": 64, "gamma": 16, "gammainc": 256, "gammaincc": 256, "hyp2f1": 128,
    "i0e": 8192, "i1e": 8192, "i1": 16, "ive": 16384, "j0": 512, "j1": 1024, "jv": 512,
    "log_ndtr": 256, "ndtri": 64, "pseudo_huber": 16, "rgamma": 64, "wrightomega": 64, "y0": 512,
    "y1": 512, "yn": 512, "yv": 64,
}  # fmt: skip


def bounded(name: str, grid: Grid) -> Grid:
    orders = range(len(grid.axes))
    derivatives = [(k,) for k in orders] + [(k, l) for k in orders for l in orders if k <= l]
    limits: dict[tuple[Quantity, str], float] = {
        (quantity, "float64"): DERIVATIVES.get(name, 8) for quantity in derivatives
    }
    limits |= {((), dtype): VALUES.get(name, 8) for dtype in ("float64", "float32")}
    return replace(grid, bounds=limits)


if rules is not None:
    GRIDS |= {f"scipy.special.{name}": bounded(name, grid) for name, grid in ALL.items()}
