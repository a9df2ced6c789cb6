"""Wrong use gets an error at the call that is wrong, with the value seen and the way out."""

import re

import numpy as np
import pytest

import lazyhess as lh
from lazyhess._sizes import parse_bytes

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


# --- arguments -------------------------------------------------------------------------------------
def cubes(x):
    return np.sum(x**3)


def asked(**options):
    """What a call with these options says; every error names the argument and the value."""
    return lh.hessian(cubes, X, **options)


@pytest.mark.parametrize(
    "value", ["no", "False", np.array([True, False]), np.array(True), 1, [], None]
)
@pytest.mark.parametrize("name", ["strict", "has_aux", "create_graph", "progress"])
def test_flags_are_true_or_false(name, value):
    if name == "create_graph" and value is None:
        asked(create_graph=None)
        return
    got = re.escape(f"of shape {value.shape}" if isinstance(value, np.ndarray) else repr(value))
    with pytest.raises(TypeError, match=f"{name} must be True or False.*{got}$"):
        asked(**{name: value})
    if name != "progress":
        with pytest.raises(TypeError, match=f"{name} must be"):
            lh.gradient(cubes, X, **{name: value})


def test_flags_of_numpy_are_flags():
    assert type(asked(strict=np.True_, create_graph=np.bool_(False))[0]) is np.ndarray
    assert type(asked(create_graph=np.True_)[0]) is lh.Variable


@pytest.mark.parametrize(
    ("name", "value", "error", "says"),
    [
        ("block_size", 0, ValueError, "block_size must be at least 1, got 0"),
        ("block_size", 2.5, TypeError, "block_size must be a whole number of seeds, got 2.5"),
        ("block_size", "3", TypeError, "block_size must be a whole number of seeds, got '3'"),
        ("block_size", True, TypeError, "block_size must be a whole number of seeds, got True"),
        ("block_size", [1], TypeError, r"block_size must be .* got \[1\]"),
        ("argnums", (), ValueError, r"argnums names no argument: got \(\)"),
        ("argnums", [], ValueError, r"argnums names no argument: got \[\]"),
        ("argnums", "0", TypeError, "argnums must be .* got '0'"),
        ("argnums", 0.0, TypeError, "argnums must be .* got 0.0"),
        ("argnums", False, TypeError, "argnums must be .* got False"),
        ("argnums", (0, "a"), TypeError, r"argnums must be .* got \(0, 'a'\)"),
        ("argnums", 7, ValueError, "argnums 7 is out of range for 1"),
        ("batch_axis", "0", TypeError, "batch_axis must be .* got '0'"),
        ("batch_axis", 0.0, TypeError, "batch_axis must be .* got 0.0"),
        ("batch_axis", True, TypeError, "batch_axis must be .* got True"),
        ("batch_axis", (0, "a"), TypeError, r"batch_axis must be .* got \(0, 'a'\)"),
        ("batch_axis", {"x": 0}, TypeError, "batch_axis must be .* got {'x': 0}"),
        ("batch_axis", 5, ValueError, "batch_axis 5 is out of range"),
        ("cache", "9" * 400, ValueError, "cache must be at most .* got '99999.* of 400 characters"),
        ("cache", "9" * 5000 + "MB", ValueError, "cache must be at most .* got '99999.* of 5002 characters"),
        ("cache", 10**400, ValueError, r"cache must be at most .* got 1.000e\+400"),
        ("cache", -1, ValueError, "cache must not be negative, got -1"),
        ("cache", "nan", ValueError, "cache must be bytes such as .* got 'nan'"),
        ("cache", 2.5, TypeError, "cache must be a number of bytes.* got float"),
        ("cache", True, TypeError, "cache must be a number of bytes.* got bool"),
        ("reduction", "mean", ValueError, "reduction must be .* got 'mean'"),
        ("reduction", np.zeros(2), ValueError, r"reduction must be .* got array\(\[0., 0.\]\)"),
        ("reduction", [], ValueError, r"reduction must be .* got \[\]"),
    ],
)  # fmt: skip
def test_an_error_names_the_argument_and_the_value_at_the_call(name, value, error, says):
    with pytest.raises(error, match=says):
        asked(**{name: value})
    if name == "cache":
        x = lh.variable(X)
        with pytest.raises(error, match=says):
            lh.hessian(cubes(x), x, cache=value)


