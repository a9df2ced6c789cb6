"""jax: operations on arrays, by NumPy where they lie in the memory of the processor."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lazyhess._engines.arrays import Arrays
from lazyhess._indices import Array, Ids, Shape


def traced(array: Any) -> bool:
    """Whether an array is one of a function that jax is tracing: it has no numbers yet."""
    return isinstance(array, jax.core.Tracer)


def wide() -> bool:
    """Whether arrays of 64 bits keep them, as jax is set now."""
    return bool(jax.dtypes.canonicalize_dtype(np.float64) == np.float64)


def precision(x64: bool) -> AbstractContextManager[Any]:
    """The mode in which arrays of 64 bits keep them, or the other one, as it was at the call."""
    if wide() == x64:
        return nullcontext()
    mode: AbstractContextManager[Any] = jax.enable_x64(x64)
    return mode


class JaxArrays(Arrays):
    """Operations on arrays of jax, see `lazyhess._engines.arrays.Arrays`.

    jax compiles an operation for every shape it meets, which takes far longer than to move the
    elements. What lies in the memory of the processor is therefore handled by NumPy. Arrays of jax
    never change, so an answer may be what is kept.

    Parameters
    ----------
    device : jax.Device, optional
        Where new arrays lie; by default where jax puts them.
    """

    def __init__(self, device: Any) -> None:
        self.device = device
        self.x64 = wide()

    def numpy(self, array: Any) -> Array:
        numbers: Array = np.asarray(array)
        return numbers

    def from_numpy(self, array: Array, dtype: Any) -> Any:
        return self._put(np.array(array, dtype))

    def zeros(self, shape: Shape, dtype: Any) -> Any:
        return self._put(np.zeros(shape, dtype))

    def concatenate(self, parts: Sequence[Any]) -> Any:
        if all(map(_here, parts)):
            return self._put(np.concatenate([np.asarray(part) for part in parts]))
        with precision(self.x64):
            return jnp.concatenate(list(parts))

    def take(self, array: Any, ids: Ids, axis: int) -> Any:
        if len(ids) == array.shape[axis] and bool((ids == np.arange(len(ids))).all()):
            return array
        if _here(array):
            return self._put(np.take(np.asarray(array), ids, axis))
        with precision(self.x64):
            return jnp.take(array, ids, axis)

    def points(self, array: Any, rows: Ids, columns: Ids) -> Any:
        if _here(array):
            return self._put(np.asarray(np.asarray(array)[rows, columns]))
        with precision(self.x64):
            return array[rows, columns]

    def reshape(self, array: Any, shape: Shape) -> Any:
        if tuple(array.shape) == tuple(shape):
            return array
        if _here(array):
            return self._put(np.asarray(array).reshape(shape))
        with precision(self.x64):
            return jnp.reshape(array, shape)

    def transpose(self, array: Any, axes: Sequence[int]) -> Any:
        if tuple(axes) == tuple(range(len(axes))):
            return array
        if _here(array):
            return self._put(np.ascontiguousarray(np.asarray(array).transpose(tuple(axes))))
        with precision(self.x64):
            return jnp.transpose(array, tuple(axes))

    def nbytes(self, array: Any) -> int:
        return int(array.size) * int(array.dtype.itemsize)

    def itemsize(self, dtype: Any) -> int:
        return int(np.dtype(dtype).itemsize)

    def promoted(self, product: Any, *dtypes: Any) -> Any:
        dtype = jnp.promote_types(*dtypes)
        return product if product.dtype == dtype else self.cast(product, dtype)

    def cast(self, array: Any, dtype: Any) -> Any:
        with precision(self.x64):
            return array.astype(dtype)

    def _put(self, array: Array) -> Any:
        with precision(self.x64):
            return jax.device_put(array, self.device, may_alias=True)  # nobody changes it


def _here(array: Any) -> bool:
    """Whether NumPy can look at an array without copying it."""
    if traced(array) or not isinstance(array, jax.Array):
        return False
    devices = array.devices()
    return len(devices) == 1 and next(iter(devices)).platform == "cpu"
