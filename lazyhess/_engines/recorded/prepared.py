"""What is worked out once for an output and some inputs: loops put together, and linear maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lazyhess._create import ones
from lazyhess._engines.recorded.autobatch import autobatch
from lazyhess._indices import Array
from lazyhess._record.variable import Variable, ancestors
from lazyhess._sweep.linearization import Linearization


def unit_cotangent(root: Variable, output: int | None = None) -> Array:
    """The cotangent of one element of an output, or of the sum of all."""
    if output is None:
        return ones(root.shape, root.dtype)
    cotangent = np.zeros(root.size, root.dtype)
    cotangent[output] = 1
    return cotangent.reshape(root.shape)


def linearize(root: Variable, xs: Sequence[Variable]) -> Linearization:
    """The linearization of the sum of `root`, made once for the same xs."""
    known = prepared(root, xs)
    if known.linearization is None:
        known.linearization = Linearization(autobatched(root, xs), xs, unit_cotangent(root))
    return known.linearization


def autobatched(root: Variable, xs: Sequence[Variable]) -> Variable:
    """The output with loops put together, made once for the same xs."""
    graph = prepared(root, xs).graph
    return root if graph is None else graph


def reach(root: Variable, xs: Sequence[Variable]) -> dict[int, int]:
    """How many elements of what lies between depend on which xs, the bits of a number."""
    own: dict[int, int] = {}
    for k, x in enumerate(xs):
        own[x._serial] = own.get(x._serial, 0) | 1 << k
    bits: dict[int, int] = {}
    values: dict[int, int] = {}
    for node in ancestors([root]):
        mine = own.get(node._serial, 0)
        reached = mine
        for x in node._operands:
            if type(x) is Variable:
                reached |= bits.get(x._serial, 0)
        if reached:
            bits[node._serial] = reached
            if not mine:
                values[reached] = values.get(reached, 0) + node._value.size
    return values


@dataclass
class Prepared:
    """What was worked out for an output and some inputs."""

    key: tuple[int, ...]  # of the inputs
    graph: Variable | None  # with loops put together; not the output itself, which keeps this
    linearization: Linearization | None = None


def prepared(root: Variable, xs: Sequence[Variable]) -> Prepared:
    """What is kept on an output for these inputs."""
    key = tuple(x._serial for x in xs)
    kept: Prepared | None = root._linearized
    if kept is None or kept.key != key:
        graph = autobatch(root, xs)
        kept = root._linearized = Prepared(key, None if graph is root else graph)
    return kept
