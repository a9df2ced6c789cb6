"""The proxy behaves as a read-only array that has not been computed."""

import copy
import operator
import pickle

import numpy as np
import pytest

import lazyhess as lh
from lazyhess._proxy.hessian import Hessian
from lazyhess._proxy.rows import RowSource
from tests.dense_engine import DenseEngine


def pair(shapes=((4,), (3,)), lead=(), i=0, j=1, cache="1GiB"):
    engine = DenseEngine(shapes, lead)
    return Hessian(RowSource(engine, cache), i, j), engine.dense(i, j)


def test_attributes():
    H, dense = pair(((2, 3), (4,)), (5,))
    for name in ("shape", "dtype", "ndim", "size", "nbytes", "itemsize"):
        assert getattr(H, name) == getattr(dense, name)
        assert getattr(H.T, name) == getattr(dense.T, name)
    assert len(H) == 5
    assert len(H.T) == 4
    assert H.cache_info().products == 0
    assert repr(H) == "Hessian(shape=(5, 2, 3, 4), dtype=float64, known=0/30 rows)"
    H[2, 1]
    assert repr(H) == "Hessian(shape=(5, 2, 3, 4), dtype=float64, known=3/30 rows)"
    assert np.shape(H) == dense.shape
    assert np.ndim(H) == 4
    assert np.size(H) == dense.size


def test_zero_dimensions():
    H, dense = pair(((), ()), i=0, j=1)
    assert H[()] == dense[()]
    assert isinstance(H[()], np.float64)
    assert H[...].shape == ()
    assert float(H) == complex(H) == dense.item()
    assert int(H) == int(dense)
    assert bool(H) is True
    with pytest.raises(TypeError, match="unsized"):
        len(H)
    with pytest.raises(TypeError, match="0-d"):
        iter(H)


def test_iteration_and_truth():
    H, dense = pair()
    np.testing.assert_array_equal(np.stack(list(H)), dense)
    with pytest.raises(ValueError, match="ambiguous"):
        bool(H)
    assert (dense[0, 0] in H) is True
    with pytest.raises(TypeError, match="unhashable"):
        hash(H)


def test_conversion():
    H, dense = pair()
    np.testing.assert_array_equal(np.asarray(H), dense)
    assert np.asarray(H, np.float32).dtype == np.float32
    assert np.array(H).flags.writeable
    assert H.astype("f4").dtype == np.float32
    with pytest.raises(ValueError, match="copy=False"):
        np.array(H, copy=False)


BINARY = [operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod,
          operator.pow, operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne,
          divmod]  # fmt: skip


@pytest.mark.parametrize("function", BINARY, ids=lambda f: f.__name__)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_operators(function):
    H, dense = pair()
    for other in (2, 2.5, np.full(3, 2.0), np.abs(dense), np.float32(3), [1.0, 2.0, 3.0]):
        np.testing.assert_array_equal(function(H, other), function(dense, other))
        if not isinstance(other, list):
            np.testing.assert_array_equal(function(other, H), function(other, dense))
    np.testing.assert_array_equal(function(H, H), function(dense, dense))


def test_functions_of_numpy_see_the_dense_array():
    H, dense = pair()
    np.testing.assert_array_equal(-H, -dense)
    np.testing.assert_array_equal(+H, dense)
    np.testing.assert_array_equal(abs(H), abs(dense))
    np.testing.assert_array_equal(np.exp(H), np.exp(dense))
    np.testing.assert_array_equal(np.sum(H, axis=0), dense.sum(0))
    np.testing.assert_array_equal(np.concatenate([H, dense]), np.concatenate([dense, dense]))
    np.testing.assert_array_equal(np.add.reduce(H), np.add.reduce(dense))
    np.testing.assert_allclose(np.linalg.norm(H), np.linalg.norm(dense))


def test_it_is_read_only():
    H, dense = pair()
    with pytest.raises(TypeError, match=r"np\.array\(H\)"):
        H[0] = 1
    with pytest.raises(TypeError, match="read-only"):
        H += 1
    with pytest.raises(TypeError, match="read-only"):
        np.add(dense, dense, out=H)


