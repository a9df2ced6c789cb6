"""Workers taking turns: ours and each peer's, in processes of their own."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy

from tests.benchmarks.peers import PEERS

ROOT = Path(__file__).resolve().parents[2]

# Threads of a BLAS wait for more work in a loop, for tens of milliseconds, and take the processor
# from whoever comes next.
REST = 0.1


@dataclass
class Options:
    """How a race is run."""

    repeat: int = 7  # rounds
    budget: float = 60.0  # seconds after which no further round begins
    limit: float = 120.0  # seconds for one call
    fresh: int = 1  # processes whose first calls are timed, of each peer
    ours_fresh: int = 5
    memory: int = 0  # bytes for one worker, 0: any
    pythons: dict[str, str] = field(default_factory=dict)
    root: Path = ROOT  # the checkout that workers import


class FailedError(Exception):
    """A worker that has no answer, in words for the table."""


class Process:
    """A program that answers each line on its standard input with one of JSON."""

    def __init__(self, command: list[str], options: Options) -> None:
        self.limit = options.limit
        paths = [str(options.root), *filter(None, [os.environ.get("PYTHONPATH")])]
        # As installed, with bytecode, so that first calls are not those of a compiler.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "JAX_PLATFORMS": "cpu"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.process = subprocess.Popen(
            command, cwd=options.root, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            self.about = self._answer()
        except FailedError:
            self.close()
            raise

    def ask(self, command: str) -> dict[str, Any]:
        """What the worker says to a line, after a rest."""
        time.sleep(REST)
        assert self.process.stdin is not None
        try:
            print(command, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise FailedError("ended") from None
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(self.limit):
                raise FailedError(f"over {self.limit:g} s")
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            raise FailedError("killed (memory?)" if code == -9 else f"crashed ({code})")
        answer: dict[str, Any] = json.loads(line)
        if "failed" in answer:
            raise FailedError(answer["failed"])
        return answer

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                assert stream is not None
                stream.close()


class Worker(Process):
    """A process that makes one peer's calls."""

    def __init__(self, peer: str, work: str, question: str, options: Options) -> None:
        python = options.pythons.get(peer, sys.executable)
        command = [python, "-m", "tests.benchmarks.worker", peer, work, question]
        super().__init__([*command, str(options.memory)], options)


@dataclass
class Side:
    """One who takes part: a peer with its question, and what was measured of it."""

    peer: str
    question: str
    failed: str | None = None
    version: str = ""
    first: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    memory: int | None = None  # peak over what there was before the first call
    products: int | None = None
    difference: float | None = None  # from our answer, relative
    worker: Worker | None = field(default=None, repr=False)

    @property
    def steady(self) -> float | None:
        return median(self.times) if self.times else None

    @property
    def first_call(self) -> float | None:
        return median(self.first) if self.first else None

    @property
    def done(self) -> bool:
        return self.failed is None and bool(self.times)

    def take(self, command: str) -> float | None:
        """One call; a failure ends this side's part in the race."""
        if self.worker is None:
            return None
        try:
            answer = self.worker.ask(command)
        except FailedError as error:
            self.fail(str(error))
            return None
        self.memory = answer.get("memory", self.memory)
        self.products = answer.get("products", self.products)
        return float(answer["seconds"])

    def fail(self, reason: str) -> None:
        self.failed = reason
        self.close()

    def close(self) -> None:
        if self.worker is not None:
            self.worker.close()
            self.worker = None

    def start(self, work: str, options: Options, fresh: int) -> None:
        """First calls, each in a fresh process, of which the last stays."""
        for number in range(fresh):
            self.close()
            try:
                self.worker = Worker(self.peer, work, self.question, options)
            except FailedError as error:
                self.failed = str(error)
                return
            self.version = self.worker.about["version"]
            seconds = self.take("first")
            if seconds is None:
                return
            self.first.append(seconds)
            if seconds * (number + 2) > options.budget:
                return

    def record(self) -> dict[str, Any]:
        return {
            "peer": self.peer, "label": PEERS[self.peer].label, "question": self.question,
            "version": self.version, "failed": self.failed, "first": self.first_call,
            "steady": self.steady, "times": self.times, "memory": self.memory,
            "products": self.products, "difference": self.difference,
        }  # fmt: skip


@contextlib.contextmanager
def started(work: str, sides: list[Side], options: Options) -> Iterator[None]:
    """The sides with their first calls made; their processes end with the block."""
    try:
        for side in sides:
            fresh = options.ours_fresh if side.peer == "ours" else options.fresh
            side.start(work, options, fresh)
            if side is sides[0] and (side.failed or "").startswith(NotImplementedError.__name__):
                break  # there is nothing to compare with
        yield
    finally:
        for side in sides:
            side.close()


def run(work: str, sides: list[Side], options: Options) -> None:
    """Times of all sides, in rounds in which each has its turn."""
    with started(work, sides, options):
        start = time.monotonic()
        for _ in range(options.repeat):
            for side in sides:
                seconds = side.take("run")
                if seconds is not None:
                    side.times.append(seconds)
            if time.monotonic() - start > options.budget:
                break


def ratio(side: Side, other: Side) -> float:
    """The median of the ratios of neighbours: calls of one round."""
    return median(a / b for a, b in zip(side.times, other.times, strict=False))


def check(work: str, sides: list[Side], options: Options) -> None:
    """Compare each answer with that of the first side, relative to its largest element."""
    with tempfile.TemporaryDirectory() as folder:
        wanted: list[Any] | None = None
        for number, side in enumerate(sides):
            try:
                side.worker = Worker(side.peer, work, side.question, options)
                file = Path(folder) / f"{number}.npz"
                side.worker.ask(f"check {file}")
                with numpy.load(file) as arrays:
                    got = [arrays[name] for name in arrays]
            except FailedError as error:
                side.failed = str(error)
                continue
            finally:
                side.close()
            if wanted is None:
                wanted = got
            else:
                side.difference = difference(got, wanted)


def difference(got: list[Any], wanted: list[Any]) -> float:
    """The largest, relative to the largest element of all; infinite where shapes or places differ."""
    if [a.shape for a in got] != [a.shape for a in wanted]:
        return float("inf")
    scale = gap = 0.0
    for a, b in zip(got, wanted, strict=True):
        if a.dtype.kind == "i":  # where the nonzero elements are
            gap = gap if (a == b).all() else float("inf")
        elif a.size:
            scale = max(scale, float(abs(b).max()))
            gap = max(gap, float(abs(a - b).max()))
    return gap / (scale or 1.0)
