"""Settings that are not of one call: where they hold, and who keeps them."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import lazyhess as lh
from lazyhess._options import current
from tests.costs import costs
from tests.helpers import same

N = 64
X = np.linspace(0.1, 1.0, N)


def f(x: Any) -> Any:
    return np.sum(np.sin(x * np.sum(x)))


def memory() -> int | None:
    return current().memory


def passes(H: Any) -> list[int]:
    """The seeds of each pass over all rows."""
    engine = H._source.engine
    return [len(ids) for ids, _ in engine.rows(0, np.arange(N), (0,))]


@pytest.mark.parametrize(
    "value, nbytes",
    [("64MB", 64_000_000), ("1 KiB", 1024), (77, 77), (np.int64(5), 5), (None, None)],
)
def test_values(value: Any, nbytes: int | None) -> None:
    assert memory() is None
    with lh.options(memory=value):
        assert memory() == nbytes
    assert memory() is None


@pytest.mark.parametrize(
    "value, kind, words",
    [
        ("much", ValueError, "memory must be bytes such as .* got 'much'"),
        (1.5, TypeError, "memory must be a number of bytes.* or None, got float 1.5"),
        (True, TypeError, "memory must be .* got bool True"),
        (-1, ValueError, "memory must not be negative, got -1"),
        (0, ValueError, "memory must be at least one byte, got 0"),
    ],
)
def test_wrong_values(value: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        lh.options(memory=value)


def test_unknown_names() -> None:
    wrong: Any = {"memroy": "64MB"}
    with pytest.raises(TypeError, match="lh.options knows memory, got memroy='64MB'"):
        lh.options(**wrong)


def test_nesting() -> None:
    outer = lh.options(memory=10)
    with outer:
        with lh.options():
            assert memory() == 10
        with lh.options(memory=20), outer:
            assert memory() == 10
            with lh.options(memory=None):
                assert memory() is None
        with outer, lh.options(memory="20"):
            assert memory() == 20
        assert memory() == 10
    assert memory() is None


def test_exceptions() -> None:
    with pytest.raises(RuntimeError, match="no"), lh.options(memory=10):
        raise RuntimeError("no")
    assert memory() is None


def test_as_a_decorator() -> None:
    @lh.options(memory=10)
    def step(turns: int) -> list[int | None]:
        return [memory(), *(step(turns - 1) if turns else [])]

    assert step(2) == [10, 10, 10]
    assert memory() is None


def test_leaving_in_another_order_and_once_too_often() -> None:
    def inside() -> Iterator[int | None]:
        with lh.options(memory=111):
            yield current().memory

    generator = inside()
    assert next(generator) == 111
    with lh.options(memory=5):
        generator.close()
        assert current().memory == 5
    assert current().memory is None
    lh.options(memory=7).__exit__(None, None, None)
    assert current().memory is None


def test_what_runs_later_is_not_decorated() -> None:
    async def task() -> None: ...

    def generator() -> Iterator[int]:
        yield 1

    for function in (task, generator):
        with pytest.raises(TypeError, match="the with inside of it"):
            lh.options(memory=7)(function)


def test_threads() -> None:
    seen: dict[int, list[int | None]] = {}
    meet = threading.Barrier(3)
    shared = lh.options(memory=99)

    def work(k: int) -> None:
        seen[k] = [memory()]
        with lh.options(memory=k):
            meet.wait(30)
            seen[k].append(memory())
            with shared:
                meet.wait(30)
                seen[k].append(memory())
            meet.wait(30)
            seen[k].append(memory())
        seen[k].append(memory())

    with lh.options(memory=7):
        threads = [threading.Thread(target=work, args=(k,)) for k in (1, 2, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert memory() == 7
    for k, (before, *values) in seen.items():
        assert values == [k, 99, k, before]


def test_tasks() -> None:
    async def work(k: int, turn: Callable[[], Any]) -> list[int | None]:
        values = [memory()]
        with lh.options(memory=k):
            await turn()
            values.append(memory())
        await turn()
        return [*values, memory()]

    async def both() -> Any:
        meet = asyncio.Barrier(2)
        return await asyncio.gather(*(work(k, meet.wait) for k in (1, 2)))

    with lh.options(memory=7):
        assert asyncio.run(both()) == [[7, 1, 7], [7, 2, 7]]


def test_passes_have_that_size() -> None:
    with costs(small=0, pass_bytes=1 << 23):
        usual = passes(lh.hessian(f, X))
        with lh.options(memory=1 << 14):
            few = passes(lh.hessian(f, X))
        with lh.options(memory=1):
            one = passes(lh.hessian(f, X))
    assert sum(usual) == sum(few) == sum(one) == N
    assert len(usual) < len(few) < len(one)
    assert max(one[1:]) == 1  # the first tells how much a seed takes
    with lh.options(memory=1):
        assert max(passes(lh.hessian(f, X, block_size=16))) == 16


def test_products_in_passes_of_that_size() -> None:
    vectors = np.ones((N, 40))
    want = lh.hessian(f, X) @ vectors
    with lh.options(memory=4000):
        same(lh.hessian(f, X) @ vectors, want)


@pytest.mark.parametrize("decided", [False, True])
def test_a_hessian_keeps_those_of_its_creation(decided: bool) -> None:
    def g(x: Any) -> Any:
        return f(x) if not decided or x[0] > 0 else f(-x)

    with lh.options(memory=1):
        H = lh.hessian(g, X)
    with lh.options(memory="1GB"):
        others = [H, H.at(X / 2), H.at(X / 2).at(X), copy.copy(H), copy.deepcopy(H)]
        others.append(pickle.loads(pickle.dumps(H)))
        same(H.at(X / 2)[...], lh.hessian(f, X / 2)[...])
        assert len(passes(lh.hessian(f, X))) == 1
    for other in others:
        assert other._source.engine.memory == 1
        assert len(passes(other)) > 1


def test_samples_that_share_an_x() -> None:
    def h(x: Any, w: Any) -> Any:
        return np.sin(x @ w) * np.sum(w)

    data = (np.ones((3, N)), X)
    with lh.options(memory=1):
        H = lh.hessian(h, data, (0, None))
    assert H[1][1]._source.engine.inner.memory == 1
    same(H[1][1][...], lh.hessian(h, data, (0, None))[1][1][...])
