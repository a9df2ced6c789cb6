"""Differences, running products, convolution, interpolation, and some of one number.

Those of one number are what NumPy has not as ufuncs, and what is flat or linear between steps.
"""

from __future__ import annotations

from collections.abc import Callable
from math import factorial, pi
from typing import Any

import numpy as np

from lazyhess._indices import Array
from lazyhess._maps import Gather, Map, Scatter
from lazyhess._primitives.base import (
    Elementwise,
    astype,
    implements,
    nested,
    one_axis,
    options,
    structural,
)
from lazyhess._primitives.reduce import cumsum, given
from lazyhess._primitives.shape import flip
from lazyhess._record.primitive import METHODS, Primitive, refuse_out
from lazyhess._record.variable import Variable, record, value_of

_NONE: Any = np._NoValue


# --- functions of one number ----------------------------------------------------------------------
class Derivative(Elementwise):
    """A derivative of a function that has all its derivatives at hand: ``function(order, x)``."""

    def __init__(self, function: Callable[[int, Any], Any], order: int) -> None:
        self.name = function.__name__ + "'" * order
        self.function = function
        self.order = order
        self.first = (lambda z, x: derivative(function, order + 1, x),)
        self.second = {(0, 0): lambda z, x: derivative(function, order + 2, x)}

    def __reduce__(self) -> Any:
        return Derivative, (self.function, self.order)

    def value(self, *args: Any) -> Array:
        return np.asarray(self.function(self.order, *args))


def derivative(function: Callable[[int, Any], Any], order: int, x: Any) -> Any:
    """A derivative, recorded for a Variable."""
    if isinstance(x, Variable):
        return record(Derivative(function, order), x)
    return function(order, x)


