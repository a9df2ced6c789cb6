"""JAX on the CPU, jitted; what compiles is the first call."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.benchmarks.peers import Answer, Call
from tests.benchmarks.questions import Question
from tests.benchmarks.workloads import Workload

jax.config.update("jax_enable_x64", True)


def prepare(work: Workload, question: Question) -> Call:
    data = tuple(jnp.asarray(a) for a in work.data)
    seeds = question.seeds(work) if question.kind in ("rows", "columns") else None
    argnums = tuple(range(len(work.xs)))

    def f(*xs: Any) -> Any:
        return work.loss(jnp, data, *xs)

    gradient = jax.grad(f, argnums)

    def along(xs: Any, v: Any) -> Any:
        """The gradient's change along v in the first x: rows, as the Hessian is symmetric."""
        return jax.jvp(lambda x: gradient(x, *xs[1:]), (xs[0],), (v,))[1]

    def one(x: Any) -> Any:
        return f(x[None])[0]

    asked: Any
    if question.kind == "full":
        asked = jax.hessian(f, argnums)
    elif question.kind in ("rows", "columns"):
        out = 0 if question.kind == "rows" else -1

        def asked(*xs: Any) -> Any:
            return jax.vmap(lambda v: along(xs, v), out_axes=out)(seeds)

    elif question.kind == "samples":
        asked = jax.vmap(jax.hessian(one))
    elif question.kind == "product":
        v = question.vector(work)

        def asked(*xs: Any) -> Any:
            return along(xs, v)[0]

    else:
        asked = gradient
    compiled = jax.jit(asked)

    def call() -> Answer:
        made = jax.block_until_ready(compiled(*work.xs))
        return [np.asarray(leaf) for leaf in jax.tree_util.tree_leaves(made)]

    return call
