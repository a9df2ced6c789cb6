"""The contract that every engine passes, on torch's tensors."""

from functools import partial

import pytest
import torch

from lazyhess.testing import check_engine
from tests.frontends.cases import CASES, Kind
from tests.helpers import numbers, recorded


def total(x, *axis):
    return torch.sum(x, *axis)


graph = recorded(lambda x: x.clone().requires_grad_())
hold = partial(check_engine, total=total, numpy=numbers, graph=graph)


def test_the_contract():
    hold(torch.tensor)


def test_arrays_of_single_precision():
    hold(lambda x: torch.tensor(x, dtype=torch.float32), rtol=1e-5)


def test_arrays_that_are_not_contiguous():
    hold(lambda x: torch.tensor(x.T.copy()).permute(*range(x.ndim)[::-1]))


def test_a_graph_that_drops_a_factor_is_caught():
    def wrong(function, xs):
        ys, made = graph(function, xs)
        return ys + (ys - ys.detach()) * 1e-6, made

    with pytest.raises(AssertionError, match="off by"):
        hold(torch.tensor, graph=wrong)


def test_rows_that_are_swapped_are_caught(monkeypatch):
    from lazyhess._frontends.torch.products import Graph

    right = Graph._differentiated

    def wrong(self, *args):
        return [None if part is None else part.flip(0) for part in right(self, *args)]

    monkeypatch.setattr(Graph, "_differentiated", wrong)
    with pytest.raises(AssertionError):
        hold(torch.tensor)


def test_answers_that_share_memory_with_what_is_kept_are_caught(monkeypatch):
    from lazyhess._frontends.torch.arrays import TorchArrays

    right = TorchArrays.take

    def wrong(self, array, ids, axis):
        return array if len(ids) == array.shape[axis] else right(self, array, ids, axis)

    monkeypatch.setattr(TorchArrays, "take", wrong)
    with pytest.raises(AssertionError):
        hold(torch.tensor)


KIND = Kind(
    lambda x, dtype: torch.tensor(x, dtype=getattr(torch, dtype), requires_grad=True),
    torch.sum,
    lambda x: x.detach(),
    carries=True,
    unrecorded=torch.no_grad,
    mixed=RuntimeError,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_what_all_answer_alike(case):
    case(KIND)
