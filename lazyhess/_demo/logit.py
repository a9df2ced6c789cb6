"""Logistic regression by Newton's method, on the students of Spector and Mazzeo (1980)."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lazyhess as lh

Array = NDArray[np.float64]

NAMES = ("GPA", "TUCE", "PSI", "constant")
# W. H. Greene, Econometric Analysis, logit estimates for these data.
PUBLISHED = {
    "GPA": (2.826, 1.263),
    "TUCE": (0.095, 0.142),
    "PSI": (2.379, 1.065),
    "constant": (-13.021, 4.931),
}


@dataclass
class NewtonStep:
    """One step of Newton's method: what held where it began."""

    log_likelihood: float
    gradient: float  # its largest element
    products: int


@dataclass
class Fit:
    """A fitted model: estimates, their standard errors, and how they were reached."""

    coefficients: Array
    errors: Array
    steps: list[NewtonStep]

    def agrees(self) -> bool:
        """Whether all published digits are reproduced."""
        return all(
            (round(float(b), 3), round(float(e), 3)) == PUBLISHED[name]
            for name, b, e in zip(NAMES, self.coefficients, self.errors, strict=True)
        )


def load() -> tuple[Array, Array]:
    """The regressors with a constant, (32, 4), and whether the grade improved, (32,)."""
    text = files("lazyhess._demo").joinpath("spector.csv").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    table = np.array([[float(cell) for cell in line.split(",")] for line in lines[1:]])
    return np.column_stack([table[:, :3], np.ones(len(table))]), table[:, 3]


def negative_log_likelihood(coefficients: Any, regressors: Array, improved: Array) -> Any:
    """Minus the log likelihood of the logit model, in plain NumPy."""
    z = regressors @ coefficients
    return np.sum(np.logaddexp(0, z) - improved * z)


def fit(regressors: Array, improved: Array, tolerance: float = 1e-10) -> Fit:
    """Newton's method: value, gradient and Hessian of each step come from one recording."""
    coefficients = np.zeros(regressors.shape[1])
    steps: list[NewtonStep] = []
    while len(steps) < 50 and not (steps and steps[-1].gradient < tolerance):
        b = lh.variable(coefficients)
        loss = negative_log_likelihood(b, regressors, improved)
        gradient, hessian = lh.gradient(loss, b), lh.hessian(loss, b)
        information = np.asarray(hessian)
        coefficients = coefficients - np.linalg.solve(information, gradient)
        largest = float(np.abs(gradient).max())
        steps.append(NewtonStep(-loss.value.item(), largest, hessian.cache_info().products))
    errors = np.sqrt(np.diagonal(np.linalg.inv(information)))
    return Fit(coefficients, errors, steps)
