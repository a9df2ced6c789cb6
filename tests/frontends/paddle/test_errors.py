"""What is refused, and what the error says. Much of it Paddle answers with zeros."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import pytest
from paddle.distributed.fleet.utils import recompute

import lazyhess as lh
from tests.frontends.paddle.models import tensor

F = paddle.nn.functional


def cubed(x: Any) -> Any:
    return paddle.sum(x * x * x)


def refused(kind: type[Exception], call: Callable[[], Any], *words: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


# --- what Paddle gives zeros for ----------------------------------------------------------------


def test_inputs_that_stop_gradients() -> None:
    x, w = tensor([1.0, 2.0], trained=False), tensor([3.0, 4.0])
    ys = paddle.sum(x * x * w)
    assert not paddle.autograd.hessian(ys, x)[:].numpy().any()
    refused(ValueError, lambda: lh.hessian(ys, x), "stop_gradient=True", "shape (2,)")
    refused(ValueError, lambda: lh.hessian(ys, (w, x)), "xs[1]", "stop_gradient=True")


def test_no_grad() -> None:
    x = tensor([1.0, 2.0])
    with paddle.no_grad():
        ys = cubed(x)
    assert not paddle.autograd.hessian(ys, x)[:].numpy().any()
    refused(TypeError, lambda: lh.hessian(ys, x), "paddle.no_grad()", "shape ()")
    refused(TypeError, lambda: lh.gradient(ys, x), "paddle.no_grad()")


def test_detached_tensors() -> None:
    x = tensor([1.0, 2.0])
    other = x.detach()
    other.stop_gradient = False
    for H in (paddle.autograd.hessian, lh.hessian):
        assert not H(cubed(x), other)[:].numpy().any()
    assert not lh.gradient(cubed(x), other).numpy().any()
    refused(TypeError, lambda: lh.hessian(cubed(x.detach()), x), "carries no record")
    refused(TypeError, lambda: lh.hessian(lambda x: cubed(x.detach()), x), "carries no record")
    refused(ValueError, lambda: lh.hessian(lambda _: cubed(x), x, strict=True), "does not depend")
    assert not lh.hessian(lambda _: cubed(x), x)[0].numpy().any()


def test_errors_of_paddle_are_chained_and_name_the_operation() -> None:
    class Refuses(paddle.autograd.PyLayer):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        def backward(ctx: Any, upstream: Any) -> Any:
            raise RuntimeError("not today")

    H = lh.hessian(lambda x: paddle.sum(Refuses.apply(x)), tensor([1.0, 2.0]))
    with pytest.raises(RuntimeError, match="PyLayer_Refuses") as caught:
        H[0]
    assert "not today" in str(caught.value.__cause__)


def test_expressions_of_inputs() -> None:
    w = tensor([[1.0, 2.0], [3.0, 4.0]])
    ys = cubed(w)
    refused(ValueError, lambda: lh.hessian(ys, (w, w[0])), "xs[1]", "is no leaf", "w[0]")


def test_unrelated_inputs() -> None:
    a, b = tensor([1.0, 2.0]), tensor([1.0])
    for call in (lh.hessian, lh.gradient):
        refused(ValueError, lambda c=call: c(cubed(a), (a, b), strict=True), "xs[1]", "strict=True")
        refused(
            ValueError,
            lambda c=call: c(lambda a, b: cubed(a), (a, b), strict=True),
            "xs[1]",
            "depend",
        )
    assert not lh.hessian(cubed(a), (a, b))[1][1][:].numpy().any()


def test_steps_of_an_optimizer() -> None:
    """Paddle does not count them, and differentiates at the new point."""
    layer = paddle.nn.Linear(2, 1)
    loss = cubed(layer(paddle.ones([3, 2])))
    H = lh.hessian(loss, layer.weight)
    H[0]
    loss.backward(retain_graph=True)
    paddle.optimizer.SGD(0.1, parameters=layer.parameters()).step()
    assert layer.weight.inplace_version == 0
    refused(RuntimeError, lambda: H[1], "changed in place", "optimizer")
    refused(RuntimeError, lambda: H[:, 0, 1, 0], "changed in place")


def test_new_values() -> None:
    x = tensor([1.0, np.nan])
    H = lh.hessian(cubed(x), x)
    H[0]
    x.set_value(np.array([2.0, np.nan]))
    refused(RuntimeError, lambda: H[1], "changed in place", "lh.hessian(f, xs)")
    kept = lh.hessian(cubed, x)
    x.set_value(np.array([3.0, np.nan]))
    assert float(kept[0, 0]) == 12.0


def test_changes_in_place() -> None:
    x = tensor([1.0, 2.0])
    z = x * 2
    H = lh.hessian(cubed(z), x)
    z.add_(paddle.ones([2], "float64"))
    refused(RuntimeError, lambda: H[0], "changed in place")
    z = x * 2
    ys = cubed(z)
    z.add_(paddle.ones([2], "float64"))
    refused(RuntimeError, lambda: lh.hessian(ys, x), "changed in place")


def test_compiled_functions() -> None:
    x = tensor([1.0, 2.0])
    static = paddle.jit.to_static(cubed, full_graph=True)
    refused(NotImplementedError, lambda: lh.hessian(static(x), x)[0], "not record", "to_static")


def test_recomputed_steps() -> None:
    x = tensor([1.0, 2.0])
    ys = recompute(cubed, x) + cubed(x)
    refused(NotImplementedError, lambda: lh.hessian(ys, x)[0], "not record", "use_reentrant=False")
    ys = recompute(cubed, x, use_reentrant=False)
    assert lh.hessian(ys, x)[1, 1].item() == 12.0


class Cube(paddle.autograd.PyLayer):
    """With a backward that can be differentiated."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensor()
        return g * 3 * x * x


