"""Types of the arguments of `lazyhess.hessian`, without importing a framework."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray

from lazyhess._record.variable import Variable

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    # The arrays of the answer: those of what xs are, NumPy's unless xs say otherwise.
    ArrayT = TypeVar("ArrayT", default=NDArray[Any])
else:  # at run time nobody asks for the default, which `typing` knows since Python 3.13
    from typing import TypeVar

    ArrayT = TypeVar("ArrayT")

ArrayT_co = TypeVar("ArrayT_co", covariant=True)
KeyT = TypeVar("KeyT")


class Detachable(Protocol[ArrayT_co]):
    """A tensor of torch or Paddle; a parameter too, and then the tensor that it is."""

    def detach(self) -> ArrayT_co: ...


class Awaitable(Protocol[ArrayT_co]):
    """An array of JAX."""

    def block_until_ready(self) -> ArrayT_co: ...


# Answered with NumPy's arrays.
NumPyX: TypeAlias = Variable | NDArray[Any] | np.number[Any] | complex
# What may stand for xs: one x, or containers of them. An iterator is taken for a tuple, and one of
# named things for a dict.
X: TypeAlias = NumPyX | Detachable[ArrayT] | Awaitable[ArrayT]
TupleOfX: TypeAlias = tuple[X[ArrayT], ...] | Iterator[X[ArrayT]]
ListOfX: TypeAlias = Sequence[X[ArrayT]]
DictOfX: TypeAlias = Mapping[KeyT, X[ArrayT]] | Iterator[tuple[KeyT, X[ArrayT]]]

# All arguments of the function, of which `argnums` picks.
Arguments: TypeAlias = TupleOfX[ArrayT] | ListOfX[ArrayT] | X[ArrayT]

BatchAxis: TypeAlias = int | Sequence[int | None] | None


class GradientOptions(TypedDict, total=False):
    """Arguments of `lazyhess.gradient` that leave the type of the answer as it is."""

    reduction: str | None
    create_graph: Literal[False] | None
    strict: bool


class HessianOptions(GradientOptions, total=False):
    """Arguments of `lazyhess.hessian` that leave the type of the answer as it is."""

    check: bool | Literal["auto"]
    cache: Any
    block_size: int | None
    progress: bool
