"""The Hessian at another point: as if worked out anew, without working out structure anew."""

from __future__ import annotations

import gc
import pickle
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lazyhess as lh
from lazyhess._engines.recorded.pattern_cache import PatternCache
from lazyhess._tangents import Pattern
from tests.costs import costs
from tests.helpers import leaves, same

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 4))
EDGES = RNG.integers(0, 3000, (2, 4000))


def network(p: Any) -> Any:
    return np.sum(np.tanh(X @ p["w"] + p["b"]) ** 3)


def springs(x: Any) -> Any:
    return np.sum(np.sqrt(1 + (x[EDGES[0]] - x[EDGES[1]]) ** 2))


# Name -> function, xs, and how `hessian` is asked.
CASES: dict[str, tuple[Callable[..., Any], Any, dict[str, Any]]] = {
    "sparse": (lambda x: np.sum((x[1:] - x[:-1] ** 2) ** 2), RNG.normal(size=3000), {}),
    "edges": (springs, RNG.normal(size=3000), {}),
    "several": (lambda a, b: np.sum(np.sin(a * b)), (RNG.normal(size=(2, 3)), np.ones(3)), {}),
    "pytree": (network, {"w": RNG.normal(size=(4, 2)), "b": np.zeros(2)}, {}),
    "loop": (lambda x: sum(np.sin(x[k]) * x[k + 1] for k in range(5)), RNG.normal(size=6), {}),
    "scalar": (lambda x: np.exp(x) * x, np.array(0.3), {}),
    "kinks": (lambda x: np.sum(np.maximum(x, 0) ** 3 + np.abs(x**3)), RNG.normal(size=9), {}),
    "largest": (lambda x: np.max(x**2), np.array([1.0, 2.0, -3.0]), {}),
    "where": (lambda x: np.sum(np.where(x > 0, x**3, x**2)), RNG.normal(size=9), {}),
    "sorted": (lambda x: np.sum(np.sort(x) ** 2 * np.arange(9)), RNG.normal(size=9), {}),
    "branch": (lambda x: x[0] ** 3 if x[0] > 0.5 else x[0] * x[1], np.array([0.4, 1.0]), {}),
    "linear": (lambda x: np.sum(x), np.ones(3), {}),
    "batch": (lambda x: np.sum(x**3, axis=1), RNG.normal(size=(5, 3)), {"batch_axis": 0}),
    "sum": (lambda x: [x**3, np.sin(x)], RNG.normal(size=4), {"reduction": "sum"}),
    "none": (lambda x: x**3, RNG.normal(size=4), {"reduction": "none"}),
    "float32": (lambda x: np.sum(x**3), RNG.normal(size=4).astype(np.float32), {}),
    "complex": (lambda x: np.sum(x**3), RNG.normal(size=4) + 1j, {}),
    "linalg": (lambda x: np.linalg.slogdet(np.diag(x) + 0.1)[1], np.arange(1.0, 5), {}),
    "dense": (lambda w: np.sum(np.logaddexp(0, X @ w)), RNG.normal(size=4), {}),
}


def moved(xs: Any, seed: int) -> Any:
    """New values for xs."""
    rng = np.random.default_rng(seed)
    if isinstance(xs, dict):
        return {key: moved(x, seed) for key, x in xs.items()}
    if isinstance(xs, tuple):
        return tuple(moved(x, seed) for x in xs)
    return (xs + rng.normal(size=xs.shape)).astype(xs.dtype)


def first(H: Any) -> lh.Hessian:
    """One of the blocks."""
    return leaves(H)[0]


