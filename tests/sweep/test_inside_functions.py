"""A derivative inside a function that is being called for its record is recorded."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import lazyhess as lh
from lazyhess._record.calls import INPUTS

X, ELSEWHERE = np.array([1.0, 2.0, 3.0]), np.array([2.0, 0.5, -1.0])
OUTSIDE = lh.hessian(lambda z: np.sum(z**3), np.ones(3))  # by hand


def cube(z: Any) -> Any:
    return np.sum(z**3)


def in_a_thread(function: Callable[..., Any], *args: Any) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result()


# Functions whose value is 3 * sum(x ** 3): derivatives of all kinds stand in them.
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "gradient": lambda x: np.sum(x * lh.gradient(cube(x), x)),
    "gradient of a function": lambda x: np.sum(x * lh.gradient(cube, x)),
    "gradient by several": lambda x: sum(
        np.sum(z * g)
        for z, g in zip((x[:2], x[2:]), lh.gradient(lambda a, b: cube(a) + cube(b), (x[:2], x[2:])), strict=True)
    ),
    "gradient by a closure": lambda x: np.sum(
        x * lh.gradient(lambda z: np.sum(3 * z * x**2), np.ones(3))
    ),
    "entries": lambda x: sum(x[k] ** 2 * lh.hessian(cube(x), x)[k, k] for k in range(3)) / 2,
    "rows": lambda x: sum(x[k] * (lh.hessian(cube, x)[k] @ x) for k in range(3)) / 2,
    "whole": lambda x: x @ lh.hessian(cube, x)[...] @ x / 2,
    "diagonal": lambda x: np.sum(x * x * lh.hessian(cube, x).diagonal()) / 2,
    "products": lambda x: x @ (lh.hessian(cube, x) @ x) / 2,
    "left products": lambda x: (x @ lh.hessian(cube, x)) @ x / 2,
    "operators": lambda x: np.sum(np.outer(x, x) * lh.hessian(cube, x)) / 2,
    "functions": lambda x: np.trace(lh.hessian(cube, x) * np.diag(x * x)) / 2,
    "nonzeros": lambda x: np.sum(x * x * lh.hessian(cube, x).tocoo()[2]) / 2,
    "hessian by a closure": lambda x: np.sum(
        x * x * lh.hessian(lambda z: np.sum(z * z * x), np.ones(3)).diagonal() * 3 / 2
    ),
    "batch": lambda x: np.sum(x * x * lh.hessian(lambda z: z**3, x, 0)) / 2,
    "shared": lambda x: 3 * np.sum(
        lh.hessian(lambda z, w: z**3 * w**2 / 2, (x, np.ones(())), (0, None))[1][1][...]
    ),
    "none": lambda x: np.sum(x * lh.hessian(lambda z: z**3, x, reduction="none").gradient()),
    "value": lambda x: 3 * lh.hessian(cube, x).value,
    "gradient of a Hessian": lambda x: np.sum(x * lh.hessian(cube, x).gradient()),
    "another point": lambda x: np.sum(x * lh.hessian(cube, np.ones(3)).at(x).gradient()),
    "from outside": lambda x: np.sum(x * OUTSIDE.at(x).gradient()),
    "aux": lambda x: 3 * np.sum(lh.hessian(lambda z: (cube(z), z**3), x, has_aux=True)[1]),
    "aux of a gradient": lambda x: 3 * lh.gradient(lambda z: (np.sum(z), cube(z)), x, has_aux=True)[1],
    "twice": lambda x: np.sum(x * lh.gradient(lambda y: np.sum(y * lh.gradient(cube, y)) / 3, x)),
    "sorted": lambda x: np.sum(x * lh.gradient(lambda z: np.sum(np.sort(z) ** 3), x)),
    "in a thread": lambda x: np.sum(x * in_a_thread(lambda: lh.gradient(cube, x))),
    "of what was recorded, in a thread": lambda x: np.sum(
        x * in_a_thread(lambda y: lh.gradient(y, x), cube(x))
    ),
    "by a closure, in a thread": lambda x: np.sum(
        x * in_a_thread(lambda: lh.gradient(lambda z: np.sum(3 * z * x**2), np.ones(3)))
    ),
    "another point, in a thread": lambda x: np.sum(
        x * in_a_thread(lambda: OUTSIDE.at(x).gradient())
    ),
    "aux, in a thread": lambda x: 3 * np.sum(
        in_a_thread(lambda: lh.hessian(lambda z: (cube(z), z**3), x, has_aux=True))[1]
    ),
    "loop": lambda x: sum(x[k] * lh.gradient(lambda z: z * z * z, x[k]) for k in range(3)),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_are_recorded(name: str) -> None:
    function = FUNCTIONS[name]
    H = lh.hessian(function, X)
    np.testing.assert_allclose(H.value, 3 * np.sum(X**3))
    np.testing.assert_allclose(H[...], np.diag(18 * X), atol=1e-12)
    np.testing.assert_allclose(lh.gradient(function, X), 9 * X**2)
    there = H.at(ELSEWHERE)
    np.testing.assert_allclose(there.value, 3 * np.sum(ELSEWHERE**3))
    np.testing.assert_allclose(there, np.diag(18 * ELSEWHERE), atol=1e-12)
    np.testing.assert_allclose(there.gradient(), 9 * ELSEWHERE**2)


def test_false_is_the_deliberate_detachment() -> None:
    def function(x: Any) -> Any:
        plain = lh.gradient(cube(x), x, create_graph=False)
        H, aux = lh.hessian(lambda z: (cube(z), z * 2), x, create_graph=False, has_aux=True)
        for answer in (plain, aux, H[0], H[0, 0], H @ plain, H.gradient(), H.value):
            assert not isinstance(answer, lh.Variable)
        return np.sum(x**2 * plain)

    H = lh.hessian(function, X)
    np.testing.assert_allclose(H, np.diag(6 * X**2))
    np.testing.assert_allclose(H.at(ELSEWHERE), np.diag(6 * ELSEWHERE**2))


def test_by_hand_the_default_is_a_plain_array() -> None:
    x = lh.variable(X)
    y = cube(x)
    for H in (lh.hessian(y, x), lh.hessian(cube, x), lh.hessian(cube, X).at(x)):
        for answer in (H[0], H @ X, H.gradient(), H.diagonal()):
            assert type(answer) is np.ndarray
    for ys in (y, cube):
        assert type(lh.gradient(ys, x)) is np.ndarray
        assert type(lh.gradient(ys, x, create_graph=False)) is np.ndarray
        assert type(lh.gradient(ys, x, create_graph=True)) is lh.Variable
    assert type(lh.hessian(lambda x: (cube(x), x), x, has_aux=True)[1]) is np.ndarray


def test_what_reaches_nothing_outside_is_plain() -> None:
    """There is nothing to be detached from, and code that wants numbers keeps working."""
    w = lh.variable(np.ones(3))  # recorded by hand, and differentiated by later
    answers = []

    def function(x: Any) -> Any:
        answers.append(lh.gradient(cube, np.ones(3)))
        answers.append(lh.hessian(cube, np.ones(3))[0])
        step = float(lh.hessian(cube, np.ones(3))[0, 0])
        answers.append(lh.gradient(lambda z: np.sum(z * w**2), np.ones(3)))
        return step * cube(x) * np.sum(answers[-1])

    y = function(lh.variable(X))
    assert [type(answer) for answer in answers] == [np.ndarray] * 3
    answers.clear()
    lh.hessian(function, X)
    assert [type(answer) for answer in answers] == [np.ndarray, np.ndarray, lh.Variable]
    assert type(y) is lh.Variable
    mixed = lh.gradient(function, X, create_graph=True)
    np.testing.assert_allclose(lh.gradient(np.sum(mixed), w), 6 * np.sum(3 * X**2) * 2)


def test_by_hand_beside_a_function_that_is_being_called() -> None:
    """In another thread, of what has nothing to do with it: plain, as ever."""

    def function(x: Any) -> Any:
        w = lh.variable(X)
        answers = in_a_thread(lambda: (lh.gradient(cube(w), w), lh.hessian(cube, X)[0]))
        assert [type(answer) for answer in answers] == [np.ndarray] * 2
        return cube(x)

    lh.hessian(function, X)
    assert not INPUTS


def test_conversions_inside_are_refused() -> None:
    for convert in (np.asarray, lambda H: float(H[0, 0]), lambda H: H[0].tolist(), lambda H: H[0, 0].item()):  # fmt: skip
        with pytest.raises(TypeError, match=r"\.value"):
            lh.hessian(lambda x, c=convert: np.sum(x * c(lh.hessian(cube, x))), X)


def test_a_hessian_made_inside_answers_as_where_it_is_asked() -> None:
    """Moved to another point outside of the function, its answers are plain again."""
    kept = []

    def function(x: Any) -> Any:
        kept.append(lh.hessian(cube, x))
        return np.sum(x * kept[-1].gradient())

    lh.hessian(function, X)
    assert type(kept[-1][0]) is lh.Variable
    assert type(kept[-1].at(ELSEWHERE)[0]) is np.ndarray
    np.testing.assert_array_equal(kept[-1].at(ELSEWHERE).diagonal(), 6 * ELSEWHERE)


def test_newton_inside_a_function() -> None:
    """Two steps of Newton's method, differentiated by what they solve for."""

    def root(a: Any) -> Any:
        x = np.full(3, 1.5)
        for _ in range(6):  # x ** 2 = a, as the minimum of x ** 3 / 3 - a x
            H = lh.hessian(lambda x: np.sum(x**3 / 3 - a * x), x)
            x = x - np.linalg.solve(H, H.gradient())
        return np.sum(x)

    H = lh.hessian(root, X)
    np.testing.assert_allclose(H.value, np.sum(np.sqrt(X)))
    np.testing.assert_allclose(H.gradient(), X**-0.5 / 2)
    np.testing.assert_allclose(H, np.diag(-(X**-1.5) / 4), atol=1e-12)
    np.testing.assert_allclose(H.at(2 * X), np.diag(-((2 * X) ** -1.5) / 4), atol=1e-12)
