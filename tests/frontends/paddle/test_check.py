"""Second derivatives that rules of users get wrong are seen by the comparison."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import paddle
import pytest

import lazyhess as lh

SIZE = 20


class Square(paddle.autograd.PyLayer):
    """The square, whose backward can be differentiated again, and is wrong then."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        (x,) = ctx.saved_tensor()
        return upstream * (3 * x.detach() ** 2 + 0 * x)


def test_layers_of_users_are_suspected() -> None:
    H = lh.hessian(lambda x: paddle.sum(Square.apply(x)), paddle.ones([SIZE], "float64"))
    with pytest.warns(RuntimeWarning, match="Paddle .*suspected: .*PyLayer_Square"):
        H[...]
    assert H.cache_info()[0::6] == (SIZE, 2)


def test_what_is_right_is_not_suspected() -> None:
    x = paddle.to_tensor(np.random.default_rng(0).normal(size=SIZE))
    H = lh.hessian(lambda x: paddle.sum(paddle.tanh(x) * paddle.sum(x**2)), x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        H[...]
    assert H.cache_info().checks == 1


def test_a_random_function_is_not_compared_and_draws_nothing_more() -> None:
    def function(x: Any) -> Any:
        return paddle.sum(paddle.bernoulli(0.5 * paddle.ones_like(x)) * x**3)

    x = paddle.ones([60], "float64")
    paddle.seed(0)
    function(x)
    after = paddle.rand([3]).numpy()
    paddle.seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lh.hessian(function, x)[...]
    np.testing.assert_array_equal(paddle.rand([3]).numpy(), after)
