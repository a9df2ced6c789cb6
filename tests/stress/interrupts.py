"""Real SIGINTs at random times into the thread that asks, and what is left of the Hessian."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
import threading
import time
import traceback
from types import FrameType
from typing import Any

import cachetools
import numpy as np

import lazyhess
from tests.stress.asks import difference, random_ask, wrong_blocks
from tests.stress.figures import Figures
from tests.stress.models import Blocks, Dense, blocks_of, model
from tests.stress.watch import Message, Speaker, watch

KINDS = ("hung", "wrong afterwards", "raised afterwards", "swallowed", "above the bound", "died")
SHOTS = 25  # at one Hessian
CACHES: tuple[Any, ...] = ("1GiB", 500, None, "shared")
LIBRARY = os.path.dirname(lazyhess.__file__)
MOST_HUNG = 40


# --- the process that is watched ------------------------------------------------------------------
class Companions:
    """Threads that ask a few things for every interrupt."""

    def __init__(self, blocks: Blocks, dense: Dense, count: int, seed: int) -> None:
        self.faults: list[str] = []
        self._turns = [threading.Semaphore(0) for _ in range(count)]
        self._over = False
        self._threads = [
            threading.Thread(target=self._ask, args=(k, blocks, dense, seed), daemon=True)
            for k in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def go(self) -> None:
        """Ask."""
        for turn in self._turns:
            turn.release()

    def stop(self) -> None:
        """Wait until all are done."""
        self._over = True
        self.go()
        for thread in self._threads:
            thread.join()

    def _ask(self, k: int, blocks: Blocks, dense: Dense, seed: int) -> None:
        rng = np.random.default_rng((seed, k))
        while True:
            self._turns[k].acquire()
            if self._over:
                return
            for _ in range(3):
                name, ask, want = random_ask(rng, blocks, dense)
                try:
                    if text := difference(ask(), want):
                        self.faults.append(f"beside: {name}: {text}")
                except BaseException:
                    self.faults.append(f"beside: {name}: {traceback.format_exc(-3)}")


class Hits:
    """The handler of SIGINT: Python's own, and where it was served last."""

    def __init__(self) -> None:
        self.files: list[str] | None = None
        self.where = ""
        signal.signal(signal.SIGINT, self)
        signal.signal(signal.SIGALRM, self)  # the same by a timer

    def __call__(self, number: int, frame: FrameType | None) -> None:
        stack = [one for one, _ in traceback.walk_stack(frame)]
        code = stack[0].f_code
        self.where = f"{os.path.basename(code.co_filename)}:{stack[0].f_lineno} {code.co_name}"
        self.files = [one.f_code.co_filename for one in stack]
        raise KeyboardInterrupt

    @property
    def place(self) -> str:
        """Which part it interrupted, and where."""
        inside = [name for name in self.files or () if name.startswith(LIBRARY)]
        proxy = bool(inside) and os.path.basename(os.path.dirname(inside[0])) == "_proxy"
        return f"{('proxy' if proxy else 'engine') if inside else 'outside'} {self.where}"


def shoot(
    hits: Hits, rng: np.random.Generator, blocks: Blocks, dense: Dense, scale: float
) -> tuple[str, list[list[str]]]:
    """Requests until one interrupt has come: where it landed, and what was wrong before."""
    faults: list[list[str]] = []
    hits.files = None
    delay = float(rng.uniform(1e-5, scale))
    by_timer = bool(rng.random() < 0.7)

    def send() -> None:
        time.sleep(delay)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    sender = threading.Thread(target=send)
    try:
        try:
            if by_timer:
                signal.setitimer(signal.ITIMER_REAL, delay)
            else:
                sender.start()
            while hits.files is None:
                if rng.random() < 0.05:
                    blocks[0][0].cache_clear()
                name, ask, want = random_ask(rng, blocks, dense)
                if text := difference(ask(), want):
                    faults.append(["wrong afterwards", f"{name}: {text}"])
            # Python loses one that comes in a finalizer, and NumPy's drawing of numbers some.
            if hits.place.startswith("proxy") and "weakref" not in hits.place:
                faults.append(["swallowed", hits.place])
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            if not by_timer:
                sender.join()
    except KeyboardInterrupt:
        pass
    except Exception:
        faults.append(["raised afterwards", f"a request: {traceback.format_exc(-3)}"])
    return hits.place, faults


