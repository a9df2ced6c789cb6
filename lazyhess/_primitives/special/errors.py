"""Logistic functions, and the error functions in both of their scales."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as sp

from lazyhess._decisions import nowhere
from lazyhess._primitives.special.base import ROOT_2PI, series, times, unary
from lazyhess._record.variable import value_of

SQRT2 = float(np.sqrt(2.0))
ROOT_PI = float(np.sqrt(np.pi))
ROOT_2_PI = float(np.sqrt(2 / np.pi))


# --- logistic -------------------------------------------------------------------------------------
unary(
    sp.expit,
    lambda z, x: z * sp.expit(-x),
    lambda z, x: -z * sp.expit(-x) * np.tanh(0.5 * x),
)
unary(
    sp.logit,
    lambda z, x: 1 / (x * (1 - x)),
    lambda z, x: (2 * x - 1) / np.square(x * (1 - x)),
)
unary(
    sp.log_expit,
    lambda z, x: sp.expit(-x),
    lambda z, x: -sp.expit(x) * sp.expit(-x),
)

# --- error functions ------------------------------------------------------------------------------
# E_n(t) = exp(t²) iⁿerfc(t), with the repeated integrals of erfc, so that E_0 = erfcx. By
# DLMF 7.18, E_n' = -2 (n + 1) E_(n+1) and E_n / E_(n-1) = (1/2) / (t + (n + 1) E_(n+1) / E_n).
FAR = 2.0


def _ladder(t: Any) -> tuple[Any, Any]:
    """E_1 / E_0 and E_2 / E_1 for t >= `FAR`."""
    ratio = 0.5 / t
    for n in range(64, 2, -1):
        ratio = 0.5 / (t + n * ratio)
    return 0.5 / (t + 2 * ratio), ratio


def _near_and_far(t: Any, near: Any, far: Callable[[Any, Any, Any], Any]) -> Any:
    """`near`, and beyond `FAR` what `far` makes of t, E_1 / E_0 and E_2 / E_1."""
    beyond = t > FAR
    if nowhere(beyond):
        return near
    t = np.where(beyond, t, FAR)
    return np.where(beyond, far(t, *_ladder(t)), near)


def _exp_square(x: Any, factor: float) -> Any:
    """exp(factor x²), with a square that is not rounded: it would be wrong by x² ulp."""
    whole = np.rint(value_of(x) * 16) / 16
    whole = np.where(np.abs(whole) < 64, whole, 0)
    return np.exp(factor * (whole * whole)) * np.exp(factor * ((x - whole) * (x + whole)))


def _bell(x: Any) -> Any:
    return 2 / ROOT_PI * _exp_square(x, -1.0)


def _density(x: Any) -> Any:
    return _exp_square(x, -0.5) / ROOT_2PI


def _erfcx_1(z: Any, x: Any) -> Any:
    return _near_and_far(x, 2 * x * z - 2 / ROOT_PI, lambda t, q, r: -2 * q * z)


def _erfcx_2(z: Any, x: Any) -> Any:
    near = 2 * z + 2 * x * (2 * x * z - 2 / ROOT_PI)
    return _near_and_far(x, near, lambda t, q, r: 8 * q * r * z)


def _mills(x: Any) -> Any:
    """The normal density over its distribution function."""
    return ROOT_2_PI / sp.erfcx(x / -SQRT2)


def _log_ndtr_2(z: Any, x: Any) -> Any:
    mills = _mills(x)
    return _near_and_far(
        x / -SQRT2,
        -times(mills, mills + x),
        lambda t, q, r: -1 / (1 + 2 * r / t) - 2 * q * q,
    )


def _grown(z: Any, tail: Any) -> Any:
    """exp(z²) where erfc(z) = tail."""
    return np.where(tail == 0, np.inf, sp.erfcx(z) / np.where(tail == 0, 1, tail))


def _erfinv_1(z: Any, x: Any) -> Any:
    grown = np.where(value_of(z) > 0, _grown(z, 1 - x), _grown(-z, 1 + x))
    return 0.5 * ROOT_PI * grown


def _erfcinv_1(z: Any, x: Any) -> Any:
    grown = np.where(value_of(z) > 0, _grown(z, x), _grown(-z, 2 - x))
    return -0.5 * ROOT_PI * grown


def _ndtri_1(z: Any, x: Any) -> Any:
    t = z / SQRT2
    grown = np.where(value_of(z) > 0, _grown(t, 2 - 2 * x), _grown(-t, 2 * x))
    return ROOT_2PI * grown


unary(sp.erf, lambda z, x: _bell(x), lambda z, x: -times(_bell(x), 2 * x))
unary(sp.erfc, lambda z, x: -_bell(x), lambda z, x: times(_bell(x), 2 * x))
unary(sp.erfcx, _erfcx_1, _erfcx_2)
unary(
    sp.erfi,
    lambda z, x: 2 / ROOT_PI * _exp_square(x, 1.0),
    lambda z, x: times(_exp_square(x, 1.0), 4 / ROOT_PI * x),
)
unary(sp.ndtr, lambda z, x: _density(x), lambda z, x: -times(_density(x), x))
unary(sp.log_ndtr, lambda z, x: _mills(x), _log_ndtr_2)
unary(sp.erfinv, _erfinv_1, lambda z, x: 2 * z * np.square(_erfinv_1(z, x)))
unary(sp.erfcinv, _erfcinv_1, lambda z, x: 2 * z * np.square(_erfcinv_1(z, x)))
unary(sp.ndtri, _ndtri_1, lambda z, x: z * np.square(_ndtri_1(z, x)))

# dawsn(x) = sum of (2k-1)!! / (2^(k+1) x^(2k+1)) for large x.
_DAWSN = [1.0]
for _k in range(1, 26):
    _DAWSN.append(_DAWSN[-1] * (2 * _k - 1) / 2)
_DAWSN_1 = [-0.5 * (2 * k + 1) * c for k, c in enumerate(_DAWSN)]
_DAWSN_2 = [0.5 * (2 * k + 1) * (2 * k + 2) * c for k, c in enumerate(_DAWSN)]


def _dawsn(x: Any, near: Any, coefficients: list[float], odd: bool) -> Any:
    beyond = np.abs(value_of(x)) > 7
    if nowhere(beyond):
        return near
    u = 1 / np.where(beyond, x, 7.0)
    far = series(coefficients, u * u) * (u * u * u if odd else u * u)
    return np.where(beyond, far, near)


def _dawsn_1(z: Any, x: Any) -> Any:
    return _dawsn(x, 1 - 2 * x * z, _DAWSN_1, odd=False)


def _dawsn_2(z: Any, x: Any) -> Any:
    return _dawsn(x, -2 * z - 2 * x * (1 - 2 * x * z), _DAWSN_2, odd=True)


unary(sp.dawsn, _dawsn_1, _dawsn_2)
