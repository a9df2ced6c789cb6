"""The memory of temporaries: that of others is as without us, and ours is bounded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lazyhess as lh
from lazyhess._costs import COSTS
from lazyhess._tangents import heap
from tests.costs import costs

ROOT = Path(lh.__file__).parent.parent
MIB = 1 << 20

# What a program of others does, and what it keeps resident, in bytes.
FOREIGN = """
import gc, sys
import numpy as np

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if "VmRSS" in line)

def foreign(size, count, small):
    arrays, between = [], []
    for _ in range(count):
        arrays.append(np.ones(size, np.uint8))
        between.append(bytearray(small))
    arrays.clear()
    gc.collect()
    return resident()
"""
REQUEST = """
def request():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 50))
    y = rng.normal(size=2000)
    H = lh.hessian(lambda w: np.sum(np.log(1 + np.exp(y * (X @ w)))), 0.1 * rng.normal(size=50))
    H[:]
"""

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads resident memory from /proc"
)


def run(code: str) -> list[int]:
    """The numbers that a fresh process prints."""
    command = [sys.executable, "-c", FOREIGN + REQUEST + code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


@needs_proc
@pytest.mark.parametrize("size, count", [(24 * MIB, 20), (4 * MIB, 60), (MIB, 200)])
@pytest.mark.parametrize("small", [10, 5000])
def test_an_import_leaves_the_memory_of_others_alone(size: int, count: int, small: int) -> None:
    """Arrays of others that are freed are given back, whatever small things lie between them."""
    (without,) = run(f"import cachetools; print(foreign({size}, {count}, {small}))")
    before, with_us = run(
        f"import lazyhess; print(resident()); print(foreign({size}, {count}, {small}))"
    )
    (bare,) = run("import cachetools; print(resident())")
    assert abs((with_us - before) - (without - bare)) < 10 * MIB


@needs_proc
def test_after_a_request_others_keep_no_more_than_the_reserve() -> None:
    """Arrays of others that fit are taken from it; the rest is given back."""
    before, after = run(
        "import lazyhess as lh; request(); gc.collect(); print(resident())\n"
        f"print(foreign({24 * MIB}, 20, 5000))"
    )
    assert after - before < COSTS.reserved_bytes + 10 * MIB


@needs_proc
def test_what_requests_leave_is_bounded() -> None:
    """However many there were, and however large their temporaries."""
    before, after = run(
        "import lazyhess as lh\n"
        "print(resident())\n"
        "for n in (200, 400, 600, 500, 300):\n"
        "    A = np.ones((n, n))\n"
        "    H = lh.hessian(lambda x: np.sum(np.tanh(A @ x + x) ** 2), np.ones(n))\n"
        "    H[:]\n"
        "del H; gc.collect(); print(resident())"
    )
    assert after - before < 100 * MIB


def test_memory_is_reserved_for_large_requests_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    reserved = heap._Reserved()
    monkeypatch.setattr(heap, "_reserved", reserved)
    x = np.linspace(0, 1, 5)
    lh.hessian(lambda x: np.sum(x**3), x)[:]
    assert not reserved.done
    with costs(reserved_bytes=1 << 20, reserved_piece=1 << 18):
        lh.hessian(lambda x: np.sum(x**3) ** 2, np.linspace(0, 1, 600))[:2]
    assert reserved.done
    assert reserved.lid is None or reserved.lid.nbytes == 1 << 11


def test_without_room_nothing_is_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    reserved = heap._Reserved()
    monkeypatch.setattr(heap, "_reserved", reserved)
    with costs(reserved_bytes=0):
        heap.reserve(1 << 30)
    with costs(reserved_bytes=1 << 62, reserved_piece=1 << 61):  # the address space is bounded
        reserved.done = False
        heap.reserve(1 << 30)
    assert reserved.done
    assert reserved.lid is None
