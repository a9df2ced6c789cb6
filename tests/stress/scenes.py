"""Short, fixed sequences of requests that walk through every part of the proxy."""

from __future__ import annotations

import copy
import pickle
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cachetools
import numpy as np

from tests.stress.asks import difference
from tests.stress.figures import Figures
from tests.stress.models import Blocks, Dense, Model, blocks_of, dense_model, model
from tests.stress.recorder import Recorder

OWN = 1 << 20  # keeps everything
SMALL = 400  # keeps a few rows


@dataclass
class Beside:
    """A request of another thread, and what came of it."""

    thread: threading.Thread
    answers: list[Any]
    errors: list[BaseException]
    want: np.ndarray


@dataclass
class Scene:
    """Blocks over one store; in some scenes two Hessians share a cache."""

    blocks: Blocks
    dense: Dense
    recorder: Recorder
    cache: Any
    beside: list[Beside] = field(default_factory=list)
    other: Scene | None = None

    def ask_beside(self, i: int, j: int, index: Any) -> threading.Thread:
        """Ask in another thread."""
        answers: list[Any] = []
        errors: list[BaseException] = []

        def ask() -> None:
            try:
                answers.append(self.blocks[i][j][index])
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=ask, daemon=True)
        self.beside.append(Beside(thread, answers, errors, self.dense[i][j][index]))
        thread.start()
        return thread

    def check(self, i: int, j: int, index: Any) -> None:
        """Ask here, and compare."""
        text = difference(self.blocks[i][j][index], self.dense[i][j][index])
        assert not text, text


def scene(one: Model, cache: Any) -> Scene:
    """Fresh blocks."""
    recorder = Recorder(one.engine, Figures())
    return Scene(blocks_of(recorder, cache), one.dense, recorder, cache)


def until_waiting(thread: threading.Thread, patience: float = 0.01) -> None:
    """Let a thread run until it waits for something, is done, or takes too long."""
    end = time.monotonic() + patience
    while thread.is_alive() and time.monotonic() < end:
        frame = sys._current_frames().get(thread.ident or 0)
        if frame is not None and frame.f_code.co_filename == threading.__file__:
            return
        time.sleep(2e-4)


# --- the scenes -----------------------------------------------------------------------------------
def unknown(at: Scene) -> None:
    """Rows that nobody knows, rows that are known, and both."""
    at.check(0, 0, np.s_[1:3])
    at.check(0, 0, np.s_[2])
    at.check(0, 0, np.s_[:, 1:4])
    at.check(1, 0, np.s_[0, :, [3, 0]])


def passes(at: Scene) -> None:
    """Several passes, which are put together."""
    at.check(0, 1, np.s_[1:5])
    at.check(0, 0, np.s_[::-1])


def evicted(at: Scene) -> None:
    """More than the cache takes."""
    at.check(0, 0, np.s_[0:4])
    at.check(1, 1, np.s_[0])
    at.check(0, 0, np.s_[3:6])


def shared(at: Scene) -> None:
    """A user's cache, with another Hessian in it."""
    assert at.other is not None
    at.check(0, 0, np.s_[0:2])
    at.other.check(0, 0, np.s_[1])
    at.check(0, 1, np.s_[1:4])
    repr(at.blocks[0][0])


def cleared(at: Scene) -> None:
    """What is asked of the cache itself."""
    at.check(0, 0, np.s_[0:2])
    at.blocks[0][0].cache_info()
    repr(at.blocks[0][0])
    at.blocks[0][0].cache_clear()
    at.check(0, 0, np.s_[1])


def scattered(at: Scene) -> None:
    """Rows that are sparse, and the diagonal."""
    at.check(0, 0, np.s_[1:3])
    at.blocks[0][0].tocoo()
    at.blocks[0][0].diagonal()


def multiplied(at: Scene) -> None:
    """Products with vectors."""
    vector = np.arange(7.0)
    assert not difference(at.blocks[0][0] @ vector, at.dense[0][0] @ vector)
    at.check(0, 0, ...)


def met(at: Scene) -> None:
    """Another thread waits for rows that this one computes."""
    engine = at.recorder.engine
    waiting: list[threading.Thread] = []

    def before(i: int, ids: np.ndarray) -> None:
        if threading.current_thread() is threading.main_thread() and not waiting:
            waiting.append(at.ask_beside(0, 0, np.s_[1:4]))
            until_waiting(waiting[0])

    engine.before = before
    try:
        at.check(0, 0, np.s_[0:3])
    finally:
        engine.before = None


def waited(at: Scene) -> None:
    """This thread waits for rows that another one computes."""
    engine = at.recorder.engine
    inside = threading.Event()

    def before(i: int, ids: np.ndarray) -> None:
        if threading.current_thread() is not threading.main_thread() and not inside.is_set():
            inside.set()
            until_waiting(threading.main_thread())

    engine.before = before
    at.ask_beside(0, 0, np.s_[0:3])
    inside.wait(1)
    at.check(0, 0, np.s_[1:4])


def copied(at: Scene) -> None:
    """Copies, by pickle and by copy."""
    at.check(0, 0, np.s_[1:3])
    twin = pickle.loads(pickle.dumps(at.blocks))
    assert not difference(twin[0][0][2:4], at.dense[0][0][2:4])
    twin = copy.deepcopy(at.blocks)
    assert not difference(twin[0][0][2:4], at.dense[0][0][2:4])


def _dense(cache: Any, **options: Any) -> Callable[[], Scene]:
    return lambda: scene(dense_model(0, **options), cache)


def _graph(cache: Any) -> Callable[[], Scene]:
    one = model("create_graph", 0)
    return lambda: scene(one, cache)


def _users() -> Scene:
    cache: Any = cachetools.LRUCache(3)
    first, second = (scene(dense_model(seed), cache) for seed in (0, 1))
    first.other = second
    return first


Play = Callable[[Scene], None]
SCENES: dict[str, tuple[Callable[[], Callable[[], Scene]], Play]] = {
    "unknown": (lambda: _dense(OWN, passes=1), unknown),
    "passes": (lambda: _dense(OWN, passes=4), passes),
    "batch": (lambda: _dense(OWN, batch=True), passes),
    "evicted": (lambda: _dense(SMALL), evicted),
    "uncached": (lambda: _dense(None), evicted),
    "shared": (lambda: _users, shared),
    "cleared": (lambda: _dense(OWN, passes=1), cleared),
    "scattered": (lambda: _dense(OWN, sparse=True), scattered),
    "graph": (lambda: _graph(OWN), passes),
    "graph evicted": (lambda: _graph(SMALL), evicted),
    "multiplied": (lambda: _dense(OWN), multiplied),
    "met": (lambda: _dense(OWN), met),
    "met, none kept": (lambda: _dense(None), met),
    "waited": (lambda: _dense(OWN), waited),
    "copied": (lambda: _dense(OWN), copied),
}  # fmt: skip
