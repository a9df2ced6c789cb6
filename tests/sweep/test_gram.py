"""Whole symmetric matrices: half of them computed, by sweeps that are cut or a rank-k update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lazyhess as lh
from lazyhess._engines.recorded.engine import RecordedEngine
from lazyhess._engines.recorded.passes import SymmetricRows

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 40))
W = RNG.normal(size=(40, 3))
v, b = RNG.normal(size=40), RNG.normal(size=1)


def softmax(W: Any) -> Any:
    z = X @ W
    return np.sum(np.log(np.sum(np.exp(z), axis=1)) - z[:, 0])


def network(W: Any, c: Any) -> Any:
    return np.sum(np.sin(np.tanh(X @ W + c) @ RNG_SQUARE) ** 2) + np.sum(W**3)


RNG_SQUARE = RNG.normal(size=(3, 5))


def of_slices(flat: Any) -> Any:
    """A network whose matrices are pieces of one vector; the second one is transposed."""
    first, c = flat[5:125].reshape(40, 3), flat[125:128]
    second, third = flat[128:143].reshape(5, 3), flat[143:173].reshape(2, 5, 3)[1]
    h = np.tanh(X @ first + c)
    return np.sum(np.sin(h @ second.T) * np.tanh(h @ third.T)) + flat[0] * np.sum(flat**2)


def of_lapping_slices(flat: Any) -> Any:
    return np.sum(np.tanh(X @ flat[:120].reshape(40, 3)) * np.sin(X @ flat[30:150].reshape(40, 3)))


# Name -> function, xs, and whether one rank-k update gives the block (0, 0).
CASES: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...], bool]] = {
    "positive": (lambda v: np.sum(np.logaddexp(0, X @ v)), (v,), True),
    "negative": (lambda v: -np.sum(np.exp(X @ v / 9)), (v,), True),
    "both signs": (lambda v: np.sum(np.sin(X @ v)), (v,), True),
    "bias": (lambda v, b: np.sum(np.sin(X @ v + b)), (v, b), True),
    "float32": (
        lambda v: np.sum(np.sin(X.astype(np.float32) @ v)),
        (v.astype(np.float32),),
        True,
    ),
    "two curvatures": (lambda v: np.sum(np.sin(X @ v)) + np.sum(v**3), (v,), True),
    "two products": (lambda v: np.sum(np.sin(X @ v)) + np.sum(np.exp(X[:9] @ v)), (v,), True),
    "regularized": (lambda v: np.sum(np.sin(X @ v)) + v @ v + np.sum(v) ** 2, (v,), True),
    "used twice": (lambda v: np.sum(np.sin(X @ v) * (X[::-1] @ v)), (v,), False),
    "softmax": (softmax, (W,), False),
    "network": (network, (W, W[0]), False),
    "slices": (of_slices, (RNG.normal(size=180) / 9,), False),
    "lapping slices": (of_lapping_slices, (RNG.normal(size=150) / 9,), False),
    "few samples": (lambda v: np.sum(np.sin(X[:3] @ v)), (v,), True),
}


@pytest.mark.parametrize("block_size", [None, 1, 7, 16])
@pytest.mark.parametrize("name", CASES)
def test_whole_matrices_are_their_rows(name: str, block_size: int | None) -> None:
    function, xs, _ = CASES[name]
    H = lh.hessian(function, xs, block_size=block_size)
    by_row = lh.hessian(function, xs)
    scale = max(np.abs(np.asarray(by_row[0][0][:1])).max(), 1)
    tolerance = (1e-12 if xs[0].dtype == np.float64 else 1e-4) * scale
    for i, x in enumerate(xs):
        whole = np.asarray(H[i][i])
        rows = np.stack([by_row[i][i][k] for k in np.ndindex(x.shape)]).reshape(whole.shape)
        np.testing.assert_allclose(whole, rows, rtol=0, atol=tolerance)
        matrix = whole.reshape(x.size, x.size)
        np.testing.assert_allclose(matrix, matrix.T, rtol=0, atol=tolerance)
        for j in range(len(xs)):
            np.testing.assert_allclose(H[i][j][...], by_row[i][j][...], rtol=0, atol=tolerance)
        *at, values = lh.hessian(function, xs, block_size=block_size)[i][i].tocoo()
        np.testing.assert_allclose(values, matrix[tuple(at)], rtol=0, atol=tolerance)
        assert len(values) == np.count_nonzero(rows)
    assert H[0][0].cache_info().products <= sum(x.size for x in xs)


@pytest.mark.parametrize("name", CASES)
def test_what_a_rank_k_update_is_made_for(name: str) -> None:
    function, xs, expected = CASES[name]
    variables = tuple(lh.variable(x) for x in xs)
    square = RecordedEngine(function(*variables), variables)._gram(0)
    assert (square is not None) == expected


def test_infinite_weights_take_the_sweeps() -> None:
    x = lh.variable(np.zeros(40))
    A = X.copy()
    A[3, 5] = np.inf
    with np.errstate(all="ignore"):
        y = np.sum(np.exp(-(np.abs(A) @ (x + 1))))
    assert RecordedEngine(y, (x,))._gram(0) is None


def test_half_of_the_columns_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes after the first compute (i, i) from their own rows on."""
    w = lh.variable(W)
    engine = RecordedEngine(softmax(w), (w,), block_size=30)
    computed: list[int] = []
    true = SymmetricRows.complete

    def complete(self: SymmetricRows, rows: Any) -> Any:
        computed.append(rows.shape[1])
        return true(self, rows)

    monkeypatch.setattr(SymmetricRows, "complete", complete)
    widths = [made[0].shape[1] for _, made in engine.rows(0, np.arange(W.size), (0,))]
    assert computed == [120, 90, 60, 30]
    assert widths == [120, 120, 120, 120]
    some = [made[0].shape[1] for _, made in engine.rows(0, np.arange(1, W.size), (0,))]
    assert some == [120, 120, 120, 120]
    assert len(computed) == 4


