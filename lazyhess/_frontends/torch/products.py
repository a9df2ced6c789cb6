"""Derivatives of a tensor with a graph, by differentiating its gradient in batches."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lazyhess._costs import COSTS
from lazyhess._engines.arrays import Arrays
from lazyhess._engines.framework import Single
from lazyhess._indices import Array, Ids, Shape

# Bytes of the largest intermediate result of a pass, for each thread of the processor: about what
# its own cache holds. Measured: smaller passes pay torch's calls, larger ones pay for memory.
PASS = 1 << 22
# Operations that tell how large the results of a function are.
SURVEYED = 100
# Outputs whose gradients are kept with their graphs.
OUTPUTS = 4


class Tensors(Arrays):
    """Operations on tensors, see `lazyhess._engines.arrays.Arrays`."""

    def __init__(self, device: Any) -> None:
        self.device = device

    def numpy(self, array: Any) -> Array:
        if not isinstance(array, torch.Tensor):
            return np.asarray(array)
        array = array.detach().cpu().resolve_neg()
        if array.dtype in (torch.float16, torch.bfloat16):  # NumPy has no bfloat16
            array = array.float()
        made: Array = array.numpy()
        return made

    def from_numpy(self, array: Array, dtype: Any) -> Any:
        array = np.ascontiguousarray(array)
        if not array.flags.writeable:
            array = array.copy()
        made = torch.from_numpy(array).to(self.device, dtype)
        # What is converted is new; else memory would be shared.
        return made.clone() if made.data_ptr() == array.ctypes.data else made

    def zeros(self, shape: Shape, dtype: Any) -> Any:
        return torch.zeros(shape, dtype=dtype, device=self.device)

    def concatenate(self, parts: Sequence[Any]) -> Any:
        return torch.cat(list(parts))

    def take(self, array: Any, ids: Ids, axis: int) -> Any:
        ids = np.asarray(ids)
        count = len(ids)
        if count and ids[-1] - ids[0] == count - 1 and bool((ids[1:] > ids[:-1]).all()):
            part = array.narrow(axis, int(ids[0]), count)
            return part.clone(memory_format=torch.contiguous_format)
        return array.index_select(axis, self._ids(ids))

    def points(self, array: Any, rows: Ids, columns: Ids) -> Any:
        return array[self._ids(rows), self._ids(columns)]

    def _ids(self, ids: Ids) -> Any:
        return torch.tensor(np.ascontiguousarray(ids), dtype=torch.int64, device=self.device)

    def reshape(self, array: Any, shape: Shape) -> Any:
        return array.reshape(shape)

    def transpose(self, array: Any, axes: Sequence[int]) -> Any:
        return array.permute(tuple(axes))

    def cast(self, array: Any, dtype: Any) -> Any:
        return array.to(dtype)

    def nbytes(self, array: Any) -> int:
        return int(array.nbytes)

    def itemsize(self, dtype: Any) -> int:
        return int(dtype.itemsize)


class Graph(Single):
    """Derivatives of a tensor with a graph.

    The gradient is computed with its own graph, once; a product is the derivative of the gradient
    times the tangent, and many run at once. (Tangents pushed forward through the gradient of a
    function were slower in every model that was measured, and would call the function again.)

    Parameters
    ----------
    root : Tensor
        The output.
    xs : sequence of Tensor
        The inputs.
    create_graph : bool
        Whether answers keep a graph.
    """

    def __init__(self, root: Any, xs: Sequence[Any], create_graph: bool) -> None:
        self.root, self.xs = root, list(xs)
        self.create_graph = create_graph
        self.arrays = Tensors(self.xs[0].device if self.xs else root.device)
        self._gradients: OrderedDict[int | None, list[Any]] = OrderedDict()
        self._batched = True  # until torch cannot

    def __reduce__(self) -> Any:
        raise TypeError(
            "a Hessian of torch's tensors cannot be pickled or copied, for their graph cannot; "
            "keep what you need of it as a tensor, H[...]"
        )

    def value(self) -> Any:
        return self.root if self.create_graph else self.root.detach().clone()

    def _summed(self, output: int | None) -> Any:
        return self.root.sum() if output is None else self.root.reshape(-1)[output]

    def _all(self, output: int | None) -> list[Any]:
        """The gradients by all xs, with their graph; None where there is none."""
        found = self._gradients.get(output)
        if found is None:
            with recording(), explained():
                found = list(
                    torch.autograd.grad(
                        self._summed(output), self.xs, create_graph=True, allow_unused=True
                    )
                )
            self._gradients[output] = found
            if len(self._gradients) > OUTPUTS:
                self._gradients.popitem(last=False)
        return found

    def related(self, i: int) -> bool:
        """Whether the output depends on x_i, as far as the graph tells."""
        return self._all(None)[i] is not None

    def gradient(self, i: int, output: int | None) -> Any:
        if output is None or self.create_graph:
            made = self._all(output)[i]
        else:  # nobody asked for its graph yet
            with recording(), explained():
                (made,) = torch.autograd.grad(
                    self._summed(output), self.xs[i], retain_graph=True, allow_unused=True
                )
        if made is None:
            return torch.zeros_like(self.xs[i], requires_grad=False)
        return made if self.create_graph else made.detach().clone()

    def weighted(self, weights: Array) -> list[Any]:
        cotangent = torch.as_tensor(weights, dtype=self.root.dtype, device=self.root.device)
        with recording(), explained():
            made = torch.autograd.grad(
                self.root, self.xs, cotangent, retain_graph=True, allow_unused=True
            )
        return [torch.zeros_like(x) if g is None else g for x, g in zip(self.xs, made, strict=True)]

    def at_once(self, i: int) -> int:
        if self.xs[i].device.type != "cpu":  # it likes large passes
            return COSTS.framework_bytes
        threads: int = torch.get_num_threads()
        return max(1, PASS * threads // max(self._survey[0], 1))

    @cached_property
    def _survey(self) -> tuple[int, bool]:
        """The bytes of the largest result, and whether vectors are multiplied by matrices.

        The size as far as the last operations tell, for a graph may have many.
        """
        found = nodes(self.root)
        shapes: set[Shape] = set()
        for node in found[:SURVEYED]:
            shapes.update([tuple(meta.shape) for meta in getattr(node, "_input_metadata", ())])
        kinds = set(map(type, found))
        for kind in kinds:
            refuse_once_differentiable(kind)
        return max(map(prod, shapes), default=1) * self.root.dtype.itemsize, _MV in kinds

    def _products(
        self, i: int, tangents: Any, columns: Sequence[int], output: int | None
    ) -> dict[int, Any]:
        first, xs, count = self._all(output)[i], [self.xs[j] for j in columns], len(tangents)
        vectors = self._survey[1]
        made: Sequence[Any] = [None] * len(xs)
        if first is not None and first.requires_grad and count:
            with recording(), explained():
                made = self._differentiated(first, xs, tangents, vectors)
        return {
            j: x.new_zeros((count, *x.shape)) if part is None else part
            for j, x, part in zip(columns, xs, made, strict=True)
        }

    def _differentiated(
        self, first: Any, xs: list[Any], tangents: Any, vectors: bool
    ) -> Sequence[Any]:
        """For each x the derivatives of the gradient times each tangent."""

        def single(tangent: Any) -> Sequence[Any]:
            made: Sequence[Any] = torch.autograd.grad(
                first,
                xs,
                tangent,
                retain_graph=True,
                create_graph=self.create_graph,
                allow_unused=True,
            )
            return made

        if len(tangents) > 1 and self._batched:
            mode: AbstractContextManager[Any] = nullcontext()
            if vectors and not self.create_graph:
                mode = MatrixVector()
            try:
                with mode:
                    made: Sequence[Any] = torch.autograd.grad(
                        first,
                        xs,
                        tangents,
                        retain_graph=True,
                        create_graph=self.create_graph,
                        allow_unused=True,
                        is_grads_batched=True,
                    )
                return made
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                failure = error
            # An operation that torch does not know for batches, a user's own perhaps; if it is
            # something else the loop fails at it, too.
            rows = [single(tangent) for tangent in tangents]
            if "vmap" in str(failure):
                self._batched = False
        else:
            rows = [single(tangent) for tangent in tangents]
        if len(rows) == 1:
            return [None if part is None else part[None] for part in rows[0]]
        return [
            None if parts[0] is None else torch.stack(parts) for parts in zip(*rows, strict=True)
        ]


class MatrixVector(TorchDispatchMode):  # type: ignore[misc]
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


def nodes(tensor: Any) -> list[Any]:
    """All nodes of the graph of a tensor, each once, the nearest first."""
    found: list[Any] = []
    seen: set[Any] = {None}
    level = {tensor.grad_fn} - seen
    while level:
        found += level
        seen |= level
        level = {child for node in level for child, _ in node.next_functions} - seen
    return found


def refuse_once_differentiable(kind: Any) -> None:
    """Refuse a user's function whose backward is marked so: torch would take it for linear."""
    function: Any = getattr(kind, "_forward_cls", None)
    backward = getattr(function, "backward", None)
    marked = getattr(torch.autograd.function.once_differentiable(_nothing), "__code__", None)
    if backward is not None and getattr(backward, "__code__", _nothing) is marked:
        raise NotImplementedError(
            f"torch has no second derivative of {function.__name__}, whose backward is marked "
            f"once_differentiable; the way out: {_way('once_differentiable')}"
        )