class Cut(Cube):
    """The same by NumPy."""

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensor()
        return paddle.to_tensor((g * 3 * x * x).numpy())


def test_layers_of_users() -> None:
    x = tensor([1.0, 2.0, 3.0])
    H = lh.hessian(lambda x: paddle.sum(Cube.apply(x) * x), x)
    assert H[...].numpy().diagonal().tolist() == [12.0, 48.0, 108.0]

    def cut(x: Any) -> Any:
        return paddle.sum(Cut.apply(x) * x)

    assert paddle.autograd.hessian(cut(x), x)[1, 1].item() != 48.0
    refused(NotImplementedError, lambda: lh.hessian(cut, x)[1], "not record", "PyLayer")
    refused(NotImplementedError, lambda: lh.hessian(cut(x), x, create_graph=True)[1], "not record")


def test_minima_are_no_such_case() -> None:
    """There the gradient is rounding."""
    target = tensor(np.random.default_rng(0).normal(size=(20, 5)), trained=False)
    x = tensor(np.linalg.lstsq(target.numpy(), np.ones(20), rcond=None)[0])
    error = target @ x - 1
    H = lh.hessian(paddle.sum(error * error), x)
    np.testing.assert_allclose(H[...].numpy(), 2 * target.numpy().T @ target.numpy())


# --- graphs -------------------------------------------------------------------------------------


def test_freed_graphs() -> None:
    x = tensor([1.0, 2.0])
    ys = cubed(x)
    ys.backward()
    refused(RuntimeError, lambda: lh.hessian(ys, x), "was freed", "retain_graph=True")


def test_operations_without_second_derivatives() -> None:
    x = tensor([[1.0, 2.0], [3.0, 4.0]])
    ys = paddle.sum(paddle.einsum("ij,jk->ik", x, x))
    refused(
        NotImplementedError,
        lambda: lh.hessian(ys, x),
        "no second derivative of einsum",
        "einsum_grad doesn't have any grad op",
        "paddle.matmul",
        "in NumPy, lh.hessian(f, arrays)",
    )
    H = lh.hessian(lambda x: paddle.linalg.det(x), x)
    refused(NotImplementedError, lambda: H[0], "no second derivative of det", "in NumPy")
    H = lh.hessian(lambda x: paddle.sum(1 / paddle.sqrt(x)), x, create_graph=True)
    refused(NotImplementedError, lambda: H[0], "no third derivative of")


def test_errors_of_functions_pass() -> None:
    def wrong(x: Any) -> Any:
        raise KeyError("mine")

    refused(KeyError, lambda: lh.hessian(wrong, tensor([1.0])), "mine")


def test_copies() -> None:
    x = tensor([1.0])
    refused(TypeError, lambda: copy.deepcopy(lh.hessian(cubed(x), x)), "pickled", "H[...]")


def test_static_mode() -> None:
    x = tensor([1.0])
    paddle.enable_static()
    try:
        refused(RuntimeError, lambda: lh.hessian(cubed, x), "static mode", "disable_static")
    finally:
        paddle.disable_static()


# --- arguments ----------------------------------------------------------------------------------


