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
from itertools import permutations
from typing import Any

import numpy
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

Array = numpy.ndarray
# How many programs a test draws. A longer run: LAZYHESS_PROGRAMS=20000 python -m pytest ...
PROGRAMS = settings(
    max_examples=int(os.environ.get("LAZYHESS_PROGRAMS", "60")),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
MARGIN = 1e-2  # distance from kinks and ties
LARGEST = 8.0  # largest value of an element
MOST = 30  # largest number of elements of a value


@dataclass
class Program:
    """A function as text, and where it is evaluated."""

    source: str
    xs: tuple[Array, ...]
    names: tuple[str, ...] = field(default=())

    def __call__(self, np: Any, *xs: Any) -> Any:
        scope: dict[str, Any] = {"numpy": numpy}
        exec(self.source, scope)
        return scope["f"](np, *xs)

    def on(self, np: Any) -> Callable[..., Any]:
        """The function of the inputs alone."""
        return lambda *xs: self(np, *xs)

    def __repr__(self) -> str:
        inputs = [f"x{k} = numpy.{x!r}" for k, x in enumerate(self.xs)]
        return "\n" + self.source + "\n".join(inputs) + "\n"


# --- guards: whether a value stays away from where derivatives jump -------------------------------
def apart(value: Array, axis: Any = None) -> bool:
    """Whether no two elements along an axis are close, so that extrema and medians are unique."""
    if value.size == 0:
        return False
    if axis is None:
        value, axis = value.reshape(-1), 0
    if isinstance(axis, tuple):
        rest = [k for k in range(value.ndim) if k not in axis]
        value = value.transpose(*rest, *axis).reshape(*(value.shape[k] for k in rest), -1)
        axis = -1
    gaps = numpy.diff(numpy.sort(value, axis=axis), axis=axis)
    return bool(numpy.all(gaps > MARGIN))


def away(value: Array, *kinks: float) -> bool:
    return all(bool(numpy.all(numpy.abs(value - kink) > MARGIN)) for kink in kinks)


# --- steps: each gives a text, and whether it may be used: known, or text to evaluate -------------
Step = tuple[str, bool | str]
UNARY = [
    "np.sin({a})", "np.cos({a})", "np.tanh({a})", "np.arctan({a})", "np.arcsinh({a})",
    "np.log(1.5 + {a} * {a})", "np.sqrt(1.0 + {a} ** 2)", "1 / (2.0 + {a} * {a})", "{a} ** 3",
    "np.square({a})", "-{a}", "np.logaddexp(0, {a})", "np.expm1(0.3 * {a})", "np.exp({a} / 4)",
    "np.log1p({a} * {a})", "np.hypot({a}, 1.3)", "2.0 ** np.sin({a})", "abs(2 + {a} * {a}) ** 0.5",
    "np.sinh({a} / 4)", "np.arcsin(np.sin({a}) / 2)", "1.5 - {a}", "0.5 * {a} - 0.25",
    "np.exp2({a} / 4)", "np.reciprocal(1.5 + {a} ** 2)", "np.cosh({a} / 3)", "np.log2(2 + {a} ** 2)",
    "np.cbrt(0.5 + {a} * {a})",
]  # fmt: skip
KINKED: list[tuple[str, tuple[float, ...]]] = [
    ("np.abs({a})", (0.0,)), ("np.clip({a}, -0.7, 0.8)", (-0.7, 0.8)),
    ("np.maximum({a}, 0.1)", (0.1,)), ("np.where({a} > 0.2, {a} * {a}, np.sin({a}))", (0.2,)),
    ("np.where({a} < 0, 1.0, {a})", (0.0,)), ("np.sign({a}) * {a} ** 2", (0.0,)), ("np.minimum(0.3, {a})", (0.3,)),
]  # fmt: skip
BINARY = [
    "{a} + {b}", "{a} - {b}", "{a} * {b}", "{a} / (1.5 + {b} * {b})", "np.arctan2({a}, 2 + {b} ** 2)",
    "np.logaddexp({a}, {b})", "np.hypot({a}, 1 + {b} * {b})", "np.power(1.2 + {a} * {a}, {b} / 3)",
    "{a} ** 2 * {b}", "np.multiply({a}, {b})", "({a} + 0.5) * ({b} - 0.5)",
]  # fmt: skip


def elementwise(draw: Any, names: list[str], a: str, u: Array) -> Step:
    return draw(st.sampled_from(UNARY)).format(a=a), True


def kinked(draw: Any, names: list[str], a: str, u: Array) -> Step:
    text, kinks = draw(st.sampled_from(KINKED))
    return text.format(a=a), away(u, *kinks)


def reduction(draw: Any, names: list[str], a: str, u: Array) -> Step:
    kind = draw(st.sampled_from(["sum", "mean", "prod", "max", "min", "var", "std"]))
    axes: list[Any] = [None, *range(-u.ndim, u.ndim)]
    axes += [(0, u.ndim - 1)] if u.ndim > 1 else []
    axis = draw(st.sampled_from(axes))
    keep = draw(st.booleans())
    safe = kind in ("sum", "prod") or u.size > 0
    if kind in ("max", "min"):
        safe = apart(u, axis)
    if kind == "std":
        safe = safe and bool(numpy.all(numpy.var(u, axis=axis) > MARGIN))
    return f"np.{kind}({a}, axis={axis}, keepdims={keep})", safe


def constant(draw: Any, names: list[str], a: str, u: Array) -> Step:
    """With a constant array, broadcast against the value."""
    seed = draw(st.integers(0, 99))
    text = f"numpy.random.default_rng({seed}).uniform(-1, 1, {u.shape[u.ndim // 2 :]})"
    return (
        draw(st.sampled_from(["{a} * {c}", "{c} - {a}", "{c} / (2 + {a} * {a})"])).format(
            a=a, c=text
        ),
        True,
    )


def structure(draw: Any, names: list[str], a: str, u: Array) -> Step:
    n, size = u.ndim, u.size
    number = draw(st.integers(0, 5))
    choices = [
        f"np.ravel({a})", f"np.reshape({a}, (-1, 1))", f"{a}.T", f"np.flip({a})", f"np.roll({a}, {number})",
        f"np.tile({a}, 2)", f"np.repeat({a}, 2)", f"np.broadcast_to({a}, (2, *{u.shape}))",
        f"np.expand_dims({a}, {number % (n + 1)})", f"np.cumsum({a})", f"np.atleast_2d({a})",
        f"np.squeeze({a})", f"np.stack([{a}, {a}], axis=-1)",
        f"np.concatenate([np.ravel({a}), np.ravel({a})[::-1]])",
    ]  # fmt: skip
    if size % 2 == 0 and size:
        choices += [
            f"np.reshape({a}, (2, {size // 2}))",
            f"np.split(np.ravel({a}), 2)[{number % 2}]",
        ]
    if size:
        choices += [f"np.take({a}, numpy.array([[0, {number % size}], [-1, 0]]))"]
    if n:
        k, m = number % n, u.shape[number % n]
        order = draw(st.sampled_from(list(permutations(range(n)))))
        choices += [
            f"np.transpose({a}, {order})", f"np.flip({a}, {k})", f"np.cumsum({a}, axis={k})",
            f"np.pad({a}, {[(0, 0)] * k + [(1, 2)] + [(0, 0)] * (n - k - 1)})",
            f"np.pad({a}, 1, constant_values=0.5)", f"np.roll({a}, -1, axis={k})",
            f"np.repeat({a}, 3, axis={k})", f"np.swapaxes({a}, 0, {k})", f"np.moveaxis({a}, {k}, -1)",
            f"np.concatenate([{a}, np.sin({a})], axis={k})", f"np.array_split({a}, 2, axis={k})[1]",
        ]  # fmt: skip
        if m:
            choices += [f"np.take({a}, numpy.array([0, {m - 1}, 0]), axis={k})",
                        f"np.pad({a}, {[(0, 0)] * k + [(1, 0)] + [(0, 0)] * (n - k - 1)}, mode='edge')"]  # fmt: skip
    if n == 1:
        choices += [f"np.diag({a})", f"np.vstack([{a}, {a} * {a}])"]
    if n == 2:
        choices += [f"np.tril({a})", f"np.triu({a}, 1)", f"np.diagonal({a})", f"np.trace({a})",
                    f"np.diag({a}, -1)", f"np.rot90({a})", f"np.hstack([{a}, {a}[:, :1]])"]  # fmt: skip
    return draw(st.sampled_from(choices)), True


def indexing(draw: Any, names: list[str], a: str, u: Array) -> Step:
    parts: list[str] = []
    length = draw(st.integers(1, 3))  # of index arrays, which broadcast against each other
    for axis in range(draw(st.integers(0, u.ndim))):
        m = u.shape[axis]
        kind = draw(st.sampled_from(["integer", "slice", "step", "array", "new", "mask"]))
        if kind == "new":
            parts.append("None")
        if kind == "integer" and m:
            parts.append(str(draw(st.integers(-m, m - 1))))
        elif kind == "array" and m:
            ids = draw(st.lists(st.integers(-m, m - 1), min_size=length, max_size=length))
            parts.append(f"numpy.array({ids})")
        elif kind == "mask" and m and draw(st.booleans()):
            chosen = [k for k in range(m) if k % m < length][:length]
            if len(chosen) == length:
                parts.append(f"numpy.isin(numpy.arange({m}), {chosen})")
            else:
                parts.append(":")
        elif kind == "step":
            parts.append(draw(st.sampled_from(["::-1", "::2", "1::2", "-2:", ":0:-1", ":-1"])))
        else:
            parts.append(draw(st.sampled_from([":", "1:", ":2"])))
    if draw(st.integers(0, 3)) == 0:
        parts.insert(draw(st.integers(0, len(parts))), "...")
    return f"{a}[{', '.join(parts) if parts else '()'}]", True


def binary(draw: Any, names: list[str], a: str, u: Array) -> Step:
    b = draw(st.sampled_from(names))
    return draw(st.sampled_from(BINARY)).format(a=a, b=b), True


def extremum(draw: Any, names: list[str], a: str, u: Array) -> Step:
    b = draw(st.sampled_from(names))
    kind = draw(st.sampled_from(["np.maximum({a}, {b})", "np.where({a} > {b}, {a} * {b}, {b})"]))
    return kind.format(a=a, b=b), f"away({a} - {b}, 0.0)"


def contraction(draw: Any, names: list[str], a: str, u: Array) -> Step:
    """All that may fit; the one drawn is tried, and left out where shapes do not agree."""
    b = draw(st.sampled_from(names))
    n = u.ndim
    choices = [
        f"{a} @ {b}", f"{b} @ {a}", f"{a} @ {a}.T", f"np.outer({a}, {b})", f"np.dot({a}, {b})",
        f"np.inner({a}, {b})", f"np.vdot({a}, {b})", f"np.tensordot({a}, {b}, axes=1)",
        f"np.einsum('...,...->...', {a}, {b})", f"np.einsum('...i,...i', {a}, {b})",
        f"np.matmul(np.atleast_2d({a}), np.ones(({u.shape[-1] if n else 1}, 2)))",
    ]  # fmt: skip
    if n == 1:
        choices += [
            f"np.einsum('i,i,i->', {a}, {a}, {a})",
            f"np.einsum('i,j,i->ij', {a}, {b}, {a})",
        ]
    if n == 2 and len(set(u.shape)) == 1:
        choices += [f"np.einsum('ii->i', {a})", f"np.einsum('ii,ij->j', {a}, {a})"]
    if n == 2:
        choices += [
            f"np.einsum('ij,kj->ik', {a}, {a})", f"np.einsum('ij,ij->j', {a}, {b})",
            f"np.einsum('ij,ik,kl->jl', {a}, {a}, {b})",
            f"np.einsum('ij->ji', {a})", f"np.einsum('ij,j->i', {a}, {b})", f"np.einsum('ij->', {a})",
            f"np.einsum('ij,jk->', {a}, {b})",
        ]  # fmt: skip
    text = draw(st.sampled_from(choices))
    # On empty operands that broadcast, NumPy's own einsum in extended precision can give NaN.
    return text, "einsum" not in text or f"{a}.size * {b}.size"


STEPS = [elementwise, elementwise, kinked, reduction, constant, structure, structure, indexing,
         binary, binary, extremum, contraction, contraction]  # fmt: skip

# Steps that leave each sample of a batch (axis 0) to itself.
SAMPLEWISE = [
    "np.sin({a})", "{a} * {a}", "np.tanh({a}) + 0.5", "np.exp({a} / 4)", "{a} ** 3", "{a} * {b}",
    "{a} - {b}", "{a} / (2 + {b} * {b})", "np.sum({a}, axis=-1, keepdims=True)", "{a}[:, ::-1]",
    "np.mean({a}, axis=1, keepdims=True)", "{a}[:, 1:]", "np.concatenate([{a}, {b}], axis=1)",
    "np.cumsum({a}, axis=1)", "np.einsum('bi,bj->bij', {a}, {b}).sum(axis=2)",
    "np.einsum('bi,bi->b', {a}, {a})[:, None]", "{a} @ numpy.ones(({n}, 2))", "np.roll({a}, 1, axis=1)",
    "np.reshape({a}[:, :, None] * {b}[:, None, :], ({B}, -1))", "{a} * numpy.arange({B})[:, None]",
    "np.take({a}, numpy.array([0, 0]), axis=1)", "np.pad({a}, ((0, 0), (1, 0)))", "{a}.T.T",
    "np.matmul({a}[:, None, :], {b}[:, :, None])[:, 0]", "np.stack([{a}, {a}], axis=2)[:, :, 1]",
    "np.where({a} > 0.3, {a}, {a} ** 2)",
]  # fmt: skip


def points(shape: tuple[int, ...], seed: int) -> Array:
    return numpy.random.default_rng(seed).uniform(-1.2, 1.2, shape)


def admissible(value: Any) -> bool:
    return (
        isinstance(value, (numpy.ndarray, numpy.floating))
        and value.dtype == float
        and value.size <= MOST
        and bool(numpy.all(numpy.abs(value) <= LARGEST))
    )


def attempt(text: str, scope: dict[str, Any]) -> Any:
    """The value of a step on plain arrays, or None where it does not apply."""
    try:
        with numpy.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = eval(text, {"numpy": numpy, "np": numpy, "away": away}, scope)
    except (ValueError, IndexError, TypeError):
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
def programs(draw: Any, most_steps: int = 10, empty: bool = True) -> Program:
    """Programs on one to three inputs of small shapes, which give a scalar."""
    sizes = [(3,), (2, 3), (), (4,), (1, 2), (3, 2), (2, 1, 2), (1,), (2, 2)] + [(0, 2)] * empty
    shapes = draw(st.lists(st.sampled_from(sizes), min_size=1, max_size=3))
    seed = draw(st.integers(0, 999))
    xs = tuple(points(shape, seed + k) for k, shape in enumerate(shapes))
    scope: dict[str, Any] = {f"x{k}": x for k, x in enumerate(xs)}
    used: set[str] = set()
    lines = []
    for _ in range(draw(st.integers(1, most_steps))):
        names = list(scope)
        a = draw(st.sampled_from(names[-4:] + names))  # recent ones more often
        text, safe = draw(st.sampled_from(STEPS))(draw, names, a, scope[a])
        value = attempt(text, scope)
        if isinstance(safe, str):
            safe = value is not None and bool(attempt(safe, scope))
        if safe and admissible(value):
            name = f"v{len(lines)}"
            lines.append(f"{name} = {text}")
            used |= _words(text)
            scope[name] = value
    outer = draw(st.sampled_from(["{}", "np.sin({})", "({}) ** 2", "np.exp(({}) / 50)"]))
    lines.append(f"return {closing(scope, used, outer)}")
    return _program(lines, xs)


@st.composite
def batches(draw: Any, most_steps: int = 8) -> Program:
    """Programs whose inputs have a batch axis in front, and that give one element per sample."""
    B = draw(st.sampled_from([3, 1, 4]))
    widths = draw(st.lists(st.sampled_from([2, 3, 1]), min_size=1, max_size=2))
    seed = draw(st.integers(0, 999))
    xs = tuple(points((B, width), seed + k) for k, width in enumerate(widths))
    scope: dict[str, Any] = {f"x{k}": x for k, x in enumerate(xs)}
    lines = []
    for _ in range(draw(st.integers(1, most_steps))):
        names = list(scope)
        a, b = draw(st.sampled_from(names[-3:] + names)), draw(st.sampled_from(names))
        text = draw(st.sampled_from(SAMPLEWISE)).format(a=a, b=b, B=B, n=scope[a].shape[1])
        value = attempt(text, scope)
        if value is not None and value.ndim == 2 and len(value) == B and admissible(value):
            if "where" in text and not away(scope[a], 0.3):
                continue
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
