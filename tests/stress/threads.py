"""Many threads ask one container at once: nothing wrong, nothing twice, nobody hangs."""

from __future__ import annotations

import faulthandler
import itertools
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from typing import Any

import cachetools
import numpy as np

from tests.stress.asks import difference, random_ask
from tests.stress.figures import Figures
from tests.stress.models import Blocks, Dense, Model, blocks_of, model
from tests.stress.recorder import PlantedError, Recorder

KINDS = (
    "wrong",
    "raised",
    "hung",
    "computed twice at once",
    "computed again while kept",
    "above the bound",
    "products miscounted",
    "errors miscounted",
)
CACHES = ("large", "small", "none", "shared", "tiny", "large and cleared", "large and failing")
FRESH = ("dense", "numpy", "create_graph")  # engines that are made anew for each round
PATIENCE = 30.0


@dataclass
class World:
    """What the threads of a round share."""

    blocks: list[Blocks]
    dense: list[Dense]
    recorders: list[Recorder]
    cache: str
    shared: Any = None


def world(cache: str, models: list[Model], seed: int, figures: Figures) -> World:
    """Hessians over one kind of cache; two of them where they share one."""
    rng = np.random.default_rng(seed)
    failing = 0.1 if cache == "large and failing" or (seed % 3 == 0 and "large" not in cache) else 0
    shared: Any = None
    size: Any = {"small": int(rng.integers(300, 1500)), "tiny": 60, "none": None}.get(cache, "1GiB")
    if cache == "shared":
        kind = rng.integers(0, 4)
        shared = size = (
            cachetools.LRUCache(int(rng.integers(1, 12))),
            cachetools.TTLCache(8, ttl=0.005),
            cachetools.LFUCache(5),
            cachetools.LRUCache(1000),
        )[kind]
    recorders = [
        Recorder(one.engine, figures, failing=failing, pausing=0.3, seed=seed, name=cache)
        for one in models
    ]
    blocks = [blocks_of(recorder, size) for recorder in recorders]
    return World(blocks, [one.dense for one in models], recorders, cache, shared)


def play(world: World, seed: int, asks: int, figures: Figures) -> None:
    """The requests of one thread."""
    rng = np.random.default_rng(seed)
    for _ in range(asks):
        k = int(rng.integers(0, len(world.blocks)))
        blocks, dense, recorder = world.blocks[k], world.dense[k], world.recorders[k]
        if rng.random() < 0.1 and world.cache not in ("large", "large and failing"):
            blocks[0][0].cache_clear()
        name, ask, want = random_ask(rng, blocks, dense)
        try:
            if rng.random() < 0.05:
                recorder.apart.now = True  # rows of tocoo are not kept, and not shared
                name, got, want = "tocoo", _scattered(blocks[1][0]), dense[1][0]
                want = want.reshape(got.shape)
            else:
                got = ask()
        except PlantedError:
            figures.add("planted errors")
            continue
        except Exception:
            figures.fault("raised", f"{world.cache}: {name}\n{traceback.format_exc(-3)}")
            continue
        finally:
            recorder.apart.now = False
            figures.add("requests")
        if text := difference(got, want):
            figures.fault("wrong", f"{world.cache}: {name}: {text}")


def _scattered(block: Any) -> np.ndarray:
    """The matrix of the nonzeros."""
    *at, values = block.tocoo()
    engine = block._source.engine
    i, j = (int(np.prod(engine.shapes[k], dtype=int)) for k in (1, 0))
    out = np.zeros((int(np.prod(engine.lead)), i, j) if len(at) == 3 else (i, j))
    out[tuple(at)] = engine.arrays.numpy(values)
    return out


def watch_bound(world: World, done: threading.Event, figures: Figures) -> None:
    """Look at the bound all the time."""
    while True:
        last = done.is_set()
        for blocks in world.blocks:
            info = blocks[0][0].cache_info()
            repr(blocks[0][1])
            figures.add("looks at the bound")
            if info.currsize > info.maxsize:
                figures.fault("above the bound", f"{info.currsize - info.maxsize} above: {info}")
        if last:
            return
        time.sleep(2e-3)


def round_of(
    world: World, seed: int, figures: Figures, *, threads: int = 32, asks: int = 12
) -> bool:
    """One round; whether all threads came back."""
    failed_before = figures.counts["planted errors"]
    done, start = threading.Event(), threading.Barrier(threads + 1)

    def work(k: int) -> None:
        start.wait()
        play(world, seed * 1000 + k, asks, figures)

    def look() -> None:
        start.wait()
        try:
            watch_bound(world, done, figures)
        except Exception:
            figures.fault("raised", f"{world.cache}: cache_info\n{traceback.format_exc(-3)}")

    team = [threading.Thread(target=work, args=(k,), daemon=True) for k in range(threads)]
    looker = threading.Thread(target=look, daemon=True)
    for thread in (*team, looker):
        thread.start()
    deadline = time.monotonic() + PATIENCE
    for thread in team:
        thread.join(max(0.0, deadline - time.monotonic()))
    done.set()
    looker.join(max(1.0, deadline - time.monotonic()))
    alive = [thread for thread in (*team, looker) if thread.is_alive()]
    if alive:
        faulthandler.dump_traceback(all_threads=True)
        figures.fault("hung", f"{world.cache}: {len(alive)} threads")
        return False
    settle(world, figures, figures.counts["planted errors"] - failed_before)
    return True


def settle(world: World, figures: Figures, errors: int) -> None:
    """What has to hold once all is quiet."""
    failed = sum(recorder.failed for recorder in world.recorders)
    if failed != errors:
        figures.fault("errors miscounted", f"{world.cache}: {failed} raised, {errors} seen")
    for blocks, recorder in zip(world.blocks, world.recorders, strict=True):
        info = blocks[0][0].cache_info()
        if world.cache in ("large", "large and failing"):
            if info.products != recorder.ran:
                text = f"{world.cache}: {info.products} counted, {recorder.ran} run"
                figures.fault("products miscounted", text)
            for key in recorder.repeated():
                times = recorder.times[key]
                figures.fault("computed again while kept", f"{world.cache}: {key} {times} times")
        figures.add("rows computed", sum(recorder.times.values()))
        figures.add("products", recorder.ran)


def run(
    engine: str, seconds: float, seed: int, *, rounds: int | None = None
) -> tuple[Figures, bool]:
    """Rounds for so many seconds; the figures, and whether all threads came back."""
    figures = Figures(*KINDS, aloud=True)
    deadline = time.monotonic() + seconds
    interval = sys.getswitchinterval()
    kept: dict[bool, list[Model]] = {}
    sys.setswitchinterval(1e-5)
    try:
        for number in itertools.count():
            if (rounds is not None and number >= rounds) or (
                rounds is None and time.monotonic() > deadline
            ):
                break
            batch = number // len(CACHES) % 2 == 1
            if engine in FRESH or batch not in kept:
                kept[batch] = [model(engine, seed + number + k, batch=batch) for k in (0, 1)]
            cache = CACHES[number % len(CACHES)]
            models = kept[batch] if cache == "shared" else kept[batch][:1]
            figures.add("rounds")
            if not round_of(world(cache, models, seed + number, figures), seed + number, figures):
                return figures, False
    finally:
        sys.setswitchinterval(interval)
    return figures, True
