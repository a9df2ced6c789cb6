"""Fourier transforms: `numpy.fft`, all made of the complex transform along one axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyhess._indices import Shape
from lazyhess._maps import Fourier, Map
from lazyhess._primitives.base import axis_tuple, implements, one_axis, structural
from lazyhess._primitives.complexes import real
from lazyhess._record.primitive import refuse_out

_OTHER = {"backward": "forward", None: "forward", "ortho": "ortho", "forward": "backward"}


def _sized(a: Any, n: int | None, axis: int) -> Any:
    """The array with n elements along an axis: cut, or filled with zeros at the end."""
    have = a.shape[axis]
    n = have if n is None else int(n)
    if n < 1:
        raise ValueError(f"Invalid number of FFT data points ({n}) specified.")
    if n < have:
        return a[(slice(None),) * axis + (slice(n),)]
    if n > have:
        return np.pad(a, [(0, n - have if k == axis else 0) for k in range(a.ndim)])
    return a


def _checked(out: Any, norm: Any) -> None:
    if out is not None:
        refuse_out("fft")
    if norm not in _OTHER:
        raise ValueError(f'Invalid norm value {norm}; should be "backward", "ortho" or "forward".')


def _transform(a: Any, n: Any, axis: Any, norm: Any, out: Any, *, inverse: bool) -> Any:
    _checked(out, norm)
    axis = one_axis(axis, a.ndim)
    a = _sized(a, n, axis)
    if a.dtype.kind != "c":
        a = a.astype(np.result_type(a.dtype, np.complex64))
    name = "ifft" if inverse else "fft"
    return structural(name, a, _transformed, a.shape, axis, norm, inverse)


def _transformed(shape: Shape, axis: int, norm: Any, inverse: bool) -> Map:
    return Fourier(shape, axis, norm, inverse=inverse)


@implements(np.fft.fft)
def fft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """`numpy.fft.fft`."""
    return _transform(a, n, axis, norm, out, inverse=False)


@implements(np.fft.ifft)
def ifft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """`numpy.fft.ifft`."""
    return _transform(a, n, axis, norm, out, inverse=True)


@implements(np.fft.rfft)
def rfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """`numpy.fft.rfft`: the first half of `fft`."""
    if a.dtype.kind == "c":
        raise TypeError("rfft is of real arrays, got a complex Variable; use fft, or np.real of it")
    spectrum = fft(a, n, axis, norm, out)
    axis = one_axis(axis, a.ndim)
    return spectrum[(slice(None),) * axis + (slice(spectrum.shape[axis] // 2 + 1),)]


@implements(np.fft.irfft)
def irfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """`numpy.fft.irfft`: the other half of the spectrum is the conjugate of this one."""
    axis = one_axis(axis, a.ndim)
    n = 2 * (a.shape[axis] - 1) if n is None else int(n)
    half = _sized(a, n // 2 + 1 if n > 0 else n, axis)
    before = (slice(None),) * axis
    # What is its own mirror image counts once, with its real part.
    first = real(half[(*before, slice(1))])
    inner = half[(*before, slice(1, (n + 1) // 2))]
    last = real(half[(*before, slice((n + 1) // 2, n // 2 + 1))])
    parts = [first, inner, last, np.conjugate(np.flip(inner, axis))]
    whole = np.concatenate([part for part in parts if part.shape[axis]], axis)
    return real(_transform(whole, None, axis, norm, out, inverse=True))


@implements(np.fft.hfft)
def hfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """`numpy.fft.hfft`."""
    _checked(out, norm)
    return irfft(np.conjugate(a), n, axis, _OTHER[norm])


@implements(np.fft.ihfft)
def ihfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """`numpy.fft.ihfft`."""
    _checked(out, norm)
    return np.conjugate(rfft(a, n, axis, _OTHER[norm]))


def _axes(a: Any, s: Any, axes: Any) -> tuple[list[Any], tuple[int, ...]]:
    """The lengths and the axes of a transform of several."""
    if axes is None:
        axes = range(a.ndim) if s is None else range(a.ndim - len(s), a.ndim)
    axes = tuple(one_axis(axis, a.ndim) for axis in axes)  # an axis may come twice
    sizes = [None] * len(axes) if s is None else list(s)
    if len(sizes) != len(axes):
        raise ValueError("Shape and axes have different lengths.")
    return [None if n == -1 else n for n in sizes], axes


def _several(name: str, one: Any, default: Any) -> None:
    """Register the transform along several axes, the last one first, as NumPy does."""

    def transform(
        a: Any, s: Any = None, axes: Any = default, norm: Any = None, out: Any = None
    ) -> Any:
        _checked(out, norm)
        sizes, chosen = _axes(a, s, axes)
        for n, axis in list(zip(sizes, chosen, strict=True))[::-1]:
            a = one(a, n, axis, norm)
        return a

    transform.__name__ = name
    transform.__doc__ = f"`numpy.fft.{name}`."
    implements(getattr(np.fft, name))(transform)


def _several_real(name: str, default: Any) -> None:
    """Register the transform whose last axis is halved."""
    back = name.startswith("i")

    def transform(
        a: Any, s: Any = None, axes: Any = default, norm: Any = None, out: Any = None
    ) -> Any:
        _checked(out, norm)
        sizes, chosen = _axes(a, s, axes)
        pairs = list(zip(sizes, chosen, strict=True))
        if not back:
            a = rfft(a, sizes[-1], chosen[-1], norm)
        for n, axis in pairs[:-1] if back else pairs[-2::-1]:
            a = (ifft if back else fft)(a, n, axis, norm)
        return irfft(a, sizes[-1], chosen[-1], norm) if back else a

    transform.__name__ = name
    transform.__doc__ = f"`numpy.fft.{name}`."
    implements(getattr(np.fft, name))(transform)


for _name, _one in (("fft", fft), ("ifft", ifft)):
    _several(f"{_name}n", _one, None)
    _several(f"{_name}2", _one, (-2, -1))
for _name in ("rfft", "irfft"):
    _several_real(f"{_name}n", None)
    _several_real(f"{_name}2", (-2, -1))


def _shift(function: Any) -> None:
    back = function is np.fft.ifftshift

    def shift(x: Any, axes: Any = None) -> Any:
        axes = axis_tuple(axes, x.ndim)
        steps = tuple(x.shape[axis] // 2 for axis in axes)
        return np.roll(x, tuple(-n for n in steps) if back else steps, axes)

    shift.__doc__ = f"`numpy.fft.{function.__name__}`."
    implements(function)(shift)


_shift(np.fft.fftshift)
_shift(np.fft.ifftshift)
