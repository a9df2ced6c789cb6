"""The contract of engines, kept for Paddle's tensors; and that it is seen where it is not kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import pytest

from lazyhess._frontends.paddle.arrays import PaddleArrays
from lazyhess._frontends.paddle.products import Graph
from lazyhess.testing import check_engine


def graph(function: Any, xs: Any) -> Any:
    made = []
    for x in xs if isinstance(xs, tuple) else (xs,):
        made.append(x.detach().clone())
        made[-1].stop_gradient = False
    return function(*made), tuple(made) if isinstance(xs, tuple) else made[0]


def plain(a: Any) -> Any:
    return a.numpy() if isinstance(a, paddle.Tensor) else np.asarray(a)


def check() -> None:
    check_engine(paddle.to_tensor, paddle.sum, numpy=plain, graph=graph)


def test_the_contract() -> None:
    check()


def doubled(made: Any) -> Any:
    return {j: 2 * part for j, part in made.items()}


@pytest.mark.parametrize(
    ("kind", "name", "change"),
    [
        (Graph, "products", doubled),
        (Graph, "gradient", lambda made: made * 1.001),
        (Graph, "value", lambda made: made + 1),
        (Graph, "weighted", lambda made: [part * 0 for part in made]),
        (PaddleArrays, "take", lambda made: made.flip(0)),
        (PaddleArrays, "points", lambda made: made * 0),
    ],
)
def test_what_is_wrong_is_seen(
    kind: type, name: str, change: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = getattr(kind, name)
    monkeypatch.setattr(kind, name, lambda *args: change(right(*args)))
    with pytest.raises((AssertionError, ValueError)):
        check()


def test_answers_that_share_memory_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Graph, "gradient", lambda self, i, output: self.recorded(output)[0][i].detach()
    )

    def shared(a: Any) -> Any:
        return np.from_dlpack(a.detach()) if isinstance(a, paddle.Tensor) else np.asarray(a)

    with pytest.raises(AssertionError, match="after"):
        check_engine(paddle.to_tensor, paddle.sum, numpy=shared, graph=graph)


def test_answers_share_no_memory() -> None:
    def shared(a: Any) -> Any:
        return np.from_dlpack(a.detach()) if isinstance(a, paddle.Tensor) else np.asarray(a)

    check_engine(paddle.to_tensor, paddle.sum, numpy=shared, graph=graph)
