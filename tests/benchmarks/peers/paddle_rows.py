"""Paddle's Hessian, which is indexed as ours, and evaluated by rows of one vector."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy
import paddle

from tests.benchmarks.peers import Answer, Call, flat
from tests.benchmarks.questions import Question
from tests.benchmarks.workloads import Workload

paddle.set_device("cpu")
# Gradients of compositions: many of its own have no third derivative, which its Hessian asks for.
paddle.framework.core.set_prim_eager_enabled(True)


def _sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return paddle.sum(x, axis=axis, keepdim=keepdims)


def _slogdet(a: Any) -> Any:
    both = paddle.linalg.slogdet(a)
    return both[0], both[1]


np = SimpleNamespace(
    sum=_sum,
    max=lambda x, axis, keepdims=False: paddle.max(x, axis=axis, keepdim=keepdims),
    maximum=lambda a, b: paddle.nn.functional.relu(a) if b == 0 else paddle.maximum(a, b),
    # Of 0 and z, which is what the workloads ask; softplus cannot be differentiated often enough.
    logaddexp=lambda zero, z: paddle.log(1 + paddle.exp(z)),
    exp=paddle.exp,
    log=paddle.log,
    sin=paddle.sin,
    sqrt=paddle.sqrt,
    tanh=paddle.tanh,
    einsum=paddle.einsum,
    linalg=SimpleNamespace(solve=paddle.linalg.solve, slogdet=_slogdet),
)


def prepare(work: Workload, question: Question) -> Call:
    data = tuple(paddle.to_tensor(numpy.ascontiguousarray(a)) for a in work.data)
    batched = question.kind == "samples"

    def f(*xs: Any) -> Any:
        return work.loss(np, data, *xs)

    function = f if batched else flat.of_vector(f, work)

    def hessian() -> Any:
        x = paddle.to_tensor(work.xs[0] if batched else flat.vector(work), stop_gradient=False)
        return paddle.autograd.hessian(function(x), x, batch_axis=0 if batched else None)

    if question.kind == "full":
        return lambda: flat.blocks(hessian()[:].numpy(), work)
    if question.kind == "samples":
        return lambda: [hessian()[:].numpy()]
    at = question.positions(work)
    span = slice(int(at[0]), int(at[-1]) + 1)

    def rows() -> Answer:
        return flat.rows(hessian()[span, :].numpy(), work)

    return rows
