"""Wrong use gets an error at the call that is wrong, with the value seen and the way out."""

import numpy as np
import pytest

import lazyhess as lh

X = np.linspace(0.5, 1.5, 6).reshape(3, 2)


def test_ys_that_was_not_recorded():
    x = lh.variable(X)
    for y in (np.float64(3.0), np.ones(2), 3.0, "y"):
        with pytest.raises(TypeError, match=r"lh\.variable\(array\).*lh\.hessian\(f, xs\)"):
            lh.hessian(y, x)
    with pytest.raises(TypeError, match="ndarray of shape"):
        lh.hessian(np.ones(2), x)


def test_ys_of_several_elements():
    x = lh.variable(X)
    with pytest.raises(
        ValueError, match=r'shape \(3, 2\).*reduction="sum".*reduction="none".*batch_axis'
    ):
        lh.hessian(x * x, x)
    with pytest.raises(ValueError, match=r"shape \(0,\)"):
        lh.hessian(x[:0, 0], x)


@pytest.mark.parametrize(
    "x", [np.arange(3), np.array([True]), np.array([None]), np.array(["a"]), 3]
)
def test_x_without_derivatives(x):
    with pytest.raises(TypeError, match="floating and complex.*got dtype"):
        lh.variable(x)
    with pytest.raises(TypeError, match="floating and complex"):
        lh.hessian(lambda v: np.sum(v), x)


def test_x_that_is_not_a_variable():
    x = lh.variable(X)
    with pytest.raises(TypeError, match=r"xs\[1\] must be a Variable.*ndarray"):
        lh.hessian(np.sum(x), (x, X))


def test_batch_axes_that_do_not_fit():
    x, z = lh.variable(X), lh.variable(np.ones((4, 2)))
    y = np.sum(x * x, axis=1)
    for axis in (2, -3):
        with pytest.raises(ValueError, match=rf"batch_axis {axis} is out of range.*\(3, 2\)"):
            lh.hessian(y, x, axis)
    with pytest.raises(ValueError, match=r"batch sizes differ: \[3, 4\]"):
        lh.hessian(y, (x, z), 0)
    with pytest.raises(ValueError, match=r"each of 2 samples, got shape \(3,\)"):
        lh.hessian(y, x, 1)
    with pytest.raises(ValueError, match=r"each of 3 samples, got shape \(3, 2\)"):
        lh.hessian(x * x, x, 0)
    with pytest.raises(ValueError, match="2 positions for 1 xs"):
        lh.hessian(y, x, (0, 0))
    with pytest.raises(ValueError, match="exclude each other"):
        lh.hessian(y, x, 0, reduction="sum")


MIX = {
    "mean": lambda x: x - np.mean(x, axis=0),
    "sum": lambda x: x * np.sum(x),
    "cumsum": lambda x: np.cumsum(x, axis=0),
    "roll": lambda x: x * np.roll(x, 1, axis=0),
    "matmul": lambda x: x @ (x.T @ x),
    "gram": lambda x: (x @ x.T) @ np.ones((3, 1)),
    "weights": lambda x: np.arange(9.0).reshape(3, 3) @ x,
    "reverse": lambda x: x * x[::-1],
    "index": lambda x: x[[0, 0, 1]],
    "reshape": lambda x: np.reshape(x, (2, 3)).T,
    "sorted": lambda x: x[np.argsort(-x[:, 0].value)],
    "max": lambda x: x * np.max(x, axis=0),
    "concatenate": lambda x: np.concatenate([x[1:], x[:1]]),
    "neighbour": lambda x: np.pad(x[1:] - x[:-1], ((0, 1), (0, 0))),
    "einsum": lambda x: np.einsum("ij,kj->ik", x, x),
    "outer": lambda x: np.sum(np.multiply.outer(x[:, 0], x[:, 0]), axis=1, keepdims=True),
    "diag": lambda x: np.diag(x[:, 0]) @ x + np.flip(x, 0),
}


@pytest.mark.parametrize("mix", MIX.values(), ids=MIX)
def test_samples_that_interact(mix):
    x = lh.variable(X)
    y = np.sum(mix(x) ** 2, axis=1)
    with pytest.raises(ValueError, match=r"samples interact under batch_axis=0.*ys\[\d\]"):
        lh.hessian(y, x, 0)


