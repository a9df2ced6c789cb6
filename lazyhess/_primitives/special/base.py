"""A ufunc of `scipy.special` as a primitive, and what the formulas share."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyhess._decisions import everywhere
from lazyhess._primitives.base import Elementwise, Formula
from lazyhess._record.primitive import UFUNCS
from lazyhess._record.variable import Variable

PI = float(np.pi)
ROOT_2PI = float(np.sqrt(2 * np.pi))


class Special(Elementwise):
    """A ufunc of `scipy.special`, some operands of which may have no derivative.

    Parameters
    ----------
    ufunc : numpy.ufunc
        The function.
    first : sequence of formula
        The partial derivatives; ``None`` for an operand that has to be a constant.
    second : dict of (k, l) -> formula
        As for `Elementwise`.
    name : str, optional
        The name in scipy.special, where the ufunc has another.
    """

    def __init__(
        self,
        ufunc: np.ufunc,
        first: tuple[Formula | None, ...],
        second: dict[tuple[int, int], Formula] | None = None,
        name: str | None = None,
    ) -> None:
        # The module stands in the name: log1p, exp2 and others are NumPy's names too.
        self.name = f"scipy.special.{name or ufunc.__name__}"
        self.ufunc = ufunc
        self.first = tuple(0 if formula is None else _wide(ufunc, formula) for formula in first)
        self.second = {pair: _wide(ufunc, formula) for pair, formula in (second or {}).items()}
        self.fixed = tuple(k for k, formula in enumerate(first) if formula is None)
        self.table[self.name] = self
        UFUNCS[ufunc] = self._handle

    def _handle(self, *args: Any, **kwargs: Any) -> Variable:
        for k in self.fixed:
            if isinstance(args[k], Variable):
                raise NotImplementedError(
                    f"{self.name} has no derivative rule for its argument {k + 1} of "
                    f"{len(self.first)}, which has to be a constant; give x.value if that "
                    "derivative is not wanted"
                )
        return super()._handle(*args, **kwargs)

    def __reduce__(self) -> Any:
        return _special, (self.name,)


def _special(name: str) -> Elementwise:
    # Here, so that unpickling imports this module, and with it the rules.
    return Elementwise.table[name]


def _wide(ufunc: np.ufunc, formula: Formula) -> Formula:
    """The formula in double precision for single: scipy works its functions out so, too."""
    if not callable(formula):
        return formula

    def wide(z: Any, *args: Any) -> Any:
        if z.dtype != np.float32:
            return formula(z, *args)
        doubles = [x.astype(float) if hasattr(x, "dtype") else x for x in args]
        return formula(ufunc(*doubles), *doubles).astype(np.float32)

    return wide


def unary(ufunc: np.ufunc, first: Formula, second: Formula | None = None) -> None:
    Special(ufunc, (first,), {} if second is None else {(0, 0): second})


def times(weight: Any, factor: Any) -> Any:
    """Give weight * factor, where a weight of zero wins over an infinity."""
    product = weight * factor
    return product if everywhere(weight) else np.where(weight == 0, 0, product)


def series(coefficients: Any, x: Any) -> Any:
    """The polynomial with these coefficients, lowest power first."""
    total = 0.0 * x + coefficients[-1]
    for c in coefficients[-2::-1]:
        total = total * x + c
    return total
