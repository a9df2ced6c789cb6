"""Maps that pick elements, and put them back."""

from __future__ import annotations

from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from lazyhess._costs import COSTS
from lazyhess._create import accumulator, of_shape
from lazyhess._indices import Array, Ids, Shape, divide, evenly, runs, same
from lazyhess._maps.axes import Reshape, summed
from lazyhess._maps.base import NOTHING, Axes, Chain, Map, thin
from lazyhess._tangents import Block, Pattern, SourceView, Sparse, settle
from lazyhess._tangents.boxes import Cut, cut, picked, put_back


class Gather(Map):
    """Some elements, as ``array[index]``: every form of index, repeats included.

    Without `out` NumPy checks the index and tells the shape.
    """

    def __init__(self, inp: Shape, index: tuple[Any, ...], out: Shape | None = None) -> None:
        self.inp = inp
        self.index = index
        self.basic = all(
            item is None
            or item is Ellipsis
            or (isinstance(item, (int, np.integer, slice)) and not isinstance(item, bool))
            for item in index
        )
        self.out = out = self._indexed() if out is None else out
        self.grows = prod(out) > prod(inp)

    def _indexed(self) -> Shape:
        # On an array without elements' memory; still NumPy walks through all that arrays pick, so
        # leading axes that are taken whole are left out.
        lead = self.lead
        shape: Shape = of_shape(self.inp[lead:])[self.index[lead:]].shape
        return self.inp[:lead] + shape

    @cached_property
    def source(self) -> Ids:
        """The flat position in the input of every element of the output."""
        grid: Ids = np.arange(prod(self.inp), dtype=np.intp).reshape(self.inp)
        picked: Ids = grid[self.index]
        return picked.reshape(-1)

    def places(self) -> Ids:
        """As `source`; of a basic index worked out without a grid of the input, and not kept."""
        if not self.basic:
            return self.source
        places = np.zeros((1,), np.intp)
        for start, step, length, width, _ in self.ranges:
            along = width * (start + step * np.arange(length))
            places = np.add.outer(places, along).reshape(-1)
        return places

    @cached_property
    def targets(self) -> tuple[Ids, Ids, Ids]:
        """The output positions sorted by source, where each source's run starts, the sources."""
        return runs(self.source)

    @cached_property
    def ends(self) -> Ids:
        """Where among the output positions sorted by source those of each source end, and 0."""
        ends = np.zeros(prod(self.inp) + 1, np.intp)
        np.cumsum(np.bincount(self.source, minlength=prod(self.inp)), out=ends[1:])
        return ends

    @cached_property
    def ranges(self) -> list[tuple[int, int, int, int, int]]:
        """A basic index, an axis of the input at a time: start, step, length, both strides.

        An integer is a range of length 1 without an axis in the output.
        """
        if len(self.index) == len(self.inp) == 1 and isinstance(self.index[0], int):
            # A scalar of a vector: what loops over scalars are made of.
            return [(self.index[0] % self.inp[0], 1, 1, 1, 0)]
        items = [item for item in self.index if item is not None]
        if Ellipsis in items:
            at = items.index(Ellipsis)
            items[at : at + 1] = [slice(None)] * (len(self.inp) - len(items) + 1)
        items += [slice(None)] * (len(self.inp) - len(items))
        table = []
        width = prod(self.inp)
        held = prod(self.out)
        for item, n in zip(items, self.inp, strict=True):
            width //= max(n, 1)
            if isinstance(item, slice):
                start, stop, step = item.indices(n)
                length = len(range(start, stop, step))
                held //= max(length, 1)
                table.append((start, step, length, width, held))
            else:
                table.append((int(item) % n, 1, 1, width, 0))
        return table

    @cached_property
    def lead(self) -> int:
        """How many leading axes an index with arrays takes whole, and leaves in front."""
        if self.basic:
            return 0
        plain = [item is None or item is Ellipsis or isinstance(item, slice) for item in self.index]
        first = plain.index(False)
        last = len(plain) - plain[::-1].index(False)
        if any(plain[first:last]):  # then the axes of the arrays come first
            return 0
        count = 0
        for item, n in zip(self.index[:first], self.inp, strict=False):
            if not isinstance(item, slice) or item.indices(n) != (0, n, 1):
                break
            count += 1
        return count

    @property
    def core(self) -> Gather:
        """The same for one place along the leading axes: its positions are far fewer."""
        return self if self._core is None else self._core

    @cached_property
    def _core(self) -> Gather | None:  # not itself: that would be a cycle
        lead = self.lead
        return Gather(self.inp[lead:], self.index[lead:], self.out[lead:]) if lead else None

    @cached_property
    def window(self) -> tuple[int, int] | None:
        """Where the output is one piece of the input, in order: its first place, and past it."""
        if not self.basic or not prod(self.out):
            return None
        first, whole = 0, True
        table = zip(self.ranges[::-1], self.inp[::-1], strict=True)
        for (start, step, length, width, _), n in table:
            if length != 1 and (step != 1 or not whole):
                return None
            whole = whole and length == n
            first += start * width
        return first, first + prod(self.out)

    def view(self, view: SourceView) -> SourceView | None:
        if view.axes is not None or self.window is None:
            return None
        first, last = self.window
        return SourceView(view.start + first, view.start + last)

    def dense(self, block: Array) -> Array:
        if self.basic:
            return block[(slice(None), *self.index)]
        core = self.core
        rows = block.shape[0] * prod(self.inp[: self.lead])
        flat = block.reshape(rows, prod(core.inp))
        return flat.take(core.source, axis=1).reshape((block.shape[0], *self.out))

    def sparse(self, block: Sparse) -> Block:
        pattern = block.pattern
        make = self._slice if self.basic else self._pick
        moved, keep = pattern.derive(("gather", id(self)), lambda: (self, make(pattern)))[1]
        if not moved.entries:
            return None
        if type(keep) is list:
            return settle(Sparse(moved, cut(block.val, keep)))
        if keep is None:
            return settle(Sparse(moved, block.val))
        one = block.val.strides == (0,)
        val = np.broadcast_to(block.val[:1], (moved.entries,)) if one else block.val[keep]
        return settle(Sparse(moved, val))

    def _slice(self, pattern: Pattern) -> tuple[Pattern, Ids | slice | list[Cut] | None]:
        view = pattern.view and self.view(pattern.view)
        taken = picked(pattern.boxes, self.inp, self.ranges) if pattern.boxes else None
        if taken is not None:
            boxes, cuts = taken
            boxed = pattern.boxed(self.out, boxes, distinct=pattern.distinct)
            if cuts is None:
                boxed.view = view
            return boxed, cuts
        if pattern.view and view:
            # Identity seeds in order: the hits are a slice of them.
            lo = max(view.start, 0)
            hi = max(min(view.stop, pattern.count), lo)
            pos = pattern.pos[lo:hi] - (view.start - pattern.view.start)
            moved = pattern.moved(self.out, pos, seed=pattern.seed[lo:hi], distinct=True)
            if hi - lo == pattern.count:
                moved.view = view
            return moved, slice(lo, hi)
        keep: Ids | None = None
        hits: list[tuple[Ids, int]] = []
        inside: Array | None = None
        for axis, (start, step, length, _, held) in enumerate(self.ranges):
            whole = start == 0 and step == 1 and length == self.inp[axis]
            at = pattern.project((axis,))
            if not whole:
                offset = at - start if step > 0 else start - at
                test = (offset >= 0) & (offset < length * abs(step))
                if abs(step) != 1:
                    at, rest = divide(offset, abs(step))
                    test &= rest == 0
                else:
                    at = offset
                inside = test if inside is None else inside & test
            if held:
                hits.append((at, held))
        if inside is not None:
            keep = np.flatnonzero(inside)
            hits = [(at[keep], held) for at, held in hits]
        seed = pattern.seed if keep is None else pattern.seed[keep]
        pos = np.zeros(len(seed), np.intp)
        for at, held in hits:
            pos = pos + (at if held == 1 else at * held)
        return pattern.moved(self.out, pos, seed=seed, distinct=pattern.distinct), keep

    def _pick(self, pattern: Pattern) -> tuple[Pattern, Ids]:
        order, ends = self.targets[0], self.ends
        places = pattern.pos
        begins = ends[places]
        copies = ends[places + 1] - begins
        keep = np.arange(len(places)).repeat(copies)
        if pattern.view and pattern.view.axes is None:  # places in a row: so are their copies' runs
            pos = order[begins[0] : begins[0] + len(keep)]
        else:
            begins -= np.cumsum(copies) - copies
            pos = order[begins.repeat(copies) + np.arange(len(keep))]
        moved = pattern.moved(self.out, pos, seed=pattern.seed[keep], distinct=pattern.distinct)
        return moved, keep

    @cached_property
    def kept(self) -> dict[int, int]:
        """Axes of the input that are taken whole, and where they come out."""
        if not self.basic:
            return self._counted()
        items = list(self.index)
        missing = len(self.inp) - sum(item is not None and item is not Ellipsis for item in items)
        at = items.index(Ellipsis) if Ellipsis in items else len(items)
        items[at : at + 1] = [slice(None)] * missing
        kept: dict[int, int] = {}
        axis = place = 0
        for item in items:
            if isinstance(item, slice):
                n = self.inp[axis]
                if item.indices(n) == (0, n, 1):
                    kept[axis] = place
            axis += item is not None
            place += item is None or isinstance(item, slice)
        return kept

    def _counted(self) -> dict[int, int]:
        """As `kept`, where there is an array of integers for each axis: those that count up."""
        kept = {axis: axis for axis in range(self.lead)}
        arrays = [item for item in self.index if isinstance(item, np.ndarray)]
        if len(arrays) != len(self.index) or any(item.dtype.kind not in "iu" for item in arrays):
            return kept
        if len(arrays) != len(self.inp):
            return kept
        for axis, (item, n) in enumerate(zip(arrays, self.inp, strict=True)):
            for place, m in enumerate(self.out):
                if n == m and place not in kept.values():
                    count = np.arange(n).reshape((n,) + (1,) * (len(self.out) - place - 1))
                    if same(item, count):
                        kept[axis] = place
                        break
        return kept

    def out_axes(self, axes: Axes) -> Axes | None:
        kept = self.kept
        return tuple(kept[axis] for axis in axes) if all(axis in kept for axis in axes) else None

    def at_one_place(self, axes: Axes, out_axes: Axes) -> Map | None:
        # Arrays of integers that count up take their axis whole, but have no place in one of 1.
        if not self.basic and any(axis >= self.lead for axis in axes):
            return None
        return Gather(thin(self.inp, axes), self.index, thin(self.out, out_axes))

    def reach(self, labels: Ids) -> Ids:
        picked_labels: Ids = labels[self.index]
        return picked_labels

    def batched(self, count: int) -> Map:
        if not self.basic:
            return super().batched(count)
        index = (slice(None), *self.index)
        return Gather((count, *self.inp), index, (count, *self.out))

    @property
    def T(self) -> Map:
        return Scatter(self)


