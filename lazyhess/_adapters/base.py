"""What the engines of all frameworks share: rows, batches and outputs in terms of products.

A framework is asked for one thing, `Products.products`: the Hessian times tangents of one input,
several at once. A row is the product with a unit vector; with a batch axis it is one for all
samples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np

from lazyhess._arrays import Arrays
from lazyhess._request import Request
from lazyhess._tangents import Ids, Shape, changes, divide

# Bytes of the rows and tangents of one pass.
BUDGET = 1 << 28


@dataclass
class Problem:
    """What an adapter makes of a request."""

    engine: FrameworkEngine
    tree: Any  # the structure of xs; leaves count
    rebuild: Callable[[Any, Callable[[Any], Any]], Any]  # as `lazyhess._trees.rebuild`
    aux: Any = None
    again: Callable[[Any], Problem] | None = None  # the same at new xs; without it there is no at()


class Adapter(Protocol):
    """What a module of this package offers, as ``ADAPTER``."""

    def problem(self, request: Request) -> Problem:
        """Find the engine for a request, or say what is wrong with it."""

    def gradient(self, request: Request) -> Any:
        """The gradient, in the structure of xs; with aux, where that is asked for."""


class Products(ABC):
    """The derivatives of one function of several inputs, at one point."""

    arrays: Arrays

    @abstractmethod
    def value(self) -> Any:
        """The value of ys."""

    @abstractmethod
    def gradient(self, i: int, output: int | None) -> Any:
        """The gradient by x_i of one element of ys, or of their sum."""

    @abstractmethod
    def products(
        self, i: int, tangents: Any, columns: Sequence[int], output: int | None
    ) -> dict[int, Any]:
        """Products of the Hessian of one element of ys, or of their sum.

        Parameters
        ----------
        i : int
            The tangents are those of x_i.
        tangents : array
            Of shape ``(K,) + shape of x_i``, of the framework's own kind.
        columns : sequence of int
            The inputs whose parts of the product are asked for.
        output : int or None
            Which element of ys; with ``None`` their sum.

        Returns
        -------
        dict of int -> array
            For each of `columns` an array of shape ``(K,) + shape of x_j``.
        """


class FrameworkEngine:
    """Rows of the Hessian of a framework's function; see `lazyhess._engine.Engine`.

    Parameters
    ----------
    function : Products
        The derivatives.
    inputs : sequence of (shape, dtype)
        Of the xs, with their batch axes.
    output : tuple of int
        The shape of ys.
    batch : sequence of int, optional
        The position of the batch axis in each x.
    each : bool
        Whether every element of ys is an output of its own.
    create_graph : bool
        Whether answers can be differentiated again.
    block_size : int, optional
        Products at once.
    progress : callable, optional
        Makes a progress bar for so many products.
    """

    def __init__(
        self,
        function: Products,
        inputs: Sequence[tuple[Shape, Any]],
        output: Shape,
        *,
        batch: Sequence[int] | None = None,
        each: bool = False,
        create_graph: bool = False,
        block_size: int | None = None,
        progress: Callable[[int], Any] | None = None,
    ) -> None:
        self.function = function
        self.arrays = function.arrays
        self.full = tuple(tuple(shape) for shape, _ in inputs)
        self.dtypes = tuple(dtype for _, dtype in inputs)
        self.batch = None if batch is None else tuple(batch)
        self.each = each
        self.create_graph = create_graph
        self.block_size = block_size
        self.progress = progress
        if self.batch is None:
            self.shapes: tuple[Shape, ...] = self.full
            self.lead: Shape = tuple(output) if each else ()
        else:
            self.shapes = tuple(
                shape[:axis] + shape[axis + 1 :]
                for shape, axis in zip(self.full, self.batch, strict=True)
            )
            self.lead = (self.full[0][self.batch[0]],)

    def value(self) -> Any:
        """The value of ys."""
        return self.function.value()

    def gradient(self, i: int) -> Any:
        """The gradient with respect to x_i."""
        if not self.each:
            return self.function.gradient(i, None)
        made = [self.function.gradient(i, output) for output in range(prod(self.lead))]
        arrays, shape = self.arrays, self.shapes[i]
        parts = [arrays.reshape(part, (1, *shape)) for part in made]
        whole = arrays.concatenate(parts) if parts else arrays.zeros((0, *shape), self.dtypes[i])
        return arrays.reshape(whole, self.lead + shape)

    def own(self, array: Any) -> Any:
        """An array as the kind that this engine answers with."""
        return array

    def products(self, i: int, rows: Ids) -> int:
        """How many Hessian-vector products these rows of x_i take."""
        if self.batch is None:
            return len(rows)
        return int(np.count_nonzero(np.bincount(rows % max(prod(self.shapes[i]), 1))))

    def rows(
        self, i: int, rows: Ids, columns: tuple[int, ...]
    ) -> Iterator[tuple[Ids, dict[int, Any]]]:
        """Rows of the blocks (i, j) for j in columns, pass by pass, each row in one pass."""
        bar = self.progress(self.products(i, rows)) if self.progress else None
        size = max(prod(self.shapes[i]), 1)
        for output, part in self._by_output(rows, size):
            for ids, count, made in self._passes(i, part, columns, output):
                if bar is not None:
                    bar.update(count)
                yield ids, made
        if bar is not None:
            bar.close()

    def _by_output(self, rows: Ids, size: int) -> Iterator[tuple[int | None, Ids]]:
        if not self.each:
            yield None, rows
            return
        outputs = rows // size
        cuts = np.flatnonzero(np.diff(outputs)) + 1
        for part in np.split(rows, cuts) if len(rows) else ():
            yield int(part[0]) // size, part

    def _block(self, i: int, columns: Sequence[int]) -> int:
        """How many products to run at once."""
        if self.block_size is not None:
            return self.block_size
        row = prod(self.full[i]) + sum(prod(self.full[j]) for j in columns)
        return max(1, BUDGET // max(row * self.arrays.itemsize(self.dtypes[i]), 1))

    def _passes(
        self, i: int, rows: Ids, columns: tuple[int, ...], output: int | None
    ) -> Iterator[tuple[Ids, int, dict[int, Any]]]:
        size, block = max(prod(self.shapes[i]), 1), self._block(i, columns)
        arrays = self.arrays
        if self.batch is None:
            for start in range(0, len(rows), block):
                ids = rows[start : start + block]
                made = self.function.products(i, self._units(i, ids % size), columns, output)
                count = len(ids)
                yield (
                    ids,
                    count,
                    {j: arrays.reshape(made[j], (count, prod(self.full[j]))) for j in columns},
                )
            return
        order = rows[np.argsort(rows % size, kind="stable")]
        starts = np.append(np.flatnonzero(changes(order % size)), len(order))
        for start in range(0, len(starts) - 1, block):
            stop = min(start + block, len(starts) - 1)
            ids = order[starts[start] : starts[stop]]
            sample, position = divide(ids, size)
            once = position[starts[start:stop] - starts[start]]
            made = self.function.products(i, self._units(i, once), columns, output)
            which = np.searchsorted(once, position) * self.lead[0] + sample
            yield (
                ids,
                len(once),
                {j: arrays.take(self._by_sample(j, made[j]), which, 0) for j in columns},
            )

    def _by_sample(self, j: int, made: Any) -> Any:
        """``(K,) + full shape`` -> ``(K * samples, size of a sample)``."""
        made = self._batch_first(j, made, 1)
        return self.arrays.reshape(
            made, (made.shape[0] * self.lead[0], max(prod(self.shapes[j]), 0))
        )

    def _batch_first(self, j: int, made: Any, at: int) -> Any:
        """The batch axis of arrays of x_j, behind the axis of tangents, moved to the front."""
        assert self.batch is not None
        axes = list(range(1 + len(self.full[j])))
        axes.insert(at, axes.pop(self.batch[j] + 1))
        return self.arrays.transpose(made, axes)

    def _units(self, i: int, positions: Ids) -> Any:
        """Unit tangents of x_i; with a batch the same in all samples."""
        count, shape = len(positions), self.shapes[i]
        units = np.zeros((count, max(prod(shape), 1)), np.bool_)
        units[np.arange(count), positions] = True
        if self.batch is None:
            return self.arrays.own(units.reshape((count, *shape)), self.dtypes[i])
        whole = np.broadcast_to(
            np.expand_dims(units.reshape((count, *shape)), self.batch[i] + 1),
            (count, *self.full[i]),
        )
        return self.arrays.own(whole, self.dtypes[i])

    # --- products -------------------------------------------------------------------------------

    def apply(self, j: int, tangents: Any, columns: tuple[int, ...]) -> dict[int, Any]:
        """Products: ``(K,) + lead + shapes[j]`` -> for each i ``(K,) + lead + shapes[i]``."""
        arrays, count = self.arrays, len(tangents)
        tangents = np.asarray(tangents)
        block = self._block(j, columns)
        parts: dict[int, list[Any]] = {i: [] for i in columns}
        for start in range(0, count, block):
            made = self._applied(j, tangents[start : start + block], columns)
            for i in columns:
                parts[i].append(made[i])
        none = {i: (0, *self.lead, *self.shapes[i]) for i in columns}
        return {
            i: arrays.concatenate(parts[i])
            if len(parts[i]) > 1
            else (parts[i][0] if parts[i] else arrays.zeros(none[i], self.dtypes[i]))
            for i in columns
        }

    def _applied(self, j: int, tangents: Any, columns: tuple[int, ...]) -> dict[int, Any]:
        arrays, dtype, count = self.arrays, self.dtypes[j], len(tangents)
        if self.batch is not None:
            axes = [0, *range(2, tangents.ndim)]
            axes.insert(self.batch[j] + 1, 1)
            whole = arrays.own(tangents.transpose(axes), dtype)
            made = self.function.products(j, whole, columns, None)
            return {i: self._batch_first(i, made[i], 1) for i in columns}
        if not self.each:
            return self.function.products(j, arrays.own(tangents, dtype), columns, None)
        outputs = prod(self.lead)
        flat = tangents.reshape((count, outputs, *self.shapes[j]))
        found = [
            self.function.products(j, arrays.own(flat[:, k], dtype), columns, k)
            for k in range(outputs)
        ]
        answer = {}
        for i in columns:
            shape = (1, count, *self.shapes[i])
            stacked = [arrays.reshape(made[i], shape) for made in found]
            whole = (
                arrays.concatenate(stacked)
                if stacked
                else arrays.zeros((0, *shape[1:]), self.dtypes[i])
            )
            turned = arrays.transpose(whole, (1, 0, *range(2, len(shape))))
            answer[i] = arrays.reshape(turned, (count, *self.lead, *self.shapes[i]))
        return answer
