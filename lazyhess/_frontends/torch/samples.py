"""Per-sample derivatives by tensors that all samples share, each at the cost of one sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from lazyhess._frontends.torch.products import PASS, Graph, out_of_memory, recording
from lazyhess._indices import Ids


class Samples(Graph):
    """A function whose outputs are those of samples, some of its inputs shared by all of them.

    In a graph of the whole batch a row of one sample costs what the batch costs. So the function is
    called with one sample, for many rows at once (`torch.func.vmap`), where it can be: it must not
    use other arrays of the batch, nor what vmap does not know. Else the graph does it.

    Parameters
    ----------
    root, xs, create_graph
        As for `Graph`.
    function : callable
        From a tensor for each x to the output.
    axes : sequence of int or None
        The batch axis of each x.
    """

    def __init__(
        self,
        root: Any,
        xs: Sequence[Any],
        create_graph: bool,
        function: Callable[[list[Any]], Any],
        axes: Sequence[int | None],
    ) -> None:
        super().__init__(root, xs, create_graph)
        self.function, self.axes = function, list(axes)
        self._alone: bool | None = None  # whether one sample can be evaluated alone

    def at_once(self, i: int) -> int:
        most = super().at_once(i)
        if self._can_alone():
            largest = self._survey[0] // max(self.root.numel(), 1)
            most = max(most, PASS * torch.get_num_threads() // max(largest, 1))
        return most

    def reach(self) -> dict[int, int]:
        values = super().reach()
        if self._can_alone():  # a pass is of one sample
            samples = max(self.root.numel(), 1)
            values = {xs: size // samples for xs, size in values.items()}
        return values

    def _one(self, *xs: Any) -> Any:
        """The output of one sample, whose xs come without their batch axis."""
        batches = [
            x if axis is None else x.unsqueeze(axis) for x, axis in zip(xs, self.axes, strict=True)
        ]
        return self.function(batches).reshape(())

    def _can_alone(self) -> bool:
        """Whether samples that are evaluated alone have the values they have in the batch."""
        if self._alone is None:
            xs = [x.detach() for x in self.xs]
            try:
                with torch.no_grad():
                    values = torch.func.vmap(self._one, tuple(self.axes))(*xs)
            except Exception:  # what vmap cannot run is done in the batch
                self._alone = False
            else:
                root = self.root.detach().reshape(-1)
                bound = torch.finfo(root.dtype).eps ** 0.5
                self._alone = torch.allclose(values, root, bound, bound, equal_nan=True)
        return self._alone

    def products(
        self, i: int, tangents: Any, columns: Sequence[int], outputs: Ids | None
    ) -> dict[int, Any]:
        if outputs is not None and len(outputs) and self._can_alone():
            try:
                return self._by_pairs(i, tangents, columns, outputs)
            except Exception as error:  # the graph says it better, if it cannot either
                if out_of_memory(error):
                    raise
                self._alone = False
        return super().products(i, tangents, columns, outputs)

    def _by_pairs(
        self, i: int, tangents: Any, columns: Sequence[int], outputs: Ids
    ) -> dict[int, Any]:
        """For each tangent and its output the product of that sample alone.

        Every pair has a copy of its own of each x, so that one gradient of the sum of all has the
        gradients of all. (Derivatives inside of vmap, `torch.func.grad`, are wrong for layers that
        normalize, in torch 2.13.)
        """
        samples = torch.from_numpy(np.asarray(outputs, np.int64)).to(tangents.device)
        count = torch.arange(len(samples), device=tangents.device)
        points, axis = [], self.axes[i]
        with recording():
            for j, (x, batch) in enumerate(zip(self.xs, self.axes, strict=True)):
                x = x if self.create_graph else x.detach()
                if batch is not None:
                    x = x.movedim(batch, 0)[samples]
                elif j == i or j in columns:
                    x = x.expand(len(samples), *x.shape).clone()
                if (j == i or j in columns) and not x.requires_grad:
                    x.requires_grad_()
                points.append(x)
            if axis is not None:
                tangents = tangents.movedim(axis + 1, 1)[count, samples]
            places = tuple(
                0 if j == i or j in columns or batch is not None else None
                for j, batch in enumerate(self.axes)
            )
            values = torch.func.vmap(self._one, places)(*points)
            rows: Sequence[Any] = [None] * len(columns)
            (first,) = torch.autograd.grad(
                values.sum(), points[i], create_graph=True, allow_unused=True
            )
            if first is not None and first.requires_grad:
                rows = torch.autograd.grad(
                    first,
                    [points[j] for j in columns],
                    tangents,
                    create_graph=self.create_graph,
                    allow_unused=True,
                )
        blocks = {}
        for j, row in zip(columns, rows, strict=True):
            axis, x = self.axes[j], self.xs[j]
            if row is None:
                row = x.new_zeros((len(samples), *x.shape))
            elif axis is not None:
                whole = x.new_zeros((len(samples), x.shape[axis], *row.shape[1:]))
                row = whole.index_put((count, samples), row).movedim(1, axis + 1)
            blocks[j] = row
        return blocks
