"""Derivatives of a Paddle tensor with a graph, by differentiating its gradient row by row."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import paddle

from lazyhess._frontends.graphs import Recorded, TensorGraph, changed, freed
from lazyhess._frontends.paddle.arrays import DTYPES, PaddleArrays
from lazyhess._indices import Ids
from lazyhess._locks import lock

# Bytes of the tangents of one pass. Paddle differentiates one row at a time, so that larger passes
# gain nothing.
PASS = 1 << 20
# Products of a pass from which on what they lack is looked for by one more.
APART = 8
# What `paddle.grad` works out on the way is kept in one place for all threads.
_TURN = lock()
# Any: the types that come with Paddle do not name what is in it.
_framework: Any = paddle.framework
_core: Any = _framework.core


class Graph(TensorGraph):
    """Derivatives of a tensor of Paddle, which has no rule for many products at once.

    Parameters
    ----------
    root, xs, create_graph
        As for `TensorGraph`.
    private : bool
        Whether the inputs are known to nobody else.
    """

    owner = "Paddle's"

    def __init__(self, root: Any, xs: Sequence[Any], create_graph: bool, private: bool) -> None:
        super().__init__(root, xs, create_graph, PaddleArrays(root.place))
        # Paddle counts changes in place for some operations only: not for set_value, nor for the
        # steps of its optimizers.
        self._copies = None if private else [x.detach().clone() for x in self.xs]

    def recording(self) -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = paddle.enable_grad()
        return context

    def differentiate(
        self, cotangent: Any, *, create_graph: bool, retain_graph: bool = True
    ) -> list[Any]:
        if cotangent is None:
            self._check_unchanged()
        return differentiate(self.root, self.xs, cotangent, create_graph, retain_graph=retain_graph)

    def out_of_memory(self, error: BaseException) -> bool:
        # Errors on the way back come as those of other kinds.
        return super().out_of_memory(error) or "ResourceExhausted" in str(error)

    def at_once(self, i: int) -> int:
        return max(1, PASS // max(self.arrays.nbytes(self.xs[i]), 1))

    def products(
        self, i: int, tangents: Any, columns: Sequence[int], outputs: Ids | None
    ) -> dict[int, Any]:
        self._check_unchanged()
        return super().products(i, tangents, columns, outputs)

    def _products(
        self, i: int, tangents: Any, columns: Sequence[int], output: int | None
    ) -> dict[int, Any]:
        gradients, cotangent = self.recorded(output)
        first, count, keep = gradients[i], tangents.shape[0], self.create_graph
        rows = []
        if first is not None and count:
            # By all xs, because some rules of Paddle fail where the x that they are of is not asked
            # for; by the cotangent for the check, unless its own graph would ask more of Paddle, or
            # one more product of many costs less.
            apart = keep or count >= APART
            by = [*self.xs, *(() if apart else (cotangent,))]
            rows = [differentiate(first, by, tangents[k], keep) for k in range(count)]
            checked = rows
            if apart:
                tangents = tangents.sum(0, keepdim=True)
                checked = [differentiate(first, [*by, cotangent], tangents[0], create_graph=False)]
            self._check_recorded(i, first, cotangent, tangents, checked)
        blocks = {}
        with paddle.enable_grad():
            for j in columns:
                parts = [row[j] for row in rows]
                if all(part is None for part in parts):
                    blocks[j] = self.zeros(j, count)
                else:  # joined, and so a copy: Paddle may give two xs the same memory
                    blocks[j] = paddle.stack(
                        [self.zeros(j) if part is None else part for part in parts]
                    )
        return blocks

    def _record(self, output: int | None) -> Recorded:
        self._check_unchanged()
        weights = np.ones(self.root.shape)
        if output is not None:
            weights = (np.arange(weights.size) == output).reshape(weights.shape)
        cotangent = self.arrays.from_numpy(weights, self.root.dtype)
        cotangent.stop_gradient = False
        try:
            gradients = differentiate(self.root, self.xs, cotangent, create_graph=True)
        except NotImplementedError:
            if not _composes():
                raise
            gradients = self._composed(cotangent)
        return Recorded(gradients, cotangent)

    def _composed(self, cotangent: Any) -> list[Any]:
        """The gradients by Paddle's compositions, which the user asked for, and may be wrong."""
        gradients = differentiate(self.root, self.xs, cotangent, create_graph=True, composed=True)
        plain = differentiate(self.root, self.xs, cotangent, create_graph=False)
        for a, b in zip(gradients, plain, strict=True):
            if a is None or b is None:
                same = a is b
            else:
                rtol = np.sqrt(np.finfo(DTYPES[b.dtype]).eps)
                same = bool(paddle.allclose(a, b, rtol, rtol * float(b.abs().max()), True))
            if not same:
                raise NotImplementedError(
                    "the gradients of Paddle's compositions differ from its own; switch them off, "
                    "paddle.framework.core.set_prim_eager_enabled(False)"
                )
        return gradients

    def _check_recorded(
        self,
        i: int,
        first: Any,
        cotangent: Any,
        tangents: Any,
        rows: Sequence[Sequence[Any]],
    ) -> None:
        """Refuse rows of a gradient whose graph ends on the way: parts of them would be zero.

        A gradient is linear in its cotangent. So its derivative by the cotangent, the last of a
        row, times the cotangent, is the gradient again, unless some step was not recorded. Where
        the gradient vanishes rounding is not to be mistaken for that, hence the other scales.
        """
        with paddle.no_grad():
            count, arrays, back = len(rows), self.arrays, [row[-1] for row in rows]
            again = np.zeros(count)
            there = [k for k in range(count) if back[k] is not None]
            if there:
                parts = paddle.stack([back[k] for k in there]).reshape([len(there), -1])
                again[there] = arrays.numpy(parts @ cotangent.detach().reshape([-1]))
            flat = first.detach().reshape([-1])
            along = arrays.numpy(tangents.reshape([count, -1]) @ flat)
            rtol = np.sqrt(np.finfo(DTYPES[first.dtype]).eps)
            wrong = float(np.abs(again - along).max(initial=0)) / rtol
            scale = float(flat.abs().max()) + float(self.root.detach().abs().max())
            if wrong <= scale:
                return
            for part in (part for row in rows for part in row[:-1] if part is not None):
                size = float(part.abs().max()) if part.size else 0.0
                scale = max(scale, size * (1 + float(self.xs[i].abs().max())))
        if wrong > scale:
            raise NotImplementedError(
                "Paddle did not record the backward of some step of ys, so its second derivatives "
                "are lost and would come out as zero; the way out: compute ys by a function that "
                "is not compiled (paddle.jit.to_static), use recompute(..., use_reentrant=False), "
                "write the backward of your PyLayer with differentiable operations of Paddle only"
            )

    def _check_unchanged(self) -> None:
        """Refuse inputs that were changed in place: what is saved of them has changed, too."""
        for x, copy in zip(self.xs, self._copies or (), strict=False):
            if not bool(paddle.equal_all(x, copy)) and not np.array_equal(
                self.arrays.numpy(x), self.arrays.numpy(copy), equal_nan=True
            ):
                raise RuntimeError(_CHANGED)


