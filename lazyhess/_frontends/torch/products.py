"""Derivatives of a tensor with a graph, by differentiating its gradient in batches."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property, partial
from math import prod
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lazyhess._costs import COSTS
from lazyhess._frontends.graphs import Recorded, TensorGraph, changed, freed
from lazyhess._frontends.torch.arrays import TorchArrays
from lazyhess._frontends.torch.suspects import WRITE_BACKWARD, between, suspects
from lazyhess._indices import Shape

# Bytes of the largest intermediate result of a pass, for each thread of the processor: about what
# its own cache holds. Measured: smaller passes pay torch's calls, larger ones pay for memory.
PASS = 1 << 22
# Operations that tell how large the results of a function are.
SURVEYED = 100


class Graph(TensorGraph):
    """Derivatives of a tensor of torch, many products at once.

    (Tangents pushed forward through the gradient of a function were slower in every model that was
    measured, and would call the function again.)
    """

    owner = "torch's"

    def __init__(self, root: Any, xs: Sequence[Any], create_graph: bool) -> None:
        device = xs[0].device if xs else root.device
        super().__init__(root, xs, create_graph, TorchArrays(device))
        self._batched = True  # until torch cannot

    def recording(self) -> AbstractContextManager[Any]:
        return recording()

    def differentiate(
        self, cotangent: Any, *, create_graph: bool, retain_graph: bool = True
    ) -> list[Any]:
        if not self.xs:
            return []
        with recording(), explained(self):
            root = self.root.sum() if cotangent is None else self.root
            return list(
                torch.autograd.grad(
                    root,
                    self.xs,
                    cotangent,
                    create_graph=create_graph,
                    retain_graph=retain_graph,
                    allow_unused=True,
                )
            )

    def _summed(self, output: int | None) -> Any:
        return self.root.sum() if output is None else self.root.reshape(-1)[output]

    def _record(self, output: int | None) -> Recorded:
        with recording(), explained(self):
            gradients = torch.autograd.grad(
                self._summed(output), self.xs, create_graph=True, allow_unused=True
            )
        return Recorded(list(gradients))

    def _gradient(self, i: int, output: int | None) -> Any:
        if output is None or self.create_graph:
            return super()._gradient(i, output)
        with recording(), explained(self):  # nobody asked for its graph yet
            (gradient,) = torch.autograd.grad(
                self._summed(output), self.xs[i], retain_graph=True, allow_unused=True
            )
        return gradient

    def out_of_memory(self, error: BaseException) -> bool:
        return out_of_memory(error)

    def at_once(self, i: int) -> int:
        if self.xs[i].device.type != "cpu":  # it likes large passes
            return COSTS.framework_bytes
        threads: int = torch.get_num_threads()
        return max(1, PASS * threads // max(self._survey[0], 1))

    @cached_property
    def between(self) -> list[Any]:
        """The nodes on the way from xs to ys."""
        return between(self.root, self.xs)

    @cached_property
    def _survey(self) -> tuple[int, bool]:
        """The bytes of the largest result, and whether vectors are multiplied by matrices.

        The size as far as the last operations tell, for a graph may have many.
        """
        graph = nodes(self.root)
        shapes: set[Shape] = set()
        for node in graph[:SURVEYED]:
            shapes.update([tuple(meta.shape) for meta in getattr(node, "_input_metadata", ())])
        kinds = set(map(type, graph))
        return max(map(prod, shapes), default=1) * self.root.dtype.itemsize, _MV in kinds

    def reach(self) -> dict[int, int]:
        # An x is a tensor that no node computes, or an output of one.
        own: dict[Any, int] = {}
        for k, x in enumerate(self.xs):
            key = id(x) if x.is_leaf else (x.grad_fn, x.output_nr)
            own[key] = own.get(key, 0) | 1 << k

        def of(edge: tuple[Any, int]) -> int:
            return own.get(edge, 0) | bits.get(edge[0], 0)

        bits: dict[Any, int] = {}
        values: dict[int, int] = {}
        for node in operands_first(self.root):
            reached = own.get(id(getattr(node, "variable", None)), 0)
            for edge in node.next_functions:
                reached |= of(edge)
            bits[node] = reached
            shapes = [tuple(meta.shape) for meta in getattr(node, "_input_metadata", ())]
            for number, shape in enumerate(shapes if node.next_functions else ()):
                if reached and (node, number) not in own:
                    values[reached] = values.get(reached, 0) + prod(shape)
        return values

    def _products(
        self, i: int, tangents: Any, columns: Sequence[int], output: int | None
    ) -> dict[int, Any]:
        first = self.recorded(output).gradients[i]
        xs, count = [self.xs[j] for j in columns], len(tangents)
        vectors = self._survey[1]
        blocks: Sequence[Any] = [None] * len(xs)
        if first is not None and first.requires_grad and count:
            with recording(), explained(self):
                blocks = self._differentiated(first, xs, tangents, vectors)
        return {
            j: self.zeros(j, count) if block is None else block
            for j, block in zip(columns, blocks, strict=True)
        }

    def _differentiated(
        self, first: Any, xs: list[Any], tangents: Any, vectors: bool
    ) -> Sequence[Any]:
        """For each x the derivatives of the gradient times each tangent."""
        differentiate: Callable[..., Sequence[Any]] = partial(
            torch.autograd.grad,
            first,
            xs,
            retain_graph=True,
            create_graph=self.create_graph,
            allow_unused=True,
        )
        failure = ""
        if len(tangents) > 1 and self._batched:
            mode: AbstractContextManager[Any] = nullcontext()
            if vectors and not self.create_graph:
                mode = MatrixVector()
            try:
                with mode:
                    return differentiate(tangents, is_grads_batched=True)
            except RuntimeError as error:
                if out_of_memory(error):
                    raise
                failure = str(error)
        # One by one: for an operation that torch does not know for batches, a user's own perhaps;
        # if it was something else, this fails at it, too.
        rows = [differentiate(tangent) for tangent in tangents]
        if "vmap" in failure:
            self._batched = False
        if len(rows) == 1:
            return [None if part is None else part[None] for part in rows[0]]
        return [
            None if parts[0] is None else torch.stack(parts) for parts in zip(*rows, strict=True)
        ]


# torch types neither this class nor what it calls when one is derived from it.
_Dispatch: Any = TorchDispatchMode


class MatrixVector(_Dispatch):  # type: ignore[misc]
    """Products of one matrix with many vectors, as one product of matrices.

    What torch's own rule for many ``mv`` at once makes of them is a batch of products with the same
    matrix, which it reads once for each.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.bmm.default:
            a, b = args
            # (n, m), repeated without copies, times (K, m, 1).
            if a.stride(0) == 0 and b.shape[2] == 1 and b.stride(0) != 0 and len(a):
                return (b[:, :, 0] @ a[0].T)[:, :, None]
        return func(*args, **(kwargs or {}))


