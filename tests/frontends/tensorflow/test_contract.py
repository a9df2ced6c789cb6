"""What every engine has to do, with tensors of TensorFlow."""

import tensorflow as tf

from lazyhess.testing import check_engine


def total(x, axis=None):
    return tf.reduce_sum(x, axis)


@tf.function
def compiled(x, axis=None):
    return tf.reduce_sum(x, axis)


def test_tensors_keep_the_contract():
    check_engine(tf.constant, total)


def test_functions_that_call_compiled_ones_keep_the_contract():
    check_engine(tf.constant, compiled)


def test_variables_keep_the_contract():
    check_engine(tf.Variable, total)
