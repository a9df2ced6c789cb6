"""Elementwise functions: each is its value, its first and its second derivatives.

In the formulas ``z`` is the value, ``x``, ``y`` (or ``a``, ``b``) are the operands. They are
chosen for accuracy where it matters: no difference of nearly equal numbers that can be avoided.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyhess._maps import Map, Mask, Scale, broadcast, chain
from lazyhess._primitives.base import Elementwise, Formula, implements, options, variables
from lazyhess._tangents import Array
from lazyhess._variable import UFUNCS, Primitive, record, shape_of

LN2 = float(np.log(2.0))
LN10 = float(np.log(10.0))


def _unary(ufunc: np.ufunc, first: Formula, second: Formula | None = None) -> None:
    Elementwise(ufunc, (first,), {} if second is None else {(0, 0): second})


# --- linear ---------------------------------------------------------------------------------------
_unary(np.positive, 1)
_unary(np.negative, -1)
_unary(np.conjugate, 1)
_unary(np.degrees, 180 / np.pi)
_unary(np.rad2deg, 180 / np.pi)
_unary(np.radians, np.pi / 180)
_unary(np.deg2rad, np.pi / 180)
Elementwise(np.add, (1, 1))
Elementwise(np.subtract, (1, -1))

# --- piecewise constant: recorded, with a derivative of zero --------------------------------------
for _step in (np.sign, np.floor, np.ceil, np.rint, np.trunc):
    _unary(_step, 0)
Elementwise(np.floor_divide, (0, 0))
Elementwise(np.heaviside, (0, 0))

# --- arithmetic -----------------------------------------------------------------------------------
Elementwise(
    np.multiply,
    (lambda z, x, y: y, lambda z, x, y: x),
    {(0, 1): 1},
)
Elementwise(
    np.divide,
    (lambda z, x, y: 1 / np.asarray(y), lambda z, x, y: -z / y),
    {(0, 1): lambda z, x, y: -1 / np.square(y), (1, 1): lambda z, x, y: 2 * z / np.square(y)},
)
Elementwise(np.remainder, (1, lambda z, x, y: -np.floor_divide(x, y)))
Elementwise(np.fmod, (1, lambda z, x, y: -np.trunc(np.divide(x, y))))
_unary(np.square, lambda z, x: 2 * x, 2)
_unary(np.reciprocal, lambda z, x: -z * z, lambda z, x: 2 * z * z * z)
_unary(np.sqrt, lambda z, x: 0.5 / z, lambda z, x: -0.25 / (z * x))
_unary(np.cbrt, lambda z, x: z / (3 * x), lambda z, x: -2 * z / (9 * x * x))
_unary(np.absolute, lambda z, x: np.sign(x))
_unary(np.fabs, lambda z, x: np.sign(x))


def _times_power(factor: Any, x: Any, exponent: Any) -> Any:
    """Give factor * x**exponent, where a factor of zero wins over a pole."""
    made = factor * _pow(x, exponent)
    return made if np.all(factor) else np.where(factor == 0, 0, made)


def _pow(x: Any, exponent: Any) -> Any:
    # Small whole exponents by products: several times faster than pow, and as accurate.
    if isinstance(exponent, (int, float)) and exponent in (1, 2, 3, 4):
        square = x * x if exponent > 1 else x
        return (x, square, square * x, square * square)[int(exponent) - 1]
    return np.asarray(x) ** exponent


def _log(x: Any) -> Any:
    """log(x), and 0 at 0: x**y log(x) tends to 0 there for every positive y."""
    return np.log(np.where(x == 0, 1, x))


_POWER: tuple[tuple[Formula, ...], dict[tuple[int, int], Formula]] = (
    (lambda z, x, y: _times_power(y, x, y - 1), lambda z, x, y: z * _log(x)),
    {
        (0, 0): lambda z, x, y: _times_power(y * (y - 1), x, y - 2),
        (0, 1): lambda z, x, y: _times_power(1 + y * _log(x), x, y - 1),
        (1, 1): lambda z, x, y: z * _log(x) ** 2,
    },
)
Elementwise(np.power, *_POWER)
Elementwise(np.float_power, *_POWER)

# --- exponentials and logarithms ------------------------------------------------------------------
_unary(np.exp, lambda z, x: z, lambda z, x: z)
_unary(np.exp2, lambda z, x: LN2 * z, lambda z, x: LN2 * LN2 * z)
_unary(np.expm1, lambda z, x: np.exp(x), lambda z, x: np.exp(x))
_unary(np.log, lambda z, x: 1 / x, lambda z, x: -1 / (x * x))
_unary(np.log2, lambda z, x: 1 / (LN2 * x), lambda z, x: -1 / (LN2 * x * x))
_unary(np.log10, lambda z, x: 1 / (LN10 * x), lambda z, x: -1 / (LN10 * x * x))
_unary(np.log1p, lambda z, x: 1 / (1 + x), lambda z, x: -1 / np.square(1 + x))


def _share(z: Any, a: Any, b: Any) -> Any:
    """e^a / (e^a + e^b)."""
    return _expit(np.subtract(a, b))


def _expit(t: Any) -> Any:
    small = np.exp(-np.abs(t))
    return np.where(t >= 0, 1, small) / (1 + small)


def _spread(z: Any, a: Any, b: Any) -> Any:
    """The product of the two shares: the second derivative of logaddexp."""
    small = np.exp(-np.abs(np.subtract(a, b)))
    return small / np.square(1 + small)


def _binary(t: Any) -> Any:
    return LN2 * np.asarray(t)


Elementwise(
    np.logaddexp,
    (_share, lambda z, a, b: _share(z, b, a)),
    {(0, 0): _spread, (0, 1): lambda z, a, b: -_spread(z, a, b), (1, 1): _spread},
)
Elementwise(
    np.logaddexp2,
    (
        lambda z, a, b: _share(z, _binary(a), _binary(b)),
        lambda z, a, b: _share(z, _binary(b), _binary(a)),
    ),
    {
        (0, 0): lambda z, a, b: LN2 * _spread(z, _binary(a), _binary(b)),
        (0, 1): lambda z, a, b: -LN2 * _spread(z, _binary(a), _binary(b)),
        (1, 1): lambda z, a, b: LN2 * _spread(z, _binary(a), _binary(b)),
    },
)

# --- trigonometric and hyperbolic -----------------------------------------------------------------
_unary(np.sin, lambda z, x: np.cos(x), lambda z, x: -z)
_unary(np.cos, lambda z, x: -np.sin(x), lambda z, x: -z)
_unary(np.tan, lambda z, x: 1 + z * z, lambda z, x: 2 * z * (1 + z * z))
_unary(
    np.arcsin,
    lambda z, x: 1 / np.sqrt((1 - x) * (1 + x)),
    lambda z, x: x / ((1 - x) * (1 + x)) ** 1.5,
)
_unary(
    np.arccos,
    lambda z, x: -1 / np.sqrt((1 - x) * (1 + x)),
    lambda z, x: -x / ((1 - x) * (1 + x)) ** 1.5,
)
_unary(np.arctan, lambda z, x: 1 / (1 + x * x), lambda z, x: -2 * x / np.square(1 + x * x))
_unary(np.sinh, lambda z, x: np.cosh(x), lambda z, x: z)
_unary(np.cosh, lambda z, x: np.sinh(x), lambda z, x: z)
_unary(np.tanh, lambda z, x: 1 / np.square(np.cosh(x)), lambda z, x: -2 * z / np.square(np.cosh(x)))
_unary(np.arcsinh, lambda z, x: 1 / np.sqrt(1 + x * x), lambda z, x: -x / (1 + x * x) ** 1.5)
_unary(
    np.arccosh,
    lambda z, x: 1 / np.sqrt((x - 1) * (x + 1)),
    lambda z, x: -x / ((x - 1) * (x + 1)) ** 1.5,
)
_unary(
    np.arctanh,
    lambda z, x: 1 / ((1 - x) * (1 + x)),
    lambda z, x: 2 * x / np.square((1 - x) * (1 + x)),
)
Elementwise(
    np.hypot,
    (lambda z, a, b: a / z, lambda z, a, b: b / z),
    {
        (0, 0): lambda z, a, b: np.square(b / z) / z,
        (0, 1): lambda z, a, b: -(a / z) * (b / z) / z,
        (1, 1): lambda z, a, b: np.square(a / z) / z,
    },
)
Elementwise(
    np.arctan2,
    (
        lambda z, a, b: b / np.square(np.hypot(a, b)),
        lambda z, a, b: -a / np.square(np.hypot(a, b)),
    ),
    {
        (0, 0): lambda z, a, b: -2 * a * b / np.square(np.square(np.hypot(a, b))),
        (0, 1): lambda z, a, b: (a - b) * (a + b) / np.square(np.square(np.hypot(a, b))),
        (1, 1): lambda z, a, b: 2 * a * b / np.square(np.square(np.hypot(a, b))),
    },
)


# --- choices --------------------------------------------------------------------------------------
class Choice(Primitive):
    """The larger or the smaller of two; the derivative is that of the one taken, halved at ties.

    What was not taken is masked, not multiplied by zero, so that its NaN goes nowhere.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def value(self, *args: Any) -> Array:
        made: Array = getattr(np, self.name)(*args)
        return made

    def jacobian(self, k: int, args: tuple[Any, ...], out: Array) -> Map:
        mine, other = args[k], args[1 - k]
        # An operand that is NaN is taken by maximum, and left by fmax, as `out` shows.
        took = (mine == out) | (np.isnan(out) & np.isnan(mine))
        tied = took & ((other == out) | (np.isnan(out) & np.isnan(other)))
        half = Scale(np.where(tied, out.dtype.type(0.5), out.dtype.type(1)), out.shape)
        return chain(
            broadcast(shape_of(mine), out.shape),
            None if np.all(took) else Mask(np.broadcast_to(took, out.shape), out.shape),
            half if np.any(tied) else None,
        )


