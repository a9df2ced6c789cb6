"""Nodes of a graph of torch whose second derivatives are wrong, or may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

# Names of nodes -> what they are, what is wrong with them, and the way out. Those of functions that
# torch or others wrote as an autograd.Function are named after their class.
_WRONG = {
    "WeightNormInterfaceBackward": (
        "the fused weight norm (torch._weight_norm, which torch.nn.utils.weight_norm and "
        "parametrizations.weight_norm call)",
        "they are not symmetric",
        "compute the weight in the open, g * v / torch.linalg.vector_norm(v, dim=axes, "
        "keepdim=True), for instance by a parametrization of your own",
    ),
    "CheckpointFunctionBackward": (
        "a re-entrant checkpoint (torch.utils.checkpoint.checkpoint)",
        "its backward records nothing, so they would be zero",
        "checkpoint(..., use_reentrant=False)",
    ),
}
# Nodes that nobody has to suspect: sums, products, and what moves elements.
_PLAIN = (
    "AccumulateGrad Add Alias AsStrided Bmm Cat Clone Copy Div Expand Index Mean Mm Mul Mv Neg "
    "Permute Pow Repeat Reshape Select Slice Split Squeeze Stack Sub Sum T ToCopy Transpose "
    "UnsafeView Unsqueeze View"
)
PLAIN = {name if name == "AccumulateGrad" else f"{name}Backward" for name in _PLAIN.split()}


def between(root: Any, xs: Sequence[Any]) -> list[Any]:
    """The nodes on the way from some tensors to an output, each once."""
    known: set[Any] = {None}
    parents: dict[Any, list[Any]] = {}
    stack = [root.grad_fn]
    while stack:
        node = stack.pop()
        if node in known:
            continue
        known.add(node)
        for child, _ in node.next_functions:
            if child is not None:
                parents.setdefault(child, []).append(node)
                stack.append(child)
    found: dict[Any, None] = {}
    for x in xs:
        if x.requires_grad:
            with torch.inference_mode(False), torch.enable_grad():
                node = x.grad_fn or torch.autograd.graph.get_gradient_edge(x).node
            stack.extend(parents.get(node, ()))
    while stack:
        node = stack.pop()
        if node not in found:
            found[node] = None
            stack.extend(parents.get(node, ()))
    return list(found)


def name_of(node: Any) -> str:
    """The name of a node, without the number of its overload."""
    name: str = node.name().rpartition("::")[2]
    return name.rstrip("0123456789")


def _own(node: Any) -> Any:
    """The autograd.Function that a node is of, if it is of one."""
    return getattr(type(node), "_forward_cls", None)


def refuse(nodes: Sequence[Any]) -> None:
    """Refuse nodes whose second derivatives are known to be wrong."""
    for kind, node in {type(node): node for node in nodes}.items():
        wrong = _WRONG.get(name_of(node))
        if wrong is not None:
            what, why, way = wrong
            raise NotImplementedError(
                f"torch's second derivatives of {what} are wrong: {why}; the way out: {way}"
            )
        refuse_once_differentiable(kind)


def suspects(nodes: Sequence[Any]) -> list[str]:
    """What to suspect of wrong second derivatives: functions of users, or else what is rare."""
    own = dict.fromkeys(
        f"autograd.Function {function.__name__}" for node in nodes if (function := _own(node))
    )
    if own:
        return list(own)
    return list(dict.fromkeys(name for name in map(name_of, nodes) if name not in PLAIN))


def changes(nodes: Sequence[Any]) -> bool:
    """Whether another call would change something: statistics of batches that are kept."""
    return any(getattr(node, "_saved_training", False) is True for node in nodes)


def refuse_once_differentiable(kind: Any) -> None:
    """Refuse a user's function whose backward is marked so: torch would take it for linear."""
    function: Any = getattr(kind, "_forward_cls", None)
    backward = getattr(function, "backward", None)
    marked = getattr(torch.autograd.function.once_differentiable(_nothing), "__code__", None)
    if backward is not None and getattr(backward, "__code__", _nothing) is marked:
        raise NotImplementedError(
            f"torch has no second derivative of {function.__name__}, whose backward is marked "
            f"once_differentiable; the way out: {WRITE_BACKWARD}"
        )


WRITE_BACKWARD = (
    "write the backward of your autograd.Function with differentiable operations of torch, and "
    "without once_differentiable"
)


def _nothing(ctx: Any, *args: Any) -> None:
    """A function to be marked."""
