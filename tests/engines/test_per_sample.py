"""Per-sample Hessians by arrays of which the samples share some."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lazyhess as lh

rng = np.random.default_rng(31)
X, W, b = rng.normal(size=(5, 3)), rng.normal(size=(3, 2)), rng.normal(size=2)


def losses(X: Any, W: Any, b: Any) -> Any:
    return np.sum(np.tanh(X @ W + b) ** 2, axis=1) * np.sum(X * X, axis=1)


def sample(k: int, X: Any = X, W: Any = W, b: Any = b) -> Any:
    """The Hessian of one sample alone."""
    return lh.hessian(lambda x, W, b: losses(x[None], W, b)[0], (X[k], W, b))


@pytest.mark.parametrize("axes", [(0, None, None), (1, None, None), (-1, None, None)])
def test_each_sample_is_as_alone(axes: Any) -> None:
    first = axes[0] == 0
    given = X if first else X.T
    H = lh.hessian(lambda X, W, b: losses(X if first else X.T, W, b), (given, W, b), axes)
    for i, row in enumerate(((3,), (3, 2), (2,))):
        for j, column in enumerate(((3,), (3, 2), (2,))):
            assert H[i][j].shape == (5, *row, *column)
            for k in (3, 0):
                want = np.asarray(sample(k)[i][j])
                np.testing.assert_allclose(H[i][j][k], want, rtol=1e-12, atol=1e-12)
            whole = [np.asarray(sample(k)[i][j]) for k in range(5)]
            np.testing.assert_allclose(np.asarray(H[i][j]), whole, rtol=1e-12, atol=1e-12)


def test_rows_are_counted() -> None:
    H = lh.hessian(losses, (X, W, b), (0, None, None))
    np.testing.assert_allclose(H[1][1][2, 1, 0], np.asarray(sample(2)[1][1])[1, 0], rtol=1e-12)
    assert H[1][1].cache_info().products == 1
    H[1][1][2, :, :, 1, 0]  # its column
    H[1][2][2, 1, 0]  # and what came along
    H[2][1][2, :, 1, 0]
    assert H[1][1].cache_info().products == 1
    H[1][1][2]
    assert H[1][1].cache_info().products == 6


def test_all_of_them_shared() -> None:
    H = lh.hessian(lambda W, b: losses(X, W, b), (W, b), (None, None))
    np.testing.assert_allclose(H[0][1][4], np.asarray(sample(4)[1][2]), rtol=1e-12)
    one = lh.hessian(lambda W: losses(X, W, b), W, (None,))
    np.testing.assert_allclose(one[4], np.asarray(sample(4)[1][1]), rtol=1e-12)


def test_sparse_rows() -> None:
    many = rng.normal(size=(300, 40))
    w = rng.normal(size=40)

    def energies(X: Any, w: Any) -> Any:
        return np.sum((X[:, 1:] - X[:, :-1] * w[1:]) ** 4, axis=1)

    H = lh.hessian(energies, (many, w), (0, None))
    alone = lh.hessian(lambda x, w: energies(x[None], w)[0], (many[7], w))
    for i in range(2):
        for j in range(2):
            np.testing.assert_allclose(H[i][j][7], np.asarray(alone[i][j]), rtol=1e-12, atol=1e-12)


def test_products_gradients_and_other_points() -> None:
    H = lh.hessian(losses, (X, W, b), (0, None, None))
    v = rng.normal(size=2)
    for i in range(3):
        np.testing.assert_allclose(H[i][2] @ v, np.asarray(H[i][2]) @ v, rtol=1e-12)
    u = rng.normal(size=3)
    np.testing.assert_allclose(H[1][0] @ u, np.asarray(H[1][0]) @ u, rtol=1e-12, atol=1e-13)
    assert H[0][0].gradient().shape == X.shape
    slopes = H[1][1].gradient()
    assert slopes.shape == (5, *W.shape)
    np.testing.assert_allclose(slopes[2], sample(2)[1][1].gradient(), rtol=1e-12)
    moved = H[1][1].at(2 * X, W, b)
    np.testing.assert_allclose(moved[1][2][3], np.asarray(sample(3, 2 * X)[1][2]), rtol=1e-12)


def test_answers_that_can_be_differentiated() -> None:
    w = lh.variable(W)
    H = lh.hessian(losses(X, w, b), w, (None,), create_graph=True)
    third = lh.gradient(np.sum(H[2]), w)
    step = 1e-5
    ends = [np.sum(np.asarray(sample(2, W=W + s * np.eye(3, 2))[1][1])) for s in (step, -step)]
    np.testing.assert_allclose(np.trace(third[:2]), (ends[0] - ends[1]) / (2 * step), rtol=1e-6)


def test_samples_that_interact_are_refused() -> None:
    with pytest.raises(ValueError, match=r"ys\[0\] depends on samples other than its own"):
        lh.hessian(lambda X, b: losses(X, W, b) * np.sum(X), (X, b), (0, None))


def test_one_position_for_each() -> None:
    with pytest.raises(ValueError, match="gives 2 positions for 3 xs"):
        lh.hessian(losses, (X, W, b), (0, None))
    with pytest.raises(ValueError, match="one element for each of 5 samples"):
        lh.hessian(lambda X, b: np.sum(losses(X, W, b)), (X, b), (0, None))