def _sinc(order: int, x: Any) -> Any:
    """Derivatives of sin(t) / t with t = pi x.

    Away from 0 from one to the next, since t f(t) = sin(t) has the n-th derivative
    t f⁽ⁿ⁾ + n f⁽ⁿ⁻¹⁾; near 0, where that cancels, by the power series.
    """
    if not order:
        return np.sinc(x)
    t = pi * x
    small = np.abs(t) < 1 + order / 2
    far = np.where(small, 1, t)
    near = np.where(small, t, 0)
    # The whole turns are left out before pi rounds them.
    whole = np.rint(x)
    sign = np.where(whole % 2 == 0, 1, -1).astype(t.dtype)
    sine, cosine = sign * np.sin(pi * (x - whole)), sign * np.cos(pi * (x - whole))
    made = sine / far
    for n in range(1, order + 1):
        made = ((sine, cosine, -sine, -cosine)[n % 4] - n * made) / far
    series, square = 0.0 * near, near * near
    for k in reversed(range((order + 1) // 2, order + 14)):
        power = 2 * k - order
        series = series * square + (-1) ** k / ((2 * k + 1) * factorial(power))
    return np.where(small, series * near if order % 2 else series, made) * pi**order


def _i0(order: int, x: Any) -> Any:
    """Derivatives of the modified Bessel function: means of cos(a)ⁿ exp(x cos(a)) over the circle.

    The trapezoidal rule has them exactly, with a few more points than the integrand has harmonics.
    Points opposite each other are taken together, and exp(|x|) apart, so that nothing cancels.
    """
    if not order:
        return np.i0(x)
    size = np.abs(x)
    bounded = np.where(np.isinf(size), 1, size)
    largest = float(np.max(bounded, initial=0.0, where=~np.isnan(bounded)))
    points = 4 * int(8 + order + 3 * np.sqrt(min(largest, 750.0)))
    made = 0.0 * bounded
    for k in range(points // 4 + 1):
        angle = 2 * pi * k / points
        cosine = float(np.cos(angle)) if 4 * k < points else 0.0
        share = (1 if k in (0, points // 4) else 2) / points * cosine**order
        twice = -2 * cosine * bounded
        pair = -np.expm1(twice) if order % 2 else 1 + np.exp(twice)
        made = made + share * np.exp(-2 * float(np.sin(angle / 2)) ** 2 * bounded) * pair
    made = made * np.exp(size)
    return np.where(x < 0, -made, made) if order % 2 else made


@implements(np.sinc)
def sinc(x: Any) -> Any:
    """`numpy.sinc`."""
    return derivative(_sinc, 0, x)


@implements(np.i0)
def i0(x: Any) -> Any:
    """`numpy.i0`."""
    return derivative(_i0, 0, x)


Elementwise(
    np.copysign,
    (
        lambda z, x, y: np.where(np.signbit(x) == np.signbit(y), z.dtype.type(1), z.dtype.type(-1)),
        0,
    ),
)
Elementwise(np.ldexp, (lambda z, x, n: np.ldexp(z.dtype.type(1), value_of(n)), 0))
Elementwise(np.nextafter, (1, 0))
Elementwise(np.spacing, (0,))


@implements(np.frexp)
def frexp(x: Any, **kwargs: Any) -> Any:
    """`numpy.frexp`: the mantissa is the number times a power of two that stays."""
    (x,) = options("frexp", (x,), kwargs)
    _, exponent = np.frexp(value_of(x))
    # In two steps: the power of two alone may overflow.
    half = exponent // 2
    return np.ldexp(np.ldexp(x, -half), half - exponent), exponent


class Rounded(Primitive):
    """Rounded to some decimals: constant between its steps."""

    name = "round"

    def __init__(self, decimals: int) -> None:
        self.decimals = decimals

    def value(self, *args: Any) -> Array:
        return np.asarray(np.round(args[0], self.decimals))

    def jacobian(self, k: int, args: tuple[Any, ...], out: Array) -> Map | None:
        return None


@implements(np.round, np.around)
def round_(a: Any, decimals: int = 0, out: Any = None) -> Any:
    """`numpy.round`."""
    if out is not None:
        refuse_out("round")
    return record(Rounded(int(decimals)), a)


@implements(np.fix)
def fix(x: Any, out: Any = None, **kwargs: Any) -> Any:
    """`numpy.fix`."""
    if out is not None:
        refuse_out("fix")
    return np.trunc(x, **kwargs)


@implements(np.unwrap)
def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2 * pi) -> Any:
    """`numpy.unwrap`: a whole number of periods is added to each element."""
    value, length = value_of(p), value_of(period)
    unwrapped = np.unwrap(value, value_of(discont), axis, period=length)
    with np.errstate(invalid="ignore"):
        times = np.rint((unwrapped - value) / length)
    # NaN spoils all that comes after it, as in NumPy.
    return p + times.astype(p.dtype) * period


# --- differences and integrals --------------------------------------------------------------------
@implements(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = _NONE, append: Any = _NONE) -> Any:
    """`numpy.diff`."""
    if n == 0:
        return a
    if n < 0:
        raise ValueError(f"order must be non-negative but got {n!r}")
    a = nested(a)
    if not a.ndim:
        raise ValueError("diff requires input that is at least one dimensional")
    axis = one_axis(axis, a.ndim)
    parts = [nested(part) if part is not a else a for part in (prepend, a, append) if given(part)]
    thin = tuple(1 if k == axis else m for k, m in enumerate(a.shape))
    if len(parts) > 1:
        parts = [part if part.ndim else np.broadcast_to(part, thin) for part in parts]
        a = np.concatenate(parts, axis)
    lead = (slice(None),) * axis
    for _ in range(n):
        a = a[(*lead, slice(1, None))] - a[(*lead, slice(None, -1))]
    return a


@implements(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """`numpy.ediff1d`."""
    ary = np.ravel(nested(ary))
    parts = [ary[1:] - ary[:-1]]
    if to_begin is not None:
        parts.insert(0, np.ravel(nested(to_begin)))
    if to_end is not None:
        parts.append(np.ravel(nested(to_end)))
    return astype(np.concatenate(parts), ary.dtype) if len(parts) > 1 else parts[0]


@implements(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """`numpy.gradient`: each axis with the parabola through three neighbours."""
    f = nested(f)
    if f.dtype.kind not in "fc":
        f = astype(f, np.float64)
    axes = (
        tuple(range(f.ndim))
        if axis is None
        else np.lib.array_utils.normalize_axis_tuple(axis, f.ndim)
    )
    spacings = [nested(x) if not np.isscalar(x) else x for x in varargs]
    if not spacings:
        spacings = [1.0] * len(axes)
    elif len(spacings) == 1 and np.ndim(value_of(spacings[0])) == 0:
        spacings = spacings * len(axes)
    elif len(spacings) != len(axes):
        raise TypeError("invalid number of arguments")
    if edge_order > 2:
        raise ValueError("'edge_order' greater than 2 not supported")
    made = tuple(_slope(f, x, k, edge_order) for k, x in zip(axes, spacings, strict=True))
    return made[0] if len(axes) == 1 else made


def _slope(f: Any, spacing: Any, axis: int, edge_order: int) -> Any:
    """The derivative along one axis, for a fixed distance or for coordinates."""
    n = f.shape[axis]
    ndim = np.ndim(value_of(spacing))
    if ndim > 1:
        raise ValueError("distances must be either scalars or 1d")
    if ndim and len(spacing) != n:
        raise ValueError("when 1d, distances must match the length of the corresponding dimension")
    if n < edge_order + 1:
        raise ValueError(
            "Shape of array too small to calculate a numerical gradient, "
            "at least (edge_order + 1) elements are required."
        )
    y = np.moveaxis(f, axis, -1)
    step = spacing
    if ndim:
        step = astype(spacing, np.float64) if spacing.dtype.kind in "iu" else spacing
        step = step[1:] - step[:-1]
    slope = (y[..., 1:] - y[..., :-1]) / step
    if ndim:
        before, after = step[:-1], step[1:]
        inner = (after * slope[..., :-1] + before * slope[..., 1:]) / (before + after)
    else:
        inner = (y[..., 2:] - y[..., :-2]) / (2.0 * step)
    first, last = slope[..., :1], slope[..., -1:]
    if edge_order == 2:
        # The slope at the end of the parabola through the last three points.
        if ndim:
            first = _end(slope[..., :2], step[0], step[1])
            last = _end(slope[..., :-3:-1], step[-1], step[-2])
        else:
            first, last = 2 * first - inner[..., :1], 2 * last - inner[..., -1:]
    made = np.concatenate([first, inner, last], axis=-1)
    return np.moveaxis(astype(made, f.dtype), -1, axis)


def _end(slopes: Any, near: Any, far: Any) -> Any:
    """The slope at the end of a parabola through two intervals, from the slopes of its chords."""
    bend = (slopes[..., :1] - slopes[..., 1:]) / (near + far)
    return slopes[..., :1] + near * bend


@implements(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """`numpy.trapezoid`."""
    y = nested(y)
    axis = one_axis(axis, y.ndim)
    lead = (slice(None),) * axis
    width = dx
    if x is not None:
        x = nested(x)
        width = diff(x, axis=-1 if x.ndim == 1 else axis - y.ndim)
        if x.ndim == 1:
            width = np.reshape(width, (-1,) + (1,) * (y.ndim - 1 - axis))
    both = y[(*lead, slice(1, None))] + y[(*lead, slice(None, -1))]
    return np.sum(width * both / 2.0, axis=axis)


# --- running sums and products --------------------------------------------------------------------
@implements(np.cumprod)
def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """`numpy.cumprod`, by products of pairs: exact where factors are zero."""
    if out is not None:
        refuse_out("cumprod")
    a = a if dtype is None else astype(a, dtype)
    if axis is None:
        a, axis = np.ravel(a), 0
    axis = one_axis(axis, a.ndim)
    return np.moveaxis(_running(np.moveaxis(a, axis, 0)), 0, axis)


def _running(a: Any) -> Any:
    """The running product along the first axis, from that of the products of pairs."""
    if len(a) < 2:
        return a
    whole = len(a) // 2 * 2
    odd = _running(a[:whole:2] * a[1::2])
    even = np.concatenate([a[:1], odd[: len(a[2::2])] * a[2::2]])
    pairs = np.stack([even[: len(odd)], odd], axis=1)
    made = np.reshape(pairs, (whole, *a.shape[1:]))
    return np.concatenate([made, even[-1:]]) if whole < len(a) else made


def _cumulative(function: Callable[..., Any], running: Any, start: float) -> Any:
    def cumulative(
        x: Any,
        /,
        *,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        include_initial: bool = False,
    ) -> Any:
        if out is not None:
            refuse_out(function.__name__)
        if axis is None:
            if x.ndim > 1:
                raise ValueError(
                    "For arrays which have more than one dimension ``axis`` argument is required."
                )
            x, axis = np.atleast_1d(x), 0
        made = running(x, axis, dtype)
        if include_initial:
            thin = tuple(1 if k == one_axis(axis, x.ndim) else n for k, n in enumerate(x.shape))
            made = np.concatenate([np.full(thin, start, made.dtype), made], axis)
        return made

    cumulative.__doc__ = f"`numpy.{function.__name__}`."
    return cumulative


implements(np.cumulative_sum)(_cumulative(np.cumulative_sum, cumsum, 0.0))
implements(np.cumulative_prod)(_cumulative(np.cumulative_prod, cumprod, 1.0))
METHODS[np.multiply, "accumulate"] = lambda a, axis=0, dtype=None, out=None: cumprod(a, axis, dtype)


def _add_reduceat(a: Any, indices: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
    """`numpy.add.reduceat`."""
    a = a if dtype is None else astype(a, dtype)
    axis = one_axis(axis, a.ndim)
    n = a.shape[axis]
    starts = np.asarray(value_of(indices))
    np.add.reduceat(np.zeros(n), starts)  # NumPy checks the indices
    ends = np.append(starts[1:], n)
    lengths = np.where(ends > starts, ends - starts, 1)
    segment = np.repeat(np.arange(len(starts)), lengths)
    within = np.arange(len(segment)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    lead = (slice(None),) * axis
    parts = a[(*lead, starts[segment] + within)]
    shape = (*a.shape[:axis], len(starts), *a.shape[axis + 1 :])
    return structural("reduceat", parts, Scatter(Gather(shape, (*lead, segment), parts.shape)))


METHODS[np.add, "reduceat"] = _add_reduceat


# --- convolution ----------------------------------------------------------------------------------
_MODES = {"valid": 0, "same": 1, "full": 2, 0: 0, 1: 1, 2: 2}


def _correlated(long: Any, short: Any, mode: Any) -> Any:
    """The products of `short` with the windows of `long`."""
    n, m = len(long), len(short)
    if mode not in _MODES:
        raise ValueError(f"mode must be one of 'valid', 'same', or 'full' (got {mode!r})")
    # How far the first and the last window reach out of `long`.
    before = (0, m // 2, m - 1)[_MODES[mode]]
    after = (0, m - 1 - m // 2, m - 1)[_MODES[mode]]
    if before or after:
        long = np.concatenate([np.zeros(before, long.dtype), long, np.zeros(after, long.dtype)])
    count = n + before + after - m + 1
    finite = np.isfinite(value_of(short)).all()
    if count > 16 * m and finite:
        # A few long products, rather than a copy of each window.
        return sum(long[k : k + count] * short[k] for k in range(m))
    at = np.arange(count)[:, None] + np.arange(m)
    windows = long[at]
    if (before or after) and not finite:
        # The zeros put around are not there: an infinity must not meet them.
        inside = (at >= before) & (at < before + n)
        return np.sum(np.where(inside, windows * short, 0.0), axis=-1)
    return windows @ short


def _sequences(name: str, *items: Any) -> list[Any]:
    made = [np.atleast_1d(nested(item)) for item in items]
    for item, letter in zip(made, "av", strict=True):
        if item.ndim > 1:
            raise ValueError(f"{name} takes sequences, got {letter} of shape {item.shape}")
        if not len(item):
            raise ValueError(f"{letter} cannot be empty")
    return made


@implements(np.correlate)
def correlate(a: Any, v: Any, mode: Any = "valid") -> Any:
    """`numpy.correlate`."""
    a, v = _sequences("correlate", a, v)
    v = np.conjugate(v) if v.dtype.kind == "c" else v
    return _correlated(a, v, mode) if len(a) >= len(v) else flip(_correlated(v, a, mode))


@implements(np.convolve)
def convolve(a: Any, v: Any, mode: Any = "full") -> Any:
    """`numpy.convolve`."""
    a, v = _sequences("convolve", a, v)
    long, short = (a, v) if len(a) >= len(v) else (v, a)
    return _correlated(long, short[::-1], mode)


# --- interpolation --------------------------------------------------------------------------------
@implements(np.interp)
def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    """`numpy.interp`, with the slope of the interval to the right at a point between two."""
    fp = nested(fp)
    kind = np.complex128 if fp.dtype.kind == "c" else np.float64
    x, xp, fp = astype(nested(x), np.float64), astype(nested(xp), np.float64), astype(fp, kind)
    np.interp(np.zeros(0), value_of(xp), value_of(fp))  # NumPy checks the shapes
    if period is not None:
        if value_of(period) == 0:
            raise ValueError("period must be a non-zero value")
        period = abs(period)
        x, xp = x % period, xp % period
        order = np.argsort(value_of(xp))
        xp, fp = xp[order], fp[order]
        xp = np.concatenate([xp[-1:] - period, xp, xp[:1] + period])
        fp = np.concatenate([fp[-1:], fp, fp[:1]])
        left = right = None
    at, knots = value_of(x), value_of(xp)
    below, above = at < knots[0], at > knots[-1]
    if len(knots) == 1:
        made = fp[0] + (x - x)
    else:
        low = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, len(knots) - 2)
        start, base = xp[low], fp[low]
        width = xp[low + 1] - start
        # Of equal knots the last one counts.
        none = value_of(width) == 0
        if none.any():
            width, start = np.where(none, 1.0, width), np.where(none, x - 1.0, start)
        # Outside, the distance is of no use, and may be infinite.
        if np.any(below | above):
            x = np.where(below | above, start, x)
        made = base + (fp[low + 1] - base) * ((x - start) / width)
    if below.any():
        made = np.where(below, fp[0] if left is None else left, made)
    if above.any():
        made = np.where(above, fp[-1] if right is None else right, made)
    return made


# --- products of vectors --------------------------------------------------------------------------
@implements(np.cross)
def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None
) -> Any:
    """`numpy.cross`."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = nested(a), nested(b)
    if not a.ndim or not b.ndim:
        raise ValueError("At least one array has zero dimension")
    a, b = np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1)
    sizes = a.shape[-1], b.shape[-1]
    if not {*sizes} <= {2, 3}:
        raise ValueError("incompatible dimensions for cross product\n(dimension must be 2 or 3)")
    if sizes == (2, 2):
        return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    # A vector in the plane has a third component of zero.
    a, b = (
        x if x.shape[-1] == 3 else np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, 1)]) for x in (a, b)
    )
    after, before = [1, 2, 0], [2, 0, 1]
    made = a[..., after] * b[..., before] - a[..., before] * b[..., after]
    return np.moveaxis(made, -1, axisc)


@implements(np.linalg.cross)
def linalg_cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """`numpy.linalg.cross`."""
    x1, x2 = nested(x1), nested(x2)
    if x1.shape[axis] != 3 or x2.shape[axis] != 3:
        raise ValueError(
            "Both input arrays must be (arrays of) 3-dimensional vectors, "
            f"but they are {x1.shape[axis]} and {x2.shape[axis]} dimensional instead."
        )
    return cross(x1, x2, axis=axis)


if hasattr(np, "matvec"):  # since NumPy 2.2

    @implements(np.matvec)
    def matvec(x1: Any, x2: Any, /, **kwargs: Any) -> Any:
        """`numpy.matvec`."""
        x1, x2 = options("matvec", (x1, x2), kwargs)
        return np.matmul(x1, nested(x2)[..., None])[..., 0]

    @implements(np.vecmat)
    def vecmat(x1: Any, x2: Any, /, **kwargs: Any) -> Any:
        """`numpy.vecmat`."""
        x1, x2 = (nested(x) for x in options("vecmat", (x1, x2), kwargs))
        x1 = np.conjugate(x1) if x1.dtype.kind == "c" else x1
        return np.matmul(x1[..., None, :], x2)[..., 0, :]


# --- functions of functions -----------------------------------------------------------------------
@implements(np.apply_along_axis)
def apply_along_axis(
    func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any
) -> Any:
    """`numpy.apply_along_axis`."""
    axis = one_axis(axis, arr.ndim)
    lanes = np.moveaxis(arr, axis, -1)
    lead = lanes.shape[:-1]
    made = [nested(func1d(lanes[at], *args, **kwargs)) for at in np.ndindex(lead)]
    if not made:
        raise ValueError("Cannot apply_along_axis when any iteration dimensions are 0")
    shape = made[0].shape
    whole = np.reshape(np.stack(made), lead + shape)
    ends = range(len(lead), len(lead) + len(shape))
    return np.moveaxis(whole, list(ends), list(range(axis, axis + len(shape))))


@implements(np.apply_over_axes)
def apply_over_axes(func: Callable[..., Any], a: Any, axes: Any) -> Any:
    """`numpy.apply_over_axes`."""
    for axis in np.atleast_1d(axes):
        axis = one_axis(int(axis), a.ndim)
        made = func(a, axis)
        if made.ndim != a.ndim:
            made = np.expand_dims(made, axis)
        if made.ndim != a.ndim:
            raise ValueError("function is not returning an array of the correct shape")
        a = made
    return a
