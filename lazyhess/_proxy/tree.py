"""The blocks of a call, and the same blocks at another point: `Hessian.at`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np

from lazyhess._engines.framework import Problem
from lazyhess._engines.recorded.engine import NumpyEngine
from lazyhess._engines.recorded.per_sample import PerSampleEngine
from lazyhess._proxy.hessian import Hessian
from lazyhess._proxy.rows import Core
from lazyhess._record.variable import Variable
from lazyhess._trees import is_node, rebuild

# From new inputs in the structure of xs to the output and the inputs, checked and recorded, and
# whether the function asked for values.
Recorder = Callable[[Any], tuple[Variable, list[Variable], bool]]


class Again:
    """What makes the Hessian of a call at another point.

    Parameters
    ----------
    tree : nested containers
        The structure of xs; leaves count.
    cache : int, str, cachetools.Cache or None
        As given to `hessian`.
    batch_axis
        As given to `hessian`.
    record : callable, optional
        Runs the user's function at new inputs; without it the recorded graph is all there is.
    decided : bool
        Whether the function asked for values: after its output was recorded, too.
    """

    def __init__(
        self,
        tree: Any,
        cache: Any,
        batch_axis: Any,
        record: Recorder | None = None,
        decided: bool = False,
    ) -> None:
        self.tree = tree
        self.cache = cache
        self.batch_axis = batch_axis
        self.decided = decided
        self.record = record

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "record": None}  # functions of users need not pickle

    def blocks(self, engine: NumpyEngine | PerSampleEngine) -> Any:
        """A Hessian for each pair of inputs, in the structure of xs twice."""
        if engine.batch and (sample := engine.interacting()) is not None:
            raise ValueError(
                f"samples interact under batch_axis={self.batch_axis}: ys[{sample}] depends on "
                "samples other than its own (a sum, mean, sort or product across the batch axis "
                "does that), so there is no Hessian per sample; use batch_axis=None, or "
                'reduction="none" for every pair'
            )
        core = Core(engine, self.cache, self)
        return rebuild(self.tree, lambda i: rebuild(self.tree, lambda j: Hessian(core, i, j)))

    def at(self, engine: NumpyEngine | PerSampleEngine, new_xs: tuple[Any, ...]) -> Any:
        """The blocks at new inputs."""
        several = type(self.tree) in (tuple, list)
        if not several and len(new_xs) != 1:
            raise TypeError(f"at() takes one argument, new values for xs, got {len(new_xs)}")
        given = _matched(self.tree, new_xs if several else new_xs[0])
        keep = engine.create_graph
        values = [_value(path, x, engine.xs[k], keep) for k, (path, x) in enumerate(given)]
        made = None if self.decided else engine.at(values)
        if made is None and self.record is not None:
            numbers = iter(values)
            root, xs, decided = self.record(rebuild(self.tree, lambda _: next(numbers)))
            again = Again(self.tree, self.cache, self.batch_axis, self.record, decided)
            return again.blocks(engine.like(root, xs))
        if made is None:
            raise ValueError(
                "at() cannot evaluate ys again: while it was recorded somebody asked for a value "
                "(a comparison, a sort, a norm, .value, .item()), and what was decided by it would "
                "stay as it was; give ys as a function, lh.hessian(f, xs), which is called again"
            )
        return self.blocks(made)


def _matched(tree: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """What stands in `new` where `tree` has a leaf, with the paths."""
    if not is_node(tree):
        yield path, new
        return
    keys: Any = tree.keys() if isinstance(tree, dict) else range(len(tree))
    fits = is_node(new) and isinstance(new, dict) == isinstance(tree, dict)
    if not fits or len(new) != len(keys) or (isinstance(new, dict) and new.keys() != keys):
        what = f"keys {list(keys)}" if isinstance(tree, dict) else f"{len(keys)} items"
        got = f"{len(new)} of them" if is_node(new) else "one value"
        raise ValueError(
            f"at() takes new values in the structure of xs, one argument for each x of a tuple: "
            f"xs{path} has {what}, got {type(new).__name__} with {got}"
        )
    for key in keys:
        yield from _matched(tree[key], new[key], f"{path}[{key!r}]")


def _value(path: str, new: Any, x: Variable, keep: bool) -> Any:
    """A new value as a copy in the dtype of the old one; or a Variable, if it is to be kept."""
    value = np.asarray(new._value if isinstance(new, Variable) else new)
    if value.shape != x.shape or not np.can_cast(value.dtype, x.dtype, "same_kind"):
        raise ValueError(
            f"at() needs an array of shape {x.shape} and dtype {x.dtype} for xs{path}, got shape "
            f"{value.shape} and dtype {value.dtype}; another shape is another problem: call "
            "lh.hessian again"
        )
    if keep and isinstance(new, Variable):
        return new.astype(x.dtype)
    return np.array(value, x.dtype, order="C", subok=False)


class Anew:
    """What makes the Hessian of a framework's function at another point: it is called again.

    Parameters
    ----------
    problem : Problem
        What the framework's adapter made of the call.
    cache : int, str, cachetools.Cache or None
        As given to `hessian`.
    """

    def __init__(self, problem: Problem, cache: Any) -> None:
        self.problem = problem
        self.cache = cache

    def __getstate__(self) -> dict[str, Any]:
        return {"problem": replace(self.problem, again=None), "cache": self.cache}

    def blocks(self) -> Any:
        """A Hessian for each pair of inputs, in the structure of xs twice."""
        problem, numbers = self.problem, count()
        tree = problem.rebuild(problem.tree, lambda _: next(numbers))
        core = Core(problem.engine, self.cache, self)
        return problem.rebuild(tree, lambda i: problem.rebuild(tree, lambda j: Hessian(core, i, j)))

    def at(self, engine: Any, new_xs: tuple[Any, ...]) -> Any:
        """The blocks at new inputs."""
        if self.problem.again is None:
            raise ValueError(
                "at() calls ys again, and ys was not given as a function: lh.hessian(f, xs)"
            )
        tree = self.problem.tree
        several = type(tree) in (tuple, list)
        if not several and len(new_xs) != 1:
            raise TypeError(f"at() takes one argument, new values for xs, got {len(new_xs)}")
        made = self.problem.again(type(tree)(new_xs) if several else new_xs[0])
        return Anew(made, self.cache).blocks()