def test_inputs() -> None:
    x = tensor([1.0, 2.0])
    whole = paddle.to_tensor([1, 2])
    refused(TypeError, lambda: lh.hessian(cubed, whole), "float64 or float32", "int64", "(2,)")
    half = paddle.to_tensor([1.0]).astype("bfloat16")
    refused(TypeError, lambda: lh.hessian(cubed, half), "bfloat16", "x.astype('float64')")
    z = paddle.to_tensor([1 + 1j])
    refused(TypeError, lambda: lh.hessian(cubed, z), "complex", "paddle.complex(a, b)")
    refused(TypeError, lambda: lh.hessian(cubed(x), (x, np.ones(2))), "xs[1]", "ndarray")
    refused(TypeError, lambda: lh.hessian(cubed(x), [1.0]), "xs[0]", "float")
    layer = paddle.nn.Linear(2, 2)
    refused(TypeError, lambda: lh.hessian(cubed(x), layer), "Linear", "named_parameters()")
    single = tensor([1.0], "float32")
    refused(
        ValueError,
        lambda: lh.hessian(lambda a, b: cubed(a) + cubed(b), (x, single)),
        "of one dtype",
        "xs[1]",
    )


def test_outputs() -> None:
    x = tensor([1.0, 2.0])
    refused(ValueError, lambda: lh.hessian(x * x, x), "one element", "(2,)", "reduction")
    refused(TypeError, lambda: lh.hessian(3.0, x), "float", "lh.hessian(f, xs)")
    refused(TypeError, lambda: lh.hessian(lambda x: cubed(x).item(), x), ".item()")
    refused(ValueError, lambda: lh.hessian([], x, reduction="sum"), "ys is empty")
    refused(
        ValueError, lambda: lh.hessian([cubed(x), cubed(x)], x, reduction="none"), "paddle.stack"
    )
    both = lh.hessian([cubed(x), x * x], x, reduction="sum")
    assert both[...].numpy().tolist() == [[8.0, 0.0], [0.0, 14.0]]
    refused(TypeError, lambda: lh.hessian(lambda x: paddle.argmax(x), x), "no record", "int64")
    refused(TypeError, lambda: lh.hessian(cubed(x), x, argnums=0), "callable")


def test_batches() -> None:
    X = tensor(np.random.default_rng(0).normal(size=(4, 3)))
    mixed = paddle.sum(X * X * X, 1) * paddle.mean(X)
    refused(ValueError, lambda: lh.hessian(mixed, X, 0), "samples interact", "batch_axis=0")
    normal = F.batch_norm(
        X, paddle.zeros([3], "float64"), paddle.ones([3], "float64"), training=True
    )
    refused(ValueError, lambda: lh.hessian(paddle.sum(normal * normal * X, 1), X, 0), "interact")
    refused(ValueError, lambda: lh.hessian(cubed(X), X, 0), "one element for each of 4 samples")
    refused(ValueError, lambda: lh.hessian(mixed, X, 2), "out of range")


def test_other_points() -> None:
    x = tensor([1.0, 2.0])
    refused(ValueError, lambda: lh.hessian(cubed(x), x).at(x), "as a function")
    H = lh.hessian(cubed, x)
    refused(ValueError, lambda: H.at(tensor([1.0])), "(2,)", "(1,)")
    refused(ValueError, lambda: H.at(tensor([1.0, 2.0], "float32")), "float64", "float32")
    refused(ValueError, lambda: H.at((x, x)), "structure of xs")


# --- the ways out -------------------------------------------------------------------------------

_A = np.random.default_rng(1).uniform(0.3, 0.9, (3, 3))
_B = paddle.to_tensor(np.random.default_rng(2).uniform(0.3, 0.9, (3, 3)))


def _softmax(x: Any) -> Any:
    z = x - paddle.max(x, 1, keepdim=True).detach()
    e = paddle.exp(z)
    return e / paddle.sum(e, 1, keepdim=True)


def _log_softmax(x: Any) -> Any:
    z = x - paddle.max(x, 1, keepdim=True).detach()
    return z - paddle.log(paddle.sum(paddle.exp(z), 1, keepdim=True))


def _logsumexp(x: Any) -> Any:
    m = paddle.max(x, 1, keepdim=True).detach()
    return (m + paddle.log(paddle.sum(paddle.exp(x - m), 1, keepdim=True)))[:, 0]


def _layer_norm(x: Any) -> Any:
    z = x - paddle.mean(x, 1, keepdim=True)
    return z / paddle.sqrt(paddle.mean(z * z, 1, keepdim=True) + 1e-5)


