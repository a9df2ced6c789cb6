"""Reductions: sum, mean, prod, max, min, var, std, cumsum."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from lazyhess._costs import COSTS
from lazyhess._create import asarray
from lazyhess._decisions import decide, nowhere
from lazyhess._indices import Array, Shape
from lazyhess._maps import Accumulate, Gather, Map, Mask, Reduce, Scale, chain
from lazyhess._primitives.base import (
    astype,
    axis_tuple,
    implements,
    nested,
    one_axis,
    shaped,
    squared,
    structural,
)
from lazyhess._record.primitive import METHODS, Primitive, refuse_out
from lazyhess._record.variable import record, value_of

_NONE: Any = np._NoValue


def given(value: Any) -> bool:
    """Whether an optional argument was given: NumPy marks absence with a value of its own."""
    return value is not _NONE and value is not None


def reduced_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """The axes of a reduction; NumPy's allow 0-d arrays an axis."""
    return () if ndim == 0 and axis in (0, -1) else axis_tuple(axis, ndim)


def keeping(keepdims: Any) -> bool:
    """Whether axes that are reduced stay, with length 1."""
    return given(keepdims) and bool(keepdims)


def reduced(shape: Shape, axes: tuple[int, ...], keepdims: Any) -> Shape:
    """The shape that is left of a reduction over `axes`."""
    if keeping(keepdims):
        return tuple(1 if axis in axes else n for axis, n in enumerate(shape))
    return tuple(n for axis, n in enumerate(shape) if axis not in axes)


def masked(where: Any) -> bool:
    """Whether `where=` may leave elements out."""
    return given(where) and where is not True


def counted(a: Any, axis: Any, keepdims: Any, where: Any) -> Array:
    """How many elements a reduction takes into each of its results."""
    kept = asarray(value_of(where), np.bool_) if masked(where) else np.True_
    count = np.sum(np.broadcast_to(kept, a.shape), axis, keepdims=keeping(keepdims))
    return asarray(count)


def _prepared(
    name: str, a: Any, dtype: Any, out: Any, where: Any = _NONE, fill: float = 0.0
) -> Any:
    """The operand of a reduction: cast, and with `fill` where it is masked out."""
    if out is not None and out is not _NONE:
        refuse_out(name)
    if given(dtype):
        a = astype(a, dtype)
    return np.where(where, a, a.dtype.type(fill)) if masked(where) else a


@implements(np.sum)
def sum_(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = _NONE,
    initial: Any = _NONE,
    where: Any = _NONE,
) -> Any:
    """`numpy.sum`."""
    a = _prepared("sum", a, dtype, out, where)
    axes = reduced_axes(axis, a.ndim)
    total = record(shaped("sum", Reduce, a.shape, axes, reduced(a.shape, axes, keepdims)), a)
    return total + initial if given(initial) else total


class Mean(Primitive):
    """The mean over some axes."""

    name = "mean"

    def __init__(self, axes: tuple[int, ...], out: Shape) -> None:
        self.axes = axes
        self.out = out

    def value(self, *args: Any) -> Array:
        value: Array = np.mean(args[0], axis=self.axes)
        return asarray(value).reshape(self.out)

    def batched(self, count: int, along: tuple[bool, ...]) -> Primitive:
        return _mean(tuple(axis + 1 for axis in self.axes), (count, *self.out))

    def jacobian(self, k: int, args: tuple[Any, ...], out: Array) -> Map:
        shape = args[0].shape
        with np.errstate(all="ignore"):
            share = out.dtype.type(1) / np.prod([shape[axis] for axis in self.axes], dtype=int)
        return chain(Reduce(shape, self.axes, self.out), Scale(out.dtype.type(share), self.out))


@lru_cache(maxsize=4096)
def _mean(axes: tuple[int, ...], out: Shape) -> Mean:
    return Mean.of(axes, out)


@implements(np.mean)
def mean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = _NONE,
    *,
    where: Any = _NONE,
) -> Any:
    """`numpy.mean`."""
    if masked(where):
        total = sum_(a, axis, dtype, out, keepdims, where=where)
        return total / counted(a, axis, keepdims, where).astype(total.real.dtype)
    a = _prepared("mean", a, dtype, out)
    axes = reduced_axes(axis, a.ndim)
    return record(_mean(axes, reduced(a.shape, axes, keepdims)), a)


@implements(np.var)
def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = _NONE,
    *,
    where: Any = _NONE,
    mean: Any = _NONE,
    correction: Any = _NONE,
) -> Any:
    """`numpy.var`, as the mean square of the deviations."""
    a = _prepared("var", a, dtype, out)
    away = a - (nested(mean) if given(mean) else np.mean(a, axis, keepdims=True, where=where))
    if masked(where):
        away = np.where(where, away, away.dtype.type(0))
    total = sum_(squared(away), axis, keepdims=keepdims)
    count = counted(a, axis, keepdims, where) - (correction if given(correction) else ddof)
    return total / np.maximum(count, 0).astype(total.dtype)


@implements(np.std)
def std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = _NONE,
    **options: Any,
) -> Any:
    """`numpy.std`."""
    where, mean = options.get("where", _NONE), options.get("mean", _NONE)
    variance = var(a, axis, dtype, out, ddof, keepdims, **options)
    return np.sqrt(variance) if given(mean) else deviation(variance, a, axis, keepdims, where)


def deviation(variance: Any, a: Any, axis: Any, keepdims: Any, where: Any) -> Any:
    """The root of a variance; of a single element it is zero, whatever that is, and has no slope.

    (The root of a variance that is zero at one point has none that is finite.)
    """
    if not masked(where):
        return variance if a.size == variance.size else np.sqrt(variance)
    single = counted(a, axis, keepdims, where) == 1
    if nowhere(single):
        return np.sqrt(variance)
    return np.where(single, variance, np.sqrt(np.where(single, 1, variance)))


