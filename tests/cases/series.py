"""Differences, running products, convolution, interpolation, polynomials, flat functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.cases.base import case, spread

X = spread(0.5, 2, (2, 4, 3))
ROW = spread(0.5, 2, (5,))
S = spread(1, 2, ())
NONE = np.zeros((3, 0))


def squared(key: Any, function: Callable[..., Any], *inputs: Any) -> None:
    """A case whose Hessian is not zero, for a function that may be linear; and the bare one."""
    case(key, lambda *x, f=function: np.square(f(*x)), *inputs)
    case(key, function, *(x.astype(np.float32) for x in inputs))


# --- functions of one number ----------------------------------------------------------------------
for _low, _high in ((-0.2, 0.2), (-0.7, 0.9), (-4.1, 3.8), (20, 30)):
    case(np.sinc, np.sinc, spread(_low, _high, (2, 3)))
case(np.sinc, np.sinc, np.array([0.0, 1.0, -2.0, 1e-9]))
case(np.sinc, np.sinc, spread(-2, 2, (3,)).astype(np.float32))
case(np.sinc, np.sinc, NONE)
case(np.sinc, np.sinc, S)
for _low, _high in ((-0.1, 0.1), (-7, 7.9), (8.1, 25)):
    case(np.i0, lambda x, h=_high: np.i0(x) / np.exp(h), spread(_low, _high, (3, 2)))
case(np.i0, np.i0, np.array([0.0, 1e-8]))
case(np.i0, np.i0, spread(-2, 2, (3,)).astype(np.float32))
case(np.i0, np.i0, NONE)
case(np.i0, np.i0, S)
SIGNED = np.array([[1.5, -0.5, 2.0], [-1.0, 0.7, -0.2]])
squared(np.copysign, lambda x, y: np.copysign(x, y), SIGNED, SIGNED[0, ::-1].copy())
squared(np.copysign, lambda x: np.copysign(x, -1.0), SIGNED)
squared(np.copysign, lambda y: np.copysign(2.0, y), SIGNED)
squared(np.ldexp, lambda x: np.ldexp(x, np.array([1, -2, 3])), SIGNED)
squared(np.ldexp, lambda s: np.ldexp(s, [3, 1]), S)
squared(np.nextafter, lambda x, s: np.nextafter(x, s), SIGNED, S)
squared(np.spacing, np.spacing, 0 * SIGNED + 1.3)
squared(np.frexp, lambda x: np.frexp(x)[0], SIGNED + 0.1)
squared(np.frexp, lambda s: np.frexp(s * 1e-3)[0], S)
for _function in (np.round, np.around):
    squared(_function, lambda x, f=_function: f(x), SIGNED + 0.1)
    squared(_function, lambda x, f=_function: f(x, 1), SIGNED + 0.03)
    squared(_function, lambda s, f=_function: f(s, decimals=-1), S)
squared(np.fix, np.fix, SIGNED + 0.1)
case(np.unwrap, lambda x: np.unwrap(x * 9) ** 2, spread(-3, 3, (3, 4)))
case(np.unwrap, lambda x: np.unwrap(x * 9, axis=0, discont=4) ** 2, spread(-3, 3, (4, 3)))
case(
    np.unwrap, lambda x, s: np.unwrap(x * 9, period=s + 0.0) ** 2, spread(0, 3, (5,)), np.array(1.7)
)
case(np.unwrap, np.unwrap, spread(-9, 9, (6,)).astype(np.float32))

# --- differences and integrals --------------------------------------------------------------------
for _kwargs in ({}, {"axis": 0}, {"n": 2, "axis": 1}, {"n": 0}, {"n": 9}, {"prepend": 0.0},
                {"prepend": np.ones((2, 1, 3)), "append": 2.0, "axis": -2, "n": 3}):  # fmt: skip
    squared(np.diff, lambda x, k=_kwargs: np.diff(x, **k), X)
squared(np.diff, lambda x, s: np.diff(x, append=s), X, S)
squared(np.diff, lambda s: np.diff(np.ones(3, s.dtype), prepend=s), S)
squared(np.diff, np.diff, NONE)
squared(np.ediff1d, np.ediff1d, X)
squared(np.ediff1d, lambda x, s: np.ediff1d(x, to_end=s, to_begin=[1.0, 2.0]), ROW.astype(float), S)
squared(np.ediff1d, np.ediff1d, NONE)
PLACES = np.array([0.7, 1.9, 2.6, 4.3])
Y = spread(0.5, 2, (3, 4)) + 5 * PLACES + 7 * np.arange(3)[:, None]
for _order in (1, 2):
    case(np.gradient, lambda x, o=_order: np.gradient(x, axis=1, edge_order=o) ** 2, Y)
    case(np.gradient, lambda x, s, o=_order: np.gradient(x, s, edge_order=o)[0] ** 2, Y, S)
    case(np.gradient, lambda x, p, o=_order: np.gradient(x, p, axis=-1, edge_order=o) ** 2,
         Y, PLACES)  # fmt: skip
    case(np.gradient, lambda x, s, p, o=_order: np.stack(np.gradient(x, s, p, edge_order=o)) ** 2,
         Y, S, PLACES)  # fmt: skip
    case(np.gradient, lambda x, o=_order: np.gradient(
        x, 2.0, axis=1, edge_order=o), Y.astype(np.float32))  # fmt: skip
case(np.gradient, lambda x: np.gradient(x) ** 2, PLACES)
case(np.gradient, lambda x: np.gradient(x, np.array([0, 1, 3, 4])) ** 2, PLACES)
case(np.gradient, lambda x: np.gradient(x, np.arange(4)), PLACES.astype(np.float32))
case(np.gradient, lambda x: np.gradient(x, 0.5) ** 2, PLACES[:2])
squared(np.trapezoid, lambda x: np.trapezoid(x), X)
squared(np.trapezoid, lambda x: np.trapezoid(x, dx=0.5, axis=1), X)
squared(np.trapezoid, lambda x, p: np.trapezoid(x, p, axis=-2), X, PLACES)
squared(np.trapezoid, lambda x, p: np.trapezoid(x, x=p, axis=0), X, np.cumsum(X, 0))
squared(np.trapezoid, lambda x: np.trapezoid(x, [1.0, 2.0, 4.0]), X)
squared(np.trapezoid, lambda p: np.trapezoid(np.ones(4, p.dtype), p), PLACES)
squared(np.trapezoid, lambda x: np.trapezoid(x, axis=0), NONE)

# --- running sums and products --------------------------------------------------------------------
for _kwargs in ({}, {"axis": 0}, {"axis": -1}, {"axis": 1}):
    case(np.cumprod, lambda x, k=_kwargs: np.cumprod(x, **k), X)
case(np.cumprod, np.cumprod, np.array([2.0, 0.0, 3.0, 0.0, 1.0]))
case(np.cumprod, np.cumprod, ROW.astype(np.float32))
case(np.cumprod, np.cumprod, NONE)
case(np.cumprod, np.cumprod, S)
for _initial in (False, True):
    _kwargs = {"include_initial": _initial}
    case(np.cumulative_sum, lambda x, k=_kwargs: np.cumulative_sum(x, axis=1, **k) ** 2, X)
    case(np.cumulative_prod, lambda x, k=_kwargs: np.cumulative_prod(x, axis=-1, **k) ** 2, X)
    case(np.cumulative_sum, lambda x, k=_kwargs: np.cumulative_sum(x, **k), ROW.astype(np.float32))
    case(np.cumulative_prod, lambda x, k=_kwargs: np.cumulative_prod(x, **k), ROW)
case((np.multiply, "accumulate"), lambda x: np.multiply.accumulate(x), X)
case((np.multiply, "accumulate"), lambda x: np.multiply.accumulate(x, 1), X)

_key = (np.add, "reduceat")
squared(_key, lambda x: np.add.reduceat(x, [0, 2, 1, 3]), ROW)
squared(_key, lambda x: np.add.reduceat(x, np.array([1, 1, 3]), axis=1), X)
squared(_key, lambda x: np.add.reduceat(x, [0, 1], -1), X)

# --- convolution ----------------------------------------------------------------------------------
for _mode in ("full", "same", "valid"):
    for _n, _m in [(5, 3), (5, 2), (4, 4), (2, 5), (3, 4), (1, 3), (3, 1), (6, 4), (36, 2)]:
        _a, _b = spread(0.5, 2, (_n,)), spread(0.5, 2, (_m,))
        case(np.convolve, lambda a, b, m=_mode: np.convolve(a, b, m), _a, _b)
        case(np.correlate, lambda a, b, m=_mode: np.correlate(a, b, m), _a, _b)
    squared(np.convolve, lambda a, m=_mode: np.convolve(a, [1.0, 2.0, 4.0], m), ROW)
    squared(np.correlate, lambda a, m=_mode: np.correlate([1.0, 2.0, 4.0], a, m), ROW)
case(np.convolve, lambda a, s: np.convolve(a, s), ROW, S)
case(np.correlate, lambda a: np.correlate(a, a), ROW)

# --- interpolation --------------------------------------------------------------------------------
AT = np.array([[0.2, 1.4, 2.9], [3.3, -1.0, 6.5]])
FP = spread(1, 2, (4,))
for _kwargs in ({}, {"left": 0.5, "right": 3.0}, {"period": 4.0}):
    case(np.interp, lambda x, p, f, k=_kwargs: np.interp(x, p, f, **k), AT, PLACES, FP,
         extended=False)  # fmt: skip
case(np.interp, lambda x: np.interp(x, [0.0, 1, 2, 5], [1.0, 2, 4, 3]) ** 2, AT, extended=False)
case(np.interp, lambda x, f: np.interp(x, [3.0, 1, 2, 5], f, period=7), AT, FP, extended=False)
case(np.interp, lambda f: np.interp([1.1, 9.0], [0.0, 1, 2, 5], f) ** 2, FP, extended=False)
case(np.interp, lambda x, s: np.interp(x, [0.0, 1], [2.0, 3], left=s * s), AT, S, extended=False)
case(np.interp, lambda s, f: np.interp(s, [0.0, 1, 2, 5], f) ** 2, S, FP, extended=False)
case(np.interp, lambda x, f: np.interp(x, [1.0], f) ** 2, AT, FP[:1], extended=False)
case(np.interp, lambda x: np.interp(x, [0.0, 1], [2.0, 3]), NONE, extended=False)
case(np.interp, lambda x: np.interp(x, [0.0, 1], [2.0, 3]), AT.astype(np.float32), extended=False)

# --- polynomials ----------------------------------------------------------------------------------
case(np.polyval, np.polyval, ROW, X[0])
case(np.polyval, lambda x: np.polyval([1.0, 2.0, 3.0], x), S)
case(np.polyval, lambda p: np.polyval(p, np.array([1.0, 2.0])) ** 2, ROW)
case(np.polyval, lambda p: np.polyval(p, p), ROW.astype(np.float32))
case(np.polyval, lambda x: np.polyval(np.poly1d([3.0, 0, 2]), x), ROW)
for _function in (np.polyadd, np.polysub):
    squared(_function, lambda p, q, f=_function: f(p, q * 7), ROW, X[0, 0])
    squared(_function, lambda s, q, f=_function: f(s, q * 7), S, X[0, 0])
    squared(_function, lambda p, f=_function: f(p, [9.0, 8.0]), ROW)
case(np.polymul, np.polymul, ROW, X[0, 0])
case(np.polymul, lambda p: np.polymul([0.0, 0.0, 2.0, 1.0], p), ROW)
case(np.polymul, lambda p, s: np.polymul(p, s), ROW, S)
case(np.polydiv, lambda u, v: np.polydiv(u, v)[0], ROW, X[0, 0])
case(np.polydiv, lambda u, v: np.polydiv(u, v)[1] ** 2, ROW, X[0, 0])
case(np.polydiv, lambda u: np.polydiv(u, [2.0, 1.0])[0] ** 2, ROW.astype(np.float32))
case(np.polydiv, lambda v: np.polydiv([1.0, 4.0, 2.0, 9.0], v)[1] ** 2, ROW[:2])
case(np.polydiv, lambda v: np.polydiv(v, [1.0, 4.0, 2.0, 9.0])[1] ** 2, ROW[:2])
for _m in (0, 1, 2, 7):
    squared(np.polyder, lambda p, m=_m: np.polyder(p, m), ROW.astype(float))
for _m, _k in ((0, None), (1, None), (2, None), (1, 3.0), (3, 2.0), (2, [1.0, 2.0])):
    case(np.polyint, lambda p, m=_m, k=_k: np.polyint(p, m, k) ** 2, ROW)
case(np.polyint, lambda p, s: np.polyint(p, 2, [s, 1.0]) ** 2, ROW, S)
for _kwargs in ({}, {"N": 3}, {"increasing": True}, {"N": 0}, {"N": 7, "increasing": True}):
    case(np.vander, lambda x, k=_kwargs: np.vander(x, **k), ROW)
case(np.vander, lambda x: np.vander(x, 4), np.array([-1.0, 0.0, 2.0]))
case(np.vander, lambda x: np.vander(x, 4), ROW.astype(np.float32))
KNOTS, DATA = np.linspace(-1, 1.2, 6), spread(1, 2, (6,))
case(np.polyfit, lambda y: np.polyfit(KNOTS, y, 2) ** 2, DATA, extended=False)
case(np.polyfit, lambda x, y: np.polyfit(x, y, 1) ** 2, KNOTS, DATA, extended=False)
case(np.polyfit, lambda y, w: np.polyfit(KNOTS, y, 1, w=w), DATA, DATA[::-1] ** 2, extended=False)
case(np.polyfit, lambda y: np.polyfit(KNOTS, np.stack([y, y * y], 1), 1), DATA, extended=False)
case(np.polyfit, lambda y: np.polyfit(KNOTS, y, 1, cov=True)[1], DATA, extended=False)
case(np.polyfit, lambda x: np.polyfit(x, DATA, 1, cov="unscaled")[1], KNOTS, extended=False)
case(np.polyfit, lambda y: np.polyfit(KNOTS, y, 1, full=True)[1], DATA, extended=False)

# --- products of vectors --------------------------------------------------------------------------
A, B = spread(-1, 1, (4, 3)), spread(1, 2, (2, 4, 3))
case(np.cross, np.cross, A, B)
case(np.cross, lambda a, b: np.cross(a, b, axis=0), A.T.copy(), B[0].T.copy())
case(np.cross, lambda a, b: np.cross(a, b, axisa=0, axisb=1, axisc=1), A.T.copy(),
     np.moveaxis(B, 2, 1).copy())  # fmt: skip
case(np.cross, lambda a: np.cross(a, [1.0, 2.0, 3.0]) ** 2, A.astype(np.float32))
case(np.cross, np.cross, np.zeros((0, 3)), np.ones(3))
case(np.linalg.cross, np.linalg.cross, A, B)
case(np.linalg.cross, lambda a, b: np.linalg.cross(a, b, axis=0), A.T.copy(), B[0].T.copy())
if hasattr(np, "matvec"):
    for _a, _b in [((2, 3), (3,)), ((4, 2, 3), (4, 3)), ((2, 3), (5, 3)), ((2, 0), (0,))]:
        case(np.matvec, np.matvec, spread(-1, 1, _a), spread(-1, 1, _b))
        case(np.vecmat, np.vecmat, spread(-1, 1, _b), spread(-1, 1, (*_a[:-2], _a[-1], _a[-2])))
    case(np.matvec, lambda a: np.matvec(a, [1.0, 2.0, 3.0]) ** 2, A.astype(np.float32))

# --- functions of functions -----------------------------------------------------------------------
case(np.apply_along_axis, lambda x: np.apply_along_axis(lambda v: v @ v, 1, x), X)
case(np.apply_along_axis, lambda x: np.apply_along_axis(lambda v, p: v[:2] ** p, 1, x, 3), X)
case(np.apply_along_axis, lambda x: np.apply_along_axis(
    lambda v: v[:, None] * v, 0, x), X.astype(np.float32))  # fmt: skip
case(np.apply_over_axes, lambda x: np.apply_over_axes(np.sum, x * x, [0, -1]), X)
case(np.apply_over_axes, lambda x: np.apply_over_axes(np.cumprod, x, 1), X)

# Roots that are real and apart, and a complex pair: a sum over them, since their order is not defined.
for _p in ([2.0, -3.0, -11.0, 6.0], [1.0, 0.3, 2.0], [1.0, -1.5]):
    case(np.roots, lambda p: np.sum(np.real(np.exp(np.roots(p)))), np.array(_p), extended=False)
case(np.roots, lambda p: np.sum(np.exp(np.roots(np.concatenate([[0.0], p, [0.0]])))),
     np.array([1.0, 0.4, -2.0]), extended=False)  # fmt: skip
case(np.roots, lambda p: np.sum(np.roots(p) ** 2), np.array([1.0, 0.4, -2.0]).astype(np.float32))
case(np.poly, np.poly, spread(-1, 1, (3,)))
case(np.poly, lambda x: np.poly(x * x), spread(-1, 1, (1,)).astype(np.float32))
case(np.poly, lambda x: np.poly(x), np.array([[1.0, 2.0], [-1.5, 0.5]]), extended=False)
for _axis in (0, -1, 1):
    case(
        (np.logaddexp, "accumulate"),
        lambda x, a=_axis: np.logaddexp.accumulate(x, axis=a),
        spread(-2, 2, (3, 5)),
    )
    case(
        (np.logaddexp, "reduce"),
        lambda x, a=_axis: np.logaddexp.reduce(x, axis=a),
        spread(-2, 2, (3, 5)),
    )
case(
    (np.logaddexp, "reduce"),
    lambda x: np.logaddexp.reduce(x, axis=(0, 1), keepdims=True),
    spread(-2, 2, (3, 2)),
)
case((np.logaddexp, "reduce"), lambda x: np.logaddexp.reduce(x, initial=0.5), spread(-2, 2, (3,)))
case((np.logaddexp, "reduce"), np.logaddexp.reduce, spread(-2, 2, (3,)).astype(np.float32))
case((np.logaddexp, "accumulate"), np.logaddexp.accumulate, np.zeros((0, 2)))
