"""What a rule is: a primitive, and the tables that say which one a function of NumPy records.

The rules register themselves in the tables; nothing here knows one of them by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeAlias

import numpy as np

from lazyhess._indices import Array
from lazyhess._maps import Map

Operand: TypeAlias = Any  # a Variable, or a constant: a read-only array or a scalar
Handler: TypeAlias = Callable[..., Any]

# NumPy function -> what it does to Variables.
UFUNCS: dict[np.ufunc, Handler] = {}
METHODS: dict[tuple[np.ufunc, str], Handler] = {}
FUNCTIONS: dict[Callable[..., Any], Handler] = {}
# Called before a function without a rule is refused: each adds the rules of a package that the
# user has imported and lazyhess has not, and says whether there were any.
ON_DEMAND: list[Callable[[], bool]] = []


class Primitive(ABC):
    """What is recorded: a function with its value, its Jacobians and its curvature.

    ``args`` are the values of all operands (arrays or scalars), ``out`` is the value.
    """

    name: str
    holomorphic = True  # as a function of complex operands
    elementwise = False  # whether operands broadcast, and every element is worked out by itself
    broadcasts = True  # whether `each` takes operands that are the same for all
    by_value: tuple[int, ...] = ()  # operands whose value, where constant, decides what is done

    @abstractmethod
    def value(self, *args: Any) -> Array:
        """The value."""

    @abstractmethod
    def jacobian(self, k: int, args: tuple[Any, ...], out: Array) -> Map | None:
        """The Jacobian with respect to operand k; ``None`` where it is zero."""

    def curvature(
        self, args: tuple[Any, ...], out: Array, adjoint: Array, active: tuple[int, ...]
    ) -> Iterable[tuple[int, int, Map]]:
        """Maps ``(k, l, C)`` from tangents of operand l to tangents of the adjoint of operand k.

        C is the Hessian of ``sum(adjoint * value)`` in the operands k and l. Only pairs of
        `active` operands are wanted. A linear primitive has none.
        """
        return ()

    def curved(self, active: tuple[int, ...]) -> bool:
        """Whether `curvature` may give anything in the `active` operands."""
        return type(self).curvature is not Primitive.curvature

    def each(self, count: int, along: tuple[bool, ...]) -> Primitive:
        """The same for `count` sets of operands: those of `along` have them along a leading axis.

        So has the value. Those of an elementwise primitive come with as many axes as the value; of
        one that does not broadcast, all have it.
        """
        raise NotImplementedError


def no_rule(name: str) -> NoReturn:
    """Refuse a function without a derivative rule."""
    raise NotImplementedError(
        f"{name} has no derivative rule in lazyhess, and recording it as a constant would be "
        "silently wrong. Write it with functions that have one, call it on x.value if its "
        "derivative is not wanted, or add a rule with lazyhess.extend"
    )


def refuse_out(name: str) -> NoReturn:
    """Refuse `out=`, and the in-place operators that are written with it."""
    raise TypeError(
        f"{name}: a recorded result cannot be written into an existing array (out=, or an "
        f"in-place operator such as a += x on an array); write a = a + x, or a = np.{name}(...)"
    )


def refuse_in_place(name: str, way: str, *args: Any, **kwargs: Any) -> NoReturn:
    """Refuse what changes an array, whatever it is given."""
    raise TypeError(
        f"{name} changes an array in place, and a Variable never changes: what was recorded "
        f"must stay true; {way}"
    )
