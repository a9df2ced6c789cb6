"""How maps, blocks and rules make arrays.

They call these functions instead of NumPy's: whoever follows what is computed, to compute it again
from other numbers, sees here every array that NumPy's own protocols would not show. Arrays of
numbers that shapes alone determine (`numpy.zeros` of padding, `numpy.arange`) are constants, and
made as usual.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from lazyhess._indices import Array, Shape


def asarray(x: Any, dtype: Any = None, order: Literal["K", "C"] = "K") -> Array:
    """As `numpy.asarray`, of plain values."""
    return np.asarray(x, dtype, order=order)


def copied(x: Any) -> Array:
    """An array of its own, with the same elements."""
    return np.array(x)


def contiguous(array: Array, dtype: Any = None) -> Array:
    """The array as it is walked through in C order: itself, or a copy. Not for 0-d arrays."""
    return np.ascontiguousarray(array, dtype)


def accumulator(shape: Shape, dtype: Any) -> Array:
    """Zeros that something will be added to in place."""
    return np.zeros(shape, dtype)


def buffer(shape: Shape, dtype: Any) -> Array:
    """An array whose elements will all be written in place, and hold nothing before."""
    return np.empty(shape, dtype)


def strided(array: Array, shape: Shape, strides: Shape, offset: int = 0) -> Array:
    """A view of a contiguous array from an element on, with strides in elements: a box in it."""
    item = array.itemsize
    steps = tuple(step * item for step in strides)
    return np.ndarray(shape, array.dtype, array, offset * item, steps)


def ones(shape: Shape, dtype: Any) -> Array:
    """Ones, of which a single one is stored (as `numpy.broadcast_to` does it, and faster)."""
    array = np.ndarray(shape, dtype, np.array(1, dtype), 0, (0,) * len(shape))
    array.flags.writeable = False
    return array


def of_shape(shape: Shape) -> Array:
    """An array of that shape without elements' memory: for NumPy to check arguments on."""
    return np.broadcast_to(_NOTHING, shape)


_NOTHING = np.empty((), "V0")
