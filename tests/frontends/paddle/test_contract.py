"""The contract of engines, kept for Paddle's tensors; and that it is seen where it is not kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import paddle
import pytest

from lazyhess._frontends.paddle.arrays import PaddleArrays
from lazyhess._frontends.paddle.products import Graph
from lazyhess.testing import check_engine
from tests.frontends.cases import CASES, Kind
from tests.helpers import numbers, recorded


def trained(x: Any) -> Any:
    x = x.detach().clone()
    x.stop_gradient = False
    return x


def shared(a: Any) -> Any:
    return np.from_dlpack(a.detach()) if isinstance(a, paddle.Tensor) else np.asarray(a)


hold = partial(check_engine, paddle.to_tensor, paddle.sum, numpy=numbers, graph=recorded(trained))


def test_the_contract() -> None:
    hold()


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
        hold()


def test_answers_that_share_memory_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Graph, "gradient", lambda self, i, output: self.recorded(output)[0][i].detach()
    )
    with pytest.raises(AssertionError, match="after"):
        hold(numpy=shared)


def test_answers_share_no_memory() -> None:
    hold(numpy=shared)


KIND = Kind(
    lambda x, dtype: paddle.to_tensor(x, dtype=dtype, stop_gradient=False),
    paddle.sum,
    lambda x: x.detach(),
    carries=True,
    unrecorded=paddle.no_grad,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_what_all_answer_alike(case: Any) -> None:
    case(KIND)
