"""The memory of temporaries."""

from __future__ import annotations

import os
import threading

import numpy as np

from lazyhess._costs import COSTS
from lazyhess._indices import Array


class _Reserved(threading.local):
    """What this thread holds above its reserve; the C library has a heap for each thread."""

    done = False
    lid: Array | None = None


_reserved = _Reserved()


def _glibc() -> bool:
    """Whether the C library is one that hands memory back, and takes it anew page by page."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") not in (None, "")
    except (AttributeError, ValueError, OSError):
        return False


_GLIBC = _glibc()


def reserve(nbytes: int) -> None:
    """Keep some memory for temporaries of passes, once so many bytes of them are to come.

    glibc hands the free memory at the top of its heap back to the system, and gets it again page by
    page: for each pass anew. What is free below something in use it keeps. So a small array is put
    above a stretch of free memory, from which the arrays of passes are then taken, and of anyone
    else that fit. None of its pages is touched here, so it takes no memory before it is used, and
    no more than `COSTS.reserved_bytes` after. Each thread has its own, which is free
    for the next thread when it ends.

    An array of the size of a pass is freed first: from then on glibc takes arrays of that size
    from its heap, as it does in any program that has freed such an array (see "dynamic mmap
    threshold" in mallopt(3)), and passes would do soon after.
    """
    if nbytes < COSTS.reserve_from or _reserved.done:
        return
    _reserved.done = True
    piece = COSTS.reserved_piece
    if not _GLIBC or not piece or COSTS.reserved_bytes < piece:
        return
    try:
        np.empty(piece, np.uint8)
        count = COSTS.reserved_bytes // piece
        # A little smaller, with what the C library adds to them. The last one lies on top.
        pieces = [np.empty(piece - (1 << 16), np.uint8) for _ in range(count + 1)]
    except MemoryError:  # the address space is bounded
        return
    lid = pieces.pop()
    lid.resize(1 << 11, refcheck=False)  # in place: above all others, where it was
    _reserved.lid = lid
