"""Arrays put together from parts, or with parts left out, and arrays made from a few numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lazyhess import _create
from lazyhess._indices import Array
from lazyhess._primitives.base import astype, implements, nested, one_axis, scattered, structural
from lazyhess._primitives.shape import moved, positions_of, take_flat
from lazyhess._record.primitive import refuse_out
from lazyhess._record.variable import Variable, shape_of, value_of


def pooled(name: str, parts: list[Any], function: Callable[[list[Array]], Any]) -> Any:
    """Record a function that only picks elements of several arrays: `function` of positions."""
    sizes = [int(np.prod(shape_of(part), dtype=int)) for part in parts]
    starts = np.cumsum([0, *sizes[:-1]])
    places = [
        np.arange(start, start + size).reshape(shape_of(part))
        for part, start, size in zip(parts, starts, sizes, strict=True)
    ]
    pool = np.concatenate([np.ravel(part) for part in parts])
    index = _create.asarray(function(places))
    return take_flat(name, pool, index) if isinstance(pool, Variable) else pool[index]


# --- copies, and arrays like a Variable -----------------------------------------------------------
@implements(np.copy)
def copy(a: Any, order: Any = "K", subok: bool = False) -> Any:
    """`numpy.copy`: the Variable itself, since it never changes."""
    return a


@implements(np.array)
def array(
    object: Any, dtype: Any = None, *, ndmin: int = 0, copy: Any = True, **kwargs: Any
) -> Any:
    """`numpy.array` with ``like=`` a Variable, of Variables in lists too."""
    array = nested(object)
    if dtype is not None:
        array = astype(array, dtype)
    return (
        array
        if array.ndim >= ndmin
        else np.reshape(array, (1,) * (ndmin - array.ndim) + array.shape)
    )


@implements(np.asarray, np.asanyarray, np.require)
def asarray(a: Any, dtype: Any = None, *args: Any, **kwargs: Any) -> Any:
    """`numpy.asarray` with ``like=`` a Variable, of Variables in lists too."""
    return array(a, dtype)


@implements(np.ascontiguousarray, np.asfortranarray)
def ascontiguousarray(a: Any, dtype: Any = None) -> Any:
    """`numpy.ascontiguousarray` with ``like=`` a Variable; the order in memory is not kept."""
    return array(a, dtype, ndmin=1)


@implements(np.full)
def full(shape: Any, fill_value: Any, dtype: Any = None, order: Any = "C", **kwargs: Any) -> Any:
    """`numpy.full` with ``like=`` a Variable."""
    fill_value = nested(fill_value)
    if not isinstance(fill_value, Variable):
        return np.full(shape, fill_value, dtype)
    filled = np.broadcast_to(fill_value, shape)
    return filled if dtype is None else astype(filled, dtype)


@implements(np.full_like)
def full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: Any = "K",
    subok: bool = True,
    shape: Any = None,
    **kwargs: Any,
) -> Any:
    """`numpy.full_like`: recorded if the value that it is full of is."""
    return full(
        a.shape if shape is None else shape, fill_value, a.dtype if dtype is None else dtype
    )


# --- joining --------------------------------------------------------------------------------------
@implements(np.block)
def block(arrays: Any) -> Any:
    """`numpy.block`, as concatenations from the innermost list on."""
    depth = _depth(arrays)
    ndim = max(depth, _widest(arrays))
    return _block(arrays, depth, ndim)


def _depth(arrays: Any) -> int:
    if isinstance(arrays, tuple):
        raise TypeError("Only lists can be used to arrange blocks, and np.block does not allow "
                        "implicit conversion from tuple to ndarray.")  # fmt: skip
    if not isinstance(arrays, list):
        return 0
    if not arrays:
        raise ValueError("List at arrays cannot be empty")
    depths = {_depth(item) for item in arrays}
    if len(depths) > 1:
        raise ValueError(f"List depths are mismatched: {sorted(depths)} in one list of np.block")
    return depths.pop() + 1


def _widest(arrays: Any) -> int:
    return max(map(_widest, arrays)) if isinstance(arrays, list) else len(shape_of(arrays))


def _block(arrays: Any, depth: int, ndim: int) -> Any:
    if depth:
        return np.concatenate([_block(item, depth - 1, ndim) for item in arrays], -depth)
    a = nested(arrays)
    return np.reshape(a, (1,) * (ndim - a.ndim) + a.shape)


@implements(np.insert)
def insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    """`numpy.insert`."""
    arr = nested(arr)
    parts = [arr, astype(nested(values), arr.dtype)]
    return pooled("insert", parts, lambda at: np.insert(at[0], value_of(obj), at[1], axis))


@implements(np.choose)
def choose(a: Any, choices: Any, out: Any = None, mode: Any = "raise") -> Any:
    """`numpy.choose`."""
    if out is not None:
        refuse_out("choose")
    parts = [nested(choice) for choice in choices]
    return pooled("choose", parts, lambda at: np.choose(value_of(a), at, mode=mode))


@implements(np.select)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """`numpy.select`, as `where` of the conditions from the last to the first."""
    if len(condlist) != len(choicelist):
        raise ValueError("list of cases must be same length as list of conditions")
    if not len(condlist):
        raise ValueError("select with an empty condition list is not possible")
    chosen = _branch(default)
    for n in reversed(range(len(condlist))):
        condition = _create.asarray(condlist[n])
        if condition.dtype.type is not np.bool_:
            raise TypeError(f"invalid entry {n} in condlist: should be boolean ndarray")
        chosen = np.where(condition, _branch(choicelist[n]), chosen)
    return chosen


def _branch(x: Any) -> Any:
    """A choice: Python's own numbers stay, since they leave the dtype alone."""
    return x if type(x) in (int, float, complex) else nested(x)


