"""Every error says what was needed, what came, and the way out."""

import re

import pytest
import tensorflow as tf

import lazyhess as lh

X = tf.constant([1.0, 2.0, 3.0])
W = tf.Variable([1.0, 2.0])


def cube(x):
    return tf.reduce_sum(x**3)


CASES = {
    "an eager tensor": (
        lambda: lh.hessian(cube(X), X),
        TypeError,
        "ys must be a callable, got EagerTensor of shape () and dtype float32: a tensor of "
        "TensorFlow carries no record of how it was computed; give the function itself",
    ),
    "has_aux of a tensor": (
        lambda: lh.hessian(cube(X), X, has_aux=True),
        TypeError,
        "has_aux is for a callable ys",
    ),
    "integers": (
        lambda: lh.hessian(cube, tf.constant([1, 2])),
        TypeError,
        "xs must have a floating dtype, got EagerTensor of shape (2,) and dtype int32; tf.cast",
    ),
    "complex numbers": (
        lambda: lh.hessian(cube, {"z": tf.constant([1j])}),
        TypeError,
        "xs['z'] has dtype complex128: TensorFlow's gradients of complex tensors are no",
    ),
    "a float": (
        lambda: lh.hessian(lambda x, y: cube(x) * y, (X, 2.0)),
        TypeError,
        "xs[1] must be a tf.Tensor or tf.Variable, got float 2.0; make it with tf.constant",
    ),
    "ys is a float": (
        lambda: lh.hessian(lambda x: float(cube(x)), X),
        TypeError,
        "got float 36.0, which is no tf.Tensor: it is a constant, or was detached on the way",
    ),
    "ys is an index": (
        lambda: lh.hessian(tf.argmax, X),
        TypeError,
        "ys must have a real floating dtype, got EagerTensor of shape () and dtype int64",
    ),
    "several elements": (
        lambda: lh.hessian(lambda x: x**2, X),
        ValueError,
        "ys must have one element, got shape (3,); the ways out:",
    ),
    "no dependence": (
        lambda: lh.hessian(lambda x, w: cube(x), (X, W), strict=True),
        ValueError,
        "ys does not depend on xs[1] (shape (2,)), and strict=True asks for it",
    ),
    "argnums": (
        lambda: lh.hessian(cube, X, argnums=1),
        ValueError,
        "argnums 1 is out of range for 1 arguments",
    ),
    "Variables that are not read": (
        lambda: lh.hessian(lambda: cube(X), W),
        ValueError,
        "ys needs no arguments, so it was called without any, and it reads none of the Variables",
    ),
    "no tape": (
        lambda: lh.hessian(cube, X, create_graph=True),
        RuntimeError,
        "create_graph=True needs a tape of your own that records the answers, and none is open",
    ),
    "samples that interact": (
        lambda: lh.hessian(lambda X: tf.nn.softmax(X, 0)[:, 0] ** 2, tf.ones((3, 2)), 0),
        ValueError,
        "samples interact under batch_axis=0",
    ),
    "bfloat16 in samples": (
        lambda: lh.hessian(lambda x: x**2, tf.cast(X, tf.bfloat16), 0),
        TypeError,
        "batch_axis does not know bfloat16",
    ),
    "no second derivative": (
        lambda: lh.hessian(lambda x: cube(tf.nn.lrn(tf.reshape(x, (1, 1, 1, 3)))), X)[0],
        NotImplementedError,
        "TensorFlow has no derivative for an op that ys or its gradient uses (gradient registry "
        "has no entry for: LRNGrad); write that part with other ops",
    ),
    "another shape": (
        lambda: lh.hessian(cube, X).at(tf.ones(2)),
        ValueError,
        "at() needs EagerTensor of shape (3,) and dtype float32 for xs, got EagerTensor of shape "
        "(2,) and dtype float32",
    ),
    "another structure": (
        lambda: lh.hessian(lambda p: cube(p["a"]), {"a": X})["a"]["a"].at({"b": X}),
        ValueError,
        """at() takes new values in the structure of xs""",
    ),
    "values for Variables": (
        lambda: lh.hessian(lambda: cube(W), W).at(tf.ones(2)),
        ValueError,
        "at() of a function without arguments takes the same Variables",
    ),
    "an empty list": (
        lambda: lh.hessian(lambda x: [], X, reduction="sum"),
        ValueError,
        "ys is empty",
    ),
    "two outputs": (
        lambda: lh.hessian(lambda x: [x, x], X, reduction="none"),
        ValueError,
        'reduction="none" takes one ys; tf.stack them',
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_messages(name):
    call, kind, words = CASES[name]
    with pytest.raises(kind, match=re.escape(words)):
        call()


def test_rows_outside_of_the_tape():
    with tf.GradientTape() as tape:
        tape.watch(X)
        H = lh.hessian(cube, X, create_graph=True)
    with pytest.raises(RuntimeError, match="none is open here"):
        H[0]


def test_inside_a_tf_function():
    @tf.function
    def samples(x):
        return lh.hessian(lambda x: x**2, x, 0)[...]

    with pytest.raises(TypeError, match="batch_axis needs values"):
        samples(X)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def unknown(x):
        return lh.hessian(cube, x)[...]

    with pytest.raises(ValueError, match="not known while TensorFlow traces"):
        unknown(X)


def test_exceptions_of_the_function_pass_through():
    class MineError(Exception):
        pass

    def fails(x):
        raise MineError("here")

    with pytest.raises(MineError, match="here"):
        lh.hessian(fails, X)
    with pytest.raises(tf.errors.InvalidArgumentError):
        lh.hessian(lambda x: cube(x @ x), tf.ones((2, 3)))


@tf.custom_gradient
def large(x):
    """The identity, whose gradient's gradient is refused memory.

    (TensorFlow itself tries for ten seconds.)
    """

    def exhausted(_):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    @tf.custom_gradient
    def backward(d):
        return tf.identity(d), exhausted

    return tf.identity(x), backward


@pytest.mark.parametrize("rows", [4, 70])
def test_what_does_not_fit_into_memory(rows):
    H = lh.hessian(lambda x: tf.reduce_sum(large(x) ** 3), tf.ones(100, tf.float64))
    with pytest.raises(MemoryError, match=r"x of shape \(100,\).*dtype float64, needs") as caught:
        H[:rows]
    assert isinstance(caught.value.__cause__, tf.errors.ResourceExhaustedError)
