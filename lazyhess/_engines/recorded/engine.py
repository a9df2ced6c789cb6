"""The engine of recorded NumPy."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from math import prod
from typing import Any, NamedTuple, cast

import numpy as np

from lazyhess._costs import COSTS
from lazyhess._engines.arrays import Arrays, Plain
from lazyhess._engines.batch import Batch
from lazyhess._engines.csr import CSR
from lazyhess._engines.protocol import Rows, progress_bar
from lazyhess._engines.recorded.pattern_cache import Structure
from lazyhess._engines.recorded.prepared import autobatched, linearize, unit_cotangent
from lazyhess._indices import Array, Ids, Shape, changes, divide
from lazyhess._record.tape import Tape, value_dependent
from lazyhess._record.variable import Variable, leaf
from lazyhess._sweep.linearization import Linearization
from lazyhess._sweep.products import Plan
from lazyhess._tangents import (
    Block,
    Pattern,
    Sparse,
    add_up,
    dense,
    identity,
    shape_of,
    uniform,
)


class NumpyEngine:
    """Hessian rows of a recorded graph.

    Parameters
    ----------
    root : Variable
        The output; `lead` says how its elements count.
    xs : sequence of Variable
        The inputs.
    batch : sequence of int, optional
        The position of the batch axis in each x.
    each : bool, optional
        Whether every element of `root` is an output of its own (``reduction="none"``).
    create_graph : bool, optional
        Whether rows are Variables.
    block_size : int, optional
        Seeds for one pass.
    progress : bool, optional
        Whether to show a progress bar (needs tqdm).
    """

    def __init__(
        self,
        root: Variable,
        xs: Sequence[Variable],
        *,
        batch: Sequence[int | None] | None = None,
        each: bool = False,
        create_graph: bool = False,
        block_size: int | None = None,
        progress: bool = False,
    ) -> None:
        self.root = root
        self.xs = tuple(xs)
        self.batch = Batch([x.shape for x in xs], batch, root.size)
        self.each = each
        self.create_graph = create_graph
        self.block_size = block_size
        self.progress = progress
        self.arrays: Arrays = Plain()
        self.dtypes = tuple(x.dtype for x in xs)
        self.shapes = self.batch.shapes
        self.lead: Shape = root.shape if each else self.batch.lead
        self._decided = value_dependent(root, xs)
        self._lock = threading.Lock()
        self._outputs: OrderedDict[int, Linearization] = OrderedDict()
        # What engines of the same graph at other points share.
        self._tape: Tape | None = None
        self._structure: Structure | None = None
        self._counts: dict[Any, list[int]] = {}

    def __getstate__(self) -> dict[str, Any]:
        left: dict[str, Any] = {
            "_lock": None,
            "_outputs": OrderedDict(),
            "_tape": None,
            "_structure": None,
        }
        return {**self.__dict__, **left}

    def like(self, root: Variable, xs: Sequence[Variable]) -> NumpyEngine:
        """An engine with these options for another output and other inputs."""
        return NumpyEngine(
            root,
            xs,
            batch=self.batch.axes if self.batch else None,
            each=self.each,
            create_graph=self.create_graph,
            block_size=self.block_size,
            progress=self.progress,
        )

    def at(self, values: Sequence[Array | Variable]) -> NumpyEngine | None:
        """The engine of the same graph at other values of xs; ``None`` where it is not the same."""
        if self._decided:
            return None
        if self._tape is None:
            root = self.root if self.create_graph else autobatched(self.root, self.xs)
            self._tape, self._structure = Tape(root, self.xs), Structure()
        made = self.like(*self._tape.play(values))
        made._tape, made._structure, made._counts = self._tape, self._structure, self._counts
        return made

    def value(self) -> Any:
        """The value of ys."""
        return self.root if self.create_graph else np.array(self.root._value)[()]

    def gradient(self, i: int) -> Any:
        """The gradient with respect to x_i."""
        if not self.each:
            return self.linearization().gradient(i)
        made = [self.linearization(output).gradient(i) for output in range(self.root.size)]
        none = self.own(np.zeros((0, *self.shapes[i]), self.dtypes[i]))
        whole = np.stack(made) if made else none
        return np.reshape(whole, self.lead + self.shapes[i])

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def linearization(self, output: int = 0) -> Linearization:
        """The linear maps of one output (of all, where they are summed or samples)."""
        if not self.each and not self.create_graph:
            return linearize(self.root, self.xs)
        with self._lock:
            found = self._outputs.get(output)
            if found is None:
                root = self.root if self.create_graph else autobatched(self.root, self.xs)
                found = Linearization(
                    root,
                    self.xs,
                    unit_cotangent(self.root, output if self.each else None),
                    recorded=self.create_graph,
                )
                self._outputs[output] = found
                while len(self._outputs) > 4:
                    self._outputs.popitem(last=False)
            return found

    def interacting(self) -> int | None:
        """The first sample whose output depends on another sample, if any."""
        if not self.batch:
            return None
        lin = self.linearization()
        axes = tuple(axis for axis in self.batch.axes if axis is not None)
        if axes not in lin.verdicts:
            keeps = lin.keeps(axes)
            lin.verdicts[axes] = None if keeps else self.batch.interacting(lin.reach)
        return lin.verdicts[axes]

    # --- rows -----------------------------------------------------------------------------------

    def products(self, i: int, rows: Ids) -> int:
        """How many Hessian-vector products these rows of x_i take."""
        return self.batch.products(i, rows)

    def rows(
        self, i: int, rows: Ids, columns: tuple[int, ...]
    ) -> Iterator[tuple[Ids, dict[int, Rows]]]:
        """Rows of the blocks (i, j) for j in columns, pass by pass, each row in one pass."""
        size = prod(self.shapes[i])
        bar = progress_bar(self.products(i, rows)) if self.progress else None
        for output, part in self._outputs_of(rows, size):
            plan = self.linearization(output).plan(i, columns)
            whole = i in columns and len(rows) == size and not self.lead and not self.create_graph
            square, rest = self._square(i) if whole else None, columns
            if square is not None:
                rest = tuple(j for j in columns if j != i)
                plan = self.linearization(output).plan(i, rest)
            passes = self._passes(plan, i, part - output * size if self.each else part, whole)
            for ids, count, blocks in passes:
                if bar is not None:
                    bar.update(count)
                made = {j: self.own(self._collect(i, j, ids, count, blocks[j])) for j in rest}
                if square is not None:
                    made[i] = square[ids]
                yield ids + output * size if self.each else ids, made
        if bar is not None:
            bar.close()

    def _square(self, i: int) -> Array | None:
        """The whole block (i, i), where symmetric rank-k updates give most of it."""
        lin = self.linearization()
        plan = lin.plan(i, (i,))
        squares = plan.squares()
        if not squares:
            return None
        rest = lin.plan(i, (i,), frozenset(square.scale for square in squares))
        if 4 * (rest.work + sum(square.work for square in squares)) > 3 * plan.work:
            return None
        parts: list[Any] = [square.matrix() for square in squares]
        if any(part is None for part in parts):
            return None
        made: Array = sum(parts[1:], parts[0])
        for ids, count, blocks in self._passes(rest, i, np.arange(len(made)), whole=False):
            rows = self._collect(i, i, ids, count, blocks[i])
            if isinstance(rows, CSR):
                made[ids[rows.rows()], rows.cols] += rows.vals
            else:
                made[ids] += rows
        return made

    def _outputs_of(self, rows: Ids, size: int) -> Iterator[tuple[int, Ids]]:
        if not self.each:
            yield 0, rows
            return
        outputs = rows // max(size, 1)
        cuts = np.flatnonzero(np.diff(outputs)) + 1
        for part in np.split(rows, cuts) if len(rows) else ():
            yield int(part[0]) // size, part

    def _passes(
        self, plan: Plan, i: int, rows: Ids, whole: bool
    ) -> Iterator[tuple[Ids, int, dict[int, Block]]]:
        """Rows cut into passes: their ids, the number of seeds, and the blocks that come out.

        With `whole` the rows are all there are, and those of (i, i) may be cut, see `Engine.rows`.
        """
        x = self.xs[i]
        grid = None if self.create_graph else self.batch.grid(i, rows)
        if not self.batch:
            order, starts = rows, np.arange(len(rows) + 1)
        elif grid is not None:  # all samples alike
            order, starts = rows, np.append(np.arange(grid.shape[1]), len(rows))
        else:  # one seed for each position, with all the samples asked for at that position
            order, starts = self.batch.by_position(i, rows)
        seeds, done = len(starts) - 1, 0
        # What the blocks hold at the most: a seed reaches its own samples only. Of those of both
        # sweeps about half are there at a time.
        bound = plan.size * x.dtype.itemsize * len(order) // max(self.batch.samples, 1)
        block = self.block_size or (seeds if bound <= 2 * COSTS.pass_bytes else COSTS.first_pass)
        key = i, tuple(plan.targets), int(rows[0]) if seeds else 0, seeds
        known = self._counts.get(key, []) if self._structure is not None else []
        counts: list[int] = []
        stretches = [] if self.block_size or self.batch else _stretches(plan, x, order)
        inner = prod(x.shape[1:])
        start = 0
        while done < seeds:
            count = min(block, seeds - done)
            while stretches and stretches[0].last <= done:
                stretches.pop(0)
            aligned = bool(stretches) and stretches[0].first <= done
            if known:
                count = known[len(counts)]
            elif stretches:
                count = stretches[0].taken(count, done)
            ids = order[starts[done] : starts[done + count]]
            tangents: Block
            if grid is not None:
                ids = grid[:, done : done + count]
                tangents = self._alike(i, ids[0])
            elif not self.batch:
                tangents = self._seeds(i, ids)
            else:
                places = self.batch.places(i, ids)
                tangents = some = identity(places, x.shape, x.dtype)
                if len(ids) != count:  # one seed stands in several samples
                    ends = starts[done : done + count + 1]
                    which = np.arange(count).repeat(ends[1:] - ends[:-1])
                    some.pattern = Pattern(count, x.shape, which, places, distinct=True)
            blocks, held = plan.push(tangents, start)
            if start:  # what is to be completed by symmetry is an array
                for j in blocks:
                    if self.xs[j]._serial == x._serial:  # an x may be named twice
                        blocks[j] = dense(blocks[j], count, x.shape, x.dtype)
            yield ids, count, blocks
            done += count
            counts.append(count)
            if self._structure is not None and isinstance(tangents, Sparse) and not self.batch:
                self._structure.keep(i, ids, tangents.pattern)
            # Columns of rows that are done are known, where all of them are dense.
            whole = whole and isinstance(blocks.get(i), np.ndarray)
            if whole and plan.ends:
                start = done // inner
            if self.block_size is None:
                block = max(1, int(COSTS.pass_bytes * count / max(held, 1)))
                if aligned and 2 * block < stretches[0].unit:  # the blocks did not stay factored
                    stretches = []
                elif start and not aligned:  # a factored pass costs as much for few seeds
                    block = min(block, max(seeds // COSTS.triangle_passes, COSTS.first_pass))
        if len(counts) > 1:
            self._counts[key] = counts if plan.segments else _even(counts)

    def _seeds(self, i: int, ids: Ids) -> Sparse:
        """Unit tangents, with what was worked out for them at another point."""
        x = self.xs[i]
        if self._structure is None:
            return identity(ids, x.shape, x.dtype)
        return self._structure.seeds(i, ids, x.shape, x.dtype)

    def _alike(self, i: int, positions: Ids) -> Block:
        """Unit tangents that are the same in all samples."""
        axis, shape = self.batch.axes[i], self.xs[i].shape
        assert axis is not None
        one = identity(positions, (*shape[:axis], 1, *shape[axis + 1 :]), self.dtypes[i])
        return uniform(one, (axis,), shape)

    def own(self, array: Any) -> Any:
        """An array as the kind that this engine answers with: itself, or a Variable."""
        if not self.create_graph or isinstance(array, Variable):
            return array
        return leaf(np.array(array.dense() if isinstance(array, CSR) else array))

    def _collect(self, i: int, j: int, ids: Ids, count: int, block: Block) -> Rows:
        """What came out for x_j as rows: for each id its row of the block (i, j)."""
        size = prod(self.shapes[j] if self.batch else shape_of(block, self.shapes[j]))
        shape, dtype = (ids.size, size), self.dtypes[j]
        if block is None:
            return CSR.zeros(shape, dtype)
        if not self.batch:
            if not isinstance(block, Sparse):
                rows: Any = block
                rows = rows.reshape(shape)
                return np.ascontiguousarray(rows) if isinstance(rows, np.ndarray) else rows
        else:
            leading, whole = self.batch.leading(j), cast(Any, block)
            axis = leading[0]
            if ids.ndim == 1:
                sample, position = self.batch.divide(i, ids)
                seed_of = np.cumsum(changes(position)) - 1
                if not isinstance(block, Sparse):
                    return np.moveaxis(whole, axis + 1, 1)[seed_of, sample].reshape(shape)
            elif not isinstance(block, Sparse):
                return np.moveaxis(whole, axis + 1, 0).reshape((*ids.shape, size))
            # The row of an entry is told by its seed and by the sample it stands at.
            at, column = divide(block.pattern.project(leading), size)
            if ids.ndim == 1:
                key = seed_of * self.lead[0] + sample
                row = np.searchsorted(key, block.seed * self.lead[0] + at)
            else:
                row = at * count + block.seed
            block = Sparse(Pattern(shape[0], (size,), row, column), block.val)
        if block.pattern.entries * 4 > prod(shape) or prod(shape) <= COSTS.small:
            made = add_up(block.pattern.keys(), block.val, prod(shape))
            return made.reshape((*ids.shape, size))
        return CSR.of(block)

    # --- products -------------------------------------------------------------------------------

    def apply(self, j: int, tangents: Any, columns: tuple[int, ...]) -> dict[int, Any]:
        """Products: ``(K,) + lead + shapes[j]`` -> for each i ``(K,) + lead + shapes[i]``."""
        count = len(tangents)
        if self.batch:
            tangents = np.transpose(tangents, self.batch.from_front(j))
        outputs = range(self.root.size) if self.each else range(1)
        made: dict[int, list[Array]] = {i: [] for i in columns}
        for output in outputs:
            plan = self.linearization(output).plan(j, columns)
            part = tangents
            if self.each:
                part = tangents.reshape((count, self.root.size, *self.shapes[j]))[:, output]
            width = max(plan.size * tangents.dtype.itemsize, 1)
            block = self.block_size or max(1, COSTS.pass_bytes // width)
            parts: dict[int, list[Array]] = {i: [] for i in columns}
            for start in range(0, count, block):
                seeds = part[start : start + block]
                blocks, _ = plan.push(seeds)
                for i in columns:
                    shape = self.xs[i].shape
                    rows = dense(blocks[i], len(seeds), shape, self.dtypes[i])
                    if self.batch:
                        rows = np.transpose(rows, self.batch.to_front(i))
                    parts[i].append(rows)
            for i in columns:
                made[i].append(_joined(parts[i], count, self._whole(i), self.dtypes[i]))
        if not self.each:
            return {i: self.own(made[i][0]) for i in columns}
        return {
            i: self.own(
                np.stack(made[i], 1).reshape((count, *self.lead, *self.shapes[i]))
                if made[i]
                else np.zeros((count, *self.lead, *self.shapes[i]), self.dtypes[i])
            )
            for i in columns
        }

    def _whole(self, i: int) -> Shape:
        return self.shapes[i] if self.each else self.lead + self.shapes[i]


def _even(counts: list[int]) -> list[int]:
    """As many seeds in passes of one size, none larger than the largest was."""
    most, seeds = max(counts), sum(counts)
    passes = -(-seeds // most)
    return [seeds * (k + 1) // passes - seeds * k // passes for k in range(passes)]


class Stretch(NamedTuple):
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


def _stretches(plan: Plan, x: Variable, rows: Ids) -> list[Stretch]:
    """The stretches of rows that are consecutive, else none."""
    count, width = len(rows), x.dtype.itemsize
    if not count or count * plan.size * width < COSTS.aligned_bytes or not plan.segments:
        return []
    if rows[-1] - rows[0] != count - 1 or (rows[1:] <= rows[:-1]).any():
        return []
    found, low = [], int(rows[0])
    for start, stop, many in plan.segments:
        first = start + -(-max(low - start, 0) // many) * many
        last = start + (min(low + count, stop) - start) // many * many
        # Few seeds are better pushed together with others; too large a pass holds too much.
        few = last - first < 2 * many or (last - first) * plan.size * width < COSTS.aligned_bytes
        if not few and many * x.size * width <= 8 * COSTS.pass_bytes:
            found.append(Stretch(first - low, last - low, many))
    return found


def _joined(parts: list[Array], count: int, shape: Shape, dtype: np.dtype[Any]) -> Array:
    if not parts:
        return np.zeros((count, *shape), dtype)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
