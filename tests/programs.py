"""Random recorded programs: source text of a function ``f(np, x0, x1, ...)`` with its inputs.

The same source runs on Variables, on plain arrays (extended precision included) and on jax.numpy,
and a failing example prints as the program it is. Every step is tried on plain arrays while it is
drawn: a step that does not apply, that leaves a moderate range, or that comes near a kink or a
tie (where libraries may choose differently), is left out.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import lazyhess as lh
from tests import steps
from tests.steps import KINKS, SAMPLEWISE, STEPS, Array

# How many programs a test draws. A longer run: LAZYHESS_PROGRAMS=20000 python -m pytest ...
PROGRAMS = settings(
    max_examples=int(os.environ.get("LAZYHESS_PROGRAMS", "60")),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
LARGEST = 8.0  # largest value of an element
MOST = 30  # largest number of elements of a value
SHAPES: Any = [(3,), (2, 3), (), (4,), (1, 2), (3, 2), (2, 1, 2), (1,), (2, 2)]


@dataclass
class Program:
    """A function as text, and where it is evaluated."""

    source: str
    xs: tuple[Array, ...]
    names: tuple[str, ...] = field(default=())

    @cached_property
    def function(self) -> Callable[..., Any]:
        """What the text says, compiled once."""
        scope: dict[str, Any] = {"numpy": numpy, "lh": lh}
        exec(self.source, scope)
        f: Callable[..., Any] = scope["f"]
        return f

    def __call__(self, np: Any, *xs: Any) -> Any:
        return self.function(np, *xs)

    def on(self, np: Any) -> Callable[..., Any]:
        """The function of the inputs alone."""
        return lambda *xs: self(np, *xs)

    def __repr__(self) -> str:
        inputs = [
            f"x{k} = numpy.array({x.tolist()}, float).reshape({x.shape})"
            for k, x in enumerate(self.xs)
        ]
        return "\n" + self.source + "\n".join(inputs) + "\n"


def points(shape: tuple[int, ...], seed: int) -> Array:
    return numpy.random.default_rng(seed).uniform(-1.2, 1.2, shape)


def admissible(value: Any, dtype: Any) -> bool:
    return (
        isinstance(value, (numpy.ndarray, numpy.floating))
        and value.dtype == dtype
        and value.size <= MOST
        and bool(numpy.all(numpy.abs(value) <= LARGEST))
    )


def attempt(text: str, scope: dict[str, Any]) -> Any:
    """The value of a step on plain arrays, or None where NumPy says that it does not apply."""
    try:
        with numpy.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = eval(text, {"np": numpy, **vars(steps)}, scope)
    except (ValueError, IndexError, TypeError, ArithmeticError, AttributeError):
        return None
    return value


def closing(scope: dict[str, Any], used: set[str], outer: str) -> str:
    """A scalar that all values which nothing else uses go into."""
    loose = [name for name in scope if name not in used]
    terms = []
    for k, name in enumerate(loose):
        weights = f"numpy.cos(numpy.arange({numpy.size(scope[name])}.0) + {k})"
        terms.append(f"np.sum(np.ravel({name}) * {weights})")
    return outer.format(" + ".join(terms) or "0.0")


@st.composite
def programs(
    draw: Any,
    most_steps: int = 10,
    empty: bool = True,
    dtype: Any = numpy.float64,
    starts: Any = (),
    shapes: Any = SHAPES,
) -> Program:
    """Programs on one to three inputs of some of the shapes, which give a scalar.

    With another `dtype` of those that NumPy can evaluate in it: not linear algebra in extended
    precision, say. Of the kinds of step in `starts` come one to three first.
    """
    sizes = [*shapes] + [(0, 2)] * empty
    drawn = draw(st.lists(st.sampled_from(sizes), min_size=1, max_size=3))
    seed = draw(st.integers(0, 999))
    xs = tuple(points(shape, seed + k) for k, shape in enumerate(drawn))
    scope: dict[str, Any] = {f"x{k}": x.astype(dtype) for k, x in enumerate(xs)}
    used: set[str] = set()
    lines = []
    kinds = [starts] * draw(st.integers(1, 3)) if starts else []
    for kind in kinds + [STEPS] * draw(st.integers(1, most_steps)):
        names = list(scope)
        a = draw(st.sampled_from(names[-4:] + names))  # recent ones more often
        text, safe = draw(st.sampled_from(kind))(draw, names, a, scope[a])
        value = attempt(text, scope)
        if isinstance(safe, str):
            safe = value is not None and bool(attempt(safe, {**scope, "made": value}))
        if safe and admissible(value, dtype):
            name = f"v{len(lines)}"
            lines.append(f"{name} = {text}")
            used |= _words(text)
            scope[name] = value
    outer = draw(st.sampled_from(["{}", "np.sin({})", "({}) ** 2", "np.exp(({}) / 50)"]))
    lines.append(f"return {closing(scope, used, outer)}")
    return _program(lines, xs)


@st.composite
def batches(draw: Any, most_steps: int = 8, dtype: Any = numpy.float64) -> Program:
    """Programs whose inputs have a batch axis in front, and that give one element per sample."""
    B = draw(st.sampled_from([3, 1, 4]))
    widths = draw(st.lists(st.sampled_from([2, 3, 1]), min_size=1, max_size=2))
    seed = draw(st.integers(0, 999))
    xs = tuple(points((B, width), seed + k) for k, width in enumerate(widths))
    scope: dict[str, Any] = {f"x{k}": x.astype(dtype) for k, x in enumerate(xs)}
    lines = []
    for _ in range(draw(st.integers(1, most_steps))):
        names = list(scope)
        a, b = draw(st.sampled_from(names[-3:] + names)), draw(st.sampled_from(names))
        n = scope[a].shape[1]
        S = f"({a}[:, :, None] * {a}[:, None, :] + numpy.diag(numpy.arange(2.0, {n + 2})))"
        text = draw(st.sampled_from(SAMPLEWISE))
        guards = [guard for word, guard in KINKS.items() if word in text]
        text, *guards = (t.format(a=a, b=b, B=B, n=n, S=S) for t in (text, *guards))
        value = attempt(text, scope)
        if (
            admissible(value, dtype)
            and value.ndim == 2
            and len(value) == B
            and all(attempt(guard, scope) for guard in guards)
        ):
            name = f"v{len(lines)}"
            lines.append(f"{name} = {text}")
            scope[name] = value
    total = " + ".join(f"np.sum({name} ** 2, axis=1)" for name in list(scope)[-3:])
    lines.append(f"return np.sin({total})")
    return _program(lines, xs)


def _words(text: str) -> set[str]:
    return set("".join(c if c.isalnum() or c == "_" else " " for c in text).split())


def _program(lines: list[str], xs: tuple[Array, ...]) -> Program:
    names = tuple(f"x{k}" for k in range(len(xs)))
    head = f"def f(np, {', '.join(names)}):\n"
    return Program(head + "".join(f"    {line}\n" for line in lines), xs, names)
