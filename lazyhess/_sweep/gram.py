"""Parts of a symmetric matrix that are one rank-k update: ``B.T @ diag(d) @ B``."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any, TypeAlias

import numpy as np

from lazyhess._costs import COSTS
from lazyhess._decisions import everywhere, nowhere, selective
from lazyhess._indices import Array, Shape
from lazyhess._maps import Map, Scale
from lazyhess._maps.graph import Algebra, CurvatureEdge, MapGraph, only
from lazyhess._tangents import Block, identity

# The maps from the source to an array, as (maps before, last map); () at the source.
Path: TypeAlias = tuple[Any, ...]


PATHS: Algebra[Path | None] = Algebra(lambda map_, path: (path, map_), only)
"""The one way from the source to an array; ``None`` where there are several."""


class GramTerm:
    """``B.T @ diag(d) @ B``: a curvature between a chain of maps and itself."""

    def __init__(self, shape: Shape, maps: list[Map], scale: Scale, work: int) -> None:
        self.shape, self.maps, self.scale = shape, maps, scale
        self.work = work  # multiplications for one row

    def matrix(self) -> Array | None:
        """The matrix, or ``None`` where B is sparse, and its sweeps are cheaper."""
        weights = np.broadcast_to(self.scale.weights, self.scale.out).reshape(-1)
        size = prod(self.shape)
        block: Block = identity(np.arange(size), self.shape, weights.dtype)
        with np.errstate(all="ignore"):
            for map_ in self.maps:
                block = map_.apply(block)
        if not isinstance(block, np.ndarray) or block.dtype != weights.dtype:
            return None
        rows = block.reshape(size, -1)
        below = weights < 0
        if nowhere(below):
            return self._of(rows, weights)
        if everywhere(below):
            return -self._of(rows, -weights)
        above, sizes = ~below, np.abs(weights)
        if not selective(below):
            return self._of(rows, sizes * above) - self._of(rows, sizes * below)
        return self._of(rows[:, above], sizes[above]) - self._of(rows[:, below], sizes[below])

    @staticmethod
    def _of(rows: Array, weights: Array) -> Array:
        # Of an array times its own transpose BLAS computes one half.
        half = rows * np.sqrt(weights)
        product: Array = half @ half.T
        return product


def gram_terms(
    tangents: MapGraph, curvature: Iterable[CurvatureEdge], source: int, shape: Shape
) -> list[GramTerm]:
    """The diagonal curvatures to which one chain of maps, products among them, leads.

    Parameters
    ----------
    tangents : MapGraph
        The maps from the source on.
    curvature : iterable of (int, int, Map)
        Slots, and the curvature between them.
    source, shape
        The slot and the shape of the x that the matrix is by, twice.
    """
    diagonal = [
        (k, scale)
        for k, l, scale in curvature
        if k == l and type(scale) is Scale and scale.weights.dtype.kind == "f"
    ]
    start: dict[int, Path | None] = {source: ()}
    paths = tangents.forward(start, PATHS) if diagonal else {}
    size = prod(shape)
    terms: list[GramTerm] = []
    for k, scale in diagonal:
        path = paths.get(k)
        if not path:
            continue
        maps = _maps(path)
        width = prod(scale.out)
        if not sum([map_.work for map_ in maps]) or not all(m.finite for m in (*maps, scale)):
            continue
        if size * width * scale.weights.itemsize <= COSTS.gram_bytes:
            terms.append(GramTerm(shape, maps, scale, size * width // 2))
    return terms


def _maps(path: Path) -> list[Map]:
    maps: list[Map] = []
    while path:
        path, last = path
        maps.append(last)
    return maps[::-1]