_MV = type(torch.mv(torch.ones(1, 1, requires_grad=True), torch.ones(1)).grad_fn)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice: a device's, or the processor's."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def nodes(tensor: Any) -> list[Any]:
    """All nodes of the graph of a tensor, each once, the nearest first."""
    ordered: list[Any] = []
    seen: set[Any] = {None}
    level = {tensor.grad_fn} - seen
    while level:
        ordered += level
        seen |= level
        level = {child for node in level for child, _ in node.next_functions} - seen
    return ordered


def operands_first(tensor: Any) -> Iterator[Any]:
    """All nodes of the graph of a tensor, each once, behind those that it is computed from."""
    seen: set[Any] = {None}
    stack = [(tensor.grad_fn, False)]
    while stack:
        node, done = stack.pop()
        if done:
            yield node
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(child, False) for child, _ in node.next_functions if child not in seen]


@contextmanager
def recording() -> Iterator[None]:
    """With graphs, whatever mode the caller is in."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


@contextmanager
def explained(graph: Graph) -> Iterator[None]:
    """Errors of torch about a graph as ones that say what happened, and the ways out."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if "backward through the graph a second time" in text or "already been freed" in text:
            raise RuntimeError(freed("torch.autograd.grad")) from error
        if "modified by an inplace operation" in text:
            raise RuntimeError(changed("an optimizer's step does, or x += 1")) from error
        missing = re.search(r"derivative for '?(?:aten::)?(\w+?)(?:_backward)?'? is not", text)
        once = "once_differentiable" in text
        if missing or once or "double backward" in text:
            name = missing[1].strip("_") if missing else "an operation of ys"
            raise NotImplementedError(
                f"torch has no second derivative of {name} ({text.splitlines()[0]}); the way out: "
                f"{_way(text)}"
            ) from error
        if isinstance(error, (torch.OutOfMemoryError, NotImplementedError)):
            raise
        names = ", ".join(suspects(graph.between)) or "an operation"
        raise RuntimeError(
            f"torch could not differentiate {names} of ys ({text.splitlines()[0]}); {_way(text)}"
        ) from error


def _way(text: str) -> str:
    if "attention" in text:
        return (
            "compute ys under torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH), "
            "whose attention is made of operations that have one"
        )
    if "cudnn" in text:
        return "compute ys under torch.backends.cudnn.flags(enabled=False)"
    if "compile" in text or "aot_autograd" in text:
        return "compute ys by the function or module that is not compiled"
    if "once_differentiable" in text:
        return WRITE_BACKWARD
    return (
        "write it with other operations of torch, or as an autograd.Function whose backward is "
        "made of differentiable ones; or write ys in NumPy, lh.variable, if lazyhess has a rule"
    )
