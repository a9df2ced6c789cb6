"""An array that has not been computed: what follows from its shape and from indexing it."""

# mypy: disable-error-code="no-any-return"
# Operators of arrays that this module knows nothing of.

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from math import prod
from typing import TYPE_CHECKING, Any, Generic, NoReturn

import numpy as np

from lazyhess._indices import Array, Shape

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    # The arrays it answers with: NumPy's, or a framework's tensors.
    ArrayT_co = TypeVar("ArrayT_co", covariant=True, default=Any)
else:  # at run time nobody asks for the default, which `typing` knows since Python 3.13
    from typing import TypeVar

    ArrayT_co = TypeVar("ArrayT_co", covariant=True)


class LazyArray(ABC, Generic[ArrayT_co]):
    """A read-only array that is computed when it is asked for.

    Functions and operators of NumPy other than ``@`` see the dense array.
    """

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    # --- what it has to know ---------------------------------------------------------------------

    @property
    @abstractmethod
    def shape(self) -> Shape:
        """Length of each axis."""

    @abstractmethod
    def __getitem__(self, index: Any) -> ArrayT_co: ...

    @abstractmethod
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array: ...

    @abstractmethod
    def __matmul__(self, other: Any) -> ArrayT_co: ...

    @abstractmethod
    def __rmatmul__(self, other: Any) -> ArrayT_co: ...

    # --- what follows ----------------------------------------------------------------------------

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    def astype(self, dtype: Any) -> Array:
        """The dense array in another dtype."""
        return np.asarray(self, dtype)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self) -> Iterator[ArrayT_co]:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        return (self[k] for k in range(len(self)))

    def __contains__(self, item: Any) -> bool:
        return item in dense(self)

    def __bool__(self) -> bool:
        if self.size > 1:
            raise ValueError(
                "The truth value of an array with more than one element is ambiguous. "
                "Use a.any() or a.all()"
            )
        return bool(dense(self))

    def __float__(self) -> float:
        return float(np.asarray(self).item())

    def __int__(self) -> int:
        return int(np.asarray(self).item())

    def __complex__(self) -> complex:
        return complex(np.asarray(self).item())

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        self._refuse()

    def _refuse(self, *args: Any) -> NoReturn:
        raise TypeError(
            "a Hessian is read-only: it is what the recorded function says; np.array(H) gives an "
            "array of your own"
        )

    __iadd__ = __isub__ = __imul__ = __itruediv__ = __ifloordiv__ = __imod__ = __ipow__ = _refuse
    __imatmul__ = _refuse

    # --- NumPy's functions -----------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(isinstance(x, LazyArray) for x in kwargs.get("out") or ()):
            self._refuse()
        if ufunc is np.matmul and method == "__call__" and not kwargs:
            a, b = inputs
            return a @ b if isinstance(a, LazyArray) else b.__rmatmul__(a)
        return getattr(ufunc, method)(*(dense(x) for x in inputs), **kwargs)

    def __array_function__(
        self, func: Callable[..., Any], types: Any, args: Any, kwargs: Any
    ) -> Any:
        if func in (np.shape, np.ndim, np.size):
            return func(np.broadcast_to(np.empty((), "V0"), self.shape), *args[1:], **kwargs)
        return func(*(dense(x) for x in args), **{name: dense(x) for name, x in kwargs.items()})

    # --- operators -------------------------------------------------------------------------------

    def __add__(self, other: Any, /) -> ArrayT_co:
        return _evaluated(operator.add, self, other)

    def __radd__(self, other: Any, /) -> ArrayT_co:
        return _evaluated(operator.add, self, other, reflected=True)

    def __sub__(self, other: Any, /) -> ArrayT_co:
        return _evaluated(operator.sub, self, other)

    def __rsub__(self, other: Any, /) -> ArrayT_co:
        return _evaluated(operator.sub, self, other, reflected=True)

    def __mul__(self, other: Any, /) -> ArrayT_co:
        return _evaluated(operator.mul, self, other)

    def __rmul__(self, other: Any, /) -> ArrayT_co:
        return _evaluated(operator.mul, self, other, reflected=True)

    def __truediv__(self, other: Any, /) -> ArrayT_co:
        return _evaluated(operator.truediv, self, other)

    def __rtruediv__(self, other: Any, /) -> ArrayT_co:
        return _evaluated(operator.truediv, self, other, reflected=True)

    def __floordiv__(self, other: Any, /) -> ArrayT_co:
        return _evaluated(operator.floordiv, self, other)

    def __rfloordiv__(self, other: Any, /) -> ArrayT_co:
        return _evaluated(operator.floordiv, self, other, reflected=True)

    def __mod__(self, other: Any, /) -> ArrayT_co:
        return _evaluated(operator.mod, self, other)

    def __rmod__(self, other: Any, /) -> ArrayT_co:
        return _evaluated(operator.mod, self, other, reflected=True)

    def __pow__(self, other: Any, /) -> ArrayT_co:
        return _evaluated(operator.pow, self, other)

    def __rpow__(self, other: Any, /) -> ArrayT_co:
        return _evaluated(operator.pow, self, other, reflected=True)

    def __divmod__(self, other: Any, /) -> tuple[ArrayT_co, ArrayT_co]:
        return _evaluated(divmod, self, other)

    def __rdivmod__(self, other: Any, /) -> tuple[ArrayT_co, ArrayT_co]:
        return _evaluated(divmod, self, other, reflected=True)

    def __neg__(self) -> ArrayT_co:
        return -dense(self)

    def __pos__(self) -> ArrayT_co:
        return +dense(self)

    def __abs__(self) -> ArrayT_co:
        return abs(dense(self))

    def __lt__(self, other: Any, /) -> Any:
        return _evaluated(operator.lt, self, other)

    def __le__(self, other: Any, /) -> Any:
        return _evaluated(operator.le, self, other)

    def __gt__(self, other: Any, /) -> Any:
        return _evaluated(operator.gt, self, other)

    def __ge__(self, other: Any, /) -> Any:
        return _evaluated(operator.ge, self, other)

    def __eq__(self, other: object, /) -> Any:
        return _evaluated(operator.eq, self, other)

    def __ne__(self, other: object, /) -> Any:
        return _evaluated(operator.ne, self, other)


def _evaluated(
    function: Callable[[Any, Any], Any], x: LazyArray[Any], other: Any, reflected: bool = False
) -> Any:
    """An operator of the dense array, unless the other operand wants to do it itself."""
    if (
        not isinstance(other, (LazyArray, list, tuple))
        and getattr(type(other), "__array_ufunc__", x) is None
    ):
        return NotImplemented
    a, b = x[...], dense(other)
    return function(b, a) if reflected else function(a, b)


def dense(x: Any) -> Any:
    """Lazy arrays as arrays, in lists too."""
    if isinstance(x, LazyArray):
        return x[...]
    if type(x) in (list, tuple):
        return type(x)(dense(item) for item in x)
    return x
