"""Work in another process that may hang: its messages, and how it ended."""

from __future__ import annotations

import faulthandler
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

QUIET = 2.0  # seconds without a message and with hardly any work of the processor: it hangs
HARDLY = 0.05  # of that time, as for threads that only look again and again
LONGEST = 40.0  # seconds without a message, whatever it works on
POLL = 0.25

Message = dict[str, Any]


@dataclass
class Ending:
    """How a process ended: `hung`, or with a status; what it wrote to stderr."""

    hung: bool
    status: int
    dump: str


class Speaker:
    """The side of the process that is watched."""

    def __init__(self) -> None:
        faulthandler.enable()
        faulthandler.register(signal.SIGUSR1, all_threads=True)

    def say(self, **message: Any) -> None:
        """Tell the watcher something."""
        os.write(1, (json.dumps(message) + "\n").encode())


def watch(work: str, options: Message, hear: Callable[[Message], None]) -> Ending:
    """Run ``tests.stress.children`` in a process, until it ends or hangs."""
    command = [sys.executable, "-m", "tests.stress.children", work, json.dumps(options)]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        hung = False
        for message in _messages(process):
            if message is None:
                hung = True
                process.send_signal(signal.SIGUSR1)
                time.sleep(POLL)
                process.kill()
                break
            hear(message)
        process.wait()
        errors.seek(0)
        return Ending(hung, process.returncode, errors.read().decode(errors="replace"))


def _messages(process: subprocess.Popen[bytes]) -> Iterator[Message | None]:
    """What it says; None once it hangs."""
    assert process.stdout is not None
    descriptor, rest = process.stdout.fileno(), b""
    clock = Clock(process.pid)
    while True:
        if select.select([descriptor], [], [], POLL)[0]:
            part = os.read(descriptor, 1 << 16)
            if not part:
                return
            *lines, rest = (rest + part).split(b"\n")
            yield from map(json.loads, lines)
            clock = Clock(process.pid)
        elif clock.hangs():
            yield None
            return


class Clock:
    """Whether a process hangs, since this was made."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.start = self.moved = time.monotonic()
        self.work = worked(pid)

    def hangs(self) -> bool:
        """Whether it has hardly worked for a while, or takes far too long."""
        now, work = time.monotonic(), worked(self.pid)
        if work - self.work > HARDLY * QUIET:
            self.moved, self.work = now, work
        return now - self.moved > QUIET or now - self.start > LONGEST


def worked(pid: int) -> float:
    """Processor time of a process in seconds; where the system does not tell, the time of day."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rsplit(b")", 1)[1].split()
    except OSError:
        return time.monotonic()
    return (float(fields[11]) + float(fields[12])) / os.sysconf("SC_CLK_TCK")
