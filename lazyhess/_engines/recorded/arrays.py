"""Answers that can be differentiated again."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyhess._engines.arrays import NumpyFunctions
from lazyhess._engines.csr import CSR
from lazyhess._indices import Array, Shape
from lazyhess._record.variable import Variable, leaf, value_of


class VariableArrays(NumpyFunctions):
    """Variables, by the functions that they record."""

    def numpy(self, array: Any) -> Array:
        return np.asarray(value_of(array))

    def from_numpy(self, array: Any, dtype: Any) -> Any:
        if isinstance(array, Variable):
            return array
        return leaf(np.array(array.dense() if isinstance(array, CSR) else array, dtype))

    def zeros(self, shape: Shape, dtype: Any) -> Any:
        return leaf(np.zeros(shape, dtype))
