"""PyTorch's transforms: ``torch.func.hessian``, and rows by ``vmap`` of ``jvp`` of ``grad``."""

from __future__ import annotations

from typing import Any

import torch
from torch.func import grad, hessian, jvp, vmap

from tests.benchmarks.peers import Answer, Call
from tests.benchmarks.peers.torch_numpy import constants, inputs, np
from tests.benchmarks.questions import Question
from tests.benchmarks.workloads import Workload


def prepare(work: Workload, question: Question) -> Call:
    data = constants(work)
    argnums = tuple(range(len(work.xs)))
    seeds: Any = None
    if question.kind in ("rows", "columns"):
        seeds = torch.from_numpy(question.seeds(work))

    def f(*xs: Any) -> Any:
        return work.loss(np, data, *xs)

    gradient = grad(f, argnums)

    def along(xs: Any, v: Any) -> Any:
        return jvp(lambda x: gradient(x, *xs[1:]), (xs[0],), (v,))[1]

    asked: Any
    if question.kind == "full":
        asked = hessian(f, argnums)
    elif question.kind in ("rows", "columns"):
        out = 0 if question.kind == "rows" else -1

        def asked(*xs: Any) -> Any:
            return vmap(lambda v: along(xs, v), out_dims=out)(seeds)

    elif question.kind == "samples":
        asked = vmap(hessian(lambda x: f(x[None])[0]))
    elif question.kind == "product":
        v = torch.from_numpy(question.vector(work))

        def asked(*xs: Any) -> Any:
            return along(xs, v)[0]

    else:
        asked = gradient

    def call() -> Answer:
        made = asked(*inputs(work))
        return [leaf.numpy() for leaf in torch.utils._pytree.tree_leaves(made)]

    return call
