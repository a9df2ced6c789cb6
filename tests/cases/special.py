"""Ufuncs of scipy.special, where scipy is there, and the functions of lazyhess.special."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyhess.special import log_softmax, logsumexp, multigammaln, polygamma, softmax
from tests.cases.base import case, spread

try:
    import scipy.special as sp

    from lazyhess._primitives.special.gamma import ZETA
except ImportError:
    sp = None

SHAPES = [(3, 2), (), (0, 2)]
BROADCASTS = [((2, 1, 2), (3, 1)), ((), (3,)), ((1,), (0,)), ((), ())]


def scipy_case(key: Any, function: Any, *inputs: Any) -> None:
    case(key, function, *inputs, extended=False)


def unary(ufunc: Any, low: float, high: float) -> None:
    for shape in SHAPES:
        scipy_case(ufunc, ufunc, spread(low, high, shape))
    scipy_case(ufunc, ufunc, spread(low, high, (4,)).astype(np.float32))


def binary(ufunc: Any, left: tuple[float, float], right: tuple[float, float]) -> None:
    for a, b in BROADCASTS:
        scipy_case(ufunc, ufunc, spread(*left, a), spread(*right, b))
    x, y = spread(*left, (3,)), spread(*right, (2, 3))
    scipy_case(ufunc, lambda x: ufunc(x, y), x)
    scipy_case(ufunc, lambda y: ufunc(x, y), y)
    scipy_case(ufunc, lambda x: ufunc(x, float(y[0, 0])), x.astype(np.float32))
    scipy_case(ufunc, lambda y: ufunc(float(x[0]), y), y.astype(np.float32))
    scipy_case(ufunc, lambda x: ufunc(x, 0.3 * x * x + right[0]), x)


def last(ufunc: Any, orders: Any, low: float, high: float) -> None:
    """All operands but the last are constants."""
    for order in orders:
        scipy_case(ufunc, lambda x, o=order: ufunc(*o, x), spread(low, high, (3,)))
    scipy_case(ufunc, lambda x: ufunc(*orders[0], x), spread(low, high, ()))
    scipy_case(ufunc, lambda x: ufunc(*orders[0], x), spread(low, high, (0, 2)))
    scipy_case(ufunc, lambda x: ufunc(*orders[0], x), spread(low, high, (3,)).astype(np.float32))
    columns = [np.array([[o], [p]]) for o, p in zip(orders[0], orders[-1], strict=True)]
    scipy_case(ufunc, lambda x: ufunc(*columns, x), spread(low, high, (3,)))


if sp is not None:
    for _name, _bounds in {
        "cbrt": (0.5, 3), "exp2": (-2, 2), "expm1": (-2, 2), "log1p": (-0.5, 3), "exp10": (-1, 0.5),
        "cosm1": (-3, 3), "round": (0.6, 1.4), "gammasgn": (0.2, 3), "expit": (-4, 4),
        "logit": (0.38, 0.62), "log_expit": (-4, 4), "erf": (-2, 2), "erfc": (-2, 2),
        "erfcx": (-1, 6), "erfi": (-1.2, 1.2), "ndtr": (-3, 3), "log_ndtr": (-8, 3),
        "erfinv": (-0.8, 0.8), "erfcinv": (0.3, 1.7), "ndtri": (0.35, 0.65), "dawsn": (-9, 9),
        "gamma": (0.6, 3), "gammaln": (0.6, 9), "loggamma": (0.6, 9), "psi": (0.6, 9),
        "rgamma": (-1.6, 2.5), "entr": (0.3, 2), "exprel": (-2, 2), "wrightomega": (-2, 3),
        "exp1": (0.5, 3), "expi": (0.5, 3), "j0": (-5, 5), "j1": (-5, 5), "y0": (0.6, 5),
        "y1": (0.6, 5), "i0": (-2, 2), "i1": (-2, 2), "k0": (0.6, 4), "k1": (0.6, 4),
        "i0e": (0.2, 40), "i1e": (-40, -0.2), "ellipk": (-3, 0.6), "ellipe": (-3, 0.6),
    }.items():  # fmt: skip
        unary(getattr(sp, _name), *_bounds)
    for _name, _left, _right in (
        ("beta", (0.8, 3), (0.9, 2)), ("betaln", (0.8, 9), (0.9, 4)),
        ("xlogy", (-2, 2), (0.4, 3)), ("xlog1py", (-2, 2), (0.2, 3)),
        ("rel_entr", (0.4, 2), (0.5, 3)), ("kl_div", (0.4, 2), (0.5, 3)),
        ("huber", (0.8, 1), (1.2, 3)), ("huber", (2, 3), (-1, 1)), ("pseudo_huber", (0.6, 2), (0.4, 3)),
        ("boxcox", (0.5, 2), (-1, 2)), ("boxcox1p", (-0.4, 2), (-1, 2)),
    ):  # fmt: skip
        binary(getattr(sp, _name), _left, _right)
    scipy_case(sp.boxcox, lambda p: sp.boxcox(1.7, p), np.array([-0.2, 0.0, 0.9, 1.0, 4.0]))
    for _name, _orders, _bounds in (
        ("gammainc", [(2.5,), (1,), (20,)], (0.5, 4)), ("gammaincc", [(2.5,), (1,), (20,)], (0.5, 4)),
        ("betainc", [(2.5, 1.5), (1, 3)], (0.2, 0.8)), ("betaincc", [(2.5, 1.5), (1, 3)], (0.2, 0.8)),
        ("inv_boxcox", None, (0.3, 2)), ("inv_boxcox1p", None, (0.3, 2)),
        ("expn", [(0,), (1,), (2,), (5,)], (0.6, 3)), ("jv", [(0,), (1.5,), (-2,)], (0.8, 5)),
        ("yv", [(0,), (1.5,), (2,)], (1, 5)), ("iv", [(0,), (1.5,), (2,)], (0.8, 2)),
        ("ive", [(0,), (1.5,), (2,)], (0.8, 5)), ("kv", [(0,), (1.5,), (2,)], (1, 4)),
        ("yn", [(0,), (2,)], (1, 5)), ("kn", [(0,), (2,)], (1, 4)),
        ("hyp2f1", [(0.5, 1.2, 2.3), (1, 2, 3)], (-1, 0.6)),
    ):  # fmt: skip
        _ufunc = getattr(sp, _name)
        if _orders is not None:
            last(_ufunc, _orders, *_bounds)
            continue
        for _order in (0.3, 0.0, 2.0, np.array([[0.3], [0.0]])):
            scipy_case(_ufunc, lambda x, u=_ufunc, p=_order: u(x, p), spread(*_bounds, (3,)))
    last(ZETA, [(2.0,), (3.5,)], 0.6, 4)
    scipy_case(ZETA, lambda x: sp.zeta(2.5, x), spread(0.6, 4, (3,)))
    scipy_case(sp.betaln, sp.betaln, spread(-0.6, -0.4, (3,)), spread(1.2, 1.5, (3,)))
    scipy_case(sp.gammaln, sp.gammaln, np.array([-0.4, -2.5, -7.3]))
    for _order in (0, 1, 3, np.array([[2], [0]])):
        scipy_case(polygamma, lambda x, n=_order: polygamma(n, x), spread(0.7, 4, (3,)))
    scipy_case(multigammaln, lambda x: multigammaln(x, 3), spread(1.7, 4, (3, 2)))
    scipy_case(multigammaln, lambda x: multigammaln(x, 1), spread(1.7, 4, ()))

X = spread(-2, 2, (2, 3, 2))
# No sum along any axes comes near zero.
SIGNED = np.array([1.5, -0.4, 2, 0.7, -0.3, 1.2, 0.9, -0.3, 1.4, 1.8, 2.1, 0.6]).reshape(2, 3, 2)
for _kwargs in (
    {}, {"axis": 0}, {"axis": -1}, {"axis": (0, 2)}, {"axis": 1, "keepdims": True},
    {"axis": ()}, {"keepdims": True},
):  # fmt: skip
    case(logsumexp, lambda x, k=_kwargs: logsumexp(x, **k), X)
    case(logsumexp, lambda x, b, k=_kwargs: logsumexp(x, b=b, **k), X, spread(0.2, 2, (3, 1)))
    case(logsumexp, lambda x, b, k=_kwargs: logsumexp(x, b=b, return_sign=True, **k)[0],
         0.1 * X, SIGNED)  # fmt: skip
case(logsumexp, logsumexp, spread(-2, 2, ()))
case(logsumexp, lambda x: logsumexp(x, axis=1, b=[[1.0, 0.0, -0.3]]), spread(0, 0.2, (2, 3)))
case(logsumexp, lambda x: logsumexp(x, axis=0), np.zeros((3, 0)))
case(logsumexp, lambda x: logsumexp(x, axis=1), np.zeros((3, 0)))
case(logsumexp, lambda x: logsumexp(1000 + x) * 1e-3, spread(-2, 2, (4,)))
case(logsumexp, lambda x: logsumexp(x, axis=0, b=2.0), spread(-2, 2, (4, 2)).astype(np.float32))
for _function in (softmax, log_softmax):
    for _kwargs in ({}, {"axis": 0}, {"axis": -1}, {"axis": (0, 2)}):
        case(_function, lambda x, f=_function, k=_kwargs: f(x, **k), X)
    case(_function, lambda x, f=_function: f(x, 1), X.astype(np.float32))
    case(_function, _function, spread(-2, 2, ()))
    case(_function, lambda x, f=_function: f(x, axis=0), np.zeros((3, 0)))
