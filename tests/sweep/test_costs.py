"""Small programs through all that large ones take: costs are set low.

What they give is compared with one seed at a time under the library's own costs, where
blocks of small arrays are dense.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, note
from hypothesis import strategies as st

import lazyhess as lh
from lazyhess._costs import COSTS
from lazyhess._maps import Contract
from tests import steps
from tests.costs import DENSE, PASSES, SPARSE, choices, costs
from tests.helpers import same, same_blocks, whole
from tests.programs import PROGRAMS, Program, batches, programs

Blocks = list[list[np.ndarray]]


def hessian(function: Callable[..., Any], xs: Any, axis: int | None = None, **options: Any) -> Any:
    """A Hessian of variables of its own, with all its blocks."""
    variables = tuple(lh.variable(x) for x in xs)
    return lh.hessian(function(*variables), variables, axis, **options)


def by_row(H: Any, xs: Any) -> Blocks:
    """Rows of each block one by one."""
    made: Blocks = []
    for row, x in zip(H, xs, strict=True):
        made.append([])
        for block in row:
            rows = [np.asarray(block[at]) for at in np.ndindex(x.shape)]
            made[-1].append(np.array(rows).reshape(block.shape))
    return made


def from_coo(H: Any, xs: Any, lead: int = 1) -> Blocks:
    """Blocks out of their nonzeros."""
    made: Blocks = []
    for row, x in zip(H, xs, strict=True):
        made.append([])
        for block, z in zip(row, xs, strict=True):
            *at, values = block.tocoo()
            assert np.all(values != 0)
            full = np.zeros((lead, x.size // lead, z.size // lead))
            where = at if len(at) == 3 else (np.zeros(len(at[0]), int), *at)
            keys = np.ravel_multi_index(where, full.shape)
            assert np.all(np.diff(keys) > 0)
            full[tuple(where)] = values
            made[-1].append(full.reshape(block.shape))
    return made


def products(H: Any, xs: Any) -> Blocks:
    """Blocks out of products with unit vectors."""
    made: Blocks = []
    for row, x in zip(H, xs, strict=True):
        made.append([])
        for block, z in zip(row, xs, strict=True):
            columns = [block @ unit.reshape(z.shape) for unit in np.eye(z.size)]
            made[-1].append(np.array(columns).reshape(z.size, x.size).T.reshape(block.shape))
    return made


def check(function: Callable[..., Any], xs: Any, low: dict[str, int], **options: Any) -> None:
    """All ways to ask, under low costs, against one seed at a time under the own ones."""
    want = by_row(hessian(function, xs, block_size=1), xs)
    with costs(**low):
        same_blocks(whole(hessian(function, xs, **options)), want)
        same_blocks(by_row(hessian(function, xs), xs), want)
        same_blocks(from_coo(hessian(function, xs, **options), xs), want)
        if all(x.ndim == 1 for x in xs):
            same_blocks(products(hessian(function, xs), xs), want)


def check_samples(
    function: Callable[..., Any], xs: Any, low: dict[str, int], **options: Any
) -> None:
    want = whole(hessian(function, xs, 0, block_size=1))
    with costs(**low):
        same_blocks(whole(hessian(function, xs, 0, **options)), want)
        same_blocks(from_coo(hessian(function, xs, 0, **options), xs, len(xs[0])), want)
        H = hessian(function, xs, 0)
        for i, row in enumerate(want):
            for j, block in enumerate(row):
                same_blocks([[np.asarray(H[i][j][-1])]], [[block[-1]]])


# --- random programs ------------------------------------------------------------------------------
SIZES = st.sampled_from([None, None, 2, 3, 5])
MATRICES = [(2, 3), (3, 2), (4, 2), (2, 3, 2), (1, 4), (4, 1), (2, 1, 3), (5,)]


@PROGRAMS
@given(programs(most_steps=6), choices(), SIZES)
def test_programs(program: Program, low: dict[str, int], block_size: int | None) -> None:
    note(repr(program))
    check(program.on(np), program.xs, low, block_size=block_size)


@PROGRAMS
@given(programs(6, starts=[steps.product], shapes=MATRICES), choices(), SIZES)
def test_programs_of_products(
    program: Program, low: dict[str, int], block_size: int | None
) -> None:
    note(repr(program))
    check(program.on(np), program.xs, low, block_size=block_size)


@PROGRAMS
@given(batches(), choices(), SIZES)
def test_batches(program: Program, low: dict[str, int], block_size: int | None) -> None:
    note(repr(program))
    check_samples(program.on(np), program.xs, low, block_size=block_size)


@PROGRAMS
@given(programs(3, starts=[steps.product], shapes=MATRICES), choices())
def test_recorded_rows(program: Program, low: dict[str, int]) -> None:
    """Rows that can be differentiated again, from the same blocks of constant products."""
    note(repr(program))
    want = by_row(hessian(program.on(np), program.xs, block_size=1), program.xs)
    with costs(**low):
        H = hessian(program.on(np), program.xs, create_graph=True)
        same_blocks([[np.asarray(block[...].value) for block in row] for row in H], want)


# --- products that make factored blocks -----------------------------------------------------------
RNG = np.random.default_rng(5)


def n(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape) / 2


X, Y, K, P = n(6, 4), n(5, 6), n(2, 6, 4), n(7, 2, 3)
C = X + 1j * n(6, 4)
IMAGES = n(3, 5, 6)
PATCHES = np.lib.stride_tricks.sliding_window_view(IMAGES, (2, 3), axis=(1, 2))
LABELS = RNG.integers(0, 3, 6)
BATCH = n(4, 3)


def attention(Q: Any, K: Any, V: Any) -> Any:
    q, k, v = X @ Q, X @ K, X @ V
    weights = np.exp(np.einsum("ni,mi->nm", q, k) / 2)
    weights = weights / np.sum(weights, axis=1, keepdims=True)
    return np.sum(np.sin(weights @ v))


def network(W: Any, b: Any, V: Any, c: Any) -> Any:
    hidden = np.tanh(X @ W + b)
    out = hidden @ V + c
    return np.sum(np.log(np.sum(np.exp(out), axis=1)) - out[np.arange(6), LABELS])


def normalized(W: Any, g: Any) -> Any:
    z = X @ W
    z = (z - np.mean(z, axis=0)) / np.sqrt(np.var(z, axis=0) + 0.1)
    return np.sum(np.sin(z * g) ** 2)


def untaken(W: Any) -> Any:
    """Infinite weights stand in branches that are not taken."""
    z = X @ W
    with np.errstate(all="ignore"):
        return np.sum(np.where(z > 0, np.log(np.where(z > 0, z, 0)), np.sqrt(2 - z)))


def power(W: Any) -> Any:
    z = X @ W
    S = np.eye(3) * 3 + z.T @ z
    return np.log(np.linalg.det(S)) + np.sum(np.linalg.solve(S, z.T) ** 2)


# Name -> function and xs. All of them push seeds of a product with a constant.
CASES: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "right": (lambda W: np.sum(np.sin(X @ W)), (n(4, 3),)),
    "left": (lambda W: np.sum(np.sin(W @ Y)), (n(3, 5),)),
    "left of the turned": (lambda W: np.sum(np.sin(W @ X.T)), (n(3, 4),)),
    "turned": (lambda W: np.sum(np.sin(X @ W.T)), (n(3, 4),)),
    "both turned": (lambda W: np.sum(np.sin(W.T @ X.T)), (n(4, 3),)),
    "column": (lambda W: np.sum(np.sin(X @ W)), (n(4, 1),)),
    "row": (lambda W: np.sum(np.sin(W @ X)), (n(1, 6),)),
    "one by many": (lambda W: np.sum(np.sin(n1 @ W)), (n(1, 5),)),
    "many by one": (lambda W: np.sum(np.sin(X[:, :1] @ W.T)), (n(5, 1),)),
    "flat": (lambda w: np.sum(np.sin(X @ np.reshape(w, (4, 3)))), (n(12),)),
    "tensor": (lambda W: np.sum(np.sin(np.tensordot(X, W, axes=1))), (n(4, 2, 3),)),
    "tensor, two summed": (lambda W: np.sum(np.sin(np.tensordot(P, W, axes=2))), (n(2, 3, 4),)),
    "stacks": (lambda W: np.sum(np.sin(K @ W)), (n(4, 3),)),
    "stacks of both": (lambda W: np.sum(np.sin(K @ W)), (n(2, 4, 3),)),
    "stacks, one": (lambda W: np.sum(np.sin(X @ W)), (n(2, 4, 3),)),
    "middle": (lambda W: np.sum(np.einsum("ni,ijk->njk", Y[:, :2], W) ** 3), (n(2, 3, 4),)),
    "two new": (lambda W: np.sum(np.sin(np.einsum("nim,ik->nkm", K, W))), (n(6, 3),)),
    "new first": (lambda W: np.sum(np.sin(np.einsum("nim,ik->nmk", K, W))), (n(6, 3),)),
    "diagonal": (lambda W: np.sum(np.einsum("nii->ni", np.tensordot(Y, W, 1)) ** 3), (n(6, 3, 3),)),
    "patches": (lambda W: np.sum(np.tanh(np.tensordot(PATCHES, W, axes=2)) ** 2), (n(2, 3, 4),)),
    "pooled patches": (
        lambda W: np.sum(np.sin(np.max(np.tensordot(PATCHES, W, axes=2), axis=(1, 2)))),
        (n(2, 3, 4),),
    ),
    "patches through a kernel": (
        lambda W: np.sum(np.sin(np.einsum("bxyij,ijc->bcxy", PATCHES, W))),
        (n(2, 3, 2),),
    ),
    "softmax": (
        lambda W: np.sum(np.log(np.sum(np.exp(X @ W), axis=1)) - (X @ W)[:, 0]),
        (n(4, 3),),
    ),
    "softmax of columns": (
        lambda W: np.sum(np.exp(X @ W) / np.sum(np.exp(X @ W), axis=0)) + np.sum(W**3),
        (n(4, 3),),
    ),
    "attention": (attention, (n(4, 3), n(4, 3), n(4, 2))),
    "network": (network, (n(4, 5), n(5), n(5, 3), n(1, 3))),
    "normalized": (normalized, (n(4, 3), n(3))),
    "bias": (lambda W, b: np.sum(np.sin(X @ W + b)), (n(4, 3), n(1, 3))),
    "bias of rows": (lambda W, b: np.sum(np.sin(X @ W + b)), (n(4, 3), n(6, 1))),
    "bias of a stack": (lambda W, b: np.sum(np.sin(X @ W + b)), (n(4, 3), n(2, 1, 3))),
    "one row to many": (lambda W, b: np.sum(np.sin(X[:1] @ W + b)), (n(4, 3), n(5, 3))),
    "one row to a stack": (lambda W, b: np.sum(np.sin(X[:1] @ W * b)), (n(4, 3), n(2, 5, 3))),
    "one column to many": (lambda W, b: np.sum(np.sin(X @ W + b)), (n(4, 1), n(6, 5))),
    "bilinear": (lambda W: np.sum(np.sin(X @ W @ W.T @ X.T)), (n(4, 3),)),
    "chain": (lambda V, W: np.sum(np.sin(Y @ (X @ V) @ W)), (n(4, 3), n(3, 2))),
    "used twice": (lambda W: np.sum(np.sin(X @ W) * (X[::-1] @ W)), (n(4, 3),)),
    "two products": (lambda W: np.sum(np.sin(X @ W)) + np.sum(np.exp(W.T @ X[:4])), (n(4, 3),)),
    "gram": (lambda W: np.sum(np.sin(np.cov(X @ W))), (n(4, 3),)),
    "power": (power, (n(4, 3),)),
    "rows": (lambda W: np.sum(np.sin((X @ W)[1:4])), (n(4, 3),)),
    "columns": (lambda W: np.sum(np.sin((X @ W)[:, ::-2])), (n(4, 3),)),
    "a column": (lambda W: np.sum(np.sin((X @ W)[:, 1])), (n(4, 3),)),
    "new axes": (lambda W: np.sum(np.sin((X @ W)[None, :, None])), (n(4, 3),)),
    "no column": (lambda W: np.sum(np.sin((X @ W)[:, :0])) + np.sum(W**3), (n(4, 3),)),
    "no row": (lambda W: np.sum(np.sin((X @ W)[:0])) + np.sum(W**3), (n(4, 3),)),
    "picked": (lambda W: np.sum(np.sin((X @ W)[[0, 2, 2], [1, 0, 0]])), (n(4, 3),)),
    "taken": (lambda W: np.sum(np.sin((X @ W)[:, [2, 0, 2]])), (n(4, 3),)),
    "padded": (lambda W: np.sum(np.sin(np.pad(X @ W, ((0, 0), (1, 2))))), (n(4, 3),)),
    "joined": (
        lambda V, W: np.sum(np.sin(np.concatenate([X @ V, X @ W, (X @ V) ** 2], axis=1))),
        (n(4, 3), n(4, 2)),
    ),
    "stacked": (lambda W: np.sum(np.sin(np.stack([X @ W, (X @ W) ** 2], axis=1))), (n(4, 3),)),
    "running": (lambda W: np.sum(np.cumsum(X @ W, axis=0) ** 3), (n(4, 3),)),
    "running across": (lambda W: np.sum(np.cumsum(X @ W, axis=1) ** 3), (n(4, 3),)),
    "transformed": (lambda W: np.sum(np.abs(np.fft.fft(X @ W, axis=0) + 9) ** 3), (n(4, 3),)),
    "transformed across": (lambda W: np.sum(np.abs(np.fft.fft(X @ W) + 9) ** 3), (n(4, 3),)),
    "complex": (lambda W: np.sum(np.abs(C @ W) ** 3), (n(4, 3),)),
    "conjugate": (lambda W: np.sum(np.real((C @ W) ** 2 * np.conj(C @ W))), (n(4, 3),)),
    "real part": (lambda W: np.sum(np.sin(np.real(C @ W))), (n(4, 3),)),
    "moved": (
        lambda W: np.sum(np.sin(np.moveaxis(np.tensordot(X, W, 1), 0, -1).reshape(2, -1))),
        (n(4, 2, 3),),
    ),
    "split": (lambda W: np.sum(np.sin(np.reshape(X @ W, (6, 2, 2)))[..., 0]), (n(4, 4),)),
    "sums": (lambda W: np.sum(np.sum(X @ W, axis=0) ** 3 + np.mean(X @ W) ** 2), (n(4, 3),)),
    "sums across": (lambda W: np.sum(np.sum(X @ W, axis=1) ** 3), (n(4, 3),)),
    "maxima": (lambda W: np.sum(np.max(X @ W, axis=1) ** 3), (n(4, 3),)),
    "masked": (lambda W: np.sum(np.where(X[:, :1] > 0, X @ W, 0) ** 3), (n(4, 3),)),
    "untaken": (untaken, (n(4, 3),)),
    "mixed": (lambda W: np.sum(np.sin(X @ W)) + np.sum(W[:2]) ** 3 + W[0, 0] ** 3, (n(4, 3),)),
}
n1 = n(6, 1)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The factored blocks that seeds have become."""
    found: list[Any] = []
    grid = Contract._grid

    def counting(self: Contract, block: Any) -> Any:
        made = grid(self, block)
        found.extend([] if made is None else [made])
        return made

    monkeypatch.setattr(Contract, "_grid", counting)
    return found