def alike(H: Any, K: Any) -> None:
    """All blocks, the value, and the gradient by one x."""
    for got, want in zip(leaves(H), leaves(K), strict=True):
        same(got, want, 1e-5 if got.dtype == np.float32 else 1e-13, least=1)
    a, b = first(H), first(K)
    np.testing.assert_allclose(a.value, b.value, rtol=1e-6 if a.dtype == np.float32 else 1e-13)
    np.testing.assert_allclose(a.gradient(), b.gradient(), rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_another_point_is_as_anew(name: str) -> None:
    function, xs, how = CASES[name]
    H = lh.hessian(function, xs, **how)
    for seed in range(4):
        new = moved(xs, seed)
        H = first(H).at(*(new if isinstance(new, tuple) else (new,)))
        assert first(H).cache_info().products == 0
        alike(H, lh.hessian(function, new, **how))


@pytest.mark.parametrize("name", ["sparse", "several", "kinks", "batch", "none", "loop", "complex"])
def test_recorded_graphs_are_replayed(name: str) -> None:
    function, xs, how = CASES[name]
    xs = xs if isinstance(xs, tuple) else (xs,)
    variables = tuple(lh.variable(x) for x in xs)
    H = lh.hessian(function(*variables), variables, **how)
    new = moved(xs, 7)
    alike(first(H).at(*new), lh.hessian(function, new, **how))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.sum(np.where(x > 0, x**3, x)),
        lambda x: np.sum(np.sort(x) ** 2),
        lambda x: x[0] if x.value[0] > 0 else x[1],
        lambda x: x[0] if x[0] else x[1],
        lambda x: x[0] * x[1].value.item(),
        lambda x: x[0] * x.value.tolist()[1],
        lambda x: np.linalg.norm(x),
        lambda x: x[int(np.argmax(x))] ** 2,
        lambda x: x[0] ** 2 if 3.0 in x else x[1],
    ],
)
def test_what_was_decided_by_values_is_not_replayed(function: Callable[..., Any]) -> None:
    x = lh.variable(np.array([1.0, 2.0]))
    H = lh.hessian(function(x), x)
    with pytest.raises(ValueError, match="give ys as a function"):
        H.at(np.array([-1.0, 2.0]))


def test_what_is_asked_later_or_of_shapes_does_no_harm() -> None:
    x = lh.variable(np.array([1.0, 2.0]))
    y = np.sum(x**3 + np.zeros_like(x)) * np.size(x) * np.shape(x)[0]
    assert y.value.item() == 36
    assert y.value > 3
    np.testing.assert_allclose(lh.hessian(y, x).at([2.0, 3.0]), np.diag([48.0, 72.0]))


def test_bad_values() -> None:
    H = lh.hessian(lambda a, b: a @ b, (np.ones(3), np.ones(3)))[0][0]
    with pytest.raises(ValueError, match="xs has 2 items, got tuple with 1 of them"):
        H.at(np.ones(3))
    with pytest.raises(ValueError, match=r"shape \(3,\) and dtype float64 for xs\[1\]"):
        H.at(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="got shape .* dtype complex128"):
        H.at(np.ones(3), np.ones(3) + 1j)
    K = lh.hessian(network, {"w": np.ones((4, 2)), "b": np.zeros(2)})["w"]["b"]
    with pytest.raises(ValueError, match=r"xs has keys \['w', 'b'\], got dict with 2 of them"):
        K.at({"w": np.ones((4, 2)), "c": np.zeros(2)})
    with pytest.raises(TypeError, match="takes one argument"):
        K.at(np.ones((4, 2)), np.zeros(2))
    assert H.at([1, 2, 3], lh.variable([1.0, 2.0, 3.0]))[0][0].value == 14


def test_an_iterator_is_taken_as_it_is_for_xs() -> None:
    def function(x: dict[str, Any]) -> Any:
        return np.sum(x["a"] ** 3) * x["b"]

    new = {"a": np.array([2.0, 3.0]), "b": np.array(5.0)}
    H = lh.hessian(function, iter({"a": np.ones(2), "b": np.array(1.0)}.items()))
    want = lh.hessian(function, new)["a"]["b"]
    np.testing.assert_array_equal(H["a"]["b"].at(iter(new.items()))["a"]["b"], want)


def test_batches_are_checked_again() -> None:
    """Where the function is called again, it may do something else."""

    def function(x: Any) -> Any:
        y = x[:, 0] ** 2
        return y if x.value[0, 0] > 0 else y[:2] if x.value[0, 1] > 0 else y * np.sum(x)

    H = lh.hessian(function, np.ones((3, 2)), 0)
    with pytest.raises(ValueError, match=r"one element for each of 3 samples, got shape \(2,\)"):
        H.at(np.array([[-1.0, 1.0]] * 3))
    with pytest.raises(ValueError, match="samples interact under batch_axis=0"):
        H.at(-np.ones((3, 2)))
    assert H.at(2 * np.ones((3, 2)))[0, 0, 0] == 2


def test_the_old_point_stays() -> None:
    x = np.array([1.0, 2.0])
    H = lh.hessian(lambda x: np.sum(x**3), x)
    H[0]
    K = H.at(2 * x)
    x[:] = 0
    np.testing.assert_array_equal(K.diagonal(), [12.0, 24.0])
    np.testing.assert_array_equal(H.diagonal(), [6.0, 12.0])
    assert H.cache_info().products == 2


