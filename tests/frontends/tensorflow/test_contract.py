"""What every engine has to do, with tensors of TensorFlow."""

import pytest
import tensorflow as tf

from lazyhess.testing import check_engine
from tests.frontends.cases import CASES, Kind


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


KIND = Kind(
    lambda x, dtype: tf.constant(x, dtype),
    tf.reduce_sum,
    tf.stop_gradient,
    mixed=tf.errors.InvalidArgumentError,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_what_all_answer_alike(case):
    case(KIND)
