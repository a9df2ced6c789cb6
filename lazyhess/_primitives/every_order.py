"""Functions that have all their derivatives at hand: sinc, i0."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, factorial, pi, sin
from typing import Any

import numpy as np

from lazyhess._create import asarray
from lazyhess._decisions import decide
from lazyhess._indices import Array
from lazyhess._primitives.base import Elementwise, implements
from lazyhess._record.variable import Variable, record


class Derivative(Elementwise):
    """A derivative of a function that has all its derivatives at hand: ``function(order, x)``."""

    def __init__(self, function: Callable[[int, Any], Any], order: int) -> None:
        self.name = function.__name__ + "'" * order
        self.function = function
        self.order = order
        self.first = (lambda z, x: derivative(function, order + 1, x),)
        self.second = {(0, 0): lambda z, x: derivative(function, order + 2, x)}

    def value(self, *args: Any) -> Array:
        return asarray(self.function(self.order, *args))


def derivative(function: Callable[[int, Any], Any], order: int, x: Any) -> Any:
    """A derivative, recorded for a Variable."""
    if isinstance(x, Variable):
        return record(Derivative.of(function, order), x)
    return function(order, x)


def _sinc(order: int, x: Any) -> Any:
    """Derivatives of sin(t) / t with t = pi x.

    Away from 0 from one to the next, since t f(t) = sin(t) has the n-th derivative
    t f⁽ⁿ⁾ + n f⁽ⁿ⁻¹⁾; near 0, where that cancels, by the power series.
    """
    if not order:
        return np.sinc(x)
    t = pi * x
    small = np.abs(t) < 1 + order / 2
    far = np.where(small, 1, t)
    near = np.where(small, t, 0)
    # The whole turns are left out before pi rounds them.
    whole = np.rint(x)
    sign = np.where(whole % 2 == 0, 1, -1).astype(t.dtype)
    sine, cosine = sign * np.sin(pi * (x - whole)), sign * np.cos(pi * (x - whole))
    values = sine / far
    for n in range(1, order + 1):
        values = ((sine, cosine, -sine, -cosine)[n % 4] - n * values) / far
    series, square = 0.0 * near, near * near
    for k in reversed(range((order + 1) // 2, order + 14)):
        power = 2 * k - order
        series = series * square + (-1) ** k / ((2 * k + 1) * factorial(power))
    return np.where(small, series * near if order % 2 else series, values) * pi**order


def _i0(order: int, x: Any) -> Any:
    """Derivatives of the modified Bessel function: means of cos(a)ⁿ exp(x cos(a)) over the circle.

    The trapezoidal rule has them exactly, with a few more points than the integrand has harmonics.
    Points opposite each other are taken together, and exp(|x|) apart, so that nothing cancels.
    """
    if not order:
        return np.i0(x)
    size = np.abs(x)
    bounded = np.where(np.isinf(size), 1, size)
    # At the last of these the function is out of range.
    largest = next((size for size in (1, 8, 64) if decide("bounded", _bounded, bounded, size)), 750)
    points = 4 * int(8 + order + 3 * np.sqrt(largest))
    mean = 0.0 * bounded
    for k in range(points // 4 + 1):
        angle = 2 * pi * k / points
        cosine = cos(angle) if 4 * k < points else 0.0
        share = (1 if k in (0, points // 4) else 2) / points * cosine**order
        twice = -2 * cosine * bounded
        pair = -np.expm1(twice) if order % 2 else 1 + np.exp(twice)
        mean = mean + share * np.exp(-2 * sin(angle / 2) ** 2 * bounded) * pair
    mean = mean * np.exp(size)
    return np.where(x < 0, -mean, mean) if order % 2 else mean


def _bounded(x: Any, size: float) -> Any:
    return not np.any(x > size)


@implements(np.sinc)
def sinc(x: Any) -> Any:
    """`numpy.sinc`."""
    return derivative(_sinc, 0, x)


@implements(np.i0)
def i0(x: Any) -> Any:
    """`numpy.i0`."""
    return derivative(_i0, 0, x)
