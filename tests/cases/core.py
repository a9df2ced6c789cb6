"""Elementwise functions, reductions, products, structure and indexing."""

from __future__ import annotations

from collections.abc import Callable
from operator import getitem
from typing import Any

import numpy as np

from tests.cases.base import case, spread

SHAPES = [(3, 2), (), (1,), (0, 2)]

# --- elementwise ----------------------------------------------------------------------------------
UNARY = {
    np.positive: (-2, 2), np.negative: (-2, 2), np.conjugate: (-2, 2), np.degrees: (-2, 2),
    np.rad2deg: (-2, 2), np.radians: (-90, 90), np.deg2rad: (-90, 90), np.square: (-2, 2),
    np.reciprocal: (0.3, 2), np.sqrt: (0.2, 3), np.cbrt: (-3, 3.1), np.absolute: (-2, 2.1),
    np.fabs: (-2, 2.1), np.exp: (-2, 2), np.exp2: (-2, 2), np.expm1: (-2, 2), np.log: (0.2, 3),
    np.log2: (0.2, 3), np.log10: (0.2, 3), np.log1p: (-0.6, 3), np.sin: (-4, 4), np.cos: (-4, 4),
    np.tan: (-1.2, 1.2), np.arcsin: (-0.8, 0.8), np.arccos: (-0.8, 0.8), np.arctan: (-3, 3),
    np.sinh: (-2, 2), np.cosh: (-2, 2), np.tanh: (-2, 2), np.arcsinh: (-2, 2),
    np.arccosh: (1.3, 4), np.arctanh: (-0.8, 0.8), np.sign: (-2, 2.1), np.floor: (0.1, 0.9),
    np.ceil: (0.1, 0.9), np.rint: (0.6, 1.4), np.trunc: (0.1, 0.9),
}  # fmt: skip
for _ufunc, (_low, _high) in UNARY.items():
    for _shape in SHAPES:
        case(_ufunc, _ufunc, spread(_low, _high, _shape))
    case(_ufunc, _ufunc, spread(_low, _high, (4,)).astype(np.float32))

BINARY = {
    np.add: ((-2, 2), (-2, 2)), np.subtract: ((-2, 2), (-2, 2)), np.multiply: ((-2, 2), (-2, 2)),
    np.divide: ((-2, 2), (0.4, 2)), np.power: ((0.3, 2), (-2, 3)),
    np.float_power: ((0.3, 2), (-2, 3)), np.logaddexp: ((-2, 2), (-2, 2)),
    np.logaddexp2: ((-2, 2), (-2, 2)), np.hypot: ((0.3, 2), (-2, -0.3)),
    np.arctan2: ((0.3, 2), (-2, 2)), np.maximum: ((-2, 2), (-2.1, 2.1)),
    np.minimum: ((-2, 2), (-2.1, 2.1)), np.fmax: ((-2, 2), (-2.3, 2.1)),
    np.fmin: ((-2, 2), (-2.1, 2.1)), np.remainder: ((2.9, 3.4), (1.2, 1.4)),
    np.fmod: ((2.9, 3.4), (1.2, 1.4)), np.floor_divide: ((2.9, 3.4), (1.2, 1.4)),
    np.heaviside: ((0.5, 2), (0.1, 1)),
}  # fmt: skip
BROADCASTS = [((3, 2), (3, 2)), ((2, 1, 3), (4, 1)), ((), (3,)), ((2, 3), ()), ((1,), (0,)),
              ((), ())]  # fmt: skip
for _ufunc, (_left, _right) in BINARY.items():
    for _a, _b in BROADCASTS:
        case(_ufunc, _ufunc, spread(*_left, _a), spread(*_right, _b))
    _x, _y = spread(*_left, (3,)), spread(*_right, (2, 3))
    case(_ufunc, lambda x, u=_ufunc, y=_y: u(x, y), _x)
    case(_ufunc, lambda y, u=_ufunc, x=_x: u(x, y), _y)
    case(_ufunc, lambda x, u=_ufunc, y=float(_y[0, 0]): u(x, y), _x.astype(np.float32))
    case(_ufunc, lambda y, u=_ufunc, x=float(_x[0]): u(x, y), _y)
    case(_ufunc, lambda x, u=_ufunc: u(x, abs(x) + 0.7), _x)
for _exponent in (0, 1, 2, 3, 5, -1, -2, 0.5, 2.5, np.array([0, 1, 2, 3])):
    case(np.power, lambda x, p=_exponent: x**p, spread(0.4, 2, (4,)))
