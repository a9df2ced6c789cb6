"""An error at every place of what the proxy executes, and what is left of the Hessian afterwards."""

from __future__ import annotations

import gc
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.stress.asks import difference, wrong_blocks
from tests.stress.figures import Figures
from tests.stress.scenes import OWN, SCENES, Scene
from tests.stress.trace import MODES, Tracer
from tests.stress.watch import Message, Speaker, watch

ERRORS: dict[str, type[BaseException]] = {
    "KeyboardInterrupt": KeyboardInterrupt,
    "MemoryError": MemoryError,
}
KINDS = ("hung", "wrong afterwards", "raised afterwards", "died")
WATCHERS = 3
MOST_HUNG = 8  # of one scene, mode and error: then the rest of its places is left out, and counted


# --- the process that is watched ------------------------------------------------------------------
def child(speaker: Speaker, options: Message) -> None:
    """Play a scene again and again, with an error one place further each time."""
    make, play = SCENES[options["scene"]]
    fresh = make()
    error = ERRORS[options["error"]]
    lost: list[Any] = []  # raised where Python cannot hand it on, as in a finalizer
    sys.unraisablehook = lost.append

    def act() -> None:
        raise error

    number = options["start"]
    while True:
        at = fresh()
        lost.clear()
        tracer = Tracer(options["mode"], number, act)
        speaker.say(event=number, stage="scene")
        faults: list[tuple[str, str]] = []
        raised = False
        try:
            with tracer:
                play(at)
        except error:
            raised = True
        except BaseException:
            faults.append(("raised afterwards", "in its place: " + traceback.format_exc(-3)))
            raised = True
        if tracer.fired is None:
            speaker.say(done=True, places=tracer.count)
            return
        if not raised and error is KeyboardInterrupt and not lost:
            faults.append(("raised afterwards", "the interrupt was lost"))
        stage = "scene"

        def say(name: str) -> None:
            nonlocal stage
            stage = name
            speaker.say(event=number, stage=name, place=tracer.fired)  # noqa: B023

        try:
            faults += aftermath(at, say)
        except BaseException:
            faults.append(("raised afterwards", f"{stage}: {traceback.format_exc(-4)}"))
        speaker.say(event=number, place=tracer.fired, faults=faults, over=True)
        number += options["stride"]


def aftermath(at: Scene, say: Callable[[str], None]) -> list[tuple[str, str]]:
    """What does not hold any more; it may raise, or hang."""
    faults = []
    say("a thread that waited")
    for one in at.beside:
        one.thread.join()
        if one.errors:
            faults.append(("raised afterwards", f"beside: {one.errors[0]!r}"))
        elif text := difference(one.answers[0], one.want):
            faults.append(("wrong afterwards", f"beside: {text}"))
    for scene in (at, at.other) if at.other else (at,):
        faults += _aftermath(scene, say)
    return faults


def _aftermath(at: Scene, say: Callable[[str], None]) -> list[tuple[str, str]]:
    faults = []
    block = at.blocks[0][0]

    def bound(when: str) -> None:
        info = block.cache_info()
        if info.currsize > info.maxsize:
            faults.append(("wrong afterwards", f"above the bound {when}: {info}"))
        if not 0 <= at.recorder.ran - info.products <= 8:  # a pass that nobody took
            text = f"{info.products} products counted, {at.recorder.ran} run, {when}"
            faults.append(("wrong afterwards", text))

    say("cache_info")
    if at.recorder.counted:
        bound("at once")
    say("the same thread")
    if text := wrong_blocks(at.blocks, at.dense):
        faults.append(("wrong afterwards", f"the same thread: {text}"))
    say("another thread")
    texts: list[str] = []

    def ask() -> None:
        try:
            texts.append(wrong_blocks(at.blocks, at.dense))
        except BaseException:
            texts.append(traceback.format_exc(-3))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    if texts[0]:
        faults.append(("wrong afterwards", f"another thread: {texts[0]}"))
    if at.recorder.counted:
        bound("in the end")
    if at.cache == OWN:
        before = at.recorder.ran
        wrong_blocks(at.blocks, at.dense)
        if at.recorder.ran != before:
            faults.append(("wrong afterwards", "what is kept is computed again"))
    say("cache_clear")
    block.cache_clear()
    info = block.cache_info()
    if info.rows or info.products or (isinstance(at.cache, (int, type(None))) and info.currsize):
        faults.append(("wrong afterwards", f"cleared, and there is {info}"))
    if text := wrong_blocks(at.blocks, at.dense):
        faults.append(("wrong afterwards", f"after cache_clear: {text}"))
    block.cache_clear()
    if at.other is None and hasattr(at.cache, "clear"):
        gc.collect()
    return faults


# --- the process that watches ---------------------------------------------------------------------
def search(
    scene: str, mode: str, error: str, figures: Figures, *, start: int = 0, stride: int = 1
) -> None:
    """All places of a scene."""
    hung, over = 0, False
    while not over and hung < MOST_HUNG:
        last: Message = {}

        def hear(message: Message) -> None:
            nonlocal last, over
            last = message
            if message.get("done"):
                over = True
            if message.get("over"):
                figures.add(f"{mode} {error}")
                for kind, text in message["faults"]:
                    figures.fault(kind, f"{scene}, {error} at {message['place']}: {text}")

        options = {
            "scene": scene,
            "mode": mode,
            "error": error,
            "start": start,
            "stride": stride,
        }
        ending = watch("lines", options, hear)
        if over:
            return
        where = f"{scene}, {error} at {last.get('place')}: {last.get('stage')}"
        if ending.hung:
            figures.fault("hung", where)
            hung += 1
        else:
            figures.fault("died", f"{where}: status {ending.status}\n{ending.dump[-2000:]}")
            if "event" not in last:
                return
        figures.add(f"{mode} {error}")
        start = last.get("event", start) + stride
    figures.add("left out for hanging too often")


def run(
    *,
    scenes: tuple[str, ...] = tuple(SCENES),
    modes: tuple[str, ...] = MODES,
    stride: int = 1,
    start: int = 0,
) -> Figures:
    """Every scene with every error, at every place or at every `stride`-th."""
    figures = Figures(*KINDS)
    with ThreadPoolExecutor(WATCHERS) as pool:
        tasks = [
            pool.submit(search, scene, mode, error, figures, start=start, stride=stride)
            for mode in modes
            for scene in scenes
            for error in (ERRORS if mode != "signal" else ["KeyboardInterrupt"])
        ]
        for task in tasks:
            task.result()
    return figures
