"""Tangent blocks: K arrays of one shape, one for each seed.

A block is one of these kinds, and every linear map acts on each of them:

* ``None``: all K arrays are zero;
* `Sparse`: entries (seed, position, value); what is not listed is zero, what is listed twice
  adds up. Where they stand, arrays tell, or boxes (`lazyhess._boxes`);
* `Factored`: seeds of a grid, whose arrays are products of two smaller families;
* `Uniform`: a sparse block that is the same all along some axes: the seeds of a whole batch;
* an ``ndarray`` of shape ``(K,) + shape``, whose stride-0 axes are kept as they are;
* `Recorded`: a Variable of that shape, where the sweeps are themselves recorded, for derivatives
  of higher order.

Seeds are born sparse. A block turns dense when that is cheaper (`settle`), and back (`Sparse.of`)
only where it was dense for being small and a map makes it larger, or where a dense zero would
meet an infinity.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from math import prod
from operator import attrgetter
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lazyhess._boxes import Box, Comb, comb, disjoint, merged, spans, worthwhile

Array: TypeAlias = NDArray[Any]
Ids: TypeAlias = NDArray[np.intp]
Shape: TypeAlias = tuple[int, ...]

# A dense operation streams, a sparse one gathers: an entry costs about this many elements.
ENTRY_COST = 6
# Below this many elements the fixed cost of a NumPy call dominates, and dense needs fewer calls.
SMALL = 4096
# Repeated entries are merged when a block holds this many times what it held without repeats.
MERGE = 4
# Structures that depend on values are remembered for this many of them.
FEW = 8


def _keep_heap() -> None:
    """Have glibc reuse the memory of temporaries instead of fetching it anew, page by page.

    It hands freed memory back to the system until a program has freed something large; from then
    on it keeps up to twice as much (see "dynamic mmap threshold" in mallopt(3)). So something
    large is freed, the largest that counts. The second time it comes from the heap itself, where
    NumPy asks for huge pages under it. None of its pages is touched, so none takes memory.
    """
    for _ in range(2):
        np.empty((1 << 25) - (1 << 16), np.uint8)


_keep_heap()

_NONE = np.zeros(0, np.intp)
_serials = itertools.count()
_serial = attrgetter("serial")


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
        "start",
        "turned",
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
        start: int | None = None,
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
        self.start = start  # identity seeds: seed k stands at position start + k
        # As `start`, of the array whose axes were then put into this order.
        self.turned: tuple[int, tuple[int, ...]] | None = None
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
        """See `lazyhess._boxes.spans`."""
        found: list[tuple[Box, int, int]] = self.derive("spans", lambda: spans(self.boxes))
        return found

    @property
    def arrays(self) -> list[Ids]:
        """What is held for each entry."""
        return [array for array in (self._seed, self._pos) if array is not None]

    @property
    def nbytes(self) -> int:
        return sum([array.nbytes for array in self.arrays])

    def derive(self, key: Any, make: Callable[[], Any]) -> Any:
        """What ``make()`` gives, made once for each key."""
        found = self._derived.get(key)
        if found is None:
            found = self._derived[key] = make()
        return found

    def derive_few(self, kind: str, key: Any, make: Callable[[], Any]) -> Any:
        """As `derive`, for keys that values have a part in: the last few of a kind are kept."""
        kept = self.derive(kind, OrderedDict)
        found = kept.get(key)
        if found is None:
            found = kept[key] = make()
            if len(kept) > FEW:
                kept.popitem(last=False)
        return found

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
        made = Pattern(self.count, shape, None, None, distinct=distinct, core=core, boxes=boxes)
        if not worthwhile(boxes):
            made = Pattern(self.count, shape, made.seed, made.pos, distinct=distinct, core=core)
        return made

    def project(self, axes: tuple[int, ...]) -> Ids:
        """The flat index of every entry over the named axes of the shape, in their order."""
        if axes == tuple(range(len(self.shape))):
            return self.pos
        found: Ids = self.derive(axes, lambda: project(self.pos, self.shape, axes))
        return found

    def keys(self) -> Ids:
        """The flat index of every entry over (seed, position)."""
        found: Ids = self.derive("keys", lambda: self.seed * self.size + self.pos)
        return found

    def merged(self) -> tuple[Pattern, Ids | list[Comb]]:
        """The pattern without repeats, sorted, and where in it every entry is added."""
        found: tuple[Pattern, Ids | list[Comb]] = self.derive("merged", self._merge)
        return found

    def _merge(self) -> tuple[Pattern, Ids | list[Comb]]:
        found = merged(self.boxes, self.count) if self.boxes else None
        if found is not None:
            seed, pos, places = found
            return Pattern(self.count, self.shape, seed, pos, distinct=True), places
        keys = self.keys()
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        first = changes(keys)
        places = np.empty(len(keys), np.intp)
        places[order] = np.cumsum(first) - 1
        seed, pos = divide(keys[first], self.size)
        return Pattern(self.count, self.shape, seed, pos, distinct=True), places

    def indptr(self) -> Ids:
        """Of a sorted pattern, where the entries of every seed begin, and the last end."""
        found: Ids = self.derive("indptr", self._count)
        return found

    def _count(self) -> Ids:
        counts = np.bincount(self.seed, minlength=self.count)
        return np.concatenate([[0], np.cumsum(counts)])


def project(pos: Ids, shape: Shape, axes: tuple[int, ...]) -> Ids:
    """Flat C-order indices over `shape` -> flat indices over its `axes`, in their order."""
    result: Ids | None = None
    groups: list[tuple[int, int]] = []  # maximal runs of neighbouring axes: first, past the last
    for axis in axes:
        if groups and groups[-1][1] == axis:
            groups[-1] = (groups[-1][0], axis + 1)
        else:
            groups.append((axis, axis + 1))
    for first, last in groups:
        inner, extent = prod(shape[last:]), prod(shape[first:last])
        part = pos if inner == 1 else pos // inner
        if prod(shape[:first]) != 1:
            part = part % extent
        result = part if result is None else result * extent + part
    return np.zeros(len(pos), np.intp) if result is None else result


def embed(pos: Ids, shape: Shape, widths: Sequence[int]) -> Ids:
    """Flat C-order indices over `shape` -> the sum of coordinate times width over its axes."""
    result: Ids | None = None
    axis = 0
    while axis < len(shape):
        last = axis + 1
        # Neighbours that stay neighbours are one axis.
        while last < len(shape) and widths[last - 1] == widths[last] * shape[last]:
            last += 1
        if prod(shape[axis:last]) != 1:
            part = project(pos, shape, tuple(range(axis, last)))
            part = part if widths[last - 1] == 1 else part * widths[last - 1]
            result = part if result is None else result + part
        axis = last
    return np.zeros(len(pos), np.intp) if result is None else result


def strides(shape: Shape) -> tuple[int, ...]:
    """How far one step along each axis of a C-order array of `shape` goes, in elements."""
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


def runs(keys: Ids) -> tuple[Ids, Ids, Ids]:
    """Order that sorts `keys`, where each run of equal keys starts in it, and the keys once."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(changes(ordered))
    return order, starts, ordered[starts]