case(np.power, lambda x: x**3, np.array([-1.5, 0.0, 2.0]))
case(np.power, lambda x: x**2, np.array([-1.5, 0.0, 2.0]))
case(np.divmod, lambda x, y: np.add(*np.divmod(x, y)), spread(2.9, 3.4, (2,)), spread(1.2, 1.4, ()))
case(np.modf, lambda x: np.modf(x)[0] * np.modf(x)[0], spread(0.1, 0.9, (3,)))
case(np.where, lambda x, y: np.where(x > y, x * y, y), spread(-2, 2, (3, 1)), spread(-2, 2, (2,)))
case(np.where, lambda x: np.where([True, False, True], x, 0.0), spread(-2, 2, (3,)))
case(np.clip, lambda x: np.clip(x, -1, 1.5), spread(-3, 3, (7,)))
case(np.clip, lambda x, a: np.clip(x * x, a, None), spread(-3, 3, (2, 4)), spread(-1, 1, (4,)))
case(np.clip, lambda x: x.clip(max=0.5), spread(-3, 3, (7,)))
case(np.astype, lambda x: np.astype(x, x.dtype) * 2, spread(-3, 3, (2,)))

# --- reductions -----------------------------------------------------------------------------------
AXES = [{}, {"axis": 0}, {"axis": -1}, {"axis": (0, 2)}, {"axis": 1, "keepdims": True},
        {"axis": ()}, {"keepdims": True}]  # fmt: skip
for _function in (np.sum, np.mean, np.prod, np.max, np.min, np.var, np.std):
    for _kwargs in AXES:
        if _kwargs.get("axis") == () and _function in (np.std,):
            continue
        case(_function, lambda x, f=_function, k=_kwargs: f(x * x, **k), spread(0.5, 2, (2, 3, 2)))
    case(_function, _function, spread(1, 2, (1, 4)))
    case(_function, lambda x, f=_function: f(x, axis=0), spread(-2, 2, (3, 0)))
    case(_function, lambda x, f=_function: f(x), spread(1, 2, (5,)).astype(np.float32))
for _function in (np.sum, np.prod):
    case(_function, lambda x, f=_function: f(x, axis=1), spread(1, 2, (2, 0)))
    case(_function, lambda x, f=_function: f(x, initial=3.0), spread(1, 2, (3,)))
    case(_function, lambda x, f=_function: f(x * x, where=x > 1.5), np.array([1.2, 1.9, 1.6]))
    case(_function, _function, spread(1, 2, ()))
case(np.mean, lambda x: np.mean(x * x, axis=1, where=x > 1.3), spread(1, 2, (2, 4)))
case(np.max, lambda x: np.max(x * x, axis=0, initial=1.7, where=x < 1.8), spread(1, 2, (4, 2)))
case(np.var, lambda x: np.var(x, axis=1, ddof=1), spread(-2, 2, (2, 4)))
case(np.var, lambda x: np.var(x * x, axis=1, where=x > 1.3, keepdims=True), spread(1, 2, (2, 4)))
case(np.std, lambda x: np.std(x * x, 1, ddof=1, where=[1, 1, 0, 1]), spread(1, 2, (2, 4)))
case(np.std, lambda x: x.std(axis=0, ddof=1), spread(-2, 2, (4, 2)))
case(np.prod, np.prod, np.array([2.0, 0.0, 3.0]))
case(np.prod, np.prod, np.array([2.0, 0.0, 0.0, 3.0]))
for _kwargs in ({}, {"axis": 0}, {"axis": -1}):
    case(np.cumsum, lambda x, k=_kwargs: np.cumsum(x * x, **k), spread(-2, 2, (2, 3)))
case(np.cumsum, np.cumsum, spread(-2, 2, (0,)))
case((np.add, "reduce"), lambda x: np.add.reduce(x * x), spread(-2, 2, (3, 2)))
case((np.multiply, "reduce"), lambda x: np.multiply.reduce(x, axis=1), spread(1, 2, (2, 3)))
case((np.add, "accumulate"), lambda x: np.add.accumulate(x * x), spread(-2, 2, (3, 2)))
case((np.maximum, "reduce"), lambda x: np.maximum.reduce(x * x), spread(-2, 2.1, (3, 2)))
case((np.minimum, "reduce"), lambda x: np.minimum.reduce(x * x, axis=1), spread(-2, 2.1, (3, 2)))

# --- products -------------------------------------------------------------------------------------
MATMUL = [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((5, 1, 2, 3), (4, 3, 2)),
          ((4, 2, 3), (3,)), ((3,), (4, 3, 2)), ((2, 0), (0, 3)), ((1, 1), (1, 2))]  # fmt: skip