# What is summed lies between other axes, is one element, is in both, or is turned first.
WITHOUT = {"stacks, one", "one by many", "many by one", "stacks of both"}


@pytest.mark.parametrize("low", [SPARSE, DENSE, PASSES], ids=["sparse", "dense", "passes"])
@pytest.mark.parametrize("name", CASES)
def test_products(name: str, low: dict[str, int], made: list[Any]) -> None:
    function, xs = CASES[name]
    check(function, xs, low)
    if low is not PASSES:
        assert bool(made) == (name not in WITHOUT)


SAMPLES: dict[str, Callable[..., Any]] = {
    "outer": lambda x: np.sum(np.sin(x @ n3) ** 2, axis=1),
    "wide": lambda x: np.sum(
        np.sin(np.einsum("ij,bjk->bik", Y[:, :3], x[:, :, None] * WIDE)), (1, 2)
    ),
    "of matrices": lambda x: np.sum(np.sin(np.einsum("bj,jk->bk", x, n3) @ n3.T), axis=1),
}
n3, WIDE = n(3, 5), n(3, 4)


@pytest.mark.parametrize("low", [SPARSE, DENSE, PASSES], ids=["sparse", "dense", "passes"])
@pytest.mark.parametrize("name", SAMPLES)
def test_products_of_samples(name: str, low: dict[str, int]) -> None:
    check_samples(SAMPLES[name], (BATCH,), low)


