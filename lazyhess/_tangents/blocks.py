"""Tangent blocks, and how one kind becomes another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from math import prod
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from lazyhess._costs import COSTS
from lazyhess._create import accumulator, ones
from lazyhess._decisions import decide, selective
from lazyhess._indices import Array, Ids, Shape, divide, embed, span, strides
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
        """The entries of a dense block that are not zero."""
        count, shape = block.shape[0], block.shape[1:]
        flat = block.reshape(-1)
        selected = selective(flat)
        at = flat.nonzero()[0] if selected else np.arange(len(flat))
        seed, pos = divide(at, prod(shape))
        return cls(Pattern(count, shape, seed, pos, distinct=True), flat[at] if selected else flat)

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
            out = accumulator((total,), self.val.dtype)
            out[pattern.keys()] = self.val
        else:
            out = add_up(pattern.keys(), self.val, total)
        return out.reshape((pattern.count, *pattern.shape))


class Structured(ABC):
    """A block that a smaller one and a rule make: one that maps can often act on alone.

    A kind is a class derived from this one. No other code names it but what makes such blocks, and
    maps that know a faster way for it than `mapped`.
    """

    __slots__ = ()

    inner: Any
    shape: Any  # of each of the K arrays

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

    def cast(self, dtype: np.dtype[Any]) -> Block:
        """The block with another dtype."""
        return cast(self.expanded(), dtype)

    @property
    def repeated_axes(self) -> tuple[int, ...]:
        """The axes along which all K arrays are the same, as far as the rule tells."""
        return ()

    def one_place(self, axes: tuple[int, ...]) -> Block:
        """The block at the first place of some of its `repeated_axes`."""
        raise AssertionError("a block without repeated axes has no place for all")

    @abstractmethod
    def repeated(self, axes: tuple[int, ...], shape: Shape) -> Block:
        """A block that is the same all along some axes, where this one has length 1."""


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


Block: TypeAlias = Sparse | Structured | Array | Recorded | None


def add_up(keys: Ids, val: Array, total: int) -> Array:
    """`val` added up by `keys` into an array of `total` elements."""
    if val.dtype.kind == "f" and val.itemsize <= 8:  # bincount counts in float64
        if len(keys) == 0:
            return accumulator((total,), val.dtype)
        return np.bincount(keys, weights=val, minlength=total).astype(val.dtype, copy=False)
    if val.dtype == np.complex128:
        sums: Array = add_up(keys, val.real, total) + 1j * add_up(keys, val.imag, total)
        return sums
    out = accumulator((total,), val.dtype)
    np.add.at(out, keys, val)
    return out


def identity(positions: Ids, shape: Shape, dtype: DTypeLike) -> Sparse:
    """Seeds: unit vectors at the given flat positions of an array of `shape`."""
    count = len(positions)
    view = None
    row = span(positions)
    if row is not None:
        view = SourceView(-row.start, prod(shape) - row.start)
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
        return flat_axes(block)
    return block.repeated_axes if isinstance(block, Structured) else ()


def flat_axes(block: Array) -> tuple[int, ...]:
    """Axes of stride 0, without the seed axis."""
    lengths = zip(block.strides[1:], block.shape[1:], strict=True)
    return tuple([axis for axis, (step, n) in enumerate(lengths) if step == 0 and n > 1])


def one_place(block: Block, axes: tuple[int, ...]) -> Block:
    """A block at the first place of some of its `repeated_axes`."""
    if isinstance(block, Structured):
        return block.one_place(axes)
    assert isinstance(block, np.ndarray)
    return block[(slice(None), *(slice(1 if k in axes else None) for k in range(block.ndim - 1)))]


def mostly_zero(block: Array) -> bool:
    """Whether a block that became dense for being small is better sparse where it grows."""
    return decide("mostly zero", _mostly_zero, block)


def _mostly_zero(block: Array) -> bool:
    return int(np.count_nonzero(block)) * COSTS.entry <= block.size


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
    return block.shape if isinstance(block, (Sparse, Structured)) else block.shape[1:]


def cast(block: Block, dtype: np.dtype[Any]) -> Block:
    """The block with the dtype of the array it belongs to; complex to real keeps the real part."""
    if block is None or block.dtype == dtype:
        return block
    if isinstance(block, Sparse):
        return Sparse(block.pattern, _cast(block.val, dtype))
    if isinstance(block, Structured):
        return block.cast(dtype)
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