for _a, _b in MATMUL:
    case(np.matmul, np.matmul, spread(-1, 1, _a), spread(-1, 1, _b))
case(np.matmul, lambda x: x @ x, spread(-1, 1, (3, 3)))
case(np.matmul, lambda x: np.ones((4, 2)) @ x @ np.arange(3.0), spread(-1, 1, (2, 3)))
for _a, _b in [((3,), (3,)), ((2, 3), (3,)), ((2, 3), (4, 3, 2)), ((), (2,)), ((2,), ())]:
    case(np.dot, np.dot, spread(-1, 1, _a), spread(-1, 1, _b))
for _a, _b in [((3,), (3,)), ((2, 3), (4, 3)), ((), (2,))]:
    case(np.inner, np.inner, spread(-1, 1, _a), spread(-1, 1, _b))
case(np.vdot, np.vdot, spread(-1, 1, (2, 3)), spread(-1, 1, (3, 2)))
case(np.outer, np.outer, spread(-1, 1, (2, 1)), spread(-1, 1, (3,)))
case(np.linalg.outer, np.linalg.outer, spread(-1, 1, (2,)), spread(-1, 1, (3,)))
case(np.tensordot, lambda a, b: np.tensordot(a, b, 1), spread(-1, 1, (2, 3)), spread(-1, 1, (3, 2)))
case(np.tensordot, lambda a, b: np.tensordot(a, b, ((0, 2), (1, 0))),
     spread(-1, 1, (2, 3, 2)), spread(-1, 1, (2, 2, 3)))  # fmt: skip
case(np.linalg.tensordot, lambda a: np.linalg.tensordot(a, a, axes=2), spread(-1, 1, (2, 2)))
case(np.vecdot, lambda a, b: np.vecdot(a, b), spread(-1, 1, (2, 3)), spread(-1, 1, (3,)))
case(np.linalg.vecdot, lambda a: np.linalg.vecdot(a, a), spread(-1, 1, (2, 3)))
case(np.trace, lambda x: np.trace(x @ x), spread(-1, 1, (3, 3)))
case(np.trace, lambda x: np.trace(x * x, 1, 0, 2), spread(-1, 1, (2, 3, 4)))
case(np.kron, np.kron, spread(-1, 1, (2, 1)), spread(-1, 1, (3,)))
for _ufunc in [*BINARY, np.copysign]:
    _left, _right = BINARY.get(_ufunc, ((0.5, 2), (0.6, 2.1)))
    case(
        (_ufunc, "outer"),
        lambda a, b, u=_ufunc: u.outer(a, b),
        spread(*_left, (2, 1)),
        spread(*_right, (3,)),
    )
EINSUM = [
    ("ij,jk->ik", (2, 3), (3, 2)), ("ij,jk", (2, 3), (3, 2)), ("ii->i", (3, 3)), ("ii", (3, 3)),
    ("ij->ji", (2, 3)), ("ijk->j", (2, 3, 2)), ("i,i,i->i", (3,), (3,), (3,)),
    ("i,j,k->kij", (2,), (3,), (2,)), ("iij,jk->ik", (2, 2, 3), (3, 2)), ("ij,kl->", (2, 1), (1, 3)),
    ("...ij,...jk->...ik", (2, 1, 2, 3), (3, 3, 2)), ("i...->...", (2, 3)), ("i...,i...", (2, 3), (2, 1)),
    ("ij,ij->ij", (2, 3), (2, 3)), ("ij,i->", (2, 3), (2,)), ("bij,bjk->bik", (2, 2, 3), (2, 3, 1)),
    ("ij,jk,kl,l->i", (2, 3), (3, 2), (2, 2), (2,)), ("ij,j->ij", (2, 3), (1,)), (",i->i", (), (3,)),
    ("iji,j->", (2, 3, 2), (3,)), ("i,ij,j->", (2,), (2, 3), (3,)), ("ij,jk->ik", (2, 0), (0, 3)),
]  # fmt: skip
for _text, *_shapes in EINSUM:
    case(np.einsum, lambda *a, s=_text: np.einsum(s, *a), *(spread(-1, 1, s) for s in _shapes))
case(np.einsum, lambda a: np.einsum("ij,jk,ki->", a, a, a), spread(-1, 1, (3, 3)))
case(np.einsum, lambda a, b: np.einsum(a, [0, 1], b, [1, 2], [2, 0]),
     spread(-1, 1, (2, 3)), spread(-1, 1, (3, 2)))  # fmt: skip

