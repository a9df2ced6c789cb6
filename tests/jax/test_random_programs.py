"""Random recorded programs, every block against jax.hessian."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, note

import lazyhess as lh
from tests.jax.compare import compare, difference, largest
from tests.programs import PROGRAMS, Program, batches, programs


@given(programs())
@PROGRAMS
def test_random_programs(program: Program) -> None:
    note(repr(program))
    compare(program, *program.xs)


@given(batches())
@PROGRAMS
def test_random_batches(program: Program) -> None:
    """Each sample alone is what JAX sees; ours sees the batch."""
    note(repr(program))
    numbers = tuple(range(len(program.xs)))

    def total(*xs: Any) -> Any:
        return jnp.sum(program(jnp, *xs))

    whole = jax.jit(jax.hessian(total, numbers))(*program.xs)
    xs = tuple(lh.variable(x) for x in program.xs)
    H = lh.hessian(program(np, *xs), xs, 0)
    scale = largest(*jax.tree_util.tree_leaves(whole))
    for i in numbers:
        for j in numbers:
            own = np.einsum("bibj->bij", whole[i][j])
            assert difference(H[i][j][-1], own[-1], scale) <= 1e-9
            assert difference(H[i][j], own, scale) <= 1e-9
