"""Front ends: from the arguments of a call to an engine. Recorded NumPy is one of them.

A framework is found by the module that defines the type of an object, which is imported by then. No
module of lazyhess imports a framework before. What belongs to none is NumPy's.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib import import_module
from typing import Any

from lazyhess._frontends import numpy
from lazyhess._frontends.base import FrontEnd
from lazyhess._trees import is_node

# The package that defines a type -> the package here that knows its objects.
_FRAMEWORKS = {
    "torch": "torch",
    "jax": "jax",
    "jaxlib": "jax",
    "paddle": "paddle",
    "tensorflow": "tensorflow",
}

# Where users register containers of their own: the module, and its function that gives the leaves.
_REGISTRIES = {"jax.tree_util": "tree_leaves"}


@lru_cache(maxsize=256)
def _framework(kind: Any) -> str | None:
    """The framework whose objects are of a type."""
    names = (_FRAMEWORKS.get(base.__module__.partition(".")[0]) for base in kind.__mro__)
    return next((name for name in names if name is not None), None)


def front_end_of(*trees: Any) -> FrontEnd:
    """The front end for what is in these containers: NumPy's, where no framework's object is."""
    framework: str | None = None
    stack = list(trees)
    while stack and framework is None:
        tree = stack.pop()
        if isinstance(tree, dict):
            stack.extend(tree.values())
        elif is_node(tree):
            stack.extend(tree)
        else:
            kind: Any = type(tree)
            framework = _framework(kind)
            if framework is None and kind.__module__ not in ("numpy", "builtins"):
                stack.extend(_registered(tree))
    if framework is None:
        return numpy.FRONT_END
    front_end: FrontEnd = import_module(f"lazyhess._frontends.{framework}.frontend").FRONT_END
    return front_end


def _registered(tree: Any) -> list[Any]:
    """What is in a container that is registered with a framework that was imported."""
    for name, function in _REGISTRIES.items():
        flatten = getattr(sys.modules.get(name), function, None)
        if flatten is not None:
            leaves = flatten(tree)
            if len(leaves) != 1 or leaves[0] is not tree:
                return list(leaves)
    return []
