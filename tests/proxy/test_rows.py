"""Laziness, proved by counting products; the store under any order of requests; threads."""

import pickle
import threading
import tracemalloc

import cachetools
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import lazyhess as lh
from lazyhess._engines.arrays import NumpyArrays
from lazyhess._proxy.hessian import Hessian
from lazyhess._proxy.rows import RowSource
from lazyhess._proxy.shared import store_of
from tests.dense_engine import DenseEngine


def make(shapes=((5,), (3,)), lead=(), cache="1GiB", **kwargs):
    engine = DenseEngine(shapes, lead, **kwargs)
    source = RowSource(engine, cache)
    n = len(shapes)
    return engine, tuple(tuple(Hessian(source, i, j) for j in range(n)) for i in range(n))


def counted(hessian, index):
    """Products that a request runs."""
    before = hessian.cache_info().products
    hessian[index]
    return hessian.cache_info().products - before


# --- counts ---------------------------------------------------------------------------------------
def test_rows_then_their_columns_by_symmetry():
    _, H = make(((30,),))
    assert counted(H[0][0], np.s_[3:5, :]) == 2
    assert counted(H[0][0], np.s_[:, 3:5]) == 0
    assert counted(H[0][0], np.s_[4:7]) == 2
    assert counted(H[0][0], ...) == 26


def test_a_column_is_one_product():
    x = lh.variable(np.linspace(0, 1, 1000))
    H = lh.hessian(np.sum(x**3) * np.sum(x), x)
    assert counted(H, np.s_[:, 7]) == 1
    assert counted(H, np.s_[7, :]) == 0
    assert counted(H, np.s_[8, :]) == 1
    assert counted(H, np.s_[:, 8]) == 0


def test_the_cheaper_side_of_a_rectangle():
    _, H = make(((30,), (4,)))
    assert counted(H[0][1], np.s_[:3]) == 3
    assert counted(H[0][1], ...) == 4  # columns; the three rows would leave 27
    assert counted(H[1][0], ...) == 0


def test_known_rows_and_columns_are_left_out_on_either_side():
    _, H = make(((10,),))
    assert counted(H[0][0], np.s_[:4]) == 4
    assert counted(H[0][0], np.s_[2:8, 3:6]) == 2  # columns 4, 5; rows would be 4 to 7
    assert counted(H[0][0], np.s_[[8, 9], [8, 9]]) == 2
    assert counted(H[0][0], np.s_[9, 8]) == 0


def test_repeats_cost_once_and_nothing_costs_nothing():
    _, H = make(((6,),))
    assert counted(H[0][0], np.s_[[2, 2, 2]]) == 1
    assert counted(H[0][0], np.s_[0:0]) == 0
    assert counted(H[0][0], np.s_[:, 3:3]) == 0
    assert counted(H[0][0], np.zeros(6, bool)) == 0
    assert counted(H[0][0], np.s_[None, 2:3]) == 0


def test_three_inputs_of_three_cost_nine():
    engine, H = make(((3,), (3,), (3,)))
    for i in range(3):
        for j in range(3):
            np.testing.assert_array_equal(H[i][j], engine.dense(i, j))
    assert H[0][0].cache_info().products == 9
    assert len(set(engine.computed)) == len(engine.computed) == 9


def test_paddles_example_of_nine_parameters_runs_nine_products():
    xs = [lh.variable(np.array([0.1, 0.2, 0.3]) + k) for k in range(3)]
    H = lh.hessian(np.sum(xs[0] * xs[1] ** 2 * np.sin(xs[2])), tuple(xs))
    for row in H:
        for block in row:
            np.asarray(block)
    assert H[0][0].cache_info().products == 9


def test_one_product_serves_the_other_blocks_of_its_row():
    _, H = make(((5,), (3,)))
    assert counted(H[0][0], np.s_[2]) == 1
    assert counted(H[0][1], np.s_[2]) == 0
    assert counted(H[1][0], np.s_[:, 2]) == 0
    assert H[0][0].cache_info() == H[1][1].cache_info()


