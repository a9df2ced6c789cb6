"""The kinds of tangent blocks, and how one becomes another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from math import prod
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from lazyhess._costs import COSTS
from lazyhess._create import ones
from lazyhess._indices import Array, Ids, Shape, divide, embed, strides
from lazyhess._tangents.boxes import Box, comb, worthwhile
from lazyhess._tangents.pattern import Pattern, SourceView


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
    def is_identity(self) -> bool:
        """Whether this is a block of identity seeds, of places in a row, wherever they have got."""
        pattern = self.pattern
        return pattern.view is not None and self.val.strides == (0,)

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


class Structured(ABC):
    """A block that a smaller one and a rule make: one that maps can often act on alone."""

    __slots__ = ()

    inner: Any

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]: ...

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """What grows with the number of seeds."""

    @abstractmethod
    def like(self, other: Any) -> bool:
        """Whether the other block is of this kind and differs in `inner` only."""

    @abstractmethod
    def of(self, inner: Block) -> Block:
        """The same rule for another inner block."""

    @abstractmethod
    def mapped(self, map_: Any) -> Block:
        """A linear map of each of the K arrays."""

    @abstractmethod
    def expanded(self) -> Sparse | Array:
        """The block without the rule."""


class KhatriRao(Structured):
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

    inner: Sparse | Array

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
        own, inner = self.weights.dtype, self.inner.dtype
        return own if own is inner else np.result_type(own, inner)

    @property
    def nbytes(self) -> int:
        """What grows with the number of seeds."""
        return self.weights.nbytes

    @property
    def grid(self) -> tuple[int, int]:
        """How many a there are, and how many b."""
        inner = self.inner
        return len(self.weights), inner.count if isinstance(inner, Sparse) else len(inner)

    def like(self, other: Any) -> bool:
        """Whether the other block is of this kind and differs in `inner` only."""
        return (
            isinstance(other, KhatriRao)
            and self.weights is other.weights
            and self.axes == other.axes
            and self.first == other.first
        )

    def of(self, inner: Block) -> Block:
        """The same weights along the same axes of another block."""
        return self.moved(self.axes, inner)

    def moved(self, axes: tuple[int, ...], inner: Block) -> Block:
        """The same weights along other axes of another block."""
        if inner is None:
            return None
        if not isinstance(inner, (np.ndarray, Sparse)):
            assert isinstance(inner, Structured)
            inner = inner.expanded()
        weights = self.weights
        if len(axes) > 1 and axes != self.axes:
            order = sorted(range(len(axes)), key=axes.__getitem__)
            if order != list(range(len(axes))):
                weights = weights.transpose((0, *(k + 1 for k in order)))
                axes = tuple(sorted(axes))
        return KhatriRao(weights, axes, inner, self.first)

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

    def mapped(self, map_: Any) -> Block:
        """A linear map of each of the K arrays."""
        answer: Block = map_.khatri_rao(self)
        return answer

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


class Repeated(Structured):
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

    inner: Sparse

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

    def like(self, other: Any) -> bool:
        """Whether the other block is of this kind and differs in `inner` only."""
        return isinstance(other, Repeated) and self.axes == other.axes

    def of(self, inner: Block) -> Block:
        """Another block along the same axes."""
        return repeated(inner, self.axes, self.shape)

    def mapped(self, map_: Any) -> Block:
        """A linear map of each of the K arrays."""
        answer: Block = map_.apply(self.expanded())
        return answer

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


Block: TypeAlias = Sparse | KhatriRao | Repeated | Array | Recorded | None


def add_up(keys: Ids, val: Array, total: int) -> Array:
    """`val` added up by `keys` into an array of `total` elements."""
    if val.dtype.kind == "f" and val.itemsize <= 8:  # bincount counts in float64
        if len(keys) == 0:
            return np.zeros(total, val.dtype)
        return np.bincount(keys, weights=val, minlength=total).astype(val.dtype, copy=False)
    if val.dtype == np.complex128:
        sums: Array = add_up(keys, val.real, total) + 1j * add_up(keys, val.imag, total)
        return sums
    out = np.zeros(total, val.dtype)
    np.add.at(out, keys, val)
    return out


def identity(positions: Ids, shape: Shape, dtype: DTypeLike) -> Sparse:
    """Seeds: unit vectors at the given flat positions of an array of `shape`."""
    count = len(positions)
    view = None
    in_order = count and bool((positions[1:] > positions[:-1]).all())
    if in_order and int(positions[-1]) - int(positions[0]) == count - 1:
        start = int(positions[0])
        view = SourceView(-start, prod(shape) - start)
    seed = np.arange(count, dtype=np.intp)
    line = (count,) if count > 1 else ()
    steps = (1,) * len(line)
    boxes = [] if view is None else [Box(line, -view.start, steps, 0, steps)]
    if not worthwhile(boxes):
        boxes = []
    pattern = Pattern(count, shape, seed, positions, distinct=True, view=view, boxes=boxes)
    return Sparse(pattern, ones((count,), dtype))


def settle(block: Sparse) -> Sparse | Array:
    """The block as it is, or dense where that is cheaper."""
    pattern = block.pattern
    total = pattern.count * pattern.size
    if total <= COSTS.small or pattern.entries * COSTS.entry > total:
        return block.dense()
    return block


def spread(block: Sparse, thin: Shape, axes: tuple[int, ...], out: Shape) -> Sparse | Array:
    """The same all along some axes of `out`, which have length 1 in `thin`, or are missing."""
    pattern = block.pattern
    copies = prod(out[axis] for axis in axes)
    total = pattern.count * prod(out)
    if total <= COSTS.small or pattern.entries * copies * COSTS.entry > total:
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


def repeated_axes(block: Block) -> tuple[int, ...]:
    """The axes along which all K arrays are the same; none of a small array, and of entries."""
    if isinstance(block, np.ndarray):
        if block.size <= COSTS.small or 0 not in block.strides:
            return ()
        return _flat(block)
    if isinstance(block, Repeated):
        return block.axes
    if isinstance(block, KhatriRao):
        inner = block.inner
        if isinstance(inner, np.ndarray) and 0 in inner.strides:
            return tuple([axis for axis in _flat(inner) if axis not in block.axes])
    return ()


def _flat(block: Array) -> tuple[int, ...]:
    """Axes of stride 0, without the seed axis."""
    lengths = zip(block.strides[1:], block.shape[1:], strict=True)
    return tuple([axis for axis, (step, n) in enumerate(lengths) if step == 0 and n > 1])


def one_place(block: Block, axes: tuple[int, ...]) -> Block:
    """A block at the first place of some of its `repeated_axes`."""
    if isinstance(block, KhatriRao):
        return block.moved(block.axes, one_place(block.inner, axes))
    if isinstance(block, Repeated):
        rest = tuple(axis for axis in block.axes if axis not in axes)
        if not rest:
            return block.inner
        shape = tuple(1 if axis in axes else n for axis, n in enumerate(block.shape))
        return Repeated(block.inner, rest, shape)
    assert isinstance(block, np.ndarray)
    return block[(slice(None), *(slice(1 if k in axes else None) for k in range(block.ndim - 1)))]


def repeated(block: Block, axes: tuple[int, ...], shape: Shape) -> Block:
    """A block that is the same all along some axes, from the block at one place of them.

    What varies along the other axes only is a factored block of one inner seed: what follows acts
    on that one, however many seeds there are.
    """
    if block is None:
        return None
    if isinstance(block, KhatriRao):
        inner, rest = block.inner, tuple(axis for axis in block.axes if axis not in axes)
        weights = block.weights
        if rest != block.axes:  # of length 1 so far: the weights are the same all along, too
            weights = weights.reshape((len(weights), *(block.shape[axis] for axis in rest)))
        if isinstance(inner, Sparse):
            inner = Repeated(inner, axes, shape).expanded()
        else:
            inner = np.broadcast_to(inner, (len(inner), *shape))
        return KhatriRao(weights, rest, inner, block.first)
    if isinstance(block, Repeated):
        return Repeated(block.inner, tuple(sorted({*block.axes, *axes})), shape)
    assert isinstance(block, (Sparse, np.ndarray))
    count = block.shape[0] if isinstance(block, np.ndarray) else block.count
    large = count * prod(shape) > COSTS.small
    if isinstance(block, np.ndarray) and large and _sparse_again(block):
        block = Sparse.of(block)
    if isinstance(block, Sparse):
        return Repeated(block, axes, shape)
    rest = tuple(axis for axis in range(len(shape)) if axis not in axes)
    if large and count > 1 and rest and np.isfinite(block).all():
        weights = block.reshape((count, *(shape[axis] for axis in rest)))
        return KhatriRao(weights, rest, ones((1, *shape), block.dtype), first=True)
    return np.broadcast_to(block, (count, *shape))


def _sparse_again(block: Array) -> bool:
    """Whether a block that became dense for being small is better sparse where it grows."""
    return block.size <= COSTS.small and int(np.count_nonzero(block)) * COSTS.entry <= block.size


def dense(block: Block, count: int, shape: Shape, dtype: DTypeLike) -> Any:
    """Any block as an array of shape ``(count,) + shape`` (it may share memory, or be stride 0)."""
    if block is None:
        return np.broadcast_to(np.zeros((), dtype), (count, *shape))
    if isinstance(block, Structured):
        block = block.expanded()
    if isinstance(block, Sparse):
        return block.dense()
    return block


def shape_of(block: Block, none: Shape) -> Shape:
    """The shape of the K arrays of a block; of a zero block it is not known, and is `none`."""
    if block is None:
        return none
    return block.shape if isinstance(block, (Sparse, KhatriRao, Repeated)) else block.shape[1:]


def cast(block: Block, dtype: np.dtype[Any]) -> Block:
    """The block with the dtype of the array it belongs to; complex to real keeps the real part."""
    if block is None or block.dtype == dtype:
        return block
    if isinstance(block, Sparse):
        return Sparse(block.pattern, _cast(block.val, dtype))
    if isinstance(block, Repeated):
        return block.of(cast(block.inner, dtype))
    if isinstance(block, KhatriRao):
        return cast(block.expanded(), dtype)
    if isinstance(block, np.ndarray):
        return _cast(block, dtype)
    recorded: Any = block
    part = recorded if dtype.kind == "c" else np.real(recorded)
    held: Block = part if part.dtype == dtype else part.astype(dtype)
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
    if arrays[0].size <= COSTS.small:
        return function(*arrays)
    small = [compact(array) for array in arrays]
    if all(part is array for part, array in zip(small, arrays, strict=True)):
        return function(*arrays)
    return np.broadcast_to(function(*small), arrays[0].shape)


def nbytes(blocks: Iterable[Block]) -> int:
    """Bytes held by blocks; a stride-0 axis holds one element."""
    return sum(
        compact(block).nbytes if isinstance(block, np.ndarray) else block.nbytes
        for block in blocks
        if block is not None
    )
