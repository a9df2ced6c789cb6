"""Curves: time and peak memory against the size of a problem, ours and each peer's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy

from tests.benchmarks import race, report
from tests.benchmarks.questions import Question
from tests.benchmarks.table import Race
from tests.benchmarks.workloads import make

# The slope is that of the largest sizes: the smallest are bound by calls.
LAST = 3


@dataclass(frozen=True)
class Curve:
    """A question about one family of workloads, at growing sizes."""

    name: str
    title: str
    question: str
    works: tuple[str, ...]
    sides: tuple[str, ...] | None = None
    also: tuple[str, ...] = ()


CURVES = [
    Curve("lj", "Lennard-Jones", "full", tuple(f"lj/{n}" for n in (30, 100, 300, 1000))),
    Curve(
        "logistic", "logistic regression", "full",
        tuple(f"logistic/2000/{n}" for n in (125, 250, 500, 1000)),
    ),
    Curve(
        "factorisation", "matrix factorisation", "full",
        tuple(f"factorisation/{n}" for n in (25, 50, 100, 200)),
    ),
    Curve("mlp", "MLP", "full", tuple(f"mlp/256/20/{n}/{n}/5" for n in (10, 20, 40))),
    Curve("loop", "loop over scalars", "full", tuple(f"loop/{n}" for n in (30, 100, 300, 1000)), also=("casadi",)),
    Curve(
        "rosenbrock", "Rosenbrock, nonzeros", "sparse",
        tuple(f"rosenbrock/{n}" for n in (1_000, 10_000, 100_000, 1_000_000)),
    ),
    Curve(
        "springs", "springs, nonzeros", "sparse",
        tuple(f"springs/{n}" for n in (1_000, 10_000, 100_000, 400_000)),
    ),
    Curve(
        "samples", "per sample, N = 20", "samples",
        tuple(f"batch/{n}/20" for n in (100, 1_000, 10_000)),
    ),
]  # fmt: skip


def find(names: list[str]) -> list[Curve]:
    return [curve for curve in CURVES if not names or any(name in curve.name for name in names)]


def run(
    curve: Curve, peers: list[str] | None, options: race.Options, tell: Callable[[str], Any]
) -> dict[str, Any]:
    """Race each size; a peer that fails at one has no part in larger ones."""
    few = replace(options, ours_fresh=1)
    out: set[str] = set()
    kind = Question.parse(curve.question).kind
    sizes: list[int] = []
    found: dict[str, dict[str, list[float | None]]] = {}
    failed: dict[str, str] = {}
    tell(f"{curve.title}: {kind}")
    for work in curve.works:
        sides = Race(work, curve.question, sides=curve.sides, also=curve.also).make_sides(peers)
        sides = [side for side in sides if side.peer not in out]
        race.run(work, sides, few)
        sizes.append(make(work).size)
        parts = []
        for side in sides:
            if side.failed is not None:
                out.add(side.peer)
                failed[side.peer] = f"{side.failed} at n = {sizes[-1]}"
            if side.steady is None:
                parts.append(f"{side.peer} {side.failed}")
                continue
            line = found.setdefault(side.peer, {"steady": [], "memory": []})
            for values, value in ((line["steady"], side.steady), (line["memory"], side.memory)):
                values += [None] * (len(sizes) - 1 - len(values)) + [value]
            parts.append(f"{side.peer} {report.seconds(side.steady)}, {report.size(side.memory)}")
        tell(f"    n = {sizes[-1]:<9d}" + "; ".join(parts))
    made: dict[str, Any] = {
        "name": curve.name, "title": curve.title, "question": curve.question, "sizes": sizes,
        "failed": failed, "sides": {}, "best": None,
    }  # fmt: skip
    for peer, line in found.items():
        slopes = {f"{what}_slope": slope(sizes, values) for what, values in line.items()}
        made["sides"][peer] = line | slopes
    made["best"] = best(made)
    for text in words(made):
        tell(text)
    return made


def best(made: dict[str, Any]) -> str | None:
    """The peer that comes furthest, and of those the fastest there."""

    def place(peer: str) -> tuple[int, float]:
        times = made["sides"][peer]["steady"]
        return -len(times), times[-1]

    return min((peer for peer in made["sides"] if peer != "ours"), key=place, default=None)


def slope(sizes: list[int], values: list[Any]) -> float | None:
    """The exponent p of ``n**p`` through the last points, by least squares of logarithms."""
    points = [(n, v) for n, v in zip(sizes, values, strict=False) if v][-LAST:]
    if len(points) < 2:
        return None
    x, y = numpy.log(numpy.array(points, float)).T
    return float(numpy.polyfit(x, y, 1)[0])


def words(made: dict[str, Any]) -> Iterable[str]:
    for peer in ("ours", made["best"]):
        if peer in made["sides"]:
            side = made["sides"][peer]
            time, memory = (
                "-" if side[key] is None else f"{side[key]:.2f}"
                for key in ("steady_slope", "memory_slope")
            )
            yield f"    {peer}: time ~ n^{time}, memory ~ n^{memory}"