def _nothing(ctx: Any, *args: Any) -> None:
    """A function to be marked."""


@contextmanager
def recording() -> Iterator[None]:
    """With graphs, whatever mode the caller is in."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


_AGAIN = "compute ys again, or give the function itself: lh.hessian(f, xs)"


@contextmanager
def explained() -> Iterator[None]:
    """Errors of torch's graph as ones that say what happened, and the ways out."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if "backward through the graph a second time" in text or "already been freed" in text:
            raise RuntimeError(
                "the graph of ys was freed: backward() or torch.autograd.grad() went through it "
                "before, and frees it unless it is told retain_graph=True; ask for the Hessian's "
                f"rows first, say retain_graph=True there, {_AGAIN}"
            ) from error
        if "modified by an inplace operation" in text:
            raise RuntimeError(
                "a tensor that ys was computed from was changed in place afterwards (as an "
                "optimizer's step does, or x += 1), so its second derivatives are lost; ask for "
                f"the rows that you need before that, {_AGAIN}, which works with copies of xs"
            ) from error
        missing = re.search(r"derivative for '?(?:aten::)?(\w+?)(?:_backward)?'? is not", text)
        once = "once_differentiable" in text
        if missing or once or "double backward" in text:
            name = missing[1].strip("_") if missing else "an operation of ys"
            raise NotImplementedError(
                f"torch has no second derivative of {name} ({text.splitlines()[0]}); the way out: "
                f"{_way(text)}"
            ) from error
        raise


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
        return (
            "write the backward of your autograd.Function with differentiable operations of torch, "
            "and without once_differentiable"
        )
    return (
        "write it with other operations of torch, or as an autograd.Function whose backward is "
        "made of differentiable ones; or write ys in NumPy, lh.variable, if lazyhess has a rule"
    )
