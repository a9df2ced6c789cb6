"""Random Python loops over elements: ``python -m tests.loops --count 5000 --seed 1``.

What a loop records depends on the turn: constants that change (signed zeros, whole numbers that
equal floats, NumPy's numbers beside Python's), branches on them and on values, arrays of one turn
used in another, lists, loops within loops, derivatives that are taken in every turn. Each program
is held

- to itself with its turns not put together: value, gradient and Hessian,
- to differences of the plain function in extended precision,
- at other points, those with zeros of both signs among them, to a Hessian made there anew,
- to the samples of a loop over all points, and to one of several outputs.

Another seed draws other programs. Nothing stops at a fault: each is printed as the program it is,
and the last line counts them.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from copy import copy
from itertools import product
from time import perf_counter
from typing import Any

import numpy
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import lazyhess as lh
from tests.costs import costs
from tests.helpers import largest
from tests.programs import Program

NEVER = {"loop_steps": 1 << 40}
# All that may be put together is; a step on an array that turns pick from is one of a turn, or not.
ALWAYS = {"loop_steps": 0, "loop_shrinks": 0, "loop_elements": 1 << 20}
WAYS: dict[str, dict[str, int]] = {
    "all picks": {**ALWAYS, "loop_terms": 2, "loop_picks": 0},
    "some picks": {**ALWAYS, "loop_terms": 2, "loop_picks": 2},
    "long sums": {**ALWAYS, "loop_terms": 5, "loop_picks": 1 << 20},
    "as it is": {},
}
# Relative to the largest element: of what is rounded otherwise, and of differences.
ROUNDED = {"float64": 1e-11, "float32": 1e-3}
DIFFERENCES = 1e-6
DTYPES = (float, float, float, numpy.float32)
STEPS = (5e-5, 2e-4, 1e-5)  # of differences: of a steep program one is too long
DIRECTIONS = 3
LARGEST, STEEPEST = 1e3, 1e6
EXTENDED = numpy.finfo(numpy.longdouble).eps < 1e-18

# Comparisons with x are with these; no element of x comes near them.
CUTS = (-0.4, 0.0, 0.25)
NUMBERS: tuple[str, ...] = (
    "0.0", "-0.0", "0", "1", "1.0", "True", "-1", "-1.0", "2", "2.0", "0.5", "numpy.float64(2.0)",
    "numpy.float64(-0.0)", "numpy.float64(0.0)", "numpy.int64(2)", "numpy.float32(0.5)", "-2.5",
    "numpy.array(2.0)", "numpy.array(-0.0)", "numpy.array(0.0)",
)  # fmt: skip
# Numbers without an order or a sign to ask for are none of theirs.
ELEMENTS = ("0.0", "-0.0", "1.0", "-1.0", "0.5", "2.0", "-2.5")

POWERS = ("2.0", "2.000000004", "3.0", "0.0", "-1.0", "1.0")
TURNS = ("complex(-1.0, 0.0)", "complex(-1.0, -0.0)", "1j", "-1j", "numpy.complex128(1j)")

PLACES = ("{k} % 6", "({k} + 1) % 6", "-1 - {k} % 6", "2", "(2 * {k} + 1) % 6", "{k} % 3")


class Writer:
    """Draws expressions of one turn of a loop, as text."""

    def __init__(self, draw: Callable[[Any], Any]) -> None:
        self.draw = draw
        self.indices = ["k"]

    def pick(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def index(self) -> str:
        return self.draw(st.sampled_from(self.indices))

    def element(self) -> str:
        """An element of x0 or x1, which is no zero."""
        at = self.pick(*PLACES).format(k=self.index())
        return self.pick(f"x0[{at}]", f"x0[{at}]", f"x1[{self.index()} % 4, {self.index()} % 3]")

    def constant(self) -> str:
        k = self.index()
        return self.pick(
            f"L[{k} % len(L)]", f"L[{k} % len(L)]", f"C[{k} % len(C)]", f"float(C[{k} % len(C)])",
            k, f"float({k})", f"-float({k} % 2)", f"[0.0, -0.0][{k} % 2]",
        )  # fmt: skip

    def condition(self) -> str:
        k = self.index()
        if self.pick(True, True, False):
            return self.pick(
                f"{k} % 2", f"{k} % 3 == 1", f"C[{k} % len(C)] > 0",
                f"numpy.signbit(C[{k} % len(C)])", f"{k} > 1",
            )  # fmt: skip
        return f"{self.element()} > {self.pick(*CUTS)}"

    def scalar(self, depth: int) -> str:
        if depth == 0:
            return self.pick(
                self.element(), self.element(), self.element(), "t", "u", "a",
                f"seen.get({self.index()} % 2, u)", "parts[-1]", "v[1]",
            )  # fmt: skip
        one = self.scalar(depth - 1)
        kind = self.pick("unary", "unary", "binary", "constant", "sign", "choice", "vector")
        if kind == "unary":
            text = self.pick(
                "np.sin({})", "np.tanh({})", "np.cos({})", "-({})", "({}) ** 2", "np.arctan({})",
                "np.sin({}) ** E[{k} % len(E)]", "np.exp(np.tanh({}))", "np.sqrt(1 + ({}) ** 2)",
                "np.square({})", "np.log1p(({}) ** 2)",
            )  # fmt: skip
            return text.format(one, k=self.index())
        if kind == "binary":
            text = self.pick(
                "({}) + ({})", "({}) - ({})", "({}) * ({})", "({}) * ({})", "({}) / (1.5 + np.cos({}))",
                "np.logaddexp({}, {})", "np.arctan2({}, 2.0 + ({}) ** 2)", "np.hypot({}, 1 + ({}) ** 2)",
            )  # fmt: skip
            return text.format(one, self.scalar(self.draw(st.integers(0, depth - 1))))
        if kind == "constant":
            text = self.pick(
                "({x}) * {c}", "{c} * ({x})", "({x}) + {c}", "{c} - ({x})", "({x}) - {c}",
                "np.sin(({x}) + {c})", "({x}) / (3.0 + {c})", "np.multiply({x}, {c})", "(1.5 + np.cos({x})) ** L[{k} % len(L)]",
            )  # fmt: skip
            return text.format(x=one, c=self.constant(), k=self.index())
        if kind == "sign":
            x, c = self.element(), self.constant()
            text = self.pick(
                "np.copysign({x}, {c})", "np.copysign({x}, {c}) ** 3", "np.copysign({c}, {x})",
                "np.arctan2({c} * 0.0, {x}) * ({one})", "np.maximum({x}, {cut})", "np.minimum({cut}, {x})",
                "np.abs({x}) ** 3", "np.arctan2(({one}) * {c} * 0.0, -1.0) * {x}", "np.clip({x}, {cut}, 9.0)",
                "np.tanh({x} + 1 / numpy.copysign(0.0, {c})) * ({one})", "np.arctan2(t * 0.0, -1.0) * {x}",
                "np.imag(np.sqrt({x} ** 2 * Z[{k} % len(Z)])) * ({one})", "np.real(np.exp({x} * Z[{k} % len(Z)]))",
            )  # fmt: skip
            return text.format(x=x, c=c, one=one, cut=self.pick(*CUTS), k=self.index())
        other = self.scalar(self.draw(st.integers(0, depth - 1)))
        if kind == "choice":
            text = self.pick("np.where({c}, {a}, {b})", "(({a}) if {c} else ({b}))")
            return text.format(c=self.condition(), a=one, b=other)
        V, W = self.vector(depth - 1), self.vector(0)
        return self.pick(
            f"np.sum({V})", f"({V}) @ ({W})", f"np.dot({V}, A[{self.index()} % 2][0])",
            f"np.mean({V})", f"({V})[{self.index()} % 3]", f"np.prod(np.cos({V}))",
            f"np.sum(({V}) * A[{self.index()} % 2])", f"np.sum(({V}) ** 2 * ({W}))",
            f"np.max(x1[{self.index()} % 4])", f"np.sum(x0[: {self.index()} % 4] ** 2)",
            f"np.sum(x1[1:] @ ({V}))", f"np.sum((1.5 + np.cos({V})) ** F[{self.index()} % 2])",
            f"np.sum(({V}) * I[{self.index()} % 2])", f"x1.reshape(-1)[{self.index()} % 12] ** 2",
        )  # fmt: skip

    def vector(self, depth: int) -> str:
        """Of three elements."""
        k = self.index()
        if depth == 0:
            return self.pick(
                f"x1[{k} % 4]", f"x1[{k} % 4]", f"x0[{k} % 4 : {k} % 4 + 3]", "x0[::2]", "x0[5:2:-1]",
                "x1[1:, 2]", f"x1[-1 - {k} % 4, ::-1]", "v", "np.diag(x1[1:])", f"x0[[{k} % 6, 1, 1]]",
                f"x1.T[{k} % 3, 1:]", f"x1[:3, {k} % 3]", f"np.sort(x1[{k} % 4])",
            )  # fmt: skip
        kind = self.pick("matrix", "matrix", "derivative", "plain", "plain", "plain")
        if kind == "matrix":
            return self.of_matrix(self.draw(st.integers(0, depth)))
        V, s = self.vector(depth - 1), self.scalar(0)
        if kind == "derivative":
            return self.derivative(V, s)
        return self.pick(
            f"np.sin({V})", f"({V}) * ({s})", f"({V}) + ({self.vector(0)})", f"A[{k} % 2] @ ({V})",
            f"({V}) @ A[{k} % 2]", f"np.copysign(x1[{k} % 4], A[{k} % 2][0])", f"({V})[::-1]",
            f"np.stack([{s}, {self.scalar(depth - 1)}, {s}])", f"({V}) * {self.constant()}",
            f"np.concatenate([({V})[:1], ({self.vector(0)})[1:]])", f"np.cumsum({V})",
            f"np.where(A[{k} % 2][1] > 0, {V}, {self.vector(0)})", f"np.tanh({V}) ** E[{k} % len(E)]",
            f"np.outer({V}, {self.vector(0)})[1]", f"np.einsum('ij,j->i', A[{k} % 2], {V})",
            f"np.copysign(x1[{k} % 4], {self.constant()})", f"({V}) * A[{k} % 2][2]",
            f"(1.5 + np.cos({V})) ** F[{k} % 2]", f"({V}) + I[{k} % 2]", f"np.where(I[{k} % 2] > 0, {V}, 0.0)",
            f"({V}) * I[{k} % 2, :1]", f"np.cross({V}, A[{k} % 2][0])", f"np.roll({V}, {k})",
            f"np.where({self.condition()}, {V}, {s})", f"np.maximum({V}, {self.constant()} + 0.125)",
            f"np.minimum({V}, {s})", f"np.clip({V}, -0.5, ({s}) ** 2 + 0.3)",
        )  # fmt: skip

    def derivative(self, V: str, s: str) -> str:
        """Three elements of a derivative that is taken in every turn."""
        k = self.index()
        return self.pick(
            f"lh.gradient(lambda z: np.sum(np.sin(z) * z[::-1]), {V})",
            f"lh.gradient(lambda z: np.sum(z**3) * ({s}), {V})",
            f"lh.gradient(lambda z: np.sum(np.tanh(z * ({V}))), x1[{k} % 4])",
            f"lh.gradient(lambda z: z @ A[{k} % 2] @ z * z[{k} % 3], {V})",
            f"lh.gradient(lambda z: np.sum(np.copysign(z, [0.0, -0.0][{k} % 2]) ** 3), x1[{k} % 4])",
            f"lh.gradient(lambda z: np.sum(z**4), numpy.arange(3.0)) * ({V})",
            f"lh.gradient(lambda z: np.sum(z**2 * ({V})), numpy.arange(3.0))",
            f"lh.hessian(lambda z: np.sum(np.sin(z * z[::-1])), {V})[{k} % 3]",
            f"lh.hessian(lambda z: np.sum(z**3) * z[0], {V}).diagonal()",
            f"lh.hessian(lambda z: np.sum(z**3) * z[1], {V}) @ ({self.vector(0)})",
            f"lh.hessian(lambda z: np.sum(np.tanh(z)) * ({s}), {V})[{k} % 3]",
            f"lh.hessian(lambda a, b: np.sum(np.sin(a * b)), ({V}, {self.vector(0)}))[0][1][{k} % 3]",
        )

    def matrix(self, depth: int) -> str:
        """Three by three."""
        k, V = self.index(), self.vector(max(depth - 1, 0))
        if depth == 0:
            return self.pick(
                "x1[1:]", "x1[:3]", f"x1[{k} % 2 : {k} % 2 + 3]", f"np.outer({V}, x1[{k} % 4])",
                f"A[{k} % 2] * ({self.scalar(0)})", f"x1[[{k} % 4, 0, 2]]",
            )  # fmt: skip
        M = self.matrix(depth - 1)
        return self.pick(
            f"({M}) * ({V})", f"({V})[:, None] * ({M})", f"({M}).T", f"({M}) @ A[{k} % 2]", f"np.sin({M})",
            f"A[{k} % 2] @ ({M})", f"np.stack([{V}, ({M})[0], {self.vector(0)}])", f"({M}) + A[{k} % 2]",
            f"np.where({self.condition()}, {M}, {V})", f"({M})[::-1]", f"np.tanh({M}) @ ({M})",
            f"np.maximum({M}, {self.scalar(0)})", f"({M}) * {self.constant()}", f"np.einsum('ij,kj->ik', {M}, {M})",
            f"np.where(A[{k} % 2] > 0, {M}, {self.scalar(0)})", f"np.copysign(x1[1:], A[{k} % 2])",
            f"np.stack([{V}] * 3, axis=1)", f"np.reshape({M}, (3, 3), order='F')",
        )  # fmt: skip

    def of_matrix(self, depth: int) -> str:
        """Three elements, of a matrix."""
        k, M = self.index(), self.matrix(depth)
        return self.pick(
            f"np.sum({M}, axis=0)", f"({M}) @ ({self.vector(0)})", f"np.mean({M}, axis=1)", f"np.diag({M})",
            f"np.max({M}, axis=0)", f"({M})[{k} % 3]", f"({M})[:, {k} % 3]", f"np.trace({M}) * ({self.vector(0)})",
            f"np.einsum('ij,jk,k->i', {M}, A[{k} % 2], {self.vector(0)})", f"np.min({M}, axis=-1)",
            f"np.prod(np.cos({M}), axis=1)", f"np.ravel({M})[{k} % 6 : {k} % 6 + 3]",
            f"np.tensordot({M}, x1[:3], axes=2) * A[{k} % 2][0]", f"np.cumsum({M}, axis=0)[1]",
        )  # fmt: skip

    def statement(self) -> str:
        s = self.scalar(self.draw(st.integers(1, 3)))
        text: str = self.pick(
            "t = t + {s}", "t += {s}", "t += {s}", "t -= {s}", "t = np.sin(t) + {s}", "t = 0.5 * t - {s}",
            "u = {s}", "a = {s}", "parts.append({s})", "parts.append({s})", "seen[{k} % 2] = {s}",
            "v = v + {v}", "v = np.tanh({v})", "rows.append({v})", "t = {s} + t",
        )  # fmt: skip
        return text.format(s=s, v=self.vector(self.draw(st.integers(0, 2))), k=self.index())

    def block(self, count: int, indent: str, nest: bool = True) -> list[str]:
        lines: list[str] = []
        for _ in range(count):
            kind = self.pick("plain", "plain", "plain", "if", "for" if nest else "plain", "skip")
            if kind == "if":
                lines.append(f"{indent}if {self.condition()}:")
                lines.append(f"{indent}    {self.statement()}")
                if self.pick(True, False):
                    lines += [f"{indent}else:", f"{indent}    {self.statement()}"]
            elif kind == "for":
                lines.append(f"{indent}for m in {self.pick('range(2)', 'range(k % 3)', '(3, 1)')}:")
                self.indices.append("m")
                lines += self.block(self.pick(1, 2), indent + "    ", nest=False)
                self.indices.remove("m")
            elif kind == "skip" and self.pick(True, False, False):
                lines.append(f"{indent}if {self.index()} == 2:")
                lines.append(f"{indent}    {self.pick('continue', 'continue', 'break')}")
            else:
                lines.append(indent + self.statement())
        return lines


def point(shape: tuple[int, ...], number: int) -> Any:
    """Elements that come near none of the cuts."""
    x = numpy.random.default_rng(number).uniform(-1.1, 1.1, shape)
    for cut in CUTS:
        x = numpy.where(numpy.abs(x - cut) < 0.05, x + 0.1, x)
    return x


@st.composite
def loops(draw: Any, most_statements: int = 5) -> Program:
    """A loop of up to twenty turns over a vector of six and a matrix of four by three."""
    write = Writer(draw)
    number = draw(st.integers(0, 999))
    some = st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=4)
    elements = draw(st.lists(st.sampled_from(ELEMENTS), min_size=1, max_size=4))
    matrix = draw(st.lists(st.sampled_from(ELEMENTS), min_size=18, max_size=18))
    exponents = draw(st.lists(st.sampled_from(["2", "3", "2.0", "1", "0"]), min_size=1, max_size=3))
    powers = draw(st.lists(st.sampled_from(POWERS), min_size=6, max_size=6))
    turns = draw(st.lists(st.sampled_from(TURNS), min_size=1, max_size=2))
    over = write.pick(
        "range(6)", "range(6)", "reversed(range(6))", "range(20)", "range(48)", "(0, 1, 0, 1, 2)", "range(1, 4)",
    )  # fmt: skip
    lines = [
        f"L = [{', '.join(draw(some))}]",
        f"C = numpy.array([{', '.join(elements)}])",
        f"E = [{', '.join(exponents)}]",
        f"A = numpy.array([{', '.join(matrix)}]).reshape(2, 3, 3)",
        f"F = numpy.array([{', '.join(powers)}]).reshape(2, 3)",
        f"I = numpy.array([0, 1, 2, {write.pick('0, 1, 2', '-1, 0, 3')}]).reshape(2, 3)",
        f"Z = [{', '.join(turns)}]",
        f"t, u = {write.pick('0.0', '-0.0', '0', 'x0[0]')}, x0[1]",
        "a, v, parts, rows, seen = x1[0, 0], x1[1], [x0[3] ** 2], [x1[2]], {}",
        f"for k in {over}:",
        *write.block(draw(st.integers(1, most_statements)), "    "),
        write.pick(
            "t = t + u + np.sum(v) + sum(parts)",
            "t = t * u - sum(parts) + np.sum(np.stack(rows) ** 2)",
            "t = t + np.sum(np.stack(parts) ** 2) + np.sum(np.concatenate(rows) ** 3)",
            "t = np.tanh(t) + u * a + np.sum(np.cumsum(np.stack(parts))) - np.sum(v * rows[0])",
            "t = t + np.prod(np.cos(np.stack(parts))) + v @ rows[-1]",
        ),
        "return t + 0.0 * x0[0]",
    ]
    xs = point((6,), number), point((4, 3), number + 1)
    text = "def f(np, x0, x1):\n" + "".join(f"    {line}\n" for line in lines)
    return Program(text, xs, ("x0", "x1"))


# --- what is compared ----------------------------------------------------------------------------


class UnfitError(Exception):
    """A program that is no test: too large, or too steep."""


def moderate(program: Program) -> bool:
    try:
        with numpy.errstate(all="ignore"):
            values = [numpy.asarray(program(numpy, *xs)) for xs in points(program)]
    except (ValueError, ZeroDivisionError, OverflowError):
        return False
    return all(bool(numpy.all(numpy.abs(value) < LARGEST)) for value in values)


def points(program: Program, dtype: Any = float) -> list[tuple[Any, ...]]:
    """Where a program is evaluated: where it was drawn, elsewhere, and with zeros of both signs."""
    x0, x1 = program.xs
    zeros = x0.copy(), x1.copy()
    zeros[0][[1, 3]] = 0.0, -0.0
    zeros[1][2] = -0.0
    places = program.xs, (x1.reshape(-1)[:6], x1[::-1]), zeros
    return [tuple(numpy.array(x, dtype) for x in xs) for xs in places]


class Answer:
    """Value, gradient and Hessian."""

    def __init__(self, H: Any) -> None:
        self.value = numpy.asarray(H[0][0].value)
        self.gradient = [row[k].gradient() for k, row in enumerate(H)]
        self.blocks = [numpy.asarray(block) for row in H for block in row]

    def parts(self, other: Answer) -> dict[str, float]:
        """How far apart, relative to the largest element; infinite where one is NaN alone."""
        return {
            "value": gap([self.value], [other.value]),
            "gradient": gap(self.gradient, other.gradient),
            "hessian": gap(self.blocks, other.blocks),
        }

    def finite(self) -> bool:
        return all(numpy.isfinite(x).all() for x in (*self.gradient, *self.blocks))

    def sample(self, number: int) -> Answer:
        """That of one sample, or one output, of several."""
        one = copy(self)
        one.value = self.value[number]
        one.gradient = [x[number] for x in self.gradient]
        one.blocks = [x[number] for x in self.blocks]
        return one


def of_samples(f: Any) -> Any:
    """A loop over samples, of what loops in each."""
    return lambda *stacks: numpy.stack([f(*xs) for xs in zip(*stacks, strict=True)])


def outputs(f: Any) -> Any:
    """Several outputs, of which the second shares what the first loops over."""
    return lambda x0, x1: numpy.stack([f(x0, x1), f(x0, x1 + 0.0) * x0[1], x0[2] ** 3])


def gap(got: Any, want: Any) -> float:
    scale, worst = max(1.0, largest(*map(numpy.asarray, want))), 0.0
    for a, b in zip(got, want, strict=True):
        if a.shape != b.shape or a.dtype != b.dtype:
            return float("inf")
        with numpy.errstate(all="ignore"):
            apart = numpy.atleast_1d(numpy.abs(a - b))
        apart[numpy.atleast_1d((a == b) | (numpy.isnan(a) & numpy.isnan(b)))] = 0.0
        if not numpy.all(numpy.isfinite(apart)):
            return float("inf")
        worst = max(worst, float(apart.max(initial=0)) / scale)
    return worst


def faults(program: Program, way: str, dtype: Any = float) -> dict[str, float]:
    """What is further apart than rounding, by what it was compared with."""
    if not moderate(program):
        raise UnfitError
    found: dict[str, float] = {}
    rounded = ROUNDED[numpy.dtype(dtype).name]
    places = points(program, dtype)
    xs, f = places[0], program.on(numpy)

    def compare(title: str, got: Answer, want: Answer) -> None:
        parts = got.parts(want)
        found.update({f"{title}: {k}": v for k, v in parts.items() if not v <= rounded})

    with numpy.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with costs(**NEVER):
            plain = [Answer(lh.hessian(f, new)) for new in places]
        if not all(largest(*answer.gradient, *answer.blocks) < STEEPEST for answer in plain):
            raise UnfitError
        for new, answer in zip(places, plain, strict=True):
            apart = gap([answer.value], [numpy.asarray(f(*new))])
            if not apart <= rounded:
                found["value of the plain function"] = apart
        with costs(**WAYS[way]):
            H = lh.hessian(f, xs)
            compare("put together", Answer(H), plain[0])
            for number, (new, want) in enumerate(zip(places, plain, strict=True)):
                compare(f"at() point {number}", Answer(H[0][0].at(*new)), want)
                compare(f"anew at point {number}", Answer(lh.hessian(f, new)), want)
            if "lh." not in program.source:  # where nobody calls f, derivatives in it are plain
                variables = tuple(lh.variable(x) for x in xs)
                H = lh.hessian(f(*variables), variables)
                compare("recorded by hand", Answer(H), plain[0])
                try:
                    again = [Answer(H[0][0].at(*new)) for new in places]
                except ValueError as error:
                    if "asked for a value" not in str(error):
                        raise
                    again = []
                for number, (got, want) in enumerate(zip(again, plain, strict=False)):
                    compare(f"by hand, at() point {number}", got, want)
            stacks = tuple(numpy.stack(parts) for parts in zip(*places, strict=True))
            samples = Answer(lh.hessian(of_samples(f), stacks, 0))
            for number, want in enumerate(plain):
                compare(f"sample {number}", samples.sample(number), want)
            every = Answer(lh.hessian(outputs(f), xs, reduction="none"))
            compare("output 0", every.sample(0), plain[0])
        if EXTENDED and dtype is float and plain[0].finite():
            found.update(differ(f, xs, plain[0]))
    return found


def differ(f: Any, xs: Any, answer: Answer) -> dict[str, float]:
    """How far from differences along some directions, where no step brings them together."""
    rng, parts = numpy.random.default_rng(0), {}
    scales = [max(1.0, largest(*answer.gradient)), max(1.0, largest(*answer.blocks))]
    for _ in range(DIRECTIONS):
        vs = [rng.uniform(-1, 1, x.shape) for x in xs]
        slope = sum(numpy.sum(g * v) for g, v in zip(answer.gradient, vs, strict=True))
        bend = sum(
            numpy.sum(block * numpy.multiply.outer(a, b))
            for block, (a, b) in zip(answer.blocks, product(vs, vs), strict=True)
        )
        gaps = []
        for step in STEPS:
            first, second = along(f, xs, vs, step)
            gaps.append([abs(slope - first) / scales[0], abs(bend - second) / scales[1]])
            if max(gaps[-1]) <= DIFFERENCES:
                break
        for what, gap_ in zip(("gradient", "hessian"), zip(*gaps, strict=True), strict=True):
            if not min(gap_) <= DIFFERENCES:
                parts[f"differences: {what}"] = float(min(gap_))
    return parts


def along(f: Any, xs: Any, vs: Any, step: float) -> tuple[float, float]:
    """First and second derivative along a direction, by differences of fourth order."""
    h = numpy.longdouble(step)
    far, near, here, after, beyond = (
        f(*(x + k * h * v for x, v in zip(xs, vs, strict=True))) for k in (-2, -1, 0, 1, 2)
    )
    first = (8 * (after - near) - (beyond - far)) / (12 * h)
    second = (16 * (after + near) - (beyond + far) - 30 * here) / (12 * h * h)
    return float(first), float(second)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.loops", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    seen: set[str] = set()
    wrong = unfit = 0
    start = perf_counter()

    def compare(program: Program, way: str, dtype: Any) -> None:
        nonlocal wrong, unfit
        text = repr(program)
        if text in seen or len(seen) - unfit >= options.count:
            return
        seen.add(text)
        try:
            found: Any = faults(program, way, dtype)
        except UnfitError:
            unfit += 1
            return
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
        if found:
            wrong += 1
            print(f"FAULT ({way}, {numpy.dtype(dtype)}) {found}{text}", flush=True)

    chunk = 0
    while len(seen) - unfit < options.count:
        run = seed(f"{options.seed}, {chunk}")(
            settings(
                max_examples=250, deadline=None, database=None, phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )(given(loops(), st.sampled_from(list(WAYS)), st.sampled_from(DTYPES))(compare))
        )  # fmt: skip
        run()
        chunk += 1
        print(f"{len(seen) - unfit} programs, {perf_counter() - start:.0f} s", flush=True)
    print(f"{len(seen) - unfit} programs, {unfit} too large to compare, {wrong} with faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
