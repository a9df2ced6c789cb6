"""The steps that random programs are made of: texts, and guards against ill-posed ones."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy
from hypothesis import strategies as st

Array = numpy.ndarray
MARGIN = 1e-2  # distance from kinks and ties


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


def regular(value: Array, most: float = 200.0) -> bool:
    """Whether matrices are far from singular."""
    return value.size > 0 and bool(numpy.all(numpy.linalg.cond(value) < most))


def simple(spectrum: Array, *others: float) -> bool:
    """Whether eigenvalues or singular values are far from each other, and from others."""
    wide = numpy.concatenate(
        [spectrum, *(numpy.full((*spectrum.shape[:-1], 1), x) for x in others)], -1
    )
    return spectrum.size > 0 and bool(numpy.all(numpy.diff(numpy.sort(wide)) > 0.1))


def steady(value: Array, period: float) -> bool:
    """Whether no difference is near half a period, where unwrapping decides."""
    jumps = numpy.diff(value) / period
    return bool(numpy.all(numpy.abs(jumps - numpy.floor(jumps) - 0.5) > MARGIN))


# --- steps: each gives a text, and whether it may be used: known, or text to evaluate -------------
# The text of a guard may name what the step gives: `made`.
Step = tuple[str, bool | str]
UNARY = [
    "np.sin({a})", "np.cos({a})", "np.tanh({a})", "np.arctan({a})", "np.arcsinh({a})",
    "np.log(1.5 + {a} * {a})", "np.sqrt(1.0 + {a} ** 2)", "1 / (2.0 + {a} * {a})", "{a} ** 3",
    "np.square({a})", "-{a}", "np.logaddexp(0, {a})", "np.expm1(0.3 * {a})", "np.exp({a} / 4)",
    "np.log1p({a} * {a})", "np.hypot({a}, 1.3)", "2.0 ** np.sin({a})", "abs(2 + {a} * {a}) ** 0.5",
    "np.sinh({a} / 4)", "np.arcsin(np.sin({a}) / 2)", "1.5 - {a}", "0.5 * {a} - 0.25",
    "np.exp2({a} / 4)", "np.reciprocal(1.5 + {a} ** 2)", "np.cosh({a} / 3)", "np.log2(2 + {a} ** 2)",
    "np.cbrt(0.5 + {a} * {a})", "np.tan(np.sin({a}))", "np.arccos(np.cos({a} / 9 + 1) / 2)",
    "np.arccosh(1.5 + {a} * {a})", "np.arctanh(np.sin({a}) / 2)", "np.log10(3 + np.abs({a}) ** 3)",
    "np.deg2rad(40 * {a})", "np.degrees({a} / 60)", "np.logaddexp2({a}, 0.2)", "np.positive({a})",
    "np.float_power(1.1 + {a} * {a}, 1.7)", "np.power(1.3, {a})", "np.i0({a} / 3)",
]  # fmt: skip
# With the places where derivatives jump. (Near 0 JAX loses digits of those of np.sinc.)
KINKED: list[tuple[str, tuple[float, ...]]] = [
    ("np.abs({a})", (0.0,)), ("np.clip({a}, -0.7, 0.8)", (-0.7, 0.8)),
    ("np.maximum({a}, 0.1)", (0.1,)), ("np.where({a} > 0.2, {a} * {a}, np.sin({a}))", (0.2,)),
    ("np.where({a} < 0, 1.0, {a})", (0.0,)), ("np.sign({a}) * {a} ** 2", (0.0,)), ("np.minimum(0.3, {a})", (0.3,)),
    ("np.sinc({a} / 2)", (0.0,)), ("np.copysign({a} + 0.3, {a})", (0.0,)), ("np.fmax({a}, -0.2)", (-0.2,)),
    ("np.fmin(0.4, {a})", (0.4,)), ("np.round({a}) * {a}", tuple(k + 0.5 for k in range(-9, 9))),
    ("np.floor({a}) + {a} ** 2", tuple(map(float, range(-9, 9)))),
    ("np.remainder({a}, 1.5)", tuple(1.5 * k for k in range(-6, 7))),
    ("np.fmod({a}, 0.75) * {a}", tuple(0.75 * k for k in range(-12, 13))),
    ("np.heaviside({a}, 0.5) * np.cos({a})", (0.0,)), ("np.modf({a})[0] ** 2", tuple(map(float, range(-9, 9)))),
    ("np.select([{a} > 0.6, {a} < -0.4], [{a} ** 2, np.sin({a})], 0.5 * {a})", (0.6, -0.4)),
    ("np.interp({a}, numpy.array([-1.0, 0.1, 0.7, 2.0]), numpy.array([0.3, 1.0, -0.2, 0.5]))", (-1.0, 0.1, 0.7, 2.0)),
    ("np.nan_to_num(np.where({a} > 0.1, {a} ** 2, numpy.nan), nan=0.4)", (0.1,)),
]  # fmt: skip
BINARY = [
    "{a} + {b}", "{a} - {b}", "{a} * {b}", "{a} / (1.5 + {b} * {b})", "np.arctan2({a}, 2 + {b} ** 2)",
    "np.logaddexp({a}, {b})", "np.hypot({a}, 1 + {b} * {b})", "np.power(1.2 + {a} * {a}, {b} / 3)",
    "{a} ** 2 * {b}", "np.multiply({a}, {b})", "({a} + 0.5) * ({b} - 0.5)", "np.logaddexp2({a}, {b})",
    "np.float_power(1.1 + {b} * {b}, np.sin({a}))", "np.true_divide({a}, 2 + np.cos({b}))",
    "np.linspace({a}, {b}, 3)", "np.linspace({a}, np.sin({b}), 4, endpoint=False, axis=-1)",
    "np.geomspace(1.1 + {a} ** 2, 1.5 + {b} ** 2, 3)", "np.logspace({a} / 9, {b} / 9, 3)",
    "np.multiply(*np.meshgrid(np.ravel({a}), np.ravel({b})))",
]  # fmt: skip


def elementwise(draw: Any, names: list[str], a: str, u: Array) -> Step:
    return draw(st.sampled_from(UNARY)).format(a=a), True


def kinked(draw: Any, names: list[str], a: str, u: Array) -> Step:
    text, kinks = draw(st.sampled_from(KINKED))
    return text.format(a=a), away(u, *kinks)


def some_axis(draw: Any, u: Array) -> Any:
    axes: list[Any] = [None, *range(-u.ndim, u.ndim)]
    axes += [(0, u.ndim - 1)] if u.ndim > 1 else []
    return draw(st.sampled_from(axes))


def reduction(draw: Any, names: list[str], a: str, u: Array) -> Step:
    kind = draw(
        st.sampled_from(["sum", "mean", "prod", "max", "min", "var", "std", "ptp", "average"])
    )
    axis = some_axis(draw, u)
    keep = draw(st.booleans())
    safe = kind in ("sum", "prod") or u.size > 0
    if kind in ("max", "min", "ptp"):
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


def missing(draw: Any, names: list[str], a: str, u: Array) -> Step:
    """Reductions that skip NaN, of a value in which some elements are made NaN."""
    kinds = ["sum", "mean", "prod", "max", "min", "var", "std", "median", "quantile", "cumsum", "cumprod"]  # fmt: skip
    kind = draw(st.sampled_from(kinds))
    axis = some_axis(draw, u)
    text = f"np.where({a} > {draw(st.sampled_from([-9.0, -0.3]))}, {a}, numpy.nan)"
    there = numpy.where(u > -0.3, u, numpy.nan)
    safe = away(u, -0.3) and not bool(numpy.any(numpy.all(numpy.isnan(there), axis=axis)))
    if kind in ("max", "min", "median", "quantile"):
        safe = safe and apart(u, axis)
    if kind in ("cumsum", "cumprod"):
        safe = safe and not isinstance(axis, tuple)
        return f"np.nan{kind}({text}, axis={axis})", safe
    if kind == "std":
        safe = safe and bool(numpy.all(numpy.nanvar(there, axis=axis) > MARGIN))
        safe = safe and bool(numpy.all(numpy.var(u, axis=axis) > MARGIN))
    q = "0.37, " if kind == "quantile" else ""
    return f"np.nan{kind}({text}, {q}axis={axis}, keepdims={draw(st.booleans())})", safe


def ordering(draw: Any, names: list[str], a: str, u: Array) -> Step:
    """Sorting and quantiles. No quantile here falls on an element, nor halfway between two."""
    axis = some_axis(draw, u)
    one = None if isinstance(axis, tuple) else axis
    method = draw(st.sampled_from(["linear", "lower", "higher", "midpoint", "nearest"]))
    kth = draw(st.integers(0, max(u.size - 1, 0)))
    choices = [
        f"np.sort({a}, axis={one})", f"np.median({a}, axis={axis}, keepdims=True)", f"np.median({a}, axis={axis})",
        f"np.quantile({a}, 0.37, axis={axis}, method='{method}')",
        f"np.percentile({a}, numpy.array([12.3, 61.3]), axis={axis}, method='{method}')",
        f"np.partition(np.ravel({a}), {kth})[{kth}]",
        f"np.take_along_axis({a}, np.argsort({a}, axis={one}), axis={one}) * np.sort({a}, axis={one})",
        f"np.ravel({a})[np.argmax({a})] * {a}", f"np.maximum.accumulate(np.ravel({a}))",
        f"np.minimum.accumulate(np.ravel({a}))", f"-np.sort(-np.ravel({a}))",
    ]  # fmt: skip
    return draw(st.sampled_from(choices)), apart(u, axis)


def algebra(draw: Any, names: list[str], a: str, u: Array) -> Step:
    """Linear algebra on matrices that are far from singular, and whose spectrum is simple."""
    n, b = u.ndim, draw(st.sampled_from(names))
    rows = u.shape[-2] if n > 1 else u.shape[0] if n else 2
    far = f"numpy.diag(numpy.arange(2.0, {rows + 2}))"
    if n > 1:
        S, R = f"({a} @ np.swapaxes({a}, -1, -2) + {far})", a
        M = f"({a} + 2 * numpy.eye({rows}))" if rows == u.shape[-1] else S
    elif n:
        S, R = f"(np.outer({a}, {a}) + {far})", f"np.stack([{a}, np.sin({a}) + 0.5])"
        M = f"(np.outer({a}, np.cos({a})) + {far})"
    else:
        R = M = f"({a} * numpy.array([[0.3, -0.2], [0.5, 0.1]]) + {far})"
        S = f"({M} @ {M}.T)"
    A = draw(st.sampled_from([S, M]))  # S is symmetric, M need not be, R need not be square
    power, order = draw(st.integers(-2, 3)), draw(st.sampled_from(["2", "-2", "'fro'", "'nuc'"]))
    regular = f"regular({A})"
    simple, spread = f"simple(numpy.linalg.eigvalsh({S}))", f"simple(numpy.linalg.svd({R})[1], 0.0)"
    choices = [
        (f"np.linalg.inv({A})", regular), (f"np.linalg.det({A}) / 9", regular),
        (f"np.linalg.slogdet({A})[1]", regular), (f"np.linalg.solve({A}, {R})", regular),
        (f"np.linalg.solve({A}, {b})", regular), (f"np.linalg.solve({A}, np.ones({rows}))", regular),
        (f"np.linalg.matrix_power({A} / 3, {power})", regular), (f"np.linalg.cholesky({S})", regular),
        (f"np.linalg.eigvalsh({S})", simple), (f"np.linalg.eigh({S})[0]", simple),
        (f"np.linalg.eigh({S})[1] ** 2", simple), (f"np.linalg.svd({R}, compute_uv=False)", spread),
        (f"np.linalg.svd({R}, full_matrices=False)[0] ** 2", spread),
        (f"np.linalg.svd({R}, full_matrices=False)[2] ** 2", spread),
        (f"np.linalg.svdvals({R})", spread), (f"np.linalg.pinv({R})", spread), (f"np.linalg.pinv({A})", regular),
        (f"np.linalg.qr({A})[1]", regular), (f"np.linalg.qr({A})[0]", regular),
        (f"np.linalg.lstsq({R}, np.ones(np.shape({R})[0]))[0]", spread),
        (f"np.linalg.lstsq({A}, {b})[0]", simple if A == S else regular),
        (f"np.linalg.cond({A})", f"simple(numpy.linalg.svd({A})[1], 0.0)"), (f"np.linalg.cond({A}, 'fro')", regular),
        (f"np.linalg.matrix_norm({R}, ord={order})", spread), (f"np.linalg.norm({A}, {order})", f"simple(numpy.linalg.svd({A})[1], 0.0)"),
        (f"np.linalg.multi_dot([{R}, {R}.T, {R}, {R}.T])", True), (f"np.linalg.tensorinv({A}, ind=1)", regular),
        (f"np.linalg.tensorsolve({A}, np.ones({rows}))", regular), (f"np.linalg.vecdot({R}, {R})", True),
        (f"np.linalg.trace({R}, offset=1)", True), (f"np.linalg.diagonal({R}, offset=-1)", True),
        (f"np.linalg.matrix_transpose({R})", True), (f"np.linalg.outer(np.ravel({a}), np.ravel({b}))", True),
        (f"np.linalg.tensordot({R}, {R}, axes=2)", True),
    ]  # fmt: skip
    if n:
        k, keep = draw(st.integers(-n, n - 1)), draw(st.booleans())
        choices += [
            (f"np.linalg.norm({a}, axis={k}, keepdims={keep})", "away(made, 0.0)"),
            (f"np.linalg.norm({a}, {draw(st.sampled_from(['1', '2', '3', '2.5']))}, axis={k})", f"away({a}, 0.0) and away(made, 0.0)"),
            (f"np.linalg.norm({a}, {draw(st.sampled_from(['numpy.inf', '-numpy.inf']))}, axis={k})",
             f"away({a}, 0.0) and apart(abs({a}), {k})"),
            (f"np.linalg.vector_norm({a}, ord=3, axis={k}, keepdims={keep})", f"away({a}, 0.0) and away(made, 0.0)"),
            (f"np.linalg.norm(np.ravel({a}))", "away(made, 0.0)"),
            (f"np.linalg.matrix_norm({R}, ord={draw(st.sampled_from(['1', '-1', 'numpy.inf', '-numpy.inf']))})",
             f"away({R}, 0.0) and apart(abs({R}).sum(-1), -1) and apart(abs({R}).sum(-2), -1)"),
        ]  # fmt: skip
    return draw(st.sampled_from(choices))


def fourier(draw: Any, names: list[str], a: str, u: Array) -> Step:
    """Transforms, real at the end."""
    b, n = draw(st.sampled_from(names)), u.ndim
    k = draw(st.integers(-n, n - 1)) if n else 0
    m = u.shape[k] if n else 1
    size = draw(st.sampled_from(["None", m, m + 2, max(m - 1, 1)]))
    norm = draw(st.sampled_from(["None", "'ortho'", "'forward'"]))
    how = f"n={size}, axis={k}, norm={norm}"
    part = draw(st.sampled_from(["np.real", "np.imag", "np.abs", "np.angle"]))
    which = draw(st.sampled_from(["fft.fft", "fft.ifft", "fft.rfft", "fft.ihfft"]))
    whole = draw(st.sampled_from(["fftn", "ifftn", "rfftn"]))
    safe = {
        "np.abs": "away(made, 0.0)",
        "np.angle": "away(made, 0.0, numpy.pi, -numpy.pi, numpy.pi / 2, -numpy.pi / 2)",
    }.get(part, True)
    choices: list[Step] = [
        (f"{part}(np.{which}({a}, {how}))", safe),
        (f"{part}(np.fft.{whole}({a}, norm={norm}))", safe),
        (f"np.fft.irfft({a}, {how})", True), (f"np.fft.hfft({a}, {how})", True),
        (f"np.fft.irfft(np.fft.rfft({a}, {how}) * np.fft.rfft({b}, {how}), {how})", True),
        (f"np.real(np.fft.ifft(np.fft.fft({a}, {how}) ** 2, {how}))", True),
        (f"np.real(np.fft.fft({a} + 1j * {b}, {how}) * np.fft.fft({a}, {how}))", True),
        (f"np.abs(np.fft.rfft({a}, {how})) ** 2", "away(made, 0.0)"),
        (f"np.fft.fftshift({a})", True), (f"np.fft.ifftshift({a}, axes={k})", True),
    ]  # fmt: skip
    if n > 1:
        choices += [
            (f"{part}(np.fft.fft2({a}, norm={norm}))", safe), (f"np.fft.irfft2({a}, norm={norm})", True),
            (f"np.fft.irfftn(np.fft.rfftn({a}) ** 2, {u.shape})", True),
        ]  # fmt: skip
    return draw(st.sampled_from(choices))


COMPLEX = [
    "np.real(np.exp({c} / 3))", "np.imag({c} ** 3)", "np.real(np.conj({c}) ** 2 * {c})", "np.imag(np.sin({c} / 2))",
    "np.real(np.cos({c} / 2) * {c})", "np.real({c} @ {c})", "np.imag({c} * {a})", "np.real(np.tanh({c} / 4))",
    "np.real({c} / (3 + {c} ** 2 / 9))", "np.imag(np.sinh({c} / 3))", "np.real(np.vdot({c}, {c} ** 2))",
    "np.imag(np.cumsum({c}) * np.sum({c}))", "np.real(np.prod({c} / 2))", "np.real(np.mean({c}, axis=0) ** 2)",
    "np.imag(np.where({a} > -9, {c}, 1j) ** 2)", "np.real(np.linalg.inv(np.outer({c}, {c}) + 20 * numpy.eye(np.size({c}))))",
    "np.imag(np.transpose({c} * {c})[..., ::-1])", "np.real(np.einsum('...i,...i', {c}, np.conj({c}) * {c}))",
    "np.real(np.outer({c}, np.conj({c})))", "np.abs({c} * {c}) ** 2", "np.imag(np.reshape({c} ** 2, -1))",
]  # fmt: skip
# These have a branch cut along the negative real axis: the real part is kept positive. (For
# np.sign of complex numbers JAX says that the derivative is 0.)
CUT = [
    "np.imag(np.log({d}))", "np.real(np.sqrt({d}))", "np.angle({d})", "np.abs({d})", "np.real({d} ** 0.7)",
    "np.imag(np.log1p({d}))", "np.real(1 / {d})", "np.real(np.arctan({d} / 9))",
    "np.real(np.reciprocal({d}))", "np.imag(np.exp(np.log({d}) / 2))", "np.real(np.log10({d}))",
]  # fmt: skip


def complexes(draw: Any, names: list[str], a: str, u: Array) -> Step:
    """Through complex intermediates, real at the end."""
    b = draw(st.sampled_from(names))
    if draw(st.booleans()):
        return draw(st.sampled_from(COMPLEX)).format(a=a, c=f"({a} + 1j * {b})"), True
    text = draw(st.sampled_from(CUT)).format(d=f"(0.8 + {a} * {a} + 1j * {b})")
    # A modulus is also made of square roots, whose own derivatives are kinked on the axes.
    return text, f"away({b}, 0.0)"


def series(draw: Any, names: list[str], a: str, u: Array) -> Step:
    """Sequences along an axis: differences, sums and products, convolutions, polynomials."""
    b, n = draw(st.sampled_from(names)), u.ndim
    mode = draw(st.sampled_from(["full", "same", "valid"]))
    flat, other = f"np.ravel({a})", f"np.ravel({b})"
    number = draw(st.integers(0, 3))
    some = f"{a}.size * {b}.size"
    # JAX: no polynomials of no coefficients; NaN in derivatives of a power of 0, in vander. NumPy's
    # polymul drops leading zeros, JAX cannot.
    choices: list[Step] = [
        (f"np.ediff1d({a})", True), (f"np.ediff1d({a}, to_begin=0.5, to_end=numpy.array([1.0, 2.0]))", True),
        (f"np.convolve({flat}, {other}, '{mode}')", True), (f"np.correlate({flat}, {other}, '{mode}')", True),
        (f"np.cumprod({a})", True), (f"np.polyval({flat}, {b} / 3)", True), (f"np.polyadd({flat}, {other})", some),
        (f"np.polysub({flat}, {other})", some), (f"np.polymul({flat}, {other})", f"away({flat}, 0.0) and away({other}, 0.0) and {some}"),
        (f"np.polyder({flat}, {number})", True), (f"np.polyint({flat}, {number})", True),
        (f"np.vander({flat}, {number})", away(u, 0.0)), (f"np.vander({flat}, 3, increasing=True)", away(u, 0.0)),
        (f"np.kron({a}, {b})", True), (f"np.diff({flat}, {number})", True), (f"np.gradient({flat}, 0.7)", True),
        (f"np.interp({a}, numpy.array([-1.0, 0.1, 0.7, 2.0]), np.sin({flat}[:4]))", f"away({a}, -1.0, 0.1, 0.7, 2.0)"),
        (f"np.trapezoid({flat}, dx=0.3)", u.size > 0), (f"np.trapezoid({flat}, np.cos({flat}))", u.size > 0),
        (f"np.unwrap({flat} * 2, period=1.7)", f"steady({flat} * 2, 1.7)"),
        (f"np.cross({flat}[:3], {other}[-3:])", True), (f"np.cumulative_prod({flat}, include_initial=True)", True),
        (f"np.cov({flat}, {flat} ** 2)", u.size > 1), (f"np.cov({flat}, ddof=0)", u.size > 1),
        (f"np.corrcoef({flat}, np.sin({flat}[::-1]))", u.size > 2 and apart(u)),
        (f"np.average({flat}, weights=1.5 + {flat} ** 2)", u.size > 0),
    ]  # fmt: skip
    if n:
        k, m = draw(st.integers(-n, n - 1)), u.shape[-1]
        choices += [
            (f"np.diff({a}, axis={k})", True), (f"np.diff({a}, 2, axis={k}, prepend=0.5)", True),
            (f"np.gradient({a}, axis={k})", True), (f"np.gradient({a}, numpy.arange({u.shape[k]}.0) ** 1.5, axis={k})", True),
            (f"np.cumprod({a}, axis={k})", True), (f"np.trapezoid({a}, dx=0.5, axis={k})", u.size > 0),
            (f"np.average({a}, axis={k}, weights=numpy.arange(1.0, {u.shape[k] + 1}))", u.size > 0),
            (f"np.cumulative_sum({a}, axis={k}, include_initial=True)", True),
            (f"np.add.reduce({a}, axis={k})", True), (f"np.multiply.reduce({a}, axis={k})", True),
            (f"np.apply_along_axis(lambda row: row * row[0], {k}, {a})", True),
            (f"np.polyfit(numpy.arange({u.shape[0]}.0), {a}, {min(number, 2)})", u.shape[0] > 2),
        ]  # fmt: skip
    if n == 2:
        choices += [
            (f"np.cov({a})", m > 1), (f"np.cov({a}, rowvar=False, ddof=0)", len(u) > 1),
            (f"np.matvec({a}, {b})", True), (f"np.vecmat({b}, {a})", True), (f"np.cross({a}, {b})", m == 3),
            (f"np.corrcoef({a})", m > 2 and apart(u)),
        ]  # fmt: skip
    return draw(st.sampled_from(choices))


def assembly(draw: Any, names: list[str], a: str, u: Array) -> Step:
    """New arrays out of parts of others."""
    b, n, number = draw(st.sampled_from(names)), u.ndim, draw(st.integers(0, 3))
    at = number % max(u.size, 1)
    choices = [
        f"np.block([{a}, {a} * {a}])", f"np.block([[{a}], [np.cos({a})]])", f"np.append({a}, {b})",
        f"np.insert({a}, {at}, 0.3)", f"np.insert(np.ravel({a}), {at}, np.sum({b}))", f"np.delete({a}, {at})",
        f"np.resize({a}, ({number + 1}, 2))", f"np.column_stack([{a}, np.sin({a})])", f"np.dstack([{a}, {b}])",
        f"np.diagflat({a})", f"np.full_like({a}, 0.3) * {a}",
        f"np.choose(numpy.array([1, 0]), [np.ravel({a})[:2], np.ravel({b})[:2]], mode='clip')",
        f"np.zeros_like({a}) - {a}",
        f"np.broadcast_arrays({a}, {b})[0] * {b}", f"np.where(np.ones_like({a}) > 0, {b}, {a})",
    ]  # fmt: skip
    if n:
        k, m = draw(st.integers(-n, n - 1)), u.shape[0]
        mode = draw(st.sampled_from(["reflect", "symmetric", "wrap"]))
        choices += [
            f"np.append({a}, {a}, axis={k})", f"np.rollaxis({a}, {k})", f"np.unstack({a}, axis={k})[0]",
            f"np.insert({a}, 0, 0.7, axis={k})", f"np.delete({a}, -1, axis={k})", f"np.matrix_transpose(np.atleast_2d({a}))",
            f"np.pad({a}, 1, mode='{mode}')", f"np.split({a}, [{min(u.shape[k], 1)}], axis={k})[0]",
            f"np.select([numpy.arange({m}) == 0, numpy.arange({m}) == 2], [{a}.T, 0.5], {a}.T ** 2)",
            f"np.apply_over_axes(np.sum, {a}, [{k}])",
        ]  # fmt: skip
    return draw(st.sampled_from(choices)), True


def product(draw: Any, names: list[str], a: str, u: Array) -> Step:
    """Products with constant arrays."""
    seed, n = draw(st.integers(0, 99)), u.ndim
    m, first = (u.shape[-1], u.shape[0]) if n else (1, 1)

    def c(*shape: int) -> str:
        return f"numpy.random.default_rng({seed}).uniform(-1, 1, {shape})"

    choices = [f"np.multiply.outer({c(3)}, {a})", f"np.tensordot({c(2)}, {a}, axes=0)"]
    if n:
        choices += [
            f"np.tensordot({c(4, first)}, {a}, axes=1)", f"{a} @ {c(m, 2)}",
            f"np.einsum('ni,...i->n...', {c(5, m)}, {a})", f"np.einsum('ni,i...->...n', {c(3, first)}, {a})",
            f"np.abs(np.tensordot({c(3, first)} + 0.7j, {a}, axes=1) + 9j)", f"np.tensordot({c(2, 3, first)}, {a}, axes=1)",
            f"np.real(np.conj(np.tensordot({c(3, first)} * (0.3 + 0.7j), {a}, axes=1)) ** 2)",
        ]  # fmt: skip
    if n == 2:
        choices += [
            f"{c(5, m)} @ {a}.T", f"{a}.T @ {c(first, 3)}", f"np.einsum('nip,ik->nkp', {c(2, first, 2)}, {a})",
            f"np.einsum('nij,ij->n', {c(4, first, m)}, {a})", f"np.einsum('ij,ijk->ik', {a}, {c(first, m, 3)})",
            f"np.einsum('nik,ij,k->nj', {c(2, first, 2)}, {a}, {c(2)})", f"np.einsum('ni,ik->kn', {c(4, first)}, {a})",
            f"{c(2, 1, first)} @ {a}", f"{c(1, first)} @ {a} + {a}", f"{c(3, first)} @ {a} @ {c(m, 2)}",
        ]  # fmt: skip
    if n == 3:
        choices += [
            f"np.einsum('nij,ijk->nk', {c(4, *u.shape[:2])}, {a})", f"np.einsum('nj,ijk->nik', {c(3, u.shape[1])}, {a})",
            f"np.einsum('nki,kij->nkj', {c(2, *u.shape[:2])}, {a})", f"np.einsum('nk,ijk->jni', {c(3, m)}, {a})",
        ]  # fmt: skip
    return draw(st.sampled_from(choices)), True


STEPS = [elementwise, elementwise, elementwise, kinked, kinked, reduction, missing, ordering, constant,
         structure, structure, indexing, binary, binary, binary, extremum, contraction, contraction,
         algebra, algebra, fourier, complexes, series, series, assembly]  # fmt: skip

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
    "np.linalg.solve({S}, {b}[:, :{n}, None])[:, :, 0]", "np.linalg.inv({S})[:, 0]", "np.linalg.cholesky({S})[:, -1]",
    "np.linalg.slogdet({S})[1][:, None] * {b}", "np.linalg.matrix_power({S} / 3, 2)[:, :, 0]",
    "np.linalg.norm({a}, axis=1, keepdims=True) + {b}", "np.linalg.eigvalsh({S})", "np.fft.irfft({a}, axis=1)",
    "np.abs(np.fft.fft({a} + 3, axis=1)) ** 2 / 9", "np.real(np.fft.ifft({a} ** 2 + 1j * {a}, axis=-1))",
    "np.real(({a} + 2j) ** 3 / 9)", "np.sort({a}, axis=1)", "np.median({a}, axis=1, keepdims=True)",
    "np.quantile({a}, 0.37, axis=-1, keepdims=True)", "np.diff({a}, axis=1)", "np.cumprod({a}, axis=1)",
    "np.gradient({a}, axis=1)", "np.insert({a}, 0, 0.5, axis=1)", "np.nanmean({a}, axis=1, keepdims=True)",
    "np.vander(np.ravel({a})[::{n}], 3)", "np.trapezoid({a}, axis=1)[:, None]",
    "np.var({a}, axis=1, keepdims=True)", "np.linalg.svdvals({S})", "np.matvec({S}, {a})",
]  # fmt: skip
KINKS: dict[str, str] = {  # what to ask of the operand where the text has such a word
    "where": "away({a}, 0.3)", "norm(": "numpy.size({a}) and away({a}, 0.0)", "vander": "away({a}, 0.0)", "sort": "apart({a}, 1)",
    "median": "apart({a}, 1)", "quantile": "apart({a}, 1)", "eig": "simple(numpy.linalg.eigvalsh({S}))",
    "svd": "simple(numpy.linalg.eigvalsh({S}))",
}  # fmt: skip
