"""One source through NumPy and jax.numpy: all blocks, and the gradient, compared."""

from __future__ import annotations

import functools
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


def measure(want: Any, lower: Any) -> float:
    """What differences between derivatives are relative to: the largest element of them.

    But no less than 1e-4 of the derivatives of lower order and the value. A true Hessian of zero,
    of ``inv(inv(x))`` say, comes out as rounding errors, which no two libraries share.
    """
    return max(
        largest(*jax.tree_util.tree_leaves(want)), 1e-4 * largest(*jax.tree_util.tree_leaves(lower))
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
    """``function(np, *xs)``: value, gradient and every block of the Hessian against JAX."""
    found, _ = trusted(disagreements, function, *xs, tolerance=tolerance)
    for part, gap in found.items():
        assert gap <= (max(1e-12, tolerance) if part == "value" else tolerance), (part, gap)


Evaluate = Callable[..., Any]
Disagreements = dict[str, float]


def compiled(function: Function, *xs: Any) -> Any:
    return jax.jit(function)(*xs)


def step_by_step(function: Function, *xs: Any) -> Any:
    return function(*xs)


@functools.cache
def _quick_options() -> dict[str, Any] | None:
    options = {"xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": 1}
    try:
        jax.jit(lambda x: x + 1, compiler_options=options)(1.0)
    except jax.errors.JaxRuntimeError:  # another JAX, which does not know them
        return None
    return options


def quickly_compiled(function: Function, *xs: Any) -> Any:
    """In a third of the time, but not to be relied on alone."""
    return jax.jit(function, compiler_options=_quick_options())(*xs)


# JAX 0.10.2 as quickly_compiled() loses terms of the Hessian of hypot, and it refuses to compile some
# Fourier transforms of matrices in either way. So these are tried in turn.
WAYS: tuple[Evaluate, ...] = (quickly_compiled, compiled, step_by_step)


class RefusedError(Exception):
    """JAX itself raised."""


def trusted(
    check: Callable[..., Disagreements], function: Function, *xs: Any, tolerance: float = 1e-9
) -> tuple[Disagreements, str]:
    """What one of the following finds, and in which way JAX was asked.

    It counts as refused only where JAX raised in every way: a disagreement in one of them stays one
    until another way agrees.
    """
    found: Disagreements | None = None
    last, refusal = "", RefusedError()
    for way in WAYS:

        def evaluate(*args: Any, way: Evaluate = way) -> Any:
            try:
                return jax.block_until_ready(way(*args))  # else it raises later
            except Exception as error:
                raise RefusedError(f"{type(error).__name__}: {str(error)[:100]}") from error

        try:
            found, last = check(function, *xs, evaluate=evaluate), way.__name__
        except RefusedError as error:
            refusal = error
            continue
        if max(found.values()) <= tolerance:
            break
    if found is None:
        raise refusal
    return found, last


def disagreements(function: Function, *xs: Any, evaluate: Evaluate = compiled) -> Disagreements:
    """The relative differences from JAX in the value, the gradient and the blocks of the Hessian.

    They are relative to the largest element of all blocks together, and of all gradients, as
    `measure` says; the value's to 1 + its magnitude.
    """
    xs = tuple(np.asarray(x) for x in xs)
    numbers = tuple(range(len(xs)))

    def theirs(*v: Any) -> Any:
        return function(jnp, *v)

    def slopes(*v: Any) -> Any:
        value, slope = jax.value_and_grad(theirs, numbers)(*v)
        return slope, (value, slope)

    # What jax.hessian does, with the value and the gradient out of the same pass.
    want, (value, slope) = evaluate(jax.jacfwd(slopes, numbers, has_aux=True), *xs)
    variables = tuple(lh.variable(x) for x in xs)
    y = function(np, *variables)
    found = {
        "value": difference(y.value, value, 1 + abs(float(value))),
    }
    for i, got in enumerate(lh.gradient(y, variables)):
        found[f"gradient {i}"] = difference(got, slope[i], measure(slope, value))
    scale = measure(want, (value, slope))
    H = lh.hessian(y, variables)
    apart = lh.hessian(y, variables, cache=None, block_size=2)
    for i in numbers:
        for j in numbers:
            assert H[i][j].dtype == xs[i].dtype
            # A part by itself first: rows and columns reach by different plans.
            part = (..., *(slice(-1, None),) * xs[j].ndim)
            found[f"part of {i}, {j}"] = difference(apart[i][j][part], want[i][j][part], scale)
            found[f"block {i}, {j}"] = difference(H[i][j], want[i][j], scale)
    return found


def disagreements_of_samples(
    function: Function, *xs: Any, evaluate: Evaluate = compiled
) -> Disagreements:
    """The same of the Hessian per sample, where JAX sees the sum over all samples."""
    numbers = tuple(range(len(xs)))

    def total(*v: Any) -> Any:
        return jnp.sum(function(jnp, *v))

    whole = evaluate(jax.hessian(total, numbers), *xs)
    variables = tuple(lh.variable(x) for x in xs)
    y = function(np, *variables)
    H = lh.hessian(y, variables, 0)
    scale = measure(whole, (y.value, lh.gradient(np.sum(y), variables)))
    found = {}
    for i in numbers:
        for j in numbers:
            own = np.einsum("bibj->bij", whole[i][j])
            found[f"sample of {i}, {j}"] = difference(H[i][j][-1], own[-1], scale)
            found[f"block {i}, {j}"] = difference(H[i][j], own, scale)
    return found


def disagreements_of_third_order(
    function: Function, *xs: Any, evaluate: Evaluate = compiled
) -> Disagreements:
    """The gradient of a weighted sum of all blocks, ``u H v`` with fixed vectors u and v."""
    numbers = tuple(range(len(xs)))
    u, v = (tuple(np.sin(k + 2.0 + np.arange(x.size)).reshape(x.shape) for x in xs) for k in (0, 9))

    def theirs(*z: Any) -> Any:
        return function(jnp, *z)

    def bilinear(*z: Any) -> Any:
        return jax.jvp(lambda *z: jax.jvp(theirs, z, v)[1], z, u)[1]

    want = evaluate(jax.grad(bilinear, numbers), *xs)
    variables = tuple(lh.variable(x) for x in xs)
    y = function(np, *variables)
    H = lh.hessian(y, variables, create_graph=True)
    blocks = [[block[...] for block in row] for row in H]
    mixed = [
        np.sum(np.multiply.outer(a, b) * block)
        for a, row in zip(u, blocks, strict=True)
        for b, block in zip(v, row, strict=True)
    ]
    lower = [block.value for row in blocks for block in row], lh.gradient(y, variables), y.value
    scale = measure(want, lower)
    got = lh.gradient(sum(mixed), variables)
    return {
        f"third order in {k}": difference(a, b, scale)
        for k, (a, b) in enumerate(zip(got, want, strict=True))
    }
