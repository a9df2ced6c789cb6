"""A graph of maps, walked both ways, against the matrices that it is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lazyhess._maps import NOTHING, Map, Scale, chain
from lazyhess._maps.graph import AXES, BLOCKS, LABELS, MARKS, Edge, MapGraph
from lazyhess._tangents import SourceView, dense, identity
from tests.maps.test_maps import MAPS, contract

rng = np.random.default_rng(8)
FLOAT = np.dtype(float)

# Slot: its length, and the slots it is computed from. 0 and 1 are inputs, and 4 leads nowhere.
SIZES = {0: 3, 1: 2, 2: 4, 3: 4, 4: 2, 5: 5}
OPERANDS = {2: [0, 1], 3: [2], 4: [1], 5: [3, 0, 2]}
MATRICES = {
    (slot, k): rng.normal(size=(SIZES[slot], SIZES[k])) for slot in OPERANDS for k in OPERANDS[slot]
}


def edge(k: int, matrix: Any) -> Edge:
    jacobian: Map = contract("j,ij->i", matrix.shape[1:], matrix.shape, matrix)
    return k, jacobian, jacobian.T


GRAPH = MapGraph(
    [(slot, FLOAT, [edge(k, MATRICES[slot, k]) for k in ks]) for slot, ks in OPERANDS.items()]
)


def jacobian(slot: int, k: int) -> Any:
    """Of one slot by another, by the sum over all ways."""
    if slot == k:
        return np.eye(SIZES[k])
    whole = np.zeros((SIZES[slot], SIZES[k]))
    for operand in OPERANDS.get(slot, ()):
        whole = whole + MATRICES[slot, operand] @ jacobian(operand, k)
    return whole


def columns(block: Any, slot: int) -> Any:
    return dense(block, SIZES[0], (SIZES[slot],), float).T


def test_forward() -> None:
    values = GRAPH.forward({0: identity(np.arange(3), (3,), float)}, BLOCKS)
    assert set(values) == {0, 2, 3, 5}  # what does not depend on it is not there
    for slot, block in values.items():
        np.testing.assert_allclose(columns(block, slot), jacobian(slot, 0))


def test_what_is_given_at_a_step_is_a_part_of_it() -> None:
    given = rng.normal(size=(3, 4))
    values = GRAPH.forward({0: np.eye(3), 2: given}, BLOCKS)
    np.testing.assert_allclose(columns(values[3], 3), jacobian(3, 0) + jacobian(3, 2) @ given.T)


def test_backward() -> None:
    adjoint = rng.normal(size=(1, 5))
    pending = GRAPH.backward({5: [adjoint]}, BLOCKS, keep={2, 4})
    assert set(pending) == {0, 1, 2}  # 4 is asked, and nothing has come there
    for slot, blocks in pending.items():
        assert len(blocks) == 1 or slot == 0
        np.testing.assert_allclose(BLOCKS.add(blocks, FLOAT), adjoint @ jacobian(5, slot))


def test_curvature_acts_on_tangents() -> None:
    """The Hessian of a sum over slot 2 squared and weighted, beside what comes from above."""
    weights = rng.normal(size=4)
    curvature = {3: [(2, 2, Scale(weights, (4,)))]}
    seeds = np.eye(3)
    tangents = GRAPH.forward({0: seeds}, BLOCKS)
    above = rng.normal(size=(3, 5))
    pending = GRAPH.backward({5: [above]}, BLOCKS, (), curvature, tangents)
    want = above @ jacobian(5, 0) + jacobian(2, 0).T @ np.diag(weights) @ jacobian(2, 0)
    np.testing.assert_allclose(BLOCKS.add(pending[0], FLOAT), want)
    assert not set(tangents) & set(OPERANDS)  # dropped on the way


def test_labels_and_marks() -> None:
    labels = GRAPH.forward({0: np.array([1, 5, 3]), 1: np.array([4, 2])}, LABELS)
    np.testing.assert_array_equal(labels[5], np.full(5, 5))
    np.testing.assert_array_equal(labels[4], np.full(2, 4))
    back = GRAPH.backward({4: [np.array([NOTHING, 7])]}, LABELS)
    np.testing.assert_array_equal(back[1][0], [7, 7])
    assert GRAPH.above([1]) == {1, 2, 3, 4, 5}
    assert GRAPH.above([3]) == {3, 5}
    assert set(GRAPH.backward({3: [True]}, MARKS, GRAPH.slots)) == {0, 1, 2, 3}


def test_parts_of_a_graph() -> None:
    inner = GRAPH.within({1, 2, 5})
    assert [(slot, [k for k, _, _ in edges]) for slot, _, edges in inner.steps] == [
        (2, [1]),
        (5, [2]),
    ]
    inside, rest = GRAPH.divided({1, 2})
    assert inside.steps == GRAPH.within({1, 2}).steps
    assert [(slot, [k for k, _, _ in edges]) for slot, _, edges in rest.steps] == [
        (2, [0]),
        (5, [3, 0]),
    ]
    assert GRAPH.edited(lambda slot, edge: edge if slot == 5 else None).edges == GRAPH.edges[-3:]


def test_axes_that_stay_apart() -> None:
    rows = contract("ij,jk->ik", (4, 3), (3, 2))
    turned = contract("ij,jk->ki", (4, 3), (3, 2))
    graph = MapGraph([(1, FLOAT, [(0, rows, rows.T)]), (2, FLOAT, [(0, turned, turned.T)])])
    assert graph.forward({0: (0,)}, AXES) == {0: (0,), 1: (0,), 2: (1,)}
    assert graph.forward({0: (1,)}, AXES) == {0: (1,), 1: None, 2: None}
    both = MapGraph([(1, FLOAT, [(0, rows, rows.T), (3, turned, turned.T)])])
    assert both.forward({0: (0,), 3: (0,)}, AXES)[1] is None


# --- views ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", MAPS)
def test_views_are_what_they_say(name: str) -> None:
    map_ = MAPS[name]
    size = int(np.prod(map_.inp))
    view = map_.view(SourceView(10, 10 + size))
    if view is None:
        return
    source = np.arange(100.0)
    out = dense(map_.apply(source[10 : 10 + size].reshape((1, *map_.inp))), 1, map_.out, float)[0]
    assert view.axes is None or view.axes == map_.axes
    piece = out if view.axes is None else out.transpose(np.argsort(view.axes))
    np.testing.assert_array_equal(piece.reshape(-1), source[view.start : view.stop])


def test_which_maps_have_views() -> None:
    view = SourceView(0, 24)
    for name in ("reshape", "permute", "gather window", "gather scalar"):
        assert MAPS[name].view(view) is not None
    for name in ("reduce none", "scale", "mask", "gather slice", "gather repeats", "expand"):
        assert MAPS[name].view(view) is None
    turned = MAPS["permute"].view(view)
    assert turned is not None
    assert MAPS["reshape"].view(turned) is None  # its elements are not in order any more
    assert chain(MAPS["permute"], MAPS["permute"].T).view(view) is None
