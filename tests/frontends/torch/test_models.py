"""Entries of whole models beside torch.func.hessian."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

import lazyhess as lh
from tests.frontends.torch.models import ALL, network, normal
from tests.helpers import same


def oracle(loss, xs, name):
    """Forward over reverse, which lazyhess does not use.

    Of a layer normalization it is wrong in torch 2.13 (not symmetric, and unlike differences).
    """
    if name == "normalized":
        return torch.autograd.functional.hessian(loss, xs)
    return torch.func.hessian(loss, tuple(range(len(xs))))(*xs)


def test_layers_that_normalize():
    """By differences, and each block by its own rows: symmetry would hide a wrong one."""
    loss, xs = ALL["normalized"]()
    step = 1e-6
    for i in range(len(xs)):
        rows = lh.hessian(loss, xs)[i]
        for j, x in enumerate(xs):
            moved = []
            for sign in (1, -1):
                at = [x.clone().requires_grad_() for x in xs]
                with torch.no_grad():
                    at[j].reshape(-1)[0] += sign * step
                moved.append(torch.autograd.grad(loss(*at), at[i])[0])
            want = (moved[0] - moved[1]) / (2 * step)
            same(rows[j][(..., *(0,) * x.ndim)], want, 1e-6)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("recorded", [False, True], ids=["callable", "graph"])
def test_all_blocks(name, recorded):
    loss, xs = ALL[name]()
    want = oracle(loss, xs, name)
    if recorded:
        xs = tuple(x.clone().requires_grad_() for x in xs)
        H = lh.hessian(loss(*xs), xs)
    else:
        H = lh.hessian(loss, xs)
    for i in range(len(xs)):
        for j in range(len(xs)):
            same(H[i][j][...], want[i][j])
    assert H[0][0].cache_info().products <= sum(x.numel() for x in xs)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("size", [1, 3])
def test_passes_of_any_size(name, size):
    loss, xs = ALL[name]()
    want = torch.func.hessian(loss)(*xs)
    same(lh.hessian(loss, xs, block_size=size)[0][0][...], want)


@pytest.mark.parametrize("name", ALL)
def test_as_the_older_function_says(name):
    loss, xs = ALL[name]()
    want = torch.autograd.functional.hessian(loss, xs)
    H = lh.hessian(loss, xs)
    for i in range(len(xs)):
        same(H[i][-1][...], want[i][-1])


def test_single_precision():
    loss, xs = ALL["normalized"]()
    xs = tuple(x.float() for x in xs)

    def single(*values):
        return loss(*(v.double() for v in values)).float()

    want = torch.func.hessian(single)(*xs)
    same(lh.hessian(single, xs)[0][0][...], want, 1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    x = normal(4).to(dtype)
    H = lh.hessian(lambda x: (x**3).sum(), x)
    assert H.dtype == dtype
    assert H[1].dtype == dtype
    dense = np.asarray(H)
    assert dense.dtype == np.float32
    assert np.allclose(dense, np.diag(6 * x.float().numpy()), rtol=0.02)
    assert (H @ torch.ones(4, dtype=dtype)).dtype == dtype
    batch = lh.hessian(lambda X: (X**3).sum(1), normal(5, 3).to(dtype), 0)
    assert batch[2].dtype == dtype
    with pytest.raises(ValueError, match="interact"):
        lh.hessian(lambda X: (X**3).sum(1) * X.sum(), normal(5, 3).to(dtype), 0)


# --- the parameters of a module -----------------------------------------------------------------


@pytest.fixture
def model():
    return network(4, 5, 3)


@pytest.fixture
def ys(model):
    return nn.functional.cross_entropy(model(normal(9, 4, seed=1)), torch.arange(9) % 3)


def test_named_parameters(model, ys):
    H = lh.hessian(ys, dict(model.named_parameters()))
    block = H["fc1.weight"]["fc2.bias"]
    assert block.shape == (5, 4, 3)
    row = block[2, 1]
    assert block.cache_info().products == 1
    (first,) = torch.autograd.grad(ys, model.fc1.weight, create_graph=True)
    (want,) = torch.autograd.grad(first[2, 1], model.fc2.bias, retain_graph=True)
    same(row, want)
    assert H["fc2.bias"]["fc1.weight"].cache_info().products == 1
    block[...]
    assert block.cache_info().products == 4  # by the columns, of which there are three


def test_an_iterator_of_parameters(model, ys):
    H = lh.hessian(ys, model.parameters())
    assert len(H) == 4
    assert H[2][3].shape == (3, 5, 3)
    named = lh.hessian(ys, model.named_parameters())
    same(named["fc2.bias"]["fc2.bias"][...], H[3][3][...])
    called = lh.hessian(lambda *values: sum((v**3).sum() for v in values), model.parameters())
    same(called[1][1].diagonal(), 6 * model.fc1.bias.detach())
    by_name = lh.hessian(lambda xs: xs["fc1.bias"].pow(3).sum(), model.named_parameters())
    moved = by_name["fc1.bias"]["fc1.bias"].at(model.named_parameters())
    same(moved["fc1.bias"]["fc1.bias"].diagonal(), 6 * model.fc1.bias.detach())
    assert len(lh.gradient(ys, model.parameters())) == 4


def test_lists_and_dicts_of_parameters():
    weights = nn.ParameterList([normal(3), normal(2)])
    ys = weights[0].pow(3).sum() * weights[1].sum()
    assert lh.hessian(ys, weights)[0][1].shape == (3, 2)
    named = nn.ParameterDict({"a": normal(3)})
    assert lh.hessian(named["a"].pow(3).sum(), named)["a"]["a"].shape == (3, 3)
    assert lh.hessian(lambda xs: xs["a"].pow(3).sum(), named)["a"]["a"].shape == (3, 3)


def test_functional_call(model):
    X, labels = normal(9, 4, seed=1), torch.arange(9) % 3

    def loss(parameters):
        return nn.functional.cross_entropy(functional_call(model, parameters, (X,)), labels)

    values = {name: p.detach() for name, p in model.named_parameters()}
    want = torch.func.hessian(loss)(values)
    H = lh.hessian(loss, values)
    for a in values:
        for b in values:
            same(H[a][b][...], want[a][b])


def test_one_layer_costs_its_own_rows(model, ys):
    H = lh.hessian(ys, model.fc2.weight)
    H[1]
    assert H.cache_info().products == 5
    H[...]
    assert H.cache_info().products == 15


def test_a_module_is_a_function(model):
    H = lh.hessian(lambda x: model(x).pow(2).sum(), normal(2, 4))
    assert H[0, 0].shape == (2, 4)
    each = lh.hessian(model, normal(4), reduction="none")
    assert each.shape == (3, 4, 4)


# --- batches ------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, -1])
def test_per_sample(axis):
    A = normal(3, 4, seed=1)

    def one(x):
        return torch.logsumexp(torch.tanh(x @ A), 0)

    def batch(X):
        return torch.logsumexp(torch.tanh((X if axis == 0 else X.T) @ A), 1)

    X = normal(6, 3)
    want = torch.func.vmap(torch.func.hessian(one))(X)
    H = lh.hessian(batch, X if axis == 0 else X.T, axis)
    assert H.shape == (6, 3, 3)
    same(H[2, 1], want[2, 1])
    assert H.cache_info().products == 1
    same(H[...], want)
    assert H.cache_info().products == 4


def batch_of(model, labels=None):
    names = [name for name, _ in model.named_parameters()]

    def outputs(X, *values):
        made = functional_call(model, dict(zip(names, values, strict=True)), (X,))
        if labels is None:
            return torch.logsumexp(made, 1)
        return nn.functional.cross_entropy(made, labels, reduction="none")

    return outputs, tuple(p.detach() for p in model.parameters())


@pytest.mark.parametrize("closed", [False, True], ids=["apart", "with labels of the batch"])
@pytest.mark.parametrize("recorded", [False, True], ids=["callable", "graph"])
def test_per_sample_by_parameters(closed, recorded):
    labels = torch.arange(6) % 3
    outputs, values = batch_of(network(4, 3, 3), labels if closed else None)
    X = normal(6, 4, seed=1)
    axes = (0, *(None for _ in values))
    want = []
    for s in range(6):
        alone = batch_of(network(4, 3, 3), labels[s : s + 1] if closed else None)[0]
        want.append(
            torch.func.hessian(lambda x, *v, f=alone: f(x[None], *v)[0], (0, 1, 2))(X[s], *values)
        )
    if recorded:
        xs = tuple(x.clone().requires_grad_() for x in (X, *values))
        H = lh.hessian(outputs(*xs), xs, axes)
    else:
        H = lh.hessian(outputs, (X, *values), axes)
    same(H[1][1][4, 2, 3], want[4][1][1][2, 3])
    assert H[1][1].cache_info().products == 1
    for i in range(3):
        for j in range(3):
            same(H[i][j][...], torch.stack([one[i][j] for one in want]))


@pytest.mark.parametrize("recorded", [False, True], ids=["callable", "graph"])
def test_layers_that_normalize_by_sample(recorded):
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.GELU(), nn.Linear(3, 2)).double()
    outputs, values = batch_of(model)
    X = normal(3, 4, seed=1)
    axes = (0, *(None for _ in values))
    for i in range(len(values)):
        xs = (X, *values)
        if recorded:
            xs = tuple(x.clone().requires_grad_() for x in xs)
        rows = lh.hessian(outputs(*xs) if recorded else outputs, xs, axes)[1 + i]
        for s in range(3):
            want = torch.autograd.functional.hessian(
                lambda *v, s=s: outputs(X[s : s + 1], *v)[0], values
            )
            for j in range(len(values)):
                same(rows[1 + j][s], want[i][j])


def test_all_xs_shared():
    X = normal(5, 3, seed=1)
    want = torch.func.vmap(torch.func.hessian(lambda w, x: (x @ w) ** 3), (None, 0))(normal(3), X)
    H = lh.hessian(lambda w: (X @ w) ** 3, normal(3), (None,))
    assert H.shape == (5, 3, 3)
    same(H[...], want)


def test_samples_alone_that_differ_are_not_taken():
    """The label of the first sample for every sample alone: another value, so it is seen."""
    X, t = normal(5, 3, seed=1), normal(5, seed=2)

    def outputs(X, w):
        return (torch.tanh(X @ w) - t[: len(X)]) ** 2

    H = lh.hessian(outputs, (X, normal(3)), (0, None))[1][1]
    for s in range(5):
        want = torch.func.hessian(lambda w, s=s: (torch.tanh(X[s] @ w) - t[s]) ** 2)(normal(3))
        same(H[s], want)


def test_third_order_by_sample():
    X, w = normal(4, 3), normal(3, seed=1).requires_grad_()
    H = lh.hessian(lambda X, w: (X @ w) ** 4, (X, w), (0, None), create_graph=True)[1][1]
    (got,) = torch.autograd.grad(H[2, 0, 0], w)
    same(got, 24 * (X[2] @ w.detach()) * X[2, 0] ** 2 * X[2])


def test_reduction_none_and_sum():
    def f(x):
        return torch.stack([(x**3).sum(), x.prod()])

    x = normal(4)
    want = torch.func.jacfwd(torch.func.jacrev(f))(x)
    H = lh.hessian(f, x, reduction="none")
    same(H[...], want)
    same(H.gradient(), torch.func.jacrev(f)(x))
    same(lh.hessian(f, x, reduction="sum")[...], want.sum(0))
    same(
        lh.hessian(lambda x: [f(x), x.pow(2)], x, reduction="sum")[...],
        want.sum(0) + 2 * torch.eye(4),
    )


# --- batching rules -----------------------------------------------------------------------------


class Cube(torch.autograd.Function):
    """Whose second backward asks for a number, which vmap refuses."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return Slope.apply(x, g)


