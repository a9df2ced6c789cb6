"""Passes that memory does not suffice for are tried again with half of their seeds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import lazyhess as lh
from lazyhess._engines.arrays import NumpyArrays
from lazyhess._engines.framework import FrameworkEngine, Single
from lazyhess._engines.memory import PATIENCE, SeedLimit, needed, out_of_memory
from lazyhess._engines.recorded.engine import RecordedEngine
from lazyhess._proxy.hessian import Hessian
from lazyhess._proxy.rows import RowSource
from lazyhess._sweep.products import ProductPlan
from tests.costs import costs
from tests.helpers import same

MOST = 5
RNG = np.random.default_rng(0)
X, W = RNG.normal(size=(30, 24)), RNG.normal(size=(4, 6))


def curved(x: Any) -> Any:
    return np.sum(np.sin(x)) * np.sum(x**2)


def softmax(w: Any) -> Any:
    z = X @ np.reshape(w, (24, 1))
    return np.sum(np.logaddexp(0.0, z))


def by_sample(x: Any) -> Any:
    return np.sum(x**2, axis=1) ** 2 * np.exp(x[:, 0])


CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "plain": (curved, X[0], {}),
    "large passes": (curved, X[0], {"block_size": 20}),
    "gram": (softmax, X[0], {}),
    "outputs": (lambda x: np.stack([curved(x), np.prod(x)]), X[0], {"reduction": "none"}),
    "graph": (curved, X[0], {"create_graph": True}),
    "batch": (by_sample, X, {"batch_axis": 0}),
}


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Memory suffices for `MOST` seeds; those of each pass that was tried."""
    tried: list[int] = []
    seeds, push = RecordedEngine._seeds, ProductPlan.push

    def few(count: int) -> None:
        tried.append(count)
        if count > MOST:
            raise MemoryError(f"{count} seeds")

    def few_seeds(self: Any, i: int, ids: Any, count: int, *rest: Any) -> Any:
        few(count)
        return seeds(self, i, ids, count, *rest)

    def few_tangents(self: Any, tangents: Any, start: int = 0) -> Any:
        if isinstance(tangents, np.ndarray):  # those of `apply`
            few(len(tangents))
        return push(self, tangents, start)

    monkeypatch.setattr(RecordedEngine, "_seeds", few_seeds)
    monkeypatch.setattr(ProductPlan, "push", few_tangents)
    return tried


@pytest.mark.parametrize("case", CASES)
def test_later_passes_keep_the_smaller_size(case: str, request: pytest.FixtureRequest) -> None:
    function, x, options = CASES[case]
    want = lh.hessian(function, x, **options)[...]
    tried = request.getfixturevalue("taken")
    H = lh.hessian(function, x, **options)
    same(H[...], want)
    assert max(tried) > MOST  # some did fail
    first = next(k for k, count in enumerate(tried) if count <= MOST)
    assert tried[first] > MOST // 2  # halved, no more than need be
    if case != "gram":  # its own passes come on top
        assert max(tried[first:]) <= MOST
        assert H.cache_info().products == sum(count for count in tried if count <= MOST)
    tried.clear()
    H.cache_clear()
    same(H[...], want)
    assert max(tried) <= MOST  # in another request, too


def test_memory_may_be_free_again() -> None:
    free, tried = 2, []

    def compute(count: int) -> int:
        tried.append(count)
        if count > free:
            raise MemoryError
        return count

    limit = SeedLimit(out_of_memory, lambda: "")
    assert limit.run(16, compute) == (2, 2)
    for _ in range(3 * PATIENCE):
        assert limit.run(16, compute) == (2, 2)
    assert len(tried) <= 3 * PATIENCE + 8  # few are tried in vain
    free = 100
    while limit.run(16, compute)[0] < 16:
        pass
    assert len(tried) <= 7 * PATIENCE


@pytest.mark.parametrize("options", [{}, {"block_size": 16}, {"reduction": "none"}])
def test_products(options: dict[str, Any], request: pytest.FixtureRequest) -> None:
    vectors = RNG.normal(size=(24, 17))
    want = lh.hessian(curved, X[0], **options) @ vectors
    tried = request.getfixturevalue("taken")
    same(lh.hessian(curved, X[0], **options) @ vectors, want)
    fitted = [count for count in tried if count <= MOST]
    assert sum(fitted) == 17
    assert tried[-len(fitted) :] == fitted


def test_one_seed_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any) -> None:
        raise MemoryError("none")

    H = lh.hessian(lambda x: np.sum(x**3), W)
    monkeypatch.setattr(ProductPlan, "push", none)
    with pytest.raises(
        MemoryError,
        match=r"x of shape \(4, 6\), a row of shape \(4, 6\) and dtype float64, needs about \d+ "
        r"bytes.*free some",
    ) as caught:
        H[0]
    assert str(caught.value.__cause__) == "none"
    assert H.cache_info().products == 0
    with pytest.raises(MemoryError, match="float64"):
        H @ np.ones((2, 6, 1))


def test_other_errors_stay_what_they_are() -> None:
    def fail(count: int) -> None:
        tried.append(count)
        raise ValueError("no")

    tried: list[int] = []
    limit = SeedLimit(lambda error: isinstance(error, MemoryError), lambda: "words")
    with pytest.raises(ValueError, match="no"):
        limit.run(8, fail)
    assert tried == [8]
    assert limit.most is None


