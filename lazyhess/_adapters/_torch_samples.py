"""Per-sample derivatives by tensors that all samples share, each at the cost of one sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from lazyhess._adapters._torch_graph import PASS, Graph
from lazyhess._tangents import Ids


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
            except Exception:
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
            except torch.OutOfMemoryError:
                raise
            except Exception:  # the graph says it better, if it cannot either
                self._alone = False
        return super().products(i, tangents, columns, outputs)

    def _by_pairs(
        self, i: int, tangents: Any, columns: Sequence[int], outputs: Ids
    ) -> dict[int, Any]:
        """For each tangent and its output the product of that sample alone."""
        samples = torch.from_numpy(np.asarray(outputs, np.int64)).to(tangents.device)
        count = torch.arange(len(samples), device=tangents.device)
        points = [x if self.create_graph else x.detach() for x in self.xs]
        points = [
            x if axis is None else x.movedim(axis, 0)[samples]
            for x, axis in zip(points, self.axes, strict=True)
        ]
        axis = self.axes[i]
        if axis is not None:
            tangents = tangents.movedim(axis + 1, 1)[count, samples]
        columns = list(columns)

        def product(tangent: Any, *xs: Any) -> Any:
            def slope(*picked: Any) -> Any:
                at = list(xs)
                for j, x in zip(columns, picked, strict=True):
                    at[j] = x
                return (torch.func.grad(self._one, i)(*at) * tangent).sum()

            return torch.func.grad(slope, tuple(range(len(columns))))(*(xs[j] for j in columns))

        shared = [None if axis is None else 0 for axis in self.axes]
        with torch.enable_grad() if self.create_graph else torch.no_grad():
            made = torch.func.vmap(product, (0, *shared))(tangents, *points)
        answer = {}
        for j, part in zip(columns, made, strict=True):
            axis, x = self.axes[j], self.xs[j]
            if axis is not None:
                whole = x.new_zeros((len(samples), x.shape[axis], *part.shape[1:]))
                part = whole.index_put((count, samples), part).movedim(1, axis + 1)
            answer[j] = part
        return answer