def test_what_cannot_be_kept_is_not_computed():
    engine, H = make(((5,), (3,)), cache=None)
    seen = []
    engine.before = lambda i, ids: seen.append(i)
    columns = []
    rows = engine.rows
    engine.rows = lambda i, ids, wanted: (columns.append(wanted), rows(i, ids, wanted))[1]
    H[0][0][2]
    assert columns == [(0,)]
    assert counted(H[0][0], np.s_[2]) == 1  # again: nothing was kept


def test_a_batch_counts_positions():
    engine, H = make(((4,),), lead=(6,))
    assert counted(H[0][0], np.s_[2]) == 4
    assert counted(H[0][0], np.s_[2:4, 1]) == 1  # of sample 3; sample 2 is known
    assert counted(H[0][0], np.s_[:, 1]) == 1
    assert counted(H[0][0], np.s_[:, :, 1]) == 0
    assert counted(H[0][0], np.s_[3, 0, 2]) == 1
    assert sum(row // 4 == 2 for _, row in engine.computed) == 4


def test_a_request_for_samples_computes_those_samples_only():
    engine, H = make(((4,),), lead=(60,))
    H[0][0][[7, 9]]
    assert {row // 4 for _, row in engine.computed} == {7, 9}


def test_iterating_pays_row_by_row():
    _, H = make(((6,),))
    rows = iter(H[0][0])
    next(rows)
    assert H[0][0].cache_info().products == 1


def test_diagonal_and_tocoo():
    engine, H = make(((4,), (3,)), sparse=True)
    np.testing.assert_array_equal(H[0][0].diagonal(), np.diagonal(engine.dense(0, 0)))
    rows, columns, values = H[0][1].tocoo()
    dense = np.zeros((4, 3))
    dense[rows, columns] = values
    np.testing.assert_array_equal(dense, engine.dense(0, 1))
    assert np.all(np.diff(rows * 3 + columns) > 0)
    with pytest.raises(ValueError, match="no diagonal"):
        H[0][1].diagonal()


def test_tocoo_with_leading_axes():
    engine, H = make(((2, 2),), lead=(3,), sparse=True)
    lead, rows, columns, values = H[0][0].tocoo()
    dense = np.zeros((3, 4, 4))
    dense[lead, rows, columns] = values
    np.testing.assert_array_equal(dense, engine.dense(0, 0).reshape(3, 4, 4))


def test_a_column_of_known_sparse_rows_forms_no_dense_matrix():
    n = 8000
    H = lh.hessian(lambda x: np.sum((x[1:] - x[:-1] ** 2) ** 2), np.linspace(0, 1, n))
    H.diagonal()
    tracemalloc.start()
    try:
        answers = [H[:, 0], H[1:1], H[:, :0], H[:: n // 2], H[:100, :100]]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [answer.shape for answer in answers] == [(n,), (0, n), (n, 0), (2, n), (100, 100)]
    assert peak < n * n  # an eighth of the matrix
    assert H.cache_info().hits == n + 2 + 100


# --- failure --------------------------------------------------------------------------------------
def test_a_failed_request_costs_nothing():
    engine, H = make(((6,),))
    H[0][0][0]

    def fail(i, ids):
        if 4 in ids:
            raise RuntimeError("no")

    engine.before = fail
    with pytest.raises(RuntimeError, match="no"):
        H[0][0][1:]
    engine.before = None
    info = H[0][0].cache_info()
    assert info.products == len(engine.computed)
    np.testing.assert_array_equal(H[0][0], engine.dense(0, 0))
    assert len(set(engine.computed)) == len(engine.computed) == 6


def test_a_result_that_cannot_fit_says_so_before_the_work():
    n = 2_000_000
    x = lh.variable(np.zeros(n))
    H = lh.hessian(np.sum(x**2), x)
    with pytest.raises(MemoryError, match=r"29802\.3 GiB.*H\[3:5\].*H @ v.*tocoo"):
        np.asarray(H)
    assert H.cache_info().products == 0


# --- the store ------------------------------------------------------------------------------------
def test_cache_sizes():
    def size(cache):
        return store_of(cache, NumpyArrays()).cache.maxsize

    assert size("512MB") == 512_000_000
    assert size("1GiB") == 2**30
    assert size("2.5 kB") == 2500
    assert size(77) == 77
    for wrong in ("many", "-3MB", "3XB"):
        with pytest.raises(ValueError, match=f"cache must be.*512MB.*{wrong}"):
            size(wrong)
    with pytest.raises(TypeError, match=r"cache.*cachetools\.Cache or None, got float 1\.5"):
        size(1.5)
    with pytest.raises(ValueError, match="cache must not be negative"):
        size(-1)


def test_a_row_too_large_is_returned_and_not_kept():
    engine, H = make(((50,),), cache=100)
    np.testing.assert_array_equal(H[0][0][3], engine.dense(0, 0)[3])
    assert H[0][0].cache_info().currsize == 0
    np.testing.assert_array_equal(H[0][0], engine.dense(0, 0))


def test_least_recently_used_goes_first():
    engine, H = make(((10,),), cache=3 * 88)
    for row in (0, 1, 2, 0, 3):
        H[0][0][row]
    assert counted(H[0][0], 0) == 0
    assert counted(H[0][0], 1) == 1


def test_looking_is_no_using():
    engine, H = make(((8,),), cache=8 * 72)
    for row in (*range(8), *range(1, 8)):
        H[0][0][row]
    H[0][0][:, 1]  # its rows are not all there in one place: the first one is not used by that
    x = lh.variable(np.arange(8.0))
    G = lh.hessian(np.sum(x**3) * np.sum(x), x, cache=4 * 72)
    for row in (0, 1, 2, 3, 1, 2, 3, 4):
        G[row]
    assert counted(G, 0) == 1
    assert counted(G, np.s_[2:5]) == 0


def test_a_cache_of_your_own_may_be_shared_and_may_drop_anything():
    cache = cachetools.LRUCache(4)
    one, H = make(((6,),), cache=cache, seed=1)
    two, G = make(((6,),), cache=cache, seed=2)
    for k in (0, 1, 2, 3, 4, 5, 0, 1):
        np.testing.assert_array_equal(H[0][0][k], one.dense(0, 0)[k])
        np.testing.assert_array_equal(G[0][0][k], two.dense(0, 0)[k])
    assert len(cache) <= 4
    cache.clear()
    np.testing.assert_array_equal(H[0][0], one.dense(0, 0))
    H[0][0].cache_clear()
    assert H[0][0].cache_info().rows == 0


def test_clear_forgets_rows_and_counts():
    _, H = make(((6,),))
    H[0][0][:3]
    H[0][0].cache_clear()
    assert H[0][0].cache_info()[:5] == (0, 0, 0, 0, 0)
    assert counted(H[0][0], np.s_[:3]) == 3


def test_answers_are_yours():
    engine, H = make(((5,), (3,)))
    for sparse in (False, True):
        engine, H = make(((5,), (3,)), sparse=sparse)
        for index in (0, ..., np.s_[:, 1], np.s_[1:3], [0, 0], np.s_[:2, [1, 2]]):
            H[0][0][index][...] = np.nan
            np.asarray(H[0][0])[...] = np.nan
            H[1][0][...].fill(np.nan)
        np.testing.assert_array_equal(H[0][0], engine.dense(0, 0))
        np.testing.assert_array_equal(H[0][1], engine.dense(0, 1))


class StoreMachine(RuleBasedStateMachine):
    """Any order of requests, clears and evictions gives the dense values, and keeps the bound."""

    @initialize(
        cache=st.sampled_from([None, 0, 100, 250, 700, "1MB"]),
        lead=st.sampled_from([(), (3,), (2, 2)]),
        sparse=st.booleans(),
    )
    def start(self, cache, lead, sparse):
        self.engine, self.H = make(((4,), (2, 3), ()), lead, cache, sparse=sparse)
        self.info = self.H[0][0].cache_info

    @rule(
        block=st.tuples(*[st.integers(0, 2)] * 2),
        seed=st.integers(0, 1000),
        pointwise=st.booleans(),
        transposed=st.booleans(),
    )
    def request(self, block, seed, pointwise, transposed):
        i, j = block
        rng = np.random.default_rng(seed)
        hessian, dense = self.H[i][j], self.engine.dense(i, j)
        if transposed:
            hessian, dense = hessian.T, dense.T
        count = int(rng.integers(1, 4))
        if pointwise:
            index = tuple(rng.integers(0, n, count) for n in dense.shape)
        else:
            index = tuple(
                [slice(None), int(rng.integers(0, n)), rng.permutation(n)[:count]][k]
                for n, k in zip(
                    dense.shape, rng.choice(3, dense.ndim, p=[0.6, 0.3, 0.1]), strict=True
                )
            )
        before = self.info()
        computed = len(self.engine.computed)
        np.testing.assert_array_equal(hessian[index], dense[index])
        after = self.info()
        assert after.misses - before.misses == len(self.engine.computed) - computed

    @rule()
    def clear(self):
        self.H[0][0].cache_clear()
        self.engine.computed.clear()

    @rule()
    def again(self):
        self.H = pickle.loads(pickle.dumps(self.H))
        self.info = self.H[0][0].cache_info
        self.engine = self.H[0][0]._source.engine

    @invariant()
    def bounded(self):
        if hasattr(self, "info"):
            info = self.info()
            assert info.currsize <= info.maxsize
            if info.maxsize >= 10**6:  # nothing is dropped: nothing is computed twice
                assert len(set(self.engine.computed)) == len(self.engine.computed)


StoreMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=15)
TestStore = StoreMachine.TestCase


# --- threads --------------------------------------------------------------------------------------
def together(count, work):
    """Run work(k) in threads that start together; the errors they raised."""
    barrier, errors = threading.Barrier(count), []

    def run(k):
        barrier.wait()
        try:
            work(k)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return errors


@pytest.mark.parametrize("cache", ["1GiB", 2000])
def test_threads_never_compute_a_row_twice(cache):
    engine, H = make(((40,), (30,)), cache=cache, passes=8)

    def work(k):
        rng = np.random.default_rng(k)
        for _ in range(10):
            i, j = rng.integers(0, 2, 2)
            start = int(rng.integers(0, 25))
            np.testing.assert_array_equal(
                H[i][j][start : start + 12], engine.dense(i, j)[start : start + 12]
            )

    assert together(8, work) == []
    assert H[0][0].cache_info().products == len(engine.computed)
    if cache == "1GiB":
        assert len(set(engine.computed)) == len(engine.computed)


def test_threads_that_want_the_same_rows_share_one_flight():
    engine, H = make(((6,),), cache=None)
    inside, go = threading.Event(), threading.Event()

    def hold(i, ids):
        inside.set()
        assert go.wait(30)

    engine.before = hold
    answers = []
    first = threading.Thread(target=lambda: answers.append(H[0][0][2]))
    first.start()
    assert inside.wait(30)
    second = threading.Thread(target=lambda: answers.append(H[0][0][:, 2]))
    second.start()
    go.set()
    first.join(30)
    second.join(30)
    for answer in answers:
        np.testing.assert_array_equal(answer, engine.dense(0, 0)[2])
    # With no cache the second thread either met the first one's flight, or came after it.
    assert len(engine.computed) <= 2


def test_a_failed_flight_wakes_those_that_wait():
    engine, H = make(((6,),))
    inside, go, failed = threading.Event(), threading.Event(), threading.Event()

    def fail_once(i, ids):
        if not failed.is_set():
            failed.set()
            inside.set()
            assert go.wait(30)
            raise RuntimeError("lost")

    engine.before = fail_once
    errors, answers = [], []

    def one():
        try:
            H[0][0][2]
        except RuntimeError as error:
            errors.append(error)

    first = threading.Thread(target=one)
    first.start()
    assert inside.wait(30)
    second = threading.Thread(target=lambda: answers.append(H[0][0][2]))
    second.start()
    go.set()
    first.join(30)
    second.join(30)
    assert len(errors) == 1
    np.testing.assert_array_equal(answers[0], engine.dense(0, 0)[2])


def test_threads_on_a_recorded_graph():
    x = lh.variable(np.linspace(0.1, 1, 60))
    y = np.sum(np.sin(x) * np.cumsum(x)) ** 2
    want = np.asarray(lh.hessian(y, x))
    H = lh.hessian(y, x, block_size=3)
    assert together(6, lambda k: np.testing.assert_allclose(H[k : k + 50], want[k : k + 50])) == []
    assert H.cache_info().products <= 60
