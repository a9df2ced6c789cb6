"""Second derivatives that are wrong are refused by name, or seen by the comparison."""

import warnings

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint

import lazyhess as lh
from tests.frontends.torch.models import normal
from tests.helpers import same


class Cube(torch.autograd.Function):
    """The third power, whose backward hides from torch that it depends on x."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        return upstream * 3 * x.detach() ** 2


class Skewed(torch.autograd.Function):
    """A gradient whose own derivative is not symmetric."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x * x.roll(1)).sum()

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        return upstream * (x.roll(1) + x.roll(-1).detach())


def cubed(x):
    return Cube.apply(x).sum()


# --- refused by name ------------------------------------------------------------------------------


def normed(v, g):
    return (torch._weight_norm(v, g, 0) ** 3).sum()


def in_the_open(v, g):
    return ((g * v / torch.linalg.vector_norm(v, dim=1, keepdim=True)) ** 3).sum()


def test_the_fused_weight_norm():
    xs = normal(3, 2).requires_grad_(), normal(3, 1).requires_grad_()
    way = r"fused weight norm .* wrong: they are not symmetric; the way out: .*vector_norm"
    with pytest.raises(NotImplementedError, match=way):
        lh.hessian(normed, xs)
    with pytest.raises(NotImplementedError, match=way):
        lh.hessian(normed(*xs), xs, check=False)
    for one, other in zip(lh.gradient(normed, xs), lh.gradient(in_the_open, xs), strict=True):
        same(one, other)
    H = lh.hessian(in_the_open, xs)[0][0][...].reshape(6, 6)
    same(H, H.T)


def test_weight_norm_of_what_is_not_differentiated():
    v, g, x = (normal(*shape).requires_grad_() for shape in ((3, 2), (3, 1), (2,)))
    H = lh.hessian(((torch._weight_norm(v, g, 0).detach() @ x) ** 2).sum(), x)
    weight = torch._weight_norm(v, g, 0)
    same(H[...], (2 * weight.T @ weight).detach())
    same(lh.hessian(((weight @ x) ** 2).sum(), x)[...], H[...])


@pytest.mark.parametrize("wrap", [lambda f: f, lambda f: lambda x: f(x) * 1.0])
def test_a_reentrant_checkpoint(wrap):
    def function(x):
        return checkpoint(lambda x: (x**3).sum(), x, use_reentrant=True)

    x = normal(3).requires_grad_()
    with pytest.raises(NotImplementedError, match="re-entrant checkpoint .* use_reentrant=False"):
        lh.hessian(wrap(function), x)
    with pytest.raises(NotImplementedError, match="re-entrant checkpoint .* use_reentrant=False"):
        lh.hessian(wrap(function)(x), x)


# --- compared -------------------------------------------------------------------------------------


def test_a_custom_function_is_named():
    x = normal(24)
    H = lh.hessian(cubed, x)
    with pytest.warns(RuntimeWarning, match=r"torch .*suspected: autograd\.Function Cube;") as told:
        H[:20]
    assert len(told) == 1
    assert H.cache_info().checks == 2
    assert H.cache_info().products == 20
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        H[20:]  # told once


@pytest.mark.parametrize(("check", "rows"), [("auto", 19), (False, 24)])
def test_few_products_and_none_asked_for(check, rows):
    H = lh.hessian(cubed, normal(24), check=check)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        H[:rows]
    assert H.cache_info().checks == 0


def test_true_compares_in_every_request():
    H = lh.hessian(lambda x: (x**3).sum(), normal(24), check=True)
    for count in (1, 2, 3):
        H[count]
        assert H.cache_info()[0::6] == (count, count)
    with pytest.warns(RuntimeWarning, match="Cube"):
        lh.hessian(cubed, normal(3), check=True)[0]


def test_auto_compares_once_for_a_call_and_its_points():
    H = lh.hessian(lambda x: (x**3).sum(), normal(50))
    H[:25], H[25:]
    assert H.cache_info().checks == 1
    there = H.at(normal(50))
    there[...]
    assert there.cache_info().checks == 0


def test_products_with_matrices_are_compared():
    with pytest.warns(RuntimeWarning, match="Cube"):
        lh.hessian(cubed, normal(40)) @ normal(40, 20)


@pytest.mark.parametrize("function", [False, True])
def test_a_hessian_that_is_not_symmetric(function):
    x = normal(6).requires_grad_()
    with pytest.warns(RuntimeWarning, match="not symmetric, .*Skewed"):
        lh.hessian(Skewed.apply if function else Skewed.apply(x), x)[1:4]
    H = lh.hessian(Skewed.apply(x), x)
    with pytest.warns(RuntimeWarning, match="not symmetric, .*Skewed"):
        H[0], H[1]


def test_a_random_function_is_not_compared_and_draws_nothing_more():
    x = torch.ones(60, dtype=torch.float64)

    def dropped(x):
        return (torch.nn.functional.dropout(x, 0.5) ** 3).sum() * float(np.random.random())

    torch.manual_seed(0)
    np.random.seed(0)
    H = lh.hessian(dropped, x)
    after = torch.get_rng_state(), np.random.get_state()[2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        H[...]
    assert torch.equal(torch.get_rng_state(), after[0])
    assert np.random.get_state()[2] == after[1]


def test_statistics_of_batches_are_updated_once():
    layer = torch.nn.BatchNorm1d(5, dtype=torch.float64)
    H = lh.hessian(lambda x: (layer(x) ** 3).sum(), normal(6, 5))
    H[...]
    assert int(layer.num_batches_tracked) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.relu(x).sum() ** 2,
        lambda x: (x.abs() ** 3).sum() + 1e6 * x.sum(),
        lambda x: torch.exp(8 * x).sum(),
        lambda x: torch.log(x.abs()).sum(),
        lambda x: (x.clamp(min=0) ** 2).sum(),
        lambda x: 3 * x.sum(),
        lambda x: x.sort().values[:9].pow(2).sum(),
        lambda x: torch.logsumexp(1e4 * x, 0),
        lambda x: torch.linalg.vector_norm(x),
    ],
)
def test_what_is_right_is_not_suspected(function, dtype):
    x = torch.cat([normal(30), torch.zeros(2, dtype=torch.float64)]).to(dtype)
    x[30:] = 1e-3 if function(torch.zeros(2)).isinf() else 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lh.hessian(function, x)[...]


def test_the_argument_is_checked():
    with pytest.raises(ValueError, match='check must be "auto", True or False, got 3'):
        lh.hessian(cubed, normal(3), check=3)
