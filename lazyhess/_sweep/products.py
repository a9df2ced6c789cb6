"""Hessian-vector products: what has to be done for one, and the two sweeps that do it.

Over tangent blocks (A. Griewank and A. Walther, *Evaluating Derivatives*, 2nd ed., SIAM 2008,
chapter 5)::

    dz = sum_k J_k da_k                               forward
    dā_k += J_kᵀ dz̄ + sum_l C_kl da_l                 backward
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from lazyhess._maps import Gather, Map
from lazyhess._maps.graph import BLOCKS, MARKS, Algebra, CurvatureEdge, Edge, MapGraph
from lazyhess._record.linear import RecordedMaps
from lazyhess._sweep.alignment import AlignedRun, aligned_runs, source_views
from lazyhess._sweep.gram import GramTerm, gram_terms
from lazyhess._tangents import (
    Block,
    SourceView,
    Structured,
    cast,
    nbytes,
    shape_of,
    total,
)


class ProductPlan:
    """What a product from ``xs[source]`` to some targets has to do, without dead or zero work.

    Parameters
    ----------
    maps : RecordedMaps
        The graph.
    source : int
        The x that the seeds are tangents of.
    targets : tuple of int
        The x for whose adjoints tangents are asked.
    without : frozenset of Map
        Curvatures that are left out.
    """

    def __init__(
        self,
        maps: RecordedMaps,
        source: int,
        targets: tuple[int, ...],
        without: frozenset[Map] = frozenset(),
    ) -> None:
        self.maps = maps
        self.source = maps.inputs[source]
        self.shape = maps.shapes[source]
        # Seeds of this dtype need no wider one: it is that of all inputs.
        self.dtype = maps.dtypes[source] if len(set(maps.dtypes)) == 1 else None
        self.targets = {k: (maps.inputs[k], maps.dtypes[k]) for k in targets}
        self.whole = source in targets
        self.kept = {slot for slot, _ in self.targets.values() if slot is not None}
        # Slots that the seeds reach, and slots from which the targets are reached.
        seeded, ahead = maps.part(() if self.source is None else (self.source,))
        leading, back = maps.part(self.kept)
        self.curvature: dict[int, list[CurvatureEdge]] = {}  # by the slots of steps
        with np.errstate(all="ignore"):
            for slot, curvature in maps.curvature.items():
                if slot in leading:
                    edges = [e for e in curvature.edges if e[0] in leading and e[1] in seeded]
                    if without:
                        edges = [edge for edge in edges if edge[2] not in without]
                    if edges:
                        self.curvature[slot] = edges
        # Tangents that a curvature reads, and the steps to them.
        self.read = {l for edges in self.curvature.values() for _, l, _ in edges}
        wanted = ahead.backward({slot: [True] for slot in self.read}, MARKS, seeded)
        self.tangents = MapGraph([step for step in ahead.steps if step[2] and step[0] in wanted])
        # The steps whose adjoints have tangents, by a curvature further up, and curved ones.
        tangents = dict.fromkeys(self.read, True)
        moved = back.backward({}, MARKS, leading, self.curvature, tangents)
        steps = []
        for step in back.steps:
            if step[0] in moved:
                steps.append(step)
            elif step[0] in self.curvature:
                steps.append((*step[:2], []))
        self.adjoints = MapGraph(steps)
        # Elements of all arrays that a product passes through: bounds what one seed can hold.
        passed = self.tangents.slots | self.adjoints.slots | self.kept
        self.size = sum([maps.sizes[slot] for slot in passed])

    # --- what shapes of the graph allow -----------------------------------------------------------

    @cached_property
    def work(self) -> int:
        """The multiplications of matrix products on the way back, for one seed."""
        work = sum([transposed.work for _, _, transposed in self.adjoints.edges])
        return work + sum([c.work for edges in self.curvature.values() for _, _, c in edges])

    @property
    def _back(self) -> list[tuple[int, Map]]:
        """The maps of the way back, and the slots of adjoints that they lead to."""
        maps = [(k, transposed) for k, _, transposed in self.adjoints.edges]
        return maps + [(k, c) for edges in self.curvature.values() for k, _, c in edges]

    @cached_property
    def views(self) -> dict[int, SourceView]:
        """Arrays that are pieces of the source, by their slots; none without matrix products."""
        if self.source is None or not self.work:
            return {}
        return source_views(self.maps.graph, self.maps.inputs, self.source, prod(self.shape))

    @cached_property
    def aligned_runs(self) -> list[AlignedRun]:
        """Pieces of the source whose seeds make factored blocks, if taken in whole groups."""
        if not self.views:
            return []
        maps = [(k, jacobian) for k, jacobian, _ in self.tangents.edges]
        maps += [(l, c) for edges in self.curvature.values() for _, l, c in edges]
        return aligned_runs(self.views, maps)

    def gram_terms(self) -> list[GramTerm]:
        """The parts of the block of the source with itself that are a rank-k update."""
        if self.source is None or not self.whole or not self.work:
            return []
        curvature = [edge for edges in self.curvature.values() for edge in edges]
        return gram_terms(self.tangents, curvature, self.source, self.shape)

    @cached_property
    def cuttable(self) -> bool:
        """Whether `push` does less where the first rows of the source's adjoint are not asked."""
        if not self.whole or not self.views or self.source in self.adjoints.slots:
            return False  # an intermediate, whose adjoint has a step, hands on all that arrives
        return any(k in self.views and map_.work for k, map_ in self._back) and any(
            k == self.source and map_.trailing(1) is not None for k, map_ in self._back
        )

    def _cut(self, start: int) -> tuple[MapGraph, dict[int, list[CurvatureEdge]]]:
        """The way back to what lies from `start` on along the first axis of the source."""
        before = start * prod(self.shape[1:])
        known = {  # adjoints that lead only to what lies before
            slot
            for slot, view in self.views.items()
            if view.stop <= before and slot not in self.kept
        }

        def cut(k: int, map_: Map) -> Map:
            trailing = map_.trailing(start) if self.cuttable and k == self.source else None
            return map_ if trailing is None else trailing

        def cut_edge(_: int, edge: Edge) -> Edge | None:
            k, jacobian, transposed = edge
            return None if k in known else (k, jacobian, cut(k, transposed))

        return self.adjoints.edited(cut_edge), {
            slot: [(k, l, cut(k, c)) for k, l, c in edges if k not in known]
            for slot, edges in self.curvature.items()
        }

    # --- the sweeps -------------------------------------------------------------------------------

    def push(self, seeds: Block, start: int = 0) -> tuple[dict[int, Block], int]:
        """Hessian-vector products.

        Parameters
        ----------
        seeds : Block
            Tangents of the source; where their dtype is wider than its own, all is worked out, and
            answered, in the wider one.
        start : int
            Of the source's adjoint only what lies from here on along the first axis is asked.

        Returns
        -------
        rows : dict of int -> Block
            For each target, the tangents of its adjoint.
        held : int
            The bytes of tangents and adjoint tangents that were held at the most, about.
        """
        if self.source is None or not self.curvature:
            return dict.fromkeys(self.targets), 0
        adjoints, curvature = self._cut(start) if start else (self.adjoints, self.curvature)
        largest = 0
        wide: np.dtype[Any] | None = None
        if seeds is not None and (self.dtype is None or seeds.dtype != self.dtype):
            wide = seeds.dtype
        blocks = BLOCKS if wide is None else _in_dtypes(wide)

        def add(parts: Sequence[Block], dtype: np.dtype[Any]) -> Block:
            """As `BLOCKS` does it, and in line: a call more for each step is felt."""
            nonlocal largest
            block = parts[0] if len(parts) == 1 else total(parts)
            if wide is not None:
                dtype = np.result_type(dtype, wide)
            if block is not None and block.dtype is not dtype:
                block = cast(block, dtype)
            if block is not None and block.nbytes > largest:
                largest = block.nbytes
            return block

        with np.errstate(all="ignore"):
            tangents = self.tangents.forward({self.source: seeds}, blocks)
            tangents = {slot: tangents[slot] for slot in self.read}
            held = nbytes(tangents.values())
            pending = adjoints.backward(
                {}, Algebra(BLOCKS.act, add), self.kept, curvature, tangents
            )
            rows = self._rows(pending, start, wide)
        return rows, held + 3 * largest + nbytes(rows.values())

    def _rows(
        self, pending: dict[int, list[Block]], start: int, wide: np.dtype[Any] | None
    ) -> dict[int, Block]:
        """The tangents of the targets' adjoints."""
        rows: dict[int, Block] = {}
        shape = self.shape
        for k, (slot, dtype) in self.targets.items():
            blocks = None if slot is None else pending.get(slot)
            if blocks and start and slot == self.source:
                behind = Gather(shape, (slice(start, None),), (shape[0] - start, *shape[1:]))
                blocks = [b if shape_of(b, shape) != shape else behind.apply(b) for b in blocks]
            dtype = dtype if wide is None else np.result_type(dtype, wide)
            block = cast(total(blocks, last=True), dtype) if blocks else None
            rows[k] = block.expanded() if isinstance(block, Structured) else block
        return rows


def _in_dtypes(wide: np.dtype[Any]) -> Algebra[Block]:
    """`BLOCKS`, in no narrower dtype than this one."""
    return Algebra(BLOCKS.act, lambda parts, dtype: BLOCKS.add(parts, np.result_type(dtype, wide)))
