"""Arguments, containers and Variables."""

import collections

import numpy as np
import pytest
import tensorflow as tf

import lazyhess as lh
from tests.frontends.tensorflow.models import X, Y, array

Pair = collections.namedtuple("Pair", "w b")


def loss(w, b):
    return tf.reduce_mean((tf.tanh(X @ w + b) - Y) ** 2)


def test_containers_of_every_kind():
    w, b = array(4, 2), array(2)
    want = lh.hessian(loss, (w, b))[0][1][...]
    H = lh.hessian(lambda p: loss(*p), [Pair(w, b)])
    np.testing.assert_array_equal(H[0].w[0].b[...], want)
    H = lh.hessian(lambda p: loss(**p), {"w": w, "b": b})
    np.testing.assert_array_equal(H["w"]["b"][...], want)
    module = tf.Module()
    module.named, module.listed = {"w": tf.Variable(w), "b": tf.Variable(b)}, [tf.Variable(w)]
    H = lh.hessian(lambda p: loss(**p), module.named)
    np.testing.assert_array_equal(H["w"]["b"][...], want)
    H = lh.hessian(lambda w: loss(w, b), module.listed)
    np.testing.assert_array_equal(H[0][0][...], lh.hessian(lambda w: loss(w, b), w)[...])


def test_numpy_arrays_beside_tensors():
    w, b = array(4, 2), array(2)
    H = lh.hessian(loss, (w, b.numpy()))
    np.testing.assert_array_equal(H[0][1][...], lh.hessian(loss, (w, b))[0][1][...])
    H = lh.hessian(tf.function(loss), (w.numpy(), b.numpy()))
    np.testing.assert_allclose(H[0][1][...], lh.hessian(loss, (w, b))[0][1][...])


@pytest.mark.parametrize("wrap", [lambda function: function, tf.function])
def test_aux_and_argnums(wrap):
    def function(scale, w, name, b):
        assert name == "tanh"
        made = tf.tanh(X @ w + b)
        return scale * tf.reduce_sum(made**2), {"made": made, "name": name}

    w, b, scale = array(4, 2), array(2), tf.Variable(2.0, dtype=tf.float64)
    args = (scale, w, "tanh", b)
    H, aux = lh.hessian(wrap(function), args, argnums=(-1, 1), has_aux=True)
    assert aux["made"].shape == (5, 2)
    want = lh.hessian(lambda b, w: 2 * tf.reduce_sum(tf.tanh(X @ w + b) ** 2), (b, w))
    np.testing.assert_allclose(H[0][1][...], want[0][1][...])
    moved = H[0][1].at(2 * b, w)
    again = lh.hessian(wrap(function), (scale, w, "tanh", 2 * b), argnums=(3, 1), has_aux=True)
    np.testing.assert_allclose(moved[0][1][...], again[0][0][1][...])
    slope, _ = lh.gradient(wrap(function), args, argnums=1, has_aux=True)
    np.testing.assert_allclose(slope, want[1][1].gradient())


@pytest.mark.parametrize("wrap", [lambda function: function, tf.function])
def test_a_loss_without_arguments(wrap):
    w, b = tf.Variable(array(4, 2)), tf.Variable(array(2))
    value = lh.hessian(loss, (w, b))
    H = lh.hessian(wrap(lambda: loss(w, b)), [w, b])
    np.testing.assert_allclose(H[0][1][...], value[0][1][...])
    np.testing.assert_allclose(H[1][1].gradient(), value[1][1].gradient())
    # A default is no argument that somebody asks for.
    H = lh.hessian(wrap(lambda twice=2: twice * loss(w, b)), w)
    np.testing.assert_allclose(H[...], 2 * value[0][0][...])
    w.assign_add(w)
    np.testing.assert_allclose(H.at(w)[...], 2 * lh.hessian(loss, (w, b))[0][0][...])


def test_a_function_of_any_number_of_variables_gets_them():
    w, b = tf.Variable(array(4, 2)), tf.Variable(array(2))
    H = lh.hessian(lambda *xs: loss(*xs), (w, b))
    np.testing.assert_array_equal(H[0][1][...], lh.hessian(loss, (w, b))[0][1][...])


def test_variables_that_the_function_reads_beside_its_arguments():
    w, b = tf.Variable(array(4, 2)), array(2)
    for wrap in (lambda function: function, tf.function):
        H = lh.hessian(wrap(lambda b: loss(w, b)), b)
        np.testing.assert_allclose(H[...], lh.hessian(lambda b: loss(w, b), b)[...])