def test_sizes_are_exact_and_whole_numbers_are_numpys_too():
    def size(text: str) -> int:
        return parse_bytes(text, "cache", "")

    assert size("9007199254740993") == 9007199254740993  # no float holds it
    assert size("0.1kB") == 100
    assert size("1.5GiB") == 3 << 29
    assert asked(block_size=np.int64(2)).shape == (3, 2, 3, 2)
    assert lh.hessian(cubes, (X,), argnums=range(1))[0][0].shape == (3, 2, 3, 2)
    assert lh.hessian(cubes, (X,), argnums=np.array([0]))[0][0].shape == (3, 2, 3, 2)
    assert lh.hessian(lambda x: np.sum(x, 1), X, np.int64(0)).shape == (3, 2, 2)


@pytest.mark.parametrize("value", [None, "y", 3.0, np.ones(2), np.float64(1)])
def test_a_function_that_gives_no_record_is_not_told_to_be_given(value):
    for ask in (lh.hessian, lh.gradient):
        with pytest.raises(TypeError, match=rf"got {type(value).__name__}.*0 \* sum\(x\)") as info:
            ask(lambda x: value, X)
        assert "lh.hessian(f" not in str(info.value)
        assert "give the function" not in str(info.value)


def test_a_list_is_spread_over_the_arguments():
    for xs, kind in (([1.0, 2.0, 3.0], "list"), ((1.0, 2.0, 3.0), "tuple")):
        for ask in (lh.hessian, lh.gradient):
            with pytest.raises(
                TypeError,
                match=rf"it is ys\(x\), and a {kind} as xs is spread over the arguments.* 3 items.*np\.asarray",
            ) as info:
                ask(cubes, xs)
            assert isinstance(info.value.__cause__, TypeError)
    with pytest.raises(TypeError, match=r"it is ys\(a, b\), and xs is one argument.*give a tuple"):
        lh.hessian(lambda a, b: a @ b, np.ones(2))
    with pytest.raises(TypeError, match=r"it is ys\(\)"):
        lh.hessian(lambda: 1.0, X)
    with pytest.raises(TypeError, match=r"^object of type 'int' has no len\(\)$"):
        lh.hessian(lambda x: len(3), X)  # an error of the function's own is left as it is
    # A function that takes them is called with them.
    assert len(lh.hessian(lambda *parts: sum(p * p for p in parts), [1.0, 2.0, 3.0])) == 3


def test_how_it_is_called():
    with pytest.raises(TypeError, match=r"called as lh\.hessian\(f, x\).*hessian\(f\)\(x\)"):
        lh.hessian(cubes)(X)
    with pytest.raises(TypeError, match=r"called as lh\.gradient\(f, x\).*gradient\(f\)\(x\)"):
        lh.gradient(cubes)(X)


def test_operands_of_products():
    x = np.array([1.0, 2.0, 3.0])
    H = lh.hessian(cubes, x)
    dense = np.diag(6 * x)
    np.testing.assert_array_equal(H @ [1, 2, 3], dense @ [1, 2, 3])
    np.testing.assert_array_equal([1, 2, 3] @ H, dense @ [1, 2, 3])
    np.testing.assert_array_equal(H @ [[1, 2], [3, 4], [5, 6]], dense @ [[1, 2], [3, 4], [5, 6]])
    H = lh.hessian(cubes, x)
    for wrong, error, says in (
        (np.ones(4), ValueError, r"mismatch .* \(3, 3\) and \(4,\)"),
        (np.ones((4, 2)), ValueError, r"mismatch .* \(3, 3\) and \(4, 2\)"),
        (np.ones((2, 4, 1)), ValueError, r"mismatch"),
        ([1, 2], ValueError, r"mismatch .* \(3, 3\) and \(2,\)"),
        (3.0, ValueError, r"operand with axes, got float.*H \* v"),
        (np.array(3.0), ValueError, r"operand with axes, got ndarray"),
        (None, TypeError, r"an array of numbers, got NoneType"),
        ("abc", TypeError, r"an array of numbers, got str"),
        (object(), TypeError, r"an array of numbers, got object"),
        ([[1], [1, 2]], ValueError, r"needs an array, got list"),
    ):
        with pytest.raises(error, match=says):
            H @ wrong
        if not isinstance(wrong, np.ndarray) or wrong.ndim == 1:
            with pytest.raises(error):
                wrong @ H
    assert H.cache_info().products == 0  # refused before anything is computed
