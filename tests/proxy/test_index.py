"""Every index gives what NumPy gives on the dense array, errors included."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lazyhess as lh
from lazyhess._proxy import direct
from lazyhess._proxy.hessian import Hessian
from lazyhess._proxy.rows import RowSource
from tests.dense_engine import DenseEngine

SHAPES = [((4,), (3,)), ((), (3,)), ((2, 3), (4,)), ((2, 0), (3,)), ((3, 2, 1), (2, 2)), ((1,), ())]
LEADS = [(), (3,), (2, 3)]
ENGINES = {
    (shapes, lead, sparse): DenseEngine(shapes, lead, sparse=sparse)
    for shapes in SHAPES
    for lead in LEADS
    for sparse in (False, True)
}


@st.composite
def indices(draw, shape):
    """Any index of an array of a shape: now and then a wrong one."""
    items, axis, dots = [], 0, False
    together = draw(st.lists(st.integers(0, 3), max_size=2).map(tuple))
    while axis < len(shape) and draw(st.integers(0, 7)):
        n = shape[axis]
        kind = draw(st.sampled_from("none int slice slice array list mask dots truth".split()))
        if kind == "none":
            items.append(None)
        elif kind == "int":
            items.append(draw(st.integers(-n, n if draw(st.integers(0, 9)) == 0 else n - 1))
                         if n else 0)  # fmt: skip
            axis += 1
        elif kind == "slice":
            bound = st.none() | st.integers(-n - 1, n + 1)
            step = st.none() | st.integers(-3, 3).filter(bool)
            items.append(slice(draw(bound), draw(bound), draw(step)))
            axis += 1
        elif kind == "array":
            sides = tuple(1 if draw(st.integers(0, 3)) == 0 else side for side in together)
            seed = draw(st.integers(0, 99))
            items.append(np.random.default_rng(seed).integers(-n, max(n, 1), sides))
            axis += 1
        elif kind == "list":
            items.append(draw(st.lists(st.integers(-n, n - 1), max_size=4)) if n else [])
            axis += 1
        elif kind == "mask":
            ndim = draw(st.integers(1, 2))
            seed = draw(st.integers(0, 99))
            wrong = draw(st.integers(0, 30)) == 0
            sides = tuple(side + wrong for side in shape[axis : axis + ndim])
            items.append(np.random.default_rng(seed).random(sides) < 0.4)
            axis += len(sides)
        elif kind == "dots" and not dots:
            items.append(Ellipsis)
            dots = True
            axis = min(len(shape), axis + draw(st.integers(0, 2)))
            if sum(1 for item in items if item is not None) > len(shape):
                break
        elif kind == "truth" and draw(st.integers(0, 3)) == 0:
            items.append(draw(st.booleans()))
    return items[0] if len(items) == 1 and draw(st.booleans()) else tuple(items)


def one_by_one(source, i, j):
    for row in range(source.rows_of(i)):
        place = np.unravel_index(row, source.engine.lead + source.engine.shapes[i])
        Hessian(source, i, j)[tuple(map(int, place))]


# What is there before a request.
KNOWN = {
    "nothing": lambda source, i, j: None,
    "all in one": lambda source, i, j: Hessian(source, i, j)[...],
    "all of the other side": lambda source, i, j: Hessian(source, j, i)[...],
    "row by row": one_by_one,
    "row by row, of the other side": lambda source, i, j: one_by_one(source, j, i),
}


@given(st.data())
@settings(max_examples=1500)
def test_any_index(data):
    key = data.draw(st.sampled_from(sorted(ENGINES, key=str)))
    engine = ENGINES[key]
    i, j = data.draw(st.tuples(*[st.integers(0, len(engine.shapes) - 1)] * 2))
    source = RowSource(engine, cache=data.draw(st.sampled_from([None, 300, "1GiB"])))
    hessian, array = Hessian(source, i, j), engine.dense(i, j)
    if data.draw(st.booleans()):
        hessian, array = hessian.T, array.T
    KNOWN[data.draw(st.sampled_from(sorted(KNOWN)))](source, i, j)
    for _ in range(3):
        compare(hessian, array, data.draw(indices(array.shape)))


def compare(hessian, array, index):
    try:
        want = array[index]
    except IndexError as error:
        with pytest.raises(IndexError) as caught:
            hessian[index]
        assert str(caught.value) == str(error)
        return
    got = hessian[index]
    assert type(got) is type(want)
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)
    if isinstance(got, np.ndarray):
        assert got.flags.writeable
        assert got.flags.c_contiguous


@given(st.data())
@settings(max_examples=500)
def test_the_direct_way_counts_as_the_general_one(data):
    key = data.draw(st.sampled_from(sorted(ENGINES, key=str)))
    engine = ENGINES[key]
    i, j = data.draw(st.tuples(*[st.integers(0, len(engine.shapes) - 1)] * 2))
    cache = data.draw(st.sampled_from([None, 300, "1GiB"]))
    known = KNOWN[data.draw(st.sampled_from(sorted(KNOWN)))]
    shape = engine.dense(i, j).shape
    transposed = data.draw(st.booleans())
    asked = [data.draw(indices(shape[::-1] if transposed else shape)) for _ in range(3)]

    def count():
        source = RowSource(engine, cache)
        known(source, i, j)
        hessian = Hessian(source, i, j, transposed)
        infos = []
        for index in asked:
            with contextlib.suppress(IndexError):
                hessian[index]
            infos.append(source.info())
        return infos

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(direct, "answer", lambda *args: None)
        general = count()
    assert count() == general


WRONG = [4, -5, (0, 3), (0, 0, 0), 1.0, "a", [0.5], (Ellipsis, Ellipsis), np.ones(5, bool),
         np.ones((4, 4), bool), ([0, 1], [0, 1, 2]), [7], (slice(None), -4), (slice(None), [3]),
         object(), {}, (slice(1.5), 0), np.array(1.0), 1j]  # fmt: skip


@pytest.mark.parametrize("index", WRONG, ids=range(len(WRONG)))
def test_wrong_indices_raise_as_numpy_does(index):
    engine = ENGINES[SHAPES[0], (), False]
    array = engine.dense(0, 1)
    with pytest.raises((IndexError, TypeError)) as theirs:
        array[index]
    source = RowSource(engine, cache="1MB")
    with pytest.raises(theirs.type) as ours:
        Hessian(source, 0, 1)[index]
    assert str(ours.value) == str(theirs.value)
    assert source.info().products == 0


RIGHT = [slice(0, 0), slice(None, None, -1), slice(0, 100), (Ellipsis, 0), [0, 2],
         np.array([True, False, True, False]), np.int64(2), np.uint8(1), (np.int32(-1), 0),
         (slice(None, None, -2), None, [2, 0]), (), Ellipsis, None, True, False, [],
         np.array([], int), (np.array(2), np.array([0, 1])), [True, False, True, True],
         ([[0], [3]], [0, 2]), np.array([3, 3, 0]), (0, 1, ...), (..., np.int64(2), 1),
         (np.uint8(1), slice(0, 2))]  # fmt: skip


@pytest.mark.parametrize("known", KNOWN)
@pytest.mark.parametrize("index", RIGHT, ids=range(len(RIGHT)))
def test_right_indices(index, known):
    engine = ENGINES[SHAPES[0], (), False]
    source = RowSource(engine, cache="1MB")
    KNOWN[known](source, 0, 1)
    compare(Hessian(source, 0, 1), engine.dense(0, 1), index)


@pytest.mark.parametrize("known", KNOWN)
@pytest.mark.parametrize("dtypes", [("f2", "f8"), ("f8", "f4"), ("f4", "f4")])
@pytest.mark.parametrize("index", [(slice(0, 1), slice(0, 2)), 1, ..., (1, 1), (1, 1, ...)])
def test_the_dtype_is_that_of_the_block(index, dtypes, known):
    a, b = (np.array([1.0, 2.0, 30.0], dtype) for dtype in dtypes)
    blocks = lh.hessian(lambda a, b: np.sum(a) * np.sum(a**2) + 1e4 * np.sum(b**3), (a, b))
    source = blocks[0][0]._source
    for i in (0, 1):
        H = blocks[i][i]
        KNOWN[known](source, i, i)
        got = H[index]
        want = H[...][index]
        assert got.dtype == want.dtype == H.dtype
        assert type(got) is type(want)
        np.testing.assert_array_equal(got, want)


def test_the_index_is_not_changed():
    engine = ENGINES[SHAPES[0], (), False]
    index = np.array([-1, 0, -2])
    items = [index, slice(None)]
    Hessian(RowSource(engine, cache="1MB"), 0, 1)[tuple(items)]
    np.testing.assert_array_equal(index, [-1, 0, -2])
