"""What the engines of all frameworks share: rows, batches and outputs in terms of products.

A framework is asked for one thing, `Products.products`: the Hessian times tangents of one input,
several at once. A row is the product with a unit vector; with a batch axis it is one for all
samples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from math import prod
from typing import Any

import numpy as np

from lazyhess._costs import COSTS
from lazyhess._engines.along import MANY, ReachTable
from lazyhess._engines.arrays import Arrays
from lazyhess._engines.batch import Batch
from lazyhess._engines.check import Check
from lazyhess._engines.memory import SeedLimit, needed, out_of_memory
from lazyhess._engines.protocol import progress_bar
from lazyhess._indices import Array, Ids, Shape
from lazyhess._record.variable import Variable


class Products(ABC):
    """The derivatives of one function of several inputs, at one point.

    Its outputs are the elements of ys, by their number.
    """

    arrays: Arrays
    xs: Sequence[Any]
    """The inputs, at this point."""

    @abstractmethod
    def value(self) -> Any:
        """The value of ys."""

    @abstractmethod
    def gradient(self, i: int, output: int | None) -> Any:
        """The gradient by x_i of one output, or of the sum of all, as an array of its own."""

    @abstractmethod
    def weighted(self, weights: Array) -> list[Any]:
        """The gradients by all xs of the sum of outputs times weights, without a graph."""

    def out_of_memory(self, error: BaseException) -> bool:
        """Whether an error says that memory did not suffice."""
        return out_of_memory(error)

    def at_once(self, i: int) -> int:
        """How many products by x_i run best at once, if they fit into memory."""
        return COSTS.framework_bytes

    def reach(self) -> dict[int, int] | None:
        """How many elements of values between xs and ys depend on which xs; see `ReachTable`.

        None where that cannot be told.
        """
        return None

    @abstractmethod
    def products(
        self, i: int, tangents: Any, columns: Sequence[int], outputs: Ids | None
    ) -> dict[int, Any]:
        """Products of the Hessian of one output, or of the sum of all.

        Parameters
        ----------
        i : int
            The tangents are those of x_i.
        tangents : array
            Of shape ``(K,) + shape of x_i``, of the framework's own kind.
        columns : sequence of int
            The inputs whose parts of the product are asked for.
        outputs : ndarray of intp, optional
            For each tangent the output; without it the sum of all.

        Returns
        -------
        dict of int -> array
            For each of `columns` an array of shape ``(K,) + shape of x_j``, of its own.
        """


class Single(Products):
    """Derivatives that are of one output at a time, or of the sum of all."""

    def products(
        self, i: int, tangents: Any, columns: Sequence[int], outputs: Ids | None
    ) -> dict[int, Any]:
        return by_output(
            outputs,
            columns,
            tangents,
            self.arrays,
            lambda part, output: self._products(i, part, columns, output),
        )

    @abstractmethod
    def _products(
        self, i: int, tangents: Any, columns: Sequence[int], output: int | None
    ) -> dict[int, Any]:
        """As `products`, of one output, or with ``None`` of the sum."""


class FrameworkEngine:
    """Rows of the Hessian of a framework's function; see `lazyhess._engines.protocol.Engine`.

    Parameters
    ----------
    function : Products
        The derivatives.
    inputs : sequence of (shape, dtype)
        Of the xs, with their batch axes.
    output : tuple of int
        The shape of ys.
    batch : sequence of int or None, optional
        The position of the batch axis in each x; ``None`` for one that all samples share.
    each : bool
        Whether every element of ys is an output of its own.
    create_graph : bool
        Whether answers can be differentiated again.
    block_size : int, optional
        Products at once.
    progress : bool
        Whether to show a progress bar.
    memory : int, optional
        Bytes that the rows and tangents of one pass may have.
    check : Check, optional
        What compares second derivatives with what else is known of them.
    """

    def __init__(
        self,
        function: Products,
        inputs: Sequence[tuple[Shape, Any]],
        output: Shape,
        *,
        batch: Sequence[int | None] | None = None,
        each: bool = False,
        create_graph: bool = False,
        block_size: int | None = None,
        progress: bool = False,
        memory: int | None = None,
        check: Check | None = None,
    ) -> None:
        self.function = function
        self.arrays = function.arrays
        self.dtypes = tuple(dtype for _, dtype in inputs)
        self.output = tuple(output)
        self.batch = Batch([shape for shape, _ in inputs], batch, prod(self.output))
        self.each = each
        self.create_graph = create_graph
        self.block_size = block_size
        self.progress = progress
        self.memory = memory
        # By the source and the targets of products.
        self._limits: dict[tuple[int, tuple[int, ...]], SeedLimit] = {}
        self.check = check
        self.shapes = self.batch.shapes
        self.lead: Shape = self.output if each else self.batch.lead

    @property
    def checks(self) -> int:
        """How many products were run to compare others with."""
        return 0 if self.check is None else self.check.count

    def value(self) -> Any:
        """The value of ys."""
        return self.function.value()

    def gradient(self, i: int) -> Any:
        """The gradient with respect to x_i."""
        if not self._by_output(i):
            return self.function.gradient(i, None)
        gradients = [self.function.gradient(i, output) for output in range(prod(self.lead))]
        arrays, shape = self.arrays, self.shapes[i]
        parts = [arrays.reshape(part, (1, *shape)) for part in gradients]
        whole = arrays.concatenate(parts) if parts else arrays.zeros((0, *shape), self.dtypes[i])
        return arrays.reshape(whole, self.lead + shape)

    def _by_output(self, i: int) -> bool:
        """Whether each output has a gradient of the whole x_i."""
        return self.each or (bool(self.batch) and self.batch.axes[i] is None)

    def interacting(self) -> int | None:
        """The first sample that the output of another one depends on, if any.

        Told by the gradient: where samples do not interact, that of a weighted sum of the outputs
        has the weights of each sample's own. (With random weights anything else is as good as
        impossible, up to rounding.)
        """
        if not self.batch:
            return None
        weights = np.random.default_rng(0).uniform(1, 2, self.output)
        by_weights = self.function.weighted(weights)
        wanted = [i for i, axis in enumerate(self.batch.axes) if axis is not None]
        for i, by_sum in zip(wanted, self._gradients(wanted), strict=True):
            both, alone = (
                np.moveaxis(self.arrays.numpy(gradient), self.batch.leading(i)[0], 0)
                for gradient in (by_weights[i], by_sum)
            )
            rounding = self._rounding(i, alone.dtype)
            wide = np.complex128 if np.iscomplexobj(alone) else np.float64
            both, alone = both.astype(wide, copy=False), alone.astype(wide, copy=False)
            factors = weights.reshape((-1,) + (1,) * (alone.ndim - 1))
            size = np.abs(alone).max(initial=0) + np.abs(both).max(initial=0)
            wrong = ~(np.abs(both - factors * alone) <= rounding**0.5 * size)
            wrong &= ~(np.isnan(both) & np.isnan(alone))
            if wrong.any():
                return int(np.argmax(wrong.reshape(len(wrong), -1).any(axis=1)))
        return None

    def _gradients(self, wanted: Sequence[int]) -> list[Any]:
        """The gradients of the sum of all outputs by some xs."""
        return [self.function.gradient(i, None) for i in wanted]

    def _rounding(self, i: int, dtype: np.dtype[Any]) -> float:
        """The relative error of a number of x_i, which NumPy holds in a dtype."""
        # What has two bytes rounds at 2**-8, at the worst, whatever NumPy holds it in.
        return 2.0**-12 if self.arrays.itemsize(self.dtypes[i]) == 2 else float(np.finfo(dtype).eps)

    def products(self, i: int, rows: Ids) -> int:
        """How many Hessian-vector products these rows of x_i take."""
        return self.batch.products(i, rows)

    @cached_property
    def _reach(self) -> ReachTable:
        values = self.function.reach() if 1 < len(self.shapes) <= MANY else None
        return ReachTable(list(map(prod, self.batch.full)), values, self.batch.batched)

    def along(self, i: int, j: int) -> tuple[int, ...]:
        """The other blocks (i, k) that may come along when rows of (i, j) are computed."""
        return self._reach.along(i, j)

    def rows(
        self, i: int, rows: Ids, columns: tuple[int, ...]
    ) -> Iterator[tuple[Ids, dict[int, Any]]]:
        """Rows of the blocks (i, j) for j in columns, pass by pass, each row in one pass."""
        bar = progress_bar(self.products(i, rows)) if self.progress else None
        passes = self._by_position if self.batch.together else self._by_row
        for ids, blocks in passes(i, rows, columns):
            if bar is not None:
                bar.update(self.products(i, ids))
            if self.check is not None and i in blocks:
                self.check.entries(self, i, ids, blocks[i])
            yield ids, blocks
        if bar is not None:
            bar.close()
        if self.check is not None:
            self.check.products(self, i, self.products(i, rows), columns)

    def _at_once(self, i: int, columns: Sequence[int]) -> int:
        """How many products to run at once."""
        if self.block_size is not None:
            return self.block_size
        budget = COSTS.framework_bytes if self.memory is None else self.memory
        most = budget // max(self._row_bytes(i, columns), 1)
        return max(1, min(most, self.function.at_once(i)))

    def _row_bytes(self, i: int, columns: Sequence[int]) -> int:
        """Bytes of one tangent of x_i, and of the product seen by some inputs."""
        elements = sum(prod(self.batch.full[j]) for j in (i, *columns))
        return elements * self.arrays.itemsize(self.dtypes[i])

    def _limit(self, i: int, columns: tuple[int, ...]) -> SeedLimit:
        """How many seeds of x_i memory has sufficed for."""
        key = i, columns
        if key not in self._limits:
            full = self.batch.full
            rows, nbytes = [full[j] for j in columns], self._row_bytes(i, columns)
            words = partial(needed, full[i], self.dtypes[i], rows, nbytes)
            self._limits[key] = SeedLimit(self.function.out_of_memory, words)
        return self._limits[key]

    def _by_row(
        self, i: int, rows: Ids, columns: tuple[int, ...]
    ) -> Iterator[tuple[Ids, dict[int, Any]]]:
        """One product for each row: of one output, or of all, where only one counts."""
        arrays = self.arrays

        def compute(start: int, count: int) -> tuple[Ids, dict[int, Any]]:
            ids = rows[start : start + count]
            lead, position = self.batch.divide(i, ids)
            outputs = lead if self.lead else None
            units = self._units(i, position, lead)
            products = self.function.products(i, units, columns, outputs)
            blocks = {}
            for j in columns:
                part = self._part(j, products[j], lead)
                blocks[j] = arrays.reshape(part, (len(ids), self.batch.sizes[j]))
            return ids, blocks

        limit, size = self._limit(i, columns), self._at_once(i, columns)
        return limit.passes(len(rows), size, compute)

    def _part(self, j: int, products: Any, samples: Ids) -> Any:
        """Of products seen by x_j, that of each with one sample's part of x_j."""
        if self.batch.axes[j] is None:
            return products
        which = np.arange(len(samples)) * self.batch.samples + samples
        return self.arrays.take(self._by_sample(j, products), which, 0)

    def _by_position(
        self, i: int, rows: Ids, columns: tuple[int, ...]
    ) -> Iterator[tuple[Ids, dict[int, Any]]]:
        """One product for each position, with all the samples asked for there."""
        order, starts = self.batch.by_position(i, rows)

        def compute(start: int, count: int) -> tuple[Ids, dict[int, Any]]:
            stop = start + count
            ids = order[starts[start] : starts[stop]]
            sample, position = self.batch.divide(i, ids)
            once = position[starts[start:stop] - starts[start]]
            products = self.function.products(i, self._units(i, once), columns, None)
            which = np.searchsorted(once, position) * self.batch.samples + sample
            take = self.arrays.take
            return ids, {j: take(self._by_sample(j, products[j]), which, 0) for j in columns}

        limit, size = self._limit(i, columns), self._at_once(i, columns)
        return limit.passes(len(starts) - 1, size, compute)

    def _by_sample(self, j: int, products: Any) -> Any:
        """``(K,) + full shape`` -> ``(K * samples, size of a sample)``."""
        rows = self.arrays.transpose(products, self.batch.to_front(j))
        return self.arrays.reshape(rows, (rows.shape[0] * self.batch.samples, self.batch.sizes[j]))

    def _units(self, i: int, positions: Ids, samples: Ids | None = None) -> Any:
        """Unit tangents of x_i: of one sample each, or else the same in all samples."""
        count, shape = len(positions), self.shapes[i]
        units = np.zeros((count, max(prod(shape), 1)), np.bool_)
        units[np.arange(count), positions] = True
        units = units.reshape((count, *shape))
        axis, all_samples = self.batch.axes[i], self.batch.samples
        if axis is None:
            return self.arrays.from_numpy(units, self.dtypes[i])
        there = np.ones((count, all_samples), np.bool_)
        if samples is not None:
            there = np.arange(all_samples) == samples[:, None]
        there = there.reshape((count, *(1,) * axis, -1, *(1,) * (len(shape) - axis)))
        return self.arrays.from_numpy(np.expand_dims(units, axis + 1) & there, self.dtypes[i])

    # --- products -------------------------------------------------------------------------------

    def vectors(self, operand: Any) -> Any:
        """What ``@`` was given as tangents for `apply`; None where the dense matrix is needed."""
        if isinstance(operand, Variable):
            return None
        tensor = self.arrays.of_framework(operand)
        array = operand if tensor else np.asarray(operand)
        if not tensor and array.dtype.kind in "USOMm":
            raise TypeError(
                f"matmul: a Hessian is multiplied by numbers, got {type(operand).__name__} of "
                f"dtype {array.dtype}"
            )
        if not len(array.shape):
            raise ValueError(
                f"matmul: {type(operand).__name__} of shape () has no axis to sum over; H * c "
                "multiplies by a number"
            )
        if tensor and operand.dtype not in self.dtypes and 0 not in operand.shape:
            # The framework says what it thinks of another dtype, before any work.
            one = self.arrays.take(self.arrays.reshape(operand, (prod(operand.shape),)), _FIRST, 0)
            self.arrays.matmul(
                self.arrays.zeros((1, 1), self.dtypes[0]), self.arrays.reshape(one, (1, 1))
            )
        return None if self.create_graph else self.arrays.numpy(operand)

    def apply(self, j: int, tangents: Any, columns: tuple[int, ...]) -> dict[int, Any]:
        """Products: ``(K,) + lead + shapes[j]`` -> for each i ``(K,) + lead + shapes[i]``."""

        def compute(start: int, count: int) -> dict[int, Any]:
            part = tangents[start : start + count]
            if not self.arrays.of_framework(tangents):
                return self._applied(j, part, columns)
            # In the shape of x_j.
            if part.dtype != self.dtypes[j]:
                part = self.arrays.cast(part, self.dtypes[j])
            return self.function.products(j, part, columns, None)

        limit, size = self._limit(j, columns), self._at_once(j, columns)
        passes = list(limit.passes(len(tangents), size, compute))
        if self.check is not None:
            self.check.products(self, j, len(tangents), columns)
        return {i: self._concatenated(i, [parts[i] for parts in passes]) for i in columns}

    def _concatenated(self, i: int, parts: list[Any]) -> Any:
        """Products seen by x_i, of which there may be none."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return self.arrays.zeros((0, *self.lead, *self.shapes[i]), self.dtypes[i])
        return self.arrays.concatenate(parts)

    def _applied(self, j: int, tangents: Any, columns: tuple[int, ...]) -> dict[int, Any]:
        arrays, dtype, count = self.arrays, self.dtypes[j], len(tangents)
        if not self.lead:
            return self.function.products(j, arrays.from_numpy(tangents, dtype), columns, None)
        if self.batch.together:
            whole = arrays.from_numpy(tangents.transpose(self.batch.from_front(j)), dtype)
            products = self.function.products(j, whole, columns, None)
            return {i: arrays.transpose(products[i], self.batch.to_front(i)) for i in columns}
        # Each output with a tangent of its own.
        outputs = prod(self.lead)
        which = np.tile(np.arange(outputs), count)
        flat = tangents.reshape((count * outputs, *self.shapes[j]))
        axis = self.batch.axes[j]
        if axis is not None:
            full = np.zeros((self.batch.samples, *flat.shape), flat.dtype)
            full[which, np.arange(len(flat))] = flat
            flat = np.moveaxis(full, 0, axis + 1)
        products = self.function.products(j, arrays.from_numpy(flat, dtype), columns, which)
        answer = {}
        for i in columns:
            part = self._part(i, products[i], which)
            answer[i] = arrays.reshape(part, (count, *self.lead, *self.shapes[i]))
        return answer


_FIRST = np.zeros(1, np.intp)


def by_output(
    outputs: Ids | None,
    columns: Sequence[int],
    tangents: Any,
    arrays: Arrays,
    run: Callable[[Any, int | None], dict[int, Any]],
) -> dict[int, Any]:
    """Products for tangents of several outputs, by a function that knows one output at a time."""
    if outputs is None:
        return run(tangents, None)
    parts: dict[int, list[Any]] = {j: [] for j in columns}
    order = np.argsort(outputs, kind="stable")
    for ids in np.split(order, np.flatnonzero(np.diff(outputs[order])) + 1):
        if len(ids):
            products = run(arrays.take(tangents, ids, 0), int(outputs[ids[0]]))
            for j in columns:
                parts[j].append(products[j])
    if not len(outputs):
        return run(tangents, None)
    back = np.argsort(order, kind="stable")
    return {j: arrays.take(arrays.concatenate(parts[j]), back, 0) for j in columns}