@pytest.mark.parametrize("low", [SPARSE, DENSE, PASSES], ids=["sparse", "dense", "passes"])
def test_products_of_samples_that_are_matrices(low: dict[str, int], made: list[Any]) -> None:
    W = n(3, 4, 2)
    check_samples(lambda W: np.sum(np.sin(X @ W), axis=(1, 2)), (W,), low)
    check_samples(lambda W: np.sum(np.tanh(W @ Y[:2]) ** 2, axis=(1, 2)), (W,), low)


@pytest.mark.parametrize("name", ["right", "left", "patches", "network", "untaken"])
def test_products_in_single_precision(name: str, made: list[Any]) -> None:
    function, xs = CASES[name]
    single = tuple(x.astype(np.float32) for x in xs)
    want = by_row(hessian(function, single, block_size=1), xs)
    for low in (SPARSE, DENSE, PASSES):
        with costs(**low):
            for row, others in zip(whole(hessian(function, single)), want, strict=True):
                for block, other in zip(row, others, strict=True):
                    assert block.dtype == np.float32
                    same(block, other, 1e-4, least=1)
    assert made


# --- x with an axis of length 1 --------------------------------------------------------------------
COLUMNS: dict[str, Callable[[Any], Any]] = {
    "first": lambda x: x[:, 0],
    "last": lambda x: x[:, -1],
    "slice": lambda x: x[:, :1],
    "take": lambda x: np.take(x, 0, axis=1),
    "take several": lambda x: np.take(x, [0], axis=1),
    "take along": lambda x: np.take_along_axis(x, np.zeros((len(x), 1), int), axis=1),
    "squeeze": lambda x: np.squeeze(x, 1),
    "half": lambda x: x[len(x) // 2 :, 0],
    "two axes": lambda x: x[:, None, :][:, 0, 0],
}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize(("size", "block_size"), [(1000, None), (20, 3), (21, 7), (5, 1)])
def test_the_column_of_a_matrix_of_one_column(name: str, size: int, block_size: int | None) -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(5, size)) / size**0.5
    x = np.linspace(1, 2, size)

    def function(x: Any) -> Any:
        column = COLUMNS[name](x)
        return np.sum(np.tanh(a[:, : len(column)] @ column) ** 2) + np.sum(column**3)

    want = np.asarray(lh.hessian(lambda x: function(x[:, None]), x, block_size=1 << 20))
    got = np.asarray(lh.hessian(function, x[:, None], block_size=block_size))
    assert got.shape == (size, 1, size, 1)
    same(got.reshape(size, size), want, 1e-12, least=1e-3)


# --- the costs themselves -------------------------------------------------------------------------
def test_costs_are_set_and_put_back() -> None:
    before = asdict(COSTS)
    with pytest.raises(KeyError), costs(small=0, wide=3):
        assert (COSTS.small, COSTS.wide) == (0, 3)
        raise KeyError
    assert asdict(COSTS) == before
