"""Entries kept as boxes are where, and what, entries known by index arrays are."""

from math import prod

import numpy as np
import pytest

import lazyhess as lh
from lazyhess._maps import Gather, Reshape, Scale
from lazyhess._tangents import Pattern, Sparse, identity, total
from lazyhess._tangents.boxes import Box, disjoint, merged, put_back
from tests.costs import BOXES, costs

rng = np.random.default_rng(20)

INDICES = {
    "inner": ((6, 7), (slice(1, None), slice(None, -1))),
    "row": ((6, 7), (3, slice(1, 5))),
    "column": ((6, 7), (slice(None), -2)),
    "steps": ((6, 7), (slice(1, None, 2), slice(0, 6, 3))),
    "none": ((6, 7), (slice(2, 5), None, slice(1, 6))),
    "rest": ((3, 4, 5), (Ellipsis, slice(1, 4))),
    "middle": ((3, 4, 5), (slice(None), slice(1, 3))),
    "thin": ((3, 1, 5), (slice(0, 2), slice(None), slice(1, None))),
    "vector": ((12,), (slice(2, -1),)),
    "vector steps": ((12,), (slice(1, None, 4),)),
    "missed": ((12,), (slice(0, 1),)),
}


def picking(name):
    shape, index = INDICES[name]
    return Gather(shape, index, np.empty(shape)[index].shape)


def seeds(shape, start, count):
    """Unit vectors, some of those at flat positions from `start` on, with values of their own."""
    block = identity(np.arange(start, start + count), shape, float)
    assert block.pattern.boxes
    return Sparse(block.pattern, rng.normal(size=count))


def arrays(block):
    """The same block without its boxes."""
    pattern = block.pattern
    plain = Pattern(pattern.count, pattern.shape, pattern.seed, pattern.pos)
    return Sparse(plain, np.array(block.val))


def check(block, want, boxes=True):
    if block is None:
        assert not np.any(want)
        return
    assert bool(block.pattern.boxes) == boxes
    assert block.pattern.entries == len(block.pattern.seed) == len(block.pattern.pos)
    assert block.pattern.nbytes  # the arrays are there by now
    np.testing.assert_array_equal(block.dense(), want.dense() if type(want) is Sparse else want)


@pytest.mark.parametrize("start", [0, 2])
@pytest.mark.parametrize("name", INDICES)
def test_slices_move_boxes(name, start):
    gather = picking(name)
    with costs(**BOXES):
        block = seeds(gather.inp, start, prod(gather.inp) - 3)
        found = gather.apply(block)
        check(found, gather.apply(block.dense()))
        if found is None:
            return
        # Slices of slices: boxes that are no longer what they were born as.
        check(gather.T.apply(found), gather.T.apply(found.dense()))
        weights = rng.normal(size=gather.out)
        check(Scale(weights, gather.out).apply(found), found.dense() * weights)
        again = gather.apply(gather.T.apply(found))
        check(again, found.dense())
        if len(gather.out) == 2:
            turned = Gather(gather.out, (slice(1, None), slice(None, None, 2)), ())
            turned = Gather(turned.inp, turned.index, np.empty(turned.inp)[turned.index].shape)
            check(turned.apply(found), turned.apply(found.dense()))


def test_shapes_keep_boxes_and_slices_split_them():
    with costs(**BOXES):
        block = seeds((60,), 3, 50)
        there = Reshape((60,), (3, 4, 5))
        grid = there.apply(block)
        assert list(grid.pattern.boxes) == list(block.pattern.boxes)
        inner = picking("middle")
        check(inner.apply(grid), inner.apply(grid.dense()))
        back = there.T.apply(inner.T.apply(inner.apply(grid)))
        check(back, there.T.apply(inner.T.apply(inner.apply(grid.dense()))))


def test_what_is_no_box_falls_back_to_arrays():
    backwards = Gather((6, 7), (slice(None, None, -1), slice(1, 4)), (6, 3))
    with costs(**BOXES):
        block = seeds((6, 7), 0, 42)
        check(backwards.apply(block), backwards.apply(block.dense()), boxes=False)
        # A box of the inner grid goes around the corner in another shape.
        inner = picking("inner").apply(block)
        flat = Reshape((5, 6), (6, 5)).apply(inner)
        columns = Gather((6, 5), (slice(None), slice(1, 3)), (6, 2))
        check(columns.apply(flat), columns.apply(flat.dense()), boxes=False)
        odd = Reshape((6, 7), (3, 14)).apply(picking("inner").T.apply(inner))
        halves = Gather((3, 14), (slice(None), slice(3, 9)), (3, 6))
        check(halves.apply(odd), halves.apply(odd.dense()), boxes=False)


def test_units_stay_units():
    with costs(**BOXES):
        unit = identity(np.arange(42), (6, 7), float)
        for name in ("inner", "row", "steps"):
            found = picking(name).apply(unit)
            assert found.val.strides == (0,)
            check(found, picking(name).apply(np.eye(42).reshape(42, 6, 7)))