class Slope(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, g):
        ctx.save_for_backward(x, g)
        return 3 * x**2 * g

    @staticmethod
    def backward(ctx, h):
        x, g = ctx.saved_tensors
        if float(h.sum()) == 1e300:
            raise AssertionError
        return 6 * x * g * h, 3 * x**2 * h


@pytest.mark.filterwarnings("error")
def test_functions_without_a_batching_rule():
    x = normal(5)
    H = lh.hessian(lambda x: (Cube.apply(x) * x.sum()).sum(), x)
    same(H[...], torch.func.hessian(lambda x: (x**3 * x.sum()).sum())(x))
    assert H.cache_info().products == 5


@pytest.mark.filterwarnings("error")
def test_functions_that_no_transform_can_trace():
    """In place, and with numbers: the function runs once, as it is."""

    def f(x):
        made = torch.zeros(4, dtype=x.dtype)
        made[1:] += x**3
        return made.sum() * (2.0 if x.sum().item() > -100 else 0.0)

    x = normal(3)
    same(lh.hessian(f, x)[...], torch.diag(12 * x))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.cumprod(0).pow(2).sum(),
        lambda x: torch.linalg.svdvals(x.reshape(3, 2)).pow(3).sum(),
        lambda x: torch.linalg.eigvalsh(x[:4].reshape(2, 2) + x[:4].reshape(2, 2).T).pow(3).sum(),
        lambda x: x[x > 0].pow(3).sum(),
        lambda x: x.masked_fill(x > 1, 0.5).sort().values.pow(3)[1:].sum(),
        lambda x: x.scatter_add(0, torch.tensor([0, 0]), x[2:4] ** 2).pow(2).sum(),
        lambda x: torch.erf(x).pow(2).sum(),
        lambda x: nn.functional.embedding(torch.tensor([[0, 1, 1]]), x.reshape(3, 2)).pow(3).sum(),
    ],
)
def test_operations_in_batches_and_one_by_one(f):
    x = normal(6)
    same(lh.hessian(f, x)[...], torch.autograd.functional.hessian(f, x))
    one = partial(lh.hessian, f, x, block_size=1)
    same(one()[...], lh.hessian(f, x)[...])


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 0), (1, 1)])
def test_small_shapes(shape):
    x = torch.ones(shape, dtype=torch.float64)
    H = lh.hessian(lambda x: (x**3).sum() + 0 * normal(()), x)
    assert H.shape == shape + shape
    same(H[...], torch.diag(6 * x.reshape(-1)).reshape(shape * 2))
    assert H[...].dtype == torch.float64
