"""lazyhess on objects of JAX."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

import lazyhess as lh
from tests.benchmarks.peers import Call
from tests.benchmarks.peers.ours import on
from tests.benchmarks.questions import Question
from tests.benchmarks.workloads import Workload

jax.config.update("jax_enable_x64", True)


def prepare(work: Workload, question: Question) -> Call:
    data = tuple(jnp.asarray(a) for a in work.data)
    made: list[Any] = []

    def hessian(xs: Any, batch: int | None) -> Any:
        """Of the function at first, then at the next point, as a loop would have it."""
        arrays = tuple(map(jnp.asarray, xs)) if isinstance(xs, tuple) else jnp.asarray(xs)
        if made:
            H: Any = made[0]
            while isinstance(H, tuple):
                H = H[0]
            return H.at(*arrays) if isinstance(xs, tuple) else H.at(arrays)
        made.append(lh.hessian(lambda *xs: work.loss(jnp, data, *xs), arrays, batch))
        return made[0]

    return on(hessian, work, question)
