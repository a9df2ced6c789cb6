"""Every linear map: the three kinds of block, the transpose, and what depends on what."""

import numpy as np
import pytest

from lazyhess._maps import (
    NOTHING,
    Accumulate,
    Contract,
    Expand,
    Gather,
    Mask,
    Permute,
    Reduce,
    Reshape,
    Scale,
    broadcast,
    chain,
)
from lazyhess._maps.matmul import matmul_plan
from lazyhess._tangents import Pattern, Sparse, compact, dense, identity, settle, total

rng = np.random.default_rng(6)
N = rng.normal


def contract(text, inp, shape, weights=None):
    left, right = text.split("->")
    labels, with_ = left.split(",")
    numbers = [tuple(map(ord, part)) for part in (labels, with_, right)]
    return Contract(*numbers, N(size=shape) if weights is None else weights, inp)


MAPS = {
    "reshape": Reshape((2, 3), (3, 1, 2)),
    "reshape empty": Reshape((2, 0), (0, 5)),
    "permute": Permute((2, 3, 4), (2, 0, 1)),
    "reduce": Reduce((2, 3, 4), (0, 2), (3,)),
    "reduce keepdims": Reduce((2, 3), (1,), (2, 1)),
    "reduce all": Reduce((2, 3), (0, 1), ()),
    "reduce none": Reduce((2, 3), (), (2, 3)),
    "reduce empty": Reduce((2, 0), (1,), (2,)),
    "expand": Expand((3,), (0, 2), (2, 3, 4)),
    "expand scalar": Expand((), (0, 1), (2, 3)),
    "expand large": broadcast((30, 1, 2), (4, 30, 50, 2)),
    "scale": Scale(N(size=(2, 3)), (2, 3)),
    "scale by rows": Scale(N(size=(2, 1)), (2, 3)),
    "scale by a number": Scale(np.asarray(2.5), (2, 3)),
    "scale by columns": Scale(N(size=3), (2, 3)),
    "mask": Mask(np.array([[True, False, True], [False, False, True]]), (2, 3)),
    "gather slice": Gather((5, 4), (slice(None, None, -2), slice(1, 3)), (3, 2)),
    "gather int": Gather((5, 4), (-2, None, Ellipsis, slice(3, 0, -1)), (1, 3)),
    "gather none": Gather((5,), (slice(0, 0),), (0,)),
    "gather repeats": Gather((5, 4), (np.array([1, 1, 0, -1]),), (4, 4)),
    "gather points": Gather((5, 4), (np.array([[1], [2]]), np.array([0, 3])), (2, 2)),
    "gather behind": Gather((2, 3, 4), (slice(None), np.array([0, 1, 1, 0]), np.array([3, 1, 1, 2])), (2, 4)),
    "gather twice": Gather((2, 3), (slice(None), np.array([[0, 1, 2], [2, 0, 1]])), (2, 2, 3)),
    "gather counted": Gather((3, 4), (np.arange(3)[:, None], np.array([[3], [0], [2]])), (3, 1)),
    "gather around": Gather((2, 3, 4), (slice(None), np.array([2, 0]), slice(1, 3)), (2, 2, 2)),
    "gather window": Gather((3, 4), (1, slice(1, 3)), (2,)),
    "gather apart": Gather((2, 3, 4), (1, slice(None), np.array([0, 0])), (2, 3)),
    "gather scalar": Gather((40,), (7,), ()),
    "accumulate": Accumulate((2, 3, 4), 1),
    "accumulate back": Accumulate((2, 3), 0, backwards=True),
    "contract matrix": contract("ij,jk->ik", (2, 3), (3, 4)),
    "contract left": contract("jk,ij->ik", (3, 4), (2, 3)),
    "contract turned": contract("ij,jk->ki", (2, 3), (3, 4)),
    "contract vector": contract("i,ij->j", (3,), (3, 4)),
    "contract inner": contract("ij,ij->", (2, 3), (2, 3)),
    "contract outer": contract("i,j->ji", (2,), (3,)),
    "contract batch": contract("bij,bjk->bik", (2, 3, 4), (2, 4, 2)),
    "contract batch vector": contract("bi,bij->bj", (2, 3), (2, 3, 4)),
    "contract batch only": contract("bi,b->ib", (2, 3), (2,)),
    "contract many": contract("abcd,cbe->daeb", (2, 3, 2, 2), (2, 3, 4)),
    "contract empty": contract("ij,jk->ik", (2, 0), (0, 3)),
    "contract large": contract("ij,jk->ik", (40, 30), (30, 50)),
    "contract batch large": contract("bi,ij->bj", (200, 6), (6, 30)),
    "chain": chain(broadcast((3,), (2, 3)), Scale(N(size=(2, 3)), (2, 3)), Reduce((2, 3), (1,), (2,))),
    "chain of nothing": chain(None, Reshape((2,), (2,)), None),
}  # fmt: skip
MAPS |= {f"{name}, transposed": m.T for name, m in MAPS.items()}
every = pytest.mark.parametrize("map_", MAPS.values(), ids=MAPS)


