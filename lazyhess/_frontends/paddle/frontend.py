"""Paddle: dynamic tensors with a graph, and callables on tensors."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import paddle

from lazyhess._engines.problem import Problem
from lazyhess._frontends.base import check_alike, check_new, check_related, graph_problem
from lazyhess._frontends.paddle.products import DTYPES, UNRELATED, Graph
from lazyhess._frontends.request import Request, call, one_output
from lazyhess._trees import inside, leaves, rebuild


class Paddle:
    """See `lazyhess._frontends.base.FrontEnd`."""

    def problem(self, request: Request) -> Problem:
        function = _is_function(request.ys)
        graph, tree, aux, batch = _prepare(request)
        if request.strict or not function:
            _check_related(graph.gradients(recorded=True), tree, function, request.strict)
        fits = partial(_fits, tree) if function else None
        return graph_problem(self, graph, request, tree, aux, batch, fits)

    def gradient(self, request: Request) -> Any:
        graph, tree, aux, _ = _prepare(request)
        made = graph.gradients(recorded=False)
        _check_related(made, tree, _is_function(request.ys), request.strict)
        zeros = paddle.zeros_like
        parts = iter([zeros(x) if g is None else g for x, g in zip(graph.xs, made, strict=True)])
        answer = rebuild(tree, lambda _: next(parts))
        return request.with_aux(answer, aux)


FRONT_END = Paddle()


def _is_function(ys: Any) -> bool:
    return callable(ys) and not isinstance(ys, paddle.Tensor)


def containers(tree: Any) -> Any:
    """Paddle's own containers of parameters, and iterators of them, as plain ones."""
    if isinstance(tree, paddle.nn.ParameterDict):
        tree = dict(tree.items())
    elif isinstance(tree, (paddle.nn.ParameterList, Iterator)):
        tree = tuple(tree)
    return inside(tree, containers)


def _prepare(request: Request) -> tuple[Graph, Any, Any, list[int | None] | None]:
    """The graph of a request, the structure of xs, aux and the batch axes, all checked."""
    if not paddle.in_dynamic_mode():
        raise RuntimeError(
            "Paddle is in static mode, whose variables have no values yet; call "
            "paddle.disable_static() before computing ys"
        )
    ys, xs, aux, create = request.ys, containers(request.xs), None, request.create_graph
    function = _is_function(ys)
    if function:
        request = request.at(xs) if request.argnums is None else request
        with paddle.enable_grad():
            ys, xs, aux = call(request, _kept if create else _fresh, _plain)
    else:
        request.needs_callable()
    inputs = list(leaves(xs))
    for path, x in inputs:
        _check_input(path, x)
    check_alike(inputs, "place", "dtype")
    check = partial(_output, function=function)
    root = one_output(ys, request.reduction, check, _total, "paddle.stack")
    batch = request.batch_axes(tuple(root.shape), inputs)
    graph = Graph(root, [x for _, x in inputs], create, own=function)
    return graph, xs, aux, batch


def _fresh(x: Any) -> Any:
    """A copy to differentiate by, which no later change of x reaches."""
    _check_kind("", x)
    made = x.detach().clone()
    made.stop_gradient = False
    return made


def _kept(x: Any) -> Any:
    """One that still depends on x, so that what comes out can be differentiated by x."""
    _check_kind("", x)
    return _fresh(x) if x.stop_gradient else x.clone()


def _plain(x: Any) -> Any:
    return x.detach().clone() if isinstance(x, paddle.Tensor) else x


def _check_kind(path: str, x: Any) -> None:
    if isinstance(x, paddle.nn.Layer):
        raise TypeError(
            f"xs{path} is a layer ({type(x).__name__}); give its parameters: "
            "dict(layer.named_parameters()) or tuple(layer.parameters())"
        )
    if not isinstance(x, paddle.Tensor):
        raise TypeError(
            f"xs{path} must be a paddle.Tensor like the others, got {type(x).__name__}; make it "
            "with paddle.to_tensor(...)"
        )
    if x.is_complex():
        raise TypeError(
            f"xs{path} has dtype {x.dtype}: Hessians of Paddle's tensors are by real xs; take real "
            "and imaginary part as two xs, paddle.complex(a, b) in the function"
        )
    if x.dtype not in DTYPES:
        raise TypeError(
            f"xs{path} must be of dtype float64 or float32, got a tensor of shape "
            f"{tuple(x.shape)} and dtype {x.dtype}; convert it, x.astype('float64'), before "
            "computing ys"
        )
    if not x.is_dense():
        raise TypeError(f"xs{path} must be dense, got a sparse tensor; x.to_dense()")


def _check_input(path: str, x: Any) -> None:
    _check_kind(path, x)
    if x.stop_gradient:
        raise ValueError(
            f"xs{path} (shape {tuple(x.shape)}, dtype {x.dtype}) has stop_gradient=True, so ys has "
            "no derivative by it (a detached copy is another tensor, too); set "
            "x.stop_gradient = False before computing ys, or give the function itself: "
            "lh.hessian(f, xs)"
        )


def _total(parts: list[Any]) -> Any:
    with paddle.enable_grad():
        return sum(part.sum() for part in parts)


def _output(ys: Any, function: bool) -> Any:
    """An output that can be differentiated."""
    if not isinstance(ys, paddle.Tensor):
        raise TypeError(
            f"ys must be a paddle.Tensor computed from xs, got {type(ys).__name__}, which has no "
            "graph"
            + ("; return the tensor itself, not .item() or .numpy()" if function else "")
            + ("" if function else "; or give the function itself: lh.hessian(f, xs)")
        )
    if ys.is_complex():
        raise TypeError(
            f"ys has dtype {ys.dtype}; take its real or imaginary part, ys.real() or ys.imag()"
        )
    if not ys.stop_gradient and ys.dtype in DTYPES:
        return ys
    seen = f"ys (shape {tuple(ys.shape)}, dtype {ys.dtype}) has no graph"
    if not ys.stop_gradient:
        raise TypeError(f"ys must be of dtype float64 or float32, got {ys.dtype}; ys.astype it")
    if function:
        raise ValueError(
            f"{seen}: it does not depend on xs, or was detached on the way (.detach(), .item(), "
            ".numpy(), paddle.no_grad()); return the floating tensor that was computed from xs"
        )
    raise ValueError(
        f"{seen}: it was computed under paddle.no_grad(), or detached (.detach(), .item(), "
        ".numpy()), or xs had stop_gradient=True by then; compute it again with its graph, or "
        "give the function itself: lh.hessian(f, xs)"
    )


def _check_related(gradients: list[Any], tree: Any, function: bool, strict: bool) -> None:
    """Refuse xs that ys was not computed from.

    A leaf that ys does not use, beside others that it does, has a Hessian of zero. An expression
    such as ``w[0]``, made for this call, is never what was meant.
    """
    inputs = list(leaves(tree))
    if strict:
        check_related(inputs, (gradient is not None for gradient in gradients))
    missing = [x for x, gradient in zip(inputs, gradients, strict=True) if gradient is None]
    for path, x in missing:
        shape = tuple(x.shape)
        if not function and not x.is_leaf:
            raise ValueError(
                f"xs{path} (shape {shape}) is no leaf, and ys was not computed from it: an "
                "expression such as w[0] makes a new tensor each time; make it before computing "
                "ys, and compute ys from it"
            )
    if missing and len(missing) == len(inputs):
        raise ValueError(UNRELATED)


def _fits(tree: Any, new: Any) -> None:
    check_new(tree, containers(new), _check_kind)
