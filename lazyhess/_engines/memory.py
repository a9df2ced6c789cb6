"""Passes that memory does not suffice for, tried again with fewer seeds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from lazyhess._indices import Shape

T = TypeVar("T")


def out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python or of NumPy says that memory did not suffice."""
    return isinstance(error, MemoryError)


# Passes of the most seeds that went well, after which more memory may be free again.
PATIENCE = 64


class SeedLimit:
    """How many seeds a pass may have: half as many as there were whenever memory did not suffice.

    After `PATIENCE` passes that went well, in this request or later ones, it is twice as many.

    Parameters
    ----------
    out_of_memory : callable
        Whether an error says that memory did not suffice.
    needed : callable
        What one seed needs, in words.
    """

    def __init__(
        self, out_of_memory: Callable[[BaseException], bool], needed: Callable[[], str]
    ) -> None:
        self.out_of_memory, self.needed = out_of_memory, needed
        self.most: int | None = None
        self._well = 0

    def run(self, count: int, compute: Callable[[int], T]) -> tuple[int, T]:
        """``compute(count)``, or of fewer seeds; and of how many.

        Raises
        ------
        MemoryError
            If not even one seed fits.
        """
        count = count if self.most is None else min(count, self.most)
        while True:
            try:
                answer = compute(count)
                self._went_well(count)
                return count, answer
            except Exception as error:
                if not self.out_of_memory(error):
                    raise
                if count <= 1:
                    raise MemoryError(self.needed()) from error
            # Out of the handler: the error keeps all arrays of the pass alive.
            count = self.most = count // 2
            self._well = 0

    def _went_well(self, count: int) -> None:
        if self.most is not None and count == self.most:
            self._well += 1
            if self._well == PATIENCE:
                self.most, self._well = 2 * self.most, 0

    def passes(self, total: int, size: int, compute: Callable[[int, int], T]) -> Iterator[T]:
        """``compute(start, count)`` for parts of some seeds, in order."""
        start = 0
        while start < total:
            count, part = self.run(min(size, total - start), partial(compute, start))
            yield part
            start += count


def needed(x: Shape, dtype: Any, rows: Sequence[Shape], nbytes: int) -> str:
    """What to say where one product does not fit into memory.

    Parameters
    ----------
    x, dtype
        Of the input that it is by.
    rows : sequence of tuple of int
        The shapes of the inputs that it is seen by.
    nbytes : int
        What it needs, about.
    """
    name = re.search(r"[a-z]+\d+", str(dtype))  # of any framework's
    seen = " and ".join(str(tuple(shape)) for shape in rows)
    return (
        f"one Hessian-vector product by an x of shape {tuple(x)}, a row of shape {seen} and dtype "
        f"{name[0] if name else dtype}, needs about {nbytes} bytes, and memory does not suffice; "
        "free some (H.cache_clear(), or cache=None, keeps no rows), compute ys of fewer samples at "
        "a time, or take a narrower dtype"
    )
