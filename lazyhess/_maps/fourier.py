"""The discrete Fourier transform."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from lazyhess._indices import Array, Ids, Shape
from lazyhess._maps.base import NOTHING, Axes, Map, thin
from lazyhess._tangents import Sparse

_Norm: TypeAlias = Literal["backward", "ortho", "forward"] | None


class Fourier(Map):
    """The transform along an axis, or (`inverse`) the one with the other sign.

    Its matrix is symmetric: the map is its own transpose. `norm` is as in `numpy.fft`.
    """

    def __init__(self, shape: Shape, axis: int, norm: _Norm, *, inverse: bool) -> None:
        self.inp = self.out = shape
        self.axis = axis
        self.norm = norm
        self.inverse = inverse

    def dense(self, block: Array) -> Array:
        transform = np.fft.ifft if self.inverse else np.fft.fft
        transformed: Array = transform(block, axis=self.axis + 1, norm=self.norm)
        return transformed

    def sparse(self, block: Sparse) -> Array:
        return self.dense(block.dense())

    def out_axes(self, axes: Axes) -> Axes | None:
        return None if self.axis in axes else axes

    def at_one_place(self, axes: Axes, out_axes: Axes) -> Map | None:
        return Fourier(thin(self.inp, axes), self.axis, self.norm, inverse=self.inverse)

    def reach(self, labels: Ids) -> Ids:
        top = np.max(labels, axis=self.axis, keepdims=True, initial=NOTHING)
        return np.broadcast_to(top, self.out)

    @property
    def T(self) -> Map:
        return self
