"""Whether a function given as ys is being called for its record, or for a framework's graph.

Inside such a function derivatives are recorded unless somebody says otherwise, see
`lazyhess._frontends.request.Request.recorded`, and every look at a value counts as a read.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_depth: ContextVar[int] = ContextVar("depth", default=0)  # of calls within calls
_running = 0  # calls of all threads together
# Serial numbers of the Variables that functions are being called with, in any thread.
INPUTS: set[int] = set()
_turn = threading.Lock()


@contextmanager
def calling() -> Iterator[None]:
    """Within it, in this thread, a function given as ys is being called."""
    global _running
    token = _depth.set(_depth.get() + 1)
    with _turn:
        _running += 1
    try:
        yield
    finally:
        with _turn:
            _running -= 1
        _depth.reset(token)


def being_called() -> bool:
    """Whether a function given as ys is being called in this thread."""
    return _depth.get() > 0


def anywhere() -> bool:
    """Whether a function given as ys is being called in any thread: it may have started others."""
    return _running > 0
