"""Python loops over elements: equal steps are put together, and nothing changes but the time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, note

import lazyhess as lh
from lazyhess._engines.recorded.autobatch import autobatch
from lazyhess._record.tape import Tape
from tests.costs import costs
from tests.helpers import same, same_blocks
from tests.programs import PROGRAMS, Program, programs

rng = np.random.default_rng(20)
N = 40
A = rng.normal(size=(3, 3))
C = rng.normal(size=N + 2)
NEVER = {"loop_steps": 1 << 40}


def rosenbrock(x: Any) -> Any:
    total = 0.0
    for k in range(N):
        total = total + 100 * (x[k + 1] - x[k] ** 2) ** 2 + (1 - x[k]) ** 2
    return total


def backwards(x: Any) -> Any:
    """From the last element on, and subtracted."""
    total = x[-1]
    for k in range(N, 0, -1):
        total = total - np.sin(x[k]) * x[k - 1]
    return -total


def coefficients(x: Any) -> Any:
    """Numbers, NumPy's numbers and whole numbers that differ from turn to turn."""
    parts = [float(C[k]) * x[k] * x[k + 1] / C[k + 1] + k * x[k] ** 3 for k in range(N)]
    return sum(parts)


def powers(x: Any) -> Any:
    return sum(x[k] ** (k % 3) * x[k + 1] ** 1.5 for k in range(N))


def pairs(x: Any) -> Any:
    """Rows of three, every pair of them."""
    atoms = x.reshape(-1, 3)
    energy = 0.0
    for a in range(len(atoms)):
        for b in range(a):
            apart = atoms[a] - atoms[b]
            energy = energy + 1 / np.sum(apart * apart)
    return energy


