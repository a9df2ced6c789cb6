"""Functions with steps: flat, or linear, between them."""

from __future__ import annotations

from math import pi
from typing import Any

import numpy as np

from lazyhess._create import asarray
from lazyhess._indices import Array
from lazyhess._maps import Map
from lazyhess._primitives.base import Elementwise, implements, options
from lazyhess._record.primitive import UFUNCS, Primitive, refuse_out
from lazyhess._record.variable import record, value_of

# --- flat: recorded, with a derivative of zero ----------------------------------------------------
_step: np.ufunc
for _step in (np.sign, np.floor, np.ceil, np.rint, np.trunc):
    Elementwise(_step, (0,))
Elementwise(np.floor_divide, (0, 0))
Elementwise(np.heaviside, (0, 0))


# --- linear ---------------------------------------------------------------------------------------
def _whole_quotient(z: Any, x: Any, y: Any) -> Any:
    """(z - x) / y, which is a whole number: x / y alone may round up to one."""
    z, x, y = map(value_of, (z, x, y))
    return np.rint(z / y - x / y)


Elementwise(np.remainder, (1, _whole_quotient))
Elementwise(np.fmod, (1, _whole_quotient))
UFUNCS[np.divmod] = lambda a, b, **kwargs: (
    np.floor_divide(a, b, **kwargs),
    np.remainder(a, b, **kwargs),
)
UFUNCS[np.modf] = lambda a, **kwargs: (a - np.trunc(a, **kwargs), np.trunc(a, **kwargs))
Elementwise(
    np.copysign,
    (
        lambda z, x, y: np.where(np.signbit(x) == np.signbit(y), z.dtype.type(1), z.dtype.type(-1)),
        0,
    ),
)
Elementwise(np.ldexp, (lambda z, x, n: np.ldexp(z.dtype.type(1), value_of(n)), 0))
Elementwise(np.nextafter, (1, 0))
Elementwise(np.spacing, (0,))


@implements(np.frexp)
def frexp(x: Any, **kwargs: Any) -> Any:
    """`numpy.frexp`: the mantissa is the number times a power of two that stays."""
    (x,) = options("frexp", (x,), kwargs)
    _, exponent = np.frexp(value_of(x))
    # In two steps: the power of two alone may overflow.
    half = exponent // 2
    return np.ldexp(np.ldexp(x, -half), half - exponent), exponent


class Rounded(Primitive):
    """Rounded to some decimals: constant between its steps."""

    name = "round"

    def __init__(self, decimals: int) -> None:
        self.decimals = decimals

    def value(self, *args: Any) -> Array:
        return asarray(np.round(args[0], self.decimals))

    def jacobian(self, k: int, args: tuple[Any, ...], out: Array) -> Map | None:
        return None


@implements(np.round, np.around)
def round_(a: Any, decimals: int = 0, out: Any = None) -> Any:
    """`numpy.round`."""
    if out is not None:
        refuse_out("round")
    return record(Rounded.of(int(decimals)), a)


@implements(np.fix)
def fix(x: Any, out: Any = None, **kwargs: Any) -> Any:
    """`numpy.fix`."""
    if out is not None:
        refuse_out("fix")
    return np.trunc(x, **kwargs)


@implements(np.unwrap)
def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2 * pi) -> Any:
    """`numpy.unwrap`: a whole number of periods is added to each element."""
    value, length = value_of(p), value_of(period)
    unwrapped = np.unwrap(value, value_of(discont), axis, period=length)
    with np.errstate(invalid="ignore"):
        times = np.rint((unwrapped - value) / length)
    # NaN spoils all that comes after it, as in NumPy.
    return p + times.astype(p.dtype) * period
