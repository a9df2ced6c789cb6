"""torch: operations on tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from lazyhess._engines.arrays import Arrays
from lazyhess._indices import Array, Ids, Shape


class TorchArrays(Arrays):
    """Operations on tensors, see `lazyhess._engines.arrays.Arrays`."""

    def __init__(self, device: Any) -> None:
        self.device = device

    def numpy(self, array: Any) -> Array:
        if not isinstance(array, torch.Tensor):
            return np.asarray(array)
        array = array.detach().cpu().resolve_neg()
        if array.dtype in (torch.float16, torch.bfloat16):  # NumPy has no bfloat16
            array = array.float()
        numbers: Array = array.numpy()
        return numbers

    def from_numpy(self, array: Array, dtype: Any) -> Any:
        array = np.ascontiguousarray(array)
        if not array.flags.writeable:
            array = array.copy()
        tensor = torch.from_numpy(array).to(self.device, dtype)
        # What is converted is new; else memory would be shared.
        return tensor.clone() if tensor.data_ptr() == array.ctypes.data else tensor

    def zeros(self, shape: Shape, dtype: Any) -> Any:
        return torch.zeros(shape, dtype=dtype, device=self.device)

    def concatenate(self, parts: Sequence[Any]) -> Any:
        return torch.cat(list(parts))

    def take(self, array: Any, ids: Ids, axis: int) -> Any:
        ids = np.asarray(ids)
        count = len(ids)
        if count and ids[-1] - ids[0] == count - 1 and bool((ids[1:] > ids[:-1]).all()):
            part = array.narrow(axis, int(ids[0]), count)
            return part.clone(memory_format=torch.contiguous_format)
        return array.index_select(axis, self._ids(ids))

    def points(self, array: Any, rows: Ids, columns: Ids) -> Any:
        return array[self._ids(rows), self._ids(columns)]

    def _ids(self, ids: Ids) -> Any:
        return torch.tensor(np.ascontiguousarray(ids), dtype=torch.int64, device=self.device)

    def reshape(self, array: Any, shape: Shape) -> Any:
        return array.reshape(shape)

    def transpose(self, array: Any, axes: Sequence[int]) -> Any:
        return array.permute(tuple(axes))

    def cast(self, array: Any, dtype: Any) -> Any:
        return array.to(dtype)

    def nbytes(self, array: Any) -> int:
        return int(array.nbytes)

    def itemsize(self, dtype: Any) -> int:
        return int(dtype.itemsize)
