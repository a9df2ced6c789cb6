"""Derivatives of a Paddle tensor with a graph, by differentiating its gradient row by row."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np
import paddle

from lazyhess._adapters.base import Products, by_output
from lazyhess._tangents import Array, Ids, Shape

DTYPES = {paddle.float32: np.dtype(np.float32), paddle.float64: np.dtype(np.float64)}
# Bytes of the tangents of one pass. Paddle differentiates one row at a time, so that larger passes
# gain nothing.
PASS = 1 << 20
# Outputs whose gradients are kept with their graphs.
OUTPUTS = 4
# What `paddle.grad` works out on the way is kept in one place for all threads.
_TURN = threading.RLock()


class Tensors:
    """Operations on tensors, see `lazyhess._arrays.Arrays`."""

    def __init__(self, place: Any) -> None:
        self.place = place

    def numpy(self, array: Any) -> Array:
        made: Array = array.detach().numpy()
        return made

    def own(self, array: Array, dtype: Any) -> Any:
        return paddle.to_tensor(np.asarray(array, DTYPES[dtype]), place=self.place)

    def zeros(self, shape: Shape, dtype: Any) -> Any:
        return self.own(np.zeros(shape, DTYPES[dtype]), dtype)

    def concatenate(self, parts: Sequence[Any]) -> Any:
        return paddle.concat(list(parts))

    def take(self, array: Any, ids: Ids, axis: int) -> Any:
        count = len(ids)
        if not count or 0 in array.shape:
            shape = [*array.shape]
            shape[axis] = count
            return self.zeros(tuple(shape), array.dtype)
        if ids[-1] - ids[0] == count - 1 and bool((ids[1:] > ids[:-1]).all()):
            if count == array.shape[axis]:
                return array.clone()
            return paddle.slice(array, [axis], [int(ids[0])], [int(ids[-1]) + 1]).clone()
        return paddle.index_select(array, self._ids(ids), axis)

    def points(self, array: Any, rows: Ids, columns: Ids) -> Any:
        at = np.stack(np.broadcast_arrays(rows, columns), axis=-1)
        if not at.size:
            return self.zeros(at.shape[:-1], array.dtype)
        return paddle.gather_nd(array, self._ids(at))

    def _ids(self, ids: Ids) -> Any:
        return paddle.to_tensor(np.asarray(ids, np.int64), place=self.place)

    def reshape(self, array: Any, shape: Shape) -> Any:
        return array.reshape(list(shape))

    def transpose(self, array: Any, axes: Sequence[int]) -> Any:
        return paddle.transpose(array, list(axes))

    def nbytes(self, array: Any) -> int:
        return prod(array.shape) * self.itemsize(array.dtype)

    def itemsize(self, dtype: Any) -> int:
        return DTYPES[dtype].itemsize


class Graph(Products):
    """Derivatives of a tensor with a graph.

    The gradient is computed with its own graph, once; a product is the derivative of the gradient
    times the tangent. Paddle has no rule for many of them at once.

    Parameters
    ----------
    root : Tensor
        The output.
    xs : sequence of Tensor
        The inputs.
    create_graph : bool
        Whether answers keep a graph.
    own : bool
        Whether the inputs are known to nobody else.
    """

    def __init__(self, root: Any, xs: Sequence[Any], create_graph: bool, own: bool) -> None:
        self.root, self.xs = root, list(xs)
        self.create_graph = create_graph
        self.arrays = Tensors(root.place)
        self._gradients: OrderedDict[int | None, list[Any]] = OrderedDict()
        self._seen, self._opaque = _survey(root)
        # Paddle counts changes in place for some operations only: not for set_value, nor for the
        # steps of its optimizers.
        self._copies = None if own else [x.detach().clone() for x in self.xs]

    def __reduce__(self) -> Any:
        raise TypeError(
            "a Hessian of Paddle's tensors cannot be pickled or copied, for their graph cannot; "
            "keep what you need of it as a tensor, H[...]"
        )

    def related(self, i: int) -> bool:
        """Whether the output depends on x_i, as far as the graph tells."""
        node = self.xs[i].grad_fn
        return node is not None and node.node_ptr() in self._seen

    def value(self) -> Any:
        return self.root.clone() if self.create_graph else self.root.detach().clone()

    def gradient(self, i: int, output: int | None) -> Any:
        made = self._all(output)[i]
        if made is None:
            return paddle.zeros_like(self.xs[i])
        with paddle.enable_grad():
            return made.clone() if self.create_graph else made.detach().clone()

    def gradients(self) -> list[Any]:
        """The gradients by all xs of the sum of all outputs; with their graph if that is kept."""
        self._check_unchanged()
        made = differentiate(self.root, self.xs, None, self.create_graph)
        return [
            paddle.zeros_like(x) if g is None else g for x, g in zip(self.xs, made, strict=True)
        ]

    def weighted(self, weights: Array) -> list[Any]:
        cotangent = self.arrays.own(weights, self.root.dtype)
        made = differentiate(self.root, self.xs, cotangent, create_graph=False)
        return [
            paddle.zeros_like(x) if g is None else g for x, g in zip(self.xs, made, strict=True)
        ]

    def at_once(self, i: int) -> int:
        x = self.xs[i]
        return max(1, PASS // max(self.arrays.nbytes(x), 1))

    def products(
        self, i: int, tangents: Any, columns: Sequence[int], outputs: Ids | None
    ) -> dict[int, Any]:
        self._check_unchanged()
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
        first, xs, count = self._all(output)[i], [self.xs[j] for j in columns], tangents.shape[0]
        rows = []
        if first is not None:
            rows = [differentiate(first, xs, tangents[k], self.create_graph) for k in range(count)]
        made = {}
        with paddle.enable_grad():
            for at, (j, x) in enumerate(zip(columns, xs, strict=True)):
                parts = [row[at] for row in rows]
                if all(part is None for part in parts):
                    made[j] = self.arrays.zeros((count, *x.shape), x.dtype)
                else:  # joined, and so a copy: Paddle may give two xs the same memory
                    made[j] = paddle.stack(
                        [paddle.zeros_like(x) if part is None else part for part in parts]
                    )
        return made

    def _all(self, output: int | None) -> list[Any]:
        """The gradients by all xs, with their graph; None where there is none."""
        found = self._gradients.get(output)
        if found is None:
            self._check_unchanged()
            weights = np.ones(self.root.shape)
            if output is not None:
                weights = (np.arange(weights.size) == output).reshape(weights.shape)
            cotangent = self.arrays.own(weights, self.root.dtype)
            if self._opaque:
                cotangent.stop_gradient = False
            found = differentiate(self.root, self.xs, cotangent, create_graph=True)
            if self._opaque:
                self._check_recorded(found, cotangent)
            self._gradients[output] = found
            if len(self._gradients) > OUTPUTS:
                self._gradients.popitem(last=False)
        return found

    def _check_recorded(self, found: Sequence[Any], cotangent: Any) -> None:
        """Refuse gradients whose own graph ends on the way: their derivatives would be zero.

        A gradient is linear in its cotangent. So its derivative by the cotangent, times the
        cotangent, is the gradient again, unless some step was not recorded.
        """
        rng = np.random.default_rng(0)
        sums = []
        with paddle.enable_grad():
            for gradient in found:
                if gradient is not None:
                    tangent = self.arrays.own(rng.uniform(1, 2, gradient.shape), gradient.dtype)
                    sums.append(((gradient * tangent).sum(), (gradient * tangent).abs().sum()))
        for total, size in sums:
            made = differentiate(total, [cotangent], None, create_graph=False)[0]
            back = 0.0 if made is None else float((made * cotangent.detach()).sum())
            bound = np.sqrt(np.finfo(DTYPES[total.dtype]).eps) * float(size)
            if abs(back - float(total)) > bound:
                raise NotImplementedError(
                    f"Paddle does not record the backward of {', '.join(self._opaque)}, a part of "
                    "ys, so its second derivatives are lost and would come out as zero; the way "
                    "out: compute ys by the function that is not compiled (paddle.jit.to_static), "
                    "use recompute(..., use_reentrant=False), or write the backward of your "
                    "PyLayer with differentiable operations of Paddle only"
                )

    def _check_unchanged(self) -> None:
        """Refuse inputs that were changed in place: what is saved of them has changed, too."""
        for x, copy in zip(self.xs, self._copies or (), strict=False):
            if not bool(paddle.equal_all(x, copy)) and not np.array_equal(
                self.arrays.numpy(x), self.arrays.numpy(copy), equal_nan=True
            ):
                raise RuntimeError(_CHANGED)


def differentiate(ys: Any, xs: Sequence[Any], cotangent: Any, create_graph: bool) -> list[Any]:
    """`paddle.grad`, which keeps the graph of ys; None for an x that ys does not depend on."""
    distinct = list({id(x): x for x in xs}.values())  # Paddle takes each once
    with _TURN, paddle.enable_grad(), explained():
        made = paddle.grad(
            [ys],
            distinct,
            None if cotangent is None else [cotangent],
            retain_graph=True,
            create_graph=create_graph,
            allow_unused=True,
        )
    found = {id(x): part for x, part in zip(distinct, made, strict=True)}
    return [found[id(x)] for x in xs]


def _survey(root: Any) -> tuple[set[int], list[str]]:
    """The nodes of a graph, and the names of those whose backward is Python or a program."""
    seen: set[int] = set()
    names: set[str] = set()
    stack = [root.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or (key := node.node_ptr()) in seen:
            continue
        seen.add(key)
        name = node.name()
        if "PyLayer" in name or "Dy2St" in name:
            made = name.removeprefix("GradNodePyLayer_")
            names.add("a function compiled by paddle.jit.to_static" if "Dy2St" in name else made)
        stack.extend(node.next_functions)
    return seen, sorted(names)


_AGAIN = "compute ys again, or give the function itself: lh.hessian(f, xs)"
_CHANGED = (
    "a tensor that ys was computed from was changed in place afterwards (as an optimizer's step, "
    "set_value, or x.add_() does), so its second derivatives are lost; ask for the rows that you "
    f"need before that, {_AGAIN}, which works with copies of xs"
)


@contextmanager
def explained() -> Iterator[None]:
    """Errors of Paddle's graph as ones that say what happened, and the ways out."""
    try:
        yield
    except (RuntimeError, SystemError) as error:
        text = str(error)
        if "TensorWrappers of" in text:
            raise RuntimeError(
                "the graph of ys was freed: backward() or paddle.grad() went through it before, "
                "and frees it unless it is told retain_graph=True; ask for the Hessian's rows "
                f"first, say retain_graph=True there, {_AGAIN}"
            ) from error
        if "modified by an inplace operation" in text:
            raise RuntimeError(_CHANGED) from error
        missing = re.search(r"The Op (\w+?)((?:_grad|_double|_triple)*) doesn't have any", text)
        if missing:
            order = _order(missing[2])
            raise NotImplementedError(
                f"Paddle has no {order} derivative of {missing[1]}: the Op {missing[1]}"
                f"{missing[2]} doesn't have any grad op; the way out: "
                f"{_way(missing[1])}or write ys in NumPy, lh.hessian(f, arrays), if lazyhess has a "
                "rule for it (docs/supported.md)"
            ) from error
        raise


