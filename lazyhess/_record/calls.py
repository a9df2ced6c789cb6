"""Whether a function given as ys is being called for its record, or for a framework's graph.

Inside such a function derivatives are recorded unless somebody says otherwise, see
`lazyhess._frontends.request.Request.recorded`, and every look at a value counts as a read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_depth: ContextVar[int] = ContextVar("depth", default=0)  # of calls within calls
_running: set[object] = set()  # calls of all threads
# Serial numbers of the Variables that functions are being called with, in any thread.
INPUTS: set[int] = set()


@contextmanager
def calling() -> Iterator[None]:
    """Within it, in this thread, a function given as ys is being called."""
    call, before = object(), _depth.get()
    try:  # from here on: an interrupt may come between any two lines
        _running.add(call)
        _depth.set(before + 1)
        yield
    finally:
        try:
            _depth.set(before)
        finally:
            _running.discard(call)


def being_called() -> bool:
    """Whether a function given as ys is being called in this thread."""
    return _depth.get() > 0


def anywhere() -> bool:
    """Whether a function given as ys is being called in any thread: it may have started others."""
    return bool(_running)
