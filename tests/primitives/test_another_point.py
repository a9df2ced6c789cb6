"""Models recorded by hand, at another point: their rules ask for no value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lazyhess as lh

RNG = np.random.default_rng(17)
POINTS = RNG.normal(size=(8, 2))
VALUES = RNG.normal(size=8)
STATES = RNG.normal(size=(4, 2))


def gaussian_process(lengths: Any, noise: Any) -> Any:
    """The negative log-likelihood of a squared-exponential kernel."""
    apart = (POINTS[:, None] - POINTS[None]) / lengths
    covariance = np.exp(-0.5 * np.sum(apart**2, axis=-1)) + noise**2 * np.eye(len(POINTS))
    _, logarithm = np.linalg.slogdet(covariance)
    return 0.5 * (VALUES @ np.linalg.solve(covariance, VALUES) + logarithm)


def kalman_filter(turn: Any, noise: Any) -> Any:
    """The negative log-likelihood of noisy observations of a linear recurrence."""
    mean, covariance, total = np.zeros(2), np.eye(2), 0.0
    for seen in STATES:
        mean, covariance = turn @ mean, turn @ covariance @ turn.T + 0.1 * np.eye(2)
        spread = covariance + noise**2 * np.eye(2)
        rest = seen - mean
        total = total + 0.5 * (rest @ np.linalg.solve(spread, rest) + np.linalg.slogdet(spread)[1])
        gain = np.linalg.solve(spread, covariance).T
        mean, covariance = mean + gain @ rest, covariance - gain @ covariance
    return total


MODELS = {
    "gaussian process": (gaussian_process, (np.array([1.0, 2.0]), np.array(0.3))),
    "kalman filter": (kalman_filter, (np.array([[0.9, 0.2], [-0.3, 0.8]]), np.array(0.5))),
    "largest": (lambda x, y: np.max(x * y) + np.min(x[:, None] - y) ** 2, (VALUES, VALUES[::-1])),
    "clipped": (
        lambda x, y: np.sum(np.clip(x**3, -1, 1) * np.maximum(x, y)),
        (VALUES, POINTS[0, 0]),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_graph_recorded_by_hand_at_another_point(name: str) -> None:
    function, start = MODELS[name]
    xs = tuple(lh.variable(x) for x in start)
    H = lh.hessian(function(*xs), xs)
    for factor in (1.1, 0.7, -1.3):
        new = tuple(np.asarray(x) * factor for x in start)
        got, want = H[0][0].at(*new), lh.hessian(lambda *xs: function(*xs), new)
        np.testing.assert_allclose(got[0][0].value, want[0][0].value, rtol=1e-12)
        for a, b in zip(got[0][0].gradient(), want[0][0].gradient(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)
        for i in range(2):
            for j in range(2):
                np.testing.assert_allclose(
                    np.asarray(got[i][j]), np.asarray(want[i][j]), rtol=1e-10, atol=1e-11
                )


def test_a_sign_that_is_looked_at_is_a_value_that_is_read() -> None:
    """What was decided by the sign is not decided again, so there is no other point."""
    x = lh.variable(np.diag([1.0, 2.0]))
    sign, logarithm = np.linalg.slogdet(x)
    y = logarithm if sign > 0 else -logarithm
    with pytest.raises(ValueError, match="at"):
        lh.hessian(y + np.sum(x) * 0, x).at(-x.value)
