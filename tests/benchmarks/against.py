"""Time this checkout and another one, say that of the commit before, in turns in one run.

Each workload is asked of this checkout, of the other, and of the other once more, each in a process
of its own. Calls take turns; ratios are medians of the ratios of neighbours. What the other's two
processes differ by is the spread: a ratio within it says nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks import race, report, table
from tests.benchmarks.__main__ import free_memory
from tests.benchmarks.peers import OWN, PEERS
from tests.benchmarks.questions import Question

# A ratio above this is named, where it is above the spread, too.
SLOWER = 1.10


@dataclass
class Asked:
    """One question about one workload, and the ratios that came out."""

    work: str
    question: str
    failed: str | None = None
    seconds: float | None = None  # of this checkout, steady
    steady: float | None = None  # this checkout's over the other's
    steady_spread: float | None = None  # the other's own two
    first: float | None = None
    first_spread: float | None = None
    products: list[int | None] = field(default_factory=list)

    @property
    def title(self) -> str:
        return f"{self.work} {self.question}"

    def words(self) -> str:
        if self.failed:
            return f"{self.title:42s}{self.failed}"
        ratios = (self.steady, self.steady_spread, self.first, self.first_spread)
        numbers = "".join(f"{value:9.3f}" for value in ratios if value is not None)
        differ = "" if len(set(self.products)) == 1 else f"  PRODUCTS {self.products}"
        return f"{self.title:42s}{report.seconds(self.seconds):>10s}{numbers}{differ}"


def questions(names: list[str], peer: str) -> list[tuple[str, str]]:
    """What lazyhess itself is asked in all races, once each."""
    asked: dict[tuple[str, str], None] = {}
    for one in table.find(names):
        if one.work == table.IMPORT:
            continue
        for side in one.make_sides([]):
            kind = Question.parse(side.question).kind
            if side.peer == "ours" and kind != "syrk" and kind in PEERS[peer].kinds:
                asked[one.work, side.question] = None
    return list(asked)


def compare(work: str, question: str, peer: str, other: Path, options: race.Options) -> Asked:
    """This checkout, the other, and the other once more."""
    asked = Asked(work, question)
    there = replace(options, root=other)
    sides = [race.Side(peer, question) for _ in range(3)]
    whose = [options, there, there]
    try:
        for _ in range(options.fresh):  # first calls in turns, too
            for side, option in zip(sides, whose, strict=True):
                side.start(work, option, 1)
        start = time.monotonic()
        for turn in range(options.repeat):
            for k in range(3):  # whoever is first in a round finds other caches
                side = sides[(turn + k) % 3]
                seconds = side.take("run")
                if seconds is not None:
                    side.times.append(seconds)
            if time.monotonic() - start > options.budget:
                break
    finally:
        for side in sides:
            side.close()
    failed = next((side.failed for side in sides if side.failed), None)
    if failed:
        return replace(asked, failed=failed)
    here, before, again = sides
    asked.seconds, asked.products = here.steady, [here.products, before.products]
    asked.steady, asked.steady_spread = race.ratio(here, before), race.ratio(again, before)
    asked.first = median(here.first) / median(before.first)
    asked.first_spread = median(again.first) / median(before.first)
    return asked


def beyond(ratio: float, spread: float) -> bool:
    """Whether a ratio is too large, and larger than what the other's two processes differ by."""
    return ratio > SLOWER * max(spread, 1 / spread)


def summary(asked: list[Asked]) -> list[str]:
    done = [one for one in asked if one.failed is None]
    lines = [f"{len(done)} of {len(asked)} workloads"]
    for what in ("steady", "first"):
        ratios: list[float] = [getattr(one, what) for one in done]
        spreads: list[float] = [getattr(one, f"{what}_spread") for one in done]
        mean, own = report.geometric_mean(ratios), report.geometric_mean(spreads)
        if mean is None or own is None:
            continue
        lines.append(f"{what}: geometric mean {mean:.3f} (the other against itself {own:.3f})")
        for one, ratio, spread in zip(done, ratios, spreads, strict=True):
            if ratio > SLOWER:
                verdict = "SLOWER" if beyond(ratio, spread) else "within the spread"
                lines.append(f"  {one.title}: {ratio:.3f} (itself {spread:.3f}) {verdict}")
    return lines


def main() -> int:
    command = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.against",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("other", type=Path, help="the root of the other checkout")
    command.add_argument("names", nargs="*", metavar="NAME", help="as of tests.benchmarks")
    command.add_argument("--peer", default="ours", choices=sorted({"ours", *OWN}))
    command.add_argument("--repeat", type=int, default=9, help="rounds (%(default)s)")
    command.add_argument("--fresh", type=int, default=3, help="first calls of each (%(default)s)")
    command.add_argument("--budget", type=float, default=20, metavar="SECONDS")
    command.add_argument("--limit", type=float, default=120, metavar="SECONDS")
    command.add_argument("--json", metavar="FILE")
    given = command.parse_args()
    options = race.Options(
        given.repeat, given.budget, given.limit, given.fresh, memory=free_memory() * 3 // 4
    )
    print(f"{'':42s}{'steady':>10s}{'ratio':>9s}{'itself':>9s}{'first':>9s}{'itself':>9s}")
    asked: list[Asked] = []
    for work, question in questions(given.names, given.peer):
        asked.append(compare(work, question, given.peer, given.other.resolve(), options))
        print(asked[-1].words(), flush=True)
    print(*summary(asked), sep="\n")
    if given.json:
        records: list[dict[str, Any]] = [vars(one) for one in asked]
        Path(given.json).write_text(json.dumps(records, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
