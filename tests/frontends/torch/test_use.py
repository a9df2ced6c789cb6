"""What users of torch do: modes, graphs of answers, indices, memory, threads."""

import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn

import lazyhess as lh
from tests.frontends.torch.models import network, normal


def cube(x):
    return (x**3).sum()


def test_modes_at_the_call_and_at_the_index():
    x = normal(3)
    want = torch.diag(6 * x)
    with torch.no_grad():
        H = lh.hessian(cube, x)
        assert torch.allclose(H[...], want)
        assert torch.allclose(lh.gradient(cube, x), 3 * x**2)
    y = x.clone().requires_grad_()
    H = lh.hessian(cube(y), y)
    with torch.no_grad():
        assert torch.allclose(H[...], want)
    with torch.inference_mode():
        assert torch.allclose(lh.hessian(cube, x)[1], want[1])
        made = normal(3) + 0
        assert torch.allclose(lh.hessian(cube, made)[1], want[1])


def test_answers_have_no_graph():
    x = normal(3).requires_grad_()
    for H in (lh.hessian(cube(x), x), lh.hessian(cube, x)):
        for answer in (H[0], H[...], H.gradient(), H.value, H.diagonal(), H @ x.detach()):
            assert not answer.requires_grad
    assert not lh.gradient(cube(x), x).requires_grad


def test_third_order():
    x = normal(3).requires_grad_()
    H = lh.hessian(cube(x) * x.sum(), x, create_graph=True)
    (got,) = torch.autograd.grad(H[...].diagonal().sum(), x, retain_graph=True)
    x0 = x.detach()
    want = torch.func.grad(
        lambda x: torch.func.hessian(lambda x: cube(x) * x.sum())(x).diagonal().sum()
    )(x0)
    assert torch.allclose(got, want)
    (by_function,) = torch.autograd.grad(
        lh.hessian(lambda x: cube(x) * x.sum(), x, create_graph=True)[...].diagonal().sum(), x
    )
    assert torch.allclose(by_function, want)
    slope = lh.gradient(cube, x, create_graph=True)
    assert torch.allclose(torch.autograd.grad(slope.sum(), x)[0], 6 * x0)


def test_indices_of_torch():
    x = normal(5)
    H, want = lh.hessian(lambda x: cube(x) * x.sum(), x), None
    want = torch.func.hessian(lambda x: cube(x) * x.sum())(x)
    for index in (
        torch.tensor([3, 1]),
        torch.tensor(2),
        x > 0,
        (torch.tensor([0, 1]), torch.tensor([2, 4])),
        (slice(None), torch.tensor([4, 0])),
    ):
        assert torch.allclose(H[index], want[index])


def test_products_and_arithmetic():
    x = normal(5)
    H = lh.hessian(lambda x: cube(x) * x.sum(), x)
    want = torch.func.hessian(lambda x: cube(x) * x.sum())(x)
    v, V = normal(5, seed=1), normal(5, 2, seed=2)
    assert torch.allclose(H @ v, want @ v)
    assert torch.allclose(v @ H, v @ want)
    assert torch.allclose(H @ V, want @ V)
    assert torch.allclose(H @ v.numpy(), want @ v)
    assert H.cache_info().products == 5  # the rest was known by then
    assert torch.allclose(H + 1, want + 1)
    assert torch.allclose(2 * H, 2 * want)
    assert H.dtype == torch.float64
    assert isinstance(np.linalg.norm(np.asarray(H)), float)


def test_non_zeros():
    rows, columns, values = lh.hessian(cube, normal(4)).tocoo()
    assert rows.tolist() == columns.tolist() == [0, 1, 2, 3]
    assert torch.allclose(values, 6 * normal(4))


def test_the_value_is_your_own():
    x = normal(3).requires_grad_()
    ys = cube(x)
    H = lh.hessian(ys, x)
    H.value.fill_(7)
    assert H.value == ys.detach()
    assert ys.item() != 7


def test_aux_and_argnums():
    a, b, n = normal(3), normal(2), 4
    made, aux = lh.hessian(
        lambda a, b, n: (cube(a) * b.sum() ** n, {"b": b, "n": n}),
        (a, b, n),
        has_aux=True,
        argnums=(1, 0),
    )
    assert made[0][1].shape == (2, 3)
    assert aux["n"] == 4
    assert not aux["b"].requires_grad
    slope, aux = lh.gradient(lambda a: (cube(a), a), a, has_aux=True)
    assert torch.allclose(slope, 3 * a**2)
    assert not aux.requires_grad


def test_newton():
    x = torch.tensor([1.0, 3.0])
    H = lh.hessian(lambda x: torch.cosh(x).sum(), x)
    for _ in range(8):
        x = x - torch.linalg.solve(H[...], H.gradient())
        H = H.at(x)
    assert torch.allclose(x, torch.zeros(2), atol=1e-6)


def test_a_callable_runs_once():
    calls = []

    def f(x):
        calls.append(1)
        return cube(x) * torch.rand(())  # the same number in every row

    H = lh.hessian(f, normal(4))
    H[0], H[...], H.gradient(), H.value
    assert len(calls) == 1
    assert torch.allclose(H.diagonal(), 6 * normal(4) * (H.value / cube(normal(4))))


