"""The errors of elementwise rules, in units in the last place (ulp) of the exact result.

What is measured is what the library computes: `Elementwise.value`, and the formulas of the first
and second derivatives at that value, on arrays. What is exact is mpmath's, at 60 digits, of the
same operands: they are floating-point numbers and have no error.

- The unit is the distance between the floating-point numbers of the binade of the exact result;
  where a grid names a `scale`, of the larger one of both.
- Where the exact result is below `UNDERFLOW` times the smallest normal number, whatever is no
  larger is right: the reciprocal of a number that overflows is down there.
- Where it is too large, infinity is right; where the value itself is, nothing is measured.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np

import tests.accuracy as package
from lazyhess._primitives.base import Elementwise
from tests.accuracy.grids import GRIDS, Exact, Grid, Quantity

for _module in pkgutil.iter_modules(package.__path__):
    if _module.name.endswith("grids"):
        importlib.import_module(f"{package.__name__}.{_module.name}")

mp = mpmath.mp
DIGITS = 60
BOUND = 4.0
UNDERFLOW = 4
DTYPES = ("float64", "float32")


@dataclass(frozen=True)
class Worst:
    """The largest error of one quantity of a function, and where it is."""

    name: str
    quantity: Quantity
    dtype: str
    ulp: float
    at: tuple[float, ...]
    got: float
    exact: float
    points: int
    bound: float = BOUND

    @property
    def label(self) -> str:
        """The quantity in words."""
        return label(self.quantity)


def label(quantity: Quantity) -> str:
    """The name of a quantity, in the operands x, y, u and v."""
    operands = "xyuv"
    if not quantity:
        return "value"
    if len(quantity) == 1:
        return f"d/d{operands[quantity[0]]}"
    k, l = quantity
    return f"d²/d{operands[k]}²" if k == l else f"d²/d{operands[k]}d{operands[l]}"


def measured_names() -> list[str]:
    """The functions that need a grid: those with a derivative that is not a constant.

    Of a package other than NumPy (its name stands before the function's) from its first grid on.
    What other tests add to the table does not count.
    """
    packages = {name.rpartition(".")[0] for name in GRIDS}
    return sorted(
        name
        for name, rule in Elementwise.table.items()
        if name.rpartition(".")[0] in packages
        and (isinstance(rule.ufunc, np.ufunc) or rule.ufunc.__module__.startswith("lazyhess"))
        and any(map(callable, (*rule.first, *rule.second.values())))
    )


def without_grid() -> list[str]:
    """The functions that need a grid and have none."""
    return [name for name in measured_names() if name not in GRIDS]


def quantities(name: str) -> list[Quantity]:
    """What is measured of a function."""
    rule = Elementwise.table[name]
    first = [(k,) for k, formula in enumerate(rule.first) if formula != 0]
    return [(), *first, *rule.second]


def computed(name: str, quantity: Quantity, operands: tuple[np.ndarray, ...]) -> np.ndarray:
    """What the library computes."""
    rule = Elementwise.table[name]
    with np.errstate(all="ignore"):
        value = rule.value(*operands)
        if not quantity:
            return value
        formula: Any = rule.first[quantity[0]] if len(quantity) == 1 else rule.second[quantity]
        made = formula(value, *operands) if callable(formula) else formula
        return np.broadcast_to(
            np.asarray(made, None if callable(formula) else value.dtype), value.shape
        )


def measure(name: str, dtype: str, grid: Grid | None = None) -> list[Worst]:
    """The worst error of each quantity of a function."""
    grid = grid or GRIDS[name]
    operands = grid.operands(dtype)
    with mp.workdps(DIGITS):
        points = [tuple(mp.mpf(float(x)) for x in point) for point in zip(*operands, strict=True)]
        info = np.finfo(computed(name, (), operands).dtype)
        values = [_exact(grid.value, point) for point in points]
        largest = mp.mpf(float(info.max)) / grid.headroom
        inside = [v is not None and abs(v) <= largest for v in values]
        normal = [v is not None and (v == 0 or abs(v) >= mp.mpf(float(info.tiny))) for v in values]
        return [
            _worst(
                name, quantity, dtype, grid, operands, points, values,
                [a and (b or quantity not in grid.carried) for a, b in zip(inside, normal, strict=True)],
            )
            for quantity in quantities(name)
        ]  # fmt: skip


def _worst(
    name: str,
    quantity: Quantity,
    dtype: str,
    grid: Grid,
    operands: tuple[np.ndarray, ...],
    points: list[tuple[Any, ...]],
    values: list[Any],
    keep: list[bool],
) -> Worst:
    made = computed(name, quantity, operands)
    formula, scale = grid.exact(quantity), grid.scale.get(quantity)
    info = np.finfo(made.dtype)
    worst: tuple[float, int, Any] = (-1.0, 0, None)
    count = 0
    for n, point in enumerate(points):
        if not keep[n]:
            continue
        exact = _exact(formula, point) if quantity else values[n]
        if exact is None:
            continue
        count += 1
        error = ulps(made[n], exact, info, scale(*point) if scale else 0)
        if error > worst[0]:
            worst = error, n, exact
    error, n, exact = worst
    at = tuple(float(column[n]) for column in operands)
    bound = bound_of(grid, quantity, dtype)
    return Worst(name, quantity, dtype, error, at, float(made[n]), float(exact), count, bound)


def bound_of(grid: Grid, quantity: Quantity, dtype: str) -> float:
    """What the error of a quantity must not exceed."""
    return grid.bounds.get((quantity, dtype), BOUND)


def _exact(formula: Exact, point: tuple[Any, ...]) -> Any:
    """The exact result, None where there is none."""
    try:
        made = formula(*point)
    except ZeroDivisionError:
        return None
    if isinstance(made, mpmath.mpc):
        return made.real if made.imag == 0 else None
    return mp.mpf(made) if mp.isfinite(made) else None


def ulps(got: Any, exact: Any, info: Any, scale: Any = 0) -> float:
    """The error of a floating-point number, in units in the last place of the exact one."""
    tiny, largest = mp.mpf(float(info.tiny)), mp.mpf(float(info.max))
    unit = max(abs(exact), abs(scale), tiny)
    last = mp.ldexp(1, mp.frexp(unit)[1] - 1 - info.nmant)
    number = float(got)
    if np.isnan(number):
        return np.inf
    if np.isinf(number):
        return (
            0.0 if mp.sign(exact) == np.sign(number) and abs(exact) > largest - 4 * last else np.inf
        )
    if abs(exact) < UNDERFLOW * tiny and abs(number) <= UNDERFLOW * float(info.tiny):
        return 0.0
    return float(abs(mp.mpf(number) - exact) / last)
