"""Forks while other threads compute and keep rows: the child answers, and rightly."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import cachetools
import numpy as np

from tests.stress.asks import difference, random_ask, wrong_blocks
from tests.stress.figures import Figures
from tests.stress.models import Blocks, Dense, blocks_of, model
from tests.stress.scenes import SCENES
from tests.stress.trace import Tracer
from tests.stress.watch import Clock

KINDS = ("hung", "wrong", "raised", "not forked")
AT_LINES = ("unknown", "passes", "evicted", "shared", "cleared", "graph")  # need no second thread
MOST_HUNG = 6
STOPS = 0.1  # seconds that a thread stands still at most


def answers(blocks: Blocks, dense: Dense) -> str:
    """What is wrong in a child: asked by its thread, and by another one."""
    found = []

    def ask() -> None:
        try:
            info = blocks[0][0].cache_info()
            text = wrong_blocks(blocks, dense)
            if info.currsize > info.maxsize:
                text = f"above the bound: {info}"
            found.append(text)
        except Exception:
            found.append(traceback.format_exc(-3))

    ask()
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return found[0] or found[1]


def forked(work: Callable[[], str]) -> tuple[str, str]:
    """What a child says to some work, and whether it is none, a text or a hang."""
    sys.stdout.flush()
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(writing, work().encode() or b"well")
        finally:
            os._exit(0)
    os.close(writing)
    clock = Clock(pid)
    try:
        while not os.waitpid(pid, os.WNOHANG)[0]:
            if clock.hangs():
                os.kill(pid, 9)
                os.waitpid(pid, 0)
                return "hung", ""
            time.sleep(5e-4)
        text = os.read(reading, 1 << 16).decode()
    finally:
        os.close(reading)
    return ("well", "") if text == "well" else ("wrong", text or "it died")


def at_lines(
    figures: Figures, scenes: tuple[str, ...] = AT_LINES, *, stride: int = 1, start: int = 0
) -> None:
    """Fork at each line that a thread executes in the proxy."""
    for name in scenes:
        make, play = SCENES[name]
        fresh, hung, number = make(), 0, start
        while hung < MOST_HUNG:
            at = fresh()
            reached, go = threading.Event(), threading.Event()

            def stop() -> None:
                reached.set()  # noqa: B023
                go.wait(STOPS)  # noqa: B023

            tracer = Tracer("line", number, stop)
            errors: list[str] = []

            def work() -> None:
                try:
                    with tracer:  # noqa: B023
                        play(at)  # noqa: B023
                except Exception:
                    errors.append(traceback.format_exc(-3))  # noqa: B023
                reached.set()  # noqa: B023

            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            reached.wait()
            if tracer.fired is None:
                thread.join()
                break
            how, text = forked(lambda: answers(at.blocks, at.dense))  # noqa: B023
            go.set()
            thread.join(30)
            figures.add("forks at lines")
            where = f"{name}: forked while a thread was at {tracer.fired}"
            if how == "hung":
                hung += 1
                figures.fault("hung", where)
            elif how == "wrong":
                figures.fault("wrong", f"{where}: {text}")
            if thread.is_alive():
                figures.fault("hung", f"{where}: the thread itself")
                return
            if text := "".join(errors) or wrong_blocks(at.blocks, at.dense):
                figures.fault("wrong", f"{where}: in the parent: {text}")
            number += stride


def under_load(figures: Figures, engine: str, count: int, seed: int) -> None:
    """Fork at any time while four threads ask."""
    caches: tuple[Any, ...] = ("1GiB", 500, None, "shared")
    hung = 0
    for number in range(0, count, 10):
        cache = caches[number // 10 % len(caches)]
        one = model(engine, seed + number)
        blocks = blocks_of(one.engine, cachetools.LRUCache(4) if cache == "shared" else cache)
        over = threading.Event()

        def ask(k: int) -> None:
            rng = np.random.default_rng((seed, number, k))  # noqa: B023
            while not over.is_set():  # noqa: B023
                if rng.random() < 0.2:
                    blocks[0][0].cache_clear()  # noqa: B023
                name, one_ask, want = random_ask(rng, blocks, one.dense)  # noqa: B023
                try:
                    if text := difference(one_ask(), want):
                        figures.fault("wrong", f"in the parent: {name}: {text}")
                except Exception:
                    figures.fault("raised", f"in the parent: {traceback.format_exc(-3)}")

        team = [threading.Thread(target=ask, args=(k,), daemon=True) for k in range(4)]
        for thread in team:
            thread.start()
        rng = np.random.default_rng((seed, number))
        for shot in range(min(10, count - number)):
            time.sleep(float(rng.uniform(0, 2e-3)))
            how, text = _process(blocks, one.dense) if shot == 9 else forked(
                lambda: answers(blocks, one.dense)  # noqa: B023
            )  # fmt: skip
            figures.add("forks under load")
            if how != "well":
                hung += how == "hung"
                figures.fault(how, f"cache {cache}: in the child: {text}")
        over.set()
        for thread in team:
            thread.join(30)
            if thread.is_alive():
                figures.fault("hung", f"cache {cache}: in the parent")
                return
        if hung >= MOST_HUNG:
            return


def _tell(queue: Any, blocks: Blocks, dense: Dense) -> None:
    queue.put(answers(blocks, dense) or "well")


def _process(blocks: Blocks, dense: Dense) -> tuple[str, str]:
    """The same by multiprocessing."""
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=_tell, args=(queue, blocks, dense))
    process.start()
    clock = Clock(process.pid or 0)
    while process.is_alive():
        process.join(0.01)
        if clock.hangs():
            process.kill()
            process.join()
            return "hung", "multiprocessing"
    text = queue.get() if not queue.empty() else "it died"
    return ("well", "") if text == "well" else ("wrong", text)


def run(
    engine: str, count: int, seed: int, *, scenes: tuple[str, ...] = AT_LINES, stride: int = 1
) -> Figures:
    """Forks at lines, and under load."""
    figures = Figures(*KINDS, aloud=True)
    if not hasattr(os, "fork"):
        return figures
    at_lines(figures, scenes, stride=stride, start=seed % stride)
    under_load(figures, engine, count, seed)
    return figures
