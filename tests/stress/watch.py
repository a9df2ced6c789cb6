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

QUIET = 2.0  # seconds without a message, in which no thread was ever seen at work: it hangs
LONGEST = 60.0  # seconds without a message, whatever it works on
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

    def hangs(self) -> bool:
        """Whether all of it has waited for a while, or it takes far too long.

        On a busy machine what is not served for long is at work nevertheless: it wants to run.
        """
        now = time.monotonic()
        if working(self.pid):
            self.moved = now
        return now - self.moved > QUIET or now - self.start > LONGEST


def working(pid: int) -> bool:
    """Whether a thread of a process runs, wants to, or waits for a disk; True if nobody tells."""
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/stat", "rb") as file:
                if file.read().rsplit(b")", 1)[1].split()[0] in (b"R", b"D"):
                    return True
    except OSError:
        return True
    return False
