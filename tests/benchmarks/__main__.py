"""Time lazyhess and its peers, side by side, on this machine.

Every workload is asked of ours and of each peer that can answer. Each has a process of its own; calls
take turns, ratios are medians of the ratios of neighbours, and the best peer is marked with a star.
"ours/it" below 1 means that ours is faster, "memory" is the peak over what there was before the
first call. The first call of ours is the median of five fresh processes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from typing import Any

from tests.benchmarks import race, report, table
from tests.benchmarks.peers import PEERS

# Relative to the largest element of the answer.
SAME = 1e-8


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m tests.benchmarks lj/ mlp --peers jax --repeat 3",
    )
    made.add_argument(
        "names", nargs="*", metavar="NAME",
        help="races with this in their title, such as lj/300, full or 'mlp rows'; all by default",
    )  # fmt: skip
    what = made.add_argument_group("what to run")
    what.add_argument("--list", action="store_true", help="print the titles of the races, and end")
    what.add_argument(
        "--peers", metavar="PEER,...", help=f"only these, of {', '.join(table.known_peers())}"
    )
    what.add_argument(
        "--check", action="store_true",
        help=f"time nothing; compare each peer's answer with ours (relative {SAME:g})",
    )  # fmt: skip
    how = made.add_argument_group("how")
    how.add_argument("--repeat", type=int, default=7, help="rounds of a race (%(default)s)")
    how.add_argument(
        "--budget", type=float, default=60, metavar="SECONDS",
        help="after which a race begins no further round (%(default)s)",
    )  # fmt: skip
    how.add_argument(
        "--limit", type=float, default=120, metavar="SECONDS",
        help="after which a call is ended and reported as over it (%(default)s)",
    )  # fmt: skip
    how.add_argument(
        "--fresh", type=int, default=1, metavar="COUNT",
        help="processes for the median of a peer's first call (%(default)s)",
    )  # fmt: skip
    how.add_argument(
        "--memory", type=float, metavar="GB",
        help="what one process may allocate (three quarters of what is free)",
    )  # fmt: skip
    how.add_argument(
        "--python", action="append", default=[], metavar="PEER=EXECUTABLE",
        help="run this peer in another environment; may be repeated",
    )  # fmt: skip
    out = made.add_argument_group("what to write")
    out.add_argument("--json", metavar="FILE", help="the rows, and the machine")
    return made


def options_of(given: argparse.Namespace, refuse: Any) -> race.Options:
    pythons = {}
    for text in given.python:
        peer, _, python = text.partition("=")
        if peer not in PEERS or not python:
            refuse(f"--python wants PEER=EXECUTABLE with PEER of {', '.join(PEERS)}, got {text!r}")
        pythons[peer] = python
    memory = int(given.memory * 1e9) if given.memory else free_memory() * 3 // 4
    return race.Options(
        given.repeat, given.budget, given.limit, given.fresh, memory=memory, pythons=pythons
    )


def free_memory() -> int:
    """In bytes; 0 where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="utf-8") as info:
            return next(int(line.split()[1]) * 1024 for line in info if "MemAvailable" in line)
    except (OSError, StopIteration):
        return 0


def machine() -> dict[str, Any]:
    return {
        "cpu": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
    }  # fmt: skip


def check(found: list[table.Race], peers: list[str] | None, options: race.Options) -> int:
    """Whether everybody computes the same."""
    wrong = 0
    for one in found:
        kind = table.Question.parse(one.question).kind
        sides = [
            side for side in one.make_sides(peers) if table.Question.parse(side.question).kind == kind
        ]  # fmt: skip
        if len(sides) == 1:
            continue
        race.check(one.work, sides, options)
        for side in sides:
            words = side.failed
            if side.difference is not None:
                same = side.difference <= SAME
                wrong += not same
                words = f"{side.difference:.1e}" if same else f"{side.difference:.1e} WRONG"
            if words:
                print(f"{one.title:40s} {side.peer:16s} {words}", flush=True)
    print(f"{wrong} wrong")
    return int(wrong > 0)


def main() -> int:
    command = parser()
    given = command.parse_args()
    options = options_of(given, command.error)
    found = table.find(given.names)
    if not found:
        command.error(f"no race has {' or '.join(given.names)} in its title; see --list")
    peers = given.peers.split(",") if given.peers else None
    if unknown := set(peers or ()) - set(PEERS):
        command.error(f"unknown peers: {', '.join(unknown)}")
    if given.list:
        print("\n".join(one.title for one in found))
        return 0
    if given.check:
        return check(found, peers, options)
    rows = []
    print(report.HEAD)
    for one in found:
        sides = one.make_sides(peers)
        race.run(one.work, sides, options)
        rows.append(report.row(one, sides))
        print("\n".join(report.lines(rows[-1])), flush=True)
    text, goals = report.summary(rows)
    print("", *text, sep="\n")
    if given.json:
        with open(given.json, "w", encoding="utf-8") as file:
            json.dump({"machine": machine(), "rows": rows, "goals": goals}, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