def coordinates(x: Any) -> Any:
    """Elements of rows."""
    atoms = x.reshape(-1, 3)
    energy = 0.0
    for a in range(len(atoms) - 1):
        p, q = atoms[a], atoms[a + 1]
        energy += np.sqrt((p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2 + (p[2] - q[2]) ** 2)
    return energy


def matrices(x: Any) -> Any:
    """The same matrix in every turn, and another one in each."""
    atoms = x.reshape(-1, 3)
    total = 0.0
    for a, atom in enumerate(atoms):
        other = np.sin(A + a)
        total = total + atom @ A @ atom + np.einsum("i,ij->j", atom, other) @ atom
    return total


def choices(x: Any) -> Any:
    total = 0.0
    for k in range(N):
        total += np.maximum(x[k], 0.1) * np.where(k % 2 == 0, x[k] ** 2, np.exp(x[k + 1]))
        total += np.minimum(x[k], x[k + 1]) * np.clip(x[k], -1, 1) ** 2
    return total


def repeated(x: Any) -> Any:
    """The same elements again and again, and a term that comes more than once."""
    total = 0.0
    for k in range(N):
        term = np.exp(x[k % 5]) * x[3]
        total = total + term + term
    return total


def whole(x: Any) -> Any:
    """Steps on the whole array in every turn, and picks of what was made of it."""
    y, total = np.tanh(x), 0.0
    for k in range(N):
        total = total + np.sum(x * C) * y[k] + (C[k] * x) @ y
    return total


def running(x: Any) -> Any:
    """The sum so far is used in every turn: it cannot be put together, its terms can."""
    total, made = 0.0, 0.0
    for k in range(N):
        total = total + np.sin(x[k]) * np.cos(x[k + 1]) + np.exp(x[k]) * x[k] ** 2
        made = made + total * x[k]
    return made


def constant_terms(x: Any) -> Any:
    """Chains with numbers in them, one of which has nothing else."""
    made, plain = x[0], lh.variable(1.0)
    for k in range(N):
        made, plain = 1.0 + made + x[k] ** 2 + C[k], plain + 2.0
    return made * plain


def blocks_of_rows(x: Any) -> Any:
    """Pieces that are slices, strided, reversed and with an ellipsis."""
    total = 0.0
    for k in range(N - 4):
        total = total + np.sum(x[k : k + 3] * x[k + 4 : k + 1 : -1]) + np.sum(x[..., k : k + 4 : 2])
    return total * np.sum(x)


def collected(x: Any) -> Any:
    """A list of results, stacked, and small lists in every turn."""
    residuals, points = [], []
    for k in range(N):
        residuals.append(x[k + 1] - np.sin(x[k]))
        points.append(np.stack([x[k], x[k] * x[k + 1], lh.variable(2.0)]))
    r, p = np.stack(residuals), np.stack(points, axis=1)
    joined = np.concatenate([np.outer(point, point)[:2] for point in points], axis=1)
    return np.sum(r**2) * np.sum(p**3) + np.sum(joined**3) + np.max(points[3]) * np.mean(points[4])


def reductions(x: Any) -> Any:
    atoms = x.reshape(-1, 3)
    return sum(np.mean(a**2) * np.max(a) + np.min(a) * np.var(a) + np.linalg.norm(a) for a in atoms)


LOOPS = [
    rosenbrock,
    backwards,
    coefficients,
    powers,
    pairs,
    coordinates,
    matrices,
    choices,
    repeated,
    whole,
    running,
    constant_terms,
    blocks_of_rows,
    collected,
    reductions,
]
LOW = {"loop_steps": 0, "loop_shrinks": 0, "loop_terms": 2, "loop_picks": 2}
x0 = rng.uniform(0.2, 1.5, N + 2)


def steps(function: Callable[..., Any], x: Any = x0) -> tuple[int, int]:
    """How many steps are recorded, and how many are left."""
    x = lh.variable(x)
    y = function(x)
    return len(Tape(y, [x]).steps), len(Tape(autobatch(y, [x]), [x]).steps)


@pytest.mark.parametrize("function", LOOPS)
def test_nothing_changes(function: Callable[..., Any]) -> None:
    before, after = steps(function)
    assert after < before / 2
    with costs(**NEVER):
        assert steps(function)[1] == before
        want = lh.hessian(function, x0)
        matrix, gradient, value = np.asarray(want), want.gradient(), want.value
    H = lh.hessian(function, x0)
    np.testing.assert_allclose(np.asarray(H), matrix, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(H[4:7], matrix[4:7], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(H.gradient(), gradient, rtol=1e-12, atol=1e-12)
    again = lh.hessian(function, x0 / 2).at(x0)
    np.testing.assert_allclose(np.asarray(again), matrix, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(again.value, value, rtol=1e-13)


def test_as_many_steps_as_without_a_loop() -> None:
    def long(x: Any) -> Any:
        total = 0.0
        for k in range(len(x) - 1):
            total = total + (x[k + 1] - x[k] ** 2) ** 2 * np.sin(x[k])
        return total

    for n in (100, 400):
        before, after = steps(long, np.ones(n))
        assert before > 7 * (n - 1)
        assert after <= 10


def test_few_steps_stay_as_they_are() -> None:
    x = lh.variable(x0)
    y = np.sum(x[:3] * x[1:4]) + x[0] * x[1]
    assert autobatch(y, [x]) is y


def test_a_recurrence_stays_as_it_is() -> None:
    x = lh.variable(x0)
    y = x[0]
    for k in range(N):
        y = np.sin(y) * x[k]
    assert autobatch(y, [x]) is y


def test_large_arrays_stay_as_they_are() -> None:
    x = lh.variable(np.ones(1000))
    y = 0.0
    for k in range(N):
        y = y + np.sin(x * float(k)) * x
    assert autobatch(y, [x]) is y


@pytest.mark.parametrize("dtype", [np.float32, np.complex128, np.longdouble])
def test_dtypes(dtype: Any) -> None:
    x = x0.astype(dtype)
    H = lh.hessian(coefficients if dtype != np.float32 else rosenbrock, x)
    with costs(**NEVER):
        want = lh.hessian(coefficients if dtype != np.float32 else rosenbrock, x)
        matrix = np.asarray(want)
    assert matrix.dtype == dtype
    same(np.asarray(H), matrix, 8 * np.finfo(dtype).eps)


def test_several_inputs_and_one_of_them_between() -> None:
    def record() -> Any:
        a, b = lh.variable(x0), lh.variable(x0[::-1])
        middle = np.exp(a) * b
        total = 0.0
        for k in range(N):
            total = total + middle[k] ** 2 * np.sin(a[k]) * b[k + 1]
        return total, (a, b, middle)

    def blocks() -> list[np.ndarray]:
        return [np.asarray(block) for row in lh.hessian(*record()) for block in row]

    made = blocks()
    with costs(**NEVER):
        want = blocks()
    for block, other in zip(made, want, strict=True):
        np.testing.assert_allclose(block, other, rtol=1e-12, atol=1e-12)


def test_several_outputs() -> None:
    def several(x: Any) -> Any:
        return np.stack([coordinates(x * float(k)) for k in range(1, 4)])

    H = lh.hessian(several, x0, reduction="none")
    with costs(**NEVER):
        want = np.asarray(lh.hessian(several, x0, reduction="none"))
    np.testing.assert_allclose(np.asarray(H), want, rtol=1e-12, atol=1e-12)


def test_samples() -> None:
    def energies(x: Any) -> Any:
        total = 0.0
        for k in range(19):
            total = total + x[:, k] * np.sin(x[:, k + 1]) * x[:, k]
        return total

    X = rng.normal(size=(6, 20))
    made = np.asarray(lh.hessian(energies, X, 0))
    with costs(**NEVER):
        want = np.asarray(lh.hessian(energies, X, 0))
    np.testing.assert_allclose(made, want, rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="samples interact"):
        lh.hessian(lambda x: energies(x) * energies(x[::-1]), X, 0)


def test_infinities_stay_where_they_are() -> None:
    def guarded(x: Any) -> Any:
        total = 0.0
        for k in range(N):
            total = total + np.where(x0[k] > 0.7, np.log(x[k] - 0.7), x[k]) * x[k + 1]
        return total

    with np.errstate(all="ignore"):
        H = lh.hessian(guarded, x0)
        with costs(**NEVER):
            want = np.asarray(lh.hessian(guarded, x0))
    assert np.isfinite(want).all()
    np.testing.assert_allclose(np.asarray(H), want, rtol=1e-12, atol=1e-12)


def test_graphs_that_are_kept_differentiate_again() -> None:
    x = lh.variable(x0[:12])

    def energy(x: Any) -> Any:
        total = 0.0
        for k in range(11):
            total = total + x[k] ** 3 * np.sin(x[k + 1]) * x[k]
        return total

    H = lh.hessian(energy(x), x, create_graph=True)
    third = lh.gradient(np.sum(np.diagonal(H[...])), x)
    step = 1e-5
    traces = [
        np.trace(np.asarray(lh.hessian(energy, x0[:12] + s * np.eye(12)[3]))) for s in (step, -step)
    ]
    np.testing.assert_allclose(third[3], (traces[0] - traces[1]) / (2 * step), rtol=1e-6)


@PROGRAMS
@given(programs(most_steps=6))
def test_programs_in_loops(program: Program) -> None:
    """Any function, of one row in each turn of a loop."""
    note(repr(program))
    function = program.on(np)
    xs = tuple(np.stack([x * (1 + k / 1000) for k in range(5)]) for x in program.xs)

    def loop(*stacks: Any) -> Any:
        total = 0.0
        for k in range(5):
            total = total + (1 + k / 3) * function(*(stack[k] for stack in stacks))
        return total

    def blocks() -> list[np.ndarray]:
        return [np.asarray(block) for row in lh.hessian(loop, xs) for block in row]

    with np.errstate(all="ignore"), costs(**NEVER):
        want = blocks()
    with np.errstate(all="ignore"), costs(**LOW):
        made = blocks()
    same_blocks(made, want, 1e-11)


# --- constants that are equal and not the same -----------------------------------------------------


SIGNS = [0.0, -0.0]
# Functions of four elements, in which a sign of zero (or a kind of number) changes from turn to
# turn. All of their derivatives depend on it.
CONSTANTS: dict[str, Callable[[Any], Any]] = {
    "floats": lambda x: added(np.copysign(x[k], SIGNS[k % 2]) ** 3 for k in range(4)),
    "numpy": lambda x: added(np.copysign(x[k], np.float64(SIGNS[k % 2])) ** 3 for k in range(4)),
    "arrays": lambda x: added(np.copysign(x[k], np.array(SIGNS[k % 2])) ** 3 for k in range(4)),
    "rows": lambda x: added(
        np.sum(np.copysign(x[[k, 1]], np.array([SIGNS[k % 2], 1.0])) ** 3) for k in range(4)
    ),
    "whole": lambda x: added(np.copysign(x[k], [0, -0.0, 0.0, -1][k]) ** 3 for k in range(4)),
    "angle": lambda x: added(np.arctan2(x[3] * SIGNS[k % 2], -1.0) * x[k] for k in range(4)),
    "complex": lambda x: added(
        np.imag(np.sqrt(x[k] * -1 + 1j * np.float64(SIGNS[k % 2]))) ** 3 for k in range(4)
    ),
    "not a number": lambda x: added(
        np.copysign(x[k], [np.nan, -np.nan][k % 2]) ** 3 for k in range(4)
    ),
    "kinds": lambda x: added((x[k] + (1, 1.0, True, np.float32(1))[k]) ** 3 for k in range(4)),
    "exponents": lambda x: added(x[k] ** np.array([2.0 + 1e-9 * (k % 2)]) for k in range(4))[0],
    "long exponents": lambda x: added(
        np.sum(x[k] ** np.r_[np.ones(1000), 1.0 + k % 2, np.ones(1000)]) for k in range(4)
    ),
    # Sums whose own zero has a sign.
    "without a start": lambda x: x[0] ** 2 * np.copysign(1.0, added_up([x[k] * -0.0 for k in range(4)])),
    "with a start": lambda x: x[0] ** 2 * np.copysign(1.0, added(x[k] * -0.0 for k in range(4))),
    "a start of minus zero": lambda x: (
        x[0] ** 2 * np.copysign(1.0, added_up([-0.0, *(x[k] * -0.0 for k in range(4))]))
    ),
    "subtracted": lambda x: (
        x[0] ** 2 * np.copysign(1.0, x[0] * -0.0 - added_up([x[k] * SIGNS[k % 2] for k in range(4)]))
    ),
    "subtracted one by one": lambda x: x[0] ** 2 * np.copysign(1.0, less([x[k] * 0.0 for k in range(4)])),
    "subtracted from zero": lambda x: (
        x[0] ** 2 * np.copysign(1.0, less([0.0, *(x[k] * 0.0 for k in range(4))]))
    ),
    "rows of sums": lambda x: np.sum(
        x[:2] ** 2 * np.copysign(1.0, added_up([np.array([0.0, -0.0])] + [x[k : k + 1] * [-0.0, -0.0] for k in range(4)]))
    ),
}  # fmt: skip


def added(terms: Any) -> Any:
    total: Any = 0.0
    for term in terms:
        total = total + term
    return total


def added_up(terms: list[Any]) -> Any:
    total, *rest = terms
    for term in rest:
        total = total + term
    return total


def less(terms: list[Any]) -> Any:
    total, *rest = terms
    for term in rest:
        total = total - term
    return total


@pytest.mark.parametrize("name", CONSTANTS)
@pytest.mark.parametrize("picks", [0, 1 << 20])
def test_constants_that_are_equal_and_not_the_same(name: str, picks: int) -> None:
    function = CONSTANTS[name]
    always = {"loop_steps": 0, "loop_shrinks": 0, "loop_elements": 1 << 20, "loop_terms": 2}
    x, there = np.array([1.0, 2.0, 3.0, 4.0]), np.array([4.0, 1.0, 0.5, 3.0])
    for point in (x, there):
        with costs(**NEVER):
            want = lh.hessian(function, point)
            wanted = want.value, want.gradient(), np.asarray(want)
            plain = function(point)
        np.testing.assert_allclose(wanted[0], plain)
        with costs(**always, loop_picks=picks):
            got = lh.hessian(function, point)
            moved = lh.hessian(function, 2 * point).at(point)
            again = moved.at(2 * point).at(point)
            for H in (got, moved, again):
                np.testing.assert_allclose(H.value, wanted[0], rtol=1e-13)
                np.testing.assert_allclose(H.gradient(), wanted[1], rtol=1e-13)
                np.testing.assert_allclose(H, wanted[2], rtol=1e-13)