def child(speaker: Speaker, options: Message) -> None:
    """So many interrupts; a fresh Hessian every few."""
    hits = Hits()
    sys.setswitchinterval(1e-4)
    rng = np.random.default_rng(options["seed"])
    left = options["count"]
    for number in itertools.count():
        cache = CACHES[number % len(CACHES)]
        beside = number // len(CACHES) % 3
        one = model(options["engine"], number, batch=bool(number // 2 % 2))
        size = cachetools.LRUCache(4) if cache == "shared" else cache
        blocks = blocks_of(one.engine, size)
        other = blocks_of(one.engine, size)  # in the same cache, if it is shared
        scale = 2e-3
        speaker.say(stage="companions")
        companions = Companions(other if number % 2 else blocks, one.dense, beside, number)
        for _ in range(SHOTS):
            speaker.say(stage="requests", cache=str(cache), beside=beside)
            companions.go()
            start = time.perf_counter()
            place, faults = shoot(hits, rng, blocks, one.dense, scale)
            scale = min(0.05, max(2e-4, 0.5 * scale + 0.5 * (time.perf_counter() - start)))
            kinds = faults + aftermath(speaker, blocks, one.dense, place)
            kinds += [["wrong afterwards", text] for text in companions.faults]
            companions.faults.clear()
            speaker.say(place=place, faults=kinds, cache=str(cache), beside=beside, over=True)
            left -= 1
            if kinds or not left:
                break
        speaker.say(stage="the companions")
        companions.stop()
        if not left:
            speaker.say(done=True)
            return


def aftermath(speaker: Speaker, blocks: Blocks, dense: Dense, place: str) -> list[list[str]]:
    """What does not hold after an interrupt."""
    faults: list[list[str]] = []

    def look() -> None:
        try:
            info = blocks[0][0].cache_info()
            if info.currsize > info.maxsize:
                faults.append(["above the bound", str(info)])
        except Exception:
            faults.append(["raised afterwards", traceback.format_exc(-3)])

    def ask() -> None:
        try:
            text = difference(blocks[0][1][::2], dense[0][1][::2])
            if text := text or wrong_blocks(blocks, dense):
                faults.append(["wrong afterwards", text])
        except Exception:
            faults.append(["raised afterwards", traceback.format_exc(-3)])

    speaker.say(place=place, stage="cache_info")
    look()
    speaker.say(place=place, stage="the same thread")
    ask()
    speaker.say(place=place, stage="another thread")
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    look()
    return faults


# --- the process that watches ---------------------------------------------------------------------
def run(engine: str, count: int, seed: int) -> Figures:
    """So many interrupts, in as many processes as it takes."""
    figures = Figures(*KINDS, aloud=True)
    left, hung = count, 0
    while left > 0 and hung < MOST_HUNG:
        last: Message = {}

        def hear(message: Message) -> None:
            nonlocal last, left
            last = {**last, **message}
            if message.get("over"):
                left -= 1
                figures.add("interrupts")
                figures.add(f"in the {message['place'].split()[0]}")
                for kind, text in message["faults"]:
                    figures.fault(kind, f"cache {message['cache']}, {message['place']}: {text}")
                last = {}

        options = {"engine": engine, "count": left, "seed": seed}
        ending = watch("interrupts", options, hear)
        if last.get("done"):
            break
        left -= 1
        figures.add("interrupts")
        place = last.get("place", "")
        where = f"cache {last.get('cache')}, {place}: {last.get('stage')}"
        if ending.hung:
            hung += 1
            figures.fault("hung", where)
        else:
            figures.fault("died", f"{where}: status {ending.status}\n{ending.dump[-2000:]}")
            if not place:
                break
        with contextlib.suppress(IndexError):
            figures.add(f"in the {place.split()[0]}")
        seed += 1000
    return figures
