"""torch: tensors with a graph, and callables on tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch

from lazyhess._engines.problem import Problem
from lazyhess._frontends.request import Request, call
from lazyhess._frontends.tensors import Prepared, TensorFrontEnd, Words
from lazyhess._frontends.torch import suspects
from lazyhess._frontends.torch.products import Graph, nodes, recording
from lazyhess._frontends.torch.samples import Samples
from lazyhess._trees import rebuild


class Torch(TensorFrontEnd):
    """Tensors of torch."""

    tensor = torch.Tensor
    module = torch.nn.Module
    dicts = torch.nn.ParameterDict
    lists = torch.nn.ParameterList
    dtypes = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
    alike = ("device",)
    words = Words(
        name="torch",
        tensor="torch.Tensor",
        owner="torch's",
        module="module",
        create="torch.as_tensor",
        stack="torch.stack",
        complex="torch.complex",
        parts="ys.real or ys.imag",
        dtypes="float64, float32, bfloat16 or float16",
        convert=".double()",
        fixed="does not require grad",
        were_fixed="did not require grad",
        unfix="call x.requires_grad_()",
        unrecorded="torch.no_grad() or torch.inference_mode()",
        inference="torch.inference_mode()",
    )

    def recording(self) -> AbstractContextManager[Any]:
        return recording()

    def requires_grad(self, x: Any) -> bool:
        return bool(x.requires_grad)

    def require_grad(self, x: Any) -> Any:
        return x.requires_grad_()

    def inference(self, x: Any) -> bool:
        return bool(x.is_inference())

    def reaches(self, root: Any, xs: Sequence[Any]) -> bool:
        own = {id(x) for x in xs}
        if any(not x.is_leaf for x in xs):
            return True
        there = (getattr(node, "variable", None) for node in nodes(root))
        return any(x is not None and id(x) not in own for x in there)

    def sparse(self, x: Any) -> str | None:
        return None if x.layout == torch.strided else f"a tensor of layout {x.layout}"

    def graph(
        self,
        root: Any,
        xs: list[Any],
        request: Request,
        tree: Any,
        batch: list[int | None] | None,
    ) -> Graph:
        create = bool(request.create_graph)
        if self.is_function(request.ys) and batch is not None and None in batch:
            return Samples(root, xs, create, _of_leaves(request, tree), batch)
        return Graph(root, xs, create)

    def problem(self, request: Request) -> Problem:
        problem = super().problem(request)
        function: Any = problem.engine
        suspects.refuse(function.function.between)
        return problem

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        with torch.random.fork_rng():
            yield

    def changes(self, graph: Any) -> bool:
        return suspects.changes(graph.between)

    def suspects(self, graph: Any) -> Sequence[str]:
        return suspects.suspects(graph.between)

    def strangers(
        self, prepared: Prepared, gradients: Callable[[], Sequence[Any]]
    ) -> Iterator[tuple[str, Any]]:
        derived = [(path, x) for path, x in prepared.inputs if not x.is_leaf]
        if not derived:
            return
        root = prepared.graph.root
        known = {edge for node in nodes(root) for edge in node.next_functions}
        for path, x in derived:
            if (x.grad_fn, x.output_nr) not in known and x is not root:
                yield path, x


def _of_leaves(request: Request, tree: Any) -> Callable[[list[Any]], Any]:
    """The callable of a request as a function of the tensors of xs, in order."""

    def function(values: list[Any]) -> Any:
        rest = iter(values)
        moved = request.at(rebuild(tree, lambda _: next(rest)))
        return call(moved, lambda x: x, lambda x: x)[0]

    return function


FRONT_END = Torch()
