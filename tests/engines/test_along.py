"""Which blocks come along: those by which a pass hardly grows."""

from __future__ import annotations

import pickle
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import lazyhess as lh
from lazyhess._engines.along import SHARE, ReachTable
from lazyhess._engines.recorded.prepared import reach
from tests.costs import costs
from tests.helpers import same


def work(sizes: list[int], values: dict[int, int], i: int, columns: set[int]) -> int:
    """Elements that a product from x_i passes through, seen by some columns."""
    every = [(1 << k, size) for k, size in enumerate(sizes)] + list(values.items())
    back = sum(size for xs, size in every if any(xs >> k & 1 for k in columns))
    return back + sum(size for xs, size in every if xs >> i & 1)


@pytest.mark.parametrize("calls", [0, 40])
@pytest.mark.parametrize("seed", range(20))
def test_a_pass_grows_by_at_most_a_quarter_and_no_more_fits(seed: int, calls: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 7))
    sizes = rng.integers(0, 30, n).tolist()
    values = {int(xs): int(rng.integers(0, 60)) for xs in rng.integers(1, 1 << n, 8)}
    never = set(rng.choice(n, n // 4, replace=False).tolist())
    with costs(calls=calls):
        table = ReachTable(sizes, values, never)
        for i in range(n):
            for j in range(n):
                columns = table.along(i, j)
                assert columns == tuple(sorted(columns))
                assert j not in columns
                assert not never & set(columns)
                most = (1 + SHARE) * (calls + work(sizes, values, i, {j}))
                taken = {j, *columns}
                assert calls + work(sizes, values, i, taken) <= most
                for k in set(range(n)) - never - taken:
                    assert calls + work(sizes, values, i, {*taken, k}) > most


def test_where_nothing_is_told_only_what_is_small_beside_the_calls_comes_along() -> None:
    with costs(calls=40):
        table = ReachTable([1000, 3, 7, 4, 0], None)
        assert table.along(0, 0) == (1, 3, 4)
        assert table.along(2, 2) == (1, 3, 4)
    with costs(calls=0):
        assert ReachTable([1000, 3, 0], None).along(0, 0) == (2,)


def layers(*ps: Any) -> Any:
    h = np.ones((60, 4))
    for w in ps:
        h = np.tanh(h @ w)
    return np.sum(h)


def parameters(width: int = 40, depth: int = 4) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    sizes = [4, *[width] * (depth - 1), 2]
    return tuple(rng.normal(size=pair) for pair in pairwise(sizes))


def test_who_reaches_what() -> None:
    a, b, c = (lh.variable(np.ones(n)) for n in (2, 3, 5))
    first = np.sin(a)
    y = np.sum(np.sum(first) * b) + np.sum(np.cos(b))
    assert reach(y, [a, b, c]) == {0b001: 2 + 1, 0b010: 3 + 1, 0b011: 3 + 1 + 1}
    # An intermediate is an x of its own, and what it is computed from reaches through it.
    assert reach(y, [first, b]) == {0b01: 1, 0b10: 3 + 1, 0b11: 3 + 1 + 1}
    assert reach(y, [a, first]) == {0b11: 1 + 3 + 1 + 1}
    assert reach(np.sum(first), [a, a]) == {0b11: 2 + 1}


def test_the_last_layer_comes_alone() -> None:
    xs = parameters()
    H = lh.hessian(layers, xs)
    last = len(xs) - 1
    assert np.asarray(H[last][last]).shape == (40, 2, 40, 2)
    assert H[last][last].cache_info().rows == 80  # of one block
    assert H[last][last].cache_info().products == 80
    H[0][0][0, 0]  # through all layers, and so seen by all
    assert H[0][0].cache_info().rows == 80 + len(xs)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("options", [{}, {"reduction": "none"}, {"create_graph": True}])
def test_blocks_are_the_same_in_any_order(options: dict[str, Any], reverse: bool) -> None:
    xs = parameters(3, 3)
    with costs(calls=0):
        H = lh.hessian(lambda *ps: layers(*ps) ** 2, xs, **options)
        order = [(i, j) for i in range(3) for j in range(3)]
        got = {(i, j): H[i][j][...] for i, j in (order[::-1] if reverse else order)}
    with costs(calls=1 << 30):
        want = lh.hessian(lambda *ps: layers(*ps) ** 2, xs, **options)
        for i, j in order:
            same(got[i, j], want[i][j][...])


def test_an_x_with_the_batch_axis_never_comes_along() -> None:
    rng = np.random.default_rng(0)
    X, Y, w = rng.normal(size=(5, 3)), rng.normal(size=(5, 2)), rng.normal(size=(3, 2))

    def f(X: Any, Y: Any, w: Any) -> Any:
        return np.sum((np.tanh(X @ w) - Y) ** 2, axis=1)

    H = lh.hessian(f, (X, Y, w), (0, 0, None))
    for i in range(3):
        for j in range(3):
            engine = pickle.loads(pickle.dumps(H[i][j]))._source.engine
            assert set(engine.along(i, j)) <= {2} - {j}
    H[2][0][0, 0, 0]
    assert H[2][0].cache_info().rows == 2  # with that of (w, w)
    G = lh.hessian(lambda X, Y: np.sum(np.sin(X) * Y[:, :1] ** 2, axis=1), (X, Y), 0)
    np.asarray(G[0][0])
    assert G[0][0].cache_info().rows == 15


def test_points_share_what_tells_it() -> None:
    H = lh.hessian(layers, parameters())
    G = H[0][0].at(*(1.1 * x for x in parameters()))
    G[3][3][0, 0]
    assert G[3][3].cache_info().rows == 1
    assert G[3][3]._source.engine._reach is G[3][3].at(*parameters())[0][0]._source.engine._reach
