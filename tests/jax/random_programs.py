"""Many random programs against JAX: ``python -m tests.jax.random_programs --count 20000 --seed 1``.

Another seed draws other programs, so several processes can share the work. Nothing stops at a
disagreement: each is printed as the program it is, and the last lines count them.
"""

from __future__ import annotations

import argparse
import gc
import re
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from time import perf_counter
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.jax import conftest  # noqa: F401 - double precision, quick compilation
from tests.jax.compare import (
    RefusedError,
    disagreements,
    disagreements_of_samples,
    disagreements_of_third_order,
    trusted,
)
from tests.programs import Program, batches, programs

import jax  # isort: skip

CHUNK = 250  # programs of one kind at a time
TOLERANCE = 1e-9
LEVELS = (1e-15, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10, TOLERANCE)
KINDS: list[tuple[str, Any, Callable[..., dict[str, float]]]] = [
    ("whole", programs(), disagreements),
    ("third order", programs(most_steps=7), disagreements_of_third_order),
    ("whole", programs(most_steps=14), disagreements),
    ("per sample", batches(), disagreements_of_samples),
    ("whole", programs(), disagreements),
]


class Record:
    """What was compared, and how far apart it was."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.seen: set[str] = set()
        self.found: dict[str, list[float]] = {}
        self.functions: Counter[str] = Counter()
        self.ways: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    @property
    def count(self) -> int:
        return sum(map(len, self.found.values()))

    def compare(self, kind: str, check: Callable[..., dict[str, float]], program: Program) -> None:
        text = repr(program)
        if text in self.seen or self.count == self.most:
            return
        self.seen.add(text)
        self.functions.update(re.findall(r"\bnp\.[a-z_.0-9]+", program.source))
        try:
            parts, way = trusted(check, program, *program.xs, tolerance=TOLERANCE)
            self.ways[way] += 1
        except RefusedError as error:
            self.refused[str(error)] += 1
            return
        except Exception:
            parts = {"raised": float("inf")}
            traceback.print_exc(file=sys.stdout)
        worst = max(parts.values())
        self.found.setdefault(kind, []).append(worst)
        if not worst <= TOLERANCE:
            wrong = {part: gap for part, gap in parts.items() if not gap <= TOLERANCE}
            print(f"DISAGREEMENT ({kind}) {wrong}{program!r}", flush=True)

    def summary(self) -> str:
        lines = [
            f"{self.count} different programs, {len(self.functions)} functions of NumPy in them"
        ]
        for kind, gaps in self.found.items():
            within = ", ".join(
                f"{level:g}: {sum(gap <= level for gap in gaps)}" for level in LEVELS
            )
            lines += [f"{kind}: {len(gaps)} programs, largest relative difference {max(gaps):.2g}",
                      f"    within {within}"]  # fmt: skip
        lines.append("JAX: " + ", ".join(f"{way} {n}" for way, n in self.ways.items()))
        lines.append(f"refused by JAX and not counted: {sum(self.refused.values())}")
        lines += [f"    {n} {error}" for error, n in self.refused.items()]
        return "\n".join(lines)


def draw(kind: int, number: Any, count: int, record: Record) -> None:
    name, strategy, check = KINDS[kind]

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(program: Program) -> None:
        record.compare(name, check, program)

    run()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    gc.set_threshold(200_000)  # tracing makes many objects, and few cycles
    record, start, chunk = Record(options.count), perf_counter(), 0
    while record.count < options.count:
        size = min(CHUNK, options.count - record.count + 10)
        draw(chunk % len(KINDS), f"{options.seed}, {chunk}", size, record)
        chunk += 1
        if chunk % 4 == 0:
            jax.clear_caches()  # or memory grows with what was compiled
        print(f"{record.count} programs, {perf_counter() - start:.0f} s", flush=True)
    print(record.summary())
    print("functions:", ", ".join(f"{name[3:]} {n}" for name, n in record.functions.most_common()))
    wrong = sum(not gap <= TOLERANCE for gaps in record.found.values() for gap in gaps)
    print(f"{wrong} disagreements above {TOLERANCE:g}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
