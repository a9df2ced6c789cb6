"""Operators and methods of `Variable`: what NumPy's function of the same name does to it.

The rules stand in the tables of `lazyhess._record.primitive`, which importing `lazyhess` fills; an
operator looks its rule up when it is called.
"""

# mypy: disable-error-code="no-any-return"
# A rule may give anything; the signatures here say what it gives for a Variable.

from __future__ import annotations

from typing import Any, Self

import numpy as np

from lazyhess._indices import Array, Shape
from lazyhess._record import reads
from lazyhess._record.primitive import FUNCTIONS, UFUNCS

_NO_VALUE: Any = np._NoValue  # as NumPy's signatures have it: not given


class ArrayMethods:
    """The array of a Variable, and what it has as `numpy.ndarray` has it, one rule each."""

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]

    _value: Array

    # --- what it is -----------------------------------------------------------------------------

    @property
    def value(self) -> Array:
        """The recorded array, read-only."""
        reads.note()
        return self._value.view()

    @property
    def shape(self) -> Shape:
        """As `numpy.ndarray.shape`."""
        return self._value.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """As `numpy.ndarray.dtype`."""
        return self._value.dtype

    @property
    def ndim(self) -> int:
        """As `numpy.ndarray.ndim`."""
        return self._value.ndim

    @property
    def size(self) -> int:
        """As `numpy.ndarray.size`."""
        return self._value.size

    @property
    def itemsize(self) -> int:
        """As `numpy.ndarray.itemsize`."""
        return self._value.itemsize

    @property
    def nbytes(self) -> int:
        """As `numpy.ndarray.nbytes`."""
        return self._value.nbytes

    # --- operators ------------------------------------------------------------------------------

    def __add__(self, other: Any, /) -> Self:
        return _operator(np.add, self, other)

    def __radd__(self, other: Any, /) -> Self:
        return _reflected(np.add, self, other)

    def __sub__(self, other: Any, /) -> Self:
        return _operator(np.subtract, self, other)

    def __rsub__(self, other: Any, /) -> Self:
        return _reflected(np.subtract, self, other)

    def __mul__(self, other: Any, /) -> Self:
        return _operator(np.multiply, self, other)

    def __rmul__(self, other: Any, /) -> Self:
        return _reflected(np.multiply, self, other)

    def __truediv__(self, other: Any, /) -> Self:
        return _operator(np.divide, self, other)

    def __rtruediv__(self, other: Any, /) -> Self:
        return _reflected(np.divide, self, other)

    def __floordiv__(self, other: Any, /) -> Self:
        return _operator(np.floor_divide, self, other)

    def __rfloordiv__(self, other: Any, /) -> Self:
        return _reflected(np.floor_divide, self, other)

    def __mod__(self, other: Any, /) -> Self:
        return _operator(np.remainder, self, other)

    def __rmod__(self, other: Any, /) -> Self:
        return _reflected(np.remainder, self, other)

    def __pow__(self, other: Any, /) -> Self:
        return _operator(np.power, self, other)

    def __rpow__(self, other: Any, /) -> Self:
        return _reflected(np.power, self, other)

    def __matmul__(self, other: Any, /) -> Self:
        return _operator(np.matmul, self, other)

    def __rmatmul__(self, other: Any, /) -> Self:
        return _reflected(np.matmul, self, other)

    def __divmod__(self, other: Any, /) -> tuple[Self, Self]:
        return _operator(np.divmod, self, other)

    def __rdivmod__(self, other: Any, /) -> tuple[Self, Self]:
        return _reflected(np.divmod, self, other)

    def __neg__(self) -> Self:
        return UFUNCS[np.negative](self)

    def __pos__(self) -> Self:
        return UFUNCS[np.positive](self)

    def __abs__(self) -> Self:
        return UFUNCS[np.absolute](self)

    def __lt__(self, other: Any, /) -> Any:
        return _operator(np.less, self, other)

    def __le__(self, other: Any, /) -> Any:
        return _operator(np.less_equal, self, other)

    def __gt__(self, other: Any, /) -> Any:
        return _operator(np.greater, self, other)

    def __ge__(self, other: Any, /) -> Any:
        return _operator(np.greater_equal, self, other)

    def __eq__(self, other: object, /) -> Any:
        return _operator(np.equal, self, other)

    def __ne__(self, other: object, /) -> Any:
        return _operator(np.not_equal, self, other)

    # --- shape ----------------------------------------------------------------------------------

    @property
    def T(self) -> Self:
        """As `numpy.ndarray.T`."""
        return self.transpose()

    @property
    def mT(self) -> Self:
        """As `numpy.ndarray.mT`."""
        return FUNCTIONS[np.matrix_transpose](self)

    def transpose(self, *axes: Any) -> Self:
        """As `numpy.transpose`; the axes may be given as separate integers."""
        if len(axes) == 1 and (axes[0] is None or np.ndim(axes[0])):
            axes = axes[0]
        return FUNCTIONS[np.transpose](self, axes or None)

    def reshape(self, *shape: Any, order: str = "C", copy: Any = None) -> Self:
        """As `numpy.reshape`; the shape may be given as separate integers."""
        return FUNCTIONS[np.reshape](self, shape[0] if len(shape) == 1 else shape, order)

    def ravel(self, order: str = "C") -> Self:
        """As `numpy.ravel`."""
        return FUNCTIONS[np.ravel](self, order)

    def flatten(self, order: str = "C") -> Self:
        """As `numpy.ravel`."""
        return FUNCTIONS[np.ravel](self, order)

    def squeeze(self, axis: Any = None) -> Self:
        """As `numpy.squeeze`."""
        return FUNCTIONS[np.squeeze](self, axis)

    def swapaxes(self, axis1: int, axis2: int) -> Self:
        """As `numpy.swapaxes`."""
        return FUNCTIONS[np.swapaxes](self, axis1, axis2)

    # --- elements -------------------------------------------------------------------------------

    def take(self, indices: Any, axis: Any = None, out: None = None, mode: str = "raise") -> Self:
        """As `numpy.take`."""
        return FUNCTIONS[np.take](self, indices, axis, out, mode)

    def compress(self, condition: Any, axis: Any = None, out: None = None) -> Self:
        """As `numpy.compress`."""
        return FUNCTIONS[np.compress](condition, self, axis, out)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Self:
        """As `numpy.diagonal`."""
        return FUNCTIONS[np.diagonal](self, offset, axis1, axis2)

    def repeat(self, repeats: Any, axis: Any = None) -> Self:
        """As `numpy.repeat`."""
        return FUNCTIONS[np.repeat](self, repeats, axis)

    def copy(self, order: str = "C") -> Self:
        """The Variable itself: it never changes."""
        return self

    def astype(self, dtype: Any, copy: bool = True, device: Any = None, **kwargs: Any) -> Any:
        """As `numpy.astype`: of a floating dtype recorded, of any other a plain array."""
        return FUNCTIONS[np.astype](self, dtype, copy, device, **kwargs)

    def clip(
        self,
        a_min: Any = None,
        a_max: Any = None,
        *,
        min: Any = None,
        max: Any = None,
        **kwargs: Any,
    ) -> Self:
        """As `numpy.clip`."""
        return FUNCTIONS[np.clip](self, a_min, a_max, min=min, max=max, **kwargs)

    def round(self, decimals: int = 0, out: None = None) -> Self:
        """As `numpy.round`."""
        return FUNCTIONS[np.round](self, decimals, out)

    @property
    def real(self) -> Self:
        """As `numpy.real`."""
        return FUNCTIONS[np.real](self)

    @property
    def imag(self) -> Self:
        """As `numpy.imag`."""
        return FUNCTIONS[np.imag](self)

    def conj(self) -> Self:
        """As `numpy.conjugate`."""
        return UFUNCS[np.conjugate](self)

    def conjugate(self) -> Self:
        """As `numpy.conjugate`."""
        return UFUNCS[np.conjugate](self)

    # --- sums and the like ----------------------------------------------------------------------

    def sum(
        self,
        axis: Any = None,
        dtype: Any = None,
        out: None = None,
        keepdims: bool = False,
        initial: Any = _NO_VALUE,
        where: Any = _NO_VALUE,
    ) -> Self:
        """As `numpy.sum`."""
        return FUNCTIONS[np.sum](self, axis, dtype, out, keepdims, initial, where)

    def prod(
        self,
        axis: Any = None,
        dtype: Any = None,
        out: None = None,
        keepdims: bool = False,
        initial: Any = _NO_VALUE,
        where: Any = _NO_VALUE,
    ) -> Self:
        """As `numpy.prod`."""
        return FUNCTIONS[np.prod](self, axis, dtype, out, keepdims, initial, where)

    def mean(
        self,
        axis: Any = None,
        dtype: Any = None,
        out: None = None,
        keepdims: bool = False,
        *,
        where: Any = _NO_VALUE,
    ) -> Self:
        """As `numpy.mean`."""
        return FUNCTIONS[np.mean](self, axis, dtype, out, keepdims, where=where)

    def var(
        self,
        axis: Any = None,
        dtype: Any = None,
        out: None = None,
        ddof: Any = 0,
        keepdims: bool = False,
        *,
        where: Any = _NO_VALUE,
        mean: Any = _NO_VALUE,
        correction: Any = _NO_VALUE,
    ) -> Self:
        """As `numpy.var`."""
        return FUNCTIONS[np.var](
            self, axis, dtype, out, ddof, keepdims, where=where, mean=mean, correction=correction
        )

    def std(
        self,
        axis: Any = None,
        dtype: Any = None,
        out: None = None,
        ddof: Any = 0,
        keepdims: bool = False,
        *,
        where: Any = _NO_VALUE,
        mean: Any = _NO_VALUE,
        correction: Any = _NO_VALUE,
    ) -> Self:
        """As `numpy.std`."""
        return FUNCTIONS[np.std](
            self, axis, dtype, out, ddof, keepdims, where=where, mean=mean, correction=correction
        )

    def max(
        self,
        axis: Any = None,
        out: None = None,
        keepdims: bool = False,
        initial: Any = _NO_VALUE,
        where: Any = _NO_VALUE,
    ) -> Self:
        """As `numpy.max`."""
        return FUNCTIONS[np.max](self, axis, out, keepdims, initial, where)

    def min(
        self,
        axis: Any = None,
        out: None = None,
        keepdims: bool = False,
        initial: Any = _NO_VALUE,
        where: Any = _NO_VALUE,
    ) -> Self:
        """As `numpy.min`."""
        return FUNCTIONS[np.min](self, axis, out, keepdims, initial, where)

    def cumsum(self, axis: Any = None, dtype: Any = None, out: None = None) -> Self:
        """As `numpy.cumsum`."""
        return FUNCTIONS[np.cumsum](self, axis, dtype, out)

    def cumprod(self, axis: Any = None, dtype: Any = None, out: None = None) -> Self:
        """As `numpy.cumprod`."""
        return FUNCTIONS[np.cumprod](self, axis, dtype, out)

    def dot(self, b: Any, out: None = None) -> Self:
        """As `numpy.dot`."""
        return FUNCTIONS[np.dot](self, b, out)

    def trace(
        self, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: None = None
    ) -> Self:
        """As `numpy.trace`."""
        return FUNCTIONS[np.trace](self, offset, axis1, axis2, dtype, out)

    # --- questions: answered with plain arrays ---------------------------------------------------

    def all(
        self, axis: Any = None, out: None = None, keepdims: bool = False, *, where: Any = _NO_VALUE
    ) -> Any:
        """As `numpy.all`."""
        return FUNCTIONS[np.all](self, axis, out, keepdims, where=where)

    def any(
        self, axis: Any = None, out: None = None, keepdims: bool = False, *, where: Any = _NO_VALUE
    ) -> Any:
        """As `numpy.any`."""
        return FUNCTIONS[np.any](self, axis, out, keepdims, where=where)

    def argmax(self, axis: Any = None, out: None = None, *, keepdims: bool = False) -> Any:
        """As `numpy.argmax`."""
        return FUNCTIONS[np.argmax](self, axis, out, keepdims=keepdims)

    def argmin(self, axis: Any = None, out: None = None, *, keepdims: bool = False) -> Any:
        """As `numpy.argmin`."""
        return FUNCTIONS[np.argmin](self, axis, out, keepdims=keepdims)

    def argsort(
        self,
        axis: int | None = -1,
        kind: Any = None,
        order: Any = None,
        *,
        stable: bool | None = None,
    ) -> Array:
        """As `numpy.argsort`."""
        return FUNCTIONS[np.argsort](self, axis, kind, order, stable=stable)

    def argpartition(
        self, kth: Any, axis: int | None = -1, kind: Any = "introselect", order: Any = None
    ) -> Array:
        """As `numpy.argpartition`."""
        return FUNCTIONS[np.argpartition](self, kth, axis, kind, order)

    def nonzero(self) -> tuple[Array, ...]:
        """As `numpy.nonzero`."""
        return FUNCTIONS[np.nonzero](self)

    def searchsorted(self, v: Any, side: Any = "left", sorter: Any = None) -> Any:
        """As `numpy.searchsorted`."""
        return FUNCTIONS[np.searchsorted](self, v, side, sorter)


# Operands that leave an operation to the Variable beside them.
_OPERANDS = (ArrayMethods, np.ndarray, np.generic, int, float, complex, list, tuple)


def _operator(ufunc: np.ufunc, x: ArrayMethods, other: Any) -> Any:
    """``x o other``, unless the other operand wants to do it itself (it said so to NumPy)."""
    return UFUNCS[ufunc](x, other) if isinstance(other, _OPERANDS) else NotImplemented


def _reflected(ufunc: np.ufunc, x: ArrayMethods, other: Any) -> Any:
    """``other o x``."""
    return UFUNCS[ufunc](other, x) if isinstance(other, _OPERANDS) else NotImplemented
