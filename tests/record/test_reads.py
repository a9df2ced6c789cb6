"""Who asked for a value: every road from a Variable to a plain number is a read, a look none."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import lazyhess as lh
from lazyhess._record import reads
from lazyhess._record.calls import being_called, calling
from lazyhess._record.tape import value_dependent

X, ELSEWHERE = np.array([1.0, 2.0, 3.0]), np.array([2.0, 0.5, -1.0])


def plain(x: Any) -> Any:
    """A Hessian in the function, whose derivative is deliberately left out."""
    return lh.hessian(np.sum(x**3), x, create_graph=False)


# Roads from a Variable to something that no longer depends on it: each gives three numbers, x or
# what belongs to it, by a way that the record does not see.
ROADS: dict[str, Callable[[Any], Any]] = {
    "value": lambda x: x.value,
    "bool": lambda x: [float(bool(xk > 0)) for xk in x],
    "truth": lambda x: [1.0 if xk - 2 else 0.0 for xk in x],
    "comparison": lambda x: x > 1.5,
    "equality": lambda x: x == 2,
    "contains": lambda x: [float(3.0 in x), 1.0, 1.0],
    "argsort": lambda x: np.argsort(x) + 1.0,
    "argmax": lambda x: np.argmax(x) + np.ones(3),
    "astype": lambda x: x.astype(int) + 0.0,
    "where": lambda x: np.where(x > 1.5, 1.0, 2.0),
    "repr": lambda x: eval(repr(x).removeprefix("Variable")),
    "str": lambda x: eval(str(x).removeprefix("Variable")),
    "f-string": lambda x: eval(f"{x}".removeprefix("Variable")),
    "format": lambda x: [float(f"{xk:.17g}") for xk in x],
    "array_repr": lambda x: eval(np.array_repr(x).removeprefix("array")),
    "array2string": lambda x: eval(np.array2string(x, separator=",")),
    "repr in a thread": lambda x: eval(in_a_thread(repr, x).removeprefix("Variable")),
    "format in a thread": lambda x: [float(in_a_thread(format, xk, ".17g")) for xk in x],
    "value in a thread": lambda x: in_a_thread(lambda: x.value),
    "pickle": lambda x: pickle.loads(pickle.dumps(x)),
    "variable": lambda x: lh.variable(x),
    "gradient": lambda x: lh.gradient(np.sum(x**3), x, create_graph=False),
    "gradient of a function": lambda x: lh.gradient(lambda z: np.sum(z**3), x, create_graph=False),
    "entries": lambda x: [plain(x)[k, k] for k in range(3)],
    "row": lambda x: plain(x)[1],
    "array": lambda x: np.asarray(plain(x))[2],
    "product": lambda x: plain(x) @ np.ones(3),
    "left product": lambda x: np.ones(3) @ plain(x),
    "diagonal": lambda x: plain(x).diagonal(),
    "tocoo": lambda x: plain(x).tocoo()[2],
    "value of a Hessian": lambda x: plain(x).value * np.ones(3),
    "gradient of a Hessian": lambda x: plain(x).gradient(),
    "another point": lambda x: (
        lh.hessian(lambda z: np.sum(z**3), X, create_graph=False).at(x).diagonal()
    ),
    "aux": lambda x: lh.hessian(lambda z: (np.sum(z), z**2), x, create_graph=False, has_aux=True)[
        1
    ],
    "what an inner function lets out": lambda x: let_out(x),
}
# What a person sees of a graph that is recorded by hand, which decides nothing.
LOOKS = ("repr", "str", "f-string", "format", "repr in a thread", "format in a thread")


def in_a_thread(function: Callable[..., Any], *args: Any) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result()


def let_out(x: Any) -> Any:
    seen: list[Any] = []

    def inner(z: Any) -> Any:
        seen.append(z)
        return np.sum(z)

    lh.hessian(inner, x, create_graph=False)
    return seen[0]


@pytest.mark.parametrize("road", ROADS)
def test_a_function_that_took_a_road_is_called_again(road: str) -> None:
    def function(x: Any) -> Any:
        return np.sum(x**2 * ROADS[road](x))

    H = lh.hessian(function, X)
    got, want = H.at(ELSEWHERE), lh.hessian(function, ELSEWHERE)
    assert np.any(np.asarray(want) != np.asarray(lh.hessian(function, X)))  # it would be stale
    np.testing.assert_array_equal(got.value, want.value)
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(H.at(X), H)


@pytest.mark.parametrize("road", [road for road in ROADS if "inner function" not in road])
def test_by_hand_a_road_before_ys_is_a_read_and_a_look_is_none(road: str) -> None:
    x = lh.variable(X)
    weights = ROADS[road](x)
    ys = np.sum(x**2 * weights)
    H = lh.hessian(ys, x)
    if road in LOOKS:
        assert np.isfinite(H.at(ELSEWHERE)).all()
        return
    with pytest.raises(ValueError, match="somebody asked for a value"):
        H.at(ELSEWHERE)


@pytest.mark.parametrize("road", ROADS)
def test_by_hand_nothing_after_ys_is_a_read(road: str) -> None:
    x = lh.variable(X)
    ys = np.sum(x**3)
    for _ in range(2100):  # however often
        ROADS["value"](x)
    ROADS[road](x)
    H = lh.hessian(ys, x)
    ROADS[road](x)
    np.testing.assert_array_equal(H.at(ELSEWHERE), np.diag(6 * ELSEWHERE))


def test_roads_are_no_reads_for_what_is_recorded_after_them() -> None:
    z = lh.variable(X)
    for road in ROADS.values():
        road(z)
    x = lh.variable(X)
    np.testing.assert_array_equal(lh.hessian(np.sum(x**3), x).at(ELSEWHERE), np.diag(6 * ELSEWHERE))


@pytest.mark.parametrize("steps", range(6))
def test_a_read_counts_between_the_first_x_and_the_output(steps: int) -> None:
    """Of all places where it can stand in a chain."""
    x = y = lh.variable(1.0)
    chain = [x]
    for k in range(6):
        if k == steps:
            reads.note()
        y = y * 2
        chain.append(y)
    for first in range(7):
        for last in range(first, 7):
            asked = first <= steps < last
            assert value_dependent(chain[last], [chain[first]]) is asked
    assert value_dependent(chain[-1], chain[2:4]) is (steps >= 2)
    assert not value_dependent(chain[-1], [])


@pytest.mark.parametrize("read", [False, True])
def test_pickles_remember_reads(read: bool) -> None:
    x = lh.variable(X)
    ys = np.sum(x**2 * (x.value if read else x))
    x, ys = pickle.loads(pickle.dumps((x, ys)))
    H = lh.hessian(ys, x)
    if not read:
        assert H.at(ELSEWHERE).value == np.sum(ELSEWHERE**3)
        return
    with pytest.raises(ValueError, match="somebody asked for a value"):
        H.at(ELSEWHERE)


def test_reads_of_many_threads_are_none_lost() -> None:
    """A number that was given later never gives way to an earlier one."""

    def read(_: int) -> bool:
        x = lh.variable(1.0)
        for _ in range(50):
            reads.note()
        return value_dependent(x * 2, [x])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(200)))


# --- functions that are being called --------------------------------------------------------------


def test_a_function_knows_that_it_is_called() -> None:
    seen = []

    def function(x: Any) -> Any:
        seen.append(being_called())
        lh.gradient(lambda z: np.sum(z), x)
        seen.append(being_called())
        return np.sum(x * x)

    assert not being_called()
    H = lh.hessian(function, X)
    assert seen == [True, True]
    assert not being_called()
    H[0]
    lh.gradient(function, X)
    assert seen == [True] * 4
    with ThreadPoolExecutor(1) as pool, calling():
        assert being_called()
        assert not pool.submit(being_called).result()


def test_after_an_error_no_function_is_being_called() -> None:
    with pytest.raises(ZeroDivisionError), failing() as function:
        lh.hessian(function, X)
    assert not being_called()


@contextmanager
def failing() -> Iterator[Callable[[Any], Any]]:
    yield lambda x: np.sum(x) * (1 // 0)
