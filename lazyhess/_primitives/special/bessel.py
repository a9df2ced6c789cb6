"""Bessel functions of a fixed order, and elliptic integrals."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special as sp

from lazyhess._decisions import nowhere
from lazyhess._primitives.special.base import PI, ROOT_2PI, Special, series, unary
from lazyhess._record.variable import value_of


# --- Bessel ---------------------------------------------------------------------------------------
def _bessel(ufunc: np.ufunc, above: Any, below: int, of: Any) -> None:
    """C' = (below C_(v-1) + above C_(v+1)) / 2, which holds for each kind with signs of its own."""
    cross = above * below
    Special(
        ufunc,
        (None, lambda z, v, x: 0.5 * (below * of(v - 1.0, x) + above * of(v + 1.0, x))),
        {(1, 1): lambda z, v, x: 0.25 * (of(v - 2.0, x) + 2 * cross * z + of(v + 2.0, x))},
    )


_bessel(sp.jv, -1, 1, sp.jv)
_bessel(sp.yv, -1, 1, sp.yv)
_bessel(sp.yn, -1, 1, sp.yv)
_bessel(sp.iv, 1, 1, sp.iv)
_bessel(sp.kv, -1, -1, sp.kv)
_bessel(sp.kn, -1, -1, sp.kv)
unary(sp.j0, lambda z, x: -sp.j1(x), lambda z, x: 0.5 * (sp.jv(2.0, x) - z))
unary(sp.y0, lambda z, x: -sp.y1(x), lambda z, x: 0.5 * (sp.yv(2.0, x) - z))
unary(sp.i0, lambda z, x: sp.i1(x), lambda z, x: 0.5 * (sp.iv(2.0, x) + z))
unary(sp.k0, lambda z, x: -sp.k1(x), lambda z, x: 0.5 * (sp.kv(2.0, x) + z))
unary(
    sp.j1,
    lambda z, x: 0.5 * (sp.j0(x) - sp.jv(2.0, x)),
    lambda z, x: 0.25 * (sp.jv(3.0, x) - 3 * z),
)
unary(
    sp.y1,
    lambda z, x: 0.5 * (sp.y0(x) - sp.yv(2.0, x)),
    lambda z, x: 0.25 * (sp.yv(3.0, x) - 3 * z),
)
unary(
    sp.i1,
    lambda z, x: 0.5 * (sp.i0(x) + sp.iv(2.0, x)),
    lambda z, x: 0.25 * (sp.iv(3.0, x) + 3 * z),
)
unary(
    sp.k1,
    lambda z, x: -0.5 * (sp.k0(x) + sp.kv(2.0, x)),
    lambda z, x: 0.25 * (sp.kv(3.0, x) + 3 * z),
)


# exp(-x) I_v(x) = sum of a_k / x^k / sqrt(2 pi x) for large x.
def _decay(order: int) -> tuple[list[float], list[float]]:
    terms = [1.0]
    for k in range(1, 25):
        terms.append(terms[-1] * ((2 * k - 1) ** 2 - 4 * order * order) / (8 * k))
    return (
        [-(k + 0.5) * a for k, a in enumerate(terms)],
        [(k + 0.5) * (k + 1.5) * a for k, a in enumerate(terms)],
    )


def _scaled(x: Any, near: Any, terms: list[float], power: float, odd: bool) -> Any:
    beyond = np.abs(value_of(x)) > 25
    if nowhere(beyond):
        return near
    sign = np.sign(value_of(x))
    u = 1 / np.where(beyond, sign * x, 25.0)
    far = series(terms, u) * u**power / ROOT_2PI
    return np.where(beyond, sign * far if odd else far, near)


def _i0e_1(z: Any, x: Any) -> Any:
    near = sp.i1e(x) - np.sign(x) * z
    return _scaled(x, near, _DECAY[0][0], 1.5, odd=True)


def _i0e_2(z: Any, x: Any) -> Any:
    near = 1.5 * z + 0.5 * sp.ive(2.0, x) - 2 * np.sign(x) * sp.i1e(x)
    return _scaled(x, near, _DECAY[0][1], 2.5, odd=False)


def _i1e_1(z: Any, x: Any) -> Any:
    near = 0.5 * (sp.i0e(x) + sp.ive(2.0, x)) - np.sign(x) * z
    return _scaled(x, near, _DECAY[1][0], 1.5, odd=False)


def _i1e_2(z: Any, x: Any) -> Any:
    near = 0.25 * sp.ive(3.0, x) + 1.75 * z - np.sign(x) * (sp.i0e(x) + sp.ive(2.0, x))
    return _scaled(x, near, _DECAY[1][1], 2.5, odd=True)


_DECAY = _decay(0), _decay(1)
unary(sp.i0e, _i0e_1, _i0e_2)
unary(sp.i1e, _i1e_1, _i1e_2)
Special(
    sp.ive,
    (
        None,
        lambda z, v, x: 0.5 * (sp.ive(v - 1.0, x) + sp.ive(v + 1.0, x)) - np.sign(x) * z,
    ),
    {
        (1, 1): lambda z, v, x: (
            0.25 * (sp.ive(v - 2.0, x) + 6 * z + sp.ive(v + 2.0, x))
            - np.sign(x) * (sp.ive(v - 1.0, x) + sp.ive(v + 1.0, x))
        )
    },
)


# --- elliptic integrals ---------------------------------------------------------------------------
Special(
    sp.hyp2f1,
    (None, None, None, lambda z, a, b, c, x: a * b / c * sp.hyp2f1(a + 1.0, b + 1.0, c + 1.0, x)),
    {
        (3, 3): lambda z, a, b, c, x: (
            a
            * b
            / c
            * ((a + 1.0) * (b + 1.0) / (c + 1.0))
            * sp.hyp2f1(a + 2.0, b + 2.0, c + 2.0, x)
        )
    },
)
# Written with the hypergeometric function that has neither a pole nor a cancellation at 0.
unary(
    sp.ellipk,
    lambda z, m: PI / 8 * sp.hyp2f1(0.5, 0.5, 2.0, m) / (1 - m),
    lambda z, m: 9 * PI / 64 * sp.hyp2f1(0.5, 0.5, 3.0, m) / np.square(1 - m),
)
unary(
    sp.ellipe,
    lambda z, m: -PI / 8 * sp.hyp2f1(0.5, 1.5, 2.0, m),
    lambda z, m: -3 * PI / 64 * sp.hyp2f1(1.5, 0.5, 3.0, m) / (1 - m),
)
