"""Functions that apply a function of the user."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lazyhess._primitives.base import implements, nested, one_axis


@implements(np.apply_along_axis)
def apply_along_axis(
    func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any
) -> Any:
    """`numpy.apply_along_axis`."""
    axis = one_axis(axis, arr.ndim)
    lanes = np.moveaxis(arr, axis, -1)
    lead = lanes.shape[:-1]
    results = [nested(func1d(lanes[at], *args, **kwargs)) for at in np.ndindex(lead)]
    if not results:
        raise ValueError("Cannot apply_along_axis when any iteration dimensions are 0")
    shape = results[0].shape
    whole = np.reshape(np.stack(results), lead + shape)
    ends = range(len(lead), len(lead) + len(shape))
    return np.moveaxis(whole, list(ends), list(range(axis, axis + len(shape))))


@implements(np.apply_over_axes)
def apply_over_axes(func: Callable[..., Any], a: Any, axes: Any) -> Any:
    """`numpy.apply_over_axes`."""
    for axis in np.atleast_1d(axes):
        axis = one_axis(int(axis), a.ndim)
        result = func(a, axis)
        if result.ndim != a.ndim:
            result = np.expand_dims(result, axis)
        if result.ndim != a.ndim:
            raise ValueError("function is not returning an array of the correct shape")
        a = result
    return a
