"""Putting arrays together, leaving elements out, and arrays made from a few numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.cases.base import case, spread

X = spread(-1, 1, (2, 3))
Y = spread(-1, 1, (4,))
S = spread(1, 2, ())
NONE = np.zeros((3, 0))


def squared(key: Any, function: Callable[..., Any], *inputs: Any) -> None:
    """A case whose Hessian is not zero, for a function that is linear; and the bare one."""
    case(key, lambda *x, f=function: np.square(f(*x)), *inputs)
    case(key, function, *(x.astype(np.float32) for x in inputs))


# --- copies, and arrays like a Variable -----------------------------------------------------------
for _x in (X, S, NONE):
    squared(np.copy, np.copy, _x)
squared(np.array, lambda x: np.array([[x[0, 0], x[0, 1]], [x[1, 0], x[0, 0]]], like=x), X)
squared(np.array, lambda x: np.array([x, x * 2], ndmin=3, like=x), Y)
squared(np.asarray, lambda x, s: np.asarray([x[1], s], like=x), Y, S)
squared(np.asarray, lambda x: np.asarray(x, dtype=x.dtype, like=x), X)
squared(np.asanyarray, lambda x: np.asanyarray([x, x], like=x), X)
squared(np.ascontiguousarray, lambda s: np.ascontiguousarray(s, like=s), S)
squared(np.asfortranarray, lambda x: np.asfortranarray([x, x], like=x), X)
squared(np.require, lambda x: np.require(x, x.dtype, "C", like=x), X)
squared(np.full, lambda s: np.full((2, 3), s, like=s), S)
squared(np.full, lambda x: np.full((2, 2, 3), x[0], dtype=x.dtype, like=x), X)
squared(np.full_like, lambda x, s: np.full_like(x, s), X, S)
squared(np.full_like, lambda x: np.full_like(x, x[0], shape=(2, 0, 3)), X)

# --- joining --------------------------------------------------------------------------------------
squared(np.block, lambda x, y: np.block([[x, x[:, :1]], [y]]), X, Y)
squared(np.block, lambda x, s: np.block([s, 2.0 * x[0], [1.0][0]]), X, S)
squared(np.block, lambda x: np.block(x), X)
squared(np.block, lambda x: np.block([[[x, x], [x * 2, x]]]), X)
squared(np.block, lambda x, s: np.block([[s, s], [x[0, 0], s]]), X, S)
squared(np.block, lambda x: np.block([x, x]), NONE)
squared(np.insert, lambda x, s: np.insert(x, 2, s), X, S)
squared(np.insert, lambda x, y: np.insert(x, 1, y[:2], axis=1), X, Y)
squared(np.insert, lambda x, y: np.insert(x, [0, 3], y[:2], axis=1), X, Y)
squared(np.insert, lambda x, y: np.insert(x, [1], y[:3], axis=0), X, Y)
squared(np.insert, lambda x: np.insert(x, slice(0, 2), 5.0, axis=-1), X)
squared(np.insert, lambda s: np.insert(np.ones(3, s.dtype), 1, s), S)
squared(np.insert, lambda x: np.insert(x, [], []), X)
squared(np.insert, lambda x: np.insert(x, 0, 1.0, axis=1), NONE)
CHOICE = np.array([[0, 1, 0], [1, 1, 0]])
squared(np.choose, lambda x, s: np.choose(CHOICE, [x, s]), X, S)
squared(np.choose, lambda x: np.choose(CHOICE[0] + 3, x, mode="wrap"), X)
squared(np.choose, lambda x: np.choose(CHOICE * 9, [x, 2 * x[0]], mode="clip"), X)
case(np.select, lambda x, s: np.select([x > 0.3, x > -0.3], [x * x, x * s]), X, S)
case(np.select, lambda x: np.select([x > 0.3, x > -0.3], [x * x, 2], default=x), X)
case(np.select, lambda x: np.select([x > 0.3], [x * x], 1.5), X.astype(np.float32))
case(np.select, lambda x: np.select([x[:, None] > 0], [x * x], x[:, None]), Y)
case(np.select, lambda x: np.select([x > 0], [x]), NONE)
case(np.select, lambda s: np.select([s > 0], [s * s]), S)
# The root is taken of what is positive only.
case(np.piecewise, lambda x: np.piecewise(x, [x < -0.1, x > 0.1], [np.sin, np.sqrt]), X)
case(
    np.piecewise,
    lambda x: np.piecewise(x, [x > 0.1], [lambda v, p: v**p, lambda v, p: v * p], 3),
    X,
)
case(np.piecewise, lambda x: np.piecewise(x, x > 0.1, [2.0, np.square]), Y.astype(np.float32))
case(np.piecewise, lambda x: np.piecewise(x, [x > -0.5, x > 0.2], [np.square, np.cos]), Y)
case(np.piecewise, lambda x: np.piecewise(x, [x > 9, x < 9], [np.log, lambda v: v[0] * v]), Y)
case(np.piecewise, lambda s: np.piecewise(s, [s > 0, s < 0], [np.square, 1]), S)
case(np.piecewise, lambda s: np.piecewise(s, s < 0, [np.log, np.square]), S)
case(np.piecewise, lambda x: np.piecewise(x, [x > 0], [np.square]), NONE)
for _kwargs in ({}, {"indexing": "ij"}, {"sparse": True}, {"indexing": "ij", "sparse": True}):
    case(np.meshgrid, lambda x, y, s, k=_kwargs: np.prod(np.stack(
        np.broadcast_arrays(*np.meshgrid(x, y, s, **k))), axis=0), X[0], Y, S)  # fmt: skip
case(np.meshgrid, lambda y: np.meshgrid(y)[0] ** 2, Y)
case(np.meshgrid, lambda y: np.meshgrid(y, np.ones(3), [])[0] ** 2, Y)

# --- leaving out ----------------------------------------------------------------------------------
for _obj, _axis in [(1, None), (-1, 1), ([0, 0, 2], 1), (slice(None, None, 2), 1), ([], 0),
                    (np.array([True, False]), 0)]:  # fmt: skip
    squared(np.delete, lambda x, o=_obj, a=_axis: np.delete(x, o, a), X)
squared(np.compress, lambda x: np.compress([True, False, True], x, axis=1), X)
squared(np.compress, lambda x: np.compress([False, True, False, True], x), X)
squared(np.compress, lambda x: np.compress([False], x, axis=0), X)
squared(np.extract, lambda x: np.extract(x > 0, x), X)
squared(np.extract, lambda x: np.extract(np.array(True), x), S)
squared(np.resize, lambda x: np.resize(x, (3, 5)), X)
squared(np.resize, lambda x: np.resize(x, 4), X)
squared(np.resize, lambda x: np.resize(x, (2, 2)), S)
squared(np.resize, lambda x: np.resize(x, (2, 2)), NONE)
for _trim in ("fb", "f", "b"):
    squared(np.trim_zeros, lambda x, t=_trim: np.trim_zeros(
        x[[0, 0, 0, 1, 2, 3, 0]] * [0, 0, 1, 1, 0, 1, 0], t), Y)  # fmt: skip
    squared(np.trim_zeros, lambda x, t=_trim: np.trim_zeros(0 * x, t), Y)
squared(np.trim_zeros, np.trim_zeros, Y)

# --- from a few numbers ---------------------------------------------------------------------------
for _kwargs in ({}, {"endpoint": False}, {"num": 0}, {"num": 1}, {"num": 1, "endpoint": False}):
    _kwargs = {"num": 4} | _kwargs
    squared(np.linspace, lambda a, b, k=_kwargs: np.linspace(a, b, **k), S, S + 1)
    case(np.logspace, lambda a, b, k=_kwargs: np.logspace(a, b, **k), S, S / 2)
    case(np.geomspace, lambda a, b, k=_kwargs: np.geomspace(a, b, **k), S, 3 * S)
squared(np.linspace, lambda x, y: np.linspace(x, y[:3], 3, axis=1), abs(X), 1 + abs(Y))
squared(np.linspace, lambda x: np.linspace(1, x, 3, axis=-1), abs(X))
squared(np.linspace, lambda x: np.linspace(x, 3.0, 3, dtype=x.dtype), abs(X))
case(np.linspace, lambda a, b: np.linspace(a, b, 5, retstep=True)[1] ** 2, S, S + 1)
case(np.linspace, lambda a, b: np.linspace(a, b, 5, False, retstep=True)[1] ** 2, S, S + 1)
case(np.logspace, lambda a, c: np.logspace(a, 2.0, 3, base=c), S, S + 1)
case(np.logspace, lambda a, x: np.logspace(a, x, 3, base=2), S, X)
case(np.logspace, lambda a, x: np.logspace(a, 2.0, 3, base=2 + x, axis=1), S, X)
case(np.geomspace, lambda x, a: np.geomspace(-abs(x) - 1, -a, 3, axis=-1), X, S)
