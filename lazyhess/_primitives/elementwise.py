"""Elementwise functions: each is its value, its first and its second derivatives.

In the formulas ``z`` is the value, ``x``, ``y`` (or ``a``, ``b``) are the operands. They are good
to 4 ulp, near poles and in the tails too (`tests/accuracy` holds them to it): no difference of
nearly equal numbers that can be avoided, and no overflow on the way to a result that is in range.
They are evaluated on Variables as well, so decisions are made on plain values.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from operator import not_, truth
from typing import Any

import numpy as np

from lazyhess._decisions import all_finite, decide, everywhere, nowhere
from lazyhess._primitives.base import Elementwise, Formula, finite
from lazyhess._record.variable import Variable, value_of

LN2 = float(np.log(2.0))
LOG2_E = 1.4426950408889634
LOG10_E = 0.4342944819032518


def _unary(ufunc: np.ufunc, first: Formula, second: Formula | None = None) -> None:
    Elementwise(ufunc, (first,), {} if second is None else {(0, 0): second})


def binary(
    ufunc: np.ufunc,
    first: tuple[Formula, Formula],
    second: dict[tuple[int, int], Formula],
    by_value: tuple[int, ...] = (),
) -> None:
    """Register a function of two operands, which its formulas get in the precision of the value."""

    def alike(formula: Formula) -> Formula:
        if not callable(formula):
            return formula
        return lambda z, x, y: formula(z, _like(z, x), _like(z, y))

    left, right = map(alike, first)
    bends = {key: alike(formula) for key, formula in second.items()}
    Elementwise(ufunc, (left, right), bends, by_value=by_value)


def _like(z: Any, x: Any) -> Any:
    """An operand in the precision of the value; one that is real stays real."""
    if type(x) is np.ndarray and x.dtype is z.dtype:
        return x
    number = isinstance(x, (int, float, complex))
    if not number and x.dtype == z.dtype:
        return x
    real = value_of(z).real.dtype
    if number:
        return (z.dtype if isinstance(x, complex) else real).type(x)
    return x if x.dtype == real else x.astype(z.dtype if x.dtype.kind == "c" else real)


@cache
def limits(dtype: np.dtype[Any]) -> tuple[Any, Any, Any]:
    """The smallest normal number, the least square with all its digits, the largest number."""
    info = np.finfo(dtype)
    return info.tiny, info.tiny / info.eps**2, info.max


def _wide(formula: Callable[..., Any], value: np.ufunc | None = None) -> Callable[..., Any]:
    """Evaluate in float64 for float32, where NumPy's function of float32 is off by 3 ulp.

    Parameters
    ----------
    formula : callable
        The formula.
    value : numpy.ufunc, optional
        What gives the value in float64, where its own error in float32 is too large.
    """

    def widened(z: Any, *args: Any) -> Any:
        if z.dtype != np.float32:
            return formula(z, *args)
        args = tuple(x.astype(np.float64) for x in args)
        z = value(*args) if value else z.astype(np.float64)
        return formula(z, *args).astype(np.float32)

    return widened


# --- linear ---------------------------------------------------------------------------------------
_unary(np.positive, 1)
_unary(np.negative, -1)
_unary(np.degrees, 180 / np.pi)
_unary(np.rad2deg, 180 / np.pi)
_unary(np.radians, np.pi / 180)
_unary(np.deg2rad, np.pi / 180)
Elementwise(np.add, (1, 1))
Elementwise(np.subtract, (1, -1))

# --- arithmetic -----------------------------------------------------------------------------------
Elementwise(
    np.multiply,
    (lambda z, x, y: _like(z, y), lambda z, x, y: _like(z, x)),
    {(0, 1): 1},
)
binary(
    np.divide,
    (lambda z, x, y: 1 / y, lambda z, x, y: -z / y),
    # By y twice: its square overflows, or loses digits, where the quotient does not.
    {(0, 1): lambda z, x, y: -1 / y / y, (1, 1): lambda z, x, y: 2 * (z / y / y)},
)


_unary(np.square, lambda z, x: 2 * x, 2)
_unary(np.reciprocal, lambda z, x: -z * z, lambda z, x: 2 * z * z * z)
_unary(np.sqrt, lambda z, x: 0.5 / z, lambda z, x: -0.25 / z / x)


def _cbrt(z: Any, x: Any, factor: float) -> Any:
    """Give factor / z², as z / x and 1 / z² mixed such that an error of z, 3 ulp, cancels."""
    slope = (2 * (z / x) + 1 / (z * z)) * (factor / 3)
    return slope if everywhere(x) else np.where(value_of(x) == 0, factor * np.inf, slope)


_unary(np.cbrt, lambda z, x: _cbrt(z, x, 1 / 3), lambda z, x: _cbrt(z, x, -2 / 9) / x)
_unary(np.absolute, lambda z, x: np.sign(x))
_unary(np.fabs, lambda z, x: np.sign(x))


def _times_power(factor: Any, z: Any, x: Any, y: Any, n: int) -> Any:
    """Give factor * x**(y - n), where z is x**y; a factor of zero wins over a pole."""
    number = isinstance(factor, np.generic)
    if number and decide("zero", not_, factor):
        return factor
    product = _divided_power(factor, z, x, y, n)
    nonzero = decide("everywhere", truth if number else np.all, factor)
    return product if nonzero else np.where(value_of(factor) == 0, 0, product)


def _divided_power(factor: Any, z: Any, x: Any, y: Any, n: int) -> Any:
    if _is_number(y) and decide("few factors", _few_factors, y, n):
        # By products: several times faster than pow, and as accurate.
        low = int((y - n).real)
        square = x * x if low > 1 else x
        return factor * (1, x, square, square * x, square * square)[low]
    # Divided, since the error of a rounded exponent would be multiplied by log(x).
    product = factor * z / x if n == 1 else factor * z / x / x
    size = np.abs(value_of(z))
    if not size.size or decide("in range", _normal, size, value_of(product)):
        return product
    # Where x**y is out of range x**(y - n) need not be, if y - n is exact.
    exact = np.greater_equal(value_of(y).real, n / 2) | np.isnan(value_of(product))
    return np.where(exact, factor * x ** (y - n), product)


def _few_factors(y: Any, n: int) -> bool:
    return (y - n).item() in (0, 1, 2, 3, 4)


def _normal(size: Any, product: Any) -> bool:
    """Whether sizes are normal numbers, or larger, and what was made of them is finite."""
    return limits(size.dtype)[0] <= size.min() and all_finite(product)


def _is_number(y: Any) -> bool:
    return not isinstance(y, Variable) and y.ndim == 0


def _power_bend(z: Any, x: Any, y: Any) -> Any:
    # In float32 a number of at least 1 gives few roundings, whole ones the fewest.
    narrow = _is_number(y) and y.real >= 1
    return (_power_bend_narrow if narrow else _power_bend_wide)(z, x, y)


def _power_bend_narrow(z: Any, x: Any, y: Any) -> Any:
    return _times_power(y * (y - 1), z, x, y, 2)


_power_bend_wide = _wide(_power_bend_narrow)


def _log(x: Any) -> Any:
    """log(x), and 0 at 0: x**y log(x) tends to 0 there for every positive y."""
    return np.log(x if everywhere(x) else np.where(value_of(x) == 0, 1, x))


for _pow in (np.power, np.float_power):
    binary(
        _pow,
        (
            lambda z, x, y: _times_power(y, z, x, y, 1),
            _wide(lambda z, x, y: z * _log(x)),
        ),
        {
            (0, 0): _power_bend,
            (0, 1): _wide(lambda z, x, y: _times_power(1 + y * _log(x), z, x, y, 1)),
            (1, 1): _wide(lambda z, x, y: z * np.square(_log(x))),
        },
        by_value=(1,),
    )

# --- exponentials and logarithms ------------------------------------------------------------------
_unary(np.exp, lambda z, x: z, lambda z, x: z)
_unary(np.exp2, lambda z, x: LN2 * z, lambda z, x: (LN2 * LN2) * z)
_unary(np.expm1, lambda z, x: np.exp(x), lambda z, x: np.exp(x))
_unary(np.log, lambda z, x: 1 / x, lambda z, x: -np.square(1 / x))
_unary(np.log2, lambda z, x: LOG2_E / x, lambda z, x: -LOG2_E / x / x)
_unary(np.log10, lambda z, x: LOG10_E / x, lambda z, x: -LOG10_E / x / x)
_unary(np.log1p, lambda z, x: 1 / (1 + x), lambda z, x: -1 / np.square(1 + x))


def _bump(t: Any, exp: np.ufunc = np.exp, factor: float = 1) -> Any:
    """Give factor / (e + 2 + 1/e), e = exp(t): with 1 the derivative of 1 / (1 + exp(-t)), even."""
    e = exp(t)
    e = e + (2 + 1 / e)
    return factor / e


def _size(t: Any) -> Any:
    """|t| for an even function; of a Variable itself, since abs has a derivative of 0 at 0."""
    return t if isinstance(t, Variable) else np.abs(t)


def rounded_off(a: Any, b: Any, t: Any) -> Any:
    """What the rounding of t = a - b has lost, exactly (D. Knuth, TAOCP 2, 4.2.2)."""
    back = a - t
    return (a - (t + back)) + (back - b)


def _lost(a: Any, b: Any, t: Any) -> Any:
    """As `rounded_off`, plain and finite; None where it is nothing.

    In a tail it is not: an error of an ulp of t is one of |t| ulp in exp(t).
    """
    a, b, t = map(value_of, (a, b, t))
    if any(x.ndim == 0 and decide("zero", not_, x) for x in (a, b)):
        return None
    lost = rounded_off(a, b, t)
    if nowhere(lost):
        return None
    return lost if finite(lost) else np.where(np.isfinite(lost), lost, 0)


def _of_infinite(z: Any, t: Any, derivative: Any, even: float) -> Any:
    """What is -inf stays it, with a derivative of zero; two that are +inf share evenly."""
    plain = value_of(z)
    if finite(plain):
        return derivative
    derivative = np.where(np.isneginf(plain), plain.dtype.type(0), derivative)
    return np.where(np.isposinf(plain) & np.isnan(value_of(t)), plain.dtype.type(even), derivative)


def _log_add(ufunc: np.ufunc, exp: np.ufunc, log_base: float) -> None:
    def share(z: Any, a: Any, b: Any) -> Any:
        """e^a / (e^a + e^b)."""
        t = b - a
        part = 1 / (1 + exp(t))
        lost = _lost(b, a, t)
        part = part if lost is None else part - part * (1 - part) * (log_base * lost)
        return _of_infinite(z, t, part, 0.5)

    def spread(z: Any, a: Any, b: Any) -> Any:
        """The product of the two shares."""
        t = a - b
        bump = _bump(_size(t), exp, log_base)
        lost = _lost(a, b, t)
        if lost is not None:
            bump = bump - bump * (log_base * lost * np.sign(value_of(t)))
        return _of_infinite(z, t, bump, 0.25 * log_base)

    binary(
        ufunc,
        (share, lambda z, a, b: share(z, b, a)),
        {(0, 0): spread, (0, 1): lambda z, a, b: -spread(z, a, b), (1, 1): spread},
    )


_log_add(np.logaddexp, np.exp, 1)
_log_add(np.logaddexp2, np.exp2, LN2)

# --- trigonometric and hyperbolic -----------------------------------------------------------------
_unary(np.sin, lambda z, x: np.cos(x), lambda z, x: -z)
_unary(np.cos, lambda z, x: -np.sin(x), lambda z, x: -z)


_unary(
    np.tan,
    _wide(lambda z, x: 1 + z * z, np.tan),
    _wide(lambda z, x: 2 * z * (1 + z * z), np.tan),
)


def _circle(x: Any) -> Any:
    """1 - x², with one rounding less where x is real than (1 - x) (1 + x)."""
    if x.dtype.kind == "c" or isinstance(x, Variable):
        return (1 - x) * (1 + x)
    size = np.abs(x)
    end = np.rint(size)  # 0 or 1; the distance from it is exact
    apart = end - size
    return (1 - end) + (2 * end * apart - apart * apart)


def _arcsin_bend(z: Any, x: Any) -> Any:
    w = _circle(x)
    return x / (w * np.sqrt(w))


_unary(np.arcsin, lambda z, x: 1 / np.sqrt((1 - x) * (1 + x)), _arcsin_bend)
_unary(np.arccos, lambda z, x: -1 / np.sqrt((1 - x) * (1 + x)), lambda z, x: -_arcsin_bend(z, x))


def _arctan_bend(z: Any, x: Any) -> Any:
    w = 1 + x * x
    return -2 * (x / w / w)


_unary(np.arctan, lambda z, x: 1 / (1 + x * x), _arctan_bend)
_unary(np.sinh, lambda z, x: np.cosh(x), lambda z, x: z)
_unary(np.cosh, lambda z, x: np.sinh(x), lambda z, x: z)


def _tanh_slope(z: Any, x: Any) -> Any:
    """1 / cosh(x)²: faster and closer by one exponential, where x is real."""
    if z.dtype.kind == "c":
        return np.square(1 / np.cosh(x))
    return _bump(2 * _size(x), factor=4)


_unary(np.tanh, _tanh_slope, _wide(lambda z, x: _tanh_slope(z, x) * z * -2))


def _arcsinh_slope(z: Any, x: Any) -> Any:
    root = np.sqrt(1 + x * x)
    if z.dtype.kind != "c" and not finite(value_of(root)):
        root = np.hypot(1, x)  # slower, and without overflow
    return 1 / root


def _arcsinh_bend(z: Any, x: Any) -> Any:
    w = 1 + x * x
    return -x / np.sqrt(w) / w


_unary(np.arcsinh, _arcsinh_slope, _arcsinh_bend)


def _arccosh_slope(z: Any, x: Any) -> Any:
    less, more = x - 1, x + 1
    square = less * more
    if z.dtype.kind == "c" or not finite(value_of(square)):
        return 1 / (np.sqrt(less) * np.sqrt(more))  # the branch, and no overflow
    return 1 / np.sqrt(square)


def _arccosh_bend(z: Any, x: Any) -> Any:
    less, more = x - 1, x + 1
    root = np.sqrt(less) * np.sqrt(more) if z.dtype.kind == "c" else np.sqrt(less * more)
    return -0.5 * (1 / less + 1 / more) / root


_unary(np.arccosh, _arccosh_slope, _arccosh_bend)
_unary(
    np.arctanh,
    lambda z, x: 1 / ((1 - x) * (1 + x)),
    lambda z, x: 2 * x / np.square(_circle(x)),
)
