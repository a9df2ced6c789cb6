"""One source through NumPy and jax.numpy: all blocks, and the gradient, compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import lazyhess as lh

Function = Callable[..., Any]


def difference(got: Any, want: Any) -> float:
    """The largest difference, relative to the largest element; infinite where shapes differ."""
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        return float("inf")
    if not got.size:
        return 0.0
    finite = np.isfinite(want)
    if not np.array_equal(finite, np.isfinite(got)):
        return float("inf")
    scale = max(1.0, float(np.max(np.abs(want), where=finite, initial=0)))
    return float(np.max(np.abs(np.where(finite, got - want, 0)))) / scale


def compare(function: Function, *xs: Any, tolerance: float = 1e-9) -> None:
    """``function(np, *xs)``: gradient and every block of the Hessian against JAX."""
    xs = tuple(np.asarray(x) for x in xs)
    numbers = tuple(range(len(xs)))
    theirs = lambda *v: function(jnp, *v)  # noqa: E731
    want = jax.hessian(theirs, argnums=numbers)(*xs)
    slope = jax.grad(theirs, argnums=numbers)(*xs)
    variables = tuple(lh.variable(x) for x in xs)
    y = function(np, *variables)
    np.testing.assert_allclose(y.value, theirs(*xs), rtol=max(1e-12, tolerance), atol=1e-12)
    for a, b in zip(lh.gradient(y, variables), slope, strict=True):
        assert difference(a, b) <= tolerance
    H = lh.hessian(y, variables)
    for i in numbers:
        for j in numbers:
            assert H[i][j].dtype == xs[i].dtype
            assert difference(H[i][j], want[i][j]) <= tolerance, (i, j)
