"""Functions of tensors whose Hessians TensorFlow itself can work out."""

import numpy as np
import tensorflow as tf

_RNG = np.random.default_rng(0)


def array(*shape, dtype=tf.float64):
    return tf.constant(_RNG.normal(size=shape), dtype)


X, Y = array(5, 4), array(5, 2)
TOKENS = [1, 3, 1, 0]


def mlp(p):
    hidden = tf.tanh(X @ p["first"]["w"] + p["first"]["b"])
    return tf.reduce_mean((hidden @ p["second"]["w"] + p["second"]["b"] - Y) ** 2)


def attention(q, k, v):
    weights = tf.nn.softmax(q @ tf.transpose(k) / 2.0)
    return tf.reduce_sum((weights @ v) ** 2)


def loop(x):
    h = x
    for _ in range(4):
        h = tf.sin(h) * h + tf.roll(h, 1, 0)
    return tf.reduce_sum(h)


def embedding(table):
    rows = tf.gather(table, TOKENS)
    return tf.reduce_sum(tf.tanh(rows[1:] * rows[:-1])) + tf.reduce_sum(
        tf.gather_nd(table, [[0, 1], [3, 2], [0, 1]]) ** 3
    )


def branches(x):
    if x[0] > 0:  # an error while TensorFlow traces, not in eager mode
        return tf.reduce_sum(x**3)
    return tf.reduce_prod(x)


def rosenbrock(x):
    return tf.reduce_sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def convolution(image, kernel):
    made = tf.nn.conv2d(image, kernel, 1, "SAME")
    return tf.reduce_sum(tf.nn.softplus(tf.nn.max_pool2d(made, 2, 2, "SAME")) ** 2)


def cholesky(a):
    spd = a @ tf.transpose(a) + 3 * tf.eye(3, dtype=a.dtype)
    return tf.reduce_sum(tf.linalg.cholesky(spd)) + tf.linalg.logdet(spd)


MODELS = {
    "mlp": (
        mlp,
        (
            {
                "first": {"w": array(4, 3), "b": array(3)},
                "second": {"w": array(3, 2), "b": array(2)},
            },
        ),
    ),
    "attention": (attention, (array(3, 2), array(4, 2), array(4, 3))),
    "loop": (loop, (array(5),)),
    "embedding": (embedding, (array(5, 3),)),
    "branches": (branches, (array(4),)),
    "rosenbrock": (rosenbrock, (array(6),)),
    "convolution": (convolution, (array(1, 4, 4, 2), array(2, 2, 2, 3))),
    "cholesky": (cholesky, (array(3, 3),)),
    "scalar": (lambda x: tf.exp(x) * x, (array(),)),
    "many": (lambda x: tf.reduce_sum(tf.sin(x) * tf.reverse(x, [0])) ** 2, (array(9, 8),)),
}


def by_jacobian(function, args, a, b):
    """The block of two of the arguments, as TensorFlow's users write it."""
    with tf.GradientTape(persistent=True) as second:
        second.watch([a, b])
        with tf.GradientTape() as first:
            first.watch(a)
            y = function(*args)
        slope = first.gradient(y, a, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        slope = tf.convert_to_tensor(slope)
    return second.jacobian(
        slope,
        b,
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
        experimental_use_pfor=False,
    )