@pytest.mark.parametrize("wrap", [lambda function: function, tf.function])
def test_a_model_of_keras(wrap):
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("another backend")
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.layers.Input((4,), dtype="float64"),
            keras.layers.Dense(3, activation="tanh", dtype="float64"),
            keras.layers.Dense(2, dtype="float64"),
        ]
    )
    H = lh.hessian(wrap(lambda: tf.reduce_mean((model(X) - Y) ** 2)), model.trainable_variables)
    values = [tf.constant(v.value.read_value()) for v in model.trainable_variables]

    def same(w, b, v, c):
        return tf.reduce_mean((tf.tanh(X @ w + b) @ v + c - Y) ** 2)

    want = lh.hessian(same, values)
    for i in range(4):
        for j in range(4):
            np.testing.assert_allclose(H[i][j][...], want[i][j][...], atol=1e-12)
    kernel = model.trainable_variables[0]
    kernel.assign(2 * kernel)
    moved = H[0][0].at(*model.trainable_variables)
    want = lh.hessian(same, [2 * values[0], *values[1:]])
    np.testing.assert_allclose(moved[1][0][...], want[1][0][...], atol=1e-12)


@pytest.mark.parametrize("training", [False, True])
def test_a_layer_that_updates_itself_does_so_once(training):
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("another backend")
    norm = keras.layers.BatchNormalization(dtype="float64")
    norm.build(X.shape)
    loss = tf.function(lambda: tf.reduce_mean(tf.tanh(norm(X, training=training)) ** 2))
    before = norm.moving_mean.numpy()
    H = lh.hessian(loss, norm.trainable_variables)
    after = norm.moving_mean.numpy()
    assert (np.abs(after - before).max() > 0) == training
    made = H[0][1][...]
    np.testing.assert_array_equal(norm.moving_mean.numpy(), after)

    def same(gamma, beta):
        mean, variance = tf.nn.moments(X, 0) if training else (tf.zeros(4), tf.ones(4))
        mean, variance = tf.cast(mean, X.dtype), tf.cast(variance, X.dtype)
        scaled = (X - mean) / tf.sqrt(variance + norm.epsilon)
        return tf.reduce_mean(tf.tanh(scaled * gamma + beta) ** 2)

    values = [tf.constant(v.value.read_value()) for v in norm.trainable_variables]
    np.testing.assert_allclose(made, lh.hessian(same, values)[0][1][...], atol=1e-9)


@pytest.mark.parametrize("wrap", [lambda function: function, tf.function])
def test_third_order_by_variables(wrap):
    w = tf.Variable(array(4))
    loss = wrap(lambda: tf.reduce_sum(w) ** 4)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(lh.hessian(loss, w, create_graph=True)[0])
    np.testing.assert_allclose(tape.gradient(total, w), np.full(4, 96 * tf.reduce_sum(w)))
    with tf.GradientTape() as tape:
        first = lh.gradient(loss, w, create_graph=True)[0]
    np.testing.assert_allclose(tape.gradient(first, w), np.full(4, 12 * tf.reduce_sum(w) ** 2))


def test_operators_and_products():
    x = array(5)
    H = lh.hessian(lambda x: tf.reduce_sum(tf.sin(x) * x[0]), x)
    dense = np.asarray(H)
    v = array(5)
    np.testing.assert_allclose(H @ v, dense @ v.numpy())
    np.testing.assert_allclose(H @ v.numpy(), dense @ v.numpy())
    np.testing.assert_allclose(v.numpy() @ H, v.numpy() @ dense)
    V = array(5, 2)
    np.testing.assert_allclose(H @ V, dense @ V.numpy())
    assert isinstance(H @ v, tf.Tensor)
    fresh = H.at(x)
    np.testing.assert_allclose(fresh @ v, dense @ v.numpy())
    assert fresh.cache_info().products == 1
    np.testing.assert_allclose(H + tf.eye(5, dtype=tf.float64), dense + np.eye(5))
    np.testing.assert_allclose(-H, -dense)
    np.testing.assert_allclose(tf.linalg.trace(H[...]), np.trace(dense))
    np.testing.assert_allclose(np.linalg.eigvalsh(H), np.linalg.eigvalsh(dense))
    assert repr(H).startswith("Hessian(shape=(5, 5), dtype=<dtype: 'float64'>")


def test_gradients_with_a_reduction():
    x = array(5)
    np.testing.assert_allclose(lh.gradient(lambda x: x**2, x, reduction="sum"), 2 * x)
    np.testing.assert_allclose(
        lh.gradient(lambda x: [x**2, x], x, reduction="sum"), 2 * x.numpy() + 1
    )


def test_outputs_one_by_one():
    x = array(3)
    for wrap in (lambda function: function, tf.function):
        H = lh.hessian(wrap(lambda x: tf.stack([x**2, x**3])), x, reduction="none")
        assert H.shape == (2, 3, 3, 3)
        np.testing.assert_allclose(H[1, 2, 2], [0, 0, 6 * float(x[2])])
        np.testing.assert_allclose(H[0][0], np.diag([2.0, 0, 0]))
        np.testing.assert_allclose(H.gradient()[1, 0], [3 * float(x[0]) ** 2, 0, 0])
