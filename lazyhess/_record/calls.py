"""Whether a function given as ys is being called for its record, or for a framework's graph.

Inside such a function derivatives are recorded unless somebody says otherwise, see
`lazyhess._frontends.request.Request.recorded`, and every look at a value counts as a read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_depth: ContextVar[int] = ContextVar("depth", default=0)  # of calls within calls


@contextmanager
def calling() -> Iterator[None]:
    """Within it, in this thread, a function given as ys is being called."""
    token = _depth.set(_depth.get() + 1)
    try:
        yield
    finally:
        _depth.reset(token)


def being_called() -> bool:
    """Whether a function given as ys is being called in this thread."""
    return _depth.get() > 0
