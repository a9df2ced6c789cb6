"""Operators and methods of `Variable`: the functions they stand for, from the same tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

import lazyhess._primitives  # noqa: F401 - fills the tables
from lazyhess._record.primitive import FUNCTIONS, UFUNCS, Handler
from lazyhess._record.variable import Variable

_BINARY: dict[str, np.ufunc] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.divide,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
    "divmod": np.divmod,
    "pow": np.power,
    "matmul": np.matmul,
}
_COMPARE = {
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
}
_UNARY = {"neg": np.negative, "pos": np.positive, "abs": np.absolute}


def _foreign(other: Any) -> bool:
    """Whether the other operand wants to do the operation itself (it said so to NumPy)."""
    return not isinstance(
        other, (Variable, np.ndarray, np.generic, int, float, complex, list, tuple)
    )


def _operator(handler: Handler) -> Callable[[Any, Any], Any]:
    def forward(self: Variable, other: Any) -> Any:
        if _foreign(other):
            return NotImplemented
        return handler(self, other)

    return forward


def _reflected(handler: Handler) -> Callable[[Any, Any], Any]:
    def reflected(self: Variable, other: Any) -> Any:
        if _foreign(other):
            return NotImplemented
        return handler(other, self)

    return reflected


def _unary(handler: Handler) -> Callable[[Any], Any]:
    return lambda self: handler(self)


for _name, _ufunc in (_BINARY | _COMPARE).items():
    setattr(Variable, f"__{_name}__", _operator(UFUNCS[_ufunc]))
for _name, _ufunc in _BINARY.items():
    setattr(Variable, f"__r{_name}__", _reflected(UFUNCS[_ufunc]))
for _name, _ufunc in _UNARY.items():
    setattr(Variable, f"__{_name}__", _unary(UFUNCS[_ufunc]))


# --- methods --------------------------------------------------------------------------------------
def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    handler = FUNCTIONS[function]

    def method(self: Variable, *args: Any, **kwargs: Any) -> Any:
        return handler(self, *args, **kwargs)

    method.__doc__ = f"As `numpy.{function.__name__}`."
    return method


for _name in (
    "all any argmax argmin argpartition argsort astype clip cumprod cumsum diagonal dot "
    "max mean min nonzero prod ravel repeat round searchsorted squeeze std sum swapaxes take trace "
    "var"
).split():
    setattr(Variable, _name, _method(getattr(np, _name)))


def _reshape(self: Variable, *shape: Any, order: str = "C", copy: Any = None) -> Any:
    """As `numpy.reshape`; the shape may be given as separate integers."""
    return FUNCTIONS[np.reshape](self, shape[0] if len(shape) == 1 else shape, order)


def _transpose(self: Variable, *axes: Any) -> Any:
    """As `numpy.transpose`; the axes may be given as separate integers."""
    if len(axes) == 1 and (axes[0] is None or np.ndim(axes[0])):
        axes = axes[0]
    return FUNCTIONS[np.transpose](self, axes or None)


def _flatten(self: Variable, order: str = "C") -> Any:
    """As `numpy.ravel`."""
    return FUNCTIONS[np.ravel](self, order)


def _copy(self: Variable, order: str = "C") -> Variable:
    """The Variable itself: it never changes."""
    return self


def _compress(self: Variable, condition: Any, axis: Any = None, out: Any = None) -> Any:
    """As `numpy.compress`."""
    return FUNCTIONS[np.compress](condition, self, axis, out)


def _conj(self: Variable) -> Any:
    """As `numpy.conjugate`."""
    return UFUNCS[np.conjugate](self)


for _name, _function in {
    "reshape": _reshape,
    "transpose": _transpose,
    "flatten": _flatten,
    "copy": _copy,
    "compress": _compress,
    "conj": _conj,
    "conjugate": _conj,
    "T": property(_transpose, doc="As `numpy.ndarray.T`."),
    "mT": property(lambda self: FUNCTIONS[np.matrix_transpose](self), doc="As `ndarray.mT`."),
    "real": property(lambda self: FUNCTIONS[np.real](self), doc="As `numpy.real`."),
    "imag": property(lambda self: FUNCTIONS[np.imag](self), doc="As `numpy.imag`."),
}.items():
    setattr(Variable, _name, _function)


def _immutable(name: str, way: str) -> Callable[..., NoReturn]:
    def refuse(self: Variable, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(
            f"{name} changes an array in place, and a Variable never changes: what was recorded "
            f"must stay true; {way}"
        )

    return refuse


for _name in ("fill", "put", "partition", "sort", "resize", "setfield", "byteswap", "setflags"):
    _way = "use the function that gives a new array (np.where, np.reshape, x[np.argsort(x)], ...)"
    setattr(Variable, _name, _immutable(f"Variable.{_name}", _way))
# Functions that write into their argument.
IN_PLACE = (np.copyto, np.put, np.place, np.putmask, np.fill_diagonal, np.put_along_axis)
for _function in IN_PLACE:
    FUNCTIONS[_function] = _immutable(
        f"numpy.{_function.__name__}", "use np.where, or put the parts together with np.concatenate"
    )