def late(w: Any) -> Any:
    """The first rows are sparse, the last dense."""
    z = np.einsum("nk,mk->nm", TALL, w) * np.arange(1.0, 81.0)
    return np.sum(z[:, :30] ** 3) + np.sum(np.sum(z[:, 30:], axis=1) ** 3)


def early(w: Any) -> Any:
    """The first rows are dense, the last sparse."""
    z = np.einsum("nk,mk->nm", TALL, w) * np.arange(1.0, 81.0)
    return np.sum(z[:, 50:] ** 3) + np.sum(np.sum(z[:, :50], axis=1) ** 3)


def pair(w: Any, v: Any) -> Any:
    """Those of (0, 0) are dense; the first ones of (0, 1) dense, the last sparse."""
    z = np.einsum("nk,mk->nm", TALL, w) * np.arange(1.0, 81.0)
    both = np.sum(v) * np.sum(w[:9] ** 2) + v @ np.reshape(w, -1) ** 2
    return np.sum(np.sum(z, axis=1) ** 3) + both


TALL = RNG.normal(size=(12, 6))
MIXED: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "late": (late, (RNG.normal(size=(80, 6)),)),
    "early": (early, (RNG.normal(size=(80, 6)),)),
    "pair": (pair, (RNG.normal(size=(80, 6)), RNG.normal(size=480))),
}


@pytest.mark.parametrize("block_size", [60, 120])
@pytest.mark.parametrize("name", MIXED)
def test_passes_of_several_kinds(name: str, block_size: int) -> None:
    function, xs = MIXED[name]
    H = lh.hessian(function, xs, block_size=block_size)
    by_row = lh.hessian(function, xs)
    for i, x in enumerate(xs):
        rows = np.stack([by_row[0][i][k] for k in np.ndindex(xs[0].shape)])
        rows = rows.reshape(xs[0].size, x.size)
        tolerance = 1e-12 * np.abs(rows).max()
        whole = np.asarray(H[0][i]).reshape(rows.shape)
        np.testing.assert_allclose(whole, rows, rtol=0, atol=tolerance)
        *at, values = lh.hessian(function, xs, block_size=block_size)[0][i].tocoo()
        np.testing.assert_allclose(values, rows[tuple(at)], rtol=0, atol=tolerance)
        assert len(values) == np.count_nonzero(rows)


@pytest.mark.parametrize("name", ["late", "early"])
def test_an_x_that_is_named_twice(name: str) -> None:
    function, (x,) = MIXED[name]
    w = lh.variable(x)
    want = np.asarray(lh.hessian(function, x, block_size=1))
    for row in lh.hessian(function(w), (w, w), block_size=120):
        for block in row:
            np.testing.assert_allclose(block, want, rtol=0, atol=1e-12 * np.abs(want).max())


def test_a_failure_keeps_what_is_done() -> None:
    """Rows that a cut pass was completed to are right, however far it came."""
    w = lh.variable(W)
    H = lh.hessian(softmax(w), w, block_size=30, cache=60 * 130 * 8)
    engine: Any = H._source.engine
    rows = engine.rows

    def failing(*args: Any) -> Any:
        for n, made in enumerate(rows(*args)):
            if n == 3:
                raise KeyboardInterrupt
            yield made

    engine.rows = failing
    with pytest.raises(KeyboardInterrupt):
        np.asarray(H)
    engine.rows = rows
    want = np.asarray(lh.hessian(softmax(w), w))
    np.testing.assert_allclose(np.asarray(H), want, rtol=0, atol=1e-12 * np.abs(want).max())
