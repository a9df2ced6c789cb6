"""Factored blocks: every linear map, every sum and cast, against the same seeds one by one."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from lazyhess._maps import (
    Batched,
    Conjugate,
    Expand,
    Fourier,
    Gather,
    Map,
    Mask,
    Permute,
    Reduce,
    Reshape,
    Scale,
)
from lazyhess._tangents import (
    KhatriRao,
    SourceView,
    Sparse,
    cast,
    dense,
    identity,
    nbytes,
    shape_of,
    total,
)
from tests.maps.test_maps import MAPS, POISON, contract, sparse

rng = np.random.default_rng(7)
N = rng.normal

ONES: dict[str, Map] = {
    "reshape ones": Reshape((1, 3, 1), (3, 1, 1, 1)),
    "reshape to ones": Reshape((1, 1), (1, 1, 1)),
    "reshape parts": Reshape((2, 6, 5), (2, 2, 3, 5)),
    "reduce to ones": Reduce((4, 1, 3), (0,), (1, 3)),
    "reduce some kept": Reduce((4, 1, 3), (0, 2), (1, 1)),
    "expand ones": Expand((1, 3), (0, 1), (4, 5, 3)),
    "expand in between": Expand((1, 3), (1,), (1, 5, 3)),
    "conjugate": Conjugate((2, 3)),
    "fourier": Fourier((2, 3), 1, None, inverse=False),
    "contract ones": contract("abi,ij->abj", (2, 1, 1), (1, 3)),
    "contract inner ones": contract("abi,abj->ij", (1, 1, 3), (1, 1, 2)),
    "contract to a number": contract("ij,ij->", (4, 3), (4, 3)),
    "batched": Batched(Permute((2, 3), (1, 0)), 4),
}
ONES |= {f"{name}, transposed": m.T for name, m in ONES.items()}
small = {name: m for name, m in (MAPS | ONES).items() if np.prod((*m.inp, *m.out)) < 10**6}
every = pytest.mark.parametrize("map_", small.values(), ids=small)


def factored(
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    kind: str,
    first: bool,
    dtype: Any = float,
    count: int = 3,
) -> KhatriRao:
    """A block of a random grid; some weights are zero."""
    weights = N(size=(count, *(shape[axis] for axis in axes)))
    weights[rng.random(weights.shape) < 0.2] = 0
    inner: Any = sparse(shape, 2, 3)
    if kind == "dense":
        inner = N(size=(2, *shape))
    if kind == "thin":
        thin = [1 if axis in axes else n for axis, n in enumerate(shape)]
        inner = np.broadcast_to(N(size=(2, *thin)), (2, *shape))
    if np.dtype(dtype).kind == "c":
        weights = weights * np.exp(1j)
        inner = Sparse(inner.pattern, inner.val * 1j) if kind == "sparse" else inner * 1j
    made = cast(inner, np.dtype(dtype))
    assert isinstance(made, (Sparse, np.ndarray))
    return KhatriRao(weights.astype(dtype), axes, made, first)


def seeds(block: KhatriRao) -> np.ndarray:
    """What a factored block means, seed by seed."""
    count, others = block.grid
    inner = dense(block.inner, others, block.shape, block.dtype)
    made: list[Any] = [None] * (count * others)
    for a in range(count):
        thin = [n if axis in block.axes else 1 for axis, n in enumerate(block.shape)]
        for b in range(others):
            seed = a * others + b if block.first else b * count + a
            made[seed] = block.weights[a].reshape(thin) * inner[b]
    return np.array(made).reshape((len(made), *block.shape))


def blocks(shape: tuple[int, ...], dtype: Any = float) -> Any:
    """Blocks of all kinds, with weights along all axes they can stand along, and along two."""
    every = [(axis,) for axis in range(len(shape))] + list(combinations(range(len(shape)), 2))
    for axes in every:
        for kind in ("sparse", "dense", "thin"):
            for first in (True, False):
                for count in (3, 1):
                    yield factored(shape, axes, kind, first, dtype, count)


def check(map_: Map, block: KhatriRao, tolerance: float = 1e-12) -> Any:
    array = seeds(block)
    want = dense(map_.apply(array), len(array), map_.out, array.dtype)
    made = map_.apply(block)
    got = dense(made, len(array), map_.out, array.dtype)
    assert got.shape == (len(array), *map_.out)
    scale = max(np.abs(want).max(initial=0), 1)
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * scale)
    return made


@every
def test_maps_of_factored_blocks_are_those_of_their_seeds(map_: Map) -> None:
    for block in blocks(map_.inp):
        made = check(map_, block)
        if isinstance(made, KhatriRao):
            assert made.shape == map_.out
            assert made.axes == tuple(sorted(set(made.axes)))
            assert made.weights.shape[1:] == tuple(map_.out[axis] for axis in made.axes)
            assert made.grid == block.grid
            assert made.first == block.first


@every
@pytest.mark.parametrize("dtype", [np.float32, np.complex128, np.complex64])
def test_in_other_dtypes(map_: Map, dtype: Any) -> None:
    single = np.dtype(dtype) in (np.float32, np.complex64)
    for block in blocks(map_.inp, dtype):
        check(map_, block, 1e-5 if single else 1e-12)


@every
def test_expanded(map_: Map) -> None:
    for block in blocks(map_.inp):
        want = seeds(block)
        got = dense(block, len(want), block.shape, float)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-14)
        assert block.expanded().dtype == block.dtype
        assert shape_of(block, ()) == block.shape
        assert nbytes([block, None]) == block.nbytes


def test_where_weights_stay() -> None:
    """The maps that leave them alone give factored blocks, and no more seeds than the inner has."""
    shape = (4, 1, 3)
    kept: list[tuple[Map, tuple[int, ...], tuple[int, ...]]] = [
        (Reshape(shape, (4, 3)), (0,), (0,)),
        (Reshape(shape, (1, 4, 3, 1)), (0, 2), (1, 2)),
        (Reshape(shape, (2, 2, 3)), (2,), (2,)),
        (Reduce(shape, (0,), (1, 3)), (2,), (1,)),
        (Reduce(shape, (0,), (1, 1, 3)), (1, 2), (1, 2)),
        (Reduce((4, 5, 1, 3), (0, 2), (5, 1, 3)), (1, 3), (0, 2)),
        (Expand((1, 3), (0, 1), (4, 5, 3)), (1,), (2,)),
        (Expand((1, 3), (1,), (1, 5, 3)), (0, 1), (0, 2)),
        (Scale(N(size=3), shape), (0, 2), (0, 2)),
        (Mask(N(size=shape) > 0, shape), (0,), (0,)),
        (contract("abi,ij->jab", shape, (3, 2)), (0, 1), (1, 2)),
        (contract("abi,aij->jab", shape, (4, 3, 2)), (0, 1), (1, 2)),
    ]
    for map_, axes, places in kept:
        made = map_.apply(factored(map_.inp, axes, "dense", True))
        assert isinstance(made, KhatriRao)
        assert made.axes == places
    mixed: list[tuple[Map, tuple[int, ...]]] = [
        (Reshape(shape, (12,)), (0,)),
        (Reduce(shape, (0,), (1, 3)), (0, 2)),
        (Expand((1, 3), (0, 1), (4, 5, 3)), (0,)),
        (contract("abi,ij->jab", shape, (3, 2)), (0, 2)),
    ]
    for map_, axes in mixed:
        assert isinstance(map_.apply(factored(map_.inp, axes, "dense", True)), np.ndarray)


def test_empty_axes() -> None:
    shape = (4, 0, 3)
    empty: list[Map] = [
        Reshape(shape, (3, 0)),
        Reduce(shape, (1,), (4, 3)),
        Reduce(shape, (0,), (0, 3)),
        Expand(shape, (0,), (2, 4, 0, 3)),
        Scale(N(size=3), shape),
        contract("abi,ij->jab", shape, (3, 2)),
        contract("abi,abj->ij", shape, (4, 0, 2)),
        contract("abi,ij->jab", (4, 2, 3), (3, 0)),
    ]
    for map_ in empty:
        for block in blocks(map_.inp):
            check(map_, block)


POISONED = dict(POISON)
POISONED["contract free"] = (lambda w: contract("ai,ij->aj", (4, 30), (30, 5), w), (30, 5))
POISONED["contract kept"] = (lambda w: contract("ai,ai->a", (4, 30), (4, 30), w), (4, 30))


@pytest.mark.parametrize("poison", [np.inf, np.nan])
@pytest.mark.parametrize("make, shape", POISONED.values(), ids=POISONED)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_weights_of_zero_meet_no_infinity(make: Any, shape: tuple[int, ...], poison: float) -> None:
    numbers = N(size=shape)
    numbers[(1,) * len(shape)] = poison
    map_ = make(numbers)
    met = 0
    for block in blocks(map_.inp):
        array = seeds(block)
        want = dense(map_.apply(array), len(array), map_.out, float)
        got = dense(map_.apply(block), len(array), map_.out, float)
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)
        met += np.count_nonzero(~np.isfinite(got))
    assert met


# --- where they come from -------------------------------------------------------------------------
GRIDS = {
    "right": ("ik,ni->nk", (30, 7), (50, 30)),
    "left": ("ki,ni->nk", (7, 30), (50, 30)),
    "turned": ("ik,ni->kn", (30, 7), (50, 30)),
    "two new": ("ik,nim->nkm", (30, 7), (10, 30, 6)),
    "two summed": ("ijk,nij->kn", (5, 6, 7), (50, 5, 6)),
    "two free": ("ikl,ni->nkl", (30, 2, 4), (50, 30)),
    "free turned": ("ikl,ni->nlk", (30, 2, 4), (50, 30)),
    "one free": ("ik,ni->nk", (30, 1), (200, 30)),
    "one new": ("ik,ni->nk", (30, 20), (1, 30)),
}


@pytest.mark.parametrize("text, inp, shape", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("dtype", [float, np.float32, complex])
def test_identity_seeds_of_products(
    text: str, inp: tuple[int, ...], shape: tuple[int, ...], dtype: Any
) -> None:
    map_ = contract(text, inp, shape, N(size=shape).astype(dtype))
    size = int(np.prod(inp))
    group = map_.seed_group(SourceView(0, size))
    assert group > 0
    groups = size // group
    for low, high in {(0, groups), (1, groups), (groups // 2, groups // 2 + 2)}:
        positions = np.arange(low * group, min(high, groups) * group)
        block = identity(positions, inp, dtype)
        made = map_.apply(block)
        want = map_.dense(block.dense())
        assert isinstance(made, KhatriRao) == (len(positions) * want[0].size > 4096)
        np.testing.assert_allclose(dense(made, len(positions), map_.out, dtype), want)
    for positions in (np.arange(1, size), np.arange(0, size, 2), np.arange(group + 1)):
        block = identity(positions, inp, dtype)
        made = map_.apply(block)
        assert not isinstance(made, KhatriRao) or len(positions) % group == 0
        want = map_.dense(block.dense())
        np.testing.assert_allclose(dense(made, len(positions), map_.out, dtype), want)


def test_products_that_make_none() -> None:
    for text, inp, shape in (
        ("bik,bni->bnk", (2, 30, 7), (2, 50, 30)),
        ("i,ni->n", (30,), (200, 30)),
        ("k,n->nk", (30,), (200,)),
        ("ikj,nij->nk", (5, 30, 6), (50, 5, 6)),
    ):
        map_ = contract(text, inp, shape)
        assert map_.seed_group(SourceView(0, int(np.prod(inp)))) == 0
        assert not isinstance(map_.apply(identity(np.arange(30), inp, float)), KhatriRao)
    numbers = N(size=(50, 30))
    numbers[3, 4] = np.inf
    map_ = contract("ik,ni->nk", (30, 7), (50, 30), numbers)
    assert not isinstance(map_.apply(identity(np.arange(210), (30, 7), float)), KhatriRao)


# --- sums and casts -------------------------------------------------------------------------------
SHAPE = (4, 5, 3)


def summands() -> dict[str, Any]:
    one = factored(SHAPE, (1,), "dense", True)
    return {
        "one": one,
        "like": KhatriRao(one.weights, one.axes, N(size=(2, *SHAPE)), True),
        "like, sparse": KhatriRao(one.weights, one.axes, sparse(SHAPE, 2, 4), True),
        "like, another sparse": KhatriRao(one.weights, one.axes, sparse(SHAPE, 2, 30), True),
        "other order": KhatriRao(one.weights, one.axes, one.inner, False),
        "other weights": factored(SHAPE, (1,), "sparse", True),
        "other axes": factored(SHAPE, (0, 2), "thin", True),
        "single": factored(SHAPE, (1,), "dense", True, np.float32),
        "complex": factored(SHAPE, (1,), "sparse", False, complex),
        "array": N(size=(6, *SHAPE)),
        "flat": np.broadcast_to(2.0, (6, *SHAPE)),
        "sparse": sparse(SHAPE, 6, 4),
        "none": None,
    }


NAMES = list(summands())


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_sums(count: int, last: bool) -> None:
    parts = summands()
    before = {name: dense(block, 6, SHAPE, float).copy() for name, block in parts.items()}
    for names in combinations(NAMES, count):
        want = sum(before[name] for name in names)
        got = total([parts[name] for name in names], last=last)
        np.testing.assert_allclose(dense(got, 6, SHAPE, float), want, rtol=0, atol=1e-12)
    for name, block in parts.items():
        np.testing.assert_array_equal(dense(block, 6, SHAPE, float), before[name])


def test_sums_of_the_same_weights_stay_factored() -> None:
    parts = summands()
    made = total([parts["like, sparse"], None, parts["like"], parts["one"]])
    assert isinstance(made, KhatriRao)
    assert made.weights is parts["one"].weights
    assert not isinstance(total([parts["one"], parts["other order"]]), KhatriRao)


@pytest.mark.parametrize("dtype", [np.float32, float, np.complex64, complex])
def test_casts(dtype: Any) -> None:
    for name, block in summands().items():
        if block is None:
            assert cast(block, np.dtype(dtype)) is None
            continue
        made: Any = cast(block, np.dtype(dtype))
        assert made.dtype == dtype
        want = dense(block, 6, SHAPE, float)
        want = want if np.dtype(dtype).kind == "c" else want.real
        got = dense(made, 6, SHAPE, dtype)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6, err_msg=name)


# --- maps to a part of the output -----------------------------------------------------------------
@every
def test_trailing_rows_are_the_output_cut(map_: Map) -> None:
    length = map_.out[0] if map_.out else 0
    for start in range(1, min(length, 5)):
        cut = map_.trailing(start)
        if cut is None:
            continue
        assert cut.inp == map_.inp
        assert cut.out == (length - start, *map_.out[1:])
        given: list[Any] = [N(size=(4, *map_.inp)), sparse(map_.inp, 4, 9), None]
        given += [np.broadcast_to(1.5, (4, *map_.inp)), *blocks(map_.inp)]
        for block in given:
            count = len(seeds(block)) if isinstance(block, KhatriRao) else 4
            want = dense(map_.apply(block), count, map_.out, float)[:, start:]
            got = dense(cut.apply(block), count, cut.out, float)
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(9,), (9, 1), (9, 1, 1)])
@pytest.mark.parametrize("window", [(0, 9), (0, 4), (3, 9), (2, 7)])
@pytest.mark.parametrize("whole", [True, False], ids=["axes kept", "axes taken away"])
def test_trailing_rows_of_what_was_a_window(
    shape: tuple[int, ...], window: tuple[int, int], whole: bool
) -> None:
    """Of arrays with axes of length 1 behind the first, too."""
    rest = [slice(None) if whole else 0] * (len(shape) - 1)
    map_ = Gather(shape, (slice(*window), *rest)).T
    asked = 0
    for start in range(1, 9):
        cut = map_.trailing(start)
        if cut is None:
            continue
        asked += 1
        for block in (N(size=(4, *map_.inp)), sparse(map_.inp, 4, 3)):
            want = dense(map_.apply(block), 4, shape, float)[:, start:]
            np.testing.assert_array_equal(dense(cut.apply(block), 4, cut.out, float), want)
    assert asked == min(window[1] - 1, 8)


def test_which_maps_can_be_restricted() -> None:
    for name in ("matrix", "left", "turned", "vector", "batch", "batch vector", "many"):
        assert small[f"contract {name}"].trailing(1) is not None
    for name in ("contract inner", "contract outer", "reduce", "scale", "gather slice"):
        assert small[name].trailing(1) is None


@pytest.mark.parametrize("poison", [np.inf, np.nan])
@pytest.mark.parametrize("at", [0, 3])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_trailing_rows_of_what_is_not_finite(poison: float, at: int) -> None:
    numbers = N(size=(6, 4))
    numbers[1, at] = poison
    map_ = contract("ij,jk->ki", (3, 6), (6, 4), numbers)
    cut = map_.trailing(2)
    assert cut is not None
    assert cut.finite == (at < 2)
    array = N(size=(5, 3, 6))
    array[:4, :, 1] = 0
    want = dense(map_.apply(array), 5, map_.out, float)[:, 2:]
    np.testing.assert_allclose(dense(cut.apply(array), 5, cut.out, float), want, rtol=1e-12)