def changes(keys: Ids) -> NDArray[np.bool_]:
    """Whether each key is another one than the key before it."""
    first = np.ones(len(keys), np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    return first


def span(ids: Ids) -> slice | None:
    """Ids in a row as a slice: copying it is one memory copy. Else ``None``."""
    n = len(ids)
    if n and ids[-1] - ids[0] == n - 1 and bool((ids[1:] > ids[:-1]).all()):
        return slice(int(ids[0]), int(ids[0]) + n)
    return None


def divide(ids: Ids, size: int) -> tuple[Ids, Ids]:
    """Quotient and remainder of flat indices; far faster than `numpy.divmod`."""
    size = max(size, 1)
    quotient = ids // size
    return quotient, ids - quotient * size


class Sparse:
    """A sparse tangent block: the entries of `pattern` with the values `val`."""

    __slots__ = ("pattern", "val")

    def __init__(self, pattern: Pattern, val: Array) -> None:
        self.pattern = pattern
        self.val = val

    @classmethod
    def of(cls, block: Array) -> Sparse:
        """The nonzero entries of a dense block."""
        count, shape = block.shape[0], block.shape[1:]
        flat = block.reshape(-1)
        at = flat.nonzero()[0]
        seed, pos = divide(at, prod(shape))
        return cls(Pattern(count, shape, seed, pos, distinct=True), flat[at])

    @property
    def count(self) -> int:
        return self.pattern.count

    @property
    def shape(self) -> Shape:
        return self.pattern.shape

    @property
    def seed(self) -> Ids:
        return self.pattern.seed

    @property
    def pos(self) -> Ids:
        return self.pattern.pos

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.val.dtype

    @property
    def nbytes(self) -> int:
        return self.pattern.nbytes + self.val.nbytes

    @property
    def unit(self) -> bool:
        """Whether this is a block of identity seeds, as they are born."""
        pattern = self.pattern
        ordered = pattern.start is not None or pattern.turned is not None
        return ordered and self.val.strides == (0,)

    def merged(self) -> Sparse:
        """The same block with every (seed, position) once, sorted."""
        pattern, places = self.pattern.merged()
        if isinstance(places, list):
            return Sparse(pattern, comb(self.val, places, pattern.entries))
        return Sparse(pattern, add_up(places, self.val, pattern.entries))

    def dense(self) -> Array:
        """The block as an array of shape ``(K,) + shape``."""
        pattern = self.pattern
        total = pattern.count * pattern.size
        if pattern.distinct:
            out = np.zeros(total, self.val.dtype)
            out[pattern.keys()] = self.val
        else:
            out = add_up(pattern.keys(), self.val, total)
        return out.reshape((pattern.count, *pattern.shape))


class Factored:
    """A tangent block whose seeds are a grid (a, b): ``weights[a] * inner[b]``.

    The weights vary along some axes of the shape only. So are the tangents of ``X @ W``, by W, and
    of all that is made from it without mixing the rows of X: ``weights`` are the columns of X, and
    maps act on `inner` alone, which has as many seeds as W has columns. (It is a Khatri-Rao
    product of the two.)

    Parameters
    ----------
    weights : ndarray
        Of shape ``(A,)`` and the lengths of `axes`.
    axes : tuple of int
        Increasing; counted without the seed axis.
    inner : Sparse or ndarray
        B arrays.
    first : bool
        Whether seed ``a * B + b`` is that of the grid's (a, b); else it is ``b * A + a``.
    """

    __slots__ = ("axes", "first", "inner", "weights")

    def __init__(
        self, weights: Array, axes: tuple[int, ...], inner: Sparse | Array, first: bool
    ) -> None:
        self.weights = weights
        self.axes = axes
        self.inner = inner
        self.first = first

    @property
    def shape(self) -> Shape:
        return shape_of(self.inner, ())

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.result_type(self.weights, self.inner.dtype)

    @property
    def nbytes(self) -> int:
        """What grows with the number of seeds."""
        return self.weights.nbytes

    @property
    def grid(self) -> tuple[int, int]:
        """How many a there are, and how many b."""
        inner = self.inner
        return len(self.weights), inner.count if isinstance(inner, Sparse) else len(inner)

    def like(self, other: Factored) -> bool:
        """Whether the two differ in `inner` only."""
        return (
            self.weights is other.weights and self.axes == other.axes and self.first == other.first
        )

    def moved(self, axes: tuple[int, ...], inner: Block) -> Block:
        """The same weights along other axes of another block."""
        if inner is None:
            return None
        assert isinstance(inner, (Sparse, np.ndarray))
        order = sorted(range(len(axes)), key=axes.__getitem__)
        weights = self.weights
        if order != list(range(len(axes))):
            weights = weights.transpose((0, *(k + 1 for k in order)))
        return Factored(weights, tuple(sorted(axes)), inner, self.first)

    def ordered(self, grid: Array) -> Array:
        """An array with axes (a, b) in front, with one seed axis."""
        grid = grid if self.first else grid.swapaxes(0, 1)
        return grid.reshape((grid.shape[0] * grid.shape[1], *grid.shape[2:]))

    def expanded(self) -> Sparse | Array:
        """The block with every seed of its own."""
        count, others = self.grid
        if isinstance(self.inner, Sparse):
            return settle(self._entries(self.inner, count))
        thin = [n if axis in self.axes else 1 for axis, n in enumerate(self.shape)]
        weights, shape = self.weights.reshape((count, 1, *thin)), (count * others, *self.shape)
        inner = compact(self.inner)
        grid = weights * inner if self.first else inner[:, None] * weights.swapaxes(0, 1)
        if inner is not self.inner:  # stride-0 axes stay so, those of the seeds excepted
            grid = np.broadcast_to(grid, (*self.grid[:: 1 if self.first else -1], *self.shape))
        return grid.reshape(shape)

    def _entries(self, inner: Sparse, count: int) -> Sparse:
        pattern, first = inner.pattern, self.first

        def make() -> Pattern:
            along = np.arange(count)[:, None]
            seed = along * pattern.count + pattern.seed if first else along + pattern.seed * count
            return Pattern(
                count * pattern.count,
                pattern.shape,
                seed.reshape(-1),
                np.tile(pattern.pos, count),
                distinct=pattern.distinct,
                core=pattern.core * count,
            )

        weights = self.weights.reshape(count, -1).take(pattern.project(self.axes), axis=1)
        moved = pattern.derive(("grid", count, first), make)
        return Sparse(moved, (weights * inner.val).reshape(-1))


class Uniform:
    """A sparse tangent block that is the same all along some axes.

    So are seeds of one position in every sample of a batch. A map that treats all places along
    these axes alike acts on `inner` alone.

    Parameters
    ----------
    inner : Sparse
        The block at one place: its shape has length 1 along `axes`.
    axes : tuple of int
        Counted without the seed axis.
    shape : tuple of int
        Of each of the K arrays.
    """

    __slots__ = ("axes", "inner", "shape")

    def __init__(self, inner: Sparse, axes: tuple[int, ...], shape: Shape) -> None:
        self.inner = inner
        self.axes = axes
        self.shape = shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.inner.dtype

    @property
    def nbytes(self) -> int:
        return self.inner.nbytes

    def mapped(self, map_: Any) -> Block:
        """A linear map of each of the K arrays."""
        made: Block = map_.uniform(self)
        return made

    def expanded(self) -> Sparse | Array:
        """The block with the entries of every place."""
        return spread(self.inner, self.inner.shape, self.axes, self.shape)


class Recorded(Protocol):
    """A dense block that remembers how it was made."""

    @property
    def shape(self) -> Shape: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def nbytes(self) -> int: ...

    def mapped(self, map_: Any) -> Recorded:
        """A linear map of each of the K arrays."""

    def __getitem__(self, index: Any) -> Any: ...


Block: TypeAlias = Sparse | Factored | Uniform | Array | Recorded | None


def add_up(keys: Ids, val: Array, total: int) -> Array:
    """`val` added up by `keys` into an array of `total` elements."""
    if val.dtype.kind == "f" and val.itemsize <= 8:  # bincount counts in float64
        if len(keys) == 0:
            return np.zeros(total, val.dtype)
        return np.bincount(keys, weights=val, minlength=total).astype(val.dtype, copy=False)
    if val.dtype == np.complex128:
        made: Array = add_up(keys, val.real, total) + 1j * add_up(keys, val.imag, total)
        return made
    out = np.zeros(total, val.dtype)
    np.add.at(out, keys, val)
    return out


def identity(positions: Ids, shape: Shape, dtype: DTypeLike) -> Sparse:
    """Seeds: unit vectors at the given flat positions of an array of `shape`."""
    count = len(positions)
    start = None
    in_order = count and bool((positions[1:] > positions[:-1]).all())
    if in_order and int(positions[-1]) - int(positions[0]) == count - 1:
        start = int(positions[0])
    seed = np.arange(count, dtype=np.intp)
    boxes = [] if start is None else [Box((count,), start, (1,), 0, (1,))]
    if not worthwhile(boxes):
        boxes = []
    pattern = Pattern(count, shape, seed, positions, distinct=True, start=start, boxes=boxes)
    return Sparse(pattern, np.broadcast_to(np.ones((), dtype), (count,)))


def settle(block: Sparse) -> Sparse | Array:
    """The block as it is, or dense where that is cheaper."""
    pattern = block.pattern
    total = pattern.count * pattern.size
    if total <= SMALL or pattern.entries * ENTRY_COST > total:
        return block.dense()
    return block


def spread(block: Sparse, thin: Shape, axes: tuple[int, ...], out: Shape) -> Sparse | Array:
    """The same all along some axes of `out`, which have length 1 in `thin`, or are missing."""
    pattern = block.pattern
    copies = prod(out[axis] for axis in axes)
    total = pattern.count * prod(out)
    if total <= SMALL or pattern.entries * copies * ENTRY_COST > total:
        return np.broadcast_to(block.dense().reshape((block.count, *thin)), (block.count, *out))

    def make() -> Pattern:
        width = strides(out)
        base = embed(pattern.pos, thin, width)
        along = embed(
            np.arange(copies), tuple(out[axis] for axis in axes), [width[axis] for axis in axes]
        )
        pos = (base[:, None] + along).reshape(-1)
        seed = np.repeat(pattern.seed, copies)
        core = pattern.core * copies
        return Pattern(pattern.count, out, seed, pos, distinct=pattern.distinct, core=core)

    moved = pattern.derive(("expand", axes, out), make)
    return Sparse(moved, np.repeat(block.val, copies))


def uniform(block: Block, axes: tuple[int, ...], shape: Shape) -> Block:
    """A block that is the same all along some axes, from the block at one place of them.

    What varies along the other axes only is a factored block of one inner seed: what follows acts
    on that one, however many seeds there are.
    """
    if block is None:
        return None
    if isinstance(block, Factored):
        inner = block.inner
        if isinstance(inner, Sparse):
            return block.moved(block.axes, Uniform(inner, axes, shape).expanded())
        return block.moved(block.axes, np.broadcast_to(inner, (len(inner), *shape)))
    assert isinstance(block, (Sparse, np.ndarray))
    count = block.shape[0] if isinstance(block, np.ndarray) else block.count
    large = count * prod(shape) > SMALL
    if isinstance(block, np.ndarray) and large and _sparse_again(block):
        block = Sparse.of(block)
    if isinstance(block, Sparse):
        return Uniform(block, axes, shape)
    rest = tuple(axis for axis in range(len(shape)) if axis not in axes)
    if large and count > 1 and rest and np.isfinite(block).all():
        weights = block.reshape((count, *(shape[axis] for axis in rest)))
        ones = np.broadcast_to(np.ones((), block.dtype), (1, *shape))
        return Factored(weights, rest, ones, first=True)
    return np.broadcast_to(block, (count, *shape))


def _sparse_again(block: Array) -> bool:
    """Whether a block that became dense for being small is better sparse where it grows."""
    return block.size <= SMALL and int(np.count_nonzero(block)) * ENTRY_COST <= block.size


def dense(block: Block, count: int, shape: Shape, dtype: DTypeLike) -> Any:
    """Any block as an array of shape ``(count,) + shape`` (it may share memory, or be stride 0)."""
    if block is None:
        return np.broadcast_to(np.zeros((), dtype), (count, *shape))
    if isinstance(block, (Factored, Uniform)):
        block = block.expanded()
    if isinstance(block, Sparse):
        return block.dense()
    return block


def shape_of(block: Block, none: Shape) -> Shape:
    """The shape of the K arrays of a block; of a zero block it is not known, and is `none`."""
    if block is None:
        return none
    return block.shape if isinstance(block, (Sparse, Factored, Uniform)) else block.shape[1:]


def total(blocks: Sequence[Block], *, last: bool = False) -> Block:
    """The sum of blocks of one shape. None of them is changed.

    With `last` no map follows: entries of sparse blocks are only put together.
    """
    if len(blocks) == 1:
        return blocks[0]
    parts = [block for block in blocks if block is not None]
    made: list[Any] = []  # arrays that nobody else has
    if len(parts) > 1 and any(isinstance(part, (Factored, Uniform)) for part in parts):
        parts = _factors(given := parts)
        made = [part for part in parts if not any(part is other for other in given)]
    if len(parts) <= 1:
        return parts[0] if parts else None
    arrays: list[Any] = [part for part in parts if not isinstance(part, Sparse)]
    sparse = _joined([part for part in parts if isinstance(part, Sparse)])
    if not arrays:
        assert sparse is not None
        settled = sparse if last else settle(sparse)
        # Repeats are harmless to linear maps, but must not double with every sum for ever.
        if (
            last
            or not isinstance(settled, Sparse)
            or sparse.pattern.entries <= MERGE * sparse.pattern.core
        ):
            return settled
        return sparse.merged()
    if len(arrays) == 1 and sparse is None:
        single: Block = arrays[0]
        return single
    if not all(isinstance(array, np.ndarray) for array in arrays):
        added: Block = sum(arrays[1:], arrays[0] if sparse is None else arrays[0] + sparse.dense())
        return added
    if len(arrays) == 1:
        assert sparse is not None
        return _scatter(np.array(arrays[0], dtype=np.result_type(arrays[0], sparse.val)), sparse)
    out = _sum(arrays[0], arrays[1], made)
    for array in arrays[2:]:
        out = _plus(out, array)
    return out if sparse is None else _scatter(out, sparse)


def _sum(a: Array, b: Array, made: list[Array]) -> Array:
    """The sum of two arrays, in place of one of them if it is ours."""
    for own, other in ((a, b), (b, a)):
        ours = any(own is array for array in made) and own.flags.writeable
        if ours and 0 not in own.strides and own.dtype == np.result_type(a, b):
            own += other
            return own
    return compactly(np.add, a, b)


def _factors(parts: list[Any]) -> list[Any]:
    """The summands, where factored blocks of the same weights are one, or else no more factored.

    Likewise blocks that are the same all along the same axes.
    """
    first = parts[0]
    if isinstance(first, Uniform) and all(
        isinstance(part, Uniform) and part.axes == first.axes for part in parts
    ):
        return [uniform(total([part.inner for part in parts]), first.axes, first.shape)]
    if isinstance(first, Factored) and all(
        isinstance(part, Factored) and first.like(part) for part in parts
    ):
        return [first.moved(first.axes, total([part.inner for part in parts]))]
    return [part.expanded() if isinstance(part, (Factored, Uniform)) else part for part in parts]


def _plus(out: Array, array: Array) -> Array:
    if out.dtype == np.result_type(out, array) and out.flags.writeable:
        out += array
        return out
    return out + array


def _scatter(out: Array, block: Sparse) -> Array:
    """Add a sparse block to an array this module has just made."""
    out = np.ascontiguousarray(out, dtype=np.result_type(out, block.val))
    if not out.flags.writeable:  # a broadcast along axes of length 1 is contiguous, too
        out = out.copy()
    flat = out.reshape(-1)
    keys = block.pattern.keys()
    if block.pattern.distinct:
        flat[keys] += block.val
    elif len(keys) * ENTRY_COST > len(flat):
        flat += add_up(keys, block.val, len(flat))
    else:
        np.add.at(flat, keys, block.val)
    return out


def _joined(parts: list[Sparse]) -> Sparse | None:
    """The sum of sparse blocks: values where the pattern is the same, else one after the other."""
    if len(parts) <= 1:
        return parts[0] if parts else None
    by_pattern: dict[int, Sparse] = {}
    for part in parts:
        seen = by_pattern.get(id(part.pattern))
        by_pattern[id(part.pattern)] = (
            part if seen is None else Sparse(part.pattern, seen.val + part.val)
        )
    parts = list(by_pattern.values())
    if len(parts) == 1:
        return parts[0]
    patterns = [part.pattern for part in parts]
    # The joint structure is worked out once: sums of the same two kinds of block recur. The
    # youngest part keeps it. What a pattern keeps is then younger than itself: that is no cycle,
    # which would hold all this memory until Python looks for cycles.
    youngest = max(patterns, key=_serial)
    key = ("join", *map(_serial, patterns))
    pattern, folded = youngest.derive(key, lambda: _join(patterns))
    if folded is None:
        return Sparse(pattern, np.concatenate([part.val for part in parts]))
    val = np.empty(pattern.entries, np.result_type(*[part.val for part in parts]))
    for part, boxes in zip(parts, folded, strict=True):
        for (_, start, stop), (to, again) in zip(part.pattern.spans, boxes, strict=True):
            place = val[to : to + stop - start]
            if again:
                place += part.val[start:stop]
            else:
                place[...] = part.val[start:stop]
    return Sparse(pattern, val)


# For the boxes of each part where in the sum they begin, and whether others stand there already.
Folded: TypeAlias = list[list[tuple[int, bool]]]


def _join(patterns: list[Pattern]) -> tuple[Pattern, Folded | None]:
    """The pattern of a sum, and what of it is added; ``None`` if nothing is."""
    first = patterns[0]
    if all(pattern.boxes for pattern in patterns):
        boxes = list(dict.fromkeys(box for pattern in patterns for box in pattern.boxes))
        core, distinct = max(pattern.core for pattern in patterns), disjoint(boxes)
        made = Pattern(
            first.count,
            first.shape,
            None,
            None,
            distinct=distinct,
            core=None if distinct else core,
            boxes=boxes,
        )
        if made.entries == sum(pattern.entries for pattern in patterns):
            return made, None
        begins = {box: start for box, start, _ in spans(boxes)}
        seen: set[Box] = set()
        folded: Folded = []
        for pattern in patterns:
            folded.append([(begins[box], box in seen) for box in pattern.boxes])
            seen.update(pattern.boxes)
        return made, folded
    seed = np.concatenate([pattern.seed for pattern in patterns])
    pos = np.concatenate([pattern.pos for pattern in patterns])
    core = max(pattern.core for pattern in patterns)
    return Pattern(first.count, first.shape, seed, pos, core=core), None


def cast(block: Block, dtype: np.dtype[Any]) -> Block:
    """The block with the dtype of the array it belongs to; complex to real keeps the real part."""
    if block is None or block.dtype == dtype:
        return block
    if isinstance(block, Sparse):
        return Sparse(block.pattern, _cast(block.val, dtype))
    if isinstance(block, Uniform):
        return uniform(cast(block.inner, dtype), block.axes, block.shape)
    if isinstance(block, Factored):
        return cast(block.expanded(), dtype)
    if isinstance(block, np.ndarray):
        return _cast(block, dtype)
    recorded: Any = block
    made = recorded if dtype.kind == "c" else np.real(recorded)
    held: Block = made if made.dtype == dtype else made.astype(dtype)
    return held


def _cast(array: Array, dtype: np.dtype[Any]) -> Array:
    if array.dtype.kind == "c" and dtype.kind != "c":
        array = array.real
    return compactly(lambda part: part.astype(dtype), array)


def compact(array: Array) -> Array:
    """The array with every stride-0 axis cut to length 1: it broadcasts to what it was."""
    if 0 not in array.strides or array.size == 0:
        return array
    cut = tuple(slice(0, 1) if step == 0 else slice(None) for step in array.strides)
    return array[cut]


def compactly(function: Callable[..., Array], *arrays: Array) -> Array:
    """An elementwise function of arrays of one shape, computed once along stride-0 axes."""
    if arrays[0].size <= SMALL:
        return function(*arrays)
    small = [compact(array) for array in arrays]
    if all(part is array for part, array in zip(small, arrays, strict=True)):
        return function(*arrays)
    return np.broadcast_to(function(*small), arrays[0].shape)


class CSR:
    """Sparse rows: row r has ``vals[indptr[r]:indptr[r + 1]]`` at the columns ``cols[...]``."""

    __slots__ = ("_rows", "cols", "indptr", "ncols", "vals")

    def __init__(
        self, indptr: Ids, cols: Ids, vals: Array, ncols: int, rows: Ids | None = None
    ) -> None:
        self.indptr = indptr
        self.cols = cols
        self.vals = vals
        self.ncols = ncols
        self._rows = rows  # of every entry, where that was at hand

    @classmethod
    def of(cls, block: Sparse) -> CSR:
        """A block as one row for each seed; the structure is shared with its pattern."""
        merged = block.merged()
        pattern = merged.pattern
        return cls(pattern.indptr(), pattern.pos, merged.val, pattern.size, pattern.seed)

    @classmethod
    def zeros(cls, shape: tuple[int, int], dtype: np.dtype[Any]) -> CSR:
        """Rows without entries."""
        none = np.zeros(0, np.intp)
        return cls(np.zeros(shape[0] + 1, np.intp), none, np.zeros(0, dtype), shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.indptr) - 1, self.ncols

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.vals.dtype

    @property
    def nbytes(self) -> int:
        return self.indptr.nbytes + self.cols.nbytes + self.vals.nbytes

    def rows(self) -> Ids:
        """The row of every entry."""
        if self._rows is not None:
            return self._rows
        return np.repeat(np.arange(self.shape[0]), np.diff(self.indptr))

    def lean(self) -> CSR:
        """The same rows without what can be worked out again."""
        return CSR(self.indptr, self.cols, self.vals, self.ncols)

    def dense(self) -> Array:
        """The rows as a two-dimensional array."""
        out = np.zeros(self.shape, self.vals.dtype)
        out[self.rows(), self.cols] = self.vals
        return out

    def take(self, rows: Ids) -> CSR:
        """The named rows, in the order named."""
        lengths = np.diff(self.indptr)[rows]
        indptr = np.zeros(len(rows) + 1, np.intp)
        np.cumsum(lengths, out=indptr[1:])
        at = np.arange(indptr[-1]) + np.repeat(self.indptr[rows] - indptr[:-1], lengths)
        return CSR(indptr, self.cols[at], self.vals[at], self.ncols)


def nbytes(blocks: Iterable[Block]) -> int:
    """Bytes held by blocks; a stride-0 axis holds one element."""
    return sum(
        compact(block).nbytes if isinstance(block, np.ndarray) else block.nbytes
        for block in blocks
        if block is not None
    )
