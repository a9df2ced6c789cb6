"""CasADi: a symbolic graph of scalars and its sparse Hessian, built by the first call."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import casadi
import numpy

from tests.benchmarks.peers import Answer, Call
from tests.benchmarks.questions import Question
from tests.benchmarks.workloads import Array, Workload

np = SimpleNamespace(
    sum=lambda x: casadi.sum1(casadi.vec(x)), exp=casadi.exp, log=casadi.log, sin=casadi.sin,
    sqrt=casadi.sqrt, tanh=casadi.tanh,
)  # fmt: skip


def _constant(a: Array) -> Any:
    """Index arrays are lists to CasADi, matrices its own."""
    return a.tolist() if a.dtype.kind == "i" else casadi.DM(a)


def prepare(work: Workload, question: Question) -> Call:
    data = tuple(_constant(a) for a in work.data)
    shape = work.xs[0].shape
    evaluate: Any = None
    places: Any = None

    def build() -> None:
        nonlocal evaluate, places
        x = casadi.SX.sym("x", work.xs[0].size)
        # Its matrices run along columns, NumPy's along rows.
        shaped = x if len(shape) == 1 else casadi.reshape(x, shape[1], shape[0]).T
        H, _ = casadi.hessian(work.loss(np, data, shaped), x)
        evaluate = casadi.Function("hessian", [x], [H])
        rows, columns = H.sparsity().get_triplet()
        places = numpy.array(rows), numpy.array(columns)

    def call() -> Answer:
        if evaluate is None:
            build()
        H = evaluate(work.xs[0].reshape(-1))
        if question.kind == "full":
            return [numpy.array(H)]
        return [*places, numpy.array(H.nonzeros())]

    return call
