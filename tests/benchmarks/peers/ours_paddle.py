"""lazyhess on objects of Paddle."""

from __future__ import annotations

from typing import Any

import numpy
import paddle

import lazyhess as lh
from tests.benchmarks.peers import Call
from tests.benchmarks.peers.ours import on
from tests.benchmarks.peers.paddle_rows import np
from tests.benchmarks.questions import Question
from tests.benchmarks.workloads import Workload


def prepare(work: Workload, question: Question) -> Call:
    data = tuple(paddle.to_tensor(numpy.ascontiguousarray(a)) for a in work.data)

    def hessian(xs: Any, batch: int | None) -> Any:
        several = isinstance(xs, tuple)
        tensors = tuple(map(paddle.to_tensor, xs)) if several else paddle.to_tensor(xs)
        return lh.hessian(lambda *xs: work.loss(np, data, *xs), tensors, batch)

    return on(hessian, work, question)
