"""PyTorch's older Hessian: rows by a vectorized second backward pass."""

from __future__ import annotations

from typing import Any

import torch

from tests.benchmarks.peers import Answer, Call
from tests.benchmarks.peers.torch_numpy import constants, inputs, np
from tests.benchmarks.questions import Question
from tests.benchmarks.workloads import Workload


def prepare(work: Workload, question: Question) -> Call:
    data = constants(work)

    def f(*xs: Any) -> Any:
        return work.loss(np, data, *xs)

    def call() -> Answer:
        made = torch.autograd.functional.hessian(f, inputs(work), vectorize=True)
        return [block.numpy() for row in made for block in row]

    return call
