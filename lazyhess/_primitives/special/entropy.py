"""Entropies, for which 0 log 0 = 0, and robust losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special as sp

from lazyhess._decisions import nowhere
from lazyhess._primitives.base import Formula
from lazyhess._primitives.special.base import Special, unary
from lazyhess._record.variable import value_of

TINY = float(np.finfo(float).tiny)


# --- entropies ------------------------------------------------------------------------------------
def _absent(x: Any, y: Any) -> Any:
    """Where x log y is 0 because x is, and log y is no number."""
    return (value_of(x) == 0) & (value_of(y) <= 0)


def unless(mask: Any, derivative: Any) -> Any:
    return derivative if nowhere(mask) else np.where(mask, 0, derivative)


def _log_ratio(x: Any, y: Any) -> Any:
    """log(x / y), exact where they are close."""
    gap = (x - y) / y
    close = np.abs(value_of(gap)) < 0.5
    ratio = value_of(x) / value_of(y)
    far = np.log(np.where(close, 1, x / y))
    extreme = ((ratio == np.inf) | (ratio < TINY)) & (value_of(x) > 0) & (value_of(y) > 0)
    if not nowhere(extreme):  # the quotient overflows, or underflows
        far = np.where(extreme, np.log(x) - np.log(y), far)
    return np.where(close, np.log1p(np.where(close, gap, 0)), far)


def _over_square(x: Any, y: Any) -> Any:
    """Give x / y², where a zero of x wins over a pole."""
    return unless(value_of(x) == 0, x / y / y)


Special(
    sp.xlogy,
    (
        lambda z, x, y: unless(_absent(x, y), np.log(y)),
        lambda z, x, y: unless(value_of(x) == 0, x / y),
    ),
    {
        (0, 1): lambda z, x, y: unless(_absent(x, y), 1 / y),
        (1, 1): lambda z, x, y: -_over_square(x, y),
    },
)
Special(
    sp.xlog1py,
    (
        lambda z, x, y: unless(_absent(x, 1 + y), np.log1p(y)),
        lambda z, x, y: unless(value_of(x) == 0, x / (1 + y)),
    ),
    {
        (0, 1): lambda z, x, y: unless(_absent(x, 1 + y), 1 / (1 + y)),
        (1, 1): lambda z, x, y: -_over_square(x, 1 + y),
    },
)
unary(sp.entr, lambda z, x: -np.log(x) - 1, lambda z, x: -1 / x)
_RELATIVE: dict[tuple[int, int], Formula] = {
    (0, 0): lambda z, x, y: unless(_absent(x, y), 1 / x),
    (0, 1): lambda z, x, y: unless(_absent(x, y), -1 / y),
    (1, 1): lambda z, x, y: _over_square(x, y),
}
Special(
    sp.rel_entr,
    (
        lambda z, x, y: unless(_absent(x, y), _log_ratio(x, y) + 1),
        lambda z, x, y: -unless(value_of(x) == 0, x / y),
    ),
    _RELATIVE,
)
Special(
    sp.kl_div,
    (
        lambda z, x, y: unless(_absent(x, y), _log_ratio(x, y)),
        lambda z, x, y: np.where(value_of(x) == 0, 1, (y - x) / y),
    ),
    _RELATIVE,
)


# --- losses ---------------------------------------------------------------------------------------
def _outside(delta: Any, r: Any) -> Any:
    return np.abs(value_of(r)) > value_of(delta)


Special(
    sp.huber,
    (
        lambda z, d, r: np.where(_outside(d, r), np.abs(r) - d, 0),
        lambda z, d, r: np.where(_outside(d, r), d * np.sign(r), r),
    ),
    {
        (0, 0): lambda z, d, r: np.where(_outside(d, r), -1.0, 0.0),
        (0, 1): lambda z, d, r: np.where(_outside(d, r), np.sign(r), 0.0),
        (1, 1): lambda z, d, r: np.where(_outside(d, r), 0.0, 1.0),
    },
)


def _bent(d: Any, r: Any) -> tuple[Any, Any, Any]:
    """Give s = sqrt(1 + (r/d)²), (r/d) / s and (r/d) / (1 + s)."""
    u = np.where(value_of(r) == 0, 0 * r, r / np.where(value_of(r) == 0, 1, d))
    s = np.hypot(1, u)
    return s, r / np.hypot(d, r), u / (1 + s)


def _pseudo_huber_1(z: Any, d: Any, r: Any) -> Any:
    _, t, w = _bent(d, r)
    return r * t * np.square(w)


def _pseudo_huber_11(z: Any, d: Any, r: Any) -> Any:
    s, t, w = _bent(d, r)
    return -t * t * t * w * ((1 + 2 * s) / (1 + s))


Special(
    sp.pseudo_huber,
    (_pseudo_huber_1, lambda z, d, r: r / _bent(d, r)[0]),
    {
        (0, 0): _pseudo_huber_11,
        (0, 1): lambda z, d, r: _bent(d, r)[1] ** 3,
        (1, 1): lambda z, d, r: _bent(d, r)[0] ** -3,
    },
)