@implements(np.piecewise)
def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    """`numpy.piecewise`: each function sees the elements of its condition only."""
    x, condlist = nested(x), value_of(condlist)
    if np.isscalar(condlist) or (not isinstance(condlist[0], (list, np.ndarray)) and x.ndim):
        condlist = [condlist]
    conditions = [_create.asarray(condition, np.bool_) for condition in condlist]
    if len(funclist) == len(conditions) + 1:
        conditions.append(~np.any(conditions, axis=0))
    elif len(funclist) != len(conditions):
        n = len(conditions)
        raise ValueError(f"with {n} condition(s), either {n} or {n + 1} functions are expected")
    result: Any = np.zeros(x.shape, x.dtype)
    for condition, function in zip(conditions, funclist, strict=True):
        if callable(function):
            part = x[condition]
            if not part.size:
                continue
            function = _place(function(part, *args, **kw), condition, part.shape)
        result = np.where(condition, function, result)
    result = astype(result, x.dtype)
    return result if isinstance(result, Variable) else np.where(True, result, x)


def _place(values: Any, condition: Array, shape: tuple[int, ...]) -> Any:
    """Values at the true elements of a condition, zero elsewhere."""
    if not isinstance(values, Variable):
        placed = _create.accumulator(condition.shape, _create.asarray(values).dtype)
        placed[condition] = values
        return placed
    if not condition.ndim:
        return np.reshape(np.broadcast_to(values, shape), ())
    values, index = np.broadcast_to(values, shape), np.nonzero(np.atleast_1d(condition))
    return structural("piecewise", values, scattered, condition.shape, index, shape)


@implements(np.meshgrid)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    """`numpy.meshgrid`."""
    if indexing not in ("xy", "ij"):
        raise ValueError("Valid values for `indexing` are 'xy' and 'ij'.")
    ndim = len(xi)
    order = list(range(ndim))
    if indexing == "xy" and ndim > 1:
        order[:2] = 1, 0
    grids = [
        np.reshape(nested(x), (1,) * axis + (-1,) + (1,) * (ndim - 1 - axis))
        for x, axis in zip(xi, order, strict=True)
    ]
    return tuple(grids) if sparse else np.broadcast_arrays(*grids)


# --- leaving out ----------------------------------------------------------------------------------
@implements(np.delete)
def delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    """`numpy.delete`."""
    return moved("delete", np.delete, arr, value_of(obj), axis)


@implements(np.compress)
def compress(condition: Any, a: Any, axis: Any = None, out: Any = None) -> Any:
    """`numpy.compress`."""
    if out is not None:
        refuse_out("compress")
    condition = value_of(condition)
    if not isinstance(a, Variable):
        return np.compress(condition, a, axis)
    return take_flat("compress", a, np.compress(condition, positions_of(a), axis))