# --- structure ------------------------------------------------------------------------------------
X = spread(-1, 1, (2, 3))
STRUCTURE: list[tuple[Any, Callable[..., Any]]] = [
    (np.reshape, lambda x: np.reshape(x, (3, -1))), (np.reshape, lambda x: x.reshape(3, 2)),
    (np.reshape, lambda x: np.reshape(x, (3, 2), order="F")), (np.ravel, np.ravel),
    (np.ravel, lambda x: np.ravel(x, "F")), (np.ravel, lambda x: x.flatten()),
    (np.transpose, np.transpose), (np.transpose, lambda x: x.T), (np.transpose, lambda x: x.transpose(1, 0)),
    (np.permute_dims, lambda x: np.permute_dims(x, (1, 0))), (np.matrix_transpose, np.matrix_transpose),
    (np.swapaxes, lambda x: np.swapaxes(x, 0, -1)), (np.moveaxis, lambda x: np.moveaxis(x, 0, 1)),
    (np.moveaxis, lambda x: np.moveaxis(x[None], [0, 1], [2, 0])),
    (np.rollaxis, lambda x: np.rollaxis(x[None], 2)), (np.expand_dims, lambda x: np.expand_dims(x, (0, 2))),
    (np.squeeze, lambda x: np.squeeze(x[:, None], 1)), (np.atleast_1d, lambda x: np.atleast_1d(x[0, 0])),
    (np.atleast_2d, lambda x: np.atleast_2d(x[0])), (np.atleast_3d, np.atleast_3d),
    (np.broadcast_to, lambda x: np.broadcast_to(x[:, None], (4, 2, 2, 3))),
    (np.broadcast_arrays, lambda x: np.broadcast_arrays(x[0], x)[0]),
    (np.flip, np.flip), (np.flip, lambda x: np.flip(x, 1)), (np.fliplr, np.fliplr), (np.flipud, np.flipud),
    (np.rot90, lambda x: np.rot90(x, 1)), (np.rot90, lambda x: np.rot90(x, 2)), (np.rot90, lambda x: np.rot90(x, 3)),
    (np.roll, lambda x: np.roll(x, 2)), (np.roll, lambda x: np.roll(x, (1, -1), (0, 1))),
    (np.take, lambda x: np.take(x, [[0, 5], [1, 1]])), (np.take, lambda x: x.take([2, 0, 2], axis=1)),
    (np.take, lambda x: np.take(x, [-1, 7], axis=1, mode="wrap")),
    (np.take_along_axis, lambda x: np.take_along_axis(x, np.array([[0], [2]]), 1)),
    (np.repeat, lambda x: np.repeat(x, 2)), (np.repeat, lambda x: np.repeat(x, [1, 3], axis=0)),
    (np.tile, lambda x: np.tile(x, (2, 1, 2))), (np.diagonal, lambda x: np.diagonal(x, 1)),
    (np.diagonal, lambda x: x.diagonal(-1)), (np.diag, lambda x: np.diag(x)), (np.diag, lambda x: np.diag(x[0], -1)),
    (np.diagflat, lambda x: np.diagflat(x, 1)), (np.tril, np.tril), (np.triu, lambda x: np.triu(x, 1)),
    (np.concatenate, lambda x: np.concatenate([x, x[:1] * 2, np.ones((1, 3))])),
    (np.concat, lambda x: np.concat([x, x[:, :1]], axis=-1)),
    (np.concatenate, lambda x: np.concatenate([x, [1.0]], axis=None)),
    (np.stack, lambda x: np.stack([x, x * x], axis=1)), (np.vstack, lambda x: np.vstack([x, x[0]])),
    (np.hstack, lambda x: np.hstack([x, x[:, :1]])), (np.hstack, lambda x: np.hstack([x[0], x[1]])),
    (np.dstack, lambda x: np.dstack([x, x])), (np.column_stack, lambda x: np.column_stack([x[:, 0], x])),
    (np.append, lambda x: np.append(x, 2 * x[0])), (np.split, lambda x: np.split(x, 3, 1)[1]),
    (np.array_split, lambda x: np.array_split(x, 2, axis=1)[0] * 2), (np.vsplit, lambda x: np.vsplit(x, 2)[1]),
    (np.hsplit, lambda x: np.hsplit(x, [1])[1]), (np.dsplit, lambda x: np.dsplit(x[None], [1])[1]),
    (np.unstack, lambda x: np.unstack(x, axis=1)[2]),
    (np.pad, lambda x: np.pad(x, ((1, 0), (0, 2)))), (np.pad, lambda x: np.pad(x, 1, constant_values=3.0)),
    (np.pad, lambda x: np.pad(x, 2, mode="edge")), (np.pad, lambda x: np.pad(x, 1, mode="reflect")),
    (np.pad, lambda x: np.pad(x, 1, mode="wrap")), (np.pad, lambda x: np.pad(x, 1, mode="symmetric")),
    (np.pad, lambda x: np.pad(x, ((2, 1), (0, 3)), "linear_ramp", end_values=((0.5, 1), (2, -1)))),
    (np.pad, lambda x: np.pad(x, 2, "linear_ramp")), (np.pad, lambda x: np.pad(x, 1, "maximum")),
    (np.pad, lambda x: np.pad(x, (1, 2), "mean", stat_length=((1, 2), (2, 3)))),
    (np.pad, lambda x: np.pad(x, ((0, 1), (2, 0)), "minimum", stat_length=2)),
    (np.pad, lambda x: np.pad(x, 1, "median")), (np.pad, lambda x: np.pad(x, (1, 0), "mean")),
]  # fmt: skip
for _key, _function in STRUCTURE:
    # Squared, so that there is a curvature for the tangents of the structure to go through.
    case(_key, lambda x, f=_function: np.square(f(x)), X)
    case(_key, _function, X.astype(np.float32))
