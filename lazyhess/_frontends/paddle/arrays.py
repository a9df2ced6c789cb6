"""Paddle: operations on tensors."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import paddle

from lazyhess._engines.arrays import Arrays
from lazyhess._indices import Array, Ids, Shape

DTYPES: dict[Any, np.dtype[Any]] = {
    paddle.float32: np.dtype(np.float32),
    paddle.float64: np.dtype(np.float64),
}


class PaddleArrays(Arrays):
    """Operations on tensors, see `lazyhess._engines.arrays.Arrays`."""

    def __init__(self, place: Any) -> None:
        self.place = place

    def numpy(self, array: Any) -> Array:
        if not isinstance(array, paddle.Tensor):
            return np.asarray(array)
        numbers: Array = array.detach().numpy()
        return numbers

    def from_numpy(self, array: Array, dtype: Any) -> Any:
        return paddle.to_tensor(np.asarray(array, DTYPES[dtype]), place=self.place)

    def zeros(self, shape: Shape, dtype: Any) -> Any:
        return self.from_numpy(np.zeros(shape, DTYPES[dtype]), dtype)

    def concatenate(self, parts: Sequence[Any]) -> Any:
        return paddle.concat(list(parts))

    def take(self, array: Any, ids: Ids, axis: int) -> Any:
        count = len(ids)
        if not count or 0 in array.shape:
            shape = [*array.shape]
            shape[axis] = count
            return self.zeros(tuple(shape), array.dtype)
        if ids[-1] - ids[0] == count - 1 and bool((ids[1:] > ids[:-1]).all()):
            if count == array.shape[axis]:
                return array.clone()
            return paddle.slice(array, [axis], [int(ids[0])], [int(ids[-1]) + 1]).clone()
        return paddle.index_select(array, self._ids(ids), axis)

    def points(self, array: Any, rows: Ids, columns: Ids) -> Any:
        places = np.stack(np.broadcast_arrays(rows, columns), axis=-1)
        if not places.size:
            return self.zeros(places.shape[:-1], array.dtype)
        return paddle.gather_nd(array, self._ids(places))

    def _ids(self, ids: Ids) -> Any:
        return paddle.to_tensor(np.asarray(ids, np.int64), place=self.place)

    def reshape(self, array: Any, shape: Shape) -> Any:
        return array.reshape(list(shape))

    def transpose(self, array: Any, axes: Sequence[int]) -> Any:
        return paddle.transpose(array, list(axes))

    def cast(self, array: Any, dtype: Any) -> Any:
        return array.astype(dtype)

    def nbytes(self, array: Any) -> int:
        return int(prod(array.shape)) * self.itemsize(array.dtype)

    def itemsize(self, dtype: Any) -> int:
        return int(DTYPES[dtype].itemsize)
