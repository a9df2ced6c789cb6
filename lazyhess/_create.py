"""How maps, blocks and rules make arrays.

They call these functions instead of NumPy's: whoever follows what is computed, to compute it again
from other numbers, sees here every array that NumPy's own protocols would not show. Arrays of
numbers that shapes alone determine (`numpy.zeros` of padding, `numpy.arange`) are constants, and
made as usual.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import numpy as np

from lazyhess._indices import Array, Shape


def asarray(x: Any, dtype: Any = None, order: Literal["K", "C"] = "K") -> Array:
    """As `numpy.asarray`, of plain values, whose operators mean what those of arrays do."""
    check_operators(x)
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


# --- arrays whose operators mean something else ---------------------------------------------------


def check_operators(x: Any) -> None:
    """Refuse arrays that would lose their meaning: masked ones, `numpy.matrix`, and the like.

    Subclasses that compute as arrays do (`numpy.memmap`, `numpy.recarray`) are arrays.
    """
    if type(x) is not np.ndarray and isinstance(x, np.ndarray):
        check_kind(type(x))


def check_kind(kind: type) -> None:
    """Refuse such arrays by their class."""
    name = other_operators(kind)
    if name is None:
        return
    way = "np.asarray(x) gives a plain array"
    if hasattr(kind, "filled"):
        way = "x.filled(value) gives a plain array, np.asarray(x) the one without its mask"
    raise TypeError(
        f"a {kind.__name__} beside a Variable, or as one, would lose its meaning, since its {name} "
        f"is not that of an array; {way}"
    )


@lru_cache(maxsize=256)
def other_operators(kind: type) -> str | None:
    """An operator that a subclass of arrays has defined anew, if there is one."""
    if kind is np.ndarray or not issubclass(kind, np.ndarray):
        return None
    for name in _OPERATORS:
        if getattr(kind, name) is not getattr(np.ndarray, name):
            return name
    return None


_BINARY = "add sub mul matmul truediv floordiv mod divmod pow".split()
_OPERATORS = [
    "__array_ufunc__",
    *[f"__{side}{name}__" for name in _BINARY for side in ("", "r")],
    *[f"__{name}__" for name in "neg pos abs lt le gt ge eq ne".split()],
]
