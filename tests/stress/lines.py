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

Task = tuple[str, str, str]  # scene, mode, error
MOST_HUNG = 8  # of one scene, mode and error: then the rest of its places is left out, and counted


# --- the process that is watched ------------------------------------------------------------------
def child(speaker: Speaker, options: Message) -> None:
    """Play scenes again and again, with an error one place further each time."""
    start = options["start"]
    for task in options["tasks"]:
        _places(speaker, task, start, options["stride"])
        speaker.say(done=True)
        start = options["first"]


def _places(speaker: Speaker, task: Task, start: int, stride: int) -> None:
    scene, mode, name_of_error = task
    make, play = SCENES[scene]
    fresh = make()
    error = ERRORS[name_of_error]
    lost: list[Any] = []  # raised where Python cannot hand it on, as in a finalizer
    sys.unraisablehook = lost.append

    def act() -> None:
        raise error

    play(fresh())  # a scene that fails by itself would show nothing
    number = start
    while True:
        at = fresh()
        lost.clear()
        tracer = Tracer(mode, number, act)
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
        number += stride


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
def search(tasks: list[Task], figures: Figures, *, first: int = 0, stride: int = 1) -> None:
    """Places of some scenes, in one process as long as nothing hangs."""
    tasks, start, hung = list(tasks), first, 0
    while tasks:
        last: Message = {}

        def hear(message: Message) -> None:
            nonlocal last, hung, start
            last = message
            if message.get("done"):
                tasks.pop(0)
                hung, start = 0, first
            if message.get("over"):
                scene, mode, error = tasks[0]
                figures.add(f"{mode} {error}")
                for kind, text in message["faults"]:
                    figures.fault(kind, f"{scene}, {error} at {message['place']}: {text}")

        options = {"tasks": list(tasks), "start": start, "first": first, "stride": stride}
        ending = watch("lines", options, hear)
        if not tasks:
            return
        scene, mode, error = tasks[0]
        where = f"{scene}, {error} at {last.get('place')}: {last.get('stage')}"
        figures.add(f"{mode} {error}")
        hung += 1
        if ending.hung:
            figures.fault("hung", where)
        else:
            figures.fault("died", f"{where}: status {ending.status}\n{ending.dump[-2000:]}")
        start = last.get("event", start) + stride
        if hung == MOST_HUNG:
            figures.add("left out for hanging too often")
            tasks.pop(0)
            hung, start = 0, first


def run(
    *,
    scenes: tuple[str, ...] = tuple(SCENES),
    modes: tuple[str, ...] = MODES,
    stride: int = 1,
    first: int = 0,
    watchers: int = WATCHERS,
) -> Figures:
    """Every scene with every error, at every place or at every `stride`-th."""
    figures = Figures(*KINDS, aloud=True)
    tasks: list[Task] = [
        (scene, mode, error)
        for mode in modes
        for scene in scenes
        for error in (ERRORS if mode != "signal" else ["KeyboardInterrupt"])
    ]
    with ThreadPoolExecutor(watchers) as pool:
        shares = [
            pool.submit(search, tasks[k::watchers], figures, first=first, stride=stride)
            for k in range(watchers)
        ]
        for share in shares:
            share.result()
    return figures
