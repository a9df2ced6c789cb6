"""Length and angle of two coordinates: hypot, arctan2."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyhess._decisions import decide, everywhere
from lazyhess._primitives.elementwise import binary, limits, rounded_off
from lazyhess._record.variable import value_of


def _sized(a: Any, b: Any) -> tuple[Any, Any, Any]:
    """Scale a and b by a power of two such that their squares neither overflow nor lose digits.

    Also gives the power; None for 1, which it mostly is.
    """
    left, right = value_of(a), value_of(b)
    square = left * left + right * right
    _, least, most = limits(square.dtype)
    if not square.size or decide("in range", _between, square, least, most):
        return a, b, None
    info = np.finfo(square.dtype)
    exponent = np.frexp(np.maximum(np.abs(left), np.abs(right)))[1]
    exponent = np.clip(exponent, info.minexp + 1, info.maxexp - 1)
    power = np.ldexp(square.dtype.type(1), -exponent)
    return a * power, b * power, power


def _between(square: Any, least: Any, most: Any) -> bool:
    return bool(least < square.min() <= square.max() < most)


def _over_square(k: int, a: Any, b: Any) -> Any:
    """One of a and b, over a² + b²."""
    a, b, power = _sized(a, b)
    quotient = (a, b)[k] / (a * a + b * b)
    return quotient if power is None else quotient * power


def _square_rest(x: Any, square: Any) -> Any:
    """What the rounding of x² has lost (T. J. Dekker, Numer. Math. 18, 224, 1971)."""
    split = x * (2.0 ** ((np.finfo(x.dtype).nmant + 2) // 2) + 1)
    high = split - (split - x)
    low = x - high
    return (high * high - square) + 2 * high * low + low * low


def _sum_of_squares(a: Any, b: Any) -> tuple[Any, Any]:
    """a² + b², and what it has lost to rounding, in parts of itself."""
    total = a * a + b * b
    a, b, plain = map(value_of, (a, b, total))
    one, two = a * a, b * b
    return total, (
        rounded_off(one, -two, plain) + _square_rest(a, one) + _square_rest(b, two)
    ) / plain


def _hypot_bend(z: Any, a: Any, b: Any, k: int, l: int) -> Any:
    """The product of two of a and b, over z³."""
    ratio = (a, b)[k] / z
    a, b, power = _sized(a, b)
    if power is not None:
        ratio = ratio * power
    one, two = a * a, b * b
    square = one + two
    bend = ratio * ((a, b)[l] / square)
    one, two, square = map(value_of, (one, two, square))
    return _or_zero(z, bend - bend * (rounded_off(one, -two, square) / square))


def _or_zero(z: Any, derivative: Any) -> Any:
    """A derivative of zero at a length of zero."""
    plain = value_of(z)
    return (
        derivative if everywhere(plain) else np.where(plain == 0, plain.dtype.type(0), derivative)
    )


def _arctan2_bend(a: Any, b: Any, crossed: bool) -> Any:
    """2ab over (a² + b²)²; where `crossed`, a² - b² over that."""
    a, b, power = _sized(a, b)
    square, lost = _sum_of_squares(a, b)
    x, y = (a - b, a + b) if crossed else (2 * a, b)
    x, y = x / square, y / square
    y = y - y * (2 * lost)
    return x * y if power is None else x * power * (y * power)


binary(
    np.hypot,
    (lambda z, a, b: _or_zero(z, a / z), lambda z, a, b: _or_zero(z, b / z)),
    {
        (0, 0): lambda z, a, b: _hypot_bend(z, a, b, 1, 1),
        (0, 1): lambda z, a, b: -_hypot_bend(z, a, b, 0, 1),
        (1, 1): lambda z, a, b: _hypot_bend(z, a, b, 0, 0),
    },
)
binary(
    np.arctan2,
    (lambda z, a, b: _over_square(1, a, b), lambda z, a, b: -_over_square(0, a, b)),
    {
        (0, 0): lambda z, a, b: -_arctan2_bend(a, b, False),
        (0, 1): lambda z, a, b: _arctan2_bend(a, b, True),
        (1, 1): lambda z, a, b: _arctan2_bend(a, b, False),
    },
)
