"""Arrays that are pieces of the source, and seeds that are taken so that blocks stay factored."""

from __future__ import annotations

from collections.abc import Iterable
from math import lcm
from typing import NamedTuple

from lazyhess._maps import Map
from lazyhess._maps.graph import Algebra, MapGraph, only
from lazyhess._tangents import SourceView

VIEWS: Algebra[SourceView | None] = Algebra(lambda map_, view: map_.view(view), only)
"""What piece of the source an array is; ``None`` where it is none."""


def source_views(
    graph: MapGraph, inputs: Iterable[int | None], source: int, size: int
) -> dict[int, SourceView]:
    """The arrays that are pieces of the source, by their slots.

    Parameters
    ----------
    graph : MapGraph
        All maps, so that what also depends on another input counts as no piece.
    inputs : iterable of int
        The slots of all inputs.
    source, size : int
        The slot of one of them, and its elements.
    """
    given: dict[int, SourceView | None] = {source: SourceView(0, size)}
    others = {slot for slot in inputs if slot is not None} - graph.slots
    given |= dict.fromkeys(others - {source})
    views = graph.forward(given, VIEWS)
    return {slot: view for slot, view in views.items() if view is not None}


class AlignedRun(NamedTuple):
    """A piece of the source whose seeds make factored blocks, if taken in multiples of `group`."""

    start: int
    stop: int
    group: int


def aligned_runs(views: dict[int, SourceView], maps: Iterable[tuple[int, Map]]) -> list[AlignedRun]:
    """The pieces of the source that the first matrix products multiply, none over another.

    Parameters
    ----------
    views : dict of int -> SourceView
        Arrays that are pieces of the source, by their slots.
    maps : iterable of (int, Map)
        The maps that tangents meet, and the slots of those tangents.
    """
    groups: dict[tuple[int, int], int] = {}
    for slot, map_ in maps:
        view = views.get(slot)
        group = map_.seed_group(view) if view else 0
        if view and group:
            piece = view.start, view.stop
            groups[piece] = lcm(group, groups.get(piece, 1))
    runs: list[AlignedRun] = []
    for (start, stop), group in sorted(groups.items()):
        if not runs or start >= runs[-1].stop:
            runs.append(AlignedRun(start, stop, group))
    return runs
