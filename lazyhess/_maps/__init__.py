"""Linear maps: what Jacobians and curvatures are made of.

A closed little algebra. Each map knows how to act on a dense block (`dense`), on a sparse one
(`sparse`), and its transpose (`T`); `apply` chooses by kind, and zero stays zero. Blocks have a
leading seed axis that every map leaves alone, so that one call pushes all seeds of a pass.
"""

from __future__ import annotations

from functools import lru_cache

from lazyhess._indices import Shape
from lazyhess._maps.axes import Accumulate, Expand, Permute, Reduce, Reshape
from lazyhess._maps.base import NOTHING, Batched, Chain, Map, Weighted
from lazyhess._maps.contraction import Contract
from lazyhess._maps.diagonal import Conjugate, Mask, Scale
from lazyhess._maps.fourier import Fourier
from lazyhess._maps.gather import Gather, Scatter

__all__ = [
    "NOTHING",
    "Accumulate",
    "Batched",
    "Chain",
    "Conjugate",
    "Contract",
    "Expand",
    "Fourier",
    "Gather",
    "Map",
    "Mask",
    "Permute",
    "Reduce",
    "Reshape",
    "Scale",
    "Scatter",
    "Weighted",
    "broadcast",
    "chain",
]


def chain(*maps: Map | None) -> Map:
    """The composition of maps, without those that change nothing (``None``, equal shapes)."""
    steps: list[Map] = []
    for step in maps:
        if isinstance(step, Chain):
            steps.extend(step.maps)
        elif step is not None and not (isinstance(step, Reshape) and step.inp == step.out):
            steps.append(step)
    if len(steps) == 1:
        return steps[0]
    if steps:
        return Chain(*steps)
    first = next(step for step in maps if step is not None)
    return Reshape(first.inp, first.inp)


@lru_cache(maxsize=1024)
def broadcast(inp: Shape, out: Shape) -> Map:
    """The map of `numpy.broadcast_to`. One object for equal shapes, so that patterns are shared."""
    if inp == out:
        return Reshape(inp, out)
    lead = len(out) - len(inp)
    axes = tuple(
        axis for axis, n in enumerate(out) if axis < lead or (inp[axis - lead] == 1 and n != 1)
    )
    return Expand(inp, axes, out)