def differentiate(
    ys: Any,
    xs: Sequence[Any],
    cotangent: Any,
    create_graph: bool,
    *,
    retain_graph: bool = True,
    composed: bool = False,
) -> list[Any]:
    """`paddle.grad`; None for an x that ys does not depend on."""
    if not xs:
        return []
    distinct = list({id(x): x for x in xs}.values())  # Paddle takes each once
    with _TURN, paddle.enable_grad(), _compositions(composed), explained(ys):
        gradients = paddle.grad(
            [ys],
            distinct,
            None if cotangent is None else [cotangent],
            retain_graph=retain_graph,
            create_graph=create_graph,
            allow_unused=True,
        )
    by = {id(x): gradient for x, gradient in zip(distinct, gradients, strict=True)}
    return [by[id(x)] for x in xs]


def _composes() -> bool:
    """Whether Paddle is told to use compositions of operations as their gradients."""
    return bool(_core._is_eager_prim_enabled())


@contextmanager
def _compositions(composed: bool) -> Iterator[None]:
    """Paddle's compositions switched on or off, in this thread.

    With them second derivatives of slices come out as zero, or wrong.
    """
    before = _composes()
    if before != composed:
        _core.set_prim_eager_enabled(composed)
    try:
        yield
    finally:
        if before != composed:
            _core.set_prim_eager_enabled(before)


_CHANGED = changed("an optimizer's step, set_value, or x.add_() does")


@contextmanager
def explained(ys: Any) -> Iterator[None]:
    """Errors of Paddle about the graph of ys as ones that say what happened, and the ways out."""
    try:
        yield
    except (RuntimeError, SystemError, OSError) as error:
        text = str(error)
        if "TensorWrappers of" in text:
            raise RuntimeError(freed("paddle.grad")) from error
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
        if "ResourceExhausted" in text or "out of memory" in text.lower():
            raise
        lines = [line.strip() for line in text.splitlines() if line.strip(" {}=")]
        said = next((line for line in lines if "Error: " in line), lines[0] if lines else "")
        raise RuntimeError(
            f"Paddle could not differentiate ys, whose graph has {', '.join(operations(ys))} "
            f"({said}); write it with other operations of Paddle, "
            "or ys in NumPy, lh.hessian(f, arrays)"
        ) from error


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


def operations(root: Any) -> list[str]:
    """The names of the operations in the graph of a tensor, each once.

    For errors: Paddle never frees a graph that was looked at so.
    """
    names: dict[str, None] = {}
    seen: set[int] = set()
    stack = [root.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node.node_ptr() in seen:
            continue
        seen.add(node.node_ptr())
        names[node.name().removesuffix("GradNode")] = None
        stack += node.next_functions
    names.pop("GradNodeAccumulation", None)
    return list(names)