for _key, _function in [
    (np.reshape, lambda x: np.reshape(x, (2, 0, 3))), (np.transpose, np.transpose), (np.flip, np.flip),
    (np.roll, lambda x: np.roll(x, 1)), (np.tile, lambda x: np.tile(x, 2)), (np.ravel, np.ravel),
    (np.concatenate, lambda x: np.concatenate([x, x])), (np.pad, lambda x: np.pad(x, 1)),
    (np.repeat, lambda x: np.repeat(x, 2)), (np.tril, np.tril),
]:  # fmt: skip
    case(_key, _function, np.zeros((3, 0)))

for _key, _function in [
    (np.tile, lambda x: np.tile(x, (2, 3)) ** 2), (np.repeat, lambda x: np.repeat(x, 3) ** 2),
    (np.roll, lambda x: np.roll(x, 1) ** 2), (np.ravel, lambda x: np.ravel(x) ** 2),
    (np.cumsum, lambda x: np.cumsum(x) ** 2), (np.take, lambda x: np.take(x, [0, 0]) ** 2),
    (np.broadcast_to, lambda x: np.broadcast_to(x, (2, 2)) ** 2), (np.max, lambda x: np.max(x) ** 2),
    (np.mean, lambda x: np.mean(x) ** 2), (np.diagflat, lambda x: np.diagflat(x) ** 2),
    (np.append, lambda x: np.append(x, x) ** 2), (np.stack, lambda x: np.stack([x, 2 * x]) ** 2),
    (np.hstack, lambda x: np.hstack([x, x]) ** 2), (np.vstack, lambda x: np.vstack([x, x]) ** 2),
    (np.column_stack, lambda x: np.column_stack([x[None], x[None]]) ** 2),
    (np.atleast_3d, lambda x: np.atleast_3d(x) ** 2), (np.squeeze, lambda x: np.squeeze(x) ** 2),
    (np.transpose, lambda x: np.transpose(x) ** 2), (np.kron, lambda x: np.kron(x, x) ** 2),
    (np.outer, lambda x: np.outer(x, x) ** 2), (np.vdot, lambda x: np.vdot(x, x) ** 2),
    (np.unstack, lambda x: np.unstack(x[None])[0] ** 2),
]:  # fmt: skip
    case(_key, _function, spread(1, 2, ()))

INDEXES: list[Any] = [
    0, -1, (1, 2), slice(None, None, -1), slice(0, 0), (slice(None), slice(2, None, -2)), Ellipsis,
    (Ellipsis, 0), None, (None, 1, None), [0, 1, 1], ([0, 1], [2, 2]), (slice(None), [2, 0]),
    ([[0], [1]], [0, 2]), (0, [1, 1]), ([1, 0], None, slice(1, None)), np.array([True, False]),
    np.array([[True, False, True], [False, False, True]]), (slice(None), np.array([True, False, True])),
    np.int64(1), [], True, (slice(-1, None), -2),
]  # fmt: skip
for _index in INDEXES:
    case(getitem, lambda x, i=_index: np.square(x[i]), X)
case(getitem, lambda x: x[0, :, [1, 0]] ** 2, spread(-1, 1, (2, 3, 2)))
case(getitem, lambda x: x[1:, ::2, None, ::-1] ** 2, spread(-1, 1, (2, 3, 2)))
case(getitem, lambda x: x[()] * 2, spread(-1, 1, ()))