def test_equal_boxes_are_one_in_a_sum():
    gather = picking("inner")
    with costs(**(BOXES | {"repeats": 4})):
        block = gather.apply(seeds((6, 7), 0, 42))
        same = Gather(gather.inp, gather.index, gather.out).apply(seeds((6, 7), 0, 42))
        there = Gather((6, 7), (slice(None, -1), slice(1, None)), (5, 6))
        other = there.apply(seeds((6, 7), 0, 42))
        found = total([block, other, same])
        check(found, block.dense() + other.dense() + same.dense())
        assert found.pattern.entries == 60
        check(total([found, other, block]), found.dense() + other.dense() + block.dense())
        # On diagonals of their own nothing stands twice.
        assert total([gather.T.apply(block), gather.T.apply(other)]).pattern.distinct
        assert not total([gather.T.apply(block), there.T.apply(other)]).pattern.distinct


@pytest.mark.parametrize("names", [["inner"], ["inner", "steps", "row"], ["row", "column"]])
def test_merged_without_sorting(names):
    with costs(**BOXES):
        parts = []
        for name in names:
            gather = picking(name)
            moved = gather.T.apply(gather.apply(seeds((6, 7), 5, 30)))
            parts += [moved, arrays(moved)]
        shifted = Gather((6, 7), (slice(1, None),), (5, 7)).T.apply(
            Gather((6, 7), (slice(None, -1),), (5, 7)).apply(seeds((6, 7), 5, 30))
        )
        block = total([*parts[::2], shifted], last=True)
        assert block.pattern.boxes
        got, want = block.merged(), arrays(block).merged()
        assert merged(block.pattern.boxes, 30) is not None
        np.testing.assert_array_equal(got.pattern.seed, want.pattern.seed)
        np.testing.assert_array_equal(got.pattern.pos, want.pattern.pos)
        np.testing.assert_array_equal(got.val, want.val)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64])
def test_lines_are_added_by_strides(dtype):
    with costs(**BOXES):
        block = seeds((12,), 0, 12)
        parts = []
        for index in (slice(1, None), slice(None, -1), slice(3, None, 2), slice(11, None)):
            gather = Gather((12,), (index,), np.empty(12)[index].shape)
            parts.append(gather.T.apply(gather.apply(block)))
        shift = Gather((12,), (slice(1, None),), (11,)).apply(block)
        parts.append(Gather((12,), (slice(None, -1),), (11,)).T.apply(shift))
        block = total(parts, last=True)
        block = Sparse(block.pattern, rng.normal(size=block.pattern.entries).astype(dtype))
        assert isinstance(block.pattern.merged()[1], list)
        got, want = block.merged(), arrays(block).merged()
        assert got.val.dtype == dtype
        np.testing.assert_array_equal(got.pattern.keys(), want.pattern.keys())
        np.testing.assert_array_equal(got.val, want.val)


def test_many_or_bent_diagonals_are_sorted():
    line = Box((10,), 0, (1,), 0, (1,))
    assert merged([line], 10) is not None
    assert merged([line], 1000) is None  # a table for hardly anything
    bent = Box((10,), 0, (2,), 0, (1,))
    assert merged([line, bent], 10) is None
    assert disjoint([line, line._replace(pos=3)])
    assert not disjoint([line, line._replace(pos=3, seed=3)])
    assert not disjoint([line, bent])
    assert put_back([line], (10,), [(9, -1, 10, 1, 1)]) is None


STENCILS = {
    "chain": (lambda x: np.sum((x[1:] - x[:-1] ** 2) ** 2 + np.sin(x[:-1] * x[1:])), (6000,)),
    "grid": (
        lambda u: np.sum(
            np.sqrt(1 + (u[1:, :-1] - u[:-1, :-1]) ** 2 + (u[:-1, 1:] - u[:-1, :-1]) ** 2)
        ),
        (80, 70),
    ),
    "flat grid": (
        lambda x: np.sum(
            np.cos(4 * x.reshape(70, 80)[1:-1, 1:-1] - x.reshape(70, 80)[2:, 1:-1])
            * x.reshape(70, 80)[:-2, :-2]
        ),
        (5600,),
    ),
    "every second": (lambda x: np.sum(np.exp(x[::2] * x[1::2])) + np.sum(x[2::2] ** 4), (6000,)),
}


@pytest.mark.parametrize("name", STENCILS)
def test_stencils_need_no_index_arrays(name, monkeypatch):
    function, shape = STENCILS[name]
    x = rng.normal(size=shape)
    with costs(box=1 << 40):
        want = lh.hessian(function, x).tocoo()
    made = []
    plain = Box.positions
    monkeypatch.setattr(Box, "positions", lambda box: made.append(box.size) or plain(box))
    H = lh.hessian(function, x)
    got = H.tocoo()
    # A first pass of few seeds, and what is left over at edges, may be too small for boxes.
    assert sum(made) < x.size // 5
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    again = H.at(2 * x)
    for a, b in zip(again.at(x).tocoo(), want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_a_single_seed_has_no_axis():
    with costs(**BOXES):
        block = identity(np.array([4]), (2, 3), float)
        assert [box.lengths for box in block.pattern.boxes] == [()]
        np.testing.assert_array_equal(block.merged().dense(), block.dense())
