"""The idea on one page against the library: two ways to the same numbers, at the same price."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, note
from hypothesis import strategies as st

import lazyhess as lh
from tests import oracles, tiny
from tests.cases import CASES
from tests.costs import choices, costs
from tests.helpers import same_blocks, whole
from tests.programs import PROGRAMS, Program, programs

DOCS = Path(__file__).resolve().parent.parent / "docs"


def real(y: lh.Variable) -> bool:
    """Whether no step on the way to y is complex."""
    return all(z.dtype.kind == "f" for z in tiny.trace(y))


def wanted(y: lh.Variable, xs: tuple[lh.Variable, ...]) -> list[list[np.ndarray]]:
    """All blocks, in the dtypes that the library gives them."""
    H = whole(tiny.hessian(y, xs))
    return [[block.astype(x.dtype) for block in row] for row, x in zip(H, xs, strict=True)]


@PROGRAMS
@given(programs(), choices(), st.sampled_from([None, 1, 3]))
def test_programs(program: Program, low: dict[str, int], block_size: int | None) -> None:
    """The library at any costs, so with all its blocks, sweeps and loops put together."""
    note(repr(program))
    xs = tuple(lh.variable(x) for x in program.xs)
    y = program(np, *xs)
    assume(isinstance(y, lh.Variable) and real(y))
    with costs(**low):
        got = whole(lh.hessian(y, xs, block_size=block_size))
        gradients = lh.gradient(y, xs)
    same_blocks(got, wanted(y, xs))
    linearization = tiny.Linearization(y, xs)
    same_blocks(gradients, [linearization.gradient(i) for i in range(len(xs))])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_every_rule(case: Any) -> None:
    xs = tuple(lh.variable(x) for x in case.inputs)
    out = case.function(*xs)
    y = np.real(np.sum(np.cos(np.arange(out.size)).reshape(out.shape) * out))
    if not real(y):
        with pytest.raises(TypeError, match="real"):
            tiny.hessian(y, xs)
        return
    got, want = whole(lh.hessian(y, xs)), wanted(y, xs)
    if case.name.startswith("nan"):
        # Nothing keeps infinities and zeros of a matrix apart; the library does.
        got = [[np.where(np.isnan(w), w, g) for g, w in zip(*rows, strict=True)]
               for rows in zip(got, want, strict=True)]  # fmt: skip
    single = any(x.dtype == np.float32 for x in case.inputs)
    same_blocks(got, want, 1e-5 if single else 1e-10)


@PROGRAMS
@given(st.data())
def test_the_same_products(data: st.DataObject) -> None:
    """Any index costs what it costs in the library: the fewer of new rows and new columns."""
    x = lh.variable(np.linspace(-1, 1, 6).reshape(2, 3))
    y = np.sum(np.exp(x)) * np.sin(x[0] @ x[1])
    H, K = lh.hessian(y, x), tiny.hessian(y, (x,))[0][0]
    places = st.one_of(st.integers(-2, 1), st.slices(2), st.lists(st.integers(-2, 1), max_size=3))
    for _ in range(data.draw(st.integers(1, 4))):
        index = tuple(data.draw(st.lists(places, max_size=3)))
        try:
            want = np.zeros(H.shape)[index]
        except IndexError:
            continue
        got = K[index]
        assert np.shape(got) == np.shape(want)
        np.testing.assert_allclose(got, H[index], rtol=0, atol=1e-12)
        assert K.rows.products == H.cache_info().products


def test_by_hand() -> None:
    """Nobody's derivatives: y = x·Ax + (b·x)³, of which x has a part that nothing depends on."""
    A = np.arange(9.0).reshape(3, 3)
    b = np.array([1.0, -1.0, 2.0])
    x, u = lh.variable([0.5, 1.0, 1.5]), lh.variable(2.0)
    y = x @ A @ x + (b @ x) ** 3
    H = tiny.hessian(y, (x, u))
    want = A + A.T + 6 * (b @ x.value) * np.outer(b, b)
    np.testing.assert_allclose(H[0][0][...], want, rtol=1e-14)
    np.testing.assert_allclose(H[0][0][1], want[1], rtol=1e-14)
    assert H[1][1][()] == 0
    np.testing.assert_array_equal(H[0][1][...], np.zeros(3))


def test_differences_and_a_planted_error() -> None:
    program = Program("def f(np, x0):\n    return np.sum(np.sin(x0)) ** 2\n", (np.arange(3.0),))
    x = lh.variable(program.xs[0])
    got = whole(tiny.hessian(program(np, x), (x,)))
    want = oracles.hessian(program.on(np), program.xs, 5e-5)
    same_blocks(got, want, 1e-6)
    got[0][0][1, 2] += 1e-4
    with pytest.raises(AssertionError):
        same_blocks(got, want, 1e-6)


def test_the_page_shows_the_code() -> None:
    """All of it but docstring and imports, in order, to the letter."""
    page = (DOCS / "how-it-works.md").read_text()
    shown = re.findall(r"<!-- tests/tiny.py -->\n```python\n(.*?)\n```\n", page, re.DOTALL)
    code = Path(tiny.__file__).read_text()
    assert len(shown) > 1
    assert "\n\n\n".join(shown) == code[code.index("def trace") :].rstrip()
