"""Short searches for what breaks the proxy; the long ones run by ``python -m tests.stress``."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest

from tests.stress import copies, fork, interrupts, lines, threads
from tests.stress.asks import difference
from tests.stress.figures import Figures
from tests.stress.models import blocks_of, dense_model, model
from tests.stress.recorder import Recorder
from tests.stress.scenes import SCENES, until_waiting
from tests.stress.trace import MODES, Tracer

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
signals = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")


def clean(figures: Figures, *counted: str) -> None:
    """Nothing was found, and something was looked at."""
    assert figures.clean, str(figures)
    assert all(figures.counts[name] for name in counted), str(figures)


@pytest.mark.parametrize("engine", ["dense", "numpy", "create_graph"])
def test_threads(engine):
    figures, ended = threads.run(engine, 0, 5, rounds=len(threads.CACHES))
    clean(figures, "requests", "looks at the bound", "rows computed")
    assert ended


@pytest.mark.parametrize("engine", ["dense", "create_graph"])
@pytest.mark.parametrize("cache", [None, 400, "1GiB"])
def test_overlapping_flights_give_each_row_once(engine, cache):
    """Two flights compute some of the same rows for different blocks; a third request needs both."""
    one = model(engine, 0)
    recorder = Recorder(one.engine, Figures())
    blocks = blocks_of(recorder, cache)
    go, inside = threading.Event(), [threading.Event(), threading.Event()]
    rows = recorder.rows
    calls = iter(range(100))

    def held(i, ids, columns):
        k = next(calls)
        if k < 2:
            inside[k].set()
            assert go.wait(30)
        return rows(i, ids, columns)

    recorder.rows = held
    faults = []

    def ask(i, j, index):
        try:
            if text := difference(blocks[i][j][index], one.dense[i][j][index]):
                faults.append(text)
        except Exception as error:
            faults.append(repr(error))

    asked = [(0, 0, np.s_[0:5]), (0, 1, np.s_[4:6]), (0, 0, np.s_[::-1])]
    team = [threading.Thread(target=ask, args=request, daemon=True) for request in asked]
    for k in (0, 1):
        team[k].start()
        assert inside[k].wait(30)
    team[2].start()
    until_waiting(team[2])
    go.set()
    for thread in team:
        thread.join(30)
        assert not thread.is_alive()
    assert faults == []


@signals
@pytest.mark.parametrize("engine", ["numpy", "create_graph"])
def test_interrupts(engine):
    clean(interrupts.run(engine, 40, 3), "interrupts")


@pytest.mark.parametrize("mode", MODES)
def test_errors_at_places(mode):
    # Every place of the long search comes in some of them; here are a few of each scene.
    scenes = ("unknown", "evicted", "shared", "cleared", "met", "waited")
    figures = lines.run(scenes=scenes, modes=(mode,), stride=67, first=3, watchers=1)
    clean(figures, f"{mode} KeyboardInterrupt")


@forks
def test_forks_at_places():
    figures = Figures()
    fork.at_lines(figures, ("unknown", "evicted", "shared"), stride=67, start=2)
    clean(figures, "forks at lines")


@forks
@pytest.mark.parametrize("engine", ["dense", "numpy"])
def test_forks_under_load(engine):
    figures = Figures()
    fork.under_load(figures, engine, 20, 0)
    clean(figures, "forks under load")


def test_copies():
    clean(copies.run("numpy", 18, 0), "copies", "copies under load")


# --- the searches find what is planted ------------------------------------------------------------
def test_a_row_in_place_of_another_is_found():
    one = dense_model(0)
    one.dense = [[block.copy() for block in row] for row in one.dense]
    block = one.engine.blocks[0, 0]
    block[:, [3, 4]] = block[:, [4, 3]]
    figures = Figures()
    assert threads.round_of(threads.world("large", [one], 0, figures), 0, figures)
    assert any("H[0][0]" in text for text in figures.faults["wrong"])


def test_rows_that_two_threads_compute_are_found():
    figures = Figures()
    recorder = Recorder(dense_model(0).engine, figures)
    rows = np.arange(3)
    first, second = recorder.rows(0, rows, (0,)), recorder.rows(0, rows[1:], (0, 1))
    next(first), next(second)
    assert figures.faults == {"computed twice at once": [": [(0, 0, 1), (0, 0, 2)]"]}
    list(first), list(second)
    assert recorder.repeated() == [(0, 0, 1), (0, 0, 2)]


def test_a_scene_has_places_of_every_kind():
    make, play = SCENES["unknown"]
    fresh = make()
    for mode in MODES:
        tracer = Tracer(mode, 4, lambda: None)
        with tracer:
            play(fresh())
        assert tracer.fired
        again = Tracer(mode, tracer.count, lambda: None)
        with again:
            play(fresh())
        assert again.count >= tracer.count
