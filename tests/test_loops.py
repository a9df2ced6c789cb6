"""Random Python loops, a few; `python -m tests.loops` draws many more."""

import numpy as np
from hypothesis import assume, given, note, settings
from hypothesis import strategies as st

import lazyhess as lh
from tests.loops import DTYPES, WAYS, Answer, UnfitError, differ, faults, loops, point
from tests.programs import PROGRAMS, Program

FEWER = settings(PROGRAMS, max_examples=max(PROGRAMS.max_examples // 3, 1))


@given(loops(), st.sampled_from(list(WAYS)), st.sampled_from(DTYPES))
@FEWER
def test_loops(program: Program, way: str, dtype: type) -> None:
    note(repr(program))
    try:
        found = faults(program, way, dtype)
    except UnfitError:
        assume(False)
    assert not found


SMOOTH = Program(
    "def f(np, x0, x1):\n    return np.sum(np.sin(x0) * x0[1] ** 2) * np.sum(x1**3)\n",
    (point((6,), 3), point((4, 3), 4)),
)


def test_differences_catch_planted_errors() -> None:
    f = SMOOTH.on(np)
    answer = Answer(lh.hessian(f, SMOOTH.xs))
    assert not differ(f, SMOOTH.xs, answer)
    answer.gradient[0] = answer.gradient[0] + 1e-4 * np.eye(6)[2]
    answer.blocks[1] = answer.blocks[1].copy()
    answer.blocks[1][2, 1, 1] += 1e-3
    assert set(differ(f, SMOOTH.xs, answer)) == {"differences: gradient", "differences: hessian"}


def test_comparisons_catch_planted_errors() -> None:
    want = Answer(lh.hessian(SMOOTH.on(np), SMOOTH.xs))
    got = Answer(lh.hessian(SMOOTH.on(np), SMOOTH.xs))
    assert max(got.parts(want).values()) == 0
    got.blocks[2][1, 2, 3] = np.nan
    got.gradient[1] = got.gradient[1].astype(np.float32)
    assert got.parts(want) == {"value": 0, "gradient": np.inf, "hessian": np.inf}
