"""PyTorch's older Hessian, and rows by hand: a second backward pass of several cotangents."""

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

    def rows() -> Answer:
        xs = tuple(x.requires_grad_() for x in inputs(work))
        gradient = torch.autograd.grad(f(*xs), xs, create_graph=True)[0]
        seeds = torch.from_numpy(question.seeds(work))
        made = torch.autograd.grad(gradient, xs, seeds, is_grads_batched=True)
        return [block.numpy() for block in made]

    return call if question.kind == "full" else rows
