"""How the seeds of a request are cut into passes, and what passes tell of later ones."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lazyhess._costs import COSTS
from lazyhess._engines.protocol import Rows
from lazyhess._indices import Array, Ids
from lazyhess._record.variable import Variable
from lazyhess._sweep.products import ProductPlan


class AlignedRun(NamedTuple):
    """Rows whose seeds make factored blocks, if they are taken in multiples of a unit."""

    first: int
    last: int  # past it
    unit: int

    def taken(self, count: int, done: int) -> int:
        """How many rows to take, of those that begin at `done`: about `count`."""
        if done < self.first:
            return min(count, self.first - done)
        rest = self.last - done
        count = min(max(count, 2 * self.unit), rest)
        count -= count % self.unit
        return rest if rest - count == self.unit else count  # one unit makes no factored block


def aligned_runs(plan: ProductPlan, x: Variable, rows: Ids, budget: int) -> list[AlignedRun]:
    """The aligned runs of rows that are consecutive, else none."""
    count, width = len(rows), x.dtype.itemsize
    if not count or count * plan.size * width < COSTS.aligned_bytes or not plan.aligned_runs:
        return []
    if rows[-1] - rows[0] != count - 1 or (rows[1:] <= rows[:-1]).any():
        return []
    runs, low = [], int(rows[0])
    for start, stop, unit in plan.aligned_runs:
        first = start + -(-max(low - start, 0) // unit) * unit
        last = start + (min(low + count, stop) - start) // unit * unit
        # Few seeds are better pushed together with others; too large a pass holds too much.
        few = last - first < 2 * unit or (last - first) * plan.size * width < COSTS.aligned_bytes
        if not few and unit * x.size * width <= 8 * budget:
            runs.append(AlignedRun(first - low, last - low, unit))
    return runs


class PassSizes:
    """How many seeds each pass takes: as many as a budget of bytes allows, told by the last pass.

    Parameters
    ----------
    plan : ProductPlan
        What the seeds are pushed through.
    x : Variable
        Their source.
    rows : ndarray of intp
        In the order in which they are computed.
    seeds, samples : int
        How many seeds give these rows, and how many samples there are.
    block_size : int, optional
        The size of all passes.
    known : list of int
        The sizes that served these rows at another point.
    budget : int
        The bytes.
    """

    def __init__(
        self,
        plan: ProductPlan,
        x: Variable,
        rows: Ids,
        *,
        seeds: int,
        samples: int,
        block_size: int | None,
        runs: bool,
        known: list[int],
        budget: int,
    ) -> None:
        self.budget = budget
        self.plan, self.seeds, self.fixed, self.known = plan, seeds, block_size is not None, known
        # What the blocks hold at the most: a seed reaches its own samples only. Of those of both
        # sweeps about half are there at a time.
        bound = plan.size * x.dtype.itemsize * len(rows) // max(samples, 1)
        self.size = block_size or (seeds if bound <= 2 * budget else COSTS.first_pass)
        self.runs = aligned_runs(plan, x, rows, budget) if runs and not self.fixed else []
        self.aligned = False  # whether the last pass was of an aligned run
        self.taken: list[int] = []

    def take(self, done: int) -> int:
        """The seeds of the next pass."""
        count = min(self.size, self.seeds - done)
        while self.runs and self.runs[0].last <= done:
            self.runs.pop(0)
        self.aligned = bool(self.runs) and self.runs[0].first <= done
        if self.known:
            count = self.known[len(self.taken)]
        elif self.runs:
            count = self.runs[0].taken(count, done)
        self.taken.append(count)
        return count

    def shrunk(self, count: int) -> None:
        """The last pass took fewer seeds, and so will later ones: memory did not suffice."""
        if count < self.taken[-1]:
            self.taken[-1] = count
            self.size = min(self.size, count)
            self.runs, self.known = [], []

    def measured(self, held: int, *, partial: bool) -> None:
        """Learn how many bytes the last pass held, and whether later ones leave columns out."""
        if self.fixed:
            return
        self.size = max(1, int(self.budget * self.taken[-1] / max(held, 1)))
        if self.aligned and 2 * self.size < self.runs[0].unit:  # the blocks did not stay factored
            self.runs = []
        elif partial and not self.aligned:  # a factored pass costs as much for few seeds
            few = max(self.seeds // COSTS.triangle_passes, COSTS.first_pass)
            self.size = min(self.size, few)

    def summary(self) -> list[int]:
        """Sizes for the same rows at another point."""
        if self.plan.aligned_runs:
            return self.taken
        # As many seeds in passes of one size, none larger than the largest was.
        passes = -(-self.seeds // max(self.taken))
        return [self.seeds * (k + 1) // passes - self.seeds * k // passes for k in range(passes)]


class SymmetricRows:
    """A whole symmetric matrix, whose rows come in order, without columns that earlier rows have.

    Parameters
    ----------
    size : int
        How many rows and columns there are.
    dtype : dtype
        Of the elements.
    """

    def __init__(self, size: int, dtype: Any) -> None:
        self.matrix: Array = np.empty((size, size), dtype)
        self.done = 0

    @staticmethod
    def of(size: int, dtype: Any) -> SymmetricRows | None:
        """Such a matrix; none where memory does not suffice for it."""
        try:
            return SymmetricRows(size, dtype)
        except MemoryError:
            return None

    def complete(self, rows: Rows) -> Rows:
        """The next rows, which may lack their first columns, with all columns."""
        start, stop = self.done, self.done + len(rows)
        self.done = stop
        lacking = len(self.matrix) - rows.shape[1]
        complete = self.matrix[start:stop]
        complete[:, lacking:] = rows
        complete[:, :lacking] = self.matrix[:lacking, start:stop].T
        return complete
