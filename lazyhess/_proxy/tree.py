"""The blocks of a call in the structure of xs, and the same blocks at another point."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lazyhess._engines.problem import Problem
from lazyhess._proxy.hessian import Hessian
from lazyhess._proxy.rows import RowSource
from lazyhess._trees import gathered


class HessianTree:
    """All blocks of a Hessian.

    Parameters
    ----------
    problem : Problem
        What a front end made of the call.
    cache : int, str, cachetools.Cache or None
        As given to `lazyhess.hessian`; where it is no cache but a size, each point has its own.
    """

    def __init__(self, problem: Problem, cache: Any) -> None:
        # What a function returned beside its output is the caller's, and not kept.
        self.problem = problem if problem.aux is None else replace(problem, aux=None)
        self.cache = cache

    def blocks(self) -> Any:
        """A Hessian for each pair of inputs, in the structure of xs twice."""
        source, by_x = RowSource(self.problem.engine, self.cache, self), self.problem.for_each_x
        return by_x(lambda i: by_x(lambda j: Hessian(source, i, j)))

    def at(self, new_xs: tuple[Any, ...]) -> Any:
        """The blocks at new inputs: one argument, or one for each x of a tuple or list."""
        new_xs = tuple(map(gathered, new_xs))  # once: what looks at an iterator uses it up
        kind = type(self.problem.tree)
        several = kind in (tuple, list)
        if not several and len(new_xs) != 1:
            raise TypeError(f"at() takes one argument, new values for xs, got {len(new_xs)}")
        problem = self.problem.at(kind(new_xs) if several else new_xs[0])
        return HessianTree(problem, self.cache).blocks()
