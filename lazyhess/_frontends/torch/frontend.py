"""torch: tensors with a graph, and callables on tensors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from lazyhess._engines.problem import Problem
from lazyhess._frontends.base import check_alike, check_new, check_related, graph_problem
from lazyhess._frontends.request import Request, call, one_output
from lazyhess._frontends.torch.products import Graph, explained, nodes, recording
from lazyhess._frontends.torch.samples import Samples
from lazyhess._trees import inside, leaves, rebuild

_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


class Torch:
    """See `lazyhess._frontends.base.FrontEnd`."""

    def problem(self, request: Request) -> Problem:
        function = _is_function(request.ys)
        graph, tree, aux, batch = _prepare(request)
        fits = partial(_fits, tree) if function else None
        return graph_problem(self, graph, request, tree, aux, batch, fits)

    def gradient(self, request: Request) -> Any:
        graph, tree, aux, _ = _prepare(request)
        with recording(), explained():
            made = torch.autograd.grad(
                graph.root.sum(),
                graph.xs,
                create_graph=request.create_graph,
                retain_graph=request.create_graph or not _is_function(request.ys),
                allow_unused=True,
            )
        zeros = torch.zeros_like
        parts = iter([zeros(x) if g is None else g for x, g in zip(graph.xs, made, strict=True)])
        answer = rebuild(tree, lambda _: next(parts))
        return request.with_aux(answer, aux)


FRONT_END = Torch()


def _is_function(ys: Any) -> bool:
    return callable(ys) and not isinstance(ys, torch.Tensor)


def containers(tree: Any) -> Any:
    """Torch's own containers of parameters as plain ones."""
    if isinstance(tree, torch.nn.ParameterDict):
        tree = dict(tree.items())
    elif isinstance(tree, torch.nn.ParameterList):
        tree = tuple(tree)
    return inside(tree, containers)


def _prepare(request: Request) -> tuple[Graph, Any, Any, list[int | None] | None]:
    """The graph of a request, the structure of xs, aux and the batch axes, all checked."""
    ys, xs, aux, create = request.ys, containers(request.xs), None, request.create_graph
    function = _is_function(ys)
    if function:
        request = request.at(xs) if request.argnums is None else request
        with recording():
            ys, xs, aux = call(request, _kept if create else _fresh, _plain)
    else:
        request.needs_callable()
    inputs = list(leaves(xs))
    for path, x in inputs:
        _check_input(path, x)
    check_alike(inputs, "device", "dtype")
    check = partial(_output, function=function)
    root = one_output(ys, request.reduction, check, _total, "torch.stack")
    batch = request.batch_axes(tuple(root.shape), inputs)
    if not function:
        _check_apart(root, inputs)
    tensors = [x for _, x in inputs]
    graph = Graph(root, tensors, create)
    if function and batch is not None and None in batch:
        graph = Samples(root, tensors, create, _of_leaves(request, xs), batch)
    if request.strict:
        check_related(inputs, map(graph.related, range(len(inputs))))
    return graph, xs, aux, batch


def _of_leaves(request: Request, tree: Any) -> Callable[[list[Any]], Any]:
    """The callable of a request as a function of the tensors of xs, in order."""

    def function(values: list[Any]) -> Any:
        numbers = iter(values)
        again = request.at(rebuild(tree, lambda _: next(numbers)))
        return call(again, lambda x: x, lambda x: x)[0]

    return function


def _fresh(x: Any) -> Any:
    """A copy to differentiate by, which no later change of x reaches."""
    _check_kind("", x)
    return x.detach().clone().requires_grad_()


def _kept(x: Any) -> Any:
    """One that still depends on x, so that what comes out can be differentiated by x."""
    _check_kind("", x)
    return x.clone() if x.requires_grad else _fresh(x)


def _plain(x: Any) -> Any:
    return x.detach().clone() if isinstance(x, torch.Tensor) else x


def _check_kind(path: str, x: Any) -> None:
    if isinstance(x, torch.nn.Module):
        raise TypeError(
            f"xs{path} is a module ({type(x).__name__}); give its parameters: "
            "dict(model.named_parameters()) or tuple(model.parameters())"
        )
    if not isinstance(x, torch.Tensor):
        raise TypeError(
            f"xs{path} must be a torch.Tensor like the others, got {type(x).__name__}; make it "
            "with torch.as_tensor(...)"
        )
    if x.dtype.is_complex:
        raise TypeError(
            f"xs{path} has dtype {x.dtype}: Hessians of torch's tensors are by real xs; take real "
            "and imaginary part as two xs, torch.complex(a, b) in the function"
        )
    if x.dtype not in _DTYPES:
        raise TypeError(
            f"xs{path} must be floating (float64, float32, bfloat16 or float16), got a tensor of "
            f"shape {tuple(x.shape)} and dtype {x.dtype}, which has no derivatives; convert it, "
            "x.double(), before computing ys"
        )
    if x.layout != torch.strided:
        raise TypeError(f"xs{path} must be dense, got a tensor of layout {x.layout}; x.to_dense()")


def _check_input(path: str, x: Any) -> None:
    _check_kind(path, x)
    if not x.requires_grad:
        raise ValueError(
            f"xs{path} (shape {tuple(x.shape)}, dtype {x.dtype}) does not require grad, so ys has "
            "no derivative by it (a detached copy is another tensor, too); call "
            "x.requires_grad_() before computing ys, or give the function itself: lh.hessian(f, xs)"
        )


def _total(parts: list[Any]) -> Any:
    with recording():
        return sum(part.sum() for part in parts)


def _output(ys: Any, function: bool) -> Any:
    """An output that can be differentiated."""
    if not isinstance(ys, torch.Tensor):
        raise TypeError(
            f"ys must be a torch.Tensor computed from xs, got {type(ys).__name__}, which has no "
            "graph"
            + ("; return the tensor itself, not .item() or .numpy()" if function else "")
            + ("" if function else "; or give the function itself: lh.hessian(f, xs)")
        )
    if ys.dtype.is_complex:
        raise TypeError(
            f"ys has dtype {ys.dtype}; take its real or imaginary part, ys.real or ys.imag"
        )
    if ys.requires_grad:
        return ys
    seen = f"ys (shape {tuple(ys.shape)}, dtype {ys.dtype}) has no graph"
    if function:
        raise ValueError(
            f"{seen}: it does not depend on xs, or was detached on the way (.detach(), .item(), "
            ".numpy(), torch.no_grad()); return the floating tensor that was computed from xs"
        )
    raise ValueError(
        f"{seen}: it was computed under torch.no_grad() or torch.inference_mode(), or detached "
        "(.detach(), .item(), .numpy()), or xs did not require grad by then; compute it again "
        "with its graph, or give the function itself: lh.hessian(f, xs)"
    )


def _check_apart(root: Any, inputs: list[tuple[str, Any]]) -> None:
    """Refuse what was computed from a tensor of ys' graph, but not on the way to ys.

    A leaf that ys does not use has a Hessian of zero; a view such as ``w[0]``, made for this call,
    is never what was meant.
    """
    made = [(path, x) for path, x in inputs if not x.is_leaf]
    if not made:
        return
    known = {edge for node in nodes(root) for edge in node.next_functions}
    for path, x in made:
        if (x.grad_fn, x.output_nr) not in known and x is not root:
            raise ValueError(
                f"xs{path} (shape {tuple(x.shape)}) is no leaf, and ys was not computed from it: "
                "an expression such as w[0] makes a new tensor each time; make it before computing "
                "ys, and compute ys from it"
            )


def _fits(tree: Any, new: Any) -> None:
    check_new(tree, containers(new), _check_kind)
