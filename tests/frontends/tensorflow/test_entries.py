"""Entries against TensorFlow's own Hessians."""

import numpy as np
import pytest
import tensorflow as tf

import lazyhess as lh
from tests.frontends.tensorflow.models import MODELS, X, array, attention, by_jacobian
from tests.helpers import leaves, same


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_blocks_are_those_of_nested_tapes(name, compiled):
    function, args = MODELS[name]
    flat = leaves(args)
    want = [by_jacobian(function, args, a, b) for a in flat for b in flat]
    asked = tf.function(function) if compiled else function
    H = lh.hessian(asked, args if len(args) > 1 else args[0])
    for block, dense in zip(leaves(H), want, strict=True):
        same(block[...], dense)
        assert isinstance(block[...], tf.Tensor)


def test_lists_with_a_sum_are_what_tf_hessians_gives():
    q, k, v = MODELS["attention"][1]

    @tf.function
    def own(q, k, v):
        return tf.hessians([attention(q, k, v), tf.reduce_sum(q**3)], [q, k, v])

    H = lh.hessian(
        lambda q, k, v: [attention(q, k, v), q**3],
        [q, k, v],
        reduction="sum",
    )
    for i, want in enumerate(own(q, k, v)):
        same(H[i][i][...], want)
    # What tf.hessians never gave.
    same(H[0][1][...], by_jacobian(attention, (q, k, v), q, k))
    same(H[2][0][...], by_jacobian(attention, (q, k, v), v, q))


def test_a_planted_wrong_derivative_is_caught():
    @tf.custom_gradient
    def cube(x):
        return x**3, lambda upstream: upstream * 3.1 * x**2

    x = array(3)
    with pytest.raises(AssertionError):
        same(lh.hessian(lambda x: tf.reduce_sum(cube(x)), x)[...], np.diag(6 * x.numpy()))


@pytest.mark.parametrize("dtype", [tf.float32, tf.float16, tf.bfloat16])
def test_narrow_dtypes(dtype):
    x = tf.cast(tf.constant([1.0, -0.5, 2.0]), dtype)
    H = lh.hessian(lambda x: tf.reduce_sum(x**3), x)
    assert H.dtype == dtype
    assert H[0].dtype == dtype
    assert H.gradient().dtype == dtype
    made = np.asarray(H)
    assert made.dtype == (np.float32 if dtype == tf.bfloat16 else dtype.as_numpy_dtype)
    np.testing.assert_array_equal(made, np.diag([6.0, -3.0, 12.0]))


def test_empty_and_0d_inputs():
    H = lh.hessian(lambda a, b: tf.reduce_sum(a) + b**3, (tf.zeros((0, 2)), tf.constant(2.0)))
    assert H[0][0][...].shape == (0, 2, 0, 2)
    assert H[0][1][...].shape == (0, 2)
    assert float(H[1][1][()]) == 12


def test_side_effects_and_branches_happen_once():
    calls = []

    def function(x):
        calls.append(float(x[0]))
        return tf.reduce_sum(x**3) if x[0] > 0 else tf.reduce_sum(x**2)

    x = tf.constant(np.linspace(1, 2, 80))
    H = lh.hessian(function, x, check=False)
    H[0], H[:10], H[...], H.gradient(), H.value
    assert calls == [1.0]
    same(H.diagonal(), 6 * x.numpy())
    same(H.at(-x).diagonal(), np.full(80, 2.0))
    assert calls == [1.0, -1.0]


@pytest.mark.parametrize("compiled", [False, True])
def test_random_numbers_are_those_of_the_call(compiled):
    def function(x):
        return tf.reduce_sum(tf.nn.dropout(x, 0.5) ** 2)

    x = tf.ones(100, tf.float64)
    H = lh.hessian(tf.function(function) if compiled else function, x)
    # Of dropout at one the value is 4 for each that is left, and the second derivative 8.
    assert float(H.value) * 2 == np.diagonal(H).sum()
    same(H[3], np.asarray(H)[3])


