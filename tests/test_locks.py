"""Changes that are whole or undone, whatever comes between two lines; locks in a forked child."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from lazyhess import _locks
from lazyhess._locks import Shared, exclusive, lock, under


class Pair(Shared):
    """Two numbers that are always the same."""

    def __init__(self) -> None:
        super().__init__()
        self.a = self.b = 0

    def repair(self) -> None:
        self.b = self.a

    @exclusive
    def step(self) -> int:
        self.a += 1
        self.b += 1
        return self.b

    @exclusive
    def both(self) -> tuple[int, int]:
        return self.a, self.b


def free(lock) -> bool:
    """Whether another thread can take a lock."""
    answers: list[bool] = []

    def take():
        answers.append(lock.acquire(timeout=5))
        if answers[0]:
            lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return answers[0]


def interrupted(function, at: int, modules: tuple[str, ...]) -> bool:
    """Call a function and raise at one of the events in some files; whether it was reached."""
    count = 0

    def trace(frame, event, arg):
        nonlocal count
        if frame.f_code.co_filename not in modules:
            return None
        count += 1
        if count == at:
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def test_an_exception_at_any_line_leaves_all_right():
    at = 1
    while True:
        pair = Pair()
        reached = interrupted(pair.step, at, (__file__, _locks.__file__))
        assert free(pair._lock), at
        a, b = pair.both()
        assert a == b, at
        assert pair.step() == a + 1
        if not reached:
            break
        at += 1
    assert at > 8


def test_a_function_under_a_lock_lets_go_of_it_at_any_line():
    mine = lock()

    @under(mine)
    def inner():
        return 1

    @under(mine)
    def outer():
        return inner() + 1

    at = 1
    while interrupted(outer, at, (__file__, _locks.__file__)):
        assert free(mine), at
        at += 1
    assert at > 8
    assert outer() == 2
    assert free(mine)


def test_whoever_asks_in_the_midst_of_a_change_is_told():
    class Asking(Pair):
        @exclusive
        def ask(self) -> None:
            self.both()

    asking = Asking()
    with pytest.raises(RuntimeError, match="signal handler"):
        asking.ask()
    assert free(asking._lock)
    assert asking.step() == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_finds_locks_free_that_other_threads_held():
    pair, mine = Pair(), lock()
    held, done = threading.Event(), threading.Event()

    def hold():
        with mine, pair._lock:
            pair.a += 1
            pair._changing = True
            held.set()
            done.wait()
            pair._changing = False
            pair.b += 1

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        right = mine.acquire(timeout=5) and pair.both() == (1, 1)
        os._exit(0 if right else 1)
    done.set()
    thread.join()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert pair.both() == (1, 1)
