"""Second derivatives that are wrong are refused by name, or seen by the comparison."""

import numpy as np
import pytest
import tensorflow as tf

import lazyhess as lh
from tests.helpers import same

SIZE = 20


def by_numpy(x):
    y = tf.numpy_function(lambda a: np.sum(a**3), [x], x.dtype)
    return tf.reduce_sum(x**2) + tf.ensure_shape(y, ())


def by_python(x):
    y = tf.py_function(lambda a: tf.reduce_sum(a**3), [x], x.dtype)
    return tf.reduce_sum(x**2) + tf.ensure_shape(y, ())


def traced_before(function):
    function = tf.function(function)
    function(tf.ones(3, tf.float64))
    return lambda x: 1.0 * function(x)


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function, traced_before])
@pytest.mark.parametrize(
    ("function", "name"), [(by_numpy, "tf.numpy_function"), (by_python, "tf.py_function")]
)
def test_python_functions(function, name, wrap):
    x = tf.ones(3, tf.float64)
    with pytest.raises(NotImplementedError, match=f"{name}, through which .*custom_gradient"):
        lh.hessian(wrap(function), x)


def test_the_first_derivative_of_a_python_function():
    x = tf.constant([1.0, 2.0], tf.float64)
    same(lh.gradient(by_python, x), 2 * x + 3 * x**2)
    with pytest.raises(NotImplementedError, match="no derivatives of tf.numpy_function"):
        lh.gradient(by_numpy, x)


def test_python_functions_of_what_is_not_differentiated():
    x, data = tf.ones(3, tf.float64), tf.ones(3, tf.float64)

    def function(x):
        weight = tf.numpy_function(lambda a: 2 * a, [data], x.dtype)
        index = tf.numpy_function(lambda a: np.argmax(a), [x], tf.int64)
        return tf.reduce_sum(weight * x**2) + tf.cast(index, x.dtype)

    same(lh.hessian(function, x)[...], tf.constant(np.diag([4.0] * 3)))
    assert float(by_numpy(x)) == 6  # outside of a call nothing is refused


@tf.custom_gradient
def cube(x):
    def back(upstream):
        return upstream * 3 * tf.stop_gradient(x) ** 2

    return x**3, back


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function])
def test_a_custom_gradient_is_suspected(wrap):
    H = lh.hessian(wrap(lambda x: tf.reduce_sum(cube(x))), tf.ones(SIZE, tf.float64))
    with pytest.warns(RuntimeWarning, match=r"TensorFlow .*suspected: .*tf\.custom_gradient"):
        H[...]
    assert H.cache_info()[0::6] == (SIZE, 2)


def test_what_changes_a_variable_is_called_once():
    count = tf.Variable(0)

    def function(x):
        count.assign_add(1)
        return tf.reduce_sum(x**3)

    lh.hessian(function, tf.ones(SIZE, tf.float64))[...]
    assert int(count) == 1