@pytest.mark.parametrize(
    "dtype, name", [(np.dtype(np.complex128), "complex128"), ("torch.bfloat16", "bfloat16")]
)
def test_dtypes_by_their_names(dtype: Any, name: str) -> None:
    assert f"dtype {name}, needs about 96 bytes" in needed((2,), dtype, [(3,), (1,)], 96)


class Quadratic(Single):
    """Derivatives of ``x_0ᵀ A x_0`` times the sum of a row of x_1, of which some fit at once."""

    def __init__(self, most: int) -> None:
        self.arrays, self.most = NumpyArrays(), most
        self.tried: list[int] = []
        self.a = X[:6, :6] + X[:6, :6].T

    def value(self) -> Any:
        return 0.0

    def gradient(self, i: int, output: int | None) -> Any:
        return np.zeros(6)

    def weighted(self, weights: Any) -> list[Any]:
        return [np.zeros(6)]

    def _products(
        self, i: int, tangents: Any, columns: Sequence[int], output: int | None
    ) -> dict[int, Any]:
        self.tried.append(len(tangents))
        if len(tangents) > self.most:
            raise MemoryError("many")
        weight = 1 if output is None else output + 1
        return dict.fromkeys(columns, weight * (tangents @ self.a))


@pytest.mark.parametrize("block_size", [None, 5])
@pytest.mark.parametrize("output", [(), (2,)])
def test_engines_of_frameworks(output: tuple[int, ...], block_size: int | None) -> None:
    function = Quadratic(2)
    engine = FrameworkEngine(
        function, [((6,), np.dtype(float))], output, each=bool(output), block_size=block_size
    )
    H: Any = Hessian(RowSource(engine, "1MB"), 0, 0)
    want = function.a if not output else function.a * np.array([1, 2])[:, None, None]
    same(H[...], want)
    assert max(function.tried) > 2
    del function.tried[:]
    H.cache_clear()
    same(H[...], want)
    if not output:  # which are tried one by one
        assert max(function.tried) <= 2
        function.tried.clear()
        H.cache_clear()
        same(H @ np.ones((6, 5)), want @ np.ones((6, 5)))
        assert max(function.tried) <= 2
    H.cache_clear()
    function.most = 0
    with pytest.raises(MemoryError, match=r"\(6,\) and dtype float64, needs about 96 bytes"):
        H @ np.ones(6)


def test_batches_of_frameworks() -> None:
    function = Quadratic(2)
    function.a = np.kron(np.eye(3), function.a)
    engine = FrameworkEngine(function, [((3, 6), np.dtype(float))], (3,), batch=[0])

    def products(i: int, tangents: Any, columns: Any, outputs: Any) -> dict[int, Any]:
        flat = tangents.reshape(len(tangents), 18)
        blocks = Single.products(function, i, flat, columns, outputs)
        return {j: block.reshape(tangents.shape) for j, block in blocks.items()}

    function.products = products  # type: ignore[method-assign]
    H: Any = Hessian(RowSource(engine, "1MB"), 0, 0)
    same(H[...], np.broadcast_to(function.a[:6, :6], (3, 6, 6)))
    assert function.tried == [6, 3, 1, 1, 1, 1, 1, 1]


REAL = """
import re, resource, sys
import numpy as np, lazyhess as lh

def limited(more):
    size = int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read())[1]) << 10
    resource.setrlimit(resource.RLIMIT_AS, (size + more, resource.RLIM_INFINITY))

n = 20000
H = lh.hessian(lambda x: np.sum(np.sin(x * np.sum(x))), np.ones(n), block_size=1024, cache=None)
G = lh.hessian(lambda x: np.sum(np.sin(np.outer(x, x))), np.ones(3000))
row = H[0, :2000]
G @ np.ones(3000)
limited(60 << 20)
try:
    G @ np.ones(3000)
except MemoryError as error:
    print(type(error.__cause__).__mro__[1].__name__, error)
limited(420 << 20)
rows = H[:1024, :2000]
(limit,) = H._source.engine._limits.values()
assert np.allclose(rows[0], row), (rows[0], row)
print(limit.most)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="how much a process has is told by Linux")
def test_an_allocation_that_fails() -> None:
    run = subprocess.run(
        [sys.executable, "-c", REAL],
        capture_output=True, text=True, check=True, timeout=300,
        env={"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    words, most = run.stdout.splitlines()
    assert 1 <= int(most) < 1024
    assert words.startswith("MemoryError one Hessian-vector product by an x of shape (3000,)")


def test_costs_do_not_matter(taken: list[int]) -> None:
    want = curved_by_hand(X[0])
    for low in ({"pass_bytes": 1}, {"first_pass": 1}, {"aligned_bytes": 0, "small": 0}):
        with costs(**low):
            same(lh.hessian(curved, X[0])[...], want)


def curved_by_hand(x: np.ndarray) -> np.ndarray:
    outer = np.outer(np.cos(x), 2 * x)
    return outer + outer.T + np.diag(2 * np.sum(np.sin(x)) - np.sin(x) * np.sum(x**2))