# --- products -------------------------------------------------------------------------------------
@pytest.mark.parametrize("lead", [(), (3,), (2, 2)])
@pytest.mark.parametrize(
    "shapes", [((4,), (3,)), ((2, 3), (4,)), ((4,), (2, 3)), ((), (3,)), ((3,), ())]
)
@pytest.mark.parametrize("transposed", [False, True])
def test_matmul_is_numpys(shapes, lead, transposed, rng):
    H, dense = pair(shapes, lead)
    if transposed:
        H, dense = H.T, dense.T
    for left in (False, True):
        n = dense.shape[-2 if left and dense.ndim > 1 else -1]
        for shape in [(n,), (2, n) if left else (n, 2), (0, n) if left else (n, 0),
                      (3, 2, n) if left else (3, n, 2)]:  # fmt: skip
            for v in (rng.normal(size=shape), rng.normal(size=shape) + 1j, np.ones(shape, int)):
                a, b = (v, dense) if left else (dense, v)
                try:
                    want = a @ b
                except ValueError:
                    with pytest.raises(ValueError, match="matmul|broadcast"):
                        v @ H if left else H @ v
                    continue
                got = v @ H if left else H @ v
                assert got.dtype == want.dtype
                np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


def test_matmul_runs_one_product_for_each_column(rng):
    H, dense = pair(((40,), (30,)))
    H @ np.ones(30)
    assert H.cache_info().products == 1
    np.ones((2, 40)) @ H
    assert H.cache_info().products == 3
    np.testing.assert_allclose(np.matmul(H, np.ones((30, 3))), dense @ np.ones((30, 3)))
    assert H.cache_info().products == 6
    assert H.cache_info().rows == 0
    np.asarray(H)
    before = H.cache_info().products
    np.testing.assert_allclose(H @ np.ones(30), dense @ np.ones(30))
    assert H.cache_info().products == before


def test_a_batch_is_multiplied_at_once(rng):
    H, dense = pair(((4,), (5,)), (6,))
    v = rng.normal(size=(6, 5, 1))
    np.testing.assert_allclose(H @ v, dense @ v)
    assert H.cache_info().products == 1
    np.testing.assert_allclose(H @ v[0, :, 0], dense @ v[0, :, 0])
    assert H.cache_info().products == 2


def test_matmul_of_wrong_sizes():
    H, _ = pair()
    with pytest.raises(ValueError, match=r"shapes \(4, 3\) and \(4,\): 4 is different from 3"):
        H @ np.ones(4)
    with pytest.raises(ValueError, match=r"shapes \(3,\) and \(4, 3\)"):
        np.ones(3) @ H
    with pytest.raises(ValueError, match="matmul"):
        H @ 2.0


# --- copies ---------------------------------------------------------------------------------------
def test_pickle_keeps_graph_rows_and_counts():
    x = lh.variable(np.array([1.0, 2.0, 3.0]))
    H = lh.hessian(np.prod(x) + np.sum(np.sin(x)), x)
    H[1]
    G = pickle.loads(pickle.dumps(H))
    assert G.cache_info() == H.cache_info()
    np.testing.assert_array_equal(G[1], H[1])
    assert G.cache_info().products == 1
    np.testing.assert_array_equal(G, H)
    nested = pickle.loads(pickle.dumps((H, H.T)))
    nested[0][0]
    assert nested[1].cache_info() == nested[0].cache_info()
    assert copy.copy(H).shape == copy.deepcopy(H).shape == H.shape


def test_transposed_shares_what_is_known():
    H, dense = pair()
    H[0]
    np.testing.assert_array_equal(H.T[:, 0], dense[0])
    assert H.cache_info().products == 1
    np.testing.assert_array_equal(H.T.T, dense)
    np.testing.assert_array_equal(np.asarray(H.T), dense.T)


def test_an_infinite_vector_meets_no_other_element():
    """Products by one axis of several: the other positions of the tangents are zero, not 0 * inf."""
    x = lh.variable(np.arange(6.0).reshape(2, 3))
    H = lh.hessian(np.sum(x**3), x)
    v = np.array([1.0, np.inf, 2.0])
    got = H @ v
    assert got.shape == (2, 3, 2)
    for r in range(2):
        for c in range(3):
            want = [6 * x.value[r, c] * v[c] if q == r else 0.0 for q in range(2)]
            np.testing.assert_array_equal(
                np.nan_to_num(got[r, c], nan=-1), np.nan_to_num(want, nan=-1)
            )
