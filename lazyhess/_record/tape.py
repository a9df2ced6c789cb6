"""A recorded graph as a list of primitives, to be evaluated again at other inputs.

What a primitive decides from values it decides anew. What anybody else decided from them, a
comparison in the user's code or a rule that sorts, is part of the graph as it was recorded; so a
graph is replayed only if no value was asked for while it was recorded (`value_dependent`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lazyhess._indices import Array
from lazyhess._record.primitive import Primitive
from lazyhess._record.variable import Variable, ancestors, leaf, new_variable


def value_dependent(root: Variable, xs: Sequence[Variable]) -> bool:
    """Whether somebody asked for a value between the first of xs and the output."""
    return bool(xs) and root._read > min(x._serial for x in xs)


class Tape:
    """The primitives between some inputs and an output, in order.

    Parameters
    ----------
    root : Variable
        The output.
    xs : sequence of Variable
        The inputs; what does not depend on them is constant.
    """

    def __init__(self, root: Variable, xs: Sequence[Variable]) -> None:
        place = {x._serial: k for k, x in enumerate(xs)}
        inputs = len(place)
        # For each primitive its operands: the place of an array, or -1 and a constant.
        self.steps: list[tuple[Primitive, list[tuple[int, Any]]]] = []
        for node in ancestors([root], lambda node: node._serial not in place):
            operands = [
                (place.get(x._serial, -1), x) if type(x) is Variable else (-1, x)
                for x in node._operands
            ]
            if node._primitive is not None and any(k >= 0 for k, _ in operands):
                place[node._serial] = inputs + len(self.steps)
                recorded = [(k, None if k >= 0 else x) for k, x in operands]
                self.steps.append((node._primitive, recorded))
        self.root: Any = place.get(root._serial, root)

    def evaluate(self, values: Sequence[Array | Variable]) -> tuple[Variable, list[Variable]]:
        """The output and the inputs, recorded at other values; a Variable among them stays one."""
        xs = [+x if isinstance(x, Variable) else leaf(x) for x in values]
        nodes = list(xs)
        for primitive, places in self.steps:
            operands = tuple([x if k < 0 else nodes[k] for k, x in places])
            args = [x._value if type(x) is Variable else x for x in operands]
            nodes.append(new_variable(primitive, operands, np.asarray(primitive.value(*args))))
        return (nodes[self.root] if isinstance(self.root, int) else self.root), xs
