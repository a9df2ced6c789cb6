"""Moving elements about: shape, axes, order, joining, splitting, padding."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from lazyhess._create import asarray, of_shape
from lazyhess._indices import Array, Shape
from lazyhess._maps import Gather, Map, Mask, Permute, Reshape, Scatter, broadcast
from lazyhess._primitives.base import (
    astype,
    axis_tuple,
    implements,
    nested,
    one_axis,
    scattered,
    shaped,
    structural,
)
from lazyhess._record.primitive import Primitive, refuse_out
from lazyhess._record.variable import Variable, record, shape_of, value_of


@implements(np.reshape)
def reshape(a: Any, /, shape: Any, order: str = "C", *, copy: Any = None) -> Any:
    """`numpy.reshape`."""
    if order == "F" or (order == "A" and a._value.flags.fnc):
        shape = of_shape(a.shape).reshape(shape).shape
        return np.transpose(np.reshape(np.transpose(a), shape[::-1]))
    # NumPy works out -1 and words the errors, on an array without elements' memory.
    shape = of_shape(a.shape).reshape(shape).shape
    return record(shaped("reshape", Reshape, a.shape, shape), a)


@implements(np.ravel)
def ravel(a: Any, order: Any = "C") -> Any:
    """`numpy.ravel`."""
    return reshape(a, (a.size,), "F" if order == "F" else "C")


@implements(np.transpose, np.permute_dims)
def transpose(a: Any, axes: Any = None) -> Any:
    """`numpy.transpose`."""
    axes = tuple(range(a.ndim))[::-1] if axes is None else axis_tuple(axes, a.ndim)
    if len(axes) != a.ndim:
        raise ValueError("axes don't match array")
    return record(shaped("transpose", Permute, a.shape, axes), a)


@implements(np.matrix_transpose)
def matrix_transpose(x: Any, /) -> Any:
    """`numpy.matrix_transpose`."""
    return swapaxes(x, -1, -2)


@implements(np.swapaxes)
def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    """`numpy.swapaxes`."""
    axes = list(range(a.ndim))
    first, second = one_axis(axis1, a.ndim), one_axis(axis2, a.ndim)
    axes[first], axes[second] = axes[second], axes[first]
    return transpose(a, axes)


@implements(np.moveaxis)
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """`numpy.moveaxis`."""
    moved = np.moveaxis(of_shape(a.shape), source, destination)
    del moved  # NumPy has checked the arguments
    source, destination = axis_tuple(source, a.ndim), axis_tuple(destination, a.ndim)
    order = [axis for axis in range(a.ndim) if axis not in source]
    for to, axis in sorted(zip(destination, source, strict=True)):
        order.insert(to, axis)
    return transpose(a, order)


@implements(np.rollaxis)
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """`numpy.rollaxis`."""
    axis = one_axis(axis, a.ndim)
    order = [k for k in range(a.ndim) if k != axis]
    start = start + a.ndim if start < 0 else start
    order.insert(start - 1 if axis < start else start, axis)
    return transpose(a, order)


@implements(np.expand_dims)
def expand_dims(a: Any, axis: Any) -> Any:
    """`numpy.expand_dims`."""
    return reshape(a, np.expand_dims(of_shape(a.shape), axis).shape)


@implements(np.squeeze)
def squeeze(a: Any, axis: Any = None) -> Any:
    """`numpy.squeeze`."""
    return reshape(a, np.squeeze(of_shape(a.shape), axis).shape)


def _at_least(ndim: int) -> Any:
    function = {1: np.atleast_1d, 2: np.atleast_2d, 3: np.atleast_3d}[ndim]

    def at_least(*arrays: Any) -> Any:
        answers = tuple(
            reshape(a, function(of_shape(a.shape)).shape)
            if isinstance(a, Variable)
            else function(a)
            for a in arrays
        )
        return answers[0] if len(answers) == 1 else answers

    implements(function)(at_least)
    return at_least


atleast_1d, atleast_2d, atleast_3d = (_at_least(ndim) for ndim in (1, 2, 3))


@implements(np.broadcast_to)
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    """`numpy.broadcast_to`."""
    shape = of_shape(shape).shape
    np.broadcast_to(of_shape(array.shape), shape)
    return record(shaped("broadcast_to", broadcast, array.shape, shape), array)


@implements(np.broadcast_arrays)
def broadcast_arrays(*args: Any, subok: bool = False) -> Any:
    """`numpy.broadcast_arrays`."""
    shape = np.broadcast_shapes(*(shape_of(a) for a in args))
    return tuple(np.broadcast_to(a, shape) for a in args)


# --- order ----------------------------------------------------------------------------------------
def gather(name: str, a: Any, index: tuple[Any, ...]) -> Any:
    """Record ``a[index]`` for an index that is valid."""
    return structural(name, a, Gather, a.shape, index)


@implements(np.flip)
def flip(m: Any, axis: Any = None) -> Any:
    """`numpy.flip`."""
    axes = axis_tuple(axis, m.ndim)
    back = slice(None, None, -1)
    return gather("flip", m, tuple(back if k in axes else slice(None) for k in range(m.ndim)))


@implements(np.fliplr)
def fliplr(m: Any) -> Any:
    """`numpy.fliplr`."""
    return flip(m, 1)


@implements(np.flipud)
def flipud(m: Any) -> Any:
    """`numpy.flipud`."""
    return flip(m, 0)


@implements(np.rot90)
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    """`numpy.rot90`."""
    first, second = axis_tuple(axes, m.ndim)
    turned = (m, flip(swapaxes(m, first, second), first), flip(m, (first, second)))
    return (*turned, swapaxes(flip(m, first), first, second))[k % 4]


@implements(np.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """`numpy.roll`."""
    return moved("roll", np.roll, a, shift, axis)


def take_flat(name: str, a: Any, positions: Array) -> Any:
    """The elements of `a` at flat positions, in the positions' shape."""
    if a.ndim == 0:  # has no axis to index
        a = ravel(a)
    index = np.unravel_index(positions, a.shape)
    return structural(name, a, Gather, a.shape, index, positions.shape)