def matrix(map_):
    """The map as a matrix, column by column, by dense blocks of one seed."""
    size = int(np.prod(map_.inp))
    columns = [
        dense(map_.apply(unit.reshape(1, *map_.inp)), 1, map_.out, float).reshape(-1)
        for unit in np.eye(size)
    ]
    return np.array(columns).reshape(size, int(np.prod(map_.out))).T


def sparse(shape, count, entries=9):
    size = int(np.prod(shape)) * bool(count)
    seed = np.sort(rng.integers(0, count, entries)) if size else np.zeros(0, int)
    pos = rng.integers(0, size, len(seed)) if size else np.zeros(0, int)
    return Sparse(Pattern(count, shape, seed, pos), N(size=len(seed)))


@every
@pytest.mark.parametrize("count", [0, 1, 3])
def test_all_kinds_of_block_agree_with_the_matrix(map_, count):
    if int(np.prod(map_.inp)) > 1300 or int(np.prod(map_.out)) > 2100:
        pytest.skip("too large for a matrix; the transposes are compared")
    m = matrix(map_)
    full = N(size=(count, *map_.inp))
    flat = np.broadcast_to(N(size=(count, *(1 for _ in map_.inp))), full.shape)
    ones = np.broadcast_to(1.5, full.shape)
    turned = np.asfortranarray(full)
    for block in (full, flat, ones, turned, sparse(map_.inp, count), sparse(map_.inp, count, 40)):
        array = dense(block, count, map_.inp, float)
        want = array.reshape(count, int(np.prod(map_.inp))) @ m.T
        got = dense(map_.apply(block), count, map_.out, float)
        assert got.shape == (count, *map_.out)
        np.testing.assert_allclose(got.reshape(want.shape), want, atol=1e-13)
    assert map_.apply(None) is None


@every
def test_transposes_are_adjoint(map_):
    for _ in range(3):
        t, u = sparse(map_.inp, 4), sparse(map_.out, 4)
        for a in (t, t.dense()):
            for b in (u, u.dense()):
                left = np.sum(dense(map_.apply(a), 4, map_.out, float) * u.dense())
                right = np.sum(t.dense() * dense(map_.T.apply(b), 4, map_.inp, float))
                np.testing.assert_allclose(left, right, atol=1e-12)


@every
def test_identity_seeds(map_):
    size = int(np.prod(map_.inp))
    for positions in (np.arange(size)[1:], np.arange(size)[::2], rng.permutation(size)[:5]):
        seeds = identity(positions, map_.inp, float)
        want = dense(map_.apply(seeds.dense()), len(positions), map_.out, float)
        np.testing.assert_allclose(dense(map_.apply(seeds), len(positions), map_.out, float), want)


@every
def test_reach_is_the_largest_label_each_output_depends_on(map_):
    if int(np.prod(map_.inp)) > 1300 or int(np.prod(map_.out)) > 2100:
        pytest.skip("too large for a matrix")
    depends = matrix(map_) != 0
    shape = map_.inp
    varied = rng.integers(0, 50, shape)
    flat = np.broadcast_to(rng.integers(0, 50, (*shape[:1], *(1 for _ in shape[1:]))), shape)
    none = np.where(rng.random(shape) < 0.5, varied, NOTHING)
    for labels in (varied, flat, none):
        row = np.broadcast_to(labels.reshape(-1), depends.shape)
        want = np.max(np.where(depends, row, NOTHING), axis=1, initial=NOTHING)
        np.testing.assert_array_equal(map_.reach(labels).reshape(-1), want)


