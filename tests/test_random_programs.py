"""Random recorded programs against differences of the same source in extended precision."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given, note
from hypothesis import strategies as st

import lazyhess as lh
from tests import oracles
from tests.programs import PROGRAMS, Program, batches, programs

pytestmark = pytest.mark.skipif(
    np.finfo(np.longdouble).eps > 1e-18, reason="differences need extended precision"
)
STEP = 5e-5  # of second differences: programs can be steep, and extended precision allows it
TOLERANCE = 1e-6  # of the differences, relative to the largest element


def flat(blocks: Any, xs: tuple[np.ndarray, ...]) -> np.ndarray:
    """One matrix out of all blocks."""
    return np.block(
        [
            [np.asarray(block).reshape(x.size, z.size) for block, z in zip(row, xs, strict=True)]
            for row, x in zip(blocks, xs, strict=True)
        ]
    )


def test_the_oracle_catches_a_planted_error() -> None:
    program = Program("def f(np, x0):\n    return np.sum(np.sin(x0)) ** 2\n", (np.arange(3.0),))
    want = oracles.hessian(program.on(np), program.xs)
    got = np.array(lh.hessian(program.on(np), program.xs)[0][0])
    assert oracles.close(got, want[0][0], TOLERANCE)
    got[1, 2] += 1e-4
    assert not oracles.close(got, want[0][0], TOLERANCE)


@PROGRAMS
@given(programs(dtype=np.longdouble), st.sampled_from([None, 1, 2, 5]))
def test_hessian_and_gradient(program: Program, block_size: int | None) -> None:
    note(repr(program))
    xs = tuple(lh.variable(x) for x in program.xs)
    y = program(np, *xs)
    np.testing.assert_allclose(y.value, program(np, *program.xs), rtol=1e-12, atol=1e-12)
    for got, want in zip(
        lh.gradient(y, xs), oracles.gradient(program.on(np), program.xs, 1e-5), strict=True
    ):
        assert oracles.close(got, want, TOLERANCE)
    H = lh.hessian(y, xs, block_size=block_size)
    got = flat(H, program.xs)
    want = flat(oracles.hessian(program.on(np), program.xs, STEP), program.xs)
    assert oracles.close(got, want, TOLERANCE)


@PROGRAMS
@given(programs(empty=False), st.data())
def test_slices_are_slices_of_the_whole(program: Program, data: st.DataObject) -> None:
    """In any order, with a cache or without one, and by products with vectors."""
    note(repr(program))
    xs = tuple(lh.variable(x) for x in program.xs)
    y = program(np, *xs)
    whole = [[np.asarray(block) for block in row] for row in lh.hessian(y, xs)]
    H = lh.hessian(y, xs, cache=data.draw(st.sampled_from(["1MB", None, 200])))
    scale = max(1.0, *(np.abs(block).max() for row in whole for block in row))
    for _ in range(data.draw(st.integers(1, 5))):
        i, j = (data.draw(st.integers(0, len(xs) - 1)) for _ in range(2))
        block, rows = whole[i][j], xs[i].size
        if data.draw(st.booleans()) or not block.ndim:
            v = np.arange(1.0, xs[j].size + 1).reshape(xs[j].shape)
            want = block.reshape(rows, -1) @ v.ravel()
            if xs[j].ndim == 1:
                np.testing.assert_allclose((H[i][j] @ v).ravel(), want, atol=1e-10 * scale)
        else:
            index = tuple(data.draw(st.sampled_from([-1, slice(1), slice(None, None, -1)]))
                          for _ in range(data.draw(st.integers(1, block.ndim))))  # fmt: skip
            np.testing.assert_allclose(H[i][j][index], block[index], rtol=0, atol=1e-12 * scale)


@PROGRAMS
@given(batches(dtype=np.longdouble), st.data())
def test_batches(program: Program, data: st.DataObject) -> None:
    note(repr(program))
    B = len(program.xs[0])
    xs = tuple(lh.variable(x) for x in program.xs)
    y = program(np, *xs)
    H = lh.hessian(y, xs, 0)
    want = oracles.hessian(lambda *xs: np.sum(program(np, *xs)), program.xs, STEP)
    b = data.draw(st.integers(-B, B - 1))
    for i, row in enumerate(H):
        for j, block in enumerate(row):
            own = np.einsum("bibj->bij", want[i][j])
            assert oracles.close(block[b], own[b], TOLERANCE)
            assert oracles.close(np.asarray(block), own, TOLERANCE)
            assert block.size == prod(block.shape)
