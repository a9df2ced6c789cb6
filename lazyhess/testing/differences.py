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
    function, kind, step = _precise(function, xs, step, _FIRST, dtype)
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
    function, kind, step = _precise(function, xs, step, _SECOND, dtype)
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


def difference_rounding(
    order: int,
    function: Function,
    xs: Sequence[Any],
    step: float | None = None,
    dtype: Any = None,
) -> float:
    """What rounding may make of a difference of the first or second order, whatever is true.

    How much the function's values are off is measured: of equally spaced points close to each
    other, sixth differences are nothing but that (R. W. Hamming, *Introduction to Applied Numerical
    Analysis*, 1971).

    Parameters
    ----------
    order : {1, 2}
        As of `difference_gradient`, or of `difference_hessian`.
    function, xs, step, dtype
        As for these.
    """
    function, kind, step = _precise(function, xs, step, (_FIRST, _SECOND)[order - 1], dtype)
    rng = np.random.default_rng(0)
    points = [np.array(x, kind) for x in xs]
    if not any(x.size for x in points):
        return 0.0
    length = _SECOND[0 if kind is np.longdouble else 1] / 16
    ways = [kind(length) * rng.uniform(0.5, 1, x.shape).astype(kind) for x in points]
    values = np.array(
        [
            function(*(np.asarray(x + k * way) for x, way in zip(points, ways, strict=True)))
            for k in range(9)
        ]
    )
    eps, values = np.finfo(kind).eps, values[np.isfinite(values)]
    least = float(eps * np.max(np.abs(values), initial=0))
    measured = np.max(np.abs(np.diff(values, 6)), initial=0) / 924**0.5
    # More would be no rounding: a kink.
    return 10 * min(max(float(measured), least), 1e6 * least) / step**order


# Steps of first and second differences in extended precision, and in float64.
_FIRST, _SECOND = (1e-6, 1e-5), (2e-4, 3e-3)
DIFFERENCE_STEP = _FIRST[1]


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