@implements(np.extract)
def extract(condition: Any, arr: Any) -> Any:
    """`numpy.extract`."""
    return compress(np.ravel(value_of(condition)), np.ravel(nested(arr)))


@implements(np.resize)
def resize(a: Any, new_shape: Any) -> Any:
    """`numpy.resize`, which repeats the elements."""
    if a.size == 0:  # zeros, which depend on nothing
        return np.broadcast_to(np.sum(a), np.resize(np.zeros(0, np.bool_), new_shape).shape)
    return moved("resize", np.resize, a, new_shape)


@implements(np.trim_zeros)
def trim_zeros(filt: Any, trim: Any = "fb", axis: Any = None) -> Any:
    """`numpy.trim_zeros`."""
    filt = nested(filt)
    there = value_of(filt) != 0
    if not there.ndim:
        return filt
    if axis is None and there.ndim == 1:  # the form that older NumPy has
        shape = np.trim_zeros(there, trim).shape
    else:
        shape = np.trim_zeros(there, trim, axis).shape
    # What is cut off in front; behind it, as much is kept as NumPy says.
    front = "f" in trim.lower() and there.any()
    starts = [int(at.min()) if front else 0 for at in np.nonzero(there)]
    index = tuple(
        slice(start if n != whole else 0, (start if n != whole else 0) + n)
        for start, n, whole in zip(starts, shape, there.shape, strict=True)
    )
    return filt[index]


# --- from a few numbers ---------------------------------------------------------------------------
@implements(np.linspace)
def linspace(
    start: Any,
    stop: Any,
    num: Any = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    **kwargs: Any,
) -> Any:
    """`numpy.linspace`: a mean of both ends with fixed weights."""
    start, stop = _branch(start), _branch(stop)
    # Python's own numbers leave the dtype alone; integers become floating.
    kind = np.result_type(*(x if np.isscalar(x) else x.dtype for x in (start, stop)), 0.0)
    real = np.zeros((), kind).real.dtype.type
    shape = np.broadcast_shapes(shape_of(start), shape_of(stop))
    share = np.linspace(real(0), real(1), num, endpoint).reshape((-1,) + (1,) * len(shape))
    points = np.moveaxis((1 - share) * start + share * stop, 0, one_axis(axis, len(shape) + 1))
    points = _typed(points, dtype)
    if not retstep:
        return points
    pieces = int(num) - 1 if endpoint else int(num)
    return points, (stop - start) / pieces if pieces > 0 else np.nan


def _typed(points: Any, dtype: Any) -> Any:
    if dtype is None:
        return points
    if np.dtype(dtype).kind in "iu":  # rounded down, and without a derivative
        return np.floor(value_of(points)).astype(dtype)
    return astype(points, dtype)


@implements(np.logspace)
def logspace(
    start: Any,
    stop: Any,
    num: Any = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """`numpy.logspace`."""
    start, stop, base = _branch(start), _branch(stop), _branch(base)
    if shape_of(base):
        shape = np.broadcast_shapes(shape_of(start), shape_of(stop), base.shape)
        start, stop = (np.broadcast_to(x, shape) for x in (start, stop))
        base = np.expand_dims(np.broadcast_to(base, shape), axis)
    exponents = np.linspace(start, stop, num, endpoint, axis=axis)
    return _typed(np.power(base, exponents), dtype)


@implements(np.geomspace)
def geomspace(
    start: Any,
    stop: Any,
    num: Any = 50,
    endpoint: bool = True,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """`numpy.geomspace` between real numbers of one sign."""
    start, stop = _branch(start), _branch(stop)
    signs = np.sign(value_of(start)), np.sign(value_of(stop))
    if np.any(signs[0] == 0) or np.any(signs[1] == 0):
        raise ValueError("Geometric sequence cannot include zero")
    if np.result_type(*signs).kind == "c" or np.any(signs[0] != signs[1]):
        raise NotImplementedError(
            "geomspace has a derivative rule between real numbers of one sign; write other "
            "sequences as start * ratio ** np.arange(num)"
        )
    sign = np.expand_dims(np.broadcast_arrays(*signs)[0], axis)
    points = np.linspace(np.log(abs(start)), np.log(abs(stop)), num, endpoint, axis=axis)
    # NumPy works in double precision here, and gives what it has.
    points = astype(points, np.result_type(points.dtype, np.float64))
    return _typed(sign * np.exp(points), dtype)
