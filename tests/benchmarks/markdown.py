"""What was measured, as a page of the documentation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.benchmarks import scaling
from tests.benchmarks.questions import Question
from tests.benchmarks.report import Row, number, seconds, size, summary

INTRODUCTION = """\
# Benchmarks

Made by `python -m tests.benchmarks --json FILE` and `--read FILE --markdown FILE`, on {cpu},
{cores} cores, {system}, Python {python}, float64 on the CPU; {versions}.

Every peer has a process of its own; calls take turns, and ratios are medians of the ratios of
neighbours: below 1, lazyhess is faster. It runs from plain arrays to plain arrays, recording
included. The best peer is the one with the shortest steady time; its first call (which compiles,
where it does) stands against that of lazyhess in a fresh process. Memory is the peak of the process
over what it held before its first call.
"""

GROUPS = {
    "Full Hessians": ("full",),
    "Rows and columns": ("rows", "columns"),
    "Sparse Hessians": ("sparse",),
    "Batches": ("samples", "sample"),
    "Products and gradients": ("product", "gradient"),
}

HEAD = (
    "work", "asked", "lazyhess", "best peer", "its time", "ratio", "first calls", "ratio", "memory",
    "its memory",
)  # fmt: skip


def page(found: dict[str, Any], plots: list[str]) -> str:
    rows: list[Row] = found["rows"]
    versions = {
        side["peer"]: f"{side['peer']} {side['version']}"
        for row in rows
        for side in row["sides"]
        if side["version"]
    }
    about = found["machine"] | {"versions": ", ".join(versions.values())}
    parts = [INTRODUCTION.format(**about)]
    parts += [f"![{plot}]({plot})\n" for plot in plots]
    for title, kinds in GROUPS.items():
        shown = [row for row in rows if Question.parse(row["question"]).kind in kinds]
        if shown:
            parts.append(f"## {title}\n\n" + table(shown))
    if failed := list(without(rows)):
        parts.append("## Without an answer\n\n" + "\n".join(failed) + "\n")
    if found["scaling"]:
        parts.append("## Against the size\n\n" + "\n".join(slopes(found["scaling"])) + "\n")
    if rows:
        text, _ = summary(rows)
        goals = "\n".join(lines_of_goals(rows))
        parts.append(f"## Goals\n\n{goals}\n\n```\n" + "\n".join(text) + "\n```\n")
    return "\n".join(parts)


def table(rows: list[Row]) -> str:
    lines = ["| " + " | ".join(HEAD) + " |", "|---" * len(HEAD) + "|"]
    for row in rows:
        ours = row["sides"][0]
        other: dict[str, Any] = {} if row["best"] is None else row["sides"][row["best"]]
        cells = (
            row["name"], row["question"], seconds(ours["steady"]), other.get("peer", "-"),
            seconds(other.get("steady")), number(other.get("ratio")),
            f"{seconds(ours['first'])} / {seconds(other.get('first'))}",
            number(other.get("first_ratio")), size(ours["memory"]), size(other.get("memory")),
        )  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def without(rows: list[Row]) -> Iterable[str]:
    for row in rows:
        for side in row["sides"]:
            if side["failed"]:
                yield f"- {row['name']}, {side['question']}: {side['peer']}: {side['failed']}"


def slopes(found: list[dict[str, Any]]) -> Iterable[str]:
    for made in found:
        yield f"- {made['title']}: " + "; ".join(text.strip() for text in scaling.words(made))


def lines_of_goals(rows: list[Row]) -> Iterable[str]:
    yield "| work | asked | goal | measured | |"
    yield "|---|---|---|---|---|"
    for row in rows:
        for goal in row["goals"]:
            value = goal["value"]
            text = size(value) if "GB" in goal["goal"] else number(value)
            met = {None: "not measured", True: "met", False: "**missed**"}[goal["met"]]
            yield f"| {row['name']} | {row['question']} | {goal['goal']} | {text} | {met} |"