WAYS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "einsum": (lambda x: paddle.einsum("ij,jk->ik", x, x), lambda x: x @ x),
    "softmax": (F.softmax, _softmax),
    "log_softmax": (F.log_softmax, _log_softmax),
    "cross_entropy_with_softmax": (
        lambda x: F.cross_entropy(x, paddle.to_tensor([0, 2, 1]), reduction="none"),
        lambda x: -_log_softmax(x)[paddle.arange(3), paddle.to_tensor([0, 2, 1])],
    ),
    "logsumexp": (lambda x: paddle.logsumexp(x, 1), _logsumexp),
    "sigmoid_cross_entropy_with_logits": (
        lambda x: F.binary_cross_entropy_with_logits(x, _B, reduction="none"),
        lambda z: F.softplus(z) - z * _B,
    ),
    "layer_norm": (lambda x: F.layer_norm(x, 3, epsilon=1e-5), _layer_norm),
    "p_norm": (lambda x: paddle.linalg.norm(x), lambda x: paddle.sqrt(paddle.sum(x * x))),
    "dot": (lambda x: paddle.dot(x[0], x[1]), lambda x: paddle.sum(x[0] * x[1])),
    "reciprocal": (paddle.reciprocal, lambda x: 1 / x),
    "elementwise_pow": (lambda x: x**_B, lambda x: paddle.exp(_B * paddle.log(x))),
    "log1p": (paddle.log1p, lambda x: paddle.log(1 + x)),
    "expm1": (paddle.expm1, lambda x: paddle.exp(x) - 1),
    "sinh": (paddle.sinh, lambda x: (paddle.exp(x) - paddle.exp(-x)) / 2),
    "swish": (F.swish, lambda x: x * F.sigmoid(x)),
    "lerp": (lambda x: paddle.lerp(x, _B, 0.3), lambda x: x + 0.3 * (_B - x)),
    "addmm": (lambda x: paddle.addmm(_B, x, x), lambda x: _B + x @ x),
    "embedding": (
        lambda x: F.embedding(paddle.to_tensor([2, 0, 2]), x),
        lambda x: paddle.gather(x, paddle.to_tensor([2, 0, 2])),
    ),
    "cumsum": (
        lambda x: paddle.cumsum(x, 0),
        lambda x: paddle.tril(paddle.ones([3, 3], "float64")) @ x,
    ),
    "tril": (paddle.tril, lambda x: x * paddle.tril(paddle.ones_like(x).detach())),
    "triu": (paddle.triu, lambda x: x * paddle.triu(paddle.ones_like(x).detach())),
    "diagonal": (paddle.diagonal, lambda x: x[paddle.arange(3), paddle.arange(3)]),
    "trace": (paddle.trace, lambda x: paddle.sum(x[paddle.arange(3), paddle.arange(3)])),
    "roll": (lambda x: paddle.roll(x, 1, 0), lambda x: paddle.concat([x[2:], x[:2]])),
    "max": (
        lambda x: paddle.max(x, 1),
        lambda x: paddle.maximum(paddle.maximum(x[:, 0], x[:, 1]), x[:, 2]),
    ),
    "min": (
        lambda x: paddle.min(x, 1),
        lambda x: paddle.minimum(paddle.minimum(x[:, 0], x[:, 1]), x[:, 2]),
    ),
}


def test_all_ways_are_tested() -> None:
    from lazyhess._frontends.paddle.products import _WAYS

    assert _WAYS.keys() == WAYS.keys()


@pytest.mark.parametrize("name", WAYS)
def test_ways_out(name: str) -> None:
    """Paddle lacks the second derivative, and has that of what the error names instead."""
    original, other = (lambda x, f=f: paddle.sum(f(x) * f(x)) for f in WAYS[name])
    x = tensor(_A)
    np.testing.assert_allclose(original(x).numpy(), other(x).numpy(), rtol=1e-9)
    refused(
        NotImplementedError,
        lambda: lh.hessian(original, x)[0],
        f"no second derivative of {name}:",
        "the way out: write it with operations that have one",
    )
    H = lh.hessian(other, x)[...].numpy().reshape(9, 9)
    step = 1e-5
    for k in range(9):
        move = tensor(step * np.eye(9)[k].reshape(3, 3), trained=False)
        slopes = [lh.gradient(original, x + sign * move).numpy() for sign in (1, -1)]
        near = (slopes[0] - slopes[1]).reshape(-1) / (2 * step)
        np.testing.assert_allclose(H[k], near, rtol=1e-6, atol=1e-7)


class Backward(paddle.autograd.PyLayer):
    @staticmethod
    def forward(ctx, d):
        return d.clone()

    @staticmethod
    def backward(ctx, d):
        return d + paddle.zeros([1 << 44]).sum()


class Large(paddle.autograd.PyLayer):
    """The identity, whose backward's backward needs more memory than any machine has."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, d):
        return Backward.apply(d)


def test_what_does_not_fit_into_memory():
    H = lh.hessian(lambda x: (Large.apply(x) ** 3).sum(), paddle.ones([5], "float64"))
    with pytest.raises(MemoryError, match=r"x of shape \(5,\).*dtype float64, needs about"):
        H[:4]
