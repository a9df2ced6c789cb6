"""Engines for objects of other frameworks: one module each, imported when such an object comes.

A framework is found by the module that defines the type of an object, which is imported by then. No
module of lazyhess imports a framework before.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib import import_module
from typing import Any

from lazyhess._engines.framework import Adapter
from lazyhess._trees import is_node

# The package that defines a type -> the module here that knows its objects.
_HOMES = {
    "torch": "torch",
    "jax": "jax",
    "jaxlib": "jax",
    "paddle": "paddle",
    "tensorflow": "tensorflow",
}

# Where users register containers of their own: the module, and its function that gives the leaves.
_REGISTRIES = {"jax.tree_util": "tree_leaves"}


@lru_cache(maxsize=256)
def _home(kind: Any) -> str | None:
    """The module that knows objects of a type."""
    homes = (_HOMES.get(base.__module__.partition(".")[0]) for base in kind.__mro__)
    return next((home for home in homes if home is not None), None)


def find(*trees: Any) -> Adapter | None:
    """The adapter for what is in these containers; ``None`` where no framework's object is."""
    found: str | None = None
    stack = list(trees)
    while stack and found is None:
        tree = stack.pop()
        if isinstance(tree, dict):
            stack.extend(tree.values())
        elif is_node(tree):
            stack.extend(tree)
        else:
            kind: Any = type(tree)
            found = _home(kind)
            if found is None and kind.__module__ not in ("numpy", "builtins"):
                stack.extend(_registered(tree))
    if found is None:
        return None
    adapter: Adapter = import_module(f"lazyhess._frontends.{found}.frontend").ADAPTER
    return adapter


def _registered(tree: Any) -> list[Any]:
    """What is in a container that is registered with a framework that was imported."""
    for name, function in _REGISTRIES.items():
        flatten = getattr(sys.modules.get(name), function, None)
        if flatten is not None:
            leaves = flatten(tree)
            if len(leaves) != 1 or leaves[0] is not tree:
                return list(leaves)
    return []