def test_arguments_that_are_not_differentiated_stay() -> None:
    def function(a: Any, b: Any, c: Any) -> Any:
        return (np.sum(np.sort(a) ** 2 * b * c), "aux")

    args = np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([5.0, 6.0])
    H, aux = lh.hessian(function, args, argnums=(2, 0), has_aux=True)
    assert aux == "aux"
    K = H[0][1].at(2 * args[2], args[0][::-1])
    want = lh.hessian(function, (args[0][::-1], args[1], 2 * args[2]), argnums=(2, 0), has_aux=True)
    alike(K, want[0])
    one, _ = lh.hessian(function, args, argnums=0, has_aux=True)
    alike(one.at(3 * args[0]), lh.hessian(lambda a: function(a, *args[1:])[0], 3 * args[0]))


def test_structure_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    function, x, _ = CASES["edges"]
    H = lh.hessian(function, x)
    for seed in range(2):
        H = H.at(moved(x, seed))
        H.tocoo()
    made: list[Pattern] = []
    plain = Pattern.__init__

    def counting(self: Pattern, *args: Any, **kwargs: Any) -> None:
        made.append(self)
        plain(self, *args, **kwargs)

    monkeypatch.setattr(Pattern, "__init__", counting)
    H = H.at(moved(x, 3))
    got = H.tocoo()
    assert not made
    for a, b in zip(got, lh.hessian(function, moved(x, 3)).tocoo(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    assert made
    got[1][:] = 0  # is the caller's own
    assert np.any(H.at(x).tocoo()[1])


def test_masks_that_change_do_not_pile_up() -> None:
    x = RNG.normal(size=5000)
    H = lh.hessian(lambda x: np.sum(np.maximum(x[1:], 0) ** 2 * x[:-1] ** 2), x)
    sizes = []
    for _ in range(30):
        H = H.at(RNG.normal(size=5000))
        H.tocoo()
        engine: Any = H._source.engine
        sizes.append(sum(w for _, w, _ in engine._pattern_cache._patterns.values()))
    assert sizes[-1] < 1.5 * max(sizes[:15])


def test_threads_share_structure() -> None:
    """What one thread drops while another looks is no error, and no wrong number."""
    with costs(pattern_bytes=1 << 12):
        cache = PatternCache()
    errors: list[BaseException] = []

    def use(i: int) -> None:
        try:
            for k in range(2000):
                ids = np.arange(k % 7, k % 7 + 20)
                seeds = cache.seeds(i, ids, (50,), np.dtype(float))
                np.testing.assert_array_equal(seeds.pattern.pos, ids)
                cache.keep(i, ids, seeds.pattern)
        except BaseException as error:
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=use, args=(i,)) for i in range(4)]
        with costs(pattern_bytes=1 << 12):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not errors


def test_old_points_are_let_go() -> None:
    H = lh.hessian(lambda x: np.sum(x[1:] ** 2 * x[:-1]), np.ones(50))
    gc.disable()
    try:
        for k in range(3):
            old = weakref.ref(H._source.engine.root)
            H = H.at(np.full(50, float(k)))
            np.asarray(H)
            assert old() is None
    finally:
        gc.enable()


def test_pickles_keep_the_graph_and_not_the_function() -> None:
    x = np.array([1.0, 2.0])
    H = pickle.loads(pickle.dumps(lh.hessian(lambda x: np.sum(x**3), x)))
    np.testing.assert_array_equal(H.at(2 * x).diagonal(), [12.0, 24.0])
    H = pickle.loads(pickle.dumps(H.at(x)))  # with the structure that is kept for other points
    np.testing.assert_array_equal(H.at(2 * x).diagonal(), [12.0, 24.0])
    H = pickle.loads(pickle.dumps(lh.hessian(lambda x: np.sum(np.sort(x) ** 3), x)))
    with pytest.raises(ValueError, match="give ys as a function"):
        H.at(2 * x)


def test_with_a_graph() -> None:
    x = lh.variable(np.array([1.0, 2.0]))
    H = lh.hessian(lambda x: np.sum(x**3), x, create_graph=True)
    assert isinstance(H.value, lh.Variable)
    assert isinstance(H.gradient(), lh.Variable)
    K = H.at(2 * x)
    np.testing.assert_array_equal(lh.gradient(np.trace(K), x), [12.0, 12.0])
    x = lh.variable(np.array([1.0, 2.0]))
    H = lh.hessian(np.sum(x**3), x, create_graph=True)
    np.testing.assert_array_equal(lh.gradient(np.trace(H.at(2 * x)), x), [12.0, 12.0])
    np.testing.assert_array_equal(np.diagonal(H.at([3.0, 4.0])).value, [18.0, 24.0])