def test_no_pass_has_more_rows_than_asked(monkeypatch):
    from lazyhess._frontends.torch.products import Graph

    sizes = []
    right = Graph._differentiated
    monkeypatch.setattr(
        Graph,
        "_differentiated",
        lambda self, first, xs, tangents, vectors: (
            sizes.append(len(tangents)) or right(self, first, xs, tangents, vectors)
        ),
    )
    lh.hessian(cube, normal(7), block_size=3)[...]
    assert sizes == [3, 3, 1]
    sizes.clear()
    lh.hessian(cube, normal(7))[2:4]
    assert sizes == [2]


def test_large_results_run_in_small_passes():
    big = lh.hessian(lambda x: (x.expand(1 << 20, 4) ** 3).sum() / (1 << 20), normal(4))
    small = lh.hessian(cube, normal(4))
    assert big._source.engine.function.at_once(0) == 1
    assert small._source.engine.function.at_once(0) > 1000


def test_a_matrix_times_many_vectors_is_one_product():
    from lazyhess._frontends.torch.products import MatrixVector

    X, v = normal(6, 4), normal(4)
    for matrix in (X, X.clone().requires_grad_()):
        first = v.clone().requires_grad_()
        want = torch.func.hessian(lambda w: cube(X @ w))(v)
        ys = cube(matrix @ first)
        assert lh.hessian(ys, first)._source.engine.function._survey[1]
        assert torch.allclose(lh.hessian(ys, first)[...], want)
    seen = []
    right = MatrixVector.__torch_dispatch__

    class Seeing(MatrixVector):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            made = right(self, func, types, args, kwargs)
            if func is torch.ops.aten.bmm.default:
                seen.append(torch.equal(made, func(*args)) or torch.allclose(made, func(*args)))
            return made

    with Seeing():
        a, b = normal(6, 4).expand(3, 6, 4), normal(3, 4, 1, seed=1)
        assert torch.allclose(
            torch.bmm(a, b), torch.stack([x @ y for x, y in zip(a, b, strict=True)])
        )
    assert seen == [True]


def test_rows_keep_no_graph_and_memory_does_not_grow():
    model = network(4, 5, 3)
    X, labels = normal(9, 4, seed=1), torch.arange(9) % 3
    parameters = dict(model.named_parameters())

    def step():
        H = lh.hessian(nn.functional.cross_entropy(model(X), labels), parameters)
        H["fc1.weight"]["fc2.bias"][0, :2]
        return weakref.ref(H["fc1.weight"]["fc1.weight"][1].untyped_storage())

    def tensors():
        gc.collect()
        return sum(isinstance(item, torch.Tensor) for item in gc.get_objects())

    step()
    gc.collect()
    gc.disable()  # what is dropped goes at once, without a cycle
    try:
        before = sum(isinstance(item, torch.Tensor) for item in gc.get_objects())
        for _ in range(5):
            step()
        after = sum(isinstance(item, torch.Tensor) for item in gc.get_objects())
    finally:
        gc.enable()
    assert after == before
    assert tensors() == before


@pytest.mark.parametrize("reduction", ["none", None])
def test_few_gradients_are_kept(reduction):
    from lazyhess._frontends.graphs import OUTPUTS

    def f(x):
        made = torch.stack([cube(x) * k for k in range(20)])
        return made if reduction else made.sum()

    H = lh.hessian(f, normal(3), reduction=reduction)
    H[...]
    assert len(H._source.engine.function._gradients) <= OUTPUTS


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_devices():
    x = normal(4).cuda()
    H = lh.hessian(lambda x: cube(x) * x.sum(), x)
    assert H[0].device == x.device
    assert H[[2, 0]].device == x.device
    assert np.allclose(np.asarray(H), torch.func.hessian(lambda x: cube(x) * x.sum())(x).cpu())
    with pytest.raises(ValueError, match="one device"):
        lh.hessian(lambda a, b: cube(a) * cube(b).to(a.device), (x, normal(3)))


@pytest.mark.parametrize("of_graph", [True, False])
def test_the_last_layer_comes_alone(of_graph):
    ws = [normal(4, 40), normal(40, 40), normal(40, 2)]
    inputs = normal(60, 4)

    def loss(*ws):
        h = inputs
        for w in ws:
            h = torch.tanh(h @ w)
        return h.sum()

    ws = [w.requires_grad_() for w in ws] if of_graph else ws
    H = lh.hessian(loss(*ws) if of_graph else loss, ws)
    H[2][2][...]
    assert H[2][2].cache_info().rows == 80  # of one block
    H[0][0][0, 0]  # through all layers, and so seen by all
    assert H[0][0].cache_info().rows == 83


def test_what_reaches_what_in_a_graph():
    a, b = (normal(n).requires_grad_() for n in (2, 3))
    first = torch.sin(a)
    y = (first.sum() * b).sum() + torch.cos(b).sum()

    def reach(*xs):
        return lh.hessian(y, list(xs))[0][0]._source.engine.function.reach()

    assert reach(a, b) == {0b01: 2 + 1, 0b10: 3 + 1, 0b11: 3 + 1 + 1}
    assert reach(first, b) == {0b01: 1, 0b10: 3 + 1, 0b11: 3 + 1 + 1}


def test_a_budget_for_passes():
    x = normal(20)
    row = 2 * x.nbytes  # with its tangent
    with lh.options(memory=3 * row):
        H = lh.hessian(cube, x)
    for other in (H, H.at(x + 1)):
        engine = other._source.engine
        sizes = [len(ids) for ids, _ in engine.rows(0, np.arange(20), (0,))]
        assert sizes == [3, 3, 3, 3, 3, 3, 2]
