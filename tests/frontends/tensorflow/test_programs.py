"""What is traced, how often, and when the tapes serve instead."""

import gc
import threading

import numpy as np
import pytest
import tensorflow as tf

import lazyhess as lh
from lazyhess._frontends.graphs import padded
from lazyhess._frontends.tensorflow import record
from tests.frontends.tensorflow.models import X, array


def traces(monkeypatch):
    """Counts each trace of a program of ours."""
    counted = []
    plain = record.tf.vectorized_map

    def counting(function, elems):
        counted.append(1)
        return plain(function, elems)

    monkeypatch.setattr(tf, "vectorized_map", counting)
    return counted


def test_sizes_of_programs():
    sizes = [padded(count, 0) for count in range(1, 1025)]
    assert sizes[:12] == [1, 2, 3, 4, 5, 6, 7, 8, 10, 10, 12, 12]
    assert all(count <= size <= 1.25 * count for count, size in enumerate(sizes, 1))
    assert len(set(sizes)) == 8 + 4 * 7


def test_a_tf_function_is_traced_once_for_all_its_hessians(monkeypatch):
    counted = traces(monkeypatch)
    function = tf.function(lambda x: tf.reduce_sum(tf.sin(x) * x[0]))
    for k in range(6):
        x = array(40)
        H = lh.hessian(function, x)
        assert H[k].shape == (40,)
        assert H[7:12].shape == (5, 40)
        H = H.at(2 * x)
        assert H[3].shape == (40,)
    assert len(counted) == 2  # of one row, and of five
    assert function.experimental_get_tracing_count() == 1
    for count in range(9, 41):
        lh.hessian(function, array(40))[:count]
    assert len(counted) <= 2 + 9  # 10, 12, 14, 16, 20, 24, 28, 32, 40


def test_a_plain_function_is_traced_once_for_each_size_of_many_rows(monkeypatch):
    counted = traces(monkeypatch)
    H = lh.hessian(lambda x: tf.reduce_sum(tf.sin(x) * x[0]), array(200), cache=None)
    H[0], H[:50]
    assert not counted
    H[:100], H[20:120], H[:110], H[:100]
    assert len(counted) == 1


def test_control_flow_that_cannot_be_vectorised_is_compiled_all_the_same(capfd, caplog):
    @tf.function
    def function(x):
        h = x
        for _ in tf.range(3):
            h = tf.sin(h) * h if tf.reduce_sum(h) > 0 else tf.cos(h)
        return tf.reduce_sum(h)

    def plain(x):
        h = x
        for _ in range(3):
            h = tf.sin(h) * h if tf.reduce_sum(h) > 0 else tf.cos(h)
        return tf.reduce_sum(h)

    x = array(5)
    H = lh.hessian(function, x)
    np.testing.assert_allclose(H[...], lh.hessian(plain, x)[...], atol=1e-12)
    assert H._source.engine.function.program is not None
    assert not caplog.records
    assert "pfor" not in capfd.readouterr().err


def test_functions_that_run_eagerly():
    function = tf.function(lambda x: tf.reduce_sum(x**3) if x[0] > 0 else x[0])
    x = tf.constant(np.linspace(1, 2, 5))
    tf.config.run_functions_eagerly(True)
    try:
        np.testing.assert_allclose(lh.hessian(function, x).diagonal(), 6 * x.numpy())
    finally:
        tf.config.run_functions_eagerly(False)


def test_variables_may_change_between_the_call_and_the_rows():
    w = tf.Variable(array(4, 3))
    loss = tf.function(lambda: tf.reduce_sum(tf.tanh(X @ w) ** 2))
    want = lh.hessian(loss, w)[...].numpy()
    H = lh.hessian(loss, w)
    first = H[0].numpy()
    w.assign(2 * w)
    np.testing.assert_allclose(first, want[0])
    np.testing.assert_allclose(H[...].numpy().reshape(12, 12), want.reshape(12, 12), rtol=1e-10)
    moved = H.at(w)
    assert np.abs(moved[...].numpy() - want).max() > 1e-3
    np.testing.assert_allclose(moved[...], lh.hessian(lambda: loss.python_function(), w)[...])


def test_a_function_that_changes_a_variable_runs_once():
    count = tf.Variable(0)

    @tf.function
    def loss(x):
        count.assign_add(1)
        return tf.reduce_sum(x**3)

    x = array(80)
    H = lh.hessian(loss, x)
    np.testing.assert_allclose(H.diagonal(), 6 * x.numpy())
    assert H[0].shape == (80,)
    assert int(count) == 1


def test_memory_does_not_grow():
    resource = pytest.importorskip("resource")
    function = tf.function(lambda x: tf.reduce_sum(tf.sin(x) * x[0]))
    x = array(1000)

    def step(asked):
        H = lh.hessian(asked, x)
        H[0], H.gradient()

    for asked in (function, function.python_function):
        for _ in range(20):
            step(asked)
        gc.collect()
        objects = len(gc.get_objects())
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(150):
            step(asked)
        gc.collect()
        assert len(gc.get_objects()) - objects < 150
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


def test_a_hessian_goes_with_its_last_reference():
    import weakref

    H = lh.hessian(lambda x: tf.reduce_sum(x**3), array(100))
    H[...]
    engine = weakref.ref(H._source.engine)
    del H
    gc.collect()
    assert engine() is None


def test_hessians_of_one_function_in_threads():
    function = tf.function(lambda x: tf.reduce_sum(tf.sin(x) * x[0]))
    xs = [array(30) for _ in range(4)]
    want = [lh.hessian(function.python_function, x)[...].numpy() for x in xs]
    got = [None] * 4

    def work(k):
        got[k] = lh.hessian(function, xs[k])[...].numpy()

    running = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    for made, right in zip(got, want, strict=True):
        np.testing.assert_allclose(made, right, atol=1e-12)


def test_one_hessian_of_a_plain_function_in_threads(caplog):
    def function(x):
        return tf.sin(x) * x[0]

    x = array(24)
    want = lh.hessian(function, x, reduction="none")[...].numpy()
    H = lh.hessian(function, x, reduction="none", cache=None)
    many = lh.hessian(lambda x: tf.reduce_sum(function(x)), array(200), cache=None)
    dense = many[...].numpy()
    wrong = []

    def work(k):
        try:
            np.testing.assert_allclose(H[k::4], want[k::4], atol=1e-12)
            np.testing.assert_allclose(many[k : 90 + k], dense[k : 90 + k], atol=1e-12)
        except BaseException as error:
            wrong.append(error)

    running = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert not wrong
    assert not caplog.records


@pytest.mark.parametrize("count", [1, 5, 9, 11])
def test_outputs_one_by_one_stay_in_the_program(count):
    function = tf.function(lambda x: tf.sin(x) * x[0])
    x = array(count)
    H = lh.hessian(function, x, reduction="none")
    want = lh.hessian(function.python_function, x, reduction="none")
    np.testing.assert_allclose(H[:, 0], want[:, 0], atol=1e-12)
    np.testing.assert_allclose(H[...], want[...], atol=1e-12)
    assert H._source.engine.function.program is not None
