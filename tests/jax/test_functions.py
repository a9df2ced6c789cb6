"""Functions one by one, each in the forms its arguments allow, against jax.hessian."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest

from tests.jax.compare import compare

Zoo = dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]]


def inputs(*shapes: tuple[int, ...]) -> list[numpy.ndarray]:
    """Distinct elements, none near a kink at 0, 0.6 or -0.4, nor near another."""
    made = []
    for k, shape in enumerate(shapes):
        size = int(numpy.prod(shape))
        grid = (numpy.random.default_rng(k + size).permutation(size) + 0.5) / max(size, 1)
        made.append((2.6 * grid - 1.31 + 0.013 * k).reshape(shape))
    return made


def bend(np: Any, z: Any) -> Any:
    """A scalar with a full Hessian in z, of elements that all differ."""
    flat = np.ravel(z)
    weights = 1 + numpy.arange(numpy.size(z)) / 7
    return np.sum(weights * np.sin(flat)) + np.sum(weights * flat) ** 2 / 10


def run(zoo: Zoo, name: str) -> None:
    function, shapes = zoo[name]
    compare(lambda np, *xs: bend(np, function(np, *xs)), *inputs(*shapes))


EINSUM = [
    ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("ba", (2, 3)), ("ii->i", (3, 3)),
    ("ii", (3, 3)), ("iij->j", (2, 2, 3)), ("iij,jk->ik", (2, 2, 3), (3, 2)), ("ijk->", (2, 1, 3)),
    ("i,i,i->i", (3,), (3,), (3,)), ("i,j,k->kij", (2,), (3,), (4,)), ("ij,kl->", (2, 1), (1, 3)),
    ("...ij,...jk->...ik", (2, 1, 2, 3), (3, 3, 2)), ("i...->...", (2, 3, 2)), ("i...,i...", (2, 3), (2, 1)),
    ("...,...->...", (2, 3), (3,)), ("...i,i", (2, 3), (3,)), ("ij,ij->ij", (2, 3), (2, 3)),
    ("ij,i->", (2, 3), (2,)), ("bij,bjk->bik", (2, 2, 3), (2, 3, 1)), ("bhid,bhjd->bhij", (1, 2, 2, 3), (1, 2, 3, 3)),
    ("ij,jk,kl,l->i", (2, 3), (3, 2), (2, 2), (2,)), (",i->i", (), (3,)), ("iji,j->", (2, 3, 2), (3,)),
    ("i,ij,j->", (2,), (2, 3), (3,)), ("ij,jk->ik", (2, 0), (0, 3)), ("ij->j", (0, 3)), ("i,j->ij", (1,), (3,)),
    ("ab,bc,ca->", (2, 3), (3, 4), (4, 2)), ("a,ab,abc->c", (2,), (2, 3), (2, 3, 2)),
]  # fmt: skip


@pytest.mark.parametrize("text, shapes", [(t, s) for t, *s in EINSUM], ids=[t for t, *_ in EINSUM])
def test_einsum(text: str, shapes: list[tuple[int, ...]]) -> None:
    compare(lambda np, *xs: bend(np, np.einsum(text, *xs)), *inputs(*shapes))


@pytest.mark.parametrize("text", ["ij,jk,ki->", "ij,ij->i", "ij,kj->ik", "ii,jj->ij", "ij,ji->"])
def test_einsum_of_one_operand_many_times(text: str) -> None:
    count = text.count(",") + 1
    compare(lambda np, x: bend(np, np.einsum(text, *[x] * count)), *inputs((3, 3)))


def test_einsum_with_constants_between() -> None:
    mid = numpy.arange(6.0).reshape(2, 3) - 2
    compare(
        lambda np, x, z: bend(np, np.einsum("ai,ab,bj->ij", x, mid, z)), *inputs((2, 2), (3, 2))
    )
    compare(lambda np, x: bend(np, np.einsum("ab,cb->ca", mid, x)), *inputs((2, 3)))


MATMUL = [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((4, 2, 3), (3,)),
          ((3,), (2, 3, 2)), ((3, 1, 2, 3), (2, 3, 2)), ((2, 2, 3), (3, 1)), ((2, 0), (0, 3)),
          ((0, 2), (2, 3)), ((1, 1), (1, 2))]  # fmt: skip


@pytest.mark.parametrize("shapes", MATMUL, ids=str)
def test_matmul(shapes: tuple[tuple[int, ...], ...]) -> None:
    compare(lambda np, a, b: bend(np, a @ b), *inputs(*shapes))


PRODUCTS: Zoo = {
    "dot": (lambda np, a, b: np.dot(a, b), ((2, 3), (2, 3, 2))),
    "dot of scalars": (lambda np, a, b: np.dot(a, b), ((), (3,))),
    "inner": (lambda np, a, b: np.inner(a, b), ((2, 3), (4, 3))),
    "outer": (lambda np, a, b: np.outer(a, b), ((2, 1), (3,))),
    "vdot": (lambda np, a, b: np.vdot(a, b), ((2, 3), (2, 3))),
    "tensordot 0": (lambda np, a, b: np.tensordot(a, b, 0), ((2,), (3,))),
    "tensordot 2": (lambda np, a, b: np.tensordot(a, b, 2), ((2, 3, 1), (3, 1, 2))),
    "tensordot axes": (lambda np, a, b: np.tensordot(a, b, ((0, 2), (1, 0))), ((2, 3, 1), (1, 2, 3))),
    "trace": (lambda np, a: np.trace(a @ a.T), ((3, 2),)),
    "trace of an offset": (lambda np, a: np.trace(a, 1, 1, 2), ((2, 3, 3),)),
    "quadratic form": (lambda np, a, b: b @ a @ b, ((3, 3), (3,))),
    "kron": (lambda np, a, b: np.kron(a, b), ((2, 1), (1, 3))),
}  # fmt: skip


@pytest.mark.parametrize("name", PRODUCTS)
def test_products(name: str) -> None:
    run(PRODUCTS, name)


AXES: list[dict[str, Any]] = [
    {}, {"axis": 0}, {"axis": -1, "keepdims": True}, {"axis": (0, 2)}, {"keepdims": True},
]  # fmt: skip


@pytest.mark.parametrize("options", AXES, ids=str)
@pytest.mark.parametrize("name", ["sum", "mean", "prod", "max", "min", "var", "std"])
def test_reductions(name: str, options: dict[str, Any]) -> None:
    compare(lambda np, x: bend(np, getattr(np, name)(x * (x + 3), **options)), *inputs((2, 3, 2)))


REDUCTIONS: Zoo = {
    "var ddof": (lambda np, x: np.var(x, axis=1, ddof=1), ((2, 4),)),
    "std ddof": (lambda np, x: np.std(x, ddof=1), ((2, 4),)),
    "cumsum": (lambda np, x: np.cumsum(x), ((2, 3),)),
    "cumsum 0": (lambda np, x: np.cumsum(x, axis=0), ((3, 2),)),
    "cumsum -1": (lambda np, x: np.cumsum(x, axis=-1), ((2, 3),)),
    "sum where": (lambda np, x: np.sum(x * x, where=numpy.arange(3) > 0), ((2, 3),)),
    "max with initial": (lambda np, x: np.max(x, axis=0, initial=0.3), ((4, 3),)),
    "mean of an axis of 1": (lambda np, x: np.mean(x, axis=0), ((1, 3),)),
    "sum of nothing": (lambda np, x: np.sum(x, axis=0), ((0, 3),)),
    "prod of nothing": (lambda np, x: np.prod(x, axis=0), ((0, 3),)),
    "methods": (lambda np, x: x.sum(0) * x.mean(0) + x.var(0) * x.std(0) - x.prod(0) * x.max(0), ((3, 2),)),
}  # fmt: skip


@pytest.mark.parametrize("name", REDUCTIONS)
def test_forms_of_reductions(name: str) -> None:
    run(REDUCTIONS, name)


def test_prod_with_zeros() -> None:
    for x in ([2.0, 0.0, 3.0], [2.0, 0.0, 0.0, 3.0], [0.0, 0.0, 0.0]):
        compare(lambda np, x: bend(np, np.prod(x)), numpy.array(x))


KINKED: Zoo = {
    "abs": (lambda np, x: np.abs(x) ** 1.5, ((2, 3),)),
    "clip": (lambda np, x: np.clip(x, -0.4, 0.6) * x, ((7,),)),
    "clip one side": (lambda np, x: np.clip(x, None, 0.6) ** 2, ((7,),)),
    "where": (lambda np, x, z: np.where(x > z, x * z, z**2), ((3, 1), (2,))),
    "where of constants": (lambda np, x: np.where(numpy.array([True, False, True]), x * x, 0.5), ((3,),)),
    "maximum": (lambda np, x, z: np.maximum(x, z) * x, ((3, 1), (2,))),
    "minimum": (lambda np, x, z: np.minimum(x * x, z), ((2, 2), (2,))),
    "fmax": (lambda np, x, z: np.fmax(x, z) * x, ((3, 1), (2,))),
    "fmin": (lambda np, x: np.fmin(x, 0.6) ** 3, ((2, 4),)),
    "sign": (lambda np, x: np.sign(x) * x**2, ((5,),)),
    "branches": (lambda np, x: x[0] ** 3 if numpy.size(x) > 2 else x[0], ((3,),)),
}  # fmt: skip


@pytest.mark.parametrize("name", KINKED)
def test_branches(name: str) -> None:
    run(KINKED, name)


STRUCTURE: Zoo = {
    "pad": (lambda np, x: np.pad(x, ((1, 0), (0, 2))), ((2, 3),)),
    "pad with a value": (lambda np, x: np.pad(x, 1, constant_values=0.7), ((2, 3),)),
    "pad edge": (lambda np, x: np.pad(x, 2, mode="edge"), ((2, 3),)),
    "pad reflect": (lambda np, x: np.pad(x, ((1, 1), (0, 2)), mode="reflect"), ((2, 3),)),
    "pad wrap": (lambda np, x: np.pad(x, ((1, 0), (0, 2)), mode="wrap"), ((2, 3),)),
    "pad symmetric": (lambda np, x: np.pad(x, 1, mode="symmetric"), ((2, 3),)),
    "roll": (lambda np, x: np.roll(x, 2), ((2, 3),)),
    "roll axes": (lambda np, x: np.roll(x, (1, -1), (0, 1)), ((2, 3),)),
    "tile": (lambda np, x: np.tile(x, (2, 1, 2)), ((2, 3),)),
    "tile a scalar": (lambda np, x: np.tile(x, 3), ((),)),
    "repeat": (lambda np, x: np.repeat(x, 2), ((2, 3),)),
    "repeat a scalar": (lambda np, x: np.repeat(x, 3), ((),)),
    "repeat by counts": (lambda np, x: np.repeat(x, numpy.array([1, 3]), axis=0), ((2, 3),)),
    "split": (lambda np, x: np.split(x, 3, 1)[1] * np.split(x, [1], 1)[0], ((2, 3),)),
    "array_split": (lambda np, x: np.array_split(x, 2)[1], ((5, 2),)),
    "take": (lambda np, x: np.take(x, numpy.array([[0, 5], [1, 1]])), ((2, 3),)),
    "take of an axis": (lambda np, x: np.take(x, numpy.array([2, 0, -1]), axis=1), ((2, 3),)),
    "take_along_axis": (lambda np, x: np.take_along_axis(x, numpy.array([[0], [2]]), 1), ((2, 3),)),
    "concatenate": (lambda np, x, z: np.concatenate([x, z, 2 * x], axis=1), ((2, 3), (2, 1))),
    "stack": (lambda np, x: np.stack([x, x * x], axis=1), ((2, 3),)),
    "vstack": (lambda np, x, z: np.vstack([x, z]), ((2, 3), (3,))),
    "hstack": (lambda np, x, z: np.hstack([x, z]), ((2, 3), (2, 1))),
    "stack of scalars": (lambda np, x: np.stack([x[1], x[0] * x[2], x[1] ** 2]), ((3,),)),
    "diag": (lambda np, x: np.diag(x, -1), ((3,),)),
    "diagonal": (lambda np, x: np.diagonal(x, 1, 0, 2), ((2, 2, 3),)),
    "tril triu": (lambda np, x: np.tril(x) @ np.triu(x, 1), ((3, 3),)),
    "flip": (lambda np, x: np.flip(x, 1) * np.flip(x), ((2, 3),)),
    "rot90": (lambda np, x: np.rot90(x), ((2, 3),)),
    "reshape": (lambda np, x: x.reshape(3, -1) @ x.reshape((2, 3)), ((6,),)),
    "reshape in Fortran order": (lambda np, x: np.reshape(x, (3, 2), order="F"), ((2, 3),)),
    "transpose": (lambda np, x: np.transpose(x, (2, 0, 1)), ((2, 1, 3),)),
    "swapaxes moveaxis": (lambda np, x: np.swapaxes(x, 0, 2) * np.moveaxis(x, 0, -1).T.T[:, :1], ((2, 1, 3),)),
    "expand squeeze": (lambda np, x: np.squeeze(np.expand_dims(x, (0, 2)), 0), ((2, 3),)),
    "broadcast_to": (lambda np, x: np.broadcast_to(x[:, None], (4, 2, 2, 3)), ((2, 3),)),
    "empty": (lambda np, x, z: np.concatenate([np.ravel(x), z]), ((0, 3), (2,))),
    "scalars": (lambda np, x, z: x * z + np.sin(x), ((), ())),
}  # fmt: skip


@pytest.mark.parametrize("name", STRUCTURE)
def test_structure(name: str) -> None:
    run(STRUCTURE, name)


I = numpy.array
INDEXES: list[Any] = [
    0, -1, (1, 2), slice(None, None, -1), slice(0, 0), slice(-1, None, -2), (slice(None), slice(2, None, -2)),
    ..., (..., 0), None, (None, 1, None), I([0, 1, 1]), (I([0, 1]), I([2, 2])), (slice(None), I([2, 0])),
    (I([[0], [1]]), I([0, 2])), (0, I([1, 1])), (I([1, 0]), None, slice(1, None)), I([True, False]),
    I([[True, False, True], [False, False, True]]), (slice(None), I([True, False, True])), numpy.int64(1),
    I([], int), (I([True, True]), I([0, -1])), (..., I([0, 2, 0])), (I([0, 1, 0]), ..., slice(0, 1)), (I([[0, -1]]), ..., 1),
    (slice(None), None, I([1, 1, 0])), (),
]  # fmt: skip


@pytest.mark.parametrize("index", INDEXES, ids=str)
def test_indexing(index: Any) -> None:
    compare(lambda np, x: bend(np, x[index] * 2), *inputs((2, 3)))


@pytest.mark.parametrize(
    "index",
    [(0, slice(None), I([1, 0])), (I([1, 0]), slice(None), I([0, 1])), (slice(1, None), I([2, 0])),
     (I([0, 1]), I([1, 1])), (slice(None), I([[0, 2], [1, 1]]), 0), (..., None, I([True, False])),
     (I([0]), None, slice(None, None, 2), 1)], ids=str,
)  # fmt: skip
def test_indexing_in_three_axes(index: Any) -> None:
    compare(lambda np, x: bend(np, x[index] * 2), *inputs((2, 3, 2)))


UNARY = ["exp", "exp2", "expm1", "sin", "cos", "arctan", "sinh", "cosh", "tanh", "arcsinh", "square",
         "negative", "abs", "sign", "cbrt", "reciprocal"]  # fmt: skip
POSITIVE = ["log", "log2", "log10", "log1p", "sqrt"]


@pytest.mark.parametrize(
    "name", UNARY + POSITIVE + ["tan", "arcsin", "arccos", "arctanh", "arccosh"]
)
def test_unary(name: str) -> None:
    def function(np: Any, x: Any) -> Any:
        if name in POSITIVE:
            x = 0.2 + x * x
        elif name in ("tan", "arcsin", "arccos", "arctanh"):
            x = 0.6 * x
        elif name == "arccosh":
            x = 1.4 + x * x
        return bend(np, getattr(np, name)(x))

    compare(function, *inputs((2, 3)))


@pytest.mark.parametrize(
    "shapes", [((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2,)), ((3,), (3,))], ids=str
)
@pytest.mark.parametrize(
    "name", ["add", "subtract", "multiply", "divide", "power", "arctan2", "hypot", "logaddexp",
             "logaddexp2", "maximum", "minimum"]
)  # fmt: skip
def test_binary(name: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    def function(np: Any, a: Any, b: Any) -> Any:
        if name in ("divide", "arctan2", "hypot"):
            b = 0.5 + b * b
        elif name == "power":
            a = 0.5 + a * a
        return bend(np, getattr(np, name)(a, b))

    compare(function, *inputs(*shapes))


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, -1, -2, 0.5, 2.5, -1.5])
def test_constant_exponents(exponent: float) -> None:
    compare(lambda np, x: bend(np, x**exponent), 0.4 + inputs((5,))[0] ** 2)
    if exponent == int(exponent) > 0:
        compare(lambda np, x: bend(np, x**exponent), numpy.array([-1.5, 0.0, 2.0]))
