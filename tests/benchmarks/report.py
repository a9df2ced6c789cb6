"""What came out of a race, as lines of text and rows of JSON; goals met or missed."""

from __future__ import annotations

from collections.abc import Iterable
from math import exp, log
from statistics import fmean
from typing import Any

from tests.benchmarks.questions import Question
from tests.benchmarks.race import Side, ratio
from tests.benchmarks.table import BEST, IMPORT, Goal, Race
from tests.benchmarks.workloads import make

Row = dict[str, Any]

# Of a request that is no work on rows.
OVERHEAD = 1e-4

# Over all full dense Hessians: ours against the best peer.
MEAN_STEADY, MEAN_FIRST = 0.5, 0.05


def best(sides: list[Side]) -> Side | None:
    """The peer with the shortest steady time that was asked what ours was."""
    asked = [side for side in sides[1:] if side.done and side.peer != "ours"]
    kind = Question.parse(sides[0].question).kind
    asked = [side for side in asked if Question.parse(side.question).kind == kind]
    return min(asked, key=lambda side: side.steady or 0.0, default=None)


def row(race: Race, sides: list[Side]) -> Row:
    work = make(race.work) if race.work != IMPORT else None
    ours, other = sides[0], best(sides)
    made: Row = {
        "work": race.work, "name": work.name if work else "import lazyhess",
        "question": race.question, "n": work.size if work else 0,
        "dense": race.dense, "sides": [], "best": None, "goals": [],
    }  # fmt: skip
    for side in sides:
        record = side.record()
        if side is not ours:
            record["ratio"] = ratio(ours, side) if ours.done and side.done else None
            record["first_ratio"] = _over(ours.first_call, side.first_call)
        made["sides"].append(record)
    if other is not None:
        made["best"] = sides.index(other)
    made["over_gradient"] = over_gradient(sides)
    for goal in race.goals:
        value = _measured(goal, race, sides, other)
        met = None if value is None else value <= goal.limit
        made["goals"].append({"goal": str(goal), "limit": goal.limit, "value": value, "met": met})
    return made


def over_gradient(sides: list[Side]) -> dict[str, float]:
    """What a product takes in gradients, of everybody who was asked both."""
    times = {(side.peer, Question.parse(side.question).kind): side for side in sides if side.done}
    return {
        peer: ratio(side, times[peer, "gradient"])
        for (peer, kind), side in times.items()
        if kind == "product" and (peer, "gradient") in times
    }


def _over(a: float | None, b: float | None) -> float | None:
    return None if a is None or not b else a / b


def _measured(goal: Goal, race: Race, sides: list[Side], other: Side | None) -> float | None:
    ours = sides[0]
    if goal.against is None:
        value = {
            "steady": ours.steady, "first": ours.first_call, "memory": ours.memory,
            "products": ours.products,
        }[goal.of]  # fmt: skip
        return None if value is None else float(value)
    if goal.against != BEST:
        peer, _, question = goal.against.partition(": ")
        wanted = (peer, question or race.question)
        other = next((side for side in sides[1:] if (side.peer, side.question) == wanted), None)
    if other is None:
        return None
    if goal.of == "first":
        return _over(ours.first_call, other.first_call)
    if not (ours.done and other.done):
        return None
    if goal.of == "share":
        work = make(race.work)
        share = Question.parse(race.question).count / work.size
        assert ours.steady is not None
        whole = ours.steady / ratio(ours, other)
        return (ours.steady - OVERHEAD) / (share * whole)
    return ratio(ours, other)


# --- text ---------------------------------------------------------------------------------------


def seconds(value: float | None) -> str:
    if value is None:
        return "-"
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e6:.3g} us"


def size(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}" if value < 100 else f"{value:.0f}"


HEAD = f"{'':34s}{'steady':>10s}{'ours/it':>9s}{'first':>10s}{'ours/it':>9s}{'memory':>9s}"


def lines(row: Row) -> Iterable[str]:
    """A race: one line for each side, and one for each goal."""
    yield f"{row['name']}: {row['question']}  [{row['work']}]"
    for place, side in enumerate(row["sides"]):
        name = (
            side["peer"]
            if side["question"] == row["question"]
            else f"{side['peer']}: {side['question']}"
        )
        if side["steady"] is None:
            first = f" (first {seconds(side['first'])})" if side["first"] else ""
            yield f"    {name:30s}{side['failed'] or 'not asked'}{first}"
            continue
        mark = "*" if place == row["best"] else " "
        text = (
            f"  {mark} {name:30s}{seconds(side['steady']):>10s}{number(side.get('ratio')):>9s}"
            f"{seconds(side['first']):>10s}{number(side.get('first_ratio')):>9s}"
            f"{size(side['memory']):>9s}"
        )
        if side["products"] is not None:
            text += f"  {side['products']} products"
        yield text
    if row["over_gradient"]:
        each = ", ".join(f"{peer} {number(value)}" for peer, value in row["over_gradient"].items())
        yield f"    a product in gradients: {each}"
    for goal in row["goals"]:
        verdict = {None: "not measured", True: "met", False: "MISSED"}[goal["met"]]
        value = goal["value"]
        shown = (
            "" if value is None else f" {size(value)}" if "GB" in goal["goal"] else f" {value:.3g}"
        )
        yield f"    goal {goal['goal']}:{shown} {verdict}"


def geometric_mean(values: list[float]) -> float | None:
    return exp(fmean(map(log, values))) if values else None


def summary(rows: list[Row]) -> tuple[Iterable[str], list[Row]]:
    """The goals over all full dense Hessians, as lines and as goals; and what was missed."""
    steady, first = [], []
    for made in rows:
        if made["dense"] and made["best"] is not None:
            other = made["sides"][made["best"]]
            steady.append(other["ratio"])
            first.append(other["first_ratio"])
    goals = []
    for text, values, limit in (
        ("geometric mean of steady / best peer's", steady, MEAN_STEADY),
        ("geometric mean of first / best peer's", first, MEAN_FIRST),
    ):
        mean = geometric_mean([value for value in values if value])
        met = None if mean is None else mean <= limit
        goals.append({"goal": f"{text} <= {limit:g}", "limit": limit, "value": mean, "met": met})
    found = [f"full dense Hessians: {len(steady)}"]
    found += [
        f"  {goal['goal']}: {goal['value']:.3g} {'met' if goal['met'] else 'MISSED'}"
        for goal in goals
        if goal["value"] is not None
    ]
    named = [(f"{made['work']} {made['question']}", made["goals"]) for made in rows]
    named.append(("full dense Hessians", goals))
    verdicts = [goal["met"] for _, some in named for goal in some]
    missed = [
        f"  {name}: {goal['goal']} ({goal['value']:.3g})"
        for name, some in named
        for goal in some
        if goal["met"] is False
    ]
    end = ":" if missed else ""
    found.append(f"{verdicts.count(True)} goals met, {len(missed)} missed{end}")
    return [*found, *missed], goals
