"""lazyhess, from plain arrays to plain arrays."""

from __future__ import annotations

from collections.abc import Callable
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
        blocks = H if isinstance(H, tuple) else ((H,),)
        made = read(blocks, self.work, self.question, self.vector)
        self.products = blocks[0][0].cache_info().products
        return made

    def _once(self, xs: Any, batch: int | None) -> tuple[Any, Any]:
        if self.recorded is None:
            variables = tuple(lh.variable(x) for x in self.work.xs)
            y = self.work.function(np, *variables)
            if batch is None:
                lh.gradient(y, variables)  # linearizes
            self.recorded = y, variables if isinstance(xs, tuple) else variables[0]
        made: tuple[Any, Any] = self.recorded
        return made


def read(H: Any, work: Workload, question: Question, vector: Any = None) -> Any:
    """The answer to a question, of the blocks of the Hessian."""
    kind, index = question.kind, question.index(work)
    first = H[0][0]
    if kind == "full" or kind == "samples":
        return [np.asarray(block) for row in H for block in row]
    if kind == "rows":
        return [block[index] for block in H[0]]
    if kind == "columns":
        return [row[0][..., *index] for row in H]
    if kind == "sparse":
        return list(first.tocoo())
    if kind == "sample":
        return [first[first.shape[0] // 2]]
    return [first @ vector]


def on(hessian: Callable[[Any, int | None], Any], work: Workload, question: Question) -> Call:
    """The call for a question to the Hessian of a framework's objects, by its batch axis."""
    vector = question.vector(work) if question.kind == "product" else None
    batch = 0 if question.kind in ("samples", "sample") else None

    def call() -> Answer:
        H = hessian(work.xs if len(work.xs) > 1 else work.xs[0], batch)
        blocks = H if isinstance(H, tuple) else ((H,),)
        return [np.asarray(part) for part in read(blocks, work, question, vector)]

    return call


def prepare(work: Workload, question: Question) -> Call:
    if question.kind == "gradient":
        return lambda: _gradients(work)
    if question.kind == "syrk":
        A = work.data[0]
        return lambda: [A.T @ A]
    return Asked(work, question)


def _gradients(work: Workload) -> Answer:
    return list(lh.gradient(lambda *xs: work.function(np, *xs), work.xs))
