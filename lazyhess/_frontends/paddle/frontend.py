"""Paddle: dynamic tensors with a graph, and callables on tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import paddle

from lazyhess._frontends.paddle.arrays import DTYPES
from lazyhess._frontends.paddle.products import Graph, operations
from lazyhess._frontends.request import Request
from lazyhess._frontends.tensors import Prepared, TensorFrontEnd, Words

# Operations that nobody has to suspect.
_PLAIN = set(
    "Add Assign Cast Concat Divide Expand Gather Matmul Mean Multiply Pow Reshape Scale Slice "
    "Split Squeeze Square Stack Subtract Sum Tile Transpose Unsqueeze".split()
)


class Paddle(TensorFrontEnd):
    """Tensors of Paddle."""

    tensor = paddle.Tensor
    module = paddle.nn.Layer
    dicts = paddle.nn.ParameterDict
    lists = paddle.nn.ParameterList
    dtypes = DTYPES
    alike = ("place", "dtype")
    words = Words(
        name="Paddle",
        tensor="paddle.Tensor",
        owner="Paddle's",
        module="layer",
        create="paddle.to_tensor",
        stack="paddle.stack",
        complex="paddle.complex",
        parts="ys.real() or ys.imag()",
        dtypes="float64 or float32",
        convert=".astype('float64')",
        fixed="has stop_gradient=True",
        were_fixed="had stop_gradient=True",
        unfix="set x.stop_gradient = False",
        unrecorded="paddle.no_grad()",
    )

    def recording(self) -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = paddle.enable_grad()
        return context

    def requires_grad(self, x: Any) -> bool:
        return not x.stop_gradient

    def require_grad(self, x: Any) -> Any:
        x.stop_gradient = False
        return x

    def sparse(self, x: Any) -> str | None:
        return None if x.is_dense() else "a sparse tensor"

    def prepare(self, request: Request) -> Prepared:
        if not paddle.in_dynamic_mode():
            raise RuntimeError(
                "Paddle is in static mode, whose variables have no values yet; call "
                "paddle.disable_static() before computing ys"
            )
        return super().prepare(request)

    def graph(
        self,
        root: Any,
        xs: list[Any],
        request: Request,
        tree: Any,
        batch: list[int | None] | None,
    ) -> Graph:
        return Graph(root, xs, bool(request.create_graph), private=self.is_function(request.ys))

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        state = paddle.get_rng_state()
        try:
            yield
        finally:
            paddle.set_rng_state(state)

    def suspects(self, graph: Any) -> Sequence[str]:
        return [name for name in operations(graph.root) if name not in _PLAIN]

    def strangers(
        self, prepared: Prepared, gradients: Callable[[], Sequence[Any]]
    ) -> Iterator[tuple[str, Any]]:
        for (path, x), gradient in zip(prepared.inputs, gradients(), strict=True):
            if gradient is None and not x.is_leaf:
                yield path, x


FRONT_END = Paddle()
