"""lazyhess on objects of torch."""

from __future__ import annotations

from typing import Any

import torch

import lazyhess as lh
from tests.benchmarks.peers import Call
from tests.benchmarks.peers.ours import on
from tests.benchmarks.peers.torch_numpy import constants, np
from tests.benchmarks.questions import Question
from tests.benchmarks.workloads import Workload


def prepare(work: Workload, question: Question) -> Call:
    data = constants(work)

    def hessian(xs: Any, batch: int | None) -> Any:
        several = isinstance(xs, tuple)
        tensors = tuple(map(torch.from_numpy, xs)) if several else torch.from_numpy(xs)
        return lh.hessian(lambda *xs: work.loss(np, data, *xs), tensors, batch)

    return on(hessian, work, question)
