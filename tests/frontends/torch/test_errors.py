"""What is wrong is said at the call, with what came and the way out."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import lazyhess as lh
from tests.frontends.torch.models import normal


def cube(x):
    return (x**3).sum()


def leaf(*shape):
    return normal(*shape).requires_grad_()


def moved(error, *words):
    """All words, in order, in the text of an error."""
    return pytest.raises(error, match="(?s)" + ".*".join(words))


# --- ys -----------------------------------------------------------------------------------------


def test_ys_without_a_graph():
    x = leaf(3)
    with torch.no_grad():
        ys = cube(x)
    with moved(TypeError, r"shape \(\)", "detached", "no_grad", r"lh.hessian\(f, xs\)"):
        lh.hessian(ys, x)
    with moved(TypeError, "carries no record"):
        lh.hessian(cube(x).detach(), x)
    with moved(TypeError, "carries no record"):
        lh.gradient(cube(x).detach(), x)
    with moved(TypeError, "a constant, or was detached on the way"):
        lh.hessian(lambda x: cube(x.detach()), x)


def test_ys_that_is_no_tensor():
    x = leaf(3)
    with moved(TypeError, "float", "torch.Tensor", r"lh.hessian\(f, xs\)"):
        lh.hessian(float(cube(x)), x)
    with moved(TypeError, "float", "return the tensor itself"):
        lh.hessian(lambda x: cube(x).item(), x)
    with moved(TypeError, "tuple"):
        lh.hessian(lambda x: (cube(x), x), x)
    with moved(TypeError, "has_aux is for a callable ys"):
        lh.hessian(cube(x), x, has_aux=True)


def test_ys_of_several_elements():
    x = leaf(3)
    for call in (lambda: lh.hessian(x**3, x), lambda: lh.hessian(lambda x: x**3, x)):
        with moved(ValueError, "one element", r"\(3,\)", "reduction", "batch_axis"):
            call()
    with moved(ValueError, "ys is empty"):
        lh.hessian([], x, reduction="sum")
    with moved(ValueError, "takes one ys", "torch.stack"):
        lh.hessian([x**2, x**3], x, reduction="none")


def test_complex_ys_and_xs():
    x = leaf(3)
    with moved(TypeError, "ys has dtype torch.complex128", "ys.real"):
        lh.hessian(cube(x) * 1j, x)
    z = x.detach().to(torch.complex128).requires_grad_()
    with moved(TypeError, "xs has dtype torch.complex128", "real xs"):
        lh.hessian(cube(z).real, z)
    with moved(TypeError, "torch.complex128"):
        lh.hessian(lambda z: cube(z).real, z)


# --- xs -----------------------------------------------------------------------------------------


def test_xs_that_do_not_require_grad():
    x, c = leaf(3), normal(2, 2)
    with moved(ValueError, r"xs\['c'\] \(shape \(2, 2\)", "requires_grad_"):
        lh.hessian(cube(x) * c.sum(), {"x": x, "c": c})
    with moved(ValueError, "detached copy"):
        lh.hessian(cube(x), x.detach())


def test_xs_of_other_types():
    x = leaf(3)
    for xs, what in ((np.ones(3), "ndarray"), (1.0, "float")):
        with moved(TypeError, r"xs\[1\] must be a torch.Tensor", what, "torch.as_tensor"):
            lh.hessian(cube(x), (x, xs))
    with moved(TypeError, r"shape \(3,\) and dtype torch.int64", "no derivatives"):
        lh.hessian(cube, torch.arange(3))
    with moved(TypeError, "xs is a module", "named_parameters"):
        lh.hessian(cube(x), nn.Linear(2, 2))
    with moved(TypeError, "layout torch.sparse_coo", "to_dense"):
        lh.hessian(lambda x: cube(x.to_dense()), torch.eye(3).to_sparse())


def test_xs_of_several_dtypes():
    a, b = leaf(3), leaf(2).detach().float().requires_grad_()
    H = lh.hessian(cube(a) * cube(b), (a, b))
    for i, x in enumerate((a, b)):
        for j, other in enumerate((a, b)):
            assert H[i][j].dtype == H[i][j][...].dtype == H[i][j][:1].dtype == x.dtype
            assert H[i][j].shape == (*x.shape, *other.shape)
    want = torch.outer(3 * a**2, 3 * b.double() ** 2).detach()
    for got in (H[0][1][...], H[1][0][:, :].T, lh.hessian(cube(a) * cube(b), (a, b))[1][0][...].T):
        torch.testing.assert_close(got.double(), want, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(H[0][1] @ b.detach(), (want @ b.double()).detach())


def test_a_body_of_half_precision_and_a_head_of_single():
    body, head = normal(4, 3).to(torch.bfloat16), normal(4).float()
    data = normal(5, 3).to(torch.bfloat16)

    def loss(body, head):
        return (torch.tanh(data @ body.T).float() @ head).pow(2).sum()

    H = lh.hessian(loss, (body, head))
    hidden = torch.tanh(data @ body.T).float()
    torch.testing.assert_close(H[1][1][...], 2 * hidden.T @ hidden)
    assert H[0][0][...].dtype == H[0][1][...].dtype == torch.bfloat16
    torch.testing.assert_close(H[1][0][...], H[0][1][...].permute(2, 0, 1).float())


def test_tensors_of_inference_mode():
    with torch.inference_mode():
        x = torch.ones(3)
        ys = cube(x)
    with moved(ValueError, r"xs\['x'\]", r"made under torch\.inference_mode\(\)", "outside"):
        lh.hessian(ys, {"x": x})
    with moved(TypeError, r"made under torch\.inference_mode\(\)"):
        lh.hessian(ys, leaf(3))
    assert lh.hessian(cube, x)[0].tolist() == [6, 0, 0]


def test_errors_of_torch_are_chained_and_name_the_operation():
    class Refuses(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        def backward(ctx, upstream):
            raise RuntimeError("not today")

    H = lh.hessian(lambda x: Refuses.apply(x).sum(), leaf(3))
    with moved(RuntimeError, "autograd.Function Refuses", "not today") as caught:
        H[0]
    assert str(caught.value.__cause__) == "not today"


def test_a_view_that_ys_was_not_computed_from():
    w = leaf(3, 3)
    ys = cube(w)
    with moved(ValueError, r"xs \(shape \(3,\)\) is no leaf", "not computed from it"):
        lh.hessian(ys, w[0])
    row = w[0]
    assert lh.hessian(cube(row), row).shape == (3, 3)
    first, second = w[:2].unbind()
    assert lh.hessian(cube(first), first).shape == (3, 3)
    with pytest.raises(ValueError, match="no leaf"):
        lh.hessian(cube(first), second)


def test_strict():
    a, b = leaf(3), leaf(2)
    for call in (
        lambda: lh.hessian(cube(a), (a, b), strict=True),
        lambda: lh.hessian(lambda a, b: cube(a), (a, b), strict=True),
    ):
        with moved(ValueError, r"does not depend on xs\[1\] \(shape \(2,\)\)", "strict"):
            call()
    linear = lh.hessian((a * b.sum()).sum(), (a, b), strict=True)
    assert torch.equal(linear[0][0][...], torch.zeros(3, 3, dtype=a.dtype))


# --- graphs that are gone -----------------------------------------------------------------------


def test_a_graph_that_was_freed():
    x = leaf(3)
    ys = cube(x)
    H = lh.hessian(ys, x)
    ys.backward()
    with moved(RuntimeError, "graph of ys was freed", "retain_graph=True", r"lh.hessian\(f, xs\)"):
        H[0]
    with moved(RuntimeError, "graph of ys was freed"):
        lh.gradient(ys, x)
    assert lh.hessian(cube, x).shape == (3, 3)


def test_a_hessian_leaves_the_graph_as_it_is():
    x = leaf(3)
    ys = cube(x)
    lh.gradient(ys, x)
    lh.hessian(ys, x)[...]
    assert x.grad is None
    ys.backward()
    assert torch.allclose(x.grad, 3 * x.detach() ** 2)


def test_a_change_in_place():
    x = leaf(3)
    H = lh.hessian(cube(x), x)
    with torch.no_grad():
        x += 1
    with moved(RuntimeError, "changed in place", "optimizer", r"lh.hessian\(f, xs\)"):
        H[0]
    y = x.detach().clone()
    H = lh.hessian(cube, y)
    y += 1
    assert torch.allclose(H.diagonal(), 6 * (y - 1))


def test_a_change_in_place_of_what_was_asked():
    x = leaf(3)
    H = lh.hessian(cube(x), x)
    kept = H[...]
    with torch.no_grad():
        x += 1
    assert torch.equal(H[...], kept)


# --- operations without a second derivative -----------------------------------------------------


def test_attention_that_is_one_kernel():
    x = leaf(1, 1, 4, 8)

    def f(x):
        return cube(nn.functional.scaled_dot_product_attention(x, x, x))

    with moved(
        NotImplementedError, "no second derivative of scaled_dot_product", "SDPBackend.MATH"
    ):
        lh.hessian(f, x)[0, 0, 0, 0]
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        H = lh.hessian(f, x)
    row = H[0, 0, 0, 0]
    want = torch.autograd.functional.hessian(
        lambda x: cube(torch.softmax(x @ x.mT / 8**0.5, -1) @ x), x
    )
    assert torch.allclose(row, want[0, 0, 0, 0])


def test_operations_that_torch_cannot():
    with moved(NotImplementedError, "no second derivative of embedding_bag", "autograd.Function"):
        lh.hessian(
            lambda x: cube(nn.functional.embedding_bag(torch.tensor([[0, 1]]), x)), normal(3, 2)
        )[0]
    with moved(NotImplementedError, "no second derivative of cdist"):
        lh.hessian(lambda x: cube(torch.cdist(x, x[:2] * 2 + 1)), normal(3, 2))[0]


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        return 3 * ctx.saved_tensors[0] ** 2 * g


def test_functions_that_are_differentiable_once():
    with moved(NotImplementedError, "once_differentiable", "differentiable operations"):
        lh.hessian(lambda x: Once.apply(x).sum(), normal(3))[0]


def test_errors_of_the_function_pass():
    with pytest.raises(KeyError, match="mine"):
        lh.hessian(lambda x: {}["mine"], normal(3))
    with pytest.raises(RuntimeError, match="must match the size"):
        lh.hessian(lambda x: cube(x + torch.ones(4)), normal(3))


# --- batches ------------------------------------------------------------------------------------


def test_batches():
    X = normal(4, 3)
    with moved(ValueError, "batch_axis 2 is out of range", r"\(4, 3\)"):
        lh.hessian(lambda X: X.sum(1), X, 2)
    with moved(ValueError, "one element for each of 3 samples", r"\(4,\)"):
        lh.hessian(lambda X: X.sum(1), X, 1)
    with moved(ValueError, "samples interact", "reduction"):
        lh.hessian(lambda X: nn.functional.normalize(X, dim=0).pow(3).sum(1), X, 0)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).double()
    with pytest.raises(ValueError, match="samples interact"):
        lh.hessian(lambda X: model(X).pow(3).sum(1), X, 0)
    model.eval()
    assert lh.hessian(lambda X: model(X).pow(3).sum(1), X, 0).shape == (4, 3, 3)


# --- other points, copies -----------------------------------------------------------------------


def test_at():
    x = leaf(3)
    with moved(ValueError, "not given as a function", r"lh.hessian\(f, xs\)"):
        lh.hessian(cube(x), x).at(x)
    H = lh.hessian(cube, x)
    with moved(ValueError, r"shape \(3,\) and dtype torch.float64", r"shape \(4,\)"):
        H.at(normal(4))
    with moved(ValueError, "dtype torch.float32"):
        H.at(normal(3).float())
    with moved(TypeError, "must be a torch.Tensor", "ndarray"):
        H.at(np.ones(3))
    pair = lh.hessian(lambda a, b: cube(a) * cube(b), (normal(3), normal(2)))
    with moved(ValueError, "structure of xs"):
        pair[0][0].at(normal(3))
    assert torch.allclose(pair[0][0].at(normal(3), normal(2) * 2)[0][0][...], 8 * pair[0][0][...])


def test_copies_and_pickles():
    H = lh.hessian(cube, normal(3))
    assert copy.copy(H) is H
    for call in (pickle.dumps, copy.deepcopy):
        with moved(TypeError, "cannot be pickled or copied", r"H\[...\]"):
            call(H)


def test_the_graph_of_an_answer_is_not_lost_to_numpy():
    x = leaf(3)
    H = lh.hessian(cube(x), x, create_graph=True)
    with pytest.raises(RuntimeError, match="requires grad"):
        np.asarray(H)
    assert np.asarray(lh.hessian(cube(x), x)).shape == (3, 3)


class Large(torch.autograd.Function):
    """The identity, whose backward's backward needs more memory than any machine has."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, d):
        return Backward.apply(d)


class Backward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, d):
        return d.clone()

    @staticmethod
    def backward(ctx, d):
        return d + torch.zeros(1 << 44).sum()


def test_what_does_not_fit_into_memory():
    H = lh.hessian(lambda x: (Large.apply(x) ** 3).sum(), normal(5))
    with pytest.raises(
        MemoryError, match=r"x of shape \(5,\).*dtype float64, needs about"
    ) as caught:
        H[:4]
    assert "DefaultCPUAllocator" in str(caught.value.__cause__)