@implements(np.prod)
def prod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = _NONE,
    initial: Any = _NONE,
    where: Any = _NONE,
) -> Any:
    """`numpy.prod`, as a tree of products of pairs: exact where factors are zero."""
    a = _prepared("prod", a, dtype, out, where, 1.0)
    axes = reduced_axes(axis, a.ndim)
    shape = reduced(a.shape, axes, keepdims)
    kept = tuple(k for k in range(a.ndim) if k not in axes)
    count = int(np.prod([a.shape[k] for k in axes], dtype=int))
    a = np.reshape(np.transpose(a, (*axes, *kept)), (count, *(a.shape[k] for k in kept)))
    while len(a) > 1:
        half = len(a) // 2
        pairs = a[:half] * a[half : 2 * half]
        a = np.concatenate([pairs, a[2 * half :]]) if len(a) % 2 else pairs
    # An empty product is one, and depends on nothing: the sum of no elements, plus one.
    product = a[0] if len(a) else np.sum(a, axis=0) + 1
    product = np.reshape(product, shape)
    return product * initial if given(initial) else product


class Extremum(Primitive):
    """The largest or smallest along some axes; ties share the derivative evenly.

    The Jacobian is a masked sum, with a share for each of those that are tied. Where each stands
    alone, and few of many are taken, it gathers them instead.
    """

    def __init__(self, name: str, axes: tuple[int, ...], out: Shape) -> None:
        self.name = name
        self.axes = axes
        self.out = out

    def value(self, *args: Any) -> Array:
        value = getattr(np, self.name)(args[0], axis=self.axes)
        return asarray(value).reshape(self.out)

    def batched(self, count: int, along: tuple[bool, ...]) -> Primitive:
        return _extreme(self.name, tuple(axis + 1 for axis in self.axes), (count, *self.out))

    def jacobian(self, k: int, args: tuple[Any, ...], out: Array) -> Map:
        (a,) = args
        thin = tuple(1 if axis in self.axes else n for axis, n in enumerate(a.shape))
        top = out.reshape(thin)
        taken = a == top
        missing = np.isnan(top)
        if not nowhere(missing):
            taken = taken | (np.isnan(a) & missing)
        alone = decide("alone", _alone, taken, out.size)
        # Where few are taken, they are better picked than all the others multiplied by zero.
        if alone and self.axes and a.size > COSTS.entry * out.size:
            return Gather(a.shape, self._places(taken), self.out)
        maps: list[Map] = [Mask(taken, a.shape), Reduce(a.shape, self.axes, self.out)]
        if not alone:
            tied = np.sum(taken, axis=self.axes).reshape(self.out)
            maps.append(Scale((1 / tied).astype(out.dtype), self.out))
        return chain(*maps)

    def _places(self, taken: Array) -> tuple[Array, ...]:
        """The index of what was taken, one element for each element of the answer."""
        order = [axis for axis in range(taken.ndim) if axis not in self.axes] + list(self.axes)
        taken = taken.transpose(order)
        at = dict(zip(order, np.unravel_index(np.flatnonzero(taken), taken.shape), strict=True))
        return tuple(at[axis].reshape(self.out) for axis in range(taken.ndim))


def _alone(taken: Array, count: int) -> bool:
    """Whether each of `count` results took a single element; each took one at least."""
    return int(np.count_nonzero(taken)) == count


@lru_cache(maxsize=4096)
def _extreme(name: str, axes: tuple[int, ...], out: Shape) -> Extremum:
    return Extremum.of(name, axes, out)


def _extremum(name: str, pair: np.ufunc) -> Any:
    def extremum(
        a: Any,
        axis: Any = None,
        out: Any = None,
        keepdims: Any = _NONE,
        initial: Any = _NONE,
        where: Any = _NONE,
    ) -> Any:
        if masked(where):
            if not given(initial):
                raise ValueError(f"{name} with where= needs initial=, as NumPy's own does")
            a = np.where(where, a, initial)
        a = _prepared(name, a, None, out)
        axes = reduced_axes(axis, a.ndim)
        shape = reduced(a.shape, axes, keepdims)
        if given(initial) and a.size == 0:
            return np.sum(a, axis=axes).reshape(shape) + initial
        extreme = record(_extreme(name, axes, shape), a)
        return pair(extreme, initial) if given(initial) else extreme

    extremum.__name__ = name
    extremum.__doc__ = f"`numpy.{name}`."
    return extremum


max_ = implements(np.max)(_extremum("max", np.maximum))
min_ = implements(np.min)(_extremum("min", np.minimum))


@implements(np.cumsum)
def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """`numpy.cumsum`."""
    a = _prepared("cumsum", a, dtype, out)
    if axis is None:
        a, axis = np.ravel(a), 0
    return structural("cumsum", a, Accumulate, a.shape, one_axis(axis, a.ndim))


def _first_axis(function: Any) -> Any:
    """A ufunc's reduce or accumulate is the function, over axis 0 unless told otherwise."""

    def method(a: Any, axis: Any = 0, *args: Any, **kwargs: Any) -> Any:
        return function(a, axis, *args, **kwargs)

    return method


METHODS[np.add, "reduce"] = _first_axis(sum_)
METHODS[np.multiply, "reduce"] = _first_axis(prod)
METHODS[np.add, "accumulate"] = _first_axis(cumsum)
METHODS[np.maximum, "reduce"] = lambda a, axis=0, dtype=None, *args, **kwargs: max_(
    a, axis, *args, **kwargs
)
METHODS[np.minimum, "reduce"] = lambda a, axis=0, dtype=None, *args, **kwargs: min_(
    a, axis, *args, **kwargs
)
