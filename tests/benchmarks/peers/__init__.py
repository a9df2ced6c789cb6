"""Who is measured. One small module for each, which alone imports its framework.

A module has ``prepare(work, question) -> call``: the call computes the answer from ``work.xs``,
which are NumPy arrays, and returns it as a list of NumPy arrays. Whatever a user writes once and
keeps (constants converted, functions wrapped, not yet compiled) is done by `prepare`; what its
first call compiles is the first call's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.benchmarks.workloads import Array

Answer = list[Array]
Call = Callable[[], Answer]


@dataclass(frozen=True)
class Peer:
    """Where a peer's code is, what it is called in tables, and what it can be asked."""

    module: str
    label: str
    distribution: str
    kinds: frozenset[str]


def _peer(module: str, label: str, distribution: str, kinds: str) -> Peer:
    return Peer(f"tests.benchmarks.peers.{module}", label, distribution, frozenset(kinds.split()))


PEERS = {
    "ours": _peer(
        "ours", "lazyhess", "lazyhess",
        "full rows columns sparse samples sample product gradient syrk",
    ),
    "jax": _peer(
        "jax_jit", "jax.jit(jax.hessian)", "jax", "full rows columns samples product gradient"
    ),
    "torch.func": _peer(
        "torch_func", "torch.func.hessian", "torch", "full rows columns samples product gradient"
    ),
    "torch.autograd": _peer(
        "torch_autograd", "torch.autograd.functional.hessian", "torch", "full rows"
    ),
    "paddle": _peer("paddle_rows", "paddle.autograd.hessian", "paddlepaddle", "full rows samples"),
    "autograd": _peer("hips_autograd", "autograd.hessian", "autograd", "full rows product gradient"),
    "asdex": _peer("asdex_jit", "asdex.hessian", "asdex", "sparse"),
    "lazyhess.torch": _peer(
        "ours_torch", "lazyhess of torch's tensors", "torch", "full rows columns samples product"
    ),
    "lazyhess.jax": _peer(
        "ours_jax", "lazyhess of JAX's arrays", "jax", "full rows columns samples product"
    ),
    "lazyhess.paddle": _peer(
        "ours_paddle", "lazyhess of Paddle's tensors", "paddlepaddle", "full rows columns samples"
    ),
    "casadi": _peer("casadi_sx", "casadi.hessian", "casadi", "sparse full"),
}  # fmt: skip

# Scalar expressions: of dense arrays it would make millions. It is asked where a race names it.
BY_NAME = frozenset({"casadi"})
# lazyhess on the objects of others: asked where --peers names them.
OWN = frozenset({"lazyhess.torch", "lazyhess.jax", "lazyhess.paddle"})


def able(kind: str) -> Sequence[str]:
    """The peers that are asked such a question unless a race says otherwise."""
    return [
        name
        for name, peer in PEERS.items()
        if kind in peer.kinds
        and name != "ours"
        and (name not in BY_NAME or kind == "sparse")
        and name not in OWN
    ]