def _choice(ufunc: np.ufunc) -> None:
    primitive = Choice(ufunc.__name__)
    UFUNCS[ufunc] = lambda a, b, **kwargs: record(
        primitive, *options(ufunc.__name__, (a, b), kwargs)
    )


for _ufunc in (np.maximum, np.minimum, np.fmax, np.fmin):
    _choice(_ufunc)


class Where(Primitive):
    """``where(condition, a, b)`` with a fixed condition."""

    name = "where"

    def value(self, *args: Any) -> Array:
        made: Array = np.where(*args)
        return made

    def jacobian(self, k: int, args: tuple[Any, ...], out: Array) -> Map | None:
        if k == 0:
            return None
        mask = np.broadcast_to(args[0] if k == 1 else np.logical_not(args[0]), out.shape)
        return chain(broadcast(shape_of(args[k]), out.shape), Mask(mask, out.shape))


@implements(np.where)
def where(condition: Any, /, *branches: Any) -> Any:
    """`numpy.where`; with one argument, the positions of what is not zero."""
    condition = getattr(condition, "_value", condition)
    if not branches:
        return np.nonzero(condition)
    if not variables(*branches):
        return np.where(condition, *branches)
    return record(Where(), np.asarray(condition) != 0, *branches)


@implements(np.clip)
def clip(
    a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None, **kwargs: Any
) -> Any:
    """`numpy.clip`, as minimum(maximum(a, low), high)."""
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    a = a if low is None else np.maximum(a, low)
    return a if high is None else np.minimum(a, high)


UFUNCS[np.divmod] = lambda a, b, **kwargs: (
    np.floor_divide(a, b, **kwargs),
    np.remainder(a, b, **kwargs),
)
UFUNCS[np.modf] = lambda a, **kwargs: (a - np.trunc(a, **kwargs), np.trunc(a, **kwargs))
