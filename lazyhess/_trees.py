"""Nested tuples, lists and dicts of leaves (pytrees): flatten, and build again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeGuard


def is_node(tree: Any) -> TypeGuard[tuple[Any, ...] | list[Any] | dict[Any, Any]]:
    """Whether `tree` is a container, not a leaf."""
    return isinstance(tree, (tuple, list, dict))


def gathered(tree: Any) -> Any:
    """An iterator as a tuple, and one of named things as a dict; all else as it is."""
    if not isinstance(tree, Iterator):
        return tree
    items = tuple(tree)
    named = items and all(isinstance(x, tuple) and isinstance(x[0], str) for x in items)
    return dict(items) if named else items


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf with its path, such as ``[0]['weight']``, in order; a None is none."""
    if isinstance(tree, dict):
        for key, child in tree.items():
            yield from leaves(child, f"{path}[{key!r}]")
    elif isinstance(tree, (tuple, list)):
        for k, child in enumerate(tree):
            yield from leaves(child, f"{path}[{k}]")
    elif tree is not None or not path:
        yield path, tree


def rebuild(tree: Any, make: Callable[[Any], Any]) -> Any:
    """The same containers, ``make(leaf)`` in place of each leaf, called in order; None stays."""
    if tree is None:
        return None
    if not is_node(tree):
        return make(tree)
    return inside(tree, lambda child: rebuild(child, make))


def inside(tree: Any, make: Callable[[Any], Any]) -> Any:
    """The same container with ``make(child)`` in place of each child; a leaf as it is."""
    if isinstance(tree, dict):
        made = {key: make(child) for key, child in tree.items()}
        return made if type(tree) is dict else type(tree)(made)
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*map(make, tree))
    if isinstance(tree, (tuple, list)):
        return (tuple if isinstance(tree, tuple) else list)(map(make, tree))
    return tree