KEEP = {
    "weights": lambda x: np.tanh(x @ np.ones((2, 4))) @ np.ones((4, 3)),
    "softmax": lambda x: (
        np.exp(x - np.max(x, 1, keepdims=True)) / np.sum(np.exp(x), 1, keepdims=True)
    ),
    "reshape": lambda x: np.reshape(np.reshape(x, (3, 2, 1)) * np.ones(4), (3, 8)),
    "einsum": lambda x: np.einsum("bi,bj,ijk->bk", x, x, np.ones((2, 2, 3))),
    "gram": lambda x: (x[:, :, None] @ x[:, None, :]).reshape(3, -1),
    "transposed": lambda x: (np.ones((4, 2)) @ x.T).T,
    "columns": lambda x: np.concatenate([x[:, ::-1], x[:, :1] ** 3], axis=1),
    "cumsum": lambda x: np.cumsum(x, axis=1),
    "where": lambda x: np.where(np.arange(3)[:, None] == 1, x**2, np.sin(x)),
    "there and back": lambda x: np.flip(np.flip(x, 0) ** 2, 0),
    "of samples": lambda x: x * np.arange(3.0)[:, None],
    "stacked": lambda x: np.stack([x[0] ** 2, x[1], x[2]]),
    "diag": lambda x: np.diag(x[:, 0]) @ np.ones((3, 2)) * x,
}


@pytest.mark.parametrize("keep", KEEP.values(), ids=KEEP)
def test_samples_that_do_not_interact(keep):
    x = lh.variable(X)
    H = lh.hessian(np.sum(keep(x) ** 2, axis=1), x, 0)
    whole = lh.hessian(np.sum(keep(x) ** 2), x)
    for b in range(3):
        np.testing.assert_allclose(H[b], whole[b, :, b, :], atol=1e-12)


def test_strict():
    x, z, w = (lh.variable(X) for _ in range(3))
    y = np.sum(x * 3)
    with pytest.raises(ValueError, match=r"does not depend on xs\['b'\]\[0\].*\(3, 2\)"):
        lh.hessian(y, {"a": x, "b": [z]}, strict=True)
    lh.hessian(y, x, strict=True)  # a linear dependence is one
    assert not np.any(lh.hessian(y, (x, w))[1][1])
    with pytest.raises(ValueError, match="does not depend"):
        lh.gradient(y, z, strict=True)
    np.testing.assert_array_equal(lh.gradient(y, z), 0)


def test_arguments():
    x = lh.variable(X)
    y = np.sum(x**2)
    with pytest.raises(TypeError, match=r"xs\[1\] has dtype complex128 and xs\[0\] is real"):
        z = lh.variable(X + 1j)
        lh.hessian(np.sum(z * x), (x, z))
    with pytest.raises(ValueError, match="reduction must be"):
        lh.hessian(y, x, reduction="mean")
    with pytest.raises(ValueError, match="block_size"):
        lh.hessian(y, x, block_size=0)
    with pytest.raises(TypeError, match="has_aux is for a callable"):
        lh.hessian(y, x, has_aux=True)
    with pytest.raises(TypeError, match="argnums is for a callable"):
        lh.hessian(y, x, argnums=0)
    with pytest.raises(ValueError, match="argnums 2 is out of range for 1"):
        lh.hessian(lambda v: np.sum(v), (X,), argnums=2)
    with pytest.raises(TypeError, match=r"\(ys, aux\)"):
        lh.hessian(lambda v: np.sum(v), X, has_aux=True)
    with pytest.raises(ValueError, match="512MB"):
        lh.hessian(y, x, cache="lots")
    with pytest.raises(ValueError, match="gradient knows"):
        lh.gradient(y, x, reduction="none")


def test_progress_without_tqdm(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    x = lh.variable(X)
    with pytest.raises(ImportError, match=r"lazyhess\[progress\]"):
        lh.hessian(np.sum(x**2), x, progress=True)[0]


def test_not_a_number_appears_where_it_belongs():
    x = lh.variable(np.array([0.0, 1.0, 2.0, np.nan, 3.0]))
    with np.errstate(all="ignore"):
        y = np.sum(np.log(x)) + np.sum((np.arange(10.0).reshape(2, 5)[:, [1, 4]] @ x[[1, 4]]) ** 2)
    H = np.asarray(lh.hessian(y, x))
    assert np.isinf(H[0, 0])
    assert np.isnan(H[3, 3])
    H[0, 0] = H[3, 3] = 1
    assert np.isfinite(H).all()


def test_not_a_number_in_large_dense_blocks():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(40, 50))
    point = rng.uniform(1, 2, 50)
    point[7] = 0
    x = lh.variable(point)
    with np.errstate(all="ignore"):
        s = np.sqrt(x)
    z = s * (x != 0)  # inf * 0 in the derivative at 7
    y = np.sum(np.tanh(a @ np.where(x.value == 0, 0.0, z)) ** 2)
    H = np.asarray(lh.hessian(y, x))
    assert np.isfinite(H).all()
    assert not H[7].any()


def test_where_keeps_the_branch_not_taken_out():
    x = lh.variable(np.array([-1.0, 0.0, 4.0]))
    with np.errstate(all="ignore"):
        y = np.sum(np.where(x > 0, np.sqrt(x) * np.log(x), x**2))
    H = np.asarray(lh.hessian(y, x))
    assert np.isfinite(H).all()
    np.testing.assert_array_equal(H[:2, :2], np.diag([2.0, 2.0]))
    assert np.isfinite(lh.gradient(y, x)).all()
