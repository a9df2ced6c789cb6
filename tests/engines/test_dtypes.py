"""Precision is kept: products in the wider dtype, and blocks of inputs of different dtypes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lazyhess as lh
from lazyhess._engines.recorded.engine import RecordedEngine
from tests.helpers import same

N = 40
A = np.random.default_rng(0).normal(size=(N, 30))


def smooth(x: Any) -> Any:
    return np.sum(np.sin(x) * x) * np.sum(x**2)


PRODUCTS: dict[str, Callable[[Any, Any], Any]] = {
    "right": lambda H, v: H @ v,
    "left": lambda H, v: v @ H,
    "matrix": lambda H, v: H @ np.stack([v, -v, v], 1),
    "transposed": lambda H, v: H.T @ v,
    "rows": lambda H, v: np.stack([v, -v]) @ H,
}
VECTORS = {
    "small": np.r_[1e-60, np.zeros(N - 1)],
    "large": np.r_[np.zeros(N - 1), 1e100],
    "near one": 1 + 1e-12 * np.arange(N),
    "whole": np.arange(N),
    "complex": np.linspace(1, 2, N) * (1 + 1e-60j),
}


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("vector", VECTORS)
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_product_with_a_wider_vector_is_worked_out_in_its_dtype(
    product: str, vector: str, create_graph: bool
) -> None:
    x, v = np.linspace(1, 2, N).astype(np.float32), VECTORS[vector]
    dense = np.asarray(lh.hessian(smooth, x)).astype(float)
    H = lh.hessian(smooth, x, create_graph=create_graph)
    got, want = PRODUCTS[product](H, v), PRODUCTS[product](dense, v)
    got = got.value if create_graph else got
    assert got.dtype == want.dtype
    same(got.real, want.real, 1e-6)
    if vector == "complex":
        same(got.imag, want.imag, 1e-6)
    assert H.cache_info().products in (1, 2, 3, 4, 6)


def test_a_product_in_the_wider_dtype_is_linear_to_its_last_digits() -> None:
    """What would be lost in single precision: a tangent that is a sum of large and small."""
    H = lh.hessian(smooth, np.linspace(1, 2, N).astype(np.float32))
    v, w = np.ones(N), 1e-9 * np.arange(N)
    same((H @ (v + w)) - (H @ v), H @ w, 1e-6)


def test_a_narrower_vector_gives_the_dtype_of_the_hessian() -> None:
    x = np.linspace(1, 2, N)
    H = lh.hessian(smooth, x)
    got = H @ np.ones(N, np.float32)
    assert got.dtype == np.float64
    same(got, H @ np.ones(N), 1e-15)
    single = lh.hessian(smooth, x.astype(np.float32))
    assert (single @ np.ones(N, np.float32)).dtype == np.float32
    assert (single @ np.ones(N, np.float16)).dtype == np.float32


# --- inputs of different dtypes -------------------------------------------------------------------
W = A.astype(np.float32)
MIXED: dict[str, Callable[[Any, Any], Any]] = {
    "outer": lambda a, b: np.sum(np.outer(np.sin(a), np.cos(b)) ** 2),
    "broadcast": lambda a, b: np.sum((np.sin(a)[:, None] * np.cos(b)) ** 2) * np.sum(a),
    "sums": lambda a, b: np.sum(a) * np.sum(b**2),
    "matrix": lambda a, b: np.sum(np.sin((W @ a) * b)),
    "exponentials": lambda a, b: np.sum(np.exp(a[:, None] * b)),
    "joined": lambda a, b: np.sum(np.concatenate([a, b])) ** 3 / 1e3,
    "entries": lambda a, b: np.sum(np.sin(a * b[:30])),
}


def mixed_rows(engine: RecordedEngine, i: int) -> dict[int, Any]:
    """All rows of both blocks of x_i, dense, as the engine gives them."""
    parts: dict[int, list[Any]] = {0: [], 1: []}
    for _, rows in engine.rows(i, np.arange((30, N)[i]), (0, 1)):
        for j, part in rows.items():
            parts[j].append(part if isinstance(part, np.ndarray) else part.dense())
    return {j: np.concatenate(parts[j]) for j in (0, 1)}


@pytest.mark.parametrize("name", MIXED)
@pytest.mark.parametrize("narrow", [0, 1])
@pytest.mark.parametrize("block_size", [None, 7])
def test_rows_of_either_side_are_the_same_in_the_wider_dtype(
    name: str, narrow: int, block_size: int | None
) -> None:
    xs: list[Any] = [np.linspace(1, 2, 30), np.linspace(0.3, 1.1, N)]
    xs[narrow] = xs[narrow].astype(np.float32)
    H = lh.hessian(MIXED[name], tuple(xs), block_size=block_size)
    by = [mixed_rows(H[0][0]._source.engine, i) for i in (0, 1)]
    for i in (0, 1):
        assert by[i][1 - i].dtype == np.float64
    same(by[1][0], by[0][1].T, 1e-13)


@pytest.mark.parametrize("name", MIXED)
@pytest.mark.parametrize("narrow", [0, 1])
def test_a_value_does_not_depend_on_what_was_asked_before(name: str, narrow: int) -> None:
    xs: list[Any] = [np.linspace(1, 2, 30), np.linspace(0.3, 1.1, N)]
    xs[narrow] = xs[narrow].astype(np.float32)
    wide, thin = (1, 0) if narrow == 0 else (0, 1)
    want = np.asarray(lh.hessian(MIXED[name], tuple(xs))[wide][thin])
    for before in ([], [(0, 1)], [(1, 0)], [(0, 0)], [(1, 1)]):
        H = lh.hessian(MIXED[name], tuple(xs))
        for i, j in before:
            H[i][j][:20]
        assert H[wide][thin].dtype == np.float64
        same(H[wide][thin][...], want, 1e-13)
        same(H[thin][wide][...].T, want.astype(np.float32), 1e-6)
    v = np.linspace(0, 1, want.shape[1])
    same(lh.hessian(MIXED[name], tuple(xs))[wide][thin] @ v, want @ v, 1e-13)
    u = np.linspace(0, 1, want.shape[0])
    same(u @ lh.hessian(MIXED[name], tuple(xs))[wide][thin], u @ want, 1e-13)


def test_numbers_of_one_dtype_are_left_as_they_were() -> None:
    """Seeds of inputs that agree need no wider dtype, and get none."""
    for dtype in (np.float32, np.float64, np.complex64):
        H = lh.hessian(
            lambda a, b: np.sum(a * b[:30] ** 2), (np.ones(30, dtype), np.ones(N, dtype))
        )
        assert H[0][0]._source.engine.widest is None
        assert H[0][1][...].dtype == dtype
