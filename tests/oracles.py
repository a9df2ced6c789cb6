"""Derivatives that nobody here wrote: differences of the plain function in extended precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Function = Callable[..., Any]


def scalar(function: Function, weights: np.ndarray) -> Function:
    """The weighted sum of what a function gives."""
    return lambda *xs: np.sum(weights * function(*xs))


def gradient(function: Function, xs: Sequence[np.ndarray], step: float = 1e-6) -> list[np.ndarray]:
    """Central differences."""
    xs = [np.array(x, np.longdouble) for x in xs]
    made = []
    for k, x in enumerate(xs):
        slope = np.zeros(x.shape, np.longdouble)
        for at in np.ndindex(x.shape):
            ends = []
            for sign in (1, -1):
                moved = x.copy()
                moved[at] += sign * np.longdouble(step)
                ends.append(function(*xs[:k], moved, *xs[k + 1 :]))
            slope[at] = (ends[0] - ends[1]) / (2 * np.longdouble(step))
        made.append(slope.astype(float))
    return made


def hessian(
    function: Function, xs: Sequence[np.ndarray], step: float = 2e-4
) -> list[list[np.ndarray]]:
    """Second central differences."""
    xs = [np.array(x, np.longdouble) for x in xs]
    sizes = [x.size for x in xs]
    flat = np.concatenate([x.reshape(-1) for x in xs]) if xs else np.zeros(0, np.longdouble)
    ends = np.cumsum(sizes)

    def at(point: np.ndarray) -> Any:
        parts = np.split(point, ends[:-1])
        return function(*(part.reshape(x.shape) for part, x in zip(parts, xs, strict=True)))

    # A fourth-order formula: the differences of steps h and 2 h, combined.
    def second(h: np.longdouble, i: int, j: int) -> Any:
        corners = 0
        for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            point = flat.copy()
            point[i] += a * h
            point[j] += b * h
            corners = corners + a * b * at(point)
        return corners / (4 * h * h)

    n = len(flat)
    whole = np.zeros((n, n))
    h = np.longdouble(step)
    for i in range(n):
        for j in range(i + 1):
            whole[i, j] = whole[j, i] = float((4 * second(h, i, j) - second(2 * h, i, j)) / 3)
    starts = ends - sizes
    return [
        [
            whole[a : a + m, b : b + n].reshape(x.shape + y.shape)
            for y, b, n in zip(xs, starts, sizes, strict=True)
        ]
        for x, a, m in zip(xs, starts, sizes, strict=True)
    ]


def close(got: Any, want: Any, tolerance: float) -> bool:
    """Whether two arrays agree, relative to the largest element."""
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        return False
    scale = max(1.0, float(np.max(np.abs(want), initial=0)))
    return bool(np.max(np.abs(got - want), initial=0) <= tolerance * scale)