def _order(suffix: str) -> str:
    if "triple" in suffix:
        return "fourth"
    return "third" if "double" in suffix or suffix.count("_grad") > 1 else "second"


_LOG_SOFTMAX = (
    "z = x - paddle.max(x, axis, keepdim=True).detach(); "
    "z - paddle.log(paddle.sum(paddle.exp(z), axis, keepdim=True))"
)
# Operation -> the same of operations that Paddle can differentiate twice.
_WAYS = {
    "einsum": "paddle.matmul, paddle.transpose and paddle.sum",
    "softmax": (
        "z = x - paddle.max(x, axis, keepdim=True).detach(); e = paddle.exp(z); "
        "e / paddle.sum(e, axis, keepdim=True)"
    ),
    "log_softmax": _LOG_SOFTMAX,
    "cross_entropy_with_softmax": f"{_LOG_SOFTMAX}, and index it by the labels",
    "logsumexp": (
        "m = paddle.max(x, axis, keepdim=True).detach(); "
        "m + paddle.log(paddle.sum(paddle.exp(x - m), axis, keepdim=True))"
    ),
    "sigmoid_cross_entropy_with_logits": "paddle.nn.functional.softplus(z) - z * labels",
    "layer_norm": "z = x - paddle.mean(x, axis, keepdim=True); "
    "z / paddle.sqrt(paddle.mean(z * z, axis, keepdim=True) + epsilon)",
    "p_norm": "paddle.sqrt(paddle.sum(x * x))",
    "dot": "paddle.sum(a * b)",
    "reciprocal": "1 / x",
    "elementwise_pow": "paddle.exp(b * paddle.log(a)), for positive a",
    "log1p": "paddle.log(1 + x)",
    "expm1": "paddle.exp(x) - 1",
    "sinh": "(paddle.exp(x) - paddle.exp(-x)) / 2",
    "swish": "x * paddle.nn.functional.sigmoid(x)",
    "lerp": "a + weight * (b - a)",
    "addmm": "beta * a + alpha * (b @ c)",
    "embedding": "paddle.gather(weight, ids)",
    "cumsum": "a product with a triangular matrix of ones",
    "tril": "x * paddle.tril(paddle.ones_like(x).detach())",
    "triu": "x * paddle.triu(paddle.ones_like(x).detach())",
    "diagonal": "x[i, i] with i = paddle.arange(n)",
    "trace": "paddle.sum(x[i, i]) with i = paddle.arange(n)",
    "roll": "paddle.concat of slices",
    "max": "paddle.maximum of slices",
    "min": "paddle.minimum of slices",
}


def _way(name: str) -> str:
    if name in _WAYS:
        return f"write it with operations that have one, {_WAYS[name]}; "
    return "write it with operations of Paddle that have one; "
