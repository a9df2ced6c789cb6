"""What rules promise about values, see "Add a rule" in CONTRIBUTING.md.

A rule that asks for no value records the same primitives at any point, and a primitive's maps are
the same at any point but for the numbers in them, if no decision is taken from these.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import pytest

import lazyhess as lh
from lazyhess._decisions import Decisions, deciding, generally
from lazyhess._maps import Gather, Map
from lazyhess._maps.graph import MapGraph
from lazyhess._record import reads
from lazyhess._record.linear import JacobianMap
from lazyhess._record.primitive import Primitive
from lazyhess._record.tape import Tape, value_dependent
from lazyhess._record.variable import ancestors, record
from lazyhess._tangents import Sparse, Structured, identity
from tests.cases import CASES, Case
from tests.costs import SPARSE, costs
from tests.primitives.test_kinks import KINKS

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
warnings.filterwarnings("ignore", "(Mean of empty slice|invalid value|Degrees of freedom)")

KEYS = {case.name.split("-")[0]: case.key for case in CASES}


def cases(key: Any) -> list[Case]:
    return [case for case in CASES if case.key == key or case.key is key]


# Rules that ask for a value, whatever their arguments: what they decide is part of the record. A
# rule is not added here where masks or weights would do.
READS = set(
    """
    corrcoef fmax.accumulate fmax.reduce fmin.accumulate fmin.reduce frexp geomspace histogram
    histogram_bin_edges interp intersect1d linalg.det linalg.eig linalg.eigvals linalg.lstsq
    maximum.accumulate median minimum.accumulate nan_to_num nancumprod nancumsum nanmax nanmean
    nanmedian nanmin nanpercentile nanprod nanquantile nanstd nansum nanvar partition percentile
    piecewise poly polyfit polymul quantile roots select setdiff1d setxor1d sort
    special.log_softmax special.multigammaln special.softmax trim_zeros union1d unique
    unique_all unique_counts unique_inverse unique_values unwrap
    """.split()
)


# --- points ---------------------------------------------------------------------------------------
def turned(x: np.ndarray) -> np.ndarray:
    """The same numbers at other places; a symmetric matrix stays one."""
    return np.array(x[(slice(None, None, -1),) * x.ndim])


def equal(x: np.ndarray) -> np.ndarray:
    """All the same number: ties everywhere."""
    return np.full_like(x, x.flat[0]) if x.size else x


def zero(x: np.ndarray) -> np.ndarray:
    return np.zeros_like(x)


def bad(x: np.ndarray) -> np.ndarray:
    """With NaN and infinity."""
    new = np.array(x)
    new.reshape(-1)[:1], new.reshape(-1)[1:2] = np.nan, np.inf
    return new


POINTS = (turned, equal, zero, bad)


def recorded(case: Case, point: Any = np.array) -> Any:
    with np.errstate(all="ignore"):
        xs = [lh.variable(point(x)) for x in case.inputs]
        return case.function(*xs), xs


def steps(root: Any) -> list[Any]:
    return [node for node in ancestors([root]) if node._primitive is not None]


# --- what a map is, but for its numbers -----------------------------------------------------------
def structure(thing: Any, known: dict[int, Any] | None = None) -> Any:
    """All that a map is made of; of floating and boolean arrays shape and dtype only."""
    known = {} if known is None else known
    if isinstance(thing, lh.Variable):
        return "Variable", thing.dtype, thing.shape
    if isinstance(thing, (np.ndarray, np.generic)):
        whole = thing.tobytes() if thing.dtype.kind in "iu" else None
        return "array", thing.dtype, thing.shape, whole
    if isinstance(thing, (float, complex)):
        return type(thing)
    if id(thing) in known:  # a map and its transpose share their steps
        return known[id(thing)]
    kind = type(thing)
    if isinstance(thing, (tuple, list)):
        parts: Any = [structure(item, known) for item in thing]
    elif isinstance(thing, dict):
        parts = [(structure(k, known), structure(v, known)) for k, v in thing.items()]
    elif isinstance(thing, type) or callable(thing) or not (names := attributes(thing)):
        return thing
    else:
        parts = [
            (name, structure(getattr(thing, name), known))
            for name in names
            if not isinstance(getattr(kind, name, None), cached_property) and name != "_finite"
        ]
    known[id(thing)] = kind, parts
    return known[id(thing)]


def attributes(thing: Any) -> list[str]:
    """The names of what an object holds, in slots too; none of a number, a dtype, a string."""
    slots = {name for kind in type(thing).__mro__ for name in vars(kind).get("__slots__", ())}
    names = {*getattr(thing, "__dict__", ()), *(name for name in slots if hasattr(thing, name))}
    return sorted(names)


def maps(node: Any) -> Iterator[Any]:
    """The Jacobians and the curvature of a step but for numbers, and what they make of seeds."""
    primitive, value = node._primitive, node._value
    args = tuple(x._value if isinstance(x, lh.Variable) else x for x in node._operands)
    active = tuple(k for k, x in enumerate(node._operands) if isinstance(x, lh.Variable))
    adjoint = np.ones(value.shape, value.dtype)
    for k in active:
        yield promised(primitive.jacobian(k, args, value))
    if primitive.curved(active):
        for k, l, map_ in primitive.curvature(args, value, adjoint, active):
            yield k, l, promised(map_)


def promised(map_: Any) -> Any:
    """All of a map, and of what it and its transpose make of seeds, that no value may decide."""
    if map_ is None:
        return None
    answers = []
    for way in (map_, map_.T):
        seeds = identity(np.arange(prod(way.inp)), way.inp, np.float64)
        for low in ({}, SPARSE):
            with costs(**low):
                answers.append(places(way.apply(seeds)))
    return structure(map_), answers


def places(block: Any) -> Any:
    """What a block is, but for its numbers."""
    if isinstance(block, Sparse):
        return "sparse", block.count, block.seed.tobytes(), block.pos.tobytes()
    if isinstance(block, Structured):
        return type(block), places(block.inner)
    return type(block), None if block is None else block.shape


def check_maps(root: Any, xs: list[Any]) -> None:
    """The maps of all steps, taken the general way, are the same at other points."""
    with deciding(generally), np.errstate(all="ignore"):
        here = [list(maps(node)) for node in steps(root)]
        for point in POINTS:
            try:
                other, _ = Tape(root, xs).evaluate([point(x._value) for x in xs])
                if [node.dtype for node in steps(root)] != [node.dtype for node in steps(other)]:
                    assert value_dependent(root, xs)  # eigenvalues are complex there
                    continue
                there = [list(maps(node)) for node in steps(other)]
            except np.linalg.LinAlgError:  # there is no value, or no derivative
                continue
            for node, a, b in zip(steps(root), here, there, strict=True):
                assert a == b, f"{node._primitive.name}: maps depend on values"


def check_record(case: Case) -> None:
    """A function that asks for no value records the same at other points."""
    with deciding(generally):
        before = reads.now()
        root, _ = recorded(case)
        if reads.since(before):
            return
        for point in POINTS:
            try:
                other, _ = recorded(case, point)
            except np.linalg.LinAlgError:
                continue
            same_record(root, other)


def same_record(root: Any, other: Any) -> None:
    for a, b in zip(steps(root), steps(other), strict=True):
        name = a._primitive.name
        assert a._primitive is b._primitive, f"{name}: another primitive at another point"
        for x, y in zip(a._operands, b._operands, strict=True):
            if not isinstance(x, lh.Variable):
                np.testing.assert_array_equal(x, y, f"{name}: a constant depends on values")


# --- the registry ---------------------------------------------------------------------------------
@pytest.mark.parametrize("name", KEYS)
def test_equal_calls_record_equal_primitives(name: str) -> None:
    for case in cases(KEYS[name]):
        one, other = recorded(case)[0], recorded(case)[0]
        same_record(one, other)
        same_record(one, pickle.loads(pickle.dumps(one)))


@pytest.mark.parametrize("name", KEYS)
def test_maps_do_not_depend_on_values(name: str) -> None:
    for case in cases(KEYS[name]):
        root, xs = recorded(case)
        if isinstance(root, lh.Variable) and steps(root):
            check_maps(root, xs)


@pytest.mark.parametrize("name", KEYS)
def test_records_depend_on_values_only_where_these_are_read(name: str) -> None:
    for case in cases(KEYS[name]):
        check_record(case)


def test_rules_that_read_values_are_known() -> None:
    reading = set()
    for name, key in KEYS.items():
        noted = []
        for case in cases(key):
            before = reads.now()
            recorded(case)
            noted.append(reads.since(before))
        if all(noted):
            reading.add(name)
    without_scipy = {name for name in READS if name.startswith("special.")} - set(KEYS)
    assert reading == READS - without_scipy


@pytest.mark.parametrize("name", KEYS)
def test_the_general_way_gives_the_same(name: str) -> None:
    for case in cases(KEYS[name]):
        same_both_ways(case.function, case.inputs)


@pytest.mark.parametrize("name", KINKS)
def test_the_general_way_gives_the_same_at_kinks(name: str) -> None:
    function, point, *_ = KINKS[name]
    same_both_ways(function, (np.array(point),))


def same_both_ways(function: Any, inputs: Any) -> None:
    decisions = Decisions()
    with deciding(decisions):
        usual = derivatives(function, inputs)
    if any(answer for _, answer in decisions):
        with deciding(generally):
            general = derivatives(function, inputs)
        for got, want in zip(general, usual, strict=True):
            assert got.dtype == want.dtype
            size = np.abs(want).max(initial=1, where=np.isfinite(want))
            tolerance = 200 * np.finfo(want.dtype).eps * size
            np.testing.assert_allclose(got, want, rtol=0, atol=tolerance)


def derivatives(function: Any, inputs: Any) -> list[np.ndarray]:
    with np.errstate(all="ignore"):
        xs = tuple(lh.variable(x) for x in inputs)
        y = np.sum(np.real(function(*xs)) * 1.0)
        rows = [np.asarray(block) for row in lh.hessian(y, xs) for block in row]
        return [*lh.gradient(y, xs), *rows]


# --- what breaks a promise is caught --------------------------------------------------------------
class Shares(Map):
    """A diagonal map that leaves out what it finds to be zero."""

    def __init__(self, weights: np.ndarray) -> None:
        self.inp = self.out = weights.shape
        self.weights = weights

    def dense(self, block: np.ndarray) -> Any:
        return block * self.weights

    def sparse(self, block: Sparse) -> Any:
        pattern = block.pattern
        keep = np.flatnonzero(self.weights.take(pattern.pos))
        moved = pattern.moved(self.out, pattern.pos[keep], seed=pattern.seed[keep])
        return Sparse(moved, block.val[keep] * self.weights.take(moved.pos))

    def reach(self, labels: np.ndarray) -> np.ndarray:
        return labels

    @property
    def T(self) -> Map:
        return self


class Square(Primitive):
    name = "square"

    def value(self, *args: Any) -> Any:
        return args[0] ** 2

    def jacobian(self, k: int, args: tuple[Any, ...], out: Any) -> Any:
        return Shares(2 * args[0])


def test_places_that_a_map_picks_by_values_are_caught() -> None:
    x = lh.variable([1.0, 3.0, 2.0])
    with pytest.raises(AssertionError, match="square: maps depend on values"):
        check_maps(record(Square.of(), x), [x])


class Largest(Primitive):
    """The largest element, by a gather from where it is."""

    name = "largest"

    def value(self, *args: Any) -> Any:
        return np.asarray(np.max(args[0]))

    def jacobian(self, k: int, args: tuple[Any, ...], out: Any) -> Any:
        return Gather(args[0].shape, (np.argmax(args[0]).reshape(()),), ())


def test_an_index_made_from_values_in_a_map_is_caught() -> None:
    x = lh.variable([1.0, 3.0, 2.0])
    with pytest.raises(AssertionError, match="largest: maps depend on values"):
        check_maps(record(Largest.of(), x), [x])


class LargestByGraph(Largest):
    """The same gather, as a step of a graph."""

    name = "largest by graph"

    def jacobian(self, k: int, args: tuple[Any, ...], out: Any) -> Any:
        gather = super().jacobian(k, args, out)
        graph = MapGraph([(1, args[0].dtype, [(0, gather, gather.T)])])
        shapes, dtypes = (args[0].shape, ()), (args[0].dtype, args[0].dtype)
        return JacobianMap(graph, (0, 1), shapes, dtypes)


def test_an_index_made_from_values_in_a_graph_is_caught() -> None:
    x = lh.variable([1.0, 3.0, 2.0])
    with pytest.raises(AssertionError, match="largest by graph: maps depend on values"):
        check_maps(record(LargestByGraph.of(), x), [x])


def test_an_index_made_from_values_in_a_rule_is_caught() -> None:
    def quietly_sorted(x: Any) -> Any:
        return x[np.argsort(x._value)]

    with pytest.raises(AssertionError, match="getitem: another primitive"):
        check_record(Case(None, "sorted", quietly_sorted, (np.array([1.0, 3.0, 2.0]),)))


def test_a_constant_made_from_values_in_a_rule_is_caught() -> None:
    def quietly_masked(x: Any) -> Any:
        return np.where(x._value > 1.5, x, 0)

    with pytest.raises(AssertionError, match="where: a constant depends"):
        check_record(Case(None, "masked", quietly_masked, (np.array([1.0, 3.0, 2.0]),)))


def test_a_primitive_made_anew_is_caught() -> None:
    x = lh.variable([1.0, 3.0])
    with pytest.raises(AssertionError, match="largest: another primitive"):
        same_record(record(Largest(), x), record(Largest(), x))
