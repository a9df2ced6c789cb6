"""Fourier transforms, and the parts of complex numbers. What is tested is made real at the end."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.cases.base import case, spread

F = np.fft


def add(key: Any, function: Any, *inputs: Any) -> None:
    """The real and the imaginary part of a function, squared, so that there is a curvature."""
    case(key, lambda *xs: np.square(np.real(function(*xs))) + np.imag(function(*xs)), *inputs)


KWARGS: tuple[dict[str, Any], ...] = (
    {},
    {"axis": 0},
    {"n": 3},
    {"n": 8, "norm": "ortho"},
    {"norm": "forward"},
    {"n": 1},
)
X, Y = spread(-1, 1, (2, 5)), spread(-1, 1, (4, 3))
for _one in (F.fft, F.ifft, F.rfft, F.ihfft):
    for _kwargs in KWARGS:
        add(_one, lambda x, f=_one, k=_kwargs: f(x, **k), X)
    add(_one, _one, X[0].astype(np.float32))
    add(_one, _one, np.zeros((0, 3)))
    add(_one, lambda x, f=_one: f(x[None]), spread(1, 2, ()))
for _one in (F.fft, F.ifft, F.irfft, F.hfft):
    for _kwargs in KWARGS:
        add(_one, lambda x, y, f=_one, k=_kwargs: f(x + 1j * y, **k), Y, Y[::-1])
    add(_one, lambda x, f=_one: f(x), spread(-1, 1, (3,)).astype(np.float32))
for _several in (F.fft2, F.ifft2, F.rfft2, F.irfft2, F.fftn, F.ifftn, F.rfftn, F.irfftn):
    for _kwargs in ({}, {"axes": (1, 0)}, {"s": (3, 2), "axes": (0, 1)}, {"norm": "ortho"}):
        add(_several, lambda x, f=_several, k=_kwargs: f(x, **k), Y)
for _several in (F.fftn, F.ifftn, F.rfftn, F.irfftn):
    add(_several, lambda x, f=_several: f(x, axes=(2, 0)), spread(-1, 1, (2, 1, 3)))
for _shift in (F.fftshift, F.ifftshift):
    for _kwargs in ({}, {"axes": 0}, {"axes": (0, -1)}):
        case(_shift, lambda x, f=_shift, k=_kwargs: f(x * x, **k), spread(-1, 1, (2, 5)))
    case(_shift, _shift, np.zeros((0,)))
    case(_shift, lambda x, f=_shift: f(x[None]) ** 2, spread(1, 2, ()))


def turned(x: Any) -> Any:
    return x * np.exp(1j * x) + 0.3j


for _shape in ((3, 2), (), (0, 2)):
    for _part in (np.real, np.imag, np.angle, np.abs, np.conjugate, np.sign):
        key = np.absolute if _part is np.abs else _part
        add(key, lambda x, f=_part: f(turned(x)), spread(0.5, 1.5, _shape))
for _part in (np.real, np.imag):
    case(_part, lambda x, f=_part: f(x) + x * x, spread(-1, 1, (3,)))
    case(_part, lambda x, f=_part: f(np.sqrt(x + 0.5j)), spread(-1, 1, (3,)).astype(np.float32))
case(np.angle, lambda x: np.angle(np.exp(2j * x), deg=True), spread(-1, 1, (3,)))
case(np.angle, lambda x: np.angle(x) * x, spread(-1, 1.1, (4,)))
for _function in (np.exp, np.log, np.sqrt, np.sin, np.cos, np.tan, np.sinh, np.cosh, np.tanh, np.arcsin,
                  np.arctan, np.arcsinh, np.square, np.reciprocal, np.log1p, np.expm1, np.arctanh):  # fmt: skip
    add(_function, lambda x, f=_function: f(0.4 * turned(x)), spread(0.5, 1.5, (3,)))
add(np.power, lambda x, y: turned(x) ** (y - 0.5j), spread(0.5, 1.5, (2,)), spread(-1, 1, (2, 1)))
add(np.divide, lambda x, y: turned(x) / (y - 0.5j), spread(0.5, 1.5, (2,)), spread(-1, 1, (2, 1)))
add(np.matmul, lambda x: turned(x) @ np.conjugate(turned(x)).T, spread(0.5, 1.5, (2, 3)))
add(np.vdot, lambda x: np.vdot(turned(x), 1j * x), spread(0.5, 1.5, (2, 3)))
add(np.prod, lambda x: np.prod(turned(x)), spread(0.5, 1.5, (3,)))
for _spread in (np.var, np.std):
    case(_spread, lambda x, f=_spread: f(turned(x), axis=0), spread(0.5, 1.5, (3, 2)))
add(
    np.maximum,
    lambda x, y: np.maximum(turned(x), turned(y)),
    spread(0.5, 1.5, (3,)),
    spread(0.6, 1.4, (3,)),
)
add(np.sort, lambda x: np.sort(turned(x)), spread(0.5, 1.5, (3,)))
add(np.max, lambda x: np.max(turned(x)), spread(0.5, 1.5, (3,)))
