"""Products of matrices, and what NumPy has in `numpy.linalg` under a second name."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from lazyhess._primitives.base import implements, nested
from lazyhess._primitives.einsum import product
from lazyhess._primitives.linalg.base import square_matrices
from lazyhess._primitives.linalg.solutions import inv
from lazyhess._record.primitive import FUNCTIONS, UFUNCS, refuse_out


@implements(np.linalg.matrix_power)
def matrix_power(a: Any, n: Any) -> Any:
    """`numpy.linalg.matrix_power`, by repeated squaring."""
    a = square_matrices("inv", a)
    n = index(n)
    if n < 0:
        return matrix_power(inv(a), -n)
    if n == 0:
        return a * 0 + np.eye(a.shape[-1], dtype=a.dtype)
    power, square = None, a
    while True:
        if n & 1:
            power = square if power is None else power @ square
        n >>= 1
        if not n:
            return power
        square = square @ square


@implements(np.linalg.multi_dot)
def multi_dot(arrays: Any, *, out: Any = None) -> Any:
    """`numpy.linalg.multi_dot`, in an order chosen by sizes."""
    if out is not None:
        refuse_out("multi_dot")
    parts = [nested(a) for a in arrays]
    if len(parts) < 2:
        raise ValueError("Expecting at least two arrays.")
    ends = (parts[0].ndim == 1, parts[-1].ndim == 1)
    for a, allowed in zip(parts, [(1, 2), *[(2,)] * (len(parts) - 2), (1, 2)], strict=True):
        if a.ndim not in allowed:
            raise np.linalg.LinAlgError(
                f"{a.ndim}-dimensional array given. Array must be two-dimensional"
            )
    labels: list[tuple[int, ...]] = [(k, k + 1) for k in range(len(parts))]
    onto: tuple[int, ...] = (0, len(parts))
    if ends[0]:
        labels[0], onto = labels[0][1:], onto[1:]
    if ends[1]:
        labels[-1], onto = labels[-1][:1], onto[:-1]
    return product(parts, labels, onto)


implements(np.linalg.matmul)(FUNCTIONS.get(np.matmul) or UFUNCS[np.matmul])
implements(np.linalg.matrix_transpose)(FUNCTIONS[np.matrix_transpose])


@implements(np.linalg.diagonal)
def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """`numpy.linalg.diagonal`."""
    return np.diagonal(x, offset, -2, -1)


@implements(np.linalg.trace)
def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """`numpy.linalg.trace`."""
    return np.trace(x, offset, -2, -1, dtype)
