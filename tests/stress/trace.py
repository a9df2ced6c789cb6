"""Do something at the n-th place of what is executed in some modules.

Places are events of `sys.settrace`: each ``line``, ``call`` or ``return`` of the proxy's modules. Mode
``signal`` are the places where CPython serves a signal, of all that the proxy calls in Python: where
a function begins, after a call of C, and where a loop jumps back. There, and only there, Ctrl-C can
come.

Left out: the ``line`` on which a `with` leaves. It is told after the body and before ``__exit__``; no
signal is served and no memory taken between them, so what is raised there stands for nothing real.
"""

from __future__ import annotations

import contextlib
import dis
import os
import sys
import threading
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from types import CodeType, FrameType
from typing import Any

import cachetools

import lazyhess

MODES = ("line", "call", "return", "signal")
_LIBRARY = os.path.dirname(lazyhess.__file__)
PROXY = (os.path.join(_LIBRARY, "_proxy"), os.path.join(_LIBRARY, "_locks.py"))
BESIDE = (threading.__file__, contextlib.__file__, os.path.dirname(cachetools.__file__))
_CHECKS = {"CALL", "CALL_FUNCTION_EX", "CALL_KW", "JUMP_BACKWARD", "RESUME"}


class Tracer:
    """Counts places while it is entered, and acts at one of them.

    Parameters
    ----------
    mode : {"line", "call", "return", "signal"}
        What is a place.
    number : int
        At which place to act; -1 for none.
    act : callable
        What to do there: it may raise.
    """

    def __init__(self, mode: str, number: int, act: Callable[[], None]) -> None:
        self.mode, self.number, self.act = mode, number, act
        self.count = 0
        self.fired: str | None = None  # where it acted
        self._last: dict[int, str] = {}  # of each frame the instruction executed last
        self._called: set[int] = set()  # frames that called a function of Python

    def __enter__(self) -> Tracer:
        sys.settrace(self._enter)
        return self

    def __exit__(self, *args: object) -> None:
        sys.settrace(None)

    def _enter(self, frame: FrameType, event: str, arg: Any) -> Any:
        if self.mode == "signal":
            self._last.pop(id(frame), None)  # of a frame that is gone
            self._called.discard(id(frame))
            if frame.f_back is not None:
                self._called.add(id(frame.f_back))
        if not (_of_signals(frame) if self.mode == "signal" else _of_proxy(frame)):
            return None
        if self.mode == "signal":
            frame.f_trace_lines, frame.f_trace_opcodes = False, True
            self._place(frame, "begins")
        elif self.mode == "call":
            self._place(frame, "called")
        return self._local

    def _local(self, frame: FrameType, event: str, arg: Any) -> Any:
        if self.mode == "signal":
            self._instruction(frame, event)
        elif event == self.mode and not (event == "line" and leaves(frame)):
            self._place(frame, event)
        return self._local

    def _instruction(self, frame: FrameType, event: str) -> None:
        key = id(frame)
        if event == "return":
            self._last.pop(key, None)
            return
        if event != "opcode":
            return
        before, called = self._last.get(key), key in self._called
        self._called.discard(key)
        self._last[key] = instructions(frame.f_code).get(frame.f_lasti, "")
        if before in _CHECKS and not called:
            self._place(frame, f"after {before}")

    def _place(self, frame: FrameType, what: str) -> None:
        number = self.count
        self.count += 1
        if number == self.number:
            name = os.path.basename(frame.f_code.co_filename)
            self.fired = f"{name}:{frame.f_lineno} {frame.f_code.co_qualname} ({what})"
            sys.settrace(None)
            self.act()


def _of_proxy(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(PROXY)


def _of_signals(frame: FrameType | None) -> bool:
    """Whether this is the proxy, or what it calls of Python's own modules."""
    while frame is not None and frame.f_code.co_filename.startswith(BESIDE):
        frame = frame.f_back
    return frame is not None and _of_proxy(frame)


@lru_cache(None)
def instructions(code: CodeType) -> dict[int, str]:
    """The name of the instruction at each offset."""
    return {one.offset: one.opname for one in dis.get_instructions(code)}


@lru_cache(None)
def _leaving(code: CodeType) -> frozenset[int]:
    """Where the calls of ``__exit__`` begin."""
    found = []
    steps = [one for one in dis.get_instructions(code) if one.opname != "EXTENDED_ARG"]
    for a, b in pairwise(steps):
        if (a.opname, b.opname) == ("PUSH_EXC_INFO", "WITH_EXCEPT_START"):
            found.append(a.offset)
    for a, b, c, *rest in zip(steps, steps[1:], steps[2:], steps[3:], steps[4:], strict=False):
        nothing = all(one.opname == "LOAD_CONST" and one.argval is None for one in (a, b, c))
        if nothing and any(one.opname == "CALL" and one.arg == 2 for one in rest):
            found.append(a.offset)
    return frozenset(found)


def leaves(frame: FrameType) -> bool:
    """Whether what comes next is that a `with` leaves."""
    return frame.f_lasti in _leaving(frame.f_code)
