"""What many tests need: arrays out of answers of any kind, and whether they are the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import lazyhess as lh
from tests import oracles


def numbers(x: Any) -> np.ndarray:
    """The numbers of an array, a Hessian, a Variable or a framework's tensor, without its graph."""
    if isinstance(x, lh.Variable):
        return x.value
    for method in ("detach", "numpy"):  # torch's and Paddle's tensors, and TensorFlow's
        if hasattr(x, method):
            x = getattr(x, method)()
    return np.asarray(x)


def leaves(tree: Any) -> list[Any]:
    """What stands in nested tuples, lists and dicts."""
    if isinstance(tree, (tuple, list, dict)):
        parts = tree.values() if isinstance(tree, dict) else tree
        return [leaf for part in parts for leaf in leaves(part)]
    return [tree]


def whole(H: Any) -> list[list[np.ndarray]]:
    """All blocks, computed."""
    return [[np.asarray(block) for block in row] for row in H]


def largest(*arrays: np.ndarray) -> float:
    """The largest finite magnitude of all elements; 0 where there is none."""
    return max((float(np.abs(a[np.isfinite(a)]).max(initial=0)) for a in arrays), default=0.0)


def same(
    got: Any, want: Any, tolerance: float = 1e-10, *, scale: float | None = None, least: float = 0
) -> None:
    """Hold an array to another: shape, dtype, and elements relative to the largest wanted.

    Where a tensor of a framework is wanted, it has to be one. `scale` is the largest element of
    something of which both are a part; `least` is what the scale is at least, where derivatives
    that are zero come out as rounding errors.
    """
    if not isinstance(want, (np.ndarray, np.generic, lh.Hessian)):
        assert isinstance(got, type(want))
    got, want = numbers(got), numbers(want)
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    scale = max(largest(want) if scale is None else scale, least)
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * scale)


def same_blocks(got: Any, want: Any, tolerance: float = 1e-10, *, least: float = 1.0) -> None:
    """Hold all blocks, or what else stands in two containers, to each other: as `same`, by one scale."""
    got, want = leaves(got), [numbers(x) for x in leaves(want)]
    scale = largest(*want)
    for one, other in zip(got, want, strict=True):
        same(one, other, tolerance, scale=scale, least=least)


def same_as_differences(
    H: Any,
    function: Callable[..., Any],
    xs: Any,
    tolerance: float = 1e-7,
    step: float | None = None,
) -> None:
    """Hold each block to differences of the function in extended precision."""
    want = oracles.hessian(function, xs, step)
    for row, others in zip(H, want, strict=True):
        for block, other in zip(row, others, strict=True):
            assert oracles.close(block, other, tolerance)


def recorded(fresh: Callable[[Any], Any]) -> Callable[[Callable[..., Any], Any], Any]:
    """How `check_engine` gets a graph: `fresh` makes of an array an x that is recorded."""

    def graph(function: Callable[..., Any], xs: Any) -> tuple[Any, Any]:
        if isinstance(xs, tuple):
            inputs = tuple(map(fresh, xs))
            return function(*inputs), inputs
        x = fresh(xs)
        return function(x), x

    return graph
