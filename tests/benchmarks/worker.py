"""One peer, one workload, one question, in a process of its own.

``python -m tests.benchmarks.worker PEER WORKLOAD QUESTION`` answers each line on its standard input
with one of JSON on its standard output: ``first`` and ``run`` make a call and time it, ``check
FILE`` makes one and saves its arrays.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.metadata
import json
import os
import sys
import time
from statistics import median
from typing import Any

import numpy

from tests.benchmarks.peers import PEERS, Answer, Call
from tests.benchmarks.questions import Question
from tests.benchmarks.workloads import make

# Short calls are repeated for so many seconds, and their median is taken.
SHORT = 0.02
# Calls above so many seconds need no untimed one before them.
LONG = 1.0


def peak_memory(reset: bool = False) -> int | None:
    """In bytes, of this process alone: ru_maxrss has the peak of its parent in it."""
    if reset:  # what the imports left is none of the call's
        with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    try:
        with open("/proc/self/status", encoding="utf-8") as status:
            return next(int(line.split()[1]) * 1024 for line in status if "VmHWM" in line)
    except (OSError, StopIteration):
        return None


def clock(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def steady(call: Call, before: float) -> float:
    """The time of a call in its steady state, after one that warms the caches."""
    if before > LONG:
        return clock(call)
    times = [clock(call), clock(call)]
    while sum(times[1:]) < SHORT:
        times.append(clock(call))
    return median(times[1:])


def limit_memory(size: int) -> None:
    """Let allocations fail rather than the machine: a Hessian may ask for hundreds of gigabytes."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (size, size))


def ordered(answer: Answer) -> Answer:
    """Nonzero elements by row and then column, without those that only a pattern has."""
    rows, columns, values = (part[answer[2] != 0] for part in answer)
    order = numpy.lexsort((columns, rows))
    return [rows[order].astype(int), columns[order].astype(int), values[order]]


def words(error: BaseException) -> str:
    text = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text.strip()}"[:120]


def main(peer: str, workload: str, question: str, memory: str = "0") -> None:
    # Frameworks print where they like; the answers go where nothing else does.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(**answer: Any) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    if int(memory):
        limit_memory(int(memory))
    try:
        module = importlib.import_module(PEERS[peer].module)
        call: Call = module.prepare(make(workload), Question.parse(question))
    except ModuleNotFoundError as error:
        tell(failed=f"not installed ({error.name})")
        return
    except Exception as error:
        tell(failed=words(error))
        return
    version = ""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        version = importlib.metadata.version(PEERS[peer].distribution)
    tell(ready=True, version=version, numpy=numpy.__version__)
    gc.collect()
    before = peak_memory(reset=True)
    seconds = 0.0
    for line in sys.stdin:
        command, *rest = line.split()
        try:
            if command == "check":
                numpy.savez(rest[0], *(ordered(call()) if "sparse" in question else call()))
                tell(seconds=0.0)
                continue
            seconds = clock(call) if command == "first" else steady(call, seconds)
        except Exception as error:
            tell(failed=words(error))
            return
        now = peak_memory()
        tell(
            seconds=seconds,
            memory=None if now is None or before is None else now - before,
            products=getattr(call, "products", None),
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
