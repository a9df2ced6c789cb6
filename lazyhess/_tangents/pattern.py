"""Where the entries of a sparse block stand, and what maps worked out from that."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from lazyhess._create import buffer
from lazyhess._indices import Ids, Shape, changes, divide, project
from lazyhess._tangents.boxes import Box, Comb, merged, spans, worthwhile

# Structures that depend on values are remembered for this many of them.
FEW = 8


_NONE = np.zeros(0, np.intp)


_serials = itertools.count()


class SourceView(NamedTuple):
    """An array that is a piece of another one, the source: elements `start` to `stop`, in order.

    With `axes`, those of the piece were then put into this order. What a map makes of it `Map.view`
    tells.
    """

    start: int
    stop: int
    axes: tuple[int, ...] | None = None


class Pattern:
    """Where the entries of a sparse block stand: shared by all blocks of the same structure.

    Whatever a linear map works out from positions alone is remembered here, so that it is worked
    out once for the forward sweep, the reverse sweep, and every value that has this structure.
    """

    __slots__ = (
        "_derived",
        "_pos",
        "_seed",
        "boxes",
        "core",
        "count",
        "distinct",
        "entries",
        "serial",
        "shape",
        "view",
    )

    def __init__(
        self,
        count: int,
        shape: Shape,
        seed: Ids | None,
        pos: Ids | None,
        *,
        distinct: bool = False,
        core: int | None = None,
        view: SourceView | None = None,
        boxes: Sequence[Box] = (),
    ) -> None:
        self.count = count
        self.shape = shape
        self._seed = seed  # None: the boxes tell
        self._pos = pos
        self.boxes = boxes  # all entries in order, or none
        self.entries = sum([box.size for box in boxes]) if pos is None else len(pos)
        self.distinct = distinct  # no (seed, position) stands twice
        self.core = self.entries if core is None else core  # when last known without repeats
        # Identity seeds of places in a row: the array as a view of the array of all seeds. (Seed k
        # stands at position k - view.start, before axes were put into another order.)
        self.view = view
        self.serial = next(_serials)  # younger patterns have larger ones
        self._derived: dict[Any, Any] = {}

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def seed(self) -> Ids:
        """The seed of every entry."""
        if self._seed is None:
            self._seed = np.concatenate([box.seeds() for box in self.boxes])
        return self._seed

    @property
    def pos(self) -> Ids:
        """The flat position of every entry."""
        if self._pos is None:
            self._pos = np.concatenate([box.positions() for box in self.boxes])
        return self._pos

    @property
    def spans(self) -> list[tuple[Box, int, int]]:
        """See `lazyhess._tangents.boxes.spans`."""
        table: list[tuple[Box, int, int]] = self.derive("spans", lambda: spans(self.boxes))
        return table

    @property
    def arrays(self) -> list[Ids]:
        """What is held for each entry."""
        return [array for array in (self._seed, self._pos) if array is not None]

    @property
    def nbytes(self) -> int:
        return sum([array.nbytes for array in self.arrays])

    def derive(self, key: Any, make: Callable[[], Any]) -> Any:
        """What ``make()`` gives, made once for each key."""
        derived = self._derived.get(key)
        if derived is None:
            derived = self._derived[key] = make()
        return derived

    def derive_few(self, kind: str, key: Any, make: Callable[[], Any]) -> Any:
        """As `derive`, for keys that values have a part in: the last few of a kind are kept."""
        kept = self.derive(kind, OrderedDict)
        derived = kept.get(key)
        if derived is None:
            derived = kept[key] = make()
            if len(kept) > FEW:
                kept.popitem(last=False)
        return derived

    def moved(
        self, shape: Shape, pos: Ids, *, seed: Ids | None = None, distinct: bool = False
    ) -> Pattern:
        """The pattern of the same seeds (or the given ones) at other positions."""
        seed = self.seed if seed is None else seed
        core = self.core if len(pos) == self.entries else None
        return Pattern(self.count, shape, seed, pos, distinct=distinct, core=core)

    def boxed(self, shape: Shape, boxes: list[Box], *, distinct: bool = False) -> Pattern:
        """As `moved`, of boxes; if they are small, their entries are known by arrays."""
        entries = sum([box.size for box in boxes])
        core = self.core if entries == self.entries else None
        if not boxes:
            return Pattern(self.count, shape, _NONE, _NONE, distinct=True)
        boxed = Pattern(self.count, shape, None, None, distinct=distinct, core=core, boxes=boxes)
        if not worthwhile(boxes):
            boxed = Pattern(self.count, shape, boxed.seed, boxed.pos, distinct=distinct, core=core)
        return boxed

    def project(self, axes: tuple[int, ...]) -> Ids:
        """The flat index of every entry over the named axes of the shape, in their order."""
        if axes == tuple(range(len(self.shape))):
            return self.pos
        projected: Ids = self.derive(axes, lambda: project(self.pos, self.shape, axes))
        return projected

    def keys(self) -> Ids:
        """The flat index of every entry over (seed, position)."""
        keys: Ids = self.derive("keys", lambda: self.seed * self.size + self.pos)
        return keys

    def merged(self) -> tuple[Pattern, Ids | list[Comb]]:
        """The pattern without repeats, sorted, and where in it every entry is added."""
        without_repeats: tuple[Pattern, Ids | list[Comb]] = self.derive("merged", self._merge)
        return without_repeats

    def _merge(self) -> tuple[Pattern, Ids | list[Comb]]:
        by_table = merged(self.boxes, self.count) if self.boxes else None
        if by_table is not None:
            seed, pos, places = by_table
            return Pattern(self.count, self.shape, seed, pos, distinct=True), places
        keys = self.keys()
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        first = changes(keys)
        places = buffer((len(keys),), np.intp)
        places[order] = np.cumsum(first) - 1
        seed, pos = divide(keys[first], self.size)
        return Pattern(self.count, self.shape, seed, pos, distinct=True), places

    def indptr(self) -> Ids:
        """Of a sorted pattern, where the entries of every seed begin, and the last end."""
        starts: Ids = self.derive("indptr", self._count)
        return starts

    def _count(self) -> Ids:
        counts = np.bincount(self.seed, minlength=self.count)
        return np.concatenate([[0], np.cumsum(counts)])
