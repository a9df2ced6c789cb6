"""The engine of recorded NumPy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from math import prod
from typing import Any, NamedTuple

import numpy as np
from cachetools import LRUCache

from lazyhess._costs import COSTS
from lazyhess._create import asarray
from lazyhess._engines.along import MANY, ReachTable
from lazyhess._engines.arrays import Arrays, NumpyArrays
from lazyhess._engines.batch import Batch
from lazyhess._engines.csr import CSR
from lazyhess._engines.memory import SeedLimit, needed, out_of_memory
from lazyhess._engines.protocol import Rows, progress_bar
from lazyhess._engines.recorded.arrays import VariableArrays
from lazyhess._engines.recorded.passes import PassSizes, SymmetricRows
from lazyhess._engines.recorded.pattern_cache import PatternCache
from lazyhess._engines.recorded.prepared import (
    autobatched,
    linearize,
    reach,
    unit_cotangent,
)
from lazyhess._indices import Array, Ids, Shape, changes, divide
from lazyhess._locks import lock
from lazyhess._record import reads
from lazyhess._record.tape import Tape
from lazyhess._record.variable import Variable
from lazyhess._sweep.linearization import Linearization
from lazyhess._sweep.products import ProductPlan
from lazyhess._tangents import (
    Block,
    Pattern,
    Sparse,
    add_up,
    cast,
    dense,
    identity,
    repeated,
    shape_of,
)

# Outputs whose linear maps are kept.
_OUTPUTS = 4


class _Pass(NamedTuple):
    """What one pass gives."""

    ids: Ids
    tangents: Block
    answer: dict[int, Rows]
    held: int  # bytes, about
    flat: bool  # whether the rows by the source itself are dense


class RecordedEngine:
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
    memory : int, optional
        Bytes that the blocks of one pass may hold.
    """

    checks = 0  # its rules are compared in tests

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
        memory: int | None = None,
    ) -> None:
        self.root = root
        self.xs = tuple(xs)
        self.batch = Batch([x.shape for x in xs], batch, root.size)
        self.each = each
        self.create_graph = create_graph
        self.block_size = block_size
        self.progress = progress
        self.memory = memory
        self.arrays: Arrays = VariableArrays() if create_graph else NumpyArrays()
        self.dtypes = tuple(x.dtype for x in xs)
        # Where xs differ in dtype, rows are worked out in the widest: an element of (i, j) is the
        # same whether it is read in a row of x_i or, by symmetry, in one of x_j.
        self.widest = np.result_type(*self.dtypes) if len(set(self.dtypes)) > 1 else None
        self.shapes = self.batch.shapes
        self.lead: Shape = root.shape if each else self.batch.lead
        self._lock = lock()
        self._outputs: LRUCache[int, Linearization] = LRUCache(_OUTPUTS)
        # What engines of the same graph at other points share.
        self._tape: Tape | None = None
        self._pattern_cache: PatternCache | None = None
        self._counts: dict[Any, list[int]] = {}
        self._reach: dict[tuple[int | None, ...], ReachTable] = {}  # by the batch axes
        # By the source and the targets of products.
        self._limits: dict[tuple[int, tuple[int, ...]], SeedLimit] = {}

    def __getstate__(self) -> dict[str, Any]:
        left: dict[str, Any] = {
            "_lock": None,
            "_outputs": LRUCache(_OUTPUTS),
            "_tape": None,
            "_pattern_cache": None,
            "_counts": dict(self._counts),  # of now: other threads may be at work
            "_limits": {},
        }
        return {**self.__dict__, **left}

    def evaluated(self, values: Sequence[Array | Variable]) -> tuple[Variable, list[Variable]]:
        """The output and the inputs at other values of xs."""
        if self._tape is None:
            root = self.root if self.create_graph else autobatched(self.root, self.xs)
            self._tape, self._pattern_cache = Tape(root, self.xs), PatternCache()
        return self._tape.evaluate(values)

    def at(self, root: Variable, xs: Sequence[Variable], create_graph: bool) -> RecordedEngine:
        """The engine of the same graph, evaluated at other values of xs."""
        engine = RecordedEngine(
            root,
            xs,
            batch=self.batch.axes if self.batch else None,
            each=self.each,
            create_graph=create_graph,
            block_size=self.block_size,
            progress=self.progress,
            memory=self.memory,
        )
        engine._tape, engine._counts, engine._reach = self._tape, self._counts, self._reach
        engine._pattern_cache, engine._limits = self._pattern_cache, self._limits
        return engine

    def value(self) -> Any:
        """The value of ys."""
        self._note()
        return self.root if self.create_graph else np.array(self.root._value)[()]

    def gradient(self, i: int) -> Any:
        """The gradient with respect to x_i."""
        self._note()
        if not self.each:
            return self.linearization().gradient(i)
        parts = [self.linearization(output).gradient(i) for output in range(self.root.size)]
        none = self.arrays.zeros((0, *self.shapes[i]), self.dtypes[i])
        whole = np.stack(parts) if parts else none
        return np.reshape(whole, self.lead + self.shapes[i])

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=lock())

    def _note(self) -> None:
        """Answers are asked for: plain numbers, unless they are recorded."""
        if not self.create_graph:
            reads.note()

    def linearization(self, output: int = 0) -> Linearization:
        """The linear maps of one output (of all, where they are summed or samples)."""
        if not self.each and not self.create_graph:
            return linearize(self.root, self.xs)
        with self._lock:
            linearization = self._outputs.get(output)
            if linearization is None:
                root = self.root if self.create_graph else autobatched(self.root, self.xs)
                linearization = Linearization(
                    root,
                    self.xs,
                    unit_cotangent(self.root, output if self.each else None),
                    recorded=self.create_graph,
                )
                self._outputs[output] = linearization
            return linearization

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

    def along(self, i: int, j: int) -> tuple[int, ...]:
        """The other blocks (i, k) that may come along when rows of (i, j) are computed."""
        return self.reach_table(self.batch).along(i, j)

    def reach_table(self, batch: Batch) -> ReachTable:
        """What tells which blocks come along, for a batch of which each sample is a pass."""
        if batch.axes not in self._reach:
            values = None
            if 1 < len(self.xs) <= MANY:
                root = self.root if self.create_graph else autobatched(self.root, self.xs)
                values = reach(root, self.xs)
                if batch and not batch.together:  # a pass is of one sample
                    samples = max(batch.samples, 1)
                    values = {xs: size // samples for xs, size in values.items()}
            sizes = [x.size for x in self.xs]
            self._reach[batch.axes] = ReachTable(sizes, values, batch.batched)
        return self._reach[batch.axes]

    def rows(
        self, i: int, rows: Ids, columns: tuple[int, ...]
    ) -> Iterator[tuple[Ids, dict[int, Rows]]]:
        """Rows of the blocks (i, j) for j in columns, pass by pass, each row in one pass."""
        self._note()
        size = self.batch.sizes[i]
        bar = progress_bar(self.products(i, rows)) if self.progress else None
        whole = i in columns and len(rows) == size and not self.lead and not self.create_graph
        gram = self._gram(i) if whole else None
        if gram is not None:
            columns = tuple(j for j in columns if j != i)
        for output, part in self._outputs_of(rows, size):
            plan = self.linearization(output).plan(i, columns)
            first = output * size if self.each else 0
            symmetric = whole and gram is None
            for ids, count, answer in self._passes(
                plan, i, part - first if first else part, symmetric=symmetric
            ):
                if bar is not None:
                    bar.update(count)
                if gram is not None:
                    answer[i] = gram[ids]
                if self.create_graph:
                    answer = {j: self._recorded(i, j, block) for j, block in answer.items()}
                yield ids + first if first else ids, answer
        if bar is not None:
            bar.close()

    @property
    def budget(self) -> int:
        """Bytes that the blocks of one pass may hold."""
        return COSTS.pass_bytes if self.memory is None else self.memory

    def _limit(self, plan: ProductPlan, i: int) -> SeedLimit:
        """How many seeds of x_i memory has sufficed for."""
        key = i, tuple(plan.targets)
        if key not in self._limits:
            x, rows = self.xs[i], [self.xs[j].shape for j in plan.targets]
            nbytes = plan.size * x.dtype.itemsize
            words = partial(needed, x.shape, x.dtype, rows, nbytes)
            self._limits[key] = SeedLimit(out_of_memory, words)
        return self._limits[key]

    def _gram(self, i: int) -> Array | None:
        """The whole block (i, i), where symmetric rank-k updates give most of it.

        Not where memory does not suffice for them: then rows are computed in passes.
        """
        try:
            return self._by_gram(i)
        except MemoryError:
            return None

    def _by_gram(self, i: int) -> Array | None:
        lin = self.linearization()
        plan = lin.plan(i, (i,))
        terms = plan.gram_terms()
        if not terms:
            return None
        rest = lin.plan(i, (i,), frozenset(term.scale for term in terms))
        if 4 * (rest.work + sum(term.work for term in terms)) > 3 * plan.work:
            return None
        parts: list[Any] = [term.matrix() for term in terms]
        if any(part is None for part in parts):
            return None
        matrix: Array = sum(parts[1:], parts[0])
        for ids, _, answer in self._passes(rest, i, np.arange(len(matrix))):
            rows = answer[i]
            if isinstance(rows, CSR):
                matrix[ids[rows.rows()], rows.cols] += rows.vals
            else:
                matrix[ids] += rows
        return matrix

    def _outputs_of(self, rows: Ids, size: int) -> Iterator[tuple[int, Ids]]:
        if not self.each:
            yield 0, rows
            return
        outputs = rows // max(size, 1)
        cuts = np.flatnonzero(np.diff(outputs)) + 1
        for part in np.split(rows, cuts) if len(rows) else ():
            yield int(part[0]) // size, part

    def _passes(
        self, plan: ProductPlan, i: int, rows: Ids, *, symmetric: bool = False
    ) -> Iterator[tuple[Ids, int, dict[int, Rows]]]:
        """Rows in passes: their ids, the number of seeds, and the rows of each block.

        With `symmetric` the rows are all there are of (i, i): what earlier ones tell of later ones
        is not computed again.
        """
        x, batch = self.xs[i], self.batch
        dtype = x.dtype if self.widest is None else self.widest
        grid = None if self.create_graph else batch.grid(i, rows)
        if not batch:
            order, starts = rows, np.arange(len(rows) + 1)
        elif grid is not None:  # all samples alike
            order, starts = rows, np.append(np.arange(grid.shape[1]), len(rows))
        else:  # one seed for each position, with all the samples asked for at that position
            order, starts = batch.by_position(i, rows)
        seeds, done = len(starts) - 1, 0
        limit = self._limit(plan, i)
        key = i, tuple(plan.targets), int(rows[0]) if seeds else 0, seeds
        sizes = PassSizes(
            plan,
            x,
            order,
            seeds=seeds,
            samples=batch.samples,
            block_size=self.block_size,
            runs=not batch,
            known=self._counts.get(key, []) if self._pattern_cache is not None else [],
            budget=self.budget,
        )
        same = [j for j in plan.targets if self.xs[j]._serial == x._serial]  # x may be named twice
        complete: SymmetricRows | None = None
        start = 0  # of the columns that are computed, along the first axis of x

        def compute(done: int, start: int, count: int) -> _Pass:
            ids = order[starts[done] : starts[done + count]]
            if grid is not None:
                ids = grid[:, done : done + count]
            tangents = self._seeds(i, ids, count, dtype)
            blocks, held = plan.push(tangents, start)
            if start:  # what is completed is dense
                for j in same:
                    blocks[j] = dense(blocks[j], count, x.shape, x.dtype)
            answer = {j: self._collect(i, j, ids, count, block) for j, block in blocks.items()}
            flat = isinstance(blocks.get(i), np.ndarray)
            return _Pass(ids, tangents, answer, held, flat)

        while done < seeds:
            count, (ids, tangents, answer, held, flat) = limit.run(
                sizes.take(done), partial(compute, done, start)
            )
            sizes.shrunk(count)
            # Columns of rows that are done are known, where all of them are dense.
            symmetric = symmetric and flat
            if not symmetric:
                complete = None
            elif complete is None and count < seeds and plan.cuttable:
                complete = SymmetricRows.of(seeds, x.dtype)
            if complete is not None:
                answer |= dict.fromkeys(same, complete.complete(answer[i]))
            yield ids, count, answer
            done += count
            if self._pattern_cache is not None and isinstance(tangents, Sparse) and not batch:
                self._pattern_cache.keep(i, ids, tangents.pattern)
            if complete is not None:
                start = done // prod(x.shape[1:])
            sizes.measured(held, partial=start > 0)
        if len(sizes.taken) > 1:
            self._counts[key] = sizes.summary()

    def _seeds(self, i: int, ids: Ids, count: int, dtype: np.dtype[Any]) -> Block:
        """The unit tangents of some rows."""
        x = self.xs[i]
        if not self.batch:
            if self._pattern_cache is None:
                return identity(ids, x.shape, dtype)
            return self._pattern_cache.seeds(i, ids, x.shape, dtype)
        if ids.ndim == 2:  # the same in all samples
            axis, *_ = self.batch.leading(i)
            thin = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
            return repeated(identity(ids[0], thin, dtype), (axis,), x.shape)
        places = self.batch.places(i, ids)
        tangents = identity(places, x.shape, dtype)
        if len(ids) != count:  # one seed stands in several samples
            _, position = self.batch.divide(i, ids)
            seed = np.cumsum(changes(position)) - 1
            tangents.pattern = Pattern(count, x.shape, seed, places, distinct=True)
        return tangents

    def _block_dtype(self, i: int, j: int) -> np.dtype[Any]:
        """In which rows of the block (i, j) are answered: the wider of both."""
        if self.widest is None:
            return self.dtypes[j]
        return np.result_type(self.dtypes[i], self.dtypes[j])

    def _recorded(self, i: int, j: int, array: Any) -> Any:
        """Rows of the block (i, j) as a Variable, where answers are."""
        if not self.create_graph:
            return array
        return self.arrays.from_numpy(array, self._block_dtype(i, j))

    def _collect(self, i: int, j: int, ids: Ids, count: int, block: Block) -> Rows:
        """What came out for x_j as rows: for each id its row of the block (i, j)."""
        size = prod(self.shapes[j] if self.batch else shape_of(block, self.shapes[j]))
        shape, dtype = (ids.size, size), self._block_dtype(i, j)
        if block is None:
            return CSR.zeros(shape, dtype)
        if self.widest is not None:
            block = cast(block, dtype)
        if not self.batch:
            if not isinstance(block, Sparse):
                rows: Any = block
                rows = rows.reshape(shape)
                return np.ascontiguousarray(rows) if isinstance(rows, np.ndarray) else rows
        else:
            leading = self.batch.leading(j)
            whole: Any = block
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
            dense_rows = add_up(block.pattern.keys(), block.val, prod(shape))
            return dense_rows.reshape((*ids.shape, size))
        return CSR.of(block)

    # --- products -------------------------------------------------------------------------------

    def vectors(self, operand: Any) -> Any:
        """What ``@`` was given as tangents for `apply`; None where the dense matrix is needed."""
        if isinstance(operand, Variable):
            return operand if self.create_graph else None
        return asarray(operand)

    def apply(self, j: int, tangents: Any, columns: tuple[int, ...]) -> dict[int, Any]:
        """Products: ``(K,) + lead + shapes[j]`` -> for each i ``(K,) + lead + shapes[i]``."""
        self._note()
        if self.batch:
            tangents = np.transpose(tangents, self.batch.from_front(j))
        if not self.each:
            products = self._products(0, j, tangents, columns)
            return {i: self._recorded(j, i, products[i]) for i in columns}
        count, size = len(tangents), self.root.size
        tangents = tangents.reshape((count, size, *self.shapes[j]))
        by_output = [self._products(k, j, tangents[:, k], columns) for k in range(size)]
        answer = {}
        for i in columns:
            shape = (count, *self.lead, *self.shapes[i])
            if by_output:
                stacked = np.stack([products[i] for products in by_output], 1)
                answer[i] = self._recorded(j, i, stacked.reshape(shape))
            else:
                answer[i] = self.arrays.zeros(shape, self.dtypes[i])
        return answer

    def _products(
        self, output: int, j: int, tangents: Any, columns: tuple[int, ...]
    ) -> dict[int, Any]:
        """Products of one output (of all, where they are summed or samples), some at a time.

        In the widest dtype of the tangents and the xs.
        """
        if self.widest is not None or tangents.dtype != self.dtypes[j]:
            widest = np.result_type(tangents.dtype, *self.dtypes)
            tangents = tangents if tangents.dtype == widest else tangents.astype(widest)
        plan = self.linearization(output).plan(j, columns)
        width = max(plan.size * tangents.dtype.itemsize, 1)
        step = self.block_size or max(1, self.budget // width)

        def compute(start: int, count: int) -> dict[int, Any]:
            seeds = tangents[start : start + count]
            blocks, _ = plan.push(seeds)
            parts = {}
            for i in columns:
                part = dense(blocks[i], len(seeds), self.xs[i].shape, tangents.dtype)
                parts[i] = np.transpose(part, self.batch.to_front(i)) if self.batch else part
            return parts

        passes = list(self._limit(plan, j).passes(len(tangents), step, compute))
        return {i: self._joined(i, [parts[i] for parts in passes], tangents.dtype) for i in columns}

    def _joined(self, i: int, parts: list[Any], dtype: np.dtype[Any]) -> Any:
        """Products seen by x_i, of which there may be none."""
        if not parts:
            shape = self.shapes[i] if self.each else self.lead + self.shapes[i]
            return np.zeros((0, *shape), dtype)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
