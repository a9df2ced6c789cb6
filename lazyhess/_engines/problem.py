"""What a front end makes of a call: an engine, and how its answers are arranged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from lazyhess._engines.protocol import Engine
from lazyhess._trees import rebuild


@dataclass
class Problem:
    """One output and the inputs it is differentiated by, at one point.

    Parameters
    ----------
    engine : Engine
        What computes rows, products and gradients.
    tree : nested containers
        The structure of xs; what its leaves are does not matter.
    rebuild : callable
        Rebuilds such containers, as `lazyhess._trees.rebuild`.
    aux
        What a function returned beside its output.
    again : callable, optional
        The same problem at new xs, in their structure: it calls a function of the user.
    """

    engine: Engine
    tree: Any
    rebuild: Callable[[Any, Callable[[Any], Any]], Any] = rebuild
    aux: Any = None
    again: Callable[[Any], Problem] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "again": None}  # functions of users need not pickle

    def for_each_x(self, make: Callable[[int], Any]) -> Any:
        """``make(i)`` for each x_i, in the structure of xs."""
        numbers = count()
        return self.rebuild(self.tree, lambda _: make(next(numbers)))

    def at(self, new_xs: Any) -> Problem:
        """The same problem at new xs, in their structure."""
        if self.again is None:
            raise ValueError(
                "at() calls ys again, and ys was not given as a function: lh.hessian(f, xs)"
            )
        return self.again(new_xs)
