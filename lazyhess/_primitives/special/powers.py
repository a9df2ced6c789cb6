"""Exponentials, exponential integrals, logarithms and powers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as sp

from lazyhess._create import asarray
from lazyhess._decisions import everywhere
from lazyhess._primitives.base import Elementwise
from lazyhess._primitives.special.base import Special, series, times, unary
from lazyhess._record.variable import value_of

LN10 = float(np.log(10.0))


# --- what NumPy has too ---------------------------------------------------------------------------
for _name in ("cbrt", "exp2", "expm1", "log1p"):
    _same = Elementwise.table[_name]
    Special(getattr(sp, _name), _same.first, _same.second)
unary(sp.exp10, lambda z, x: LN10 * z, lambda z, x: LN10 * LN10 * z)
unary(sp.cosm1, lambda z, x: -np.sin(x), lambda z, x: -np.cos(x))
unary(sp.round, 0)
unary(sp.gammasgn, 0)


# --- exponentials and powers ----------------------------------------------------------------------
def _exprel(t: Any, order: int) -> Any:
    """The integral of s^order exp(s t) over 0 <= s <= 1: the derivatives of (exp(t) - 1) / t."""
    near = np.abs(value_of(t)) < 1
    terms, factorial = [], 1.0
    for k in range(18):
        terms.append(1 / (factorial * (k + order + 1)))
        factorial *= k + 1
    close = series(terms, np.where(near, t, 0))
    if everywhere(near):
        return close
    u = np.where(near, 1, t)
    grown = np.exp(u)
    if order == 1:
        far = ((1 - 1 / u) * grown + 1 / u) / u
    else:
        far = ((1 - 2 / u + 2 / u / u) * grown - 2 / u / u) / u
    return np.where(near, close, np.where(value_of(u) == -np.inf, 0.0, far))


unary(sp.exprel, lambda z, x: _exprel(x, 1), lambda z, x: _exprel(x, 2))


def _boxcox(ufunc: np.ufunc, base: Callable[[Any], Any], log: Callable[[Any], Any]) -> None:
    """(base^λ - 1) / λ = L exprel(λ L), with L the logarithm of the base."""
    Special(
        ufunc,
        (
            lambda z, x, p: np.power(base(x), p - 1),
            lambda z, x, p: np.square(log(x)) * _exprel(p * log(x), 1),
        ),
        {
            (0, 0): lambda z, x, p: times(p - 1, np.power(base(x), p - 2)),
            (0, 1): lambda z, x, p: log(x) * np.power(base(x), p - 1),
            (1, 1): lambda z, x, p: log(x) ** 3 * _exprel(p * log(x), 2),
        },
    )


def _inverse_boxcox(ufunc: np.ufunc) -> None:
    Special(
        ufunc,
        (lambda z, y, p: _inv_boxcox(y, p) / (1 + p * y), None),
        {(0, 0): lambda z, y, p: times(1 - asarray(p), _inv_boxcox(y, p) / (1 + p * y) ** 2)},
    )


def _inv_boxcox(y: Any, p: Any) -> Any:
    return sp.inv_boxcox(y, p)


_boxcox(sp.boxcox, lambda x: x, np.log)
_boxcox(sp.boxcox1p, lambda x: 1 + x, np.log1p)
_inverse_boxcox(sp.inv_boxcox)
_inverse_boxcox(sp.inv_boxcox1p)
unary(sp.wrightomega, lambda z, x: z / (1 + z), lambda z, x: z / (1 + z) ** 3)
unary(sp.exp1, lambda z, x: -np.exp(-x) / x, lambda z, x: np.exp(-x) * ((1 + x) / x) / x)
unary(sp.expi, lambda z, x: np.exp(x) / x, lambda z, x: np.exp(x) * ((x - 1) / x) / x)


def _expn(n: Any, x: Any) -> Any:
    """The exponential integral of order n >= -2."""
    n = asarray(n)
    if everywhere(n >= 0):
        return sp.expn(n, x)
    small = np.where(n == -1, (1 + x) / x, (x * x + 2 * x + 2) / (x * x)) * np.exp(-x) / x
    return np.where(n >= 0, sp.expn(np.maximum(n, 0), x), small)


Special(
    sp.expn,
    (None, lambda z, n, x: -_expn(np.subtract(n, 1), x)),
    {(1, 1): lambda z, n, x: _expn(np.subtract(n, 2), x)},
)
