"""The contract of engines, kept by lazyhess's own; and that it is seen where one does not keep it."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

import lazyhess as lh
from lazyhess._engines.recorded.engine import RecordedEngine
from lazyhess.testing import check_engine
from tests.helpers import numbers, recorded

hold = partial(check_engine, np.asarray, np.sum, numpy=numbers, graph=recorded(lh.variable))


def test_the_own_engine() -> None:
    hold()


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
        ("at", lambda engine, root, xs, create_graph: engine),
    ],
)
def test_what_is_wrong_is_seen(name: str, wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RecordedEngine, name, wrong)
    with pytest.raises(AssertionError):
        hold()


def test_answers_that_are_not_ones_own_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[int, Any] = {}
    true = RecordedEngine.gradient

    def gradient(engine: Any, i: int) -> Any:
        if id(engine) not in kept:
            kept[id(engine)] = engine, true(engine, i)
        return kept[id(engine)][1]

    monkeypatch.setattr(RecordedEngine, "gradient", gradient)
    with pytest.raises(AssertionError, match="gradient after"):
        hold()
