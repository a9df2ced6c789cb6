"""Sums of tangent blocks."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, TypeAlias

import numpy as np

from lazyhess._costs import COSTS
from lazyhess._create import buffer, contiguous
from lazyhess._indices import Array
from lazyhess._tangents.blocks import (
    Block,
    Sparse,
    Structured,
    add_up,
    compactly,
    settle,
)
from lazyhess._tangents.boxes import Box, disjoint, spans
from lazyhess._tangents.pattern import Pattern

_serial = attrgetter("serial")


def total(blocks: Sequence[Block], *, last: bool = False) -> Block:
    """The sum of blocks of one shape. None of them is changed.

    With `last` no map follows: entries of sparse blocks are only put together.
    """
    if len(blocks) == 1:
        return blocks[0]
    parts = [block for block in blocks if block is not None]
    ours: list[Any] = []  # arrays that nobody else has
    if len(parts) > 1 and any(isinstance(part, Structured) for part in parts):
        parts = _factors(given := parts)
        ours = [part for part in parts if not any(part is other for other in given)]
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
            or sparse.pattern.entries <= COSTS.repeats * sparse.pattern.core
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
        return _scatter(arrays[0].astype(np.result_type(arrays[0], sparse.val)), sparse)
    out = _sum(arrays[0], arrays[1], ours)
    for array in arrays[2:]:
        out = _plus(out, array)
    return out if sparse is None else _scatter(out, sparse)


def _sum(a: Array, b: Array, ours: list[Array]) -> Array:
    """The sum of two arrays, in place of one of them if it is ours."""
    for target, other in ((a, b), (b, a)):
        reusable = any(target is array for array in ours) and target.flags.writeable
        if reusable and 0 not in target.strides and target.dtype == np.result_type(a, b):
            target += other
            return target
    return compactly(np.add, a, b)


def _factors(parts: list[Any]) -> list[Any]:
    """The summands, where blocks of the same structure are one, or else without structure."""
    first = parts[0]
    if isinstance(first, Structured) and all(first.like(part) for part in parts):
        return [first.of(total([part.inner for part in parts]))]
    return [part.expanded() if isinstance(part, Structured) else part for part in parts]


def _plus(out: Array, array: Array) -> Array:
    if out.dtype == np.result_type(out, array) and out.flags.writeable:
        out += array
        return out
    return out + array


def _scatter(out: Array, block: Sparse) -> Array:
    """Add a sparse block to an array this module has just made."""
    out = contiguous(out, np.result_type(out, block.val))
    if not out.flags.writeable:  # a broadcast along axes of length 1 is contiguous, too
        out = out.copy()
    flat = out.reshape(-1)
    keys = block.pattern.keys()
    if block.pattern.distinct:
        flat[keys] += block.val
    elif len(keys) * COSTS.entry > len(flat):
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
    val = buffer((pattern.entries,), np.result_type(*[part.val for part in parts]))
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
        joint = Pattern(
            first.count,
            first.shape,
            None,
            None,
            distinct=distinct,
            core=None if distinct else core,
            boxes=boxes,
        )
        if joint.entries == sum(pattern.entries for pattern in patterns):
            return joint, None
        begins = {box: start for box, start, _ in spans(boxes)}
        seen: set[Box] = set()
        folded: Folded = []
        for pattern in patterns:
            folded.append([(begins[box], box in seen) for box in pattern.boxes])
            seen.update(pattern.boxes)
        return joint, folded
    seed = np.concatenate([pattern.seed for pattern in patterns])
    pos = np.concatenate([pattern.pos for pattern in patterns])
    core = max(pattern.core for pattern in patterns)
    return Pattern(first.count, first.shape, seed, pos, core=core), None
