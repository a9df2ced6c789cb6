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


def test_what_is_right_is_not_suspected_and_draws_nothing_more() -> None:
    def function(x: Any) -> Any:
        return paddle.sum(paddle.tanh(x) * paddle.sum(x**2))

    x = paddle.to_tensor(np.random.default_rng(0).normal(size=SIZE))
    state = paddle.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        H = lh.hessian(function, x)
        H[...]
    assert H.cache_info().checks == 1
    assert str(paddle.get_rng_state()) == str(state)
