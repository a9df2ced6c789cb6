"""Autograd, which wraps NumPy as lazyhess does; its Hessian is one backward pass for each row."""

from __future__ import annotations

from typing import Any

import autograd
import autograd.numpy as anp

from tests.benchmarks.peers import Answer, Call, flat
from tests.benchmarks.questions import Question
from tests.benchmarks.workloads import Workload


def prepare(work: Workload, question: Question) -> Call:
    def f(*xs: Any) -> Any:
        return work.loss(anp, work.data, *xs)

    function = flat.of_vector(f, work)
    gradient = autograd.grad(function)
    if question.kind == "full":
        hessian = autograd.hessian(function)
        return lambda: flat.blocks(hessian(flat.vector(work)), work)
    if question.kind == "gradient":
        return lambda: [gradient(flat.vector(work)).reshape(work.xs[0].shape)]
    if question.kind == "product":
        v = question.vector(work).reshape(-1)
        product = autograd.hessian_vector_product(function)
        return lambda: [product(flat.vector(work), v).reshape(work.xs[0].shape)]

    at = question.positions(work)

    def rows() -> Answer:
        picked = autograd.jacobian(lambda x: gradient(x)[at])
        return flat.rows(picked(flat.vector(work)), work)

    return rows
