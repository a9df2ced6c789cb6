"""The contract of engines, kept by lazyhess's own; and that it is seen where one does not keep it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lazyhess as lh
from lazyhess._engines.recorded.engine import RecordedEngine
from lazyhess.testing import check_engine


def graph(function: Any, xs: Any) -> Any:
    if not isinstance(xs, tuple):
        x = lh.variable(xs)
        return function(x), x
    variables = tuple(map(lh.variable, xs))
    return function(*variables), variables


def plain(x: Any) -> Any:
    return x.value if isinstance(x, lh.Variable) else np.asarray(x)


def check() -> None:
    check_engine(np.asarray, np.sum, numpy=plain, graph=graph)


def test_the_own_engine() -> None:
    check()


def wrong_products(engine: Any, i: int, rows: Any) -> int:
    return len(rows) + 1


def wrong_gradient(engine: Any, i: int) -> Any:
    return engine.linearization().gradient(i) * 1.001


def wrong_interacting(engine: Any) -> None:
    return None


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("products", wrong_products),
        ("gradient", wrong_gradient),
        ("interacting", wrong_interacting),
        ("value", lambda engine: 0.0),
        ("at", lambda engine, values: engine),
    ],
)
def test_what_is_wrong_is_seen(name: str, wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RecordedEngine, name, wrong)
    with pytest.raises(AssertionError):
        check()


def test_answers_that_are_not_ones_own_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[int, Any] = {}
    true = RecordedEngine.gradient

    def gradient(engine: Any, i: int) -> Any:
        if id(engine) not in kept:
            kept[id(engine)] = engine, true(engine, i)
        return kept[id(engine)][1]

    monkeypatch.setattr(RecordedEngine, "gradient", gradient)
    with pytest.raises(AssertionError, match="gradient after"):
        check()
