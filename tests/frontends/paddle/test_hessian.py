"""Hessians of Paddle's tensors, against `paddle.autograd.hessian`."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import paddle
import pytest

import lazyhess as lh
from lazyhess import hessian
from tests.frontends.paddle import models
from tests.frontends.paddle.models import VECTORS, tensor
from tests.helpers import same

VECTOR = np.array([0.3, -0.7, 1.1, 0.2, -0.4])


@pytest.mark.parametrize("name", VECTORS)
def test_functions_of_a_vector(name: str) -> None:
    f = VECTORS[name]
    x = tensor(VECTOR)
    want = paddle.autograd.hessian(f(x), x)[:]
    same(lh.hessian(f(x), x)[...], want)
    same(lh.hessian(f, x)[...], want)
    with paddle.no_grad():
        same(lh.hessian(f, x)[:, 1:3], want[:, 1:3])


def test_named_parameters() -> None:
    parameters = models.mlp_parameters()
    names = list(parameters)
    want = models.dense(
        lambda *xs: models.mlp(dict(zip(names, xs, strict=True))), tuple(parameters.values())
    )
    for H in (lh.hessian(models.mlp, parameters), lh.hessian(models.mlp(parameters), parameters)):
        for i, a in enumerate(names):
            for j, b in enumerate(names):
                same(H[a][b][...], want[i][j])


def test_attention() -> None:
    xs = models.attention_inputs()
    want = models.dense(models.attention, xs)
    H = lh.hessian(models.attention(*xs), xs)
    for i in range(3):
        for j in range(3):
            same(H[i][j][...], want[i][j])


def test_parameters_of_a_layer() -> None:
    layer = paddle.nn.Sequential(
        paddle.nn.Linear(3, 4), paddle.nn.Tanh(), paddle.nn.Linear(4, 1)
    ).to(dtype="float64")
    X = tensor(np.random.default_rng(0).normal(size=(5, 3)), trained=False)
    z = layer(X)
    ys = paddle.sum(z * z * z)
    named = dict(layer.named_parameters())
    H = lh.hessian(ys, named)
    first, second = list(named)[:2]
    single = lh.hessian(ys, list(layer.parameters()))
    same(H[first][second][...], single[0][1][...])
    bias = layer[2].bias
    want = paddle.autograd.hessian(ys, bias)[:]
    same(lh.hessian(ys, bias)[...], want)
    same(lh.hessian(ys, layer.parameters())[3][3][...], want)
    same(lh.hessian(ys, iter(layer.parameters()))[3][3][...], want)
    kept = paddle.nn.ParameterList(layer.parameters())
    same(lh.hessian(ys, kept)[3][3][...], want)


def test_several_vectors_as_paddles() -> None:
    """Everything but the import is the same."""

    def answers(hessian: Any) -> Any:
        rng = np.random.default_rng(1)
        a, b = tensor(rng.normal(size=3)), tensor(rng.normal(size=4))
        H = hessian(paddle.exp(paddle.sum(a * a)) * paddle.sum(b * b * b), (a, b))
        indices: list[Any] = [slice(None), 1, -1, (1, 2), slice(1, 3), (slice(1, None), slice(2))]
        return [H[i][j][index] for i in range(2) for j in range(2) for index in indices]

    for got, want in zip(answers(hessian), answers(paddle.autograd.hessian), strict=True):
        assert list(got.shape) == list(want.shape)
        same(got, want)


def test_blocks_that_paddle_fails_at() -> None:
    """Its rule for powers needs the x that they are of, even where a block is of another one."""
    a, b = tensor([1.0, 2.0]), tensor([3.0, 4.0, 5.0])

    def f(a: Any, b: Any) -> Any:
        return paddle.sum(a**3) * paddle.sum(b**2)

    with pytest.raises(RuntimeError, match="nullptr"):
        paddle.autograd.hessian(f(a, b), (a, b))[0][1][:]
    want = np.outer([3.0, 12.0], [6.0, 8.0, 10.0])
    same(lh.hessian(f(a, b), (a, b))[0][1][:], want)
    same(lh.hessian(f(a, b), (a, b), cache=None)[0][1][:], want)


def test_linear_functions() -> None:
    a, b = tensor([1.0, 2, 3]), tensor([1.0, 2, 3, 4])
    H = lh.hessian(a.sum() + b.sum(), (a, b))
    for i, x in enumerate((a, b)):
        for j, y in enumerate((a, b)):
            same(H[i][j][:], np.zeros((*x.shape, *y.shape)))
    same(lh.hessian(a[0], a)[:], np.zeros((3, 3)))
    x = tensor(2.0)
    same(lh.hessian(x, x)[...], np.array(0.0))


def test_scalars_and_nothing() -> None:
    x = tensor(2.0)
    H = lh.hessian(x**3, x)
    assert H.shape == ()
    same(H[()], np.array(12.0))
    empty = tensor(np.zeros((0, 3)))
    H = lh.hessian(paddle.sum(empty**2) + x**3, (empty, x))
    assert H[0][0].shape == (0, 3, 0, 3)
    same(H[0][0][...], np.zeros((0, 3, 0, 3)))
    same(H[0][1][...], np.zeros((0, 3)))
    same(H[1][1][...], np.array(12.0))
    one = tensor([2.0])
    same(lh.hessian(one**3, one)[...], np.array([[12.0]]))


def test_float32() -> None:
    x = tensor(VECTOR, "float32")
    H = lh.hessian(models.polynomial(x), x)
    assert H.dtype == paddle.float32
    assert H[0].dtype == paddle.float32
    same(H[...], paddle.autograd.hessian(models.polynomial(x), x)[:], 1e-5)


def test_an_intermediate_result() -> None:
    x = tensor(VECTOR)
    z = x * 2
    ys = models.polynomial(z) + paddle.sum(x)
    want = paddle.autograd.hessian(ys, z)[:]
    same(lh.hessian(ys, z)[...], want)


def test_the_same_tensor_twice() -> None:
    x = tensor([1.0, 2.0])
    H = lh.hessian(paddle.sum(x**3), (x, x))
    same(H[0][1][...], np.diag([6.0, 12.0]))


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_batches_as_paddles(shape: tuple[int, ...]) -> None:
    X = tensor(np.random.default_rng(1).normal(size=(4, 3)))
    ys = (paddle.sum(X**3, 1) * X[:, 0]).reshape(shape)
    want = paddle.autograd.hessian(ys, X, batch_axis=0)
    H = lh.hessian(ys, X, batch_axis=0)
    assert list(H.shape) == list(want.shape)
    same(H[:], want[:])
    same(H[1:3, 0], want[1:3, 0])
    same(H[:, 1, 2], want[:, 1, 2])
    assert H.cache_info().products == 3


def test_batches_of_several() -> None:
    rng = np.random.default_rng(1)
    X, Y = tensor(rng.normal(size=(4, 3))), tensor(rng.normal(size=(4, 2)))
    ys = paddle.sum(X * X * X, 1) * paddle.sum(Y * Y, 1)
    H, want = lh.hessian(ys, (X, Y), 0), paddle.autograd.hessian(ys, (X, Y), 0)
    for i in range(2):
        for j in range(2):
            same(H[i][j][:], want[i][j][:])


def test_shared_parameters() -> None:
    rng = np.random.default_rng(1)
    X, w = tensor(rng.normal(size=(4, 3))), tensor(rng.normal(size=3))

    def loss(X: Any, w: Any) -> Any:
        return paddle.tanh(X @ w) ** 2

    H = lh.hessian(loss(X, w), w, batch_axis=(None,))
    assert H.shape == (4, 3, 3)
    for k in range(4):
        same(H[k], paddle.autograd.hessian(loss(X[k], w), w)[:])


def test_answers_can_be_differentiated() -> None:
    x = tensor(VECTOR)

    def f(x: Any) -> Any:
        return paddle.sum(x * x * x * x) * x[0]

    H = lh.hessian(f(x), x, create_graph=True)
    theirs = paddle.autograd.hessian(f(x), x)
    for index in [(0, 0), (1,), (slice(1, 3), 2), ([0, 2], [1, 2]), (slice(None, None, -1), 0), ()]:
        total = paddle.sum(H[index])
        rows = theirs[:].numpy()[index].sum()
        np.testing.assert_allclose(float(total), rows)
    (got,) = paddle.grad(H[0][1], [x], retain_graph=True)
    (want,) = paddle.grad(theirs[0, 1], [x], retain_graph=True)
    same(got, want)
    (got,) = paddle.grad(paddle.sum(H[...] ** 2), [x], create_graph=True)
    (want,) = paddle.grad(paddle.sum(theirs[:] ** 2), [x], create_graph=True)
    same(got, want)
    (got,) = paddle.grad(got.sum(), [x], retain_graph=True)
    (want,) = paddle.grad(want.sum(), [x], retain_graph=True)
    same(got, want)
    (got,) = paddle.grad(paddle.sum(H @ tensor(VECTOR, trained=False)), [x])
    (want,) = paddle.grad(paddle.sum(theirs[:] @ tensor(VECTOR, trained=False)), [x])
    same(got, want)
    through = lh.hessian(f, x, create_graph=True)
    (got,) = paddle.grad(through[1][1], [x])
    same(got, paddle.grad(theirs[1, 1], [x])[0])
    assert lh.hessian(f(x), x)[0].stop_gradient
    assert lh.hessian(f, x)[...].stop_gradient
    assert lh.gradient(f(x), x).stop_gradient
    assert not lh.gradient(f(x), x, create_graph=True).stop_gradient


def test_no_more_passes_than_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three inputs of three elements: 30 calls of Paddle's grad there."""
    calls = 0
    grad = paddle.grad

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        return grad(*args, **kwargs)

    monkeypatch.setattr(paddle, "grad", counted)
    xs = tuple(tensor(np.random.default_rng(k).normal(size=3)) for k in range(3))

    def everything(hessian: Any) -> tuple[int, list[Any]]:
        nonlocal calls
        calls = 0
        H = hessian(paddle.sum(xs[0] * xs[1] * xs[2]) ** 2, xs)
        return -calls, [H[i][j][:].numpy() for i in range(3) for j in range(3)]

    _, want = everything(paddle.autograd.hessian)
    theirs = calls
    _, got = everything(lh.hessian)
    for a, b in zip(got, want, strict=True):
        same(a, b)
    assert theirs == 30
    assert calls == 10
    calls = 0
    H = lh.hessian(paddle.sum(xs[0] * xs[1] * xs[2]) ** 2, xs)
    assert calls == 1  # the gradient, which tells what ys depends on
    H[2][0][1].numpy()
    assert calls == 2


