"""The contract that every engine passes, on torch's tensors."""

import numpy as np
import pytest
import torch

import lazyhess as lh


def total(x, *axis):
    return torch.sum(x, *axis)


def numpy(x):
    return x.detach().numpy() if isinstance(x, torch.Tensor) else np.asarray(x)


def graph(function, xs):
    if isinstance(xs, tuple):
        made = tuple(x.clone().requires_grad_() for x in xs)
        return function(*made), made
    made = xs.clone().requires_grad_()
    return function(made), made


def check(array=torch.tensor, graph=graph, **options):
    lh.testing.check_engine(array, total, numpy=numpy, graph=graph, **options)


def test_the_contract():
    check()


def test_arrays_of_single_precision():
    check(lambda x: torch.tensor(x, dtype=torch.float32), rtol=1e-5)


def test_arrays_that_are_not_contiguous():
    check(lambda x: torch.tensor(x.T.copy()).permute(*range(x.ndim)[::-1]))


def test_a_graph_that_drops_a_factor_is_caught():
    def wrong(function, xs):
        ys, made = graph(function, xs)
        return ys + (ys - ys.detach()) * 1e-6, made

    with pytest.raises(AssertionError, match="off by"):
        check(graph=wrong)


def test_rows_that_are_swapped_are_caught(monkeypatch):
    from lazyhess._frontends.torch.products import Graph

    right = Graph._differentiated

    def wrong(self, *args):
        return [None if part is None else part.flip(0) for part in right(self, *args)]

    monkeypatch.setattr(Graph, "_differentiated", wrong)
    with pytest.raises(AssertionError):
        check()


def test_answers_that_share_memory_with_what_is_kept_are_caught(monkeypatch):
    from lazyhess._frontends.torch.arrays import TorchArrays

    right = TorchArrays.take

    def wrong(self, array, ids, axis):
        return array if len(ids) == array.shape[axis] else right(self, array, ids, axis)

    monkeypatch.setattr(TorchArrays, "take", wrong)
    with pytest.raises(AssertionError):
        check()
