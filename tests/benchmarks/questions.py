"""What is asked of a workload: ``[recorded |again ]KIND[/COUNT]``, as ``recorded rows/3``.

========  ========================================================================================
full      all blocks of the Hessian
rows      COUNT rows of the first x (5), all their columns; columns: the same, transposed
sparse    the nonzero elements: rows, columns, values
samples   one Hessian for each sample of a batch
sample    one of them
product   the Hessian times a vector
gradient  the gradient
syrk      none of these: NumPy's ``A.T @ A`` of the first constant, one symmetric rank-k update
========  ========================================================================================

From plain arrays to plain arrays, recording included. "recorded": of a function that is recorded
and linearized, nothing else known. "again": from the recorded graph, at new values. Both make no
difference to the peers, whose compiled functions do the same either way.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy

from tests.benchmarks.workloads import Array, Workload


@dataclass(frozen=True)
class Question:
    """A parsed question."""

    kind: str
    mode: str = ""  # "", "recorded" or "again"
    count: int = 5

    @classmethod
    def parse(cls, text: str) -> Question:
        *mode, rest = text.split()
        kind, _, count = rest.partition("/")
        return cls(kind, " ".join(mode), int(count or 5))

    def positions(self, work: Workload) -> Array:
        """Of the rows asked for, in the flattened first x: neighbours in the middle of it."""
        middle = work.xs[0].size // 2 // self.count * self.count
        return numpy.arange(middle, middle + self.count)

    def index(self, work: Workload) -> tuple[Any, ...]:
        """The same as a user writes it: a slice of a vector, one row of a matrix, index arrays."""
        shape, at = work.xs[0].shape, self.positions(work)
        if len(shape) == 1:
            return (slice(int(at[0]), int(at[-1]) + 1),)
        if prod(shape[1:]) == self.count:
            return (int(at[0]) // self.count, *(slice(None),) * (len(shape) - 1))
        return tuple(numpy.unravel_index(at, shape))

    def seeds(self, work: Workload) -> Array:
        """Unit vectors in the first x for these rows."""
        x = work.xs[0]
        made = numpy.zeros((self.count, x.size))
        made[numpy.arange(self.count), self.positions(work)] = 1
        return made.reshape((self.count, *x.shape))

    def vector(self, work: Workload) -> Array:
        """What the Hessian by the first x is multiplied with."""
        return numpy.asarray(numpy.random.default_rng(7).normal(size=work.xs[0].shape))
