"""Every decision taken the general way: the same numbers as with short cuts.

A decider may refuse any of them: all, or only some kinds, so that what lies behind the others is
reached, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, note, settings

import lazyhess as lh
from lazyhess._decisions import Decisions, deciding, generally
from lazyhess._maps import Mask
from lazyhess._tangents import Sparse, identity
from tests import steps
from tests.costs import choices, costs
from tests.helpers import same_blocks, whole
from tests.programs import PROGRAMS, Program, programs
from tests.sweep.test_costs import MATRICES, by_row, from_coo, hessian
from tests.sweep.test_gram import CASES as GRAMS

Blocks = list[list[np.ndarray]]
FEW = settings(PROGRAMS, max_examples=max(PROGRAMS.max_examples // 3, 1))


class Refusing:
    """A decider that takes the general way where the kind is one of some, and notes these."""

    def __init__(self, *kinds: str) -> None:
        self.kinds, self.refused = kinds, 0

    def __call__(self, kind: str, allows: Callable[..., Any], values: tuple[Any, ...]) -> bool:
        if kind in self.kinds:
            self.refused += 1
            return False
        return bool(allows(*values))


def check(program: Program, low: dict[str, int]) -> None:
    function, xs = program.on(np), program.xs
    want = by_row(hessian(function, xs, block_size=1), xs)
    for decider in (generally, Refusing("places"), Refusing("finite")):
        with deciding(decider), costs(**low):
            same_blocks(whole(hessian(function, xs)), want)
            same_blocks(from_coo(hessian(function, xs), xs), want)


@FEW
@given(programs(most_steps=6), choices())
def test_programs(program: Program, low: dict[str, int]) -> None:
    note(repr(program))
    check(program, low)


@FEW
@given(programs(6, starts=[steps.product], shapes=MATRICES), choices())
def test_programs_of_products(program: Program, low: dict[str, int]) -> None:
    note(repr(program))
    check(program, low)


# --- what lies behind single decisions ------------------------------------------------------------
@pytest.mark.parametrize("name", [name for name, (*_, one) in GRAMS.items() if one])
def test_updates_with_both_signs_as_weights(name: str) -> None:
    function, xs, _ = GRAMS[name]
    want = whole(lh.hessian(function, xs))
    refusing = Refusing("everywhere", "nowhere", "places")
    with deciding(refusing):
        got = whole(lh.hessian(function, xs))
    assert refusing.refused
    for rows, others in zip(got, want, strict=True):
        for block, other in zip(rows, others, strict=True):
            assert block.dtype == other.dtype
            tolerance = 1e3 * np.finfo(block.dtype).eps
            np.testing.assert_allclose(block, other, rtol=0, atol=tolerance * np.abs(other).max())


def loop(x: Any) -> Any:
    """Turns with equal and with different constants, and powers, which constants decide."""
    total = 1.0
    for n in range(120):
        total = total + np.float64(2) * np.sin(x[n]) ** 3 * x[n + 1] + (n % 3) * x[n]
    return total


def test_loops_with_constants_of_their_own() -> None:
    x = np.random.default_rng(0).normal(size=121)
    with costs(loop_steps=1, loop_elements=1 << 20, loop_terms=2):
        decisions = Decisions()
        with deciding(decisions):
            want = whole(lh.hessian(loop, x))
        assert ("equal", True) in decisions
        with deciding(generally):
            got = whole(lh.hessian(loop, x))
    np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-13)


def test_a_mask_drops_nan_the_general_way() -> None:
    mask = Mask(np.array([True, False, True, False]), (4,))
    pattern = identity(np.arange(4), (4,), float).pattern
    block = Sparse(pattern, np.array([1.0, np.nan, np.inf, 2.0]))
    with deciding(generally):
        masked = mask.apply(block)
    assert isinstance(masked, Sparse)
    assert masked.pattern is pattern
    assert not masked.is_identity
    np.testing.assert_array_equal(masked.val, [1, 0, np.inf, 0])
    np.testing.assert_array_equal(mask.sparse(block).val, [1, np.inf])  # asked each time


def test_a_zero_meets_no_infinity_the_general_way() -> None:
    X = np.array([[1.0, np.inf], [2.0, np.nan]])

    def function(x: Any) -> Any:
        return np.sum(np.where([True, False], np.sin(x @ X), 0.0))

    x = np.array([0.3, 0.7])
    want = whole(lh.hessian(function, x))
    with deciding(generally):
        got = whole(lh.hessian(function, x))
    assert np.isfinite(want).all()
    np.testing.assert_allclose(got, want, rtol=1e-14)
