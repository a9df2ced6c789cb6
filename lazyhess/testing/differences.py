"""Gradients and Hessians of plain functions by central differences, which know nothing of rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lazyhess._indices import Array

Function = Callable[..., Any]


def difference_gradient(
    function: Function, xs: Sequence[Any], step: float | None = None, dtype: Any = None
) -> list[Array]:
    """The gradient of a plain function by central differences.

    Parameters
    ----------
    function : callable
        ``function(*xs)`` gives one real number.
    xs : sequence of array_like
        The real inputs.
    step : float, optional
        Of the differences; by default 1e-6 in extended precision, 1e-5 in float64.
    dtype : {numpy.longdouble, numpy.float64}, optional
        Of the arrays that the function is called with; by default extended precision where the
        function works in it.

    Returns
    -------
    list of ndarray
        float64, in the shapes of `xs`.
    """
    function, kind, step = _precise(function, xs, step, (1e-6, 1e-5), dtype)
    made = []
    points = [np.array(x, kind) for x in xs]
    for k, x in enumerate(points):
        slope = np.zeros(x.shape, kind)
        for at in np.ndindex(x.shape):
            ends = []
            for sign in (1, -1):
                moved = x.copy()
                moved[at] += sign * kind(step)
                ends.append(function(*points[:k], moved, *points[k + 1 :]))
            slope[at] = (ends[0] - ends[1]) / (2 * kind(step))
        made.append(slope.astype(float))
    return made


def difference_hessian(
    function: Function, xs: Sequence[Any], step: float | None = None, dtype: Any = None
) -> list[list[Array]]:
    """The Hessian of a plain function by second differences of fourth order.

    Parameters
    ----------
    function, xs
        As for `difference_gradient`.
    step : float, optional
        By default 2e-4 in extended precision, 3e-3 in float64.
    dtype
        As for `difference_gradient`.

    Returns
    -------
    list of list of ndarray
        float64, the block (i, j) in the shape ``xs[i].shape + xs[j].shape``.
    """
    function, kind, step = _precise(function, xs, step, (2e-4, 3e-3), dtype)
    points = [np.array(x, kind) for x in xs]
    sizes = [x.size for x in points]
    flat = np.concatenate([x.reshape(-1) for x in points]) if points else np.zeros(0, kind)
    ends = np.cumsum(sizes)

    def at(point: Array) -> Any:
        parts = np.split(point, ends[:-1])
        return function(*(part.reshape(x.shape) for part, x in zip(parts, points, strict=True)))

    def second(h: Any, i: int, j: int) -> Any:
        corners = 0
        for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            point = flat.copy()
            point[i] += a * h
            point[j] += b * h
            corners = corners + a * b * at(point)
        return corners / (4 * h * h)

    n = len(flat)
    whole = np.zeros((n, n))
    h = kind(step)
    for i in range(n):
        for j in range(i + 1):
            # Differences of steps h and 2 h, combined so that their errors of order h² cancel.
            whole[i, j] = whole[j, i] = float((4 * second(h, i, j) - second(2 * h, i, j)) / 3)
    starts = ends - sizes
    return [
        [
            whole[a : a + m, b : b + n].reshape(x.shape + y.shape)
            for y, b, n in zip(points, starts, sizes, strict=True)
        ]
        for x, a, m in zip(points, starts, sizes, strict=True)
    ]


def _precise(
    function: Function,
    xs: Sequence[Any],
    step: float | None,
    steps: tuple[float, float],
    dtype: Any,
) -> tuple[Function, Any, float]:
    """The function, the kind of number it is called with, and the step."""

    def quiet(*points: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*points)

    extended = dtype is not np.float64 and bool(np.finfo(np.longdouble).eps < 1e-18)
    if extended and dtype is None:
        try:
            made = quiet(*(np.array(x, np.longdouble) for x in xs))
            extended = np.asarray(made).dtype == np.longdouble
        except (TypeError, ValueError, NotImplementedError):
            extended = False
    kind = np.longdouble if extended else np.float64
    return quiet, kind, steps[0 if extended else 1] if step is None else step
