"""What rules are built from: kinds of primitive, and the doors to the dispatch tables."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, ClassVar, TypeVar

import numpy as np

from lazyhess._create import asarray
from lazyhess._decisions import all_finite, decide
from lazyhess._indices import Array, Ids, Shape
from lazyhess._maps import (
    Batched,
    Gather,
    Map,
    Scale,
    Scatter,
    Weighted,
    broadcast,
    chain,
)
from lazyhess._record.linear import curvature, linear_map_of
from lazyhess._record.primitive import FUNCTIONS, UFUNCS, Handler, Primitive
from lazyhess._record.variable import Variable, record, shape_of, value_of
from lazyhess._tangents import Block, Sparse, Structured, compact, dense

F = TypeVar("F", bound=Callable[..., Any])

# A derivative: a number, or a formula of the value and the operands, ``formula(z, *args)``.
Formula = Callable[..., Any] | float


def implements(*functions: Callable[..., Any]) -> Callable[[F], F]:
    """Register the decorated function as what these NumPy functions do to Variables."""

    def register(handler: F) -> F:
        for function in functions:
            if isinstance(function, np.ufunc):
                UFUNCS[function] = handler
            else:
                FUNCTIONS[function] = handler
        return handler

    return register


# --- maps whose numbers are recorded ---
class RecordedMap(Map):
    """A map with a Variable for its weights: it acts by recorded operations, for third order.

    Parameters
    ----------
    plain : Weighted
        The same map with the value in place of the Variable.
    weights : Variable
        The weights.
    formula : callable
        ``formula(plain, block, weights)`` is the map, written with NumPy functions.
    """

    def __init__(
        self, plain: Weighted, weights: Variable, formula: Callable[[Any, Any, Any], Any]
    ) -> None:
        self.plain, self.weights, self.formula = plain, weights, formula
        self.inp, self.out = plain.inp, plain.out

    @property
    def finite(self) -> bool:
        """Whether no number in the map is infinite or NaN."""
        return self.plain.finite

    def apply(self, block: Block) -> Block:
        if block is None:
            return None
        plain = isinstance(block, (Sparse, Structured))
        applied: Block = self.dense(dense(block, 0, self.inp, float) if plain else block)
        return applied

    def dense(self, block: Any) -> Any:
        return self.formula(self.plain, block, self.weights)

    def sparse(self, block: Sparse) -> Any:
        return self.dense(block.dense())

    def reach(self, labels: Ids) -> Ids:
        return self.plain.reach(labels)

    @property
    def T(self) -> Map:
        transposed = self.plain.T
        assert isinstance(transposed, Weighted)
        return RecordedMap(transposed, self.weights, self.formula)


def _scaled(plain: Scale, block: Any, weights: Any) -> Any:
    scaled = weigh(block, weights)
    return scaled if scaled.shape == block.shape else np.broadcast_to(scaled, block.shape)


def scale(weights: Any, shape: Shape) -> Map:
    """Each element times a weight of its own; `weights` broadcasts to `shape`."""
    if isinstance(weights, Variable):
        return RecordedMap(Scale(weights.value, shape), weights, _scaled)
    return Scale(asarray(weights), shape)


def _fits(inner: Shape, shape: Shape) -> bool:
    """Whether an array of the inner shape broadcasts to an array of the other."""
    if len(inner) > len(shape):
        return False
    ends = shape[len(shape) - len(inner) :]
    return all(n in (1, m) for n, m in zip(inner, ends, strict=True))


# --- kinds of primitive ---
class Elementwise(Primitive):
    """A function of elements with its first and second derivatives.

    Broadcasting is not the formulas' business: they are evaluated like the function itself.

    Parameters
    ----------
    ufunc : numpy.ufunc or callable
        The function; a ufunc of a Variable is recorded from then on.
    first : sequence of formula
        The partial derivative with respect to each operand; 0 where there is none.
    second : dict of (k, l) -> formula
        The second partial derivatives that are not zero, with k <= l.
    name : str, optional
        By default the function's own. Pickles find the primitive by it.
    by_value : tuple of int, optional
        Operands whose value, where constant, decides which formula is used.
    """

    # One table for all, by name, for pickling.
    table: ClassVar[dict[str, Elementwise]] = {}
    elementwise = True

    def __init__(
        self,
        ufunc: Callable[..., Any],
        first: tuple[Formula, ...],
        second: dict[tuple[int, int], Formula] | None = None,
        name: str | None = None,
        by_value: tuple[int, ...] = (),
    ) -> None:
        self.by_value = by_value
        self.name = name or ufunc.__name__
        self.ufunc = ufunc
        self.first = first
        self.second = second or {}
        self.table[self.name] = self
        if isinstance(ufunc, np.ufunc):
            UFUNCS[ufunc] = self._handle

    def _handle(self, *args: Any, **kwargs: Any) -> Variable:
        return record(self, *(options(self.name, args, kwargs) if kwargs else args))

    def __reduce__(self) -> Any:
        return _elementwise, (self.name,)

    def value(self, *args: Any) -> Array:
        value: Array = self.ufunc(*args)
        return value

    def batched(self, count: int, along: tuple[bool, ...]) -> Primitive:
        return self

    def jacobian(self, k: int, args: tuple[Any, ...], out: Array) -> Map | None:
        formula, shape, inner = self.first[k], out.shape, args[k].shape
        if callable(formula):
            weights = formula(out, *args)
        elif formula == 0:
            return None
        elif formula == 1:
            return broadcast(inner, shape)
        else:
            weights = asarray(formula, out.dtype)
        if inner == shape:
            return scale(weights, shape)
        if _fits(weights.shape, inner):  # the smaller array is the one to be multiplied
            return chain(scale(weights, inner), broadcast(inner, shape))
        return chain(broadcast(inner, shape), scale(weights, shape))

    def curved(self, active: tuple[int, ...]) -> bool:
        if type(self).curvature is not Elementwise.curvature:
            return super().curved(active)
        return any(k in active and l in active for k, l in self.second)

    def curvature(
        self, args: tuple[Any, ...], out: Array, adjoint: Array, active: tuple[int, ...]
    ) -> Iterable[tuple[int, int, Map]]:
        for (k, l), formula in self.second.items():
            if k not in active or l not in active:
                continue
            weights = formula(out, *args) if callable(formula) else formula
            bend = scale(weigh(adjoint, weights), out.shape)
            if args[k].shape == args[l].shape == out.shape:
                yield k, l, bend
            else:
                left, right = (broadcast(args[n].shape, out.shape) for n in (k, l))
                yield k, l, chain(right, bend, left.T)
                bend = chain(left, bend, right.T)
            if k != l:
                yield l, k, bend


def _elementwise(name: str) -> Elementwise:
    return Elementwise.table[name]


def weigh(adjoint: Any, weights: Any) -> Any:
    """Adjoint times weights, where an adjoint of zero means that nothing is there."""
    if isinstance(adjoint, np.ndarray):
        adjoint = compact(adjoint)
    weighted = adjoint * weights
    value = asarray(value_of(weighted))
    if finite(value):
        return weighted
    return np.where((value_of(adjoint) == 0) & ~np.isfinite(value), value.dtype.type(0), weighted)


def finite(value: Any) -> bool:
    """Whether no number is infinite or NaN, so that nothing need be put in their place."""
    return decide("finite", all_finite, asarray(value))


def options(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """The operands of a ufunc with its `dtype` honoured, and what cannot be honoured refused."""
    kwargs = {key: value for key, value in kwargs.items() if key not in _HARMLESS}
    dtype = kwargs.pop("dtype", None)
    if kwargs.pop("where", True) is not True:
        raise NotImplementedError(f"{name}(where=...) leaves elements undefined; use np.where")
    if kwargs:
        raise NotImplementedError(f"{name}() of a Variable has no option {sorted(kwargs)}")
    return args if dtype is None else tuple(astype(x, dtype) for x in args)


_HARMLESS = ("casting", "order", "subok")


class Curved(Primitive):
    """A primitive that states its Jacobians; the curvature is worked out from them.

    It is the Jacobian of ``J_kᵀ adjoint``, so `jacobian` has to write the dependence of its maps on
    operands and value with NumPy functions: these are Variables then.
    """

    def curvature(
        self, args: tuple[Any, ...], out: Array, adjoint: Array, active: tuple[int, ...]
    ) -> Iterable[tuple[int, int, Map]]:
        return curvature(self, args, out, adjoint, active)


class Differential(Curved):
    """A primitive that states its differential as NumPy code: Jacobian and curvature follow."""

    @abstractmethod
    def differential(self, k: int, args: tuple[Any, ...], out: Any, tangent: Any) -> Any:
        """The change of the value by a change of operand k, linear in it."""

    def jacobian(self, k: int, args: tuple[Any, ...], out: Array) -> Map | None:
        dtype = args[k].dtype if isinstance(args[k], (Variable, np.ndarray)) else out.dtype
        return linear_map_of(lambda t: self.differential(k, args, out, t), shape_of(args[k]), dtype)


class Structural(Primitive):
    """A linear primitive of one operand that is nothing but its map, ``kind(*params)``."""

    def __init__(self, name: str, kind: Callable[..., Map], *params: Any) -> None:
        self.name = name
        self.map = kind(*params)

    def value(self, *args: Any) -> Array:
        value: Array = dense(self.map.apply(args[0][None]), 1, self.map.out, args[0].dtype)[0]
        return value

    def jacobian(self, k: int, args: tuple[Any, ...], out: Array) -> Map:
        return self.map

    def batched(self, count: int, along: tuple[bool, ...]) -> Primitive:
        return type(self).of(self.name, _stacked, self, count)


def _stacked(primitive: Structural, count: int) -> Map:
    return primitive.map.batched(count)


class Cast(Primitive):
    """The same numbers in another floating dtype."""

    name = "astype"

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype

    def value(self, *args: Any) -> Array:
        value: Array = args[0].astype(self.dtype)
        return value

    def jacobian(self, k: int, args: tuple[Any, ...], out: Array) -> Map:
        # The sweeps give every block the dtype of its array.
        return broadcast(out.shape, out.shape)


def structural(name: str, x: Any, kind: Callable[..., Map], *params: Any) -> Any:
    """Record the map ``kind(*params)`` of `x`."""
    return record(Structural.of(name, kind, *params), x)


@lru_cache(maxsize=4096)
def shaped(name: str, kind: Callable[..., Map], *params: Any) -> Structural:
    """The structural primitive of a map that shapes determine: kept, for it comes again."""
    return Structural.of(name, kind, *params)


def scattered(shape: Shape, index: tuple[Any, ...], inp: Shape) -> Map:
    """The map of arrays of shape `inp` into zeros of a larger shape, where ``zeros[index]`` is."""
    return Scatter(Gather(shape, index, inp))


@implements(Variable.mapped)
def mapped(x: Any, map_: Map) -> Any:
    """Record a map of each array along the first axis."""
    return structural("map", x, Batched, map_, len(x))


@implements(np.astype)
def astype(x: Any, dtype: Any, copy: bool = True, device: Any = None, **kwargs: Any) -> Any:
    """`numpy.astype`: to a floating dtype recorded, to any other one a plain array."""
    if not isinstance(x, Variable):
        return asarray(x, dtype)
    dtype = np.dtype(dtype)
    if dtype == x.dtype:
        return x
    if dtype.kind not in "fc":
        plain: Array = value_of(x).astype(dtype)
        return plain
    if x.dtype.kind == "c" and dtype.kind == "f":
        raise TypeError("a complex Variable has no real cast; take np.real or np.abs of it")
    return record(Cast.of(dtype), x)


def nested(x: Any) -> Any:
    """An array-like as an array, or as a Variable where one is in it, however deep."""
    if isinstance(x, Variable):
        return x
    if isinstance(x, (list, tuple)) and _holds_variable(x):
        return np.stack([nested(item) for item in x])
    return asarray(x)


def _holds_variable(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return any(_holds_variable(item) for item in x)
    return isinstance(x, Variable)


def squared(x: Any) -> Any:
    """The square of the absolute value: smooth, for complex numbers too."""
    if x.dtype.kind != "c":
        return np.square(x)
    return np.square(np.real(x)) + np.square(np.imag(x))


def variables(*items: Any) -> bool:
    """Whether any of the items is a Variable."""
    return any(isinstance(item, Variable) for item in items)


def axis_tuple(axis: Any, ndim: int) -> tuple[int, ...]:
    """An axis argument as a tuple of axes; errors are NumPy's own."""
    if axis is None:
        return tuple(range(ndim))
    normal: tuple[int, ...] = np.lib.array_utils.normalize_axis_tuple(axis, ndim)
    return normal


def one_axis(axis: int, ndim: int) -> int:
    """One axis argument, counted from the start."""
    normal: int = np.lib.array_utils.normalize_axis_index(axis, ndim)
    return normal


__all__ = [
    "Cast",
    "Curved",
    "Differential",
    "Elementwise",
    "Formula",
    "Handler",
    "Structural",
    "astype",
    "axis_tuple",
    "finite",
    "implements",
    "nested",
    "one_axis",
    "options",
    "scattered",
    "shaped",
    "squared",
    "structural",
    "variables",
    "weigh",
]
