"""Samples and positions: how rows of a batch count, and where the elements of its xs stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from lazyhess._indices import Ids, Shape, changes, divide, embed, strides
from lazyhess._maps import NOTHING


class Batch:
    """The batch axes of some xs.

    An element of x_i has a *place*, its flat index in x_i, and a *position*, its flat index in the
    part of one sample. A row id is ``sample * size + position``. Without a batch, and in an x that
    all samples share, place and position are the same.

    Parameters
    ----------
    full : sequence of tuple of int
        The shapes of the xs, with their batch axes.
    axes : sequence of int or None, optional
        The position of the batch axis in each x; ``None`` for one that all samples share. Without
        `axes` there is no batch.
    samples : int
        How many there are.

    Attributes
    ----------
    shapes : tuple of tuple of int
        Of each x, without the batch axis.
    sizes : tuple of int
        Their numbers of elements.
    lead : tuple of int
        ``(samples,)``, or no axis without a batch.
    together : bool
        Whether one product serves all samples: there are some, and they share no x.
    """

    def __init__(
        self, full: Sequence[Shape], axes: Sequence[int | None] | None = None, samples: int = 1
    ) -> None:
        self.full = tuple(map(tuple, full))
        self.axes = (None,) * len(self.full) if axes is None else tuple(axes)
        self.lead: Shape = () if axes is None else (samples,)
        self.samples = prod(self.lead)
        self.shapes: tuple[Shape, ...] = self.full
        if axes is not None:
            self.shapes = tuple(
                shape if axis is None else shape[:axis] + shape[axis + 1 :]
                for shape, axis in zip(self.full, self.axes, strict=True)
            )
        self.sizes = tuple(map(prod, self.shapes))
        self.together = axes is not None and None not in self.axes

    @property
    def batched(self) -> tuple[int, ...]:
        """The xs with a batch axis."""
        return tuple(k for k, axis in enumerate(self.axes) if axis is not None)

    def __bool__(self) -> bool:
        """Whether there is a batch."""
        return bool(self.lead)

    # --- rows -----------------------------------------------------------------------------------

    def products(self, i: int, rows: Ids) -> int:
        """How many products sorted rows of x_i take: one for each position, where it can be."""
        if not self.together:
            return len(rows)
        grid = self.grid(i, rows)
        if grid is not None:
            return int(grid.shape[1])
        return int(np.count_nonzero(np.bincount(rows % max(self.sizes[i], 1))))

    def grid(self, i: int, rows: Ids) -> Ids | None:
        """Sorted rows as (sample, position), where they are all samples of some positions."""
        samples, size = self.samples, self.sizes[i]
        if samples < 2 or not len(rows) or len(rows) % samples:
            return None
        grid = rows.reshape(samples, -1)
        if len(rows) == samples * size:
            return grid
        first = grid[0]
        every = first + np.arange(0, samples * size, size)[:, None]
        return grid if first[-1] < size and bool((grid == every).all()) else None

    def by_position(self, i: int, rows: Ids) -> tuple[Ids, Ids]:
        """Rows in the order of their positions, and where each position starts, and the end."""
        size = max(self.sizes[i], 1)
        rows = rows[np.argsort(rows % size, kind="stable")]
        return rows, np.append(np.flatnonzero(changes(rows % size)), len(rows))

    def divide(self, i: int, rows: Ids) -> tuple[Ids, Ids]:
        """The sample and the position of each row."""
        return divide(rows, self.sizes[i])

    # --- elements -------------------------------------------------------------------------------

    def places(self, i: int, rows: Ids) -> Ids:
        """Where in x_i the elements stand that rows are by."""
        if not self:
            return rows
        axis = self.axes[i]
        if axis is None:
            return self.divide(i, rows)[1]
        widths = strides(self.full[i])
        shape = (self.samples, *self.shapes[i])
        return embed(rows, shape, (widths[axis], *widths[:axis], *widths[axis + 1 :]))

    def part(self, i: int, sample: int) -> Ids:
        """Where the part of one sample stands in x_i, position by position."""
        size = self.sizes[i]
        return self.places(i, np.arange(sample * size, (sample + 1) * size))

    def parts(self, i: int) -> Ids:
        """The same for every sample: ``(samples, size)``."""
        size = self.sizes[i]
        return self.places(i, np.arange(self.samples * size)).reshape(self.samples, size)

    def leading(self, i: int) -> tuple[int, ...]:
        """The axes of x_i, that of the batch first."""
        axis = self.axes[i]
        assert axis is not None
        return (axis, *(k for k in range(len(self.full[i])) if k != axis))

    def to_front(self, i: int) -> tuple[int, ...]:
        """Axes that turn ``(K,) + full`` into ``(K, samples) + shape``."""
        return (0, *(k + 1 for k in self.leading(i)))

    def from_front(self, i: int) -> tuple[int, ...]:
        """Axes that turn ``(K, samples) + shape`` into ``(K,) + full``."""
        axis = self.axes[i]
        assert axis is not None
        rest = range(2, 1 + len(self.full[i]))
        return (0, *rest[:axis], 1, *rest[axis:])

    # --- what depends on what -------------------------------------------------------------------

    def labels(self, i: int, sign: int = 1) -> Ids:
        """The sample of every element of x_i, times a sign; `NOTHING` where all share it."""
        axis, shape = self.axes[i], self.full[i]
        label: Ids = np.full((), NOTHING)
        if axis is not None:
            label = sign * np.arange(shape[axis]).reshape((-1, *(1,) * (len(shape) - axis - 1)))
        return np.broadcast_to(label, shape)

    def interacting(self, reach: Callable[[Sequence[Ids]], Ids | None]) -> int | None:
        """The first sample whose output depends on another sample, if any.

        Parameters
        ----------
        reach : callable
            From labels of the elements of each x to the largest one that each output depends on,
            `NOTHING` where it depends on none; ``None`` where none does.
        """
        if self.samples < 2 or all(axis is None for axis in self.axes):
            return None
        numbers = range(len(self.full))
        last = reach([self.labels(i) for i in numbers])
        first = reach([self.labels(i, -1) for i in numbers])
        if last is None or first is None:
            return None
        last, first, sample = last.reshape(-1), first.reshape(-1), np.arange(last.size)
        wrong = (last != NOTHING) & ((last != sample) | (first != -sample))
        return int(np.argmax(wrong)) if wrong.any() else None
