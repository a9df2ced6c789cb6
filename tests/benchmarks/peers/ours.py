"""lazyhess, from plain arrays to plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

import lazyhess as lh
from tests.benchmarks.peers import Answer, Call
from tests.benchmarks.questions import Question
from tests.benchmarks.workloads import Workload


class Asked:
    """The call for a question; `products` counts those of the last one."""

    def __init__(self, work: Workload, question: Question) -> None:
        self.work = work
        self.question = question
        self.products: int | None = None
        self.recorded: Any = None
        self.vector = question.vector(work) if question.kind == "product" else None

    def __call__(self) -> Answer:
        kind, mode = self.question.kind, self.question.mode
        batch = 0 if kind in ("samples", "sample") else None
        xs: Any = self.work.xs if len(self.work.xs) > 1 else self.work.xs[0]
        if mode == "recorded":
            H = lh.hessian(*self._once(xs, batch), batch)
        elif mode == "again":
            if self.recorded is None:
                self.recorded = lh.hessian(lambda *xs: self.work.function(np, *xs), xs)
            if not hasattr(self.recorded, "at"):
                raise NotImplementedError("no Hessian.at in this version")
            H = self.recorded.at(xs.copy())
        else:
            H = lh.hessian(lambda *xs: self.work.function(np, *xs), xs, batch)
        return self._read(H if isinstance(H, tuple) else ((H,),))

    def _once(self, xs: Any, batch: int | None) -> tuple[Any, Any]:
        if self.recorded is None:
            variables = tuple(lh.variable(x) for x in self.work.xs)
            y = self.work.function(np, *variables)
            if batch is None:
                lh.gradient(y, variables)  # linearizes
            self.recorded = y, variables if isinstance(xs, tuple) else variables[0]
        made: tuple[Any, Any] = self.recorded
        return made

    def _read(self, H: Any) -> Answer:
        kind, index = self.question.kind, self.question.index(self.work)
        first = H[0][0]
        if kind == "full" or kind == "samples":
            made = [np.asarray(block) for row in H for block in row]
        elif kind == "rows":
            made = [block[index] for block in H[0]]
        elif kind == "columns":
            made = [row[0][..., *index] for row in H]
        elif kind == "sparse":
            made = list(first.tocoo())
        elif kind == "sample":
            made = [first[first.shape[0] // 2]]
        else:
            made = [first @ self.vector]
        self.products = first.cache_info().products
        return made


def prepare(work: Workload, question: Question) -> Call:
    if question.kind == "gradient":
        return lambda: _gradients(work)
    if question.kind == "syrk":
        A = work.data[0]
        return lambda: [A.T @ A]
    return Asked(work, question)


def _gradients(work: Workload) -> Answer:
    return list(lh.gradient(lambda *xs: work.function(np, *xs), work.xs))
