"""Add a primitive: the door that the library's own rules come through.

Three ways, from the shortest on:

* `elementwise`: a function of elements, its derivatives as formulas;
* `Differential`: a value, and its change by a change of each operand, as NumPy code that is linear
  in the change; Jacobians, their transposes and the curvature follow;
* `Primitive`: a value, its Jacobians as linear maps, and its curvature as linear maps between
  operands (`Curved` works the curvature out from the Jacobians).

Jacobians, differentials and formulas are also evaluated on Variables in place of arrays, for the
curvature and for third order. So they are written with NumPy functions and operators, without
changing arrays in place. Numbers become weights and masks; where they allow a short cut, `decide`
asks whether they do, and `value_of` gives it the plain array.

`lazyhess.testing.check_rule` checks what was added with one call.

Examples
--------
>>> import numpy as np
>>> import lazyhess as lh
>>> from lazyhess.extend import elementwise
>>> logistic = elementwise(
...     lambda x: 1 / (1 + np.exp(-x)), first=[lambda z, x: z * (1 - z)], name="logistic"
... )
>>> lh.hessian(lambda x: np.sum(logistic(x)), np.array([0.0, 1.0])).diagonal().round(4)
array([ 0.    , -0.0909])
>>> lh.testing.check_rule(logistic, np.array([0.3, -2.0]))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lazyhess._decisions import decide
from lazyhess._maps import (
    Chain,
    Gather,
    Map,
    Mask,
    Permute,
    Reduce,
    Reshape,
    Scatter,
    broadcast,
    chain,
)
from lazyhess._primitives.base import (
    Curved,
    Differential,
    Elementwise,
    Formula,
    implements,
    scale,
)
from lazyhess._primitives.einsum import contract
from lazyhess._record.linear import linear_map_of as linear
from lazyhess._record.primitive import Primitive
from lazyhess._record.variable import Variable, record, value_of

__all__ = [
    "Chain",
    "Curved",
    "Differential",
    "Gather",
    "Map",
    "Mask",
    "Permute",
    "Primitive",
    "Reduce",
    "Reshape",
    "Scatter",
    "broadcast",
    "chain",
    "contract",
    "decide",
    "elementwise",
    "implements",
    "linear",
    "record",
    "scale",
    "value_of",
]


class _Derived(Curved, Elementwise):
    """An elementwise function whose second derivatives are worked out from the first."""


def elementwise(
    function: Callable[..., Any],
    first: Sequence[Formula],
    second: Mapping[tuple[int, int], Formula] | None = None,
    *,
    name: str | None = None,
) -> Callable[..., Any]:
    """A function of elements as a primitive.

    Parameters
    ----------
    function : callable
        Of one or more arrays, which broadcast; a ufunc of your own, too, whose calls on Variables
        are recorded from then on.
    first : sequence of callable or float
        For each operand the partial derivative: a number, or a formula ``formula(z, *operands)`` of
        the value ``z`` and the operands, in the shape of ``z`` or one that broadcasts to it.
    second : dict of (k, l) -> callable or float, optional
        Likewise the second partial derivatives by operands k <= l, those that are not zero. Without
        it they are worked out from `first`; a formula is faster, and can be more accurate.
    name : str, optional
        By which messages call it and pickles find it; by default the function's own name.

    Returns
    -------
    callable
        The function, of arrays or Variables.

    Examples
    --------
    >>> import numpy as np
    >>> import lazyhess as lh
    >>> cube = lh.extend.elementwise(
    ...     lambda x: x**3, [lambda z, x: 3 * x**2], {(0, 0): lambda z, x: 6 * x}, name="cube"
    ... )
    >>> lh.hessian(lambda x: np.sum(cube(x)), np.array([1.0, 2.0])).diagonal()
    array([ 6., 12.])
    """
    kind = _Derived if second is None else Elementwise
    primitive = kind(function, tuple(first), dict(second or {}), name)

    def call(*operands: Any) -> Any:
        if any(isinstance(x, Variable) for x in operands):
            return record(primitive, *operands)
        return function(*operands)

    call.__name__ = primitive.name
    call.__doc__ = function.__doc__
    return call
