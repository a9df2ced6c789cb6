"""What every engine answers alike: one table of cases, held for each framework by its contract test."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import lazyhess as lh
from tests.helpers import numbers

CONSTANT = r"carries no record .* cannot be told apart; .*constant \+ 0 \* sum\(x\)"


@dataclass(frozen=True)
class Kind:
    """A kind of arrays.

    Parameters
    ----------
    array : callable
        One that can be differentiated by, of a list and the name of a dtype.
    total : callable
        The sum of all elements.
    detach : callable
        An array without its record.
    carries : bool
        Whether arrays carry a record, so that ys may be one.
    unrecorded : callable, optional
        Makes a context in which nothing is recorded.
    mixed : type, optional
        What the framework raises of a product of two dtypes.
    asks_first : bool
        Whether a wrong product costs nothing.
    """

    array: Callable[..., Any]
    total: Callable[[Any], Any]
    detach: Callable[[Any], Any]
    carries: bool = False
    unrecorded: Callable[[], AbstractContextManager[Any]] = nullcontext
    mixed: type[Exception] | None = None
    asks_first: bool = True

    def x(self) -> Any:
        return self.array([1.0, 2.0, 3.0], "float64")

    def ways(self, function: Callable[..., Any], *xs: Any) -> list[Any]:
        """What ys may be, and its xs."""
        xs_ = xs[0] if len(xs) == 1 else xs
        return [(function, xs_), *([(function(*xs), xs_)] if self.carries else [])]


def same(got: Any, want: Any) -> None:
    np.testing.assert_allclose(numbers(got), want, rtol=1e-12, atol=1e-12)


# --- outputs --------------------------------------------------------------------------------------


def a_constant(kind: Kind) -> None:
    for ys, xs in kind.ways(lambda x: kind.detach(kind.total(x**2)), kind.x()):
        for call in (lh.hessian, lh.gradient):
            with pytest.raises(TypeError, match=CONSTANT):
                call(ys, xs)


def a_constant_with_a_record(kind: Kind) -> None:
    def function(x: Any) -> Any:
        return kind.detach(kind.total(x)) + 0 * kind.total(x)

    for ys, xs in kind.ways(function, kind.x()):
        same(lh.hessian(ys, xs)[...], np.zeros((3, 3)))


def a_record_that_does_not_reach_an_x(kind: Kind) -> None:
    for ys, xs in kind.ways(lambda a, b: kind.total(a**2), kind.x(), kind.array([4.0], "float64")):
        H = lh.hessian(ys, xs)
        same(H[1][1][...], np.zeros((1, 1)))
        same(H[0][1][...], np.zeros((3, 1)))
        same(lh.gradient(ys, xs)[1], np.zeros(1))
        with pytest.raises(ValueError, match=r"does not depend on xs\[1\] .*strict=True"):
            lh.hessian(ys, xs, strict=True)


def a_record_that_reaches_no_x(kind: Kind) -> None:
    if kind.carries:
        x, other = kind.x(), kind.x()
        same(lh.hessian(kind.total(other**2), x)[...], np.zeros((3, 3)))
        same(lh.gradient(kind.total(other**2), x), np.zeros(3))


# --- inputs ---------------------------------------------------------------------------------------


def no_xs(kind: Kind) -> None:
    x = kind.x()
    for empty in ((), [], {}):
        for call in (lh.hessian, lh.gradient):
            assert call(lambda *_: kind.total(x**2), empty) == empty
            if kind.carries:
                assert call(kind.total(x**2), empty) == empty


def none_in_containers(kind: Kind) -> None:
    def function(xs: Any) -> Any:
        assert xs["bias"] is None
        return kind.total(xs["weight"][0] ** 3)

    H = lh.hessian(function, {"weight": (kind.x(), None), "bias": None})
    same(H["weight"][0]["weight"][0][...], np.diag([6.0, 12.0, 18.0]))
    assert H["bias"] is None
    assert H["weight"][1] is None
    there = H["weight"][0]["weight"][0].at({"weight": (2 * kind.x(), None), "bias": None})
    same(there["weight"][0]["weight"][0][...], np.diag([12.0, 24.0, 36.0]))
    assert lh.hessian(lambda x, _: kind.total(x**2), (kind.x(), None))[1] is None


def what_is_no_array(kind: Kind) -> None:
    with pytest.raises(TypeError, match=r"xs\['b'\]\[1\]"):
        lh.hessian(lambda xs: kind.total(xs["a"]), {"a": kind.x(), "b": [kind.x(), "text"]})


# --- graphs ---------------------------------------------------------------------------------------


def rows_under_no_grad(kind: Kind) -> None:
    if not kind.carries:
        return
    for first in (kind.unrecorded, nullcontext):
        x = kind.x()
        H = lh.hessian(kind.total(x**2) ** 2, x, create_graph=True)
        with first():
            H[0], H[:, 1]
        with kind.unrecorded():
            parts = H[0], H[:2], H[[1, 0], [0, 1]], H.diagonal(), H.gradient(), H @ (0 * x + 1)
        for part in (*parts, H[0]):
            assert np.abs(numbers(lh.gradient(kind.total(part), x))).max() > 1


def a_derivative_inside(kind: Kind) -> None:
    x = kind.x()

    def gradient(x: Any) -> Any:
        return kind.total(x * lh.gradient(lambda u: kind.total(u * u * u), x))

    def rows(x: Any) -> Any:
        return kind.total(lh.hessian(lambda u: kind.total(u * u * u), x)[...] * x)

    def product(x: Any) -> Any:
        return kind.total(lh.hessian(lambda u: kind.total(u * u * u), x) @ x)

    want = lh.hessian(lambda x: 3 * np.sum(x**3), numbers(x))[...]
    same(lh.hessian(gradient, x)[...], want)
    for function in (rows, product):
        same(lh.hessian(function, x)[...], np.diag([12.0] * 3))
    if kind.carries:
        same(
            lh.hessian(lambda x: kind.total(x * lh.gradient(kind.total(x * x * x), x)), x)[...],
            want,
        )


def a_derivative_inside_by_what_is_plain(kind: Kind) -> None:
    plain = kind.detach(kind.array([1.0, 1.0], "float64"))

    def function(x: Any) -> Any:
        return kind.total(lh.gradient(lambda u: kind.total(u * u) * kind.total(x * x), plain)) ** 2

    # (4 times the sum of squares)**2
    want = np.asarray(lh.hessian(lambda x: 16 * np.sum(x**2) ** 2, numbers(kind.x())))
    same(lh.hessian(function, kind.x())[...], want)


def a_derivative_that_is_detached(kind: Kind) -> None:
    def function(x: Any) -> Any:
        slope = lh.gradient(lambda u: kind.total(u * u * u), x, create_graph=False)
        return kind.total(x * x * slope)

    same(lh.hessian(function, kind.x())[...], np.diag([6.0, 24.0, 54.0]))


# --- products -------------------------------------------------------------------------------------


def products_with_lists(kind: Kind) -> None:
    H = lh.hessian(lambda x: kind.total(x**3), kind.x())
    same(H @ [1, 2, 3], [6.0, 24.0, 54.0])
    same([1, 2, 3] @ H, [6.0, 24.0, 54.0])
    same(H @ [[1], [2], [3]], [[6.0], [24.0], [54.0]])


def products_of_wrong_shapes(kind: Kind) -> None:
    H = lh.hessian(lambda x: kind.total(x**3), kind.x())
    for operand in (
        [1, 2],
        np.ones(4),
        [[1, 2, 3]],
        2.0,
        np.float64(2),
        kind.array([1.0] * 4, "float64"),
    ):
        with pytest.raises(ValueError, match="matmul"):
            H @ operand
    with pytest.raises(TypeError):
        H @ "abc"
    assert not (kind.asks_first and H.cache_info().products)


def products_of_two_dtypes(kind: Kind) -> None:
    H = lh.hessian(lambda x: kind.total(x**3), kind.array([1.0, 2.0, 3.0], "float32"))
    v = kind.detach(kind.x())
    if kind.mixed is None:
        same(H @ v, [6.0, 24.0, 54.0])
    else:
        with pytest.raises(kind.mixed):
            H @ v
        assert H.cache_info().products == 0


CASES = [
    a_constant,
    a_constant_with_a_record,
    a_record_that_does_not_reach_an_x,
    a_record_that_reaches_no_x,
    no_xs,
    none_in_containers,
    what_is_no_array,
    rows_under_no_grad,
    a_derivative_inside,
    a_derivative_inside_by_what_is_plain,
    a_derivative_that_is_detached,
    products_with_lists,
    products_of_wrong_shapes,
    products_of_two_dtypes,
]
