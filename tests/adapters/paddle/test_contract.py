"""The contract of engines, kept for Paddle's tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle

from lazyhess.testing import check_engine


def test_the_contract() -> None:
    def array(a: Any) -> Any:
        return paddle.to_tensor(a)

    def graph(function: Any, xs: Any) -> Any:
        made = []
        for x in xs if isinstance(xs, tuple) else (xs,):
            made.append(x.detach().clone())
            made[-1].stop_gradient = False
        return function(*made), tuple(made) if isinstance(xs, tuple) else made[0]

    def plain(a: Any) -> Any:
        return a.numpy() if isinstance(a, paddle.Tensor) else np.asarray(a)

    check_engine(array, paddle.sum, numpy=plain, graph=graph)
