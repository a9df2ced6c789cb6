"""Blocks that are the same all along some axes: every linear map, sums, and whole batches."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

import lazyhess as lh
from lazyhess._engines.csr import CSR
from lazyhess._engines.recorded.engine import RecordedEngine
from lazyhess._indices import span
from lazyhess._maps import Expand, Gather, Map, Permute, Reduce, Reshape, Scale
from lazyhess._proxy.pages import LOW, PageTable
from lazyhess._tangents import (
    KhatriRao,
    Repeated,
    Sparse,
    cast,
    dense,
    identity,
    nbytes,
    repeated,
    shape_of,
    total,
)
from tests.costs import DENSE, SPARSE, costs
from tests.maps.test_maps import MAPS, POISON, contract, sparse
from tests.tangents.test_khatri_rao import ONES

rng = np.random.default_rng(8)
N = rng.normal
small = {name: m for name, m in (MAPS | ONES).items() if np.prod((*m.inp, *m.out)) < 10**6}


def thin(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(1 if axis in axes else n for axis, n in enumerate(shape))


def blocks(shape: tuple[int, ...], dtype: Any = float) -> Any:
    """Entries anywhere, and identity seeds, the same along one axis and along two."""
    for axes in [(k,) for k in range(len(shape))] + list(combinations(range(len(shape)), 2)):
        one = thin(shape, axes)
        for inner in (sparse(one, 3), identity(np.arange(np.prod(one)), one, float)):
            made = cast(inner, np.dtype(dtype))
            assert isinstance(made, Sparse)
            yield Repeated(made, axes, shape)


def seeds(block: Repeated) -> np.ndarray:
    """What the block means."""
    inner = block.inner.dense()
    return np.array(np.broadcast_to(inner, (len(inner), *block.shape)))


some = {name: m for name, m in small.items() if np.prod((*m.inp, *m.out)) < 10**5}


@pytest.mark.parametrize("map_", some.values(), ids=some)
@pytest.mark.parametrize("low", [{}, SPARSE, DENSE], ids=["as it is", "sparse", "dense"])
@pytest.mark.parametrize("dtype", [float, complex])
def test_maps_of_uniform_blocks(map_: Map, low: dict[str, int], dtype: Any) -> None:
    for block in blocks(map_.inp, dtype):
        array = seeds(block)
        want = dense(map_.apply(array), len(array), map_.out, dtype)
        with costs(**low):
            made = map_.apply(block)
            got = dense(made, len(array), map_.out, dtype)
        assert got.shape == (len(array), *map_.out)
        scale = max(np.abs(want).max(initial=0), 1)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-12 * scale)


@pytest.mark.parametrize("map_", some.values(), ids=some)
def test_expanded(map_: Map) -> None:
    for block in blocks(map_.inp):
        want = seeds(block)
        np.testing.assert_array_equal(dense(block, len(want), block.shape, float), want)
        with costs(**SPARSE):
            made = block.expanded()
            assert isinstance(made, Sparse) or not want.size
            np.testing.assert_array_equal(dense(made, len(want), block.shape, float), want)
        assert shape_of(block, ()) == block.shape
        assert nbytes([block, None]) == block.inner.nbytes
        assert dense(cast(block, np.dtype("f4")), len(want), block.shape, "f4").dtype == "f4"


SHAPE = (50, 6, 40)
KEPT: dict[str, tuple[Map, tuple[int, ...], tuple[int, ...]]] = {
    "reshape": (Reshape(SHAPE, (50, 240)), (0,), (0,)),
    "permute": (Permute(SHAPE, (2, 0, 1)), (0,), (1,)),
    "reduce": (Reduce(SHAPE, (1,), (50, 40)), (2,), (1,)),
    "expand": (Expand((50, 40), (1,), SHAPE), (1,), (2,)),
    "scale": (Scale(N(size=(6, 40)), SHAPE), (0,), (0,)),
    "scale by rows": (Scale(N(size=(50, 1, 40)), SHAPE), (1,), (1,)),
    "slices": (Gather(SHAPE, (slice(None), 2, slice(3, 30)), (50, 27)), (0,), (0,)),
    "positions": (Gather(SHAPE, (slice(None), np.array([3, 3, 0])), (50, 3, 40)), (0,), (0,)),
    "put": (Gather(SHAPE, (slice(None), 2, slice(3, 30)), (50, 27)).T, (0,), (0,)),
}


@pytest.mark.parametrize("map_, axes, places", KEPT.values(), ids=KEPT)
def test_where_places_are_alike_one_is_enough(
    map_: Map, axes: tuple[int, ...], places: tuple[int, ...]
) -> None:
    one = thin(map_.inp, axes)
    block = Repeated(identity(np.arange(2, np.prod(one)), one, float), axes, map_.inp)
    made = map_.apply(block)
    assert isinstance(made, Repeated)
    assert made.axes == places
    assert made.shape == map_.out
    assert len(made.inner.pos) <= made.inner.count * np.prod(map_.out) / made.shape[places[0]]


MIXED: dict[str, tuple[Map, tuple[int, ...]]] = {
    "reshape": (Reshape(SHAPE, (300, 40)), (0,)),
    "reduce": (Reduce(SHAPE, (0,), (6, 40)), (0,)),
    "scale": (Scale(N(size=SHAPE), SHAPE), (0,)),
    "slices": (Gather(SHAPE, (slice(None, None, -1),), SHAPE), (0,)),
    "positions": (Gather(SHAPE, (np.arange(50),), SHAPE), (0,)),
    "shared": (contract("abi,aij->abj", SHAPE, (50, 40, 3)), (0,)),
    "summed": (contract("abi,aj->bij", SHAPE, (50, 3)), (0,)),
}


@pytest.mark.parametrize("map_, axes", MIXED.values(), ids=MIXED)
def test_where_places_differ_each_counts(map_: Map, axes: tuple[int, ...]) -> None:
    one = thin(map_.inp, axes)
    block = Repeated(identity(np.arange(3, 9), one, float), axes, map_.inp)
    made = map_.apply(block)
    assert not isinstance(made, Repeated)
    want = map_.apply(seeds(block))
    np.testing.assert_allclose(
        dense(made, 6, map_.out, float), dense(want, 6, map_.out, float), atol=1e-12
    )


def test_a_product_with_a_matrix_is_its_rows() -> None:
    W = N(size=(40, 7))
    flat = contract("bi,ij->bj", (50, 40), W.shape, W)
    made = flat.apply(Repeated(identity(np.arange(3, 30), (1, 40), float), (0,), (50, 40)))
    assert isinstance(made, KhatriRao)  # one inner seed: what follows acts on that one
    assert made.grid == (27, 1)
    assert made.inner.strides == (0, 0, 0)
    assert np.shares_memory(made.weights, W)
    again = contract("bi,ij->bj", (50, 7), (7, 5)).apply(made)
    assert isinstance(again, KhatriRao)
    assert again.inner.strides == (0, 0, 0)


@pytest.mark.parametrize("poison", [np.inf, np.nan])
@pytest.mark.parametrize("make, shape", POISON.values(), ids=POISON)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_zeros_meet_no_infinity(make: Any, shape: tuple[int, ...], poison: float) -> None:
    numbers = N(size=shape)
    numbers[(1,) * len(shape)] = poison
    map_ = make(numbers)
    for block in blocks(map_.inp):
        want = dense(map_.apply(block.expanded()), block.inner.count, map_.out, float)
        got = dense(map_.apply(block), block.inner.count, map_.out, float)
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


def test_sums() -> None:
    shape = (30, 2, 40)
    a, b = (repeated(sparse((1, 2, 40), 3), (0,), shape) for _ in range(2))
    other = repeated(sparse((30, 1, 40), 3), (1,), shape)
    array = N(size=(3, *shape))
    entries = sparse(shape, 3)
    assert isinstance(total([a, b]), Repeated)
    for parts in ([a, b], [a, b, None], [a, other], [a, array], [entries, a], [a, entries, array]):
        want = sum(dense(part, 3, shape, float) for part in parts if part is not None)
        before = array.copy()
        np.testing.assert_allclose(dense(total(parts), 3, shape, float), want, atol=1e-13)
        np.testing.assert_array_equal(array, before)


def test_weights_along_an_axis_of_length_1_that_goes() -> None:
    """One place of the other axis has two axes of length 1, and a reshape to one of them."""
    block = KhatriRao(N(size=(4, 1)), (1,), np.broadcast_to(1.5, (1, 30, 1)), first=True)
    made = Reshape((30, 1), (30,)).apply(block)
    want = block.expanded().reshape(4, 30)
    np.testing.assert_array_equal(dense(made, 4, (30,), float), want)


def test_sums_leave_arrays_of_others_alone() -> None:
    weights, inner = N(size=(4, 60)), N(size=(1, 30, 60))
    block = KhatriRao(weights, (1,), inner, first=True)
    array = N(size=(4, 30, 60))
    before = array.copy(), inner.copy()
    for parts in ([block, array], [array, block], [block, array, array]):
        want = sum(dense(part, 4, (30, 60), float) for part in parts)
        np.testing.assert_allclose(total(parts), want, atol=1e-13)
    np.testing.assert_array_equal(array, before[0])
    np.testing.assert_array_equal(inner, before[1])


# --- whole batches --------------------------------------------------------------------------------
A, C = N(size=(9, 8)), N(size=(8, 3))
M = N(size=(70, 9, 9))
FUNCTIONS: dict[str, Any] = {
    "layers": lambda x: np.log(np.sum(np.exp(np.tanh(x @ A) @ C), axis=1)),
    "linear layers": lambda x: np.sum((x @ A @ C) ** 2, axis=1),
    "neighbours": lambda x: np.sum((x[:, 1:] - x[:, :-1] ** 2) ** 2, axis=1),
    "elements": lambda x: np.sum(np.sin(x) * x, axis=1),
    "quadratic": lambda x: np.sum(x**2, axis=1),
    "a matrix each": lambda x: np.einsum("bi,bij,bj->b", x, M, x) ** 2,
    "norm": lambda x: np.sqrt(np.sum(x * x, axis=1)),
    "positions": lambda x: np.prod(x[:, [0, 0, 5]], axis=1),
    "linear": lambda x: x @ A[:, 0],
}
functions = pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS)
X = N(size=(70, 9))


@functions
@pytest.mark.parametrize("low", [{}, SPARSE, DENSE], ids=["as it is", "sparse", "dense"])
@pytest.mark.parametrize("block_size", [None, 4])
@pytest.mark.parametrize("cache", ["1GiB", "20kB"])
def test_whole_batches(f: Any, low: dict[str, int], block_size: int | None, cache: Any) -> None:
    want = np.array([lh.hessian(f, X, 0)[b] for b in range(0, 70, 23)])
    with costs(**low):
        H = lh.hessian(f, X, 0, block_size=block_size, cache=cache)
        got = H[...]
    np.testing.assert_allclose(got[::23], want, rtol=1e-10, atol=1e-10)
    assert H.cache_info().products == 9
    if cache == "1GiB":
        got[:] = 7  # the caller's own
        np.testing.assert_allclose(H[::23], want, rtol=1e-10, atol=1e-10)
        assert H.cache_info().products == 9
    at = H.tocoo()
    full = np.zeros((70, 9, 9))
    full[at[0], at[1], at[2]] = at[3]
    np.testing.assert_allclose(full[::23], want, rtol=1e-10, atol=1e-10)


@functions
def test_some_positions_of_all_samples(f: Any) -> None:
    want = lh.hessian(f, X, 0)[...]
    H = lh.hessian(f, X, 0)
    np.testing.assert_allclose(H[:, 2:8:3], want[:, 2:8:3], rtol=1e-10, atol=1e-10)
    assert H.cache_info().products == 2
    np.testing.assert_allclose(H[3:], want[3:], rtol=1e-10, atol=1e-10)
    assert H.cache_info().products == 9
    np.testing.assert_allclose(H[...], want, rtol=1e-10, atol=1e-10)
    assert H.cache_info().products == 9 + 7  # of the first three samples, where it was not known


def test_a_batch_axis_elsewhere_and_several_inputs() -> None:
    def f(x: Any, z: Any) -> Any:
        return np.sum(np.tanh(A.T @ x) ** 2, axis=0) * np.sum(z[:, :, 0] * z[:, :, 1], axis=1)

    x, z = N(size=(9, 40)), N(size=(40, 3, 2))
    H = lh.hessian(f, (x, z), (1, 0))
    one = lh.hessian(lambda x, z: f(x, z)[0], (x[:, 5:6], z[5:6]))
    for i, j in np.ndindex(2, 2):
        block = H[i][j][...]
        np.testing.assert_allclose(block[5], one[i][j][...].reshape(block.shape[1:]), atol=1e-12)


def test_passes_are_grids_of_samples_and_positions() -> None:
    x = lh.variable(X)
    engine = RecordedEngine(FUNCTIONS["layers"](x), [x], batch=[0], block_size=4)
    whole = [ids for ids, _ in engine.rows(0, np.arange(630), (0,))]
    assert [ids.shape for ids in whole] == [(70, 4), (70, 4), (70, 1)]
    np.testing.assert_array_equal(np.concatenate(whole, axis=1).reshape(-1), np.arange(630))
    some = [ids for ids, _ in engine.rows(0, np.arange(1, 630), (0,))]  # all but one
    assert all(ids.ndim == 1 for ids in some)
    assert engine.products(0, np.arange(630)) == engine.products(0, np.arange(1, 630)) == 9
    # As many as there are samples, but not one of each.
    assert engine.products(0, np.arange(70)) == 9
    assert engine.products(0, np.arange(1, 630, 9)) == 1


def test_sparse_rows_stay_sparse() -> None:
    x = lh.variable(N(size=(50, 100)))
    y = FUNCTIONS["neighbours"](x)
    [(ids, made)] = RecordedEngine(y, [x], batch=[0], block_size=100).rows(0, np.arange(5000), (0,))
    assert ids.shape == (50, 100)
    assert isinstance(made[0], CSR)
    assert made[0].shape == (5000, 100)


def test_a_pass_that_fails_leaves_what_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    H = lh.hessian(FUNCTIONS["layers"], X, 0, block_size=4)
    engine = H._source.engine
    rows = engine.rows

    def failing(*args: Any) -> Any:
        for n, made in enumerate(rows(*args)):
            if n == 2:
                raise RuntimeError("no more")
            yield made

    monkeypatch.setattr(engine, "rows", failing)
    with pytest.raises(RuntimeError, match="no more"):
        H[...]
    assert H.cache_info().products == 8
    assert H.cache_info().rows == 70 * 8
    monkeypatch.undo()
    want = lh.hessian(FUNCTIONS["layers"], X, 0)[...]
    np.testing.assert_allclose(H[...], want, rtol=1e-12)
    assert H.cache_info().products == 9


def test_whether_samples_interact_is_told_by_axes() -> None:
    for f, kept in [
        (FUNCTIONS["layers"], True),
        (FUNCTIONS["neighbours"], True),
        (FUNCTIONS["a matrix each"], True),
        (lambda x: np.sum(x * np.mean(x, axis=0), axis=1), False),
        (lambda x: np.sum(np.flip(np.flip(x, 0) ** 2, 0), axis=1), False),  # they do not, though
    ]:
        x = lh.variable(X)
        engine = RecordedEngine(f(x), [x], batch=[0])
        assert engine.linearization().keeps((0,)) == kept
    assert engine.interacting() is None
    # Samples of one input along the axis where those of the other have something else.
    a, b = lh.variable(N(size=(3, 3))), lh.variable(N(size=(3, 3)))
    engine = RecordedEngine(np.sum(a * b, axis=1), [a, b], batch=[0, 1])
    assert not engine.linearization().keeps((0, 1))
    assert engine.interacting() is not None


# --- rows in order --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "first, last", [(0, 3), (4090, 4099), (5, 9000), (4096, 8192), (9000, 9001)]
)
def test_a_page_table_of_rows_in_order(first: int, last: int) -> None:
    table, want = PageTable(), np.zeros(10000, np.intp)
    parts = (np.arange(first, last), rng.permutation(10000)[:50], np.arange(first, last, 3))
    for chunk, ids in enumerate(parts, 1):
        table.enter(ids, chunk, span(ids))
        want[ids] = (chunk << LOW) + np.arange(len(ids))
        for asked in (np.arange(10000), ids[np.argsort(ids)], np.arange(0, 10000, 7)):
            np.testing.assert_array_equal(table[asked], want[asked])
        for row in (first, last - 1, 9999):
            assert table.at(row) == want[row]
        assert table.known == np.count_nonzero(want)
    for chunk, ids in enumerate(parts, 1):
        table.leave(ids, chunk)
        want[want >> LOW == chunk] = 0
        np.testing.assert_array_equal(table[np.arange(10000)], want)
        assert table.known == np.count_nonzero(want)
