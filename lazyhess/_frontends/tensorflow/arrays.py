"""TensorFlow: operations on tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from lazyhess._engines.arrays import Arrays
from lazyhess._indices import Array, Ids, Shape


def dense(gradient: Any, like: Any) -> Any:
    """A gradient as a tensor in the shape of its x; zeros where there is none."""
    if gradient is None:
        return tf.zeros(like.shape, like.dtype)
    return tf.convert_to_tensor(gradient)  # of IndexedSlices, too


class TensorFlowArrays(Arrays):
    """Operations on tensors, see `lazyhess._engines.arrays.Arrays`."""

    def numpy(self, array: Any) -> Array:
        numbers = np.asarray(array)
        # What NumPy itself does not know (bfloat16) comes as the next wider type that it does.
        return numbers.astype(np.float32) if numbers.dtype.kind == "V" else numbers

    def from_numpy(self, array: Array, dtype: Any) -> Any:
        return tf.constant(np.asarray(array).astype(dtype.as_numpy_dtype))

    def zeros(self, shape: Shape, dtype: Any) -> Any:
        return tf.zeros(shape, dtype)

    def concatenate(self, parts: Sequence[Any]) -> Any:
        return tf.concat(list(parts), 0)

    def take(self, array: Any, ids: Ids, axis: int) -> Any:
        return tf.gather(array, ids, axis=axis)

    def points(self, array: Any, rows: Ids, columns: Ids) -> Any:
        return tf.gather_nd(array, np.stack(np.broadcast_arrays(rows, columns), -1))

    def reshape(self, array: Any, shape: Shape) -> Any:
        return tf.reshape(array, np.asarray(shape, np.int64))

    def transpose(self, array: Any, axes: Sequence[int]) -> Any:
        return tf.transpose(array, list(axes))

    def cast(self, array: Any, dtype: Any) -> Any:
        return tf.cast(array, dtype)

    def nbytes(self, array: Any) -> int:
        return int(np.prod(array.shape, dtype=np.int64)) * self.itemsize(array.dtype)

    def itemsize(self, dtype: Any) -> int:
        return int(dtype.size)
