"""NumPy is one front end among five: what `hessian` and `gradient` get of it."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import lazyhess as lh
from lazyhess import _api
from lazyhess._frontends import front_end_of
from lazyhess._frontends.numpy import FRONT_END
from lazyhess._frontends.request import Request


def cubes(x: Any) -> Any:
    return np.sum(x**3)


@pytest.mark.parametrize(
    "xs", [1.0, np.ones(2), lh.variable(1.0), [1.0, {"a": (np.ones(2),)}], (), None, "text"]
)
def test_what_belongs_to_no_framework_is_of_numpy(xs: Any) -> None:
    assert front_end_of(cubes, xs) is FRONT_END


def test_another_front_end_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """`hessian` and `gradient` hand on what they are given, and know no front end."""
    requests: list[Request] = []

    class Squares:
        def problem(self, request: Request) -> Any:
            requests.append(request)
            return FRONT_END.problem(replace(request, ys=lambda x: (np.sum(x**2), "aux")))

        def gradient(self, request: Request) -> Any:
            requests.append(request)
            return FRONT_END.gradient(replace(request, ys=lambda x: (np.sum(x**2), "aux")))

    monkeypatch.setattr(_api, "front_end_of", lambda *trees: Squares())
    x = np.ones(2)
    H, aux = lh.hessian(cubes, x, has_aux=True, block_size=1)
    np.testing.assert_array_equal(H, 2 * np.eye(2))
    assert aux == "aux"
    gradient, aux = lh.gradient(cubes, x, has_aux=True, strict=True)
    np.testing.assert_array_equal(gradient, 2 * x)
    assert aux == "aux"
    assert requests == [
        Request(cubes, x, has_aux=True, block_size=1),
        Request(cubes, x, has_aux=True, strict=True),
    ]


def test_no_framework_is_imported() -> None:
    code = (
        "import sys, numpy as np, lazyhess as lh\n"
        "lh.hessian(lambda x: np.sum(x**2), np.ones(2))[0]\n"
        "lh.gradient(lambda x: np.sum(x**2), np.ones(2))\n"
        "known = [name for name in sys.modules if name.startswith('lazyhess._frontends')]\n"
        "print(*sorted(name.removeprefix('lazyhess._frontends').strip('.') for name in known))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["base", "numpy", "request"]


def test_a_graph_is_evaluated_again_and_a_function_only_where_values_decide() -> None:
    calls: list[Any] = []

    def sums(x: Any) -> Any:
        calls.append(x)
        return np.sum(x**3)

    def sorted_sums(x: Any) -> Any:
        calls.append(x)
        return np.sum(np.sort(x)[1:] ** 3)

    problem = FRONT_END.problem(Request(sums, np.ones(2)))
    assert problem.at(np.zeros(2)).at(2 * np.ones(2)).engine.value() == 16
    assert len(calls) == 1
    problem = FRONT_END.problem(Request(sorted_sums, np.ones(2)))
    assert problem.at(np.array([3.0, 2.0])).at(np.array([1.0, 2.0])).engine.value() == 8
    assert len(calls) == 4


def test_strict_holds_at_another_point() -> None:
    """As in every front end: where the function is called again, it is asked again."""

    def function(a: Any, b: Any) -> Any:
        return np.sum(a**2 * b) if a.value[0] > 0 else np.sum(a**2)

    xs = np.ones(2), np.ones(2)
    assert lh.hessian(function, xs)[0][1].at(-xs[0], xs[1])[0][1][0, 0] == 0
    H = lh.hessian(function, xs, strict=True)[0][1]
    assert H.at(3 * xs[0], xs[1])[0][1][0, 0] == 6
    with pytest.raises(ValueError, match=r"does not depend on xs\[1\] .*strict=True asks for it"):
        H.at(-xs[0], xs[1])


def test_a_problem_pickles_without_the_function() -> None:
    request = Request(lambda xs: cubes(xs["a"]), ({"a": np.ones(2)},))
    problem = FRONT_END.problem(request)
    assert problem.again is not None
    problem = pickle.loads(pickle.dumps(problem))
    assert problem.again is None
    moved = problem.at(({"a": np.array([1.0, 2.0])},))
    assert moved.for_each_x(lambda i: i) == ({"a": 0},)
    np.testing.assert_array_equal(moved.engine.gradient(0), [3.0, 12.0])


def test_aux_is_not_kept() -> None:
    """Nor does it have to pickle."""

    class Aux:
        pass

    H, aux = lh.hessian(lambda x: (cubes(x), Aux()), np.ones(2), has_aux=True)
    held = weakref.ref(aux)
    del aux
    gc.collect()
    assert held() is None
    H, _ = lh.hessian(lambda x: (cubes(x), lambda: None), np.ones(2), has_aux=True)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(H)).diagonal(), [6.0, 6.0])


def test_values_in_another_structure_are_refused() -> None:
    problem = FRONT_END.problem(Request(lambda a, b: cubes(a) * cubes(b["c"]), (1.0, {"c": 1.0})))
    for new, words in [
        ((1.0,), "xs has 2 items, got tuple with 1 of them"),
        ((1.0, 2.0), r"xs\[1\] has keys \['c'\], got float with one value"),
        ((1.0, {"c": [1.0, 2.0]}), r"dtype float64 for xs\[1\]\['c'\], got shape \(2,\)"),
    ]:
        with pytest.raises(ValueError, match=words):
            problem.at(new)


def test_a_hessian_shares_the_linearization_of_a_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    x = lh.variable(np.ones(3))
    y = cubes(x)
    lh.gradient(y, x)
    monkeypatch.setattr("lazyhess._engines.recorded.prepared.Linearization", None)
    np.testing.assert_array_equal(lh.hessian(y, x).diagonal(), [6.0, 6.0, 6.0])
