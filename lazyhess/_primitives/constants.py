"""Functions whose answer has no derivative: comparisons, and questions of shape and position.

They see the plain values, so that Python branches and loops just work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lazyhess._record.primitive import FUNCTIONS, UFUNCS
from lazyhess._record.variable import Variable, value_of


def _unasked(function: Callable[..., Any]) -> Callable[..., Any]:
    """For questions that values have no part in."""

    def on_shapes(*args: Any, **kwargs: Any) -> Any:
        args = tuple(x._value if isinstance(x, Variable) else x for x in args)
        return on_values(*args, **kwargs)

    on_values = _plain(function)
    return on_shapes


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    def on_values(*args: Any, **kwargs: Any) -> Any:
        return function(
            *(value_of(x) for x in args), **{name: value_of(x) for name, x in kwargs.items()}
        )

    return on_values


# Without a derivative: the tests, and the list of supported functions, read these.
PLAIN_UFUNCS = (  # truth values
    np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal,
    np.logical_and, np.logical_or, np.logical_xor, np.logical_not,
    np.isfinite, np.isinf, np.isnan, np.signbit,
)  # fmt: skip
PLAIN_FUNCTIONS = (
    # truth values
    np.all, np.any, np.allclose, np.isclose, np.array_equal, np.array_equiv, np.isreal,
    np.iscomplex, np.iscomplexobj, np.isrealobj, np.isneginf, np.isposinf, np.isin,
    # shapes and kinds
    np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.min_scalar_type,
    np.shares_memory, np.may_share_memory, np.common_type, np.einsum_path, np.linalg.matrix_rank,
    # positions and counts
    np.argmax, np.argmin, np.nanargmax, np.nanargmin, np.argsort, np.argpartition,
    np.argwhere, np.nonzero, np.flatnonzero, np.count_nonzero, np.searchsorted, np.digitize,
    np.lexsort, np.tril_indices_from, np.triu_indices_from, np.diag_indices_from,
    # arrays made like another, by name or by like=
    np.zeros_like, np.ones_like, np.empty_like, np.zeros, np.ones, np.empty, np.eye, np.identity,
    np.tri, np.arange,
    # text
    np.array_repr, np.array_str, np.array2string,
)  # fmt: skip

for _ufunc in PLAIN_UFUNCS:
    UFUNCS[_ufunc] = _plain(_ufunc)
for _function in PLAIN_FUNCTIONS:
    FUNCTIONS[_function] = _plain(_function)
for _function in (
    np.shape, np.ndim, np.size, np.result_type, np.common_type, np.iscomplexobj, np.isrealobj,
    np.shares_memory, np.may_share_memory, np.einsum_path, np.zeros_like, np.ones_like,
    np.empty_like, np.tril_indices_from, np.triu_indices_from, np.diag_indices_from,
):  # fmt: skip
    FUNCTIONS[_function] = _unasked(_function)
