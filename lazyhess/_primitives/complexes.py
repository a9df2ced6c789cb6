"""Real and imaginary parts, conjugates, moduli: what is not holomorphic.

The sweeps give every tangent and adjoint the dtype of its array, and from complex to real they
keep the real part. With the pairing ``Re(adjoint * tangent)`` that is the derivative of
`numpy.real`, and its transpose puts a real adjoint back into the complex numbers; so the maps here,
but for the conjugate, are complex-linear.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyhess._create import copied
from lazyhess._decisions import nowhere
from lazyhess._indices import Array
from lazyhess._maps import Conjugate, Map, Reshape
from lazyhess._primitives import elementwise, rounding  # noqa: F401 - the rules of real operands
from lazyhess._primitives.base import Structural, implements, options, scale
from lazyhess._record.primitive import UFUNCS, Primitive
from lazyhess._record.variable import record, value_of


class Real(Primitive):
    """The real part."""

    name = "real"
    holomorphic = False

    def value(self, *args: Any) -> Array:
        return copied(args[0].real)

    def jacobian(self, k: int, args: tuple[Any, ...], out: Array) -> Map:
        return Reshape(out.shape, out.shape)


class Imaginary(Primitive):
    """The imaginary part: the real part of -i z."""

    name = "imag"
    holomorphic = False

    def value(self, *args: Any) -> Array:
        return copied(args[0].imag)

    def jacobian(self, k: int, args: tuple[Any, ...], out: Array) -> Map:
        return scale(args[0].dtype.type(-1j), out.shape)


class Conjugation(Structural):
    """The complex conjugate."""

    holomorphic = False


@implements(np.real)
def real(val: Any) -> Any:
    """`numpy.real`."""
    return record(Real.of(), val) if val.dtype.kind == "c" else val


@implements(np.imag)
def imag(val: Any) -> Any:
    """`numpy.imag`."""
    if val.dtype.kind == "c":
        return record(Imaginary.of(), val)
    return np.where(np.zeros(val.shape, np.bool_), val, val.dtype.type(0))


@implements(np.conjugate)
def conjugate(x: Any, **kwargs: Any) -> Any:
    """`numpy.conjugate`; of a real Variable itself."""
    (x,) = options("conjugate", (x,), kwargs)
    if x.dtype.kind != "c":
        return x
    return record(Conjugation.of("conjugate", Conjugate, x.shape), x)


@implements(np.angle)
def angle(z: Any, deg: bool = False) -> Any:
    """`numpy.angle`."""
    phase = np.arctan2(imag(z), real(z))
    return np.degrees(phase) if deg else phase


def _of_complex(ufunc: np.ufunc, rule: Any) -> None:
    """Another rule for complex operands."""
    plain = UFUNCS[ufunc]

    def handler(x: Any, **kwargs: Any) -> Any:
        (operand,) = options(ufunc.__name__, (x,), kwargs)
        return rule(operand) if operand.dtype.kind == "c" else plain(operand)

    UFUNCS[ufunc] = handler


def modulus(z: Any) -> Any:
    """The absolute value of a complex array; at 0 with a derivative of 0, as the real one's."""
    x, y = real(z), imag(z)
    zero = value_of(z) == 0
    if nowhere(zero):
        return np.hypot(x, y)
    return np.where(zero, x.dtype.type(0), np.hypot(np.where(zero, x.dtype.type(1), x), y))


_of_complex(np.absolute, modulus)
_of_complex(np.sign, lambda z: z / np.where(value_of(z) == 0, 1, modulus(z)).astype(z.dtype))
