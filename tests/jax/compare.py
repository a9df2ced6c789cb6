"""One source through NumPy and jax.numpy: all blocks, and the gradient, compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import lazyhess as lh

Function = Callable[..., Any]


def difference(got: Any, want: Any, scale: float | None = None) -> float:
    """The largest difference, relative to the largest element; infinite where shapes differ.

    NaN and infinity have to stand in the same places. `scale` is the largest element of something
    larger, of which this is a part.
    """
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        return float("inf")
    if not got.size:
        return 0.0
    finite = np.isfinite(want)
    if not np.array_equal(finite, np.isfinite(got)):
        return float("inf")
    if not np.array_equal(got[~finite], want[~finite], equal_nan=True):
        return float("inf")
    gap = float(np.max(np.abs(np.where(finite, got - want, 0))))
    return gap / (largest(want) if scale is None else scale) if gap else 0.0


def largest(*arrays: Any) -> float:
    """The largest finite magnitude of all elements, and of no elements the smallest number."""
    return max(
        (float(np.max(np.abs(a), where=np.isfinite(a), initial=1e-300)) for a in arrays),
        default=1e-300,
    )


def tree_difference(got: Any, want: Any) -> float:
    """The same for nested containers: of one structure, and relative to the largest of all."""
    mine, structure = jax.tree_util.tree_flatten(got)
    theirs, expected = jax.tree_util.tree_flatten(want)
    if structure != expected:
        return float("inf")
    scale = largest(*theirs)
    return max((difference(a, b, scale) for a, b in zip(mine, theirs, strict=True)), default=0.0)


def evaluated(H: Any) -> Any:
    """Nested containers of Hessians as arrays."""
    return jax.tree_util.tree_map(np.asarray, H)


def compare(function: Function, *xs: Any, tolerance: float = 1e-9) -> None:
    """``function(np, *xs)``: value, gradient and every block of the Hessian against JAX.

    Differences are relative to the largest element of all blocks together.
    """
    xs = tuple(np.asarray(x) for x in xs)
    numbers = tuple(range(len(xs)))

    def theirs(*v: Any) -> Any:
        return function(jnp, *v)

    def everything(*v: Any) -> Any:
        return theirs(*v), jax.grad(theirs, numbers)(*v), jax.hessian(theirs, numbers)(*v)

    value, slope, want = jax.jit(everything)(*xs)
    variables = tuple(lh.variable(x) for x in xs)
    y = function(np, *variables)
    np.testing.assert_allclose(
        y.value, value, rtol=max(1e-12, tolerance), atol=max(1e-12, tolerance)
    )
    assert tree_difference(lh.gradient(y, variables), slope) <= tolerance
    scale = largest(*jax.tree_util.tree_leaves(want))
    H = lh.hessian(y, variables)
    apart = lh.hessian(y, variables, cache=None, block_size=2)
    for i in numbers:
        for j in numbers:
            assert H[i][j].dtype == xs[i].dtype
            # A part by itself first: rows and columns reach by different plans.
            part = (..., *(slice(-1, None),) * xs[j].ndim)
            assert difference(apart[i][j][part], want[i][j][part], scale) <= tolerance, (i, j)
            assert difference(H[i][j], want[i][j], scale) <= tolerance, (i, j)
