"""The blocks of a call, and the same blocks at another point: `Hessian.at`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lazyhess._engine import NumpyEngine
from lazyhess._hessian import Hessian
from lazyhess._plan import Core
from lazyhess._tangents import Array
from lazyhess._trees import leaves, rebuild
from lazyhess._variable import Variable

# From new inputs in the structure of xs to the output and the inputs, checked and recorded.
Recorder = Callable[[Any], tuple[Variable, list[Variable]]]


class Again:
    """What makes the Hessian of a call at another point.

    Parameters
    ----------
    tree : nested containers
        The structure of xs; leaves count.
    cache : int, str, cachetools.Cache or None
        As given to `hessian`.
    record : callable, optional
        Runs the user's function at new inputs; without it the recorded graph is all there is.
    """

    def __init__(self, tree: Any, cache: Any, record: Recorder | None = None) -> None:
        self.tree = tree
        self.cache = cache
        self.record = record

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "record": None}  # functions of users need not pickle

    def blocks(self, engine: NumpyEngine) -> Any:
        """A Hessian for each pair of inputs, in the structure of xs twice."""
        core = Core(engine, self.cache, self)
        return rebuild(self.tree, lambda i: rebuild(self.tree, lambda j: Hessian(core, i, j)))

    def at(self, engine: NumpyEngine, new_xs: tuple[Any, ...]) -> Any:
        """The blocks at new inputs."""
        several = type(self.tree) in (tuple, list)
        new: Any = new_xs if several else new_xs[0] if len(new_xs) == 1 else new_xs
        old, given = list(leaves(self.tree)), list(leaves(new))
        if [path for path, _ in old] != [path for path, _ in given]:
            raise ValueError(
                f"at() takes new values for xs{', xs'.join(path for path, _ in old)}, one argument "
                f"for each x of a tuple, got {len(new_xs)} arguments with values at "
                f"{[path for path, _ in given]}"
            )
        values = [_value(path, x, engine.xs[k]) for k, (path, x) in enumerate(given)]
        made = engine.at(values)
        if made is None and self.record is not None:
            numbers = iter(values)
            root, xs = self.record(rebuild(self.tree, lambda _: next(numbers)))
            made = engine.like(root, xs)
        if made is None:
            raise ValueError(
                "at() cannot evaluate ys again: while it was recorded somebody asked for a value "
                "(a comparison, a sort, a norm, .value, .item()), and what was decided by it would "
                "stay as it was; give ys as a function, lh.hessian(f, xs), which is called again"
            )
        return self.blocks(made)


def _value(path: str, new: Any, x: Variable) -> Array:
    """A new value as a copy in the dtype of the old one."""
    value = np.asarray(new._value if isinstance(new, Variable) else new)
    if value.shape != x.shape or not np.can_cast(value.dtype, x.dtype, "same_kind"):
        raise ValueError(
            f"at() needs an array of shape {x.shape} and dtype {x.dtype} for xs{path}, got shape "
            f"{value.shape} and dtype {value.dtype}; another shape is another problem: call "
            "lh.hessian again"
        )
    return np.array(value, x.dtype, order="C", subok=False)
