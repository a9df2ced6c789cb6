"""Random Python loops, a few; `python -m tests.loops` draws many more."""

import numpy as np
import pytest
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


# What the search has found, or somebody who looked for it: the body of a function of x0 and x1.
FOUND = {
    "zeros of both signs": """
        for k in range(6):
            t = t + np.copysign(x0[k], [0.0, -0.0][k % 2]) ** 3""",
    "zeros of both signs in arrays": """
        for k in range(4):
            t = t + np.sum(np.copysign(x1[k], numpy.array([[0.0, -0.0, 1.0], [-0.0, 0.0, 1.0]])[k % 2]) ** 3)""",
    "complex zeros of both signs": """
        for k in range(6):
            t = t + np.imag(np.sqrt(x0[k] ** 2 * complex(-1.0, [0.0, -0.0][k % 2]))) ** 3""",
    "zeros that meet once more, at another point": """
        for k in range(1, 4):
            for m in range(2):
                if k < 3:
                    t -= np.arctan2(np.where(k % 2, x0[3] ** 2 - 0.0, x0[k + 1]) * [0.0, -0.0][m] * 0.0, -1.0) * x0[-1 - k]
            t += np.sin(np.tanh(np.tanh(x0[-1 - k])))
        t = np.tanh(t)""",
    "the sign of a sum that is zero": """
        for k in range(20):
            t = t - x0[k % 6] * 0.0
        t = np.arctan2(t, -1.0) * x0[0]""",
    "exponents that look the same": """
        for k in range(20):
            t = t + np.sum((1.5 + x1[k % 4]) ** numpy.array([[2.0, 3.0, 1.0], [2.000000004, 3.0, 1.0]])[k % 2])""",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", FOUND)
def test_what_was_found(name: str, way: str) -> None:
    body = "    t = 0.0" + FOUND[name].replace("\n    ", "\n") + "\n    return t + 0.0 * x0[0]\n"
    program = Program(f"def f(np, x0, x1):\n{body}", SMOOTH.xs)
    assert not faults(program, way)


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