def positions_of(a: Any) -> Array:
    """The flat position of every element of `a`: what NumPy does to them, it does to `a`."""
    return np.arange(a.size).reshape(a.shape)


def moved(name: str, function: Callable[..., Any], a: Any, *args: Any, **kwargs: Any) -> Any:
    """Record a function that only picks elements of `a`, whatever their values."""
    return take_flat(name, a, asarray(function(positions_of(a), *args, **kwargs)))


@implements(np.take)
def take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: Any = "raise") -> Any:
    """`numpy.take`."""
    if out is not None:
        refuse_out("take")
    indices = asarray(value_of(indices))
    if axis is None:
        a, axis = ravel(a), 0
    axis = one_axis(axis, a.ndim)
    picked = np.take(np.arange(a.shape[axis]), indices, mode=mode)
    return gather("take", a, (slice(None),) * axis + (picked,))


@implements(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    """`numpy.take_along_axis`."""
    return moved("take_along_axis", np.take_along_axis, arr, indices, axis)


@implements(np.repeat)
def repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    """`numpy.repeat`."""
    return moved("repeat", np.repeat, a, repeats, axis)


@implements(np.tile)
def tile(A: Any, reps: Any) -> Any:
    """`numpy.tile`."""
    return moved("tile", np.tile, A, reps)


@implements(np.diagonal)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """`numpy.diagonal`."""
    return moved("diagonal", np.diagonal, a, offset, axis1, axis2)


@implements(np.diag)
def diag(v: Any, k: int = 0) -> Any:
    """`numpy.diag`."""
    if v.ndim == 1:
        n = v.shape[0] + abs(k)
        at = np.arange(v.shape[0])
        index = (at + max(-k, 0), at + max(k, 0))
        return structural("diag", v, scattered, (n, n), index, v.shape)
    if v.ndim != 2:
        raise ValueError("Input must be 1- or 2-d.")
    return diagonal(v, k)


@implements(np.diagflat)
def diagflat(v: Any, k: int = 0) -> Any:
    """`numpy.diagflat`."""
    return diag(ravel(v), k)


def _masked(shape: Shape, function: Any, k: int) -> Map:
    return Mask(np.broadcast_to(function(np.ones(shape[-2:], np.bool_), k), shape), shape)


def _triangle(function: Any) -> Any:
    def triangle(m: Any, k: int = 0) -> Any:
        return record(shaped(function.__name__, _masked, m.shape, function, int(k)), m)

    implements(function)(triangle)
    return triangle


tril, triu = _triangle(np.tril), _triangle(np.triu)


# --- joining and splitting ------------------------------------------------------------------------
class Concatenate(Primitive):
    """Arrays joined along an axis."""

    name = "concatenate"
    broadcasts = False

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def value(self, *args: Any) -> Array:
        return np.concatenate(args, self.axis)

    def batched(self, count: int, along: tuple[bool, ...]) -> Primitive:
        return concatenation(self.axis + 1)

    def jacobian(self, k: int, args: tuple[Any, ...], out: Array) -> Map:
        start = sum(args[n].shape[self.axis] for n in range(k))
        part = slice(start, start + args[k].shape[self.axis])
        index = (slice(None),) * self.axis + (part,)
        return Scatter(Gather(out.shape, index, args[k].shape))


@cache
def concatenation(axis: int) -> Concatenate:
    """The primitive, kept."""
    return Concatenate.of(axis)


@implements(np.concatenate, np.concat)
def concatenate(
    arrays: Any, /, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: Any = None
) -> Any:
    """`numpy.concatenate`."""
    if out is not None:
        refuse_out("concatenate")
    parts = [nested(a) for a in arrays]
    if axis is None:
        parts, axis = [np.ravel(a) for a in parts], 0
    if any(a.ndim == 0 for a in parts):
        raise ValueError("zero-dimensional arrays cannot be concatenated")
    joined = record(concatenation(one_axis(axis, parts[0].ndim)), *parts)
    return joined if dtype is None else astype(joined, dtype)


@implements(np.stack)
def stack(
    arrays: Any, axis: int = 0, out: Any = None, *, dtype: Any = None, casting: Any = None
) -> Any:
    """`numpy.stack`."""
    parts = [nested(a) for a in arrays]
    if len({a.shape for a in parts}) > 1:
        raise ValueError("all input arrays must have the same shape")
    return concatenate([np.expand_dims(a, axis) for a in parts], axis, out, dtype=dtype)


@implements(np.vstack)
def vstack(tup: Any, *, dtype: Any = None, casting: Any = None) -> Any:
    """`numpy.vstack`."""
    return concatenate([np.atleast_2d(nested(a)) for a in tup], 0, dtype=dtype)


@implements(np.hstack)
def hstack(tup: Any, *, dtype: Any = None, casting: Any = None) -> Any:
    """`numpy.hstack`."""
    parts = [np.atleast_1d(nested(a)) for a in tup]
    return concatenate(parts, 0 if parts[0].ndim == 1 else 1, dtype=dtype)


@implements(np.dstack)
def dstack(tup: Any) -> Any:
    """`numpy.dstack`."""
    return concatenate([np.atleast_3d(nested(a)) for a in tup], 2)


@implements(np.column_stack)
def column_stack(tup: Any) -> Any:
    """`numpy.column_stack`."""
    parts = [nested(a) for a in tup]
    return concatenate([a if a.ndim > 1 else np.reshape(a, (a.size, 1)) for a in parts], 1)


@implements(np.append)
def append(arr: Any, values: Any, axis: Any = None) -> Any:
    """`numpy.append`."""
    return concatenate([nested(arr), nested(values)], axis)


def _split(function: Any) -> Any:
    def split(ary: Any, *args: Any, **kwargs: Any) -> Any:
        # NumPy cuts an array of positions; each part is a slice of the original.
        parts = function(positions_of(ary), *args, **kwargs)
        return [_part(ary, part) for part in parts]

    implements(function)(split)
    return split


def _part(a: Any, positions: Array) -> Any:
    if positions.size == 0:
        return take_flat("split", a, positions)
    first = np.unravel_index(int(positions.flat[0]), a.shape)
    sides = zip(first, positions.shape, strict=True)
    index = tuple(slice(int(at), int(at) + n) for at, n in sides)
    return gather("split", a, index)


for _function in (np.split, np.array_split, np.vsplit, np.hsplit, np.dsplit):
    _split(_function)


@implements(np.unstack)
def unstack(x: Any, /, *, axis: int = 0) -> Any:
    """`numpy.unstack`."""
    return tuple(np.moveaxis(x, axis, 0))