POISON = {
    "scale": (lambda w: Scale(w, (4, 30)), (4, 30)),
    "contract": (lambda w: contract("ij,ij->i", (4, 30), (4, 30), w), (4, 30)),
    "contract new": (lambda w: contract("i,ij->j", (4,), (4, 30), w), (4, 30)),
    "contract batch": (lambda w: contract("bi,bij->bj", (4, 5), (4, 5, 6), w), (4, 5, 6)),
}


@pytest.mark.parametrize("poison", [np.inf, np.nan])
@pytest.mark.parametrize("make, shape", POISON.values(), ids=POISON)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_zero_times_infinity_is_not_there(make, shape, poison):
    weights = N(size=shape)
    weights[(1,) * len(shape)] = poison
    map_ = make(weights)
    clean = make(np.where(np.isfinite(weights), weights, 0.0))
    full = N(size=(50, *map_.inp))
    full[:, 1] = 0  # none of these seeds meets it
    blocks = [full, Sparse.of(full), Sparse.of(full[:2])]
    for block in blocks:
        got = dense(map_.apply(block), block.shape[0] if isinstance(block, np.ndarray) else block.count,
                    map_.out, float)  # fmt: skip
        want = dense(clean.apply(block), len(got), map_.out, float)
        np.testing.assert_allclose(got, want)
    full[7, 1] = 1
    got = dense(map_.apply(full), 50, map_.out, float)
    assert not np.isfinite(got[7]).all()
    assert np.isfinite(np.delete(got, 7, axis=0)).all()


# --- blocks ---------------------------------------------------------------------------------------
def test_sums_of_blocks_of_all_kinds():
    shape, count = (30, 40), 5
    one, two = sparse(shape, count), sparse(shape, count, 500)
    same = Sparse(one.pattern, N(size=len(one.val)))
    array, flat = N(size=(count, *shape)), np.broadcast_to(2.0, (count, *shape))
    for blocks in ([one, same], [one, two], [one, array], [array, flat], [flat, flat], [array, array, one],
                   [None, one], [None, None], [], [one, two, same, two]):  # fmt: skip
        kept = [b.copy() if isinstance(b, np.ndarray) else b for b in blocks]
        want = sum((dense(b, count, shape, float) for b in blocks), np.zeros((count, *shape)))
        for last in (False, True):
            np.testing.assert_allclose(dense(total(blocks, last=last), count, shape, float), want)
        for before, after in zip(kept, blocks, strict=True):
            if isinstance(after, np.ndarray):
                np.testing.assert_array_equal(before, after)


def test_the_sum_of_one_seed_of_broadcasts_takes_a_sparse_block():
    """A broadcast along axes of length 1 is contiguous, and still not to be written to."""
    thin = np.broadcast_to(np.arange(5000.0), (1, 5000))
    made = total([thin, thin, identity(np.array([7]), (5000,), float)])
    want = 2 * np.arange(5000.0)
    want[7] += 1
    np.testing.assert_array_equal(made, want[None])


def test_repeats_are_merged_before_they_grow():
    block, turn = sparse((1000, 10), 3, 20), Permute((1000, 10), (1, 0))
    grown = block
    for _ in range(12):
        # The same entries under another pattern, as two paths through a graph give them.
        other = turn.T.apply(turn.apply(grown))
        assert other.pattern is not grown.pattern
        grown = total([grown, other])
        assert isinstance(grown, Sparse)
    assert len(grown.val) <= 4 * 20 * 2
    np.testing.assert_allclose(grown.dense(), 2.0**12 * block.dense())


def test_settling():
    assert isinstance(settle(sparse((1000, 100), 3, 20)), Sparse)
    assert isinstance(settle(sparse((10, 10), 3, 20)), np.ndarray)
    assert isinstance(settle(sparse((100, 100), 1, 5000)), np.ndarray)


def test_compact():
    array = np.broadcast_to(np.arange(3.0)[:, None], (2, 3, 4))
    assert compact(array).shape == (1, 3, 1)
    assert compact(np.zeros((0, 3))).shape == (0, 3)