def test_no_memory_is_kept() -> None:
    stat = paddle.framework.core.host_memory_stat_current_value
    x = tensor(np.random.default_rng(0).normal(size=(20, 20)))

    def once() -> None:
        H = lh.hessian(lambda x: paddle.sum((x @ x) ** 2), x)
        H[0]
        y = paddle.sum((x @ x) ** 2)
        lh.hessian(y, x)[1]
        lh.gradient(y, x)

    once()
    gc.collect()
    before = stat("Allocated", 0)
    for _ in range(5):
        once()
    assert stat("Allocated", 0) == before


def test_answers_are_ones_own() -> None:
    x = tensor([1.0, 2.0])
    y = tensor([3.0, 4.0])
    H = lh.hessian(paddle.sum((x + y) ** 2), (x, y))
    want = 2 * np.eye(2)
    H[0][0][0].add_(tensor([9.0, 9], trained=False))
    H[0][0][...].set_value(np.zeros((2, 2)))
    for i in range(2):
        for j in range(2):
            same(H[i][j][...], want)
    H[0][0].gradient().set_value(np.zeros(2))
    same(H[0][0].gradient(), np.array([8.0, 12.0]))
    H[0][0].value.set_value(np.array(0.0))
    same(H[0][0].value, np.array(52.0))


def test_compositions_do_not_spoil_it() -> None:
    """With them `paddle.autograd.hessian` gives zeros here."""
    x = tensor(VECTOR)
    want = lh.hessian(models.loop, x)[...]
    core = paddle.framework.core
    core.set_prim_eager_enabled(True)
    try:
        same(lh.hessian(models.loop, x)[...], want)
        assert core._is_eager_prim_enabled()
        # An operation that has a second derivative as a composition only.
        H = lh.hessian(lambda x: paddle.max(x * x), x)
        same(H[...], np.diag([0.0, 0, 2, 0, 0]))
        with pytest.raises(NotImplementedError, match="composition"):
            lh.hessian(lambda x: paddle.max(x * x) * x[0] ** 2, x)[...]
    finally:
        core.set_prim_eager_enabled(False)
