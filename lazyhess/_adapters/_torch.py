"""torch: tensors with a graph, and callables on tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from lazyhess._adapters.base import (
    FrameworkEngine,
    Problem,
    Products,
    by_output,
    refuse_interacting,
)
from lazyhess._request import Request
from lazyhess._tangents import Array, Ids, Shape
from lazyhess._trees import leaves, rebuild


class Tensors:
    """Operations on tensors, see `lazyhess._arrays.Arrays`."""

    def __init__(self, device: Any) -> None:
        self.device = device

    def numpy(self, array: Any) -> Array:
        made: Array = array.detach().cpu().numpy()
        return made

    def own(self, array: Array, dtype: Any) -> Any:
        return torch.tensor(array, dtype=dtype, device=self.device)

    def zeros(self, shape: Shape, dtype: Any) -> Any:
        return torch.zeros(shape, dtype=dtype, device=self.device)

    def concatenate(self, parts: Sequence[Any]) -> Any:
        return torch.cat(list(parts))

    def take(self, array: Any, ids: Ids, axis: int) -> Any:
        return array.index_select(axis, torch.tensor(ids, device=self.device))

    def points(self, array: Any, rows: Ids, columns: Ids) -> Any:
        at = (torch.tensor(ids, device=self.device) for ids in (rows, columns))
        return array[tuple(at)]

    def reshape(self, array: Any, shape: Shape) -> Any:
        return array.reshape(shape)

    def transpose(self, array: Any, axes: Sequence[int]) -> Any:
        return array.permute(tuple(axes))

    def nbytes(self, array: Any) -> int:
        return int(array.nbytes)

    def itemsize(self, dtype: Any) -> int:
        return int(dtype.itemsize)


class Graph(Products):
    """Derivatives of a tensor with a graph, by differentiating its gradient."""

    def __init__(self, root: Any, xs: Sequence[Any], create_graph: bool) -> None:
        self.root, self.xs = root, list(xs)
        self.create_graph = create_graph
        self.arrays = Tensors(root.device)
        self._gradients: dict[int | None, list[Any]] = {}

    def value(self) -> Any:
        return self.root if self.create_graph else self.root.detach()

    def _all(self, output: int | None) -> list[Any]:
        """The gradients by all xs, with their graph; None where there is none."""
        found = self._gradients.get(output)
        if found is None:
            root = self.root.sum() if output is None else self.root.reshape(-1)[output]
            found = list(torch.autograd.grad(root, self.xs, create_graph=True, allow_unused=True))
            self._gradients[output] = found
        return found

    def gradient(self, i: int, output: int | None) -> Any:
        found = self._all(output)[i]
        if found is None:
            return torch.zeros_like(self.xs[i])
        return found if self.create_graph else found.detach().clone()

    def weighted(self, weights: Array) -> list[Any]:
        cotangent = self.arrays.own(weights, self.root.dtype)
        made = torch.autograd.grad(
            self.root, self.xs, cotangent, retain_graph=True, allow_unused=True
        )
        return [torch.zeros_like(x) if g is None else g for x, g in zip(self.xs, made, strict=True)]

    def products(
        self, i: int, tangents: Any, columns: Sequence[int], outputs: Ids | None
    ) -> dict[int, Any]:
        return by_output(
            outputs,
            columns,
            tangents,
            self.arrays,
            lambda part, output: self._products(i, part, columns, output),
        )

    def _products(
        self, i: int, tangents: Any, columns: Sequence[int], output: int | None
    ) -> dict[int, Any]:
        first, xs = self._all(output)[i], [self.xs[j] for j in columns]
        made: Sequence[Any] = [None] * len(xs)
        if first is not None and first.requires_grad:
            made = torch.autograd.grad(
                first,
                xs,
                tangents,
                retain_graph=True,
                create_graph=self.create_graph,
                allow_unused=True,
                is_grads_batched=True,
            )
        count = len(tangents)
        return {
            j: x.new_zeros((count, *x.shape)) if part is None else part
            for j, x, part in zip(columns, xs, made, strict=True)
        }


class Torch:
    """See `lazyhess._adapters.base.Adapter`."""

    def problem(self, request: Request) -> Problem:
        ys, xs = request.ys, request.xs
        aux: Any = None
        again: Callable[[Any], Problem] | None = None
        if callable(ys) and not isinstance(ys, torch.Tensor):
            args = xs if type(xs) in (tuple, list) else (xs,)
            args = rebuild(args, lambda x: x.detach().clone().requires_grad_())
            ys = ys(*args)
            xs = args if type(xs) in (tuple, list) else args[0]
        inputs = [x for _, x in leaves(xs)]
        graph = Graph(ys, inputs, request.create_graph)
        engine = FrameworkEngine(
            graph,
            [(tuple(x.shape), x.dtype) for x in inputs],
            tuple(ys.shape),
            batch=None if request.batch_axis is None else [request.batch_axis] * len(inputs),
            each=request.reduction == "none",
            create_graph=request.create_graph,
            block_size=request.block_size,
        )
        if request.batch_axis is not None:
            refuse_interacting(engine, request.batch_axis)
        return Problem(engine, xs, rebuild, aux, again)

    def gradient(self, request: Request) -> Any:
        problem = self.problem(request)
        numbers = iter(range(len(problem.engine.dtypes)))
        made = problem.rebuild(problem.tree, lambda _: problem.engine.gradient(next(numbers)))
        return (made, problem.aux) if request.has_aux else made


ADAPTER = Torch()
_ = np