class Scatter(Map):
    """The transpose of `Gather`: elements put back to where they were taken from, added up."""

    def __init__(self, gather: Gather) -> None:
        self.inp = gather.out
        self.out = gather.inp
        self.gather = gather

    def dense(self, block: Array) -> Sparse | Array:
        count = block.shape[0]
        total = count * prod(self.out)
        if total > COSTS.small and count * prod(self.inp) * COSTS.entry < total:
            return self.sparse(Sparse.of(block))
        out = accumulator((count, *self.out), block.dtype)
        if self.gather.basic:
            out[(slice(None), *self.gather.index)] = block
            return out
        core = self.gather.core
        order, starts, sources = core.targets
        if len(sources):
            rows = count * prod(self.out[: self.gather.lead])
            flat = block.reshape(rows, len(order))
            out.reshape(rows, prod(core.inp))[:, sources] = _added(flat, order, starts)
        return out

    def sparse(self, block: Sparse) -> Sparse | Array:
        pattern = block.pattern
        gather = self.gather

        def make() -> tuple[Pattern, Gather]:
            if not gather.basic:
                pos = gather.source[pattern.pos]
                return pattern.moved(self.out, pos), gather
            boxes = put_back(pattern.boxes, self.inp, gather.ranges) if pattern.boxes else None
            if boxes is not None:
                return pattern.boxed(self.out, boxes, distinct=pattern.distinct), gather
            pos = np.full(
                len(pattern.pos), sum(first * width for first, _, _, width, _ in gather.ranges)
            )
            for _, step, length, width, held in gather.ranges:
                if held:
                    at = pattern.pos if held == 1 else pattern.pos // held
                    if length * held != prod(self.inp):
                        at = at % length
                    pos += at * (step * width)
            return pattern.moved(self.out, pos, distinct=pattern.distinct), gather

        moved = pattern.derive(("scatter", id(gather)), make)[0]
        return settle(Sparse(moved, block.val))

    def out_axes(self, axes: Axes) -> Axes | None:
        back = {place: axis for axis, place in self.gather.kept.items()}
        return tuple(back[axis] for axis in axes) if all(axis in back for axis in axes) else None

    def at_one_place(self, axes: Axes, out_axes: Axes) -> Map | None:
        gather = self.gather.at_one_place(out_axes, axes)
        return None if gather is None else gather.T

    def trailing(self, start: int) -> Map | None:
        window = self.gather.window
        if window is None or not self.out:
            return None
        inner = prod(self.out[1:])
        first, last = (place - start * inner for place in window)
        skipped = max(-first, 0)
        if inner != 1 or last <= 0:
            return None
        out, flat = (self.out[0] - start, *self.out[1:]), (prod(self.inp),)
        rest = (last - max(first, 0),)
        index = (slice(first + skipped, last), *[0] * len(out[1:]))
        put = Scatter(Gather(out, index, rest))
        return Chain(Reshape(self.inp, flat), Gather(flat, (slice(skipped, None),), rest), put)

    def reach(self, labels: Ids) -> Ids:
        out = np.full(self.out, NOTHING)
        if self.gather.basic:
            out[self.gather.index] = labels
        else:
            np.maximum.at(out.reshape(-1), self.gather.source, labels.reshape(-1))
        return out

    @property
    def T(self) -> Map:
        return self.gather


def _added(rows: Array, order: Ids, starts: Ids) -> Array:
    """The sums of runs of columns that are put into an order first."""
    count = len(starts)
    if len(order) == count:
        return rows.take(order, axis=1)
    copies, rest = divmod(len(order), count)
    if rest or not evenly(starts, copies):
        return np.add.reduceat(rows.take(order, axis=1), starts, axis=1)
    # All of one length: sums over an axis are several times faster.
    picked = rows.take(order.reshape(count, copies).T.reshape(-1), axis=1)
    return summed(picked.reshape(len(rows), copies, count), (1,))
