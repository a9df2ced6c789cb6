"""Random recorded programs against JAX; `tests.jax.random_programs` draws many more."""

from hypothesis import given, note, settings

from tests.jax.compare import (
    disagreements,
    disagreements_of_samples,
    disagreements_of_third_order,
    trusted,
)
from tests.programs import PROGRAMS, Program, batches, programs

FEWER = settings(PROGRAMS, max_examples=max(PROGRAMS.max_examples // 4, 1))


@given(programs())
@PROGRAMS
def test_random_programs(program: Program) -> None:
    note(repr(program))
    found, _ = trusted(disagreements, program, *program.xs)
    assert max(found.values()) <= 1e-9, found


@given(batches())
@PROGRAMS
def test_random_batches(program: Program) -> None:
    note(repr(program))
    found, _ = trusted(disagreements_of_samples, program, *program.xs)
    assert max(found.values()) <= 1e-9, found


@given(programs(most_steps=7))
@FEWER
def test_third_order_of_random_programs(program: Program) -> None:
    note(repr(program))
    found, _ = trusted(disagreements_of_third_order, program, *program.xs)
    assert max(found.values()) <= 1e-9, found
