"""The functions of NumPy that the workloads call, in PyTorch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy
import torch

from tests.benchmarks.workloads import Workload


def _as_tensors(function: Any) -> Any:
    """Of numbers too, which torch's functions of two tensors refuse."""

    def made(a: Any, b: Any) -> Any:
        dtype = torch.float64
        return function(torch.as_tensor(a, dtype=dtype), torch.as_tensor(b, dtype=dtype))

    return made


def _sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return torch.sum(x) if axis is None else torch.sum(x, dim=axis, keepdim=keepdims)


np = SimpleNamespace(
    sum=_sum,
    # Half of a maximum of equals goes to each, as NumPy's users expect, in amax alone.
    max=lambda x, axis, keepdims=False: torch.amax(x, dim=axis, keepdim=keepdims),
    maximum=lambda a, b: torch.relu(a) if b == 0 else torch.maximum(a, b),
    logaddexp=_as_tensors(torch.logaddexp),
    exp=torch.exp,
    log=torch.log,
    sin=torch.sin,
    sqrt=torch.sqrt,
    tanh=torch.tanh,
    einsum=torch.einsum,
    linalg=SimpleNamespace(solve=torch.linalg.solve, slogdet=torch.linalg.slogdet),
)


def constants(work: Workload) -> tuple[Any, ...]:
    return tuple(torch.from_numpy(numpy.ascontiguousarray(a)) for a in work.data)


def inputs(work: Workload) -> tuple[Any, ...]:
    return tuple(torch.from_numpy(x) for x in work.xs)