def test_samples_against_vectorized_map():
    def each(x):
        return tf.reduce_sum(tf.sin(x) * tf.reverse(x, [0])) ** 2

    want = tf.stack([by_jacobian(each, (x,), x, x) for x in tf.unstack(X)])

    def batch(X):
        return tf.reduce_sum(tf.sin(X) * tf.reverse(X, [1]), 1) ** 2

    for function in (batch, tf.function(batch)):
        H = lh.hessian(function, X, batch_axis=0)
        same(H[2], want[2])
        assert H.cache_info().products == 4
        same(H[:, 1], want[:, 1])
        assert H.cache_info().products == 5
        same(H[...], want)
        same(lh.hessian(function, X, batch_axis=0)[...], want)


def test_samples_by_shared_parameters():
    w = tf.Variable(array(4, 2))
    loss = tf.function(lambda: tf.reduce_sum(tf.tanh(X @ w) ** 2, 1))
    H = lh.hessian(loss, w, batch_axis=[None])
    assert H.shape == (5, 4, 2, 4, 2)
    for k in range(5):
        want = lh.hessian(lambda k=k: tf.reduce_sum(tf.tanh(X[k : k + 1] @ w) ** 2), w)
        same(H[k], want[...])


@pytest.mark.parametrize("count", [3, 80])
def test_third_order_by_a_tape_of_the_caller(count):
    x = array(count)
    for cube in (
        lambda x: tf.reduce_sum(x**3 * x[0]),
        tf.function(lambda x: tf.reduce_sum(x) ** 4),
    ):
        with tf.GradientTape() as tape:
            tape.watch(x)
            H = lh.hessian(cube, x, create_graph=True)
            total = tf.reduce_sum(H[...] * H[...])
        got = tape.gradient(total, x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(by_jacobian(cube, (x,), x, x) ** 2)
        same(got, tape.gradient(total, x))


def test_the_tapes_of_the_caller_see_nothing_without_create_graph():
    x = array(3)
    with tf.GradientTape() as tape:
        tape.watch(x)
        row = lh.hessian(lambda x: tf.reduce_sum(x**4), x)[0]
    assert tape.gradient(row, x) is None


def test_inside_a_tf_function():
    def function(x):
        return tf.reduce_sum(tf.sin(x) * x[0])

    @tf.function
    def step(x):
        H = lh.hessian(function, x)
        return H[...], H.gradient(), H[0], H.value

    x = array(4)
    H = lh.hessian(function, x)
    for got, want in zip(step(x), (H[...], H.gradient(), H[0], H.value), strict=True):
        same(got, want)


def test_an_op_without_a_vectorised_form_runs_one_by_one():
    def cube(x):
        return tf.reduce_sum(tf.numpy_function(lambda a: a**3, [x], x.dtype))

    @tf.custom_gradient
    def outer(x):
        @tf.custom_gradient
        def slope(x):
            def back(upstream):
                made = tf.numpy_function(lambda u, a: u * 6 * a, [upstream, x], x.dtype)
                made.set_shape(x.shape)
                return made

            return 3 * x**2, back

        return cube(x), lambda upstream: upstream * slope(x)

    x = tf.constant(np.linspace(1, 2, 70))
    same(lh.hessian(outer, x)[...], np.diag(6 * x.numpy()))


@pytest.mark.parametrize("wrap", [lambda function: function, tf.function])
def test_what_cannot_be_vectorised_runs_one_by_one(monkeypatch, wrap):
    def fails(*_):
        raise ValueError("no conversion of this op")

    monkeypatch.setattr(tf, "vectorized_map", fails)
    x = tf.constant(np.linspace(1, 2, 70))
    H = lh.hessian(wrap(lambda x: tf.reduce_sum(x**3)), x)
    same(H[...], np.diag(6 * x.numpy()))
    assert H.cache_info().products == 70
