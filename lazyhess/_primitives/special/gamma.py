"""Gamma, beta, and their relatives; the incomplete ones in their last argument."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special as sp

from lazyhess._create import asarray
from lazyhess._decisions import everywhere, nowhere
from lazyhess._primitives.special.base import PI, Special, series, unary
from lazyhess._record.variable import value_of

LOG_ROOT_2PI = 0.5 * math.log(2 * math.pi)
# Bernoulli numbers B_2, B_4, ...: Stirling's series and its derivatives are made of them.
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)


class _Named:
    """Takes the place of an operand to learn which ufunc a function of scipy's calls."""

    def __array_ufunc__(self, ufunc: np.ufunc, *args: Any, **kwargs: Any) -> np.ufunc:
        return ufunc


ZETA: np.ufunc = sp.zeta(2.0, _Named())
Special(
    ZETA,
    (None, lambda z, s, q: -s * sp.zeta(s + 1.0, q)),
    {(1, 1): lambda z, s, q: s * (s + 1.0) * sp.zeta(s + 2.0, q)},
    name="zeta",
)


def trigamma(x: Any) -> Any:
    """The derivative of digamma."""
    left = value_of(x) < 0
    if nowhere(left):
        return sp.zeta(2.0, x)
    # Reflected: the sum of zeta would be as long as x is far from zero.
    sine = np.sin(PI * (x - np.rint(value_of(x))))
    reflected = np.square(PI / sine) - sp.zeta(2.0, np.where(left, 1 - x, 1.0))
    return np.where(left, reflected, sp.zeta(2.0, np.where(left, 1.0, x)))


def _rgamma_1(z: Any, x: Any) -> Any:
    left = value_of(x) < 0.5
    plain = -z * sp.psi(np.where(left, 1.0, x))
    if nowhere(left):
        return plain
    # 1 / gamma(x) = sin(pi x) gamma(1 - x) / pi, which has no poles to cancel.
    y = np.where(left, 1 - x, 1.0)
    sine, cosine = _turn(x)
    return np.where(left, sp.gamma(y) * (cosine - sine * sp.psi(y) / PI), plain)


def _rgamma_2(z: Any, x: Any) -> Any:
    left = value_of(x) < 0.5
    right = np.where(left, 1.0, x)
    plain = z * (np.square(sp.psi(right)) - trigamma(right))
    if nowhere(left):
        return plain
    y = np.where(left, 1 - x, 1.0)
    sine, cosine = _turn(x)
    psi = sp.psi(y)
    curved = sine * ((np.square(psi) + trigamma(y)) / PI - PI) - 2 * cosine * psi
    return np.where(left, sp.gamma(y) * curved, plain)


def _turn(x: Any) -> tuple[Any, Any]:
    """The sine and the cosine of pi x."""
    whole = np.rint(value_of(x))
    sign = 1 - 2 * np.remainder(whole, 2)
    return sign * np.sin(PI * (x - whole)), sign * np.cos(PI * (x - whole))


unary(
    sp.gamma,
    lambda z, x: z * sp.psi(x),
    lambda z, x: z * (np.square(sp.psi(x)) + trigamma(x)),
)
unary(sp.gammaln, lambda z, x: sp.psi(x), lambda z, x: trigamma(x))
unary(sp.loggamma, lambda z, x: sp.psi(x), lambda z, x: trigamma(x))
unary(sp.psi, lambda z, x: trigamma(x), lambda z, x: -2 * sp.zeta(3.0, x))
unary(sp.rgamma, _rgamma_1, _rgamma_2)


def _gaps(a: Any, b: Any) -> tuple[Any, Any]:
    """psi(a + b) - psi(a) and trigamma(a) - trigamma(a + b), in sums of positive terms."""
    careful = (value_of(a) > 0) & (value_of(b) > 0)
    if everywhere(careful):
        return _careful_gaps(a, b)
    p, q = np.where(careful, a, 1.0), np.where(careful, b, 1.0)
    plain = sp.psi(a + b) - sp.psi(a), trigamma(a) - trigamma(a + b)
    return tuple(np.where(careful, *both) for both in zip(_careful_gaps(p, q), plain, strict=True))


def _careful_gaps(a: Any, b: Any) -> tuple[Any, Any]:
    first, second = 0.0, 0.0
    for _ in range(10):  # the recurrence, up to where the series are good
        low, high = 1 / a, 1 / (a + b)
        step = b * low * high
        first = first + step
        second = second + step * (low + high)
        a = a + 1
    low, high = 1 / a, 1 / (a + b)
    power, top = b * low * high, high  # lowᵐ - highᵐ and highᵐ, from m = 1 on
    step = power
    first = first + np.log1p(b * low) + power / 2
    second = second + power
    power, top = low * power + top * step, top * high
    second = second + power / 2
    for k, number in enumerate(BERNOULLI, 1):
        first = first + number / (2 * k) * power
        power, top = low * power + top * step, top * high
        second = second + number * power
        power, top = low * power + top * step, top * high
    return first, second


def _beta_11(z: Any, a: Any, b: Any) -> Any:
    slope, bend = _gaps(a, b)
    return z * (np.square(slope) + bend)


