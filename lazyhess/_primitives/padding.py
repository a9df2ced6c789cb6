"""Padding."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyhess._create import asarray
from lazyhess._primitives.base import implements, scattered, structural
from lazyhess._primitives.shape import moved, positions_of, ravel
from lazyhess._record.variable import Variable, value_of


@implements(np.pad)
def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    """`numpy.pad`, with all modes but odd reflections and functions of your own."""
    if not array.ndim:
        return array
    if mode == "constant":
        where = np.pad(np.zeros(array.shape, np.bool_), pad_width, constant_values=True)
        inner = np.pad(positions_of(array), pad_width, constant_values=-1)
        index = np.nonzero(inner >= 0) if array.size else (np.zeros(0, int),) * array.ndim
        placed = structural("pad", ravel(array), scattered, inner.shape, index, (array.size,))
        values = kwargs.pop("constant_values", 0)
        if np.all(asarray(value_of(values)) == 0) and not isinstance(values, Variable):
            return placed
        if isinstance(values, Variable):
            return placed + np.where(where, values, array.dtype.type(0))
        frame = np.pad(np.zeros(array.shape, array.dtype), pad_width, constant_values=values)
        return placed + frame
    if mode in ("edge", "reflect", "symmetric", "wrap") and kwargs.get("reflect_type") != "odd":
        return moved("pad", np.pad, array, pad_width, mode, **kwargs)
    if mode == "empty":
        return pad(array, pad_width)
    if mode == "linear_ramp" or mode in _STATISTICS:
        np.pad(array._value, pad_width, mode, **kwargs)  # NumPy checks the arguments
        options = {name: _pairs(value, array.ndim) for name, value in kwargs.items()}
        for axis, width in enumerate(_pairs(pad_width, array.ndim)):
            chosen = {name: pairs[axis] for name, pairs in options.items()}
            parts = [_beyond(array, axis, side, int(width[side]), mode, chosen) for side in (0, 1)]
            array = np.concatenate([parts[0], array, parts[1]], axis)
        return array
    raise NotImplementedError(
        f"pad(mode={mode!r}) has no derivative rule with {kwargs}; the modes with one are "
        "constant, edge, linear_ramp, maximum, mean, median, minimum, wrap, and even reflect and "
        "symmetric"
    )


_STATISTICS: dict[str, Any] = {
    "maximum": np.max,
    "minimum": np.min,
    "mean": np.mean,
    "median": np.median,
}


def _pairs(given: Any, ndim: int) -> Any:
    """What `numpy.pad` takes for all axes, before and after, as a pair for each axis."""
    if isinstance(given, dict):
        pairs = np.zeros((ndim, 2), int)
        for axis, pair in given.items():
            pairs[axis] = pair
        return pairs
    if given is None:
        return [(None, None)] * ndim
    return np.broadcast_to(asarray(given), (ndim, 2))


def _beyond(a: Any, axis: int, side: int, width: int, mode: str, options: dict[str, Any]) -> Any:
    """What is put before (side 0) or after an array along an axis."""
    lead = (slice(None),) * axis
    if mode == "linear_ramp":
        edge = a[(*lead, slice(1) if side == 0 else slice(-1, None))]
        end = a.dtype.type(options.get("end_values", (0, 0))[side])
        share = np.arange(width, dtype=a.dtype) / max(width, 1)
        share = (share if side == 0 else share[::-1]).reshape((-1,) + (1,) * (a.ndim - axis - 1))
        return end + (edge - end) * share
    length = options.get("stat_length", (None, None))[side]
    region = a
    if length is not None:
        region = a[(*lead, slice(length) if side == 0 else slice(-length, None))]
    statistic = _STATISTICS[mode](region, axis=axis, keepdims=True)
    return np.broadcast_to(statistic, (*a.shape[:axis], width, *a.shape[axis + 1 :]))
