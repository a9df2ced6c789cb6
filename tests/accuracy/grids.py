"""Where elementwise rules are measured: for each function hard points and exact formulas.

A module of this package whose name ends in ``grids`` adds its own functions to `GRIDS`; the tests
and the page find it there. Exact formulas get and give mpmath numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import mpmath
import numpy as np

mp = mpmath.mp
Exact = Callable[..., Any]
# A number, or one that depends on the dtype: a function of its `numpy.finfo`.
Point = float | Callable[[Any], float]
# What is measured: () the value, (k,) a first and (k, l) a second partial derivative.
Quantity = tuple[int, ...]


@dataclass(frozen=True)
class Axis:
    """The values of one operand: all magnitudes, moderate ones, and those near special points.

    Parameters
    ----------
    low, high : Point
        What is outside of these is left out.
    near : sequence of Point
        Poles, zeros, ends of the range: each is there itself, with its neighbours by 1, 2 and 5
        ulp and those at a distance of every power of two down to an ulp.
    also : sequence of Point
        Single values: the worst that searches found.
    count : int
        How many of each kind, about.
    whole : bool
        Whether the operand is an integer: all from `low` to `high`.
    """

    low: Point = -np.inf
    high: Point = np.inf
    near: Sequence[Point] = ()
    also: Sequence[Point] = ()
    count: int = 60
    whole: bool = False

    def points(self, dtype: Any) -> np.ndarray:
        """The values, in a dtype."""
        if self.whole:
            return np.arange(self.low, self.high + 1, dtype=np.int32)
        dtype = np.dtype(dtype)
        info = np.finfo(dtype)
        rng = np.random.default_rng(7)
        low, high = (_at(end, info) for end in (self.low, self.high))
        least, most = np.log(float(info.tiny)), np.log(float(info.max))
        parts = [
            _both(np.exp(np.linspace(least, most * 0.9999, self.count))),
            _both(np.exp(rng.uniform(least, most, self.count))),
            _both(np.exp(rng.uniform(-3, 3, self.count))),
            rng.uniform(max(low, -10), min(high, 10), self.count) if low < 10 else np.empty(0),
            [_at(point, info) for point in self.also],
        ]
        steps = max(self.count // 8, 4)
        parts += [list(_around(dtype.type(_at(point, info)), info, steps)) for point in self.near]
        with np.errstate(over="ignore", under="ignore"):
            found = np.unique(np.concatenate([np.asarray(part, dtype) for part in parts]))
            keep = np.isfinite(found) & (found >= low) & (found <= high) & (found != 0)
        return np.concatenate([found[keep], np.zeros(1, dtype)[: int(low <= 0 <= high)]])


def _at(point: Point, info: Any) -> float:
    return float(point(info) if callable(point) else point)


def _both(magnitudes: np.ndarray) -> np.ndarray:
    return np.concatenate([-magnitudes, magnitudes])


def _around(point: Any, info: Any, steps: int) -> Iterator[Any]:
    """A point, its neighbours, and points at distances that shrink to an ulp."""
    yield point
    for sign in (-1, 1):
        for ulps in (1, 2, 5):
            yield point + point.dtype.type(sign * ulps) * np.spacing(abs(point))
        for power in np.linspace(1, info.nmant, steps):
            yield point * point.dtype.type(1 + sign * 2.0**-power)


@dataclass(frozen=True)
class Grid:
    """How a function is measured.

    Parameters
    ----------
    value : callable
        The function, of mpmath numbers.
    axes : tuple of Axis
        The values of each operand; all combinations of them are points.
    first : tuple of callable, optional
        The exact first partial derivatives; by differences of `value` where left out.
    second : dict of (k, l) -> callable, optional
        The exact second partial derivatives, with k <= l; by differences where left out.
    pairs : callable, optional
        More points: given a dtype, the operands as arrays.
    within : callable, optional
        Given the operands as arrays, where the function is defined.
    scale : dict of quantity -> callable
        The size of the terms that cancel, where an error is counted in ulps of that and not of
        the exact result alone.
    carried : set of quantity
        Derivatives that the rule makes of the value itself; they are not measured where that is
        subnormal, since it has lost its digits already.
    headroom : float
        Points where the value is within this factor of the largest number are left out: what the
        rule multiplies it by is too large there, before the result is.
    bounds : dict of (quantity, dtype name) -> float
        Bounds other than `BOUND`, for what is NumPy's own.
    """

    value: Exact
    axes: tuple[Axis, ...]
    first: tuple[Exact | None, ...] | None = None
    second: dict[tuple[int, int], Exact] | None = None
    pairs: Callable[[Any], tuple[np.ndarray, ...]] | None = None
    within: Callable[..., np.ndarray] | None = None
    scale: dict[Quantity, Exact] = field(default_factory=dict)
    carried: frozenset[Quantity] = frozenset()
    headroom: float = 1
    bounds: dict[tuple[Quantity, str], float] = field(default_factory=dict)

    def operands(self, dtype: Any) -> tuple[np.ndarray, ...]:
        """All points, one array for each operand."""
        columns = [axis.points(dtype) for axis in self.axes]
        points = [
            np.array(column, of.dtype)
            for column, of in zip(zip(*product(*columns), strict=True), columns, strict=True)
        ]
        if self.pairs is not None:
            more = self.pairs(np.dtype(dtype))
            points = [np.concatenate([a, b]) for a, b in zip(points, more, strict=True)]
        if self.within is not None:
            with np.errstate(all="ignore"):
                keep = self.within(*points)
            points = [column[keep] for column in points]
        return tuple(points)

    def exact(self, quantity: Quantity) -> Exact:
        """The exact formula of a quantity."""
        if not quantity:
            return self.value
        given: Any
        if len(quantity) == 1:
            given = self.first and self.first[quantity[0]]
        else:
            given = self.second and self.second.get(
                (quantity[0], quantity[1]), lambda *args: mp.zero
            )
        return given or differences(self.value, quantity)


def differences(function: Exact, quantity: Quantity) -> Exact:
    """A partial derivative by differences, in three times the digits."""

    def made(*args: Any) -> Any:
        orders = tuple(quantity.count(k) for k in range(len(args)))
        with mp.workdps(3 * mp.dps):
            step = mp.mpf(10) ** (-mp.dps // 4)
            args = tuple(map(mp.mpmathify, args))

            # Steps relative to each operand: symmetric differences, one operand after the other.
            def along(k: int, at: tuple[Any, ...]) -> Any:
                if k == len(at):
                    return function(*at)
                if not orders[k]:
                    return along(k + 1, at)
                h = step * (abs(at[k]) or 1)
                up, down = (along(k + 1, (*at[:k], at[k] + s * h, *at[k + 1 :])) for s in (1, -1))
                if orders[k] == 1:
                    return (up - down) / (2 * h)
                return (up - 2 * along(k + 1, at) + down) / (h * h)

            return along(0, args)

    return made


def unary(
    value: Exact,
    first: Exact | None = None,
    second: Exact | None = None,
    *axis: Axis,
    **options: Any,
) -> Grid:
    """The grid of a function of one operand; derivatives left out are taken by differences."""
    return Grid(
        value,
        axis or (Axis(),),
        None if first is None else (first,),
        None if second is None else {(0, 0): second},
        **options,
    )


# --- the functions of NumPy -----------------------------------------------------------------------
LN2, LN10 = (lambda: mp.log(2)), (lambda: mp.log(10))


def largest(info: Any) -> float:
    return np.log(float(info.max))


def smallest(info: Any) -> float:
    return np.log(float(info.smallest_subnormal))


def tiny(info: Any) -> float:
    return np.log(float(info.tiny))


def root(info: Any) -> float:
    return float(info.max) ** 0.5


def root_tiny(info: Any) -> float:
    return float(info.tiny) ** 0.5


HALVES = tuple(k * np.pi / 2 for k in (1, 2, 3, 4, 11, 1000, 12345678))
POSITIVE = Axis(0, near=(1, root, root_tiny), count=80)
ANY = Axis(near=(1, -1, root, root_tiny), count=60)


def sech(x: Any) -> Any:
    return 1 / mp.cosh(x)


def one_minus_square(x: Any) -> Any:
    return (1 - x) * (1 + x)


GRIDS: dict[str, Grid] = {
    "square": unary(lambda x: x * x, lambda x: 2 * x, lambda x: mp.mpf(2), ANY),
    "reciprocal": unary(lambda x: 1 / x, lambda x: -1 / x**2, lambda x: 2 / x**3, ANY),
    "sqrt": unary(
        mp.sqrt, lambda x: 1 / (2 * mp.sqrt(x)), lambda x: -1 / (4 * x * mp.sqrt(x)), POSITIVE
    ),
    "cbrt": unary(
        lambda x: mp.sign(x) * mp.cbrt(abs(x)),
        lambda x: mp.cbrt(abs(x)) / (3 * abs(x)),
        lambda x: -2 * mp.sign(x) * mp.cbrt(abs(x)) / (9 * x * x),
        ANY,
    ),
    "absolute": unary(abs, mp.sign, lambda x: mp.zero, ANY),
    "fabs": unary(abs, mp.sign, lambda x: mp.zero, ANY),
    "exp": unary(mp.exp, mp.exp, mp.exp, Axis(near=(1, largest, tiny, smallest), count=80)),
    "exp2": unary(
        lambda x: mp.mpf(2) ** x,
        lambda x: LN2() * mp.mpf(2) ** x,
        lambda x: LN2() ** 2 * mp.mpf(2) ** x,
        Axis(near=(1, lambda info: info.maxexp, lambda info: info.minexp), count=80),
        carried=frozenset({(0,), (0, 0)}),
    ),
    "expm1": unary(mp.expm1, mp.exp, mp.exp, Axis(near=(1, -1, largest, tiny), count=80)),
    "log": unary(mp.log, lambda x: 1 / x, lambda x: -1 / x**2, POSITIVE),
    "log2": unary(
        lambda x: mp.log(x) / LN2(),
        lambda x: 1 / (LN2() * x),
        lambda x: -1 / (LN2() * x**2),
        POSITIVE,
    ),
    "log10": unary(
        lambda x: mp.log(x) / LN10(),
        lambda x: 1 / (LN10() * x),
        lambda x: -1 / (LN10() * x**2),
        POSITIVE,
    ),
    "log1p": unary(
        mp.log1p,
        lambda x: 1 / (1 + x),
        lambda x: -1 / (1 + x) ** 2,
        Axis(-1, near=(-1, 1, -0.5, root), count=80),
    ),
    "sin": unary(mp.sin, mp.cos, lambda x: -mp.sin(x), Axis(near=HALVES, count=80)),
    "cos": unary(mp.cos, lambda x: -mp.sin(x), lambda x: -mp.cos(x), Axis(near=HALVES, count=80)),
    "tan": unary(
        mp.tan,
        lambda x: 1 / mp.cos(x) ** 2,
        lambda x: 2 * mp.sin(x) / mp.cos(x) ** 3,
        Axis(near=HALVES, count=80),
    ),
    "arcsin": unary(
        mp.asin,
        lambda x: 1 / mp.sqrt(one_minus_square(x)),
        lambda x: x / one_minus_square(x) ** mp.mpf(1.5),
        Axis(-1, 1, near=(-1, 1, 0.5), count=80),
    ),
    "arccos": unary(
        mp.acos,
        lambda x: -1 / mp.sqrt(one_minus_square(x)),
        lambda x: -x / one_minus_square(x) ** mp.mpf(1.5),
        Axis(-1, 1, near=(-1, 1, 0.5), count=80),
    ),
    "arctan": unary(mp.atan, lambda x: 1 / (1 + x * x), lambda x: -2 * x / (1 + x * x) ** 2, ANY),
    "sinh": unary(mp.sinh, mp.cosh, mp.sinh, Axis(near=(1, largest), count=80)),
    "cosh": unary(mp.cosh, mp.sinh, mp.cosh, Axis(near=(1, largest), count=80)),
    "tanh": unary(
        mp.tanh,
        lambda x: sech(x) ** 2,
        lambda x: -2 * mp.tanh(x) * sech(x) ** 2,
        Axis(near=(0.5, 1, 19, largest, lambda info: np.log(float(info.max)) / 2), count=80),
    ),
    "arcsinh": unary(
        mp.asinh,
        lambda x: 1 / mp.sqrt(1 + x * x),
        lambda x: -x / (1 + x * x) ** mp.mpf(1.5),
        ANY,
    ),
    "arccosh": unary(
        mp.acosh,
        lambda x: 1 / (mp.sqrt(x - 1) * mp.sqrt(x + 1)),
        lambda x: -x / ((x - 1) * (x + 1)) ** mp.mpf(1.5),
        Axis(1, near=(1, 2, root), count=120),
    ),
    "arctanh": unary(
        mp.atanh,
        lambda x: 1 / one_minus_square(x),
        lambda x: 2 * x / one_minus_square(x) ** 2,
        Axis(-1, 1, near=(-1, 1, 0.5), count=80),
    ),
}

# What searches through millions of random points, and all of float32 in some binades, found worst.
FOUND: dict[str, tuple[float, ...]] = {
    "arcsin": (0.8649353384971619, -0.9672627189371954, 0.9921124577522278, 0.8646763842697882),
    "arccos": (0.8649353384971619, -0.9672627189371954, 0.9921124577522278, 0.8646763842697882),
    "arctan": (7.946558056481457, 7.950532913208008, 1.0038524866104126, 1.7322497367858887),
    "arcsinh": (-7.950934528978775, 7.998560428619385, 3.9172770977020264),
    "arccosh": (3.110215902328491, 4.215945970168279, 1.1193608045578003, 1.0316983461380005),
    "arctanh": (0.4980662167072296, 0.9990214705467224, -0.9841762807217822, 0.7067896723747253),
    "tan": (14.187277450351694, 1.5264260554686473, -14.337605687040638, 4.728376865386963),
    "tanh": (
        4.161092281341553, -18.71761494208431, 6.239765086094508, 0.06277833878993988,
        0.12754192259379016, -0.2728663682937622, -0.2713100179405177, 1.2287720441818237,
    ),
    "cbrt": (0.001209255946172634, 0.0033748376176263896, 4.405498504638672, 4.944528579711914),
    "log1p": (1.003996729850769, 3.0256707668304443, 3.003559486360137),
    "reciprocal": (6.403302192687988, 1.588786248156652, 1.5968042612075806),
    "sqrt": (0.25210208307705084, 1.0061464309692383),
    "exp": (47.4854621887207, 15.597871780395508),
    "expm1": (4.509772300720215, -0.010951538570225239),
    "exp2": (93.04837651243508, -9.778043746948242),
    "sinh": (8.307600021362305, -0.7487867474555969),
    "cosh": (8.308930397033691, -0.7487867474555969),
    "sin": (1.8222575187683105, 2.6394336223602295),
    "cos": (-11.120842933654785, 2.619917392730713),
    "log": (0.7794896364212036,),
    "log2": (0.7485566735267639, 38.836387634277344),
    "log10": (0.7499957084655762, 0.02069968916475773),
}  # fmt: skip
for _name, _points in FOUND.items():
    (_axis,) = GRIDS[_name].axes
    GRIDS[_name] = replace(GRIDS[_name], axes=(replace(_axis, also=_points),))

# --- of two operands ------------------------------------------------------------------------------
COARSE = Axis(also=(1, -1, 2), count=5)


def random_pairs(
    *ranges: tuple[float, float], count: int = 400
) -> Callable[[Any], tuple[np.ndarray, ...]]:
    """Operands drawn independently, each between its bounds."""

    def made(dtype: Any) -> tuple[np.ndarray, ...]:
        rng = np.random.default_rng(8)
        return tuple(rng.uniform(low, high, count).astype(dtype) for low, high in ranges)

    return made


def these(*points: tuple[float, float]) -> Callable[[Any], tuple[np.ndarray, ...]]:
    """Points as they stand: the worst that searches found."""
    return lambda dtype: tuple(np.array(column, dtype) for column in zip(*points, strict=True))


def near_multiples(dtype: Any) -> tuple[np.ndarray, ...]:
    """Operands whose quotient is a whole number, or next to one."""
    rng = np.random.default_rng(9)
    y = rng.uniform(0.1, 100, 300).astype(dtype) * rng.choice([-1, 1], 300).astype(dtype)
    x = np.rint(np.exp(rng.uniform(0, 12, 300))).astype(dtype) * y
    side = np.where(rng.random(300) < 0.5, -np.inf, np.inf).astype(dtype)
    return np.concatenate([x, np.nextafter(x, side)]), np.concatenate([y, y])


def close_pairs(dtype: Any) -> tuple[np.ndarray, ...]:
    """Operands of all magnitudes, next to each other."""
    rng = np.random.default_rng(10)
    info = np.finfo(dtype)
    a = np.exp(rng.uniform(np.log(info.tiny) / 2, np.log(info.max) / 2, 300)).astype(dtype)
    apart = 1 + 2.0 ** -rng.uniform(0, info.nmant, 300)
    signs = rng.choice([-1, 1], (2, 300)).astype(dtype)
    return signs[0] * a, signs[1] * (a * apart).astype(dtype)


def joined(
    *makers: Callable[[Any], tuple[np.ndarray, ...]],
) -> Callable[[Any], tuple[np.ndarray, ...]]:
    def made(dtype: Any) -> tuple[np.ndarray, ...]:
        found = [maker(dtype) for maker in makers]
        return tuple(np.concatenate(column) for column in zip(*found, strict=True))

    return made


def _log_add(base: Callable[[], Any], a: Any, b: Any) -> Any:
    return max(a, b) + mp.log1p(mp.exp(-abs(a - b) * base())) / base()


def _share(base: Callable[[], Any], a: Any, b: Any) -> Any:
    return 1 / (1 + mp.exp((b - a) * base()))


def _spread(base: Callable[[], Any], a: Any, b: Any) -> Any:
    return base() * _share(base, a, b) * _share(base, b, a)


def _log_grid(base: Callable[[], Any]) -> Grid:
    return Grid(
        lambda a, b: _log_add(base, a, b),
        (
            Axis(-1e6, 1e6, also=(1, -1), count=3),
            Axis(-1e6, 1e6, also=(1, -1), count=3),
        ),
        (lambda a, b: _share(base, a, b), lambda a, b: _share(base, b, a)),
        {
            (0, 0): lambda a, b: _spread(base, a, b),
            (0, 1): lambda a, b: -_spread(base, a, b),
            (1, 1): lambda a, b: _spread(base, a, b),
        },
        pairs=joined(
            random_pairs((-1, 1), (-1, 1), count=200),
            random_pairs((-40, 40), (-40, 40), count=200),
            random_pairs((-400, 400), (-400, 400), count=200),
            random_pairs((1000, 1100), (-80, 90), count=100),
            random_pairs((0, 0), (-800, 800), count=100),
            these(
                (-19.286460876464844, -35.93610763549805),
                (14.463321602043578, -22.291303166673746),
                (-12.647980690002441, -4.273223400115967),
                (-1.8231611448006118, 2.3705901440229384),
                (-33.394927978515625, -9.297320365905762),
                (39.72734069824219, 36.49984359741211),
            ),
        ),
        # The larger operand and the logarithm cancel where their sum is near zero.
        scale={(): lambda a, b: max(abs(a), abs(b))},
    )


def _log(x: Any) -> Any:
    return mp.log(x) if x > 0 else mp.nan


POWER = Grid(
    mp.power,
    (
        Axis(also=(1, -2, -3.7, 0.5), near=(1,), count=4),
        Axis(-1e6, 1e6, also=(-3, -2, -1, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 10), count=4),
    ),
    (lambda x, y: y * mp.power(x, y - 1), lambda x, y: mp.power(x, y) * _log(x)),
    {
        (0, 0): lambda x, y: y * (y - 1) * mp.power(x, y - 2),
        (0, 1): lambda x, y: (1 + y * _log(x)) * mp.power(x, y - 1),
        (1, 1): lambda x, y: mp.power(x, y) * _log(x) ** 2,
    },
    pairs=joined(
        random_pairs((0.05, 20), (-20, 20)),
        these(
            (16.243422403167365, -7.447198390643153),
            (2.826811544967566, 5.919694070269356),
            (4.35388708114624, -7.433063983917236),
            (8.071367683982542, -9.353061562719558),
        ),
    ),
    within=lambda x, y: (x != 0) & ((x > 0) | (y == np.rint(y))),
    # It crosses zero where y log(x) is -1, and the logarithm is rounded.
    scale={(0, 1): lambda x, y: (1 + abs(y * _log(x))) * abs(mp.power(x, y - 1))},
    carried=frozenset({(1,), (1, 1)}),
    headroom=1e12,
)

GRIDS |= {
    "multiply": Grid(
        lambda x, y: x * y,
        (COARSE, COARSE),
        (lambda x, y: y, lambda x, y: x),
        {(0, 1): lambda x, y: mp.one},
    ),
    "copysign": Grid(
        lambda x, y: abs(x) * mp.sign(y),
        (COARSE, COARSE),
        (lambda x, y: mp.sign(x) * mp.sign(y), None),
        {},
        within=lambda x, y: (x != 0) & (y != 0),
    ),
    "ldexp": Grid(
        lambda x, n: mp.ldexp(x, int(n)),
        (COARSE, Axis(-30, 30, whole=True)),
        (lambda x, n: mp.ldexp(1, int(n)), None),
        {},
    ),
    "divide": Grid(
        lambda x, y: x / y,
        (COARSE, Axis(near=(1, root_tiny), count=5)),
        (lambda x, y: 1 / y, lambda x, y: -x / y**2),
        {(0, 1): lambda x, y: -1 / y**2, (1, 1): lambda x, y: 2 * x / y**3},
        pairs=random_pairs((-10, 10), (-10, 10)),
        within=lambda x, y: y != 0,
    ),
    "remainder": Grid(
        lambda x, y: x - y * mp.floor(x / y),
        (COARSE, COARSE),
        (lambda x, y: mp.one, lambda x, y: -mp.floor(x / y)),
        {},
        pairs=near_multiples,
        within=lambda x, y: (y != 0) & (np.abs(x / y) < 1e30),
    ),
    "fmod": Grid(
        lambda x, y: x - y * _whole(x / y),
        (COARSE, COARSE),
        (lambda x, y: mp.one, lambda x, y: -_whole(x / y)),
        {},
        pairs=near_multiples,
        within=lambda x, y: (y != 0) & (np.abs(x / y) < 1e30),
    ),
    "power": POWER,
    "float_power": POWER,
    "logaddexp": _log_grid(lambda: mp.one),
    "logaddexp2": _log_grid(LN2),
    "hypot": Grid(
        lambda a, b: mp.sqrt(a * a + b * b),
        (COARSE, COARSE),
        (lambda a, b: a / mp.hypot(a, b), lambda a, b: b / mp.hypot(a, b)),
        {
            (0, 0): lambda a, b: b * b / mp.hypot(a, b) ** 3,
            (0, 1): lambda a, b: -a * b / mp.hypot(a, b) ** 3,
            (1, 1): lambda a, b: a * a / mp.hypot(a, b) ** 3,
        },
        pairs=joined(
            close_pairs,
            random_pairs((-10, 10), (-10, 10)),
            these(
                (8.030913975587875, -3.1490589542792797),
                (-9.032571792602539, 1.3102611303329468),
                (-8.313810348510742, 2.2079901695251465),
                (-1.0706566319728612, -8.201395102947204),
            ),
        ),
        within=lambda a, b: (a != 0) | (b != 0),
        carried=frozenset({(0,), (1,), (0, 0), (0, 1), (1, 1)}),
    ),
    "arctan2": Grid(
        lambda a, b: mp.atan2(a, b),
        (COARSE, COARSE),
        (lambda a, b: b / (a * a + b * b), lambda a, b: -a / (a * a + b * b)),
        {
            (0, 0): lambda a, b: -2 * a * b / (a * a + b * b) ** 2,
            (0, 1): lambda a, b: (a - b) * (a + b) / (a * a + b * b) ** 2,
            (1, 1): lambda a, b: 2 * a * b / (a * a + b * b) ** 2,
        },
        pairs=joined(
            close_pairs,
            random_pairs((-10, 10), (-10, 10)),
            these(
                (-0.24920497834682465, -4.0110344886779785),
                (-5.591659880253066, 2.8198043686126635),
                (1.756581262798644, -7.459582959911555),
            ),
        ),
        within=lambda a, b: (a != 0) | (b != 0),
    ),
}


def _whole(x: Any) -> Any:
    """X without its fraction."""
    return mp.sign(x) * mp.floor(abs(x))
