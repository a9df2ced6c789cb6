"""The memory of temporaries."""

from __future__ import annotations

import numpy as np


def keep() -> None:
    """Have glibc reuse the memory of temporaries instead of fetching it anew, page by page.

    It hands freed memory back to the system until a program has freed something large; from then
    on it keeps up to twice as much (see "dynamic mmap threshold" in mallopt(3)). So something
    large is freed, the largest that counts. The second time it comes from the heap itself, where
    NumPy asks for huge pages under it. None of its pages is touched, so none takes memory.
    """
    for _ in range(2):
        np.empty((1 << 25) - (1 << 16), np.uint8)