Special(
    sp.beta,
    (lambda z, a, b: -z * _gaps(a, b)[0], lambda z, a, b: -z * _gaps(b, a)[0]),
    {
        (0, 0): _beta_11,
        (0, 1): lambda z, a, b: z * (_gaps(a, b)[0] * _gaps(b, a)[0] - trigamma(a + b)),
        (1, 1): lambda z, a, b: _beta_11(z, b, a),
    },
)
Special(
    sp.betaln,
    (lambda z, a, b: -_gaps(a, b)[0], lambda z, a, b: -_gaps(b, a)[0]),
    {
        (0, 0): lambda z, a, b: _gaps(a, b)[1],
        (0, 1): lambda z, a, b: -trigamma(a + b),
        (1, 1): lambda z, a, b: _gaps(b, a)[1],
    },
)


def _stirling(a: Any) -> Any:
    """What Stirling's formula for log(gamma(a + 1)) leaves; `a` is a constant."""
    a = asarray(a) * 1.0
    large = np.where(a >= 10, a, 10.0)
    terms = [number / (2 * k * (2 * k - 1)) for k, number in enumerate(BERNOULLI, 1)]
    small = np.where(a >= 10, 1.0, a)
    rest = sp.gammaln(small + 1) - (small + 0.5) * np.log(small) + small - LOG_ROOT_2PI
    return np.where(a >= 10, series(terms, 1 / np.square(large)) / large, rest)


def _deviance(u: Any, v: Any) -> Any:
    """Give u log(u / v) + v - u without cancellation (C. Loader, 2000); `u` is a constant."""
    gap, mean = u - v, u + v
    close = np.abs(value_of(gap)) < 0.1 * value_of(mean)
    s = np.where(close, gap / mean, 0.0)
    odd = series([2 / (2 * j + 1) for j in range(1, 11)], s * s)
    return np.where(close, gap * s + u * s * (s * s) * odd, sp.xlogy(u, u / v) - gap)


def _gammainc_1(z: Any, a: Any, x: Any) -> Any:
    # x^(a-1) exp(-x) / gamma(a)
    inside = (value_of(x) > 0) & (value_of(x) < np.inf)
    u = np.where(inside, x, 1.0)
    density = np.sqrt(a / (2 * PI)) * np.exp(-_stirling(a) - _deviance(a, u)) / u
    return np.where(
        inside, density, _edge(x, 0, np.where(np.less(a, 1), np.inf, np.equal(a, 1) * 1.0))
    )


def _gammainc_2(z: Any, a: Any, x: Any) -> Any:
    inside = (value_of(x) > 0) & (value_of(x) < np.inf)
    u = np.where(inside, x, 1.0)
    slope = _gammainc_1(z, a, u) * ((a - 1 - u) / u)
    return np.where(inside, slope, _edge(x, 0, _edge_slope(a, -1.0, 1.0)))


def _edge(x: Any, at: float, there: Any) -> Any:
    """A value at one end of an interval, zero at the other, NaN beyond both."""
    x = value_of(x)
    return np.where(x == at, there, np.where((x == np.inf) | (x == 1 - at), 0.0, np.nan))


def _edge_slope(a: Any, one: Any, two: Any) -> Any:
    """The slope at 0 of a density like x^(a-1), given that for a = 1 and for a = 2."""
    return np.select(
        [np.less(a, 1), np.equal(a, 1), np.less(a, 2), np.equal(a, 2)], [-np.inf, one, np.inf, two]
    )


Special(sp.gammainc, (None, _gammainc_1), {(1, 1): _gammainc_2})
Special(
    sp.gammaincc,
    (None, lambda z, a, x: -_gammainc_1(z, a, x)),
    {(1, 1): lambda z, a, x: -_gammainc_2(z, a, x)},
)


def _betainc_1(z: Any, a: Any, b: Any, x: Any) -> Any:
    # x^(a-1) (1-x)^(b-1) / beta(a, b)
    inside = (value_of(x) > 0) & (value_of(x) < 1)
    u = np.where(inside, x, 0.5)
    n = np.add(a, b)
    weight = np.sqrt(a / n * (b / (2 * PI)))
    spare = _stirling(n) - _stirling(a) - _stirling(b)
    density = (
        weight * np.exp(spare - _deviance(a, n * u) - _deviance(b, n * (1 - u))) / (u * (1 - u))
    )
    ends = [np.where(np.less(p, 1), np.inf, np.equal(p, 1) * q) for p, q in ((a, b), (b, a))]
    return np.where(inside, density, np.where(value_of(x) == 0, ends[0], _edge(x, 1, ends[1])))


def _betainc_2(z: Any, a: Any, b: Any, x: Any) -> Any:
    inside = (value_of(x) > 0) & (value_of(x) < 1)
    u = np.where(inside, x, 0.5)
    slope = _betainc_1(z, a, b, u) * ((a - 1) / u - (b - 1) / (1 - u))
    low, high = (_edge_slope(p, -q * (q - 1.0), q * (q + 1.0)) for p, q in ((a, b), (b, a)))
    return np.where(inside, slope, np.where(value_of(x) == 0, low, _edge(x, 1, -high)))


Special(sp.betainc, (None, None, _betainc_1), {(2, 2): _betainc_2})
Special(
    sp.betaincc,
    (None, None, lambda z, a, b, x: -_betainc_1(z, a, b, x)),
    {(2, 2): lambda z, a, b, x: -_betainc_2(z, a, b, x)},
)
