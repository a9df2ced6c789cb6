"""Users' code that must type-check, and what its types are: the package ships them.

For mypy (strict) and pyright; no framework is imported, `Tensor` and `Array` have what torch's,
Paddle's and JAX's have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, assert_type

import numpy as np
from numpy.typing import NDArray

import lazyhess as lh

with lh.options(memory="64MB"), lh.options(memory=None):
    pass
lh.options(memroy=1)  # type: ignore[call-arg]


@lh.options(memory=10**6)
def decorated(x: int) -> str:
    return str(x)


assert_type(decorated(1), str)

Plain: TypeAlias = NDArray[Any]


class Tensor:
    def detach(self) -> Tensor:
        return self


class Parameter(Tensor):
    pass


class Array:
    def block_until_ready(self) -> Array:
        return self


x = lh.variable([1.0, 2.0])
y = np.sum(2 * x**2 + 1 - x / 3)
f: Callable[..., Any] = np.sum
a = np.ones(3)


def parameters() -> Iterator[Parameter]:
    yield Parameter()


def named() -> Iterator[tuple[str, Parameter]]:
    yield "w", Parameter()


def variables() -> None:
    assert_type(x, lh.Variable)
    assert_type(-x + x.sum() * x, lh.Variable)
    assert_type(x.reshape(1, 2).T @ x[None], lh.Variable)
    assert_type(divmod(x, 2.0), tuple[lh.Variable, lh.Variable])
    assert_type(x.value, Plain)
    assert_type(x.argsort(), Plain)


def one_x() -> None:
    assert_type(lh.hessian(y, x), lh.Hessian[Plain])
    assert_type(lh.hessian(f, a), lh.Hessian[Plain])
    assert_type(lh.hessian(f, 1.0), lh.Hessian[Plain])
    assert_type(lh.hessian(f, np.float64(1.0)), lh.Hessian[Plain])
    assert_type(lh.hessian(f, Tensor(), create_graph=False, strict=True), lh.Hessian[Tensor])
    assert_type(lh.hessian(f, Parameter()), lh.Hessian[Tensor])
    assert_type(lh.hessian(f, Array(), 0), lh.Hessian[Array])
    assert_type(lh.gradient(y, x), Plain)
    assert_type(lh.gradient(f, Parameter(), reduction="sum"), Tensor)


def several() -> None:
    assert_type(lh.hessian(y, (x, x)), tuple[tuple[lh.Hessian[Plain], ...], ...])
    assert_type(lh.hessian(f, (1.0, a, x)), tuple[tuple[lh.Hessian[Plain], ...], ...])
    assert_type(lh.hessian(f, (Tensor(), Parameter())), tuple[tuple[lh.Hessian[Tensor], ...], ...])
    assert_type(lh.hessian(f, parameters()), tuple[tuple[lh.Hessian[Tensor], ...], ...])
    assert_type(lh.hessian(y, [x, x]), list[list[lh.Hessian[Plain]]])
    assert_type(lh.hessian(f, [Parameter()], [0]), list[list[lh.Hessian[Tensor]]])
    assert_type(lh.hessian(f, list(parameters())), list[list[lh.Hessian[Tensor]]])
    assert_type(lh.hessian(y, {"w": x}), dict[str, dict[str, lh.Hessian[Plain]]])
    assert_type(lh.hessian(f, {0: Array()}), dict[int, dict[int, lh.Hessian[Array]]])
    assert_type(lh.hessian(f, named()), dict[str, dict[str, lh.Hessian[Tensor]]])
    assert_type(lh.gradient(y, (x, x)), tuple[Plain, ...])
    assert_type(lh.gradient(f, [Tensor()]), list[Tensor])
    assert_type(lh.gradient(f, {"w": Array()}), dict[str, Array])


def aux() -> None:
    assert_type(lh.hessian(f, a, has_aux=True), tuple[lh.Hessian[Plain], Any])
    assert_type(
        lh.hessian(f, {"w": Tensor()}, has_aux=True),
        tuple[dict[str, dict[str, lh.Hessian[Tensor]]], Any],
    )
    assert_type(lh.hessian(f, (a, a), argnums=1, has_aux=True), tuple[lh.Hessian[Plain], Any])
    assert_type(lh.gradient(f, [a, a], has_aux=True), tuple[list[Plain], Any])
    assert_type(lh.gradient(f, (a, a), argnums=[0], has_aux=True), tuple[tuple[Plain, ...], Any])


def argnums() -> None:
    assert_type(lh.hessian(f, (a, a), argnums=0), lh.Hessian[Plain])
    assert_type(lh.hessian(f, (a, a), argnums=(0, 1)), tuple[tuple[lh.Hessian[Plain], ...], ...])
    assert_type(lh.hessian(f, [Tensor()], argnums=[0]), tuple[tuple[lh.Hessian[Tensor], ...], ...])
    assert_type(lh.gradient(f, (Array(), Array()), argnums=0), Array)
    assert_type(lh.gradient(f, (Array(), Array()), argnums=(0,)), tuple[Array, ...])


def anything_else() -> None:
    """Nested containers, and graphs of derivatives: the structure is not followed."""
    assert_type(lh.hessian(f, (a, {"w": a})), Any)
    assert_type(lh.hessian(y, x, create_graph=True), Any)
    assert_type(lh.gradient(f, [[a]]), Any)


def of_a_hessian() -> None:
    H = lh.hessian(y, x)
    assert_type(H[0], Plain)
    assert_type(H[..., None], Plain)
    assert_type(H.T, lh.Hessian[Plain])
    assert_type(H.T[0] + 1, Plain)
    assert_type(H * 2, Plain)
    assert_type(2 - H, Plain)
    assert_type(-H, Plain)
    assert_type(H @ a, Plain)
    assert_type(H.gradient(), Plain)
    assert_type(H.diagonal(), Plain)
    assert_type(np.asarray(H), Plain)
    assert_type(list(H), list[Plain])
    B = lh.hessian(f, (Parameter(), Tensor()))[0][1]
    assert_type(B[0], Tensor)
    assert_type(B @ Tensor(), Tensor)
    assert_type(B.T.gradient(), Tensor)
    plain: lh.Hessian = B  # of any arrays
    assert_type(plain[0], Any)
