"""Copies of a Hessian, by pickle and by copy: right, with what is kept, and apart from each other."""

from __future__ import annotations

import copy
import gc
import itertools
import os
import pickle
import re
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import cachetools
import numpy as np

import lazyhess as lh
from lazyhess._proxy import chunks, hessian, rows
from tests.stress.asks import difference, random_ask, wrong_blocks
from tests.stress.caches import NAMED, Pickling, SelfCopying
from tests.stress.figures import Figures
from tests.stress.models import SHAPES, blocks_of, dense_model, model

KINDS = (
    "wrong",
    "raised",
    "hung",
    "kept rows lost",
    "rows of dead Hessians stay",
    "pickles carry no version",
    "above the bound",
)

Copy = Callable[[Any], Any]
WAYS: dict[str, Copy] = {
    "pickle": lambda one: pickle.loads(pickle.dumps(one)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}
CACHES: dict[str, Callable[[], Any]] = {
    "1GiB": lambda: "1GiB",
    "500 bytes": lambda: 500,
    "none": lambda: None,
    "LRU": lambda: cachetools.LRUCache(1000),
    "TTL": lambda: cachetools.TTLCache(1000, ttl=3600),
    "LFU": lambda: cachetools.LFUCache(1000),
    "pickling": lambda: Pickling(1000),
    "copying to itself": lambda: SelfCopying(1000),
    "named": lambda: NAMED,
}
# In these the copy starts with a cache that has, or that can have, what was kept.
_KEEPING = ("1GiB", "LRU", "TTL", "LFU", "pickling", "copying to itself", "named")


def apart(figures: Figures, seed: int) -> None:
    """Copies go on by themselves, and none ever gives the rows of another."""
    cases = itertools.product(CACHES.items(), WAYS.items(), (SHAPES, SHAPES[:1]))
    for (name, cache), (way, copied), shapes in cases:
        NAMED.clear()
        figures.add("copies")
        try:
            _apart(figures, f"cache {name}, {way}", cache(), copied, shapes, seed)
        except Exception:
            figures.fault("raised", f"cache {name}, {way}: {traceback.format_exc(-4)}")


def _apart(
    figures: Figures,
    where: str,
    cache: Any,
    copied: Copy,
    shapes: tuple[tuple[int, ...], ...],
    seed: int,
) -> None:
    one = dense_model(seed, shapes=shapes)
    first = blocks_of(one.engine, cache)
    first[0][0][0:2]
    twins = [first, copied(first), copied(first)]
    twins.append(copied(twins[1]))
    for row in range(8):  # as many rows by each, and not the same rows
        twins[row % len(twins)][0][0][row % 7]
    for k, row in itertools.product(range(len(twins)), range(7)):
        if wrong := difference(twins[k][0][0][row], one.dense[0][0][row]):
            figures.fault("wrong", f"{where}: copy {k}: H[0][0][{row}]: {wrong}")
    rng = np.random.default_rng(seed)
    for _ in range(60):
        k = int(rng.integers(0, len(twins)))
        text, ask, want = random_ask(rng, twins[k], one.dense)
        if wrong := difference(ask(), want):
            figures.fault("wrong", f"{where}: copy {k}: {text}: {wrong}")
            break
    for twin in twins:
        if wrong := wrong_blocks(twin, one.dense):
            figures.fault("wrong", f"{where}: {wrong}")
        info = twin[0][0].cache_info()
        if info.currsize > info.maxsize:
            figures.fault("above the bound", f"{where}: {info}")


def keep(figures: Figures, engine: str, seed: int) -> None:
    """What is kept goes along: the copy computes nothing that is known."""
    for name, way in itertools.product(_KEEPING, ("pickle", "deepcopy")):
        NAMED.clear()
        figures.add("copies with rows")
        where = f"{engine}, cache {name}, {way}"
        try:
            one = model(engine, seed)
            first = blocks_of(one.engine, CACHES[name]())
            wrong_blocks(first, one.dense)
            twin = WAYS[way](first)
            before, kept = twin[0][0].cache_info(), first[0][0].cache_info()
            if before.rows != kept.rows:
                figures.fault("kept rows lost", f"{where}: {before.rows} of {kept.rows} rows")
            if wrong := wrong_blocks(twin, one.dense):
                figures.fault("wrong", f"{where}: {wrong}")
            after = twin[0][0].cache_info()
            if after.products != before.products:
                text = f"{where}: {after.products - before.products} products run again"
                figures.fault("kept rows lost", text)
            twin[0][0].cache_clear()
            if first[0][0].cache_info().rows != kept.rows:
                figures.fault("kept rows lost", f"{where}: clearing the copy cleared the original")
            if wrong := wrong_blocks(first, one.dense) or wrong_blocks(twin, one.dense):
                figures.fault("wrong", f"{where}: {wrong}")
        except Exception:
            figures.fault("raised", f"{where}: {traceback.format_exc(-4)}")


def together(figures: Figures, seed: int) -> None:
    """Two Hessians that share a cache, copied at once, share a copy of it, without the old rows."""
    for name, make in CACHES.items():
        for way in ("pickle", "deepcopy"):
            cache = make()
            if not isinstance(cache, cachetools.Cache):
                continue
            cache.clear()
            where = f"cache {name}, {way}"
            figures.add("copies of two that share a cache")
            try:
                both = [dense_model(seed + k) for k in (0, 1)]
                pair = [blocks_of(one.engine, cache) for one in both]
                for one, blocks in zip(both, pair, strict=True):
                    wrong_blocks(blocks, one.dense)
                twins = WAYS[way](pair)
                other = twins[0][0][0]._source.store.cache
                for one, blocks in zip(both, twins, strict=True):
                    if blocks[0][0]._source.store.cache is not other:
                        figures.fault("wrong", f"{where}: the copies do not share the cache")
                    if wrong := wrong_blocks(blocks, one.dense):
                        figures.fault("wrong", f"{where}: {wrong}")
                for one, blocks in zip(both, pair, strict=True):
                    if wrong := wrong_blocks(blocks, one.dense):
                        figures.fault("wrong", f"{where}: the original: {wrong}")
                del pair, twins, blocks
                gc.collect()
                for which, at in (("cache", cache), ("copied cache", other)):
                    if len(at):
                        text = f"{where}: {len(at)} chunks in the {which} of two that are gone"
                        figures.fault("rows of dead Hessians stay", text)
            except Exception:
                figures.fault("raised", f"{where}: {traceback.format_exc(-4)}")


def dead(figures: Figures, seed: int) -> None:
    """Rows leave a shared cache with their Hessian; those of others stay."""
    for name in ("LRU", "TTL", "pickling", "copying to itself"):
        cache = CACHES[name]()
        one, two = dense_model(seed), dense_model(seed + 1)
        first, second = blocks_of(one.engine, cache), blocks_of(two.engine, cache)
        wrong_blocks(second, two.dense)
        before = len(cache)
        wrong_blocks(first, one.dense)
        figures.add("Hessians that died")
        del first
        gc.collect()
        if len(cache) != before:
            text = f"cache {name}: {len(cache)} chunks, {before} of a Hessian that lives"
            figures.fault("rows of dead Hessians stay", text)
        rerun = second[0][0].cache_info().products
        wrong_blocks(second, two.dense)
        if second[0][0].cache_info().products != rerun:
            figures.fault("kept rows lost", f"cache {name}: a Hessian died, and took more with it")
        threads = [
            threading.Thread(target=lambda: wrong_blocks(blocks_of(one.engine, cache), one.dense))  # noqa: B023
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        gc.collect()
        if len(cache) != before:
            text = f"cache {name}: {len(cache)} chunks after threads, {before} of one that lives"
            figures.fault("rows of dead Hessians stay", text)
    # Newton's method walks from point to point.
    cache = cachetools.LRUCache(10_000)
    H = lh.hessian(lambda x: np.sum(np.cosh(x)) ** 2, np.linspace(0, 1, 4), cache=cache)
    sizes = []
    for k in range(12):
        np.asarray(H)
        H = H.at(np.linspace(0, 1, 4) + k)
        gc.collect()
        sizes.append(len(cache))
    figures.add("points")
    if sizes[-1] > sizes[1]:
        figures.fault("rows of dead Hessians stay", f"at 12 points: {sizes} chunks")


def from_a_fork(figures: Figures, seed: int) -> None:
    """A child's pickle comes home to a cache where the parent made a Hessian at the same place."""
    if not hasattr(os, "fork"):
        return
    one, two = dense_model(seed), dense_model(seed + 1)
    NAMED.clear()
    reading, writing = os.pipe()
    if not os.fork():
        try:
            blocks = blocks_of(two.engine, NAMED)
            blocks[0][0][0:2]
            with os.fdopen(writing, "wb") as file:
                file.write(pickle.dumps(blocks))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        data = file.read()
    os.wait()
    mine = blocks_of(one.engine, NAMED)
    mine[0][0][0:3]
    figures.add("pickles of a fork")
    try:
        theirs = pickle.loads(data)
        for k in (1, 3, 2, 5):
            for blocks, dense in ((theirs, two.dense), (mine, one.dense)):
                if wrong := difference(blocks[0][0][k : k + 2], dense[0][0][k : k + 2]):
                    figures.fault("wrong", f"a pickle of a fork, in one cache: {wrong}")
        if wrong := wrong_blocks(theirs, two.dense) or wrong_blocks(mine, one.dense):
            figures.fault("wrong", f"a pickle of a fork, in one cache: {wrong}")
    except Exception:
        figures.fault("raised", f"a pickle of a fork: {traceback.format_exc(-4)}")


def versions(figures: Figures, seed: int) -> None:
    """A pickle of another version is refused, with words."""
    one = dense_model(seed)
    blocks = blocks_of(one.engine, "1GiB")
    blocks[0][0][0]
    places = [rows, chunks, hessian, rows.RowSource, chunks.Store, hessian.Hessian]
    found = [
        (place, name)
        for place in places
        for name, value in vars(place).items()
        if re.search("format|version", name, re.I) and type(value) is int
    ]
    if not found:
        figures.fault("pickles carry no version", "no constant of that name")
    for place, name in found:
        value = getattr(place, name)
        for other in (value - 1, value + 1):
            setattr(place, name, other)
            try:
                data = pickle.dumps(blocks)
            finally:
                setattr(place, name, value)
            figures.add("pickles of another version")
            try:
                pickle.loads(data)
                figures.fault("pickles carry no version", f"{name} = {other} was read")
            except Exception as error:
                if not re.search("version|format", str(error)) or str(other) not in str(error):
                    figures.fault("pickles carry no version", f"the error says {error!r}")
    if wrong := wrong_blocks(WAYS["pickle"](blocks), one.dense):
        figures.fault("wrong", wrong)


def under_load(figures: Figures, engine: str, count: int, seed: int) -> None:
    """Copies while threads ask, clear and evict."""
    for number, (name, make) in enumerate(CACHES.items()):
        NAMED.clear()
        one = model(engine, seed + number)
        blocks = blocks_of(one.engine, make())
        over = threading.Event()

        def ask(k: int) -> None:
            rng = np.random.default_rng((seed, number, k))  # noqa: B023
            while not over.is_set():  # noqa: B023
                if rng.random() < 0.1:
                    blocks[0][0].cache_clear()  # noqa: B023
                text, one_ask, want = random_ask(rng, blocks, one.dense)  # noqa: B023
                try:
                    if wrong := difference(one_ask(), want):
                        figures.fault("wrong", f"cache {name}: {text}: {wrong}")  # noqa: B023
                except Exception:
                    figures.fault("raised", f"cache {name}: {traceback.format_exc(-3)}")  # noqa: B023

        def take() -> None:
            for k in range(max(1, count // len(CACHES))):
                way = list(WAYS)[k % len(WAYS)]
                figures.add("copies under load")
                try:
                    twin = WAYS[way](blocks)  # noqa: B023
                    info = twin[0][0].cache_info()
                    if info.currsize > info.maxsize:
                        figures.fault("above the bound", f"cache {name}: {info}")  # noqa: B023
                    if wrong := wrong_blocks(twin, one.dense):  # noqa: B023
                        figures.fault("wrong", f"cache {name}, {way}: {wrong}")  # noqa: B023
                except Exception:
                    text = f"cache {name}, {way}: {traceback.format_exc(-4)}"  # noqa: B023
                    figures.fault("raised", text)

        team = [threading.Thread(target=ask, args=(k,), daemon=True) for k in range(3)]
        taker = threading.Thread(target=take, daemon=True)
        for thread in (*team, taker):
            thread.start()
        end = time.monotonic() + 60
        taker.join(60)
        over.set()
        for thread in (*team, taker):
            thread.join(max(1.0, end - time.monotonic()))
            if thread.is_alive():
                figures.fault("hung", f"cache {name}")
                return


def run(engine: str, count: int, seed: int) -> Figures:
    """All of it."""
    figures = Figures(*KINDS, aloud=True)
    apart(figures, seed)
    for one in dict.fromkeys(("dense", engine)):
        keep(figures, one, seed)
    together(figures, seed)
    dead(figures, seed)
    from_a_fork(figures, seed)
    versions(figures, seed)
    under_load(figures, engine, count, seed)
    return figures
