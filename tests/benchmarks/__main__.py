"""Time lazyhess and its peers, side by side, on this machine.

Every workload is asked of ours and of each peer that can answer. Each has a process of its own;
calls take turns, ratios are medians of the ratios of neighbours, the best peer is marked with a star.
"ours/it" below 1 means that ours is faster, "memory" is the peak over what there was before the
first call. The first call of ours is the median of five fresh processes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks import imports, markdown, race, report, scaling, table
from tests.benchmarks.peers import PEERS
from tests.benchmarks.questions import Question

# A load above which other processes take a core for a good part of the time.
BUSY = 0.3

# Relative to the largest element of the answer.
SAME = 1e-8


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="The peers: pip install -e '.[bench]'; those that are missing are left out.\n"
        "Example: python -m tests.benchmarks lj/ mlp --peers jax --repeat 3",
    )
    made.add_argument(
        "names", nargs="*", metavar="NAME",
        help="races with this in their title, such as lj/300, full or 'mlp rows'; all by default",
    )  # fmt: skip
    what = made.add_argument_group("what to run")
    what.add_argument("--list", action="store_true", help="print the titles of the races, and end")
    what.add_argument(
        "--scaling", action="store_true",
        help="no races, but time and memory against size; a NAME then picks of "
        + ", ".join(curve.name for curve in scaling.CURVES),
    )  # fmt: skip
    what.add_argument(
        "--read", action="append", default=[], metavar="FILE",
        help="run nothing; print and plot what --json wrote before; may be repeated",
    )  # fmt: skip
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
    out.add_argument("--json", metavar="FILE", help="all that was measured, and the machine")
    out.add_argument(
        "--plot", metavar="FILE",
        help="races as ratios, curves with their slopes (needs matplotlib); with both, those of "
        "--scaling go to FILE with -scaling in its name",
    )  # fmt: skip
    out.add_argument("--markdown", metavar="FILE", help="a page of documentation, with the plots")
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
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": processor(), "cores": cores, "system": platform.system(),
        "python": platform.python_version(), "load": busy(),
    }  # fmt: skip


def busy() -> float | None:
    """Processes that ran on average during the last minute, before this one's."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            return next(line.split(": ")[1].strip() for line in info if "model name" in line)
    except (OSError, StopIteration, IndexError):
        return platform.processor() or platform.machine()


def check(found: list[table.Race], peers: list[str] | None, options: race.Options) -> int:
    """Whether everybody computes the same."""
    wrong = 0
    for one in found:
        kind = Question.parse(one.question).kind
        sides = [
            side for side in one.make_sides(peers) if Question.parse(side.question).kind == kind
        ]  # fmt: skip
        if len(sides) == 1 or one.work == table.IMPORT:
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
    if not found and not given.scaling:
        command.error(f"no race has {' or '.join(given.names)} in its title; see --list")
    peers = given.peers.split(",") if given.peers else None
    if unknown := set(peers or ()) - set(PEERS):
        command.error(f"unknown peers: {', '.join(unknown)}")
    if given.list:
        print("\n".join(one.title for one in found))
        return 0
    if given.check:
        return check(found, peers, options)
    found_all: dict[str, Any] = {"machine": machine(), "rows": [], "goals": [], "scaling": []}
    # Two threads of a BLAS on a core and a half wait for each other, four times as long.
    if (load := found_all["machine"]["load"]) and load > BUSY and not given.read:
        tell(
            f"other processes are running (load {load:.1f}): times of matrix products will be long"
        )
    if given.read:
        for file in given.read:
            read(file, found_all)
    elif given.scaling:
        curves = scaling.find(given.names)
        found_all["scaling"] = [scaling.run(c, peers, options, tell) for c in curves]
    else:
        tell(report.HEAD)
        for one in found:
            found_all["rows"].append(measured(one, peers, options))
            tell("\n".join(report.lines(found_all["rows"][-1])))
    if found_all["rows"]:
        text, found_all["goals"] = report.summary(found_all["rows"])
        print("", *text, sep="\n")
    if given.json:
        with open(given.json, "w", encoding="utf-8") as out:
            json.dump(found_all, out, indent=1)
    plots = plot(found_all, Path(given.plot)) if given.plot else []
    if given.markdown:
        Path(given.markdown).write_text(markdown.page(found_all, plots), encoding="utf-8")
    return 0


def tell(text: str) -> None:
    print(text, flush=True)


def measured(one: table.Race, peers: list[str] | None, options: race.Options) -> report.Row:
    sides = one.make_sides(peers)
    if one.work == table.IMPORT:
        imports.run(sides[0], options)
    else:
        race.run(one.work, sides, options)
    return report.row(one, sides)


def read(file: str, into: dict[str, Any]) -> None:
    """Add what an earlier run wrote, and print it."""
    with open(file, encoding="utf-8") as text:
        found = json.load(text)
    into["machine"] = found["machine"]
    into["rows"] += found["rows"]
    into["scaling"] += found["scaling"]
    tell(report.HEAD)
    for row in found["rows"]:
        tell("\n".join(report.lines(row)))
    for made in found["scaling"]:
        tell("\n".join([made["title"], *scaling.words(made)]))


def plot(found: dict[str, Any], file: Path) -> list[str]:
    """The names of the files it wrote."""
    from tests.benchmarks import figures  # imports matplotlib

    made = []
    if found["rows"]:
        figures.ratios(found["rows"], str(file))
        made.append(file.name)
    if found["scaling"]:
        other = file.with_stem(f"{file.stem}-scaling") if found["rows"] else file
        figures.curves(found["scaling"], str(other))
        made.append(other.name)
    return made


if __name__ == "__main__":
    sys.exit(main())
