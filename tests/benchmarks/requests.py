"""What a request costs beside the products that it runs, of this checkout and of another in turns.

requests  known rows, columns, slices, elements and whole matrices of an engine that costs nothing:
          microseconds, the time of copying the answer, and the goals (beyond that copy)
rows      a Hessian read row by row: the time of a row in the first, the middle and the last tenth
blocks    all blocks of an MLP of 1715 parameters, in several orders
last      the last layer of a convolutional network given as a dict, and the same by hand, in torch
          and in JAX

With --against each is asked of the other checkout twice: what those two differ by is the spread, and
a ratio within it says nothing. Times are medians (over rounds, of the median of many calls) and
minima; ratios are medians of the ratios of neighbours.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks import report, request_calls
from tests.benchmarks.__main__ import free_memory
from tests.benchmarks.race import FailedError, Options, Process

SIZES = (10, 100, 1000)
ROW_SIZES = (1000, 4000, 12000)
ORDERS = ("as written", "backwards", "by columns")
US = 1e6

# Microseconds beyond the copy of the answer; those of whole matrices for n <= 1000.
SLICE, ARRAYS, WHOLE = 15.0, 30.0, 40.0


@dataclass
class Asker:
    """A checkout with a process that answers for it."""

    name: str
    options: Options
    process: Process | None = None
    answers: list[dict[str, Any]] = field(default_factory=list)
    failed: str | None = None

    def ask(self, call: str, *arguments: str) -> None:
        assert self.process is not None
        if self.failed is None:
            try:
                self.answers.append(self.process.ask(json.dumps([call, *arguments])))
            except FailedError as error:
                self.failed = str(error)

    def figures(self, name: str) -> list[float]:
        return [float(answer[name]) for answer in self.answers if answer[name] is not None]


@contextlib.contextmanager
def started(checkouts: dict[str, Options], python: str) -> Iterator[list[Asker]]:
    """A process for each checkout; they end with the block."""
    askers = [Asker(name, options) for name, options in checkouts.items()]
    # Without the folder of the program on its path: a module there is called as a library is.
    command = [python, "-P", request_calls.__file__]
    try:
        for asker in askers:
            asker.process = Process(command, asker.options)
            root = Path(asker.process.about["root"]).resolve().parents[1]
            assert root == asker.options.root.resolve(), f"{asker.name} timed {root}"
        yield askers
    finally:
        for asker in askers:
            if asker.process is not None:
                asker.process.close()


def turns(askers: list[Asker], repeat: int, budget: float, *asked: str) -> None:
    """Ask each in every round; whoever is first in a round finds other caches."""
    for asker in askers:
        asker.answers, asker.failed = [], None
    start = time.monotonic()
    for turn in range(repeat):
        for k in range(len(askers)):
            askers[(turn + k) % len(askers)].ask(*asked)
        if time.monotonic() - start > budget:
            break


def ratios(askers: list[Asker], name: str = "seconds") -> str:
    """This checkout over the other, and the other over itself."""
    if len(askers) == 1 or not all(asker.answers for asker in askers):
        return ""
    here, there, *again = (asker.figures(name) for asker in askers)
    pairs = [(here, there), *((other, there) for other in again)]
    return "".join(f"{median(a / b for a, b in zip(*pair, strict=False)):9.3f}" for pair in pairs)


def goal_of(question: str, n: int) -> float | None:
    """What a request may take at the most beyond the copy of its answer."""
    if question.startswith(request_calls.SEVERAL) and "row" not in question:
        return None  # nine requests
    if question == "whole, kept one by one":
        return None
    if "whole" in question:
        return WHOLE if n <= 1000 else None
    if any(word in question for word in ("I, J", "I[:")):
        return ARRAYS
    return None if "unknown" in question or "diagonal" in question else SLICE


def requests(askers: list[Asker], given: argparse.Namespace) -> None:
    head = f"\n{'requests, microseconds':42s}{'n':>6s}{'median':>9s}{'least':>9s}{'copy':>8s}"
    print(f"{head}{'beyond':>9s}{'goal':>6s}{'':8s}{'other':>9s}{'ratio':>9s}{'itself':>9s}")
    met = {True: 0, False: 0}
    for question in request_calls.questions():
        for n in given.sizes:
            turns(askers, given.repeat, given.budget, "request", question, str(n))
            here = askers[0]
            if here.failed or not here.answers:
                print(f"{question:42s}{n:6d}  {here.failed}")
                continue
            middle, copy = (US * median(here.figures(name)) for name in ("seconds", "copy"))
            least, goal = US * min(here.figures("least")), goal_of(question, n)
            words = f"{question:42s}{n:6d}{middle:9.1f}{least:9.1f}{copy:8.1f}{middle - copy:9.1f}"
            verdict = ""
            if goal is not None:
                met[middle - copy <= goal] += 1
                verdict = "met" if middle - copy <= goal else "MISSED"
            words += f"{'' if goal is None else f'{goal:g}':>6s} {verdict:7s}"
            if len(askers) > 1 and askers[1].answers:
                words += f"{US * median(askers[1].figures('seconds')):9.1f}"
            print(words + ratios(askers), flush=True)
    print(f"{met[True]} goals met, {met[False]} missed")


def rows(askers: list[Asker], given: argparse.Namespace) -> None:
    print("\nrow by row, microseconds: median of the first, middle and last tenth; goal: constant")
    few = askers[:2]  # a spread would take as long again
    for kind in request_calls.ROWS:
        for n in given.row_sizes:
            turns(few, given.repeat, given.budget, "row_by_row", kind, str(n))
            for asker in few:
                for what in ("unknown", "known"):
                    words = f"{kind:8s}n = {n:<7d}{what:9s}{asker.name:7s}"
                    if asker.failed or not asker.answers:
                        print(f"{words}{asker.failed}")
                        continue
                    parts = [
                        US * median(part)
                        for part in zip(*(answer[what] for answer in asker.answers), strict=True)
                    ]
                    numbers = "".join(f"{part:10.1f}" for part in parts)
                    total = report.seconds(median(asker.figures(f"{what} sum")))
                    memory = report.size(max(asker.figures("memory"), default=None))
                    print(
                        f"{words}{numbers}   last / first {parts[-1] / parts[0]:6.2f}"
                        f"   all {total:>8s}   peak {memory}",
                        flush=True,
                    )


def blocks(askers: list[Asker], given: argparse.Namespace) -> None:
    print("\nall 36 blocks of an MLP of 1715 parameters")
    for order in ORDERS:
        turns(askers, given.repeat, given.budget, "all_blocks", order)
        compared(order, askers)


def last(askers: list[Asker], given: argparse.Namespace) -> None:
    print("\nlast layer of a dict of parameters: the block (last, last)")
    for framework in ("torch", "jax"):
        python = dict(text.split("=", 1) for text in given.python).get(framework, sys.executable)
        checkouts = {asker.name: asker.options for asker in askers}
        try:
            with started({**checkouts, "hand": askers[0].options}, python) as sides:
                call = f"last_layer_{framework}"
                *ours, hand = sides
                start = time.monotonic()
                for turn in range(given.repeat + 1):  # the first round is of first calls
                    for asker in ours:
                        asker.ask(call, "ours")
                    hand.ask(call, "by hand")
                    if turn and time.monotonic() - start > given.budget:
                        break
        except FailedError as error:
            print(f"{framework}: {error}")
            continue
        first = {asker.name: asker.figures("seconds")[:1] for asker in sides}
        trace = [asker.answers[0]["trace"] for asker in sides if asker.answers]
        if trace and max(trace) - min(trace) > 1e-4 * max(trace):
            print(f"{framework}: answers differ, {trace}")
        for asker in sides:
            memory = max(asker.figures("memory"), default=None)
            if len(asker.answers) > 1:
                asker.answers = asker.answers[1:]
                asker.answers[0]["memory"] = memory
        compared(framework, ours)
        compared(f"{framework}, by hand", [hand])
        if ours[0].answers and hand.answers:
            over = median(ours[0].figures("seconds")) / median(hand.figures("seconds"))
            print(f"    ours over by hand {over:.3g}; first calls "
                  + ", ".join(f"{k} {report.seconds(v[0])}" for k, v in first.items() if v))  # fmt: skip


def compared(title: str, askers: list[Asker]) -> None:
    """Time, peak memory and products of each, and the ratios."""
    words = []
    for asker in askers:
        if not asker.answers:
            words.append(f"{asker.name} {asker.failed}")
            continue
        text = f"{asker.name} {report.seconds(median(asker.figures('seconds')))}"
        text += f" (least {report.seconds(min(asker.figures('seconds')))})"
        text += f", {report.size(max(asker.figures('memory'), default=None))}"
        if "products" in asker.answers[0]:
            text += f", {asker.answers[0]['products']} products"
        words.append(text)
    found = ratios(askers)
    print(
        f"{title:16s}" + "; ".join(words) + (f"; ratio, itself{found}" if found else ""), flush=True
    )


SECTIONS = {"requests": requests, "rows": rows, "blocks": blocks, "last": last}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.requests",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SECTIONS)}; all")
    made.add_argument("--against", type=Path, metavar="DIR", help="the root of another checkout")
    made.add_argument("--repeat", type=int, default=5, help="rounds (%(default)s)")
    made.add_argument(
        "--budget", type=float, default=20, metavar="SECONDS",
        help="after which a question begins no further round (%(default)s)",
    )  # fmt: skip
    made.add_argument(
        "--limit", type=float, default=600, metavar="SECONDS", help="for one answer (%(default)s)"
    )
    made.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="n of requests")
    made.add_argument("--row-sizes", type=int, nargs="+", default=ROW_SIZES, help="n of rows")
    made.add_argument(
        "--python", action="append", default=[], metavar="FRAMEWORK=EXECUTABLE",
        help="ask torch or jax in another environment; may be repeated",
    )  # fmt: skip
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    command = parser()
    given = command.parse_args(arguments)
    if unknown := set(given.names) - set(SECTIONS):
        command.error(f"unknown: {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    here = Options(limit=given.limit, memory=free_memory() * 3 // 4)
    checkouts = {"here": here}
    if given.against is not None:
        there = replace(here, root=given.against.resolve())
        checkouts |= {"other": there, "again": there}
    with started(checkouts, sys.executable) as askers:
        for name in given.names or SECTIONS:
            SECTIONS[name](askers, given)
    return 0


if __name__ == "__main__":
    sys.exit(main())
