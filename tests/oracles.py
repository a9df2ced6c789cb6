"""Derivatives that nobody here wrote: differences of the plain function in extended precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lazyhess.testing import difference_gradient as gradient
from lazyhess.testing import difference_hessian as hessian

__all__ = ["close", "gradient", "hessian", "scalar"]

Function = Callable[..., Any]


def scalar(function: Function, weights: np.ndarray) -> Function:
    """The weighted sum of what a function gives."""
    return lambda *xs: np.sum(weights * function(*xs))


def close(got: Any, want: Any, tolerance: float) -> bool:
    """Whether two arrays agree, relative to the largest element."""
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        return False
    scale = max(1.0, float(np.max(np.abs(want), initial=0)))
    return bool(np.max(np.abs(got - want), initial=0) <= tolerance * scale)
