"""Arrays whose operators mean something else are refused beside a Variable; others are arrays."""

from __future__ import annotations

import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lazyhess as lh
from lazyhess._record.primitive import UFUNCS
from tests.cases import CASES

pytestmark = pytest.mark.filterwarnings("ignore:the matrix subclass")

VALUES = np.array([[1.0, 2.0], [3.0, 5.0]])


class Metres(np.ndarray):
    """An array with a unit, which products change."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        raise AssertionError("never asked")


class Dual(np.ndarray):
    def __rmul__(self, other: Any) -> Any:
        raise AssertionError("never asked")


class Named(np.ndarray):
    """Computes as any array."""

    name = "x"

    def __array_finalize__(self, obj: Any) -> None:
        self.name = getattr(obj, "name", "x")

    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(index)


def masked(values: Any) -> Any:
    mask = np.zeros(np.shape(values), bool)
    mask.reshape(-1)[:1] = True
    return np.ma.masked_array(values, mask)


OTHERS: dict[str, Callable[[Any], Any]] = {
    "masked": masked,
    "matrix": np.matrix,
    "unit": lambda values: values.view(Metres),
    "operator": lambda values: values.view(Dual),
}
WAYS = {"masked": r"x\.filled\(value\).*np\.asarray\(x\)"}
OPERATORS = [
    operator.add, operator.sub, operator.mul, operator.matmul, operator.truediv,
    operator.floordiv, operator.mod, divmod, operator.pow, operator.eq, operator.lt,
]  # fmt: skip


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("operate", OPERATORS, ids=lambda o: o.__name__)
def test_operators_on_either_side(kind: str, operate: Callable[[Any, Any], Any]) -> None:
    x, other = lh.variable(VALUES), OTHERS[kind](VALUES)
    with pytest.raises(TypeError, match=WAYS.get(kind, r"np\.asarray\(x\)")):
        operate(x, other)
    if kind in ("masked", "matrix"):
        # numpy.ma asks for an array before it asks whose operator it is, and a power of a matrix
        # takes whole numbers.
        with pytest.raises(TypeError, match=r"\.filled|np\.asarray|must be an integer"):
            operate(other, x)


@pytest.mark.parametrize("kind", ["masked", "matrix"])
@pytest.mark.parametrize("first", [True, False])
def test_all_ufuncs(kind: str, first: bool) -> None:
    asked = 0
    for ufunc in UFUNCS:
        if ufunc.nin != 2:
            continue
        operands = lh.variable(VALUES), OTHERS[kind](VALUES)
        try:
            ufunc(*(operands if first else operands[::-1]))
        except NotImplementedError as error:  # the order of a Bessel function is a constant
            assert "has to be a constant" in str(error)
        except TypeError as error:
            asked += 1
            assert "lose its meaning" in str(error)
            assert "np.asarray" in str(error)
        else:
            pytest.fail(f"{ufunc} takes a {kind}")
    assert asked > 25


@pytest.mark.parametrize("kind", ["masked", "matrix"])
@pytest.mark.parametrize(
    "function",
    [
        np.dot, np.matmul, np.inner, np.outer, np.kron, np.tensordot, np.isclose, np.allclose,
        lambda a, b: np.einsum("ij,jk", a, b),
        lambda a, b: np.concatenate([a, b]),
        lambda a, b: np.stack([a, b]),
        lambda a, b: np.where(a > 1, a, b),
        lambda a, b: np.where(b, a, 0),
        lambda a, b: np.select([a > 1, b > 2], [a, b], 0),
        lambda a, b: np.linalg.solve(a, b),
        lambda a, b: np.interp(a, b, b),
        lambda a, b: np.clip(a, 0, b),
    ],
)  # fmt: skip
def test_functions(kind: str, function: Callable[[Any, Any], Any]) -> None:
    for operands in ((lh.variable(VALUES), OTHERS[kind](VALUES)), (OTHERS[kind](VALUES), lh.variable(VALUES))):  # fmt: skip
        with pytest.raises(TypeError, match=r"lose its meaning.*np\.asarray"):
            function(*operands)


@pytest.mark.parametrize("kind", ["masked", "matrix"])
@pytest.mark.parametrize(
    "method",
    [
        lambda x, m: x.dot(m), lambda x, m: x.clip(0, m), lambda x, m: x.sum(where=m > 1),
        lambda x, m: x.compress(m[0] > 1), lambda x, m: np.ravel(x).searchsorted(m),
        lambda x, m: x.take(m.astype(int) * 0),
    ],
)  # fmt: skip
def test_methods(kind: str, method: Callable[[Any, Any], Any]) -> None:
    with pytest.raises(TypeError, match="lose its meaning"):
        method(lh.variable(VALUES), OTHERS[kind](VALUES))


def test_every_case_with_a_masked_operand() -> None:
    """Rules that move operands around before they record."""
    asked = 0
    for case in CASES:
        if case.key in (np.nan_to_num, np.nanquantile):
            continue  # these put NaN into a plain array
        for k in range(len(case.inputs) if len(case.inputs) > 1 else 0):
            if np.ndim(case.inputs[k]) == 0 or np.asarray(case.inputs[k]).dtype.kind not in "fc":
                continue
            asked += 1
            args = [lh.variable(x) for x in case.inputs]
            args[k] = masked(np.array(case.inputs[k]))
            with pytest.raises(TypeError, match="lose its meaning|a Variable|written into"):
                case.function(*args)
    assert asked > 100


@pytest.mark.parametrize("kind", OTHERS)
def test_as_x(kind: str) -> None:
    x = OTHERS[kind](VALUES)
    way = WAYS.get(kind, r"np\.asarray\(x\)")
    for call in (
        lambda: lh.variable(x),
        lambda: lh.hessian(np.sum, x),
        lambda: lh.hessian(lambda a, b: np.sum(a * b), (VALUES, x)),
        lambda: lh.gradient(np.sum, x),
        lambda: lh.hessian(lambda a, b: np.sum(a), (VALUES, x), argnums=1),
        lambda: lh.hessian(np.sum, VALUES).at(x),
        lambda: lh.hessian(lambda z: np.sum(np.sort(z)), VALUES).at(x),
        lambda: lh.hessian(lambda z: np.sum(z), np.ones(2)) @ x,
    ):
        with pytest.raises(TypeError, match=way):
            call()
    np.testing.assert_array_equal(lh.gradient(np.sum, np.asarray(x)), 1)


def test_subclasses_that_compute_as_arrays_stay(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "x", float, "w+", shape=(2, 2))
    mapped[:] = VALUES
    records = np.rec.array(VALUES)
    for other in (mapped, records, VALUES.view(Named), VALUES.view(np.recarray)):
        assert type(other) is not np.ndarray
        x = lh.variable(other)
        for y in (x * other, other * x, other @ x, np.concatenate([other, x]), np.where(other > 1, x, 0)):  # fmt: skip
            assert type(y) is lh.Variable
        np.testing.assert_array_equal((x * other).value, VALUES**2)
        H = lh.hessian(lambda z: np.sum(z * z * VALUES), other)
        np.testing.assert_array_equal(H.at(other).diagonal(), 2 * VALUES)


def test_nothing_of_a_variable_is_asked_by_masked_arrays() -> None:
    x, m = lh.variable(VALUES), masked(VALUES)
    for call in (lambda: m * x, lambda: m + x, lambda: np.ma.masked_array(x), lambda: np.ma.sum(x)):
        with pytest.raises((TypeError, NotImplementedError), match=r"filled|masked"):
            call()