def test_structure_is_worked_out_once():
    block = sparse((50, 60), 4, 30)
    map_ = Reduce((50, 60), (1,), (50,))
    for one in (map_, Permute((50, 60), (1, 0)), Gather((50, 60), (slice(1, None),), (49, 60))):
        first, second = (one.apply(Sparse(block.pattern, v)) for v in (block.val, -block.val))
        if isinstance(first, Sparse):
            assert first.pattern is second.pattern


def lying(shape, layout):
    """An array that lies in memory in one of many ways."""
    if layout == "turned":
        return N(size=shape[::-1]).transpose()
    if layout == "every other":
        return N(size=[2 * n for n in shape])[tuple(slice(None, None, 2) for _ in shape)]
    if layout == "backwards":
        return np.flip(N(size=shape))
    if layout == "moved":
        return np.moveaxis(N(size=(shape[-1], *shape[:-1])), 0, -1)
    if layout == "broadcast":
        return np.broadcast_to(N(size=(*shape[:-1], 1)), shape)
    return N(size=shape)


LAYOUTS = ["as it is", "turned", "every other", "backwards", "moved", "broadcast"]


@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize(
    ("text", "inp", "shape"),
    [
        ("ncpq,kcp->nkq", (6, 4, 9, 50), (3, 4, 9)),  # a convolution, and what comes of it
        ("nkq,kcp->ncpq", (6, 3, 50), (3, 4, 9)),
        ("nkq,ncpq->kcp", (6, 3, 50), (6, 4, 9, 50)),
        ("ncpq,nkq->kcp", (6, 4, 9, 50), (6, 3, 50)),
        ("kcp,nkq->ncpq", (3, 4, 9), (6, 3, 50)),
        ("kcp,ncpq->nkq", (3, 4, 9), (6, 4, 9, 50)),
        ("bnd,dshe->sbhne", (2, 20, 8), (8, 3, 2, 5)),
        ("sbhne,bnd->dshe", (3, 2, 2, 20, 5), (2, 20, 8)),
        ("bhnm,bhme->bhne", (2, 3, 20, 21), (2, 3, 21, 5)),
        ("ab,bc->ca", (60, 70), (70, 1)),
        ("ab,ab->", (60, 70), (60, 70)),
        ("ab,c->cab", (60, 70), (3,)),
        ("ab,bc->ac", (60, 0), (0, 3)),
        ("ab,b->ba", (60, 70), (70,)),
    ],
)
def test_a_contraction_of_arrays_however_they_lie(text, inp, shape, count):
    left, right = text.split("->")
    labels, with_ = left.split(",")
    for layout in LAYOUTS:
        for other in LAYOUTS:
            weights = lying(shape, other)
            block = lying((count, *inp), layout)
            got = contract(text, inp, shape, weights).dense(block)
            want = np.einsum(f"Z{labels},{with_}->Z{right}", block, weights, optimize=True)
            assert got.shape == want.shape
            np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-10)


def test_a_convolution_copies_nothing():
    patches, kernel, images = N(size=(1, 8, 16, 9, 256)), N(size=(16, 16, 9)), N(size=(8, 16, 256))
    for text, block, weights in [
        ("ncpq,kcp->nkq", patches, kernel),
        ("nkq,kcp->ncpq", images[None], kernel),
        ("nkq,ncpq->kcp", images[None], patches[0]),
        ("ncpq,nkq->kcp", patches, images),
        ("kcp,nkq->ncpq", kernel[None], images),
        ("kcp,ncpq->nkq", kernel[None], patches[0]),
    ]:
        how = contract(text, block.shape[1:], None, weights).how
        shapes, strides = (block.shape, weights.shape), (block.strides, weights.strides)
        found = matmul_plan(how, shapes, strides, (8, 8))
        assert not found.left.copied
        assert not found.right.copied
        assert contract(text, block.shape[1:], None, weights).dense(block).flags.c_contiguous


def test_a_contraction_keeps_what_is_the_same_all_along():
    block = np.broadcast_to(N(size=(4, 30, 40, 1)), (4, 30, 40, 50))
    made = contract("anb,nk->akb", (30, 40, 50), (40, 3)).apply(block)
    assert made.strides[-1] == 0
    assert compact(made).size == 4 * 30 * 3
