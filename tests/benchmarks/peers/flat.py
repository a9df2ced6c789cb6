"""For frameworks that know one vector only: all inputs in one, and its Hessian in blocks."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any

import numpy

from tests.benchmarks.peers import Answer
from tests.benchmarks.workloads import Array, Workload


def vector(work: Workload) -> Array:
    return numpy.concatenate([x.reshape(-1) for x in work.xs])


def of_vector(function: Callable[..., Any], work: Workload) -> Callable[[Any], Any]:
    """The function of the vector; slices and reshapes are the framework's own."""
    shapes = [x.shape for x in work.xs]
    ends = list(accumulate(x.size for x in work.xs))

    def made(flat: Any) -> Any:
        if len(shapes) == 1:
            return function(flat if len(shapes[0]) == 1 else flat.reshape(shapes[0]))
        parts = zip([0, *ends], ends, shapes, strict=False)
        return function(*(flat[a:b].reshape(shape) for a, b, shape in parts))

    return made


def blocks(H: Array, work: Workload) -> Answer:
    """The whole matrix as blocks, which are views."""
    ends = list(accumulate(x.size for x in work.xs))
    parts = list(zip([0, *ends], ends, (x.shape for x in work.xs), strict=False))
    return [H[a:b, c:d].reshape(m + n) for a, b, m in parts for c, d, n in parts]


def rows(H: Array, work: Workload) -> Answer:
    """Some rows as blocks."""
    ends = list(accumulate(x.size for x in work.xs))
    parts = zip([0, *ends], ends, (x.shape for x in work.xs), strict=False)
    return [H[:, a:b].reshape((len(H), *shape)) for a, b, shape in parts]
