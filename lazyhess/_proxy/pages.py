"""Where the rows of a block are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lazyhess._indices import Ids, changes, span


class PageTable:
    """For every row of a block its chunk and its place there, as one number; 0 where it has none.

    Only the parts that were touched take memory.

    Attributes
    ----------
    known : int
        Rows that have a chunk.
    """

    def __init__(self) -> None:
        self._pages: dict[int, Ids] = {}
        self.known = 0

    def at(self, row: int) -> int:
        """The number of one row."""
        page = self._pages.get(row >> _BITS)
        return 0 if page is None else int(page[row & _PAGE - 1])

    def __getitem__(self, ids: Ids) -> Ids:
        numbers = np.zeros(len(ids), np.intp)
        for page, part, places in _pages(ids, span(ids)):
            if page in self._pages:
                numbers[part] = self._pages[page][places]
        return numbers

    def enter(self, ids: Ids, chunk: int, row: slice | None) -> None:
        """Set the rows of a new chunk, with the `span` of their ids."""
        numbers = np.arange(chunk << LOW, (chunk << LOW) + len(ids))
        if row is None and (ids[1:] <= ids[:-1]).any():
            order = np.argsort(ids, kind="stable")
            ids, numbers = ids[order], numbers[order]
        for page, part, places in _pages(ids, row):
            if page not in self._pages:
                self._pages[page] = np.zeros(_PAGE, np.intp)
            held = self._pages[page][places]
            self.known += held.size - int(np.count_nonzero(held))
            self._pages[page][places] = numbers[part]

    def leave(self, ids: Ids, chunk: int) -> None:
        """Forget the rows of a chunk, where no later one has them."""
        row = span(ids)
        ids = ids if row is not None else np.sort(ids)
        for page, _, places in _pages(ids, row):
            held = self._pages[page][places]
            mine = held >> LOW == chunk
            self.known -= int(np.count_nonzero(mine))
            self._pages[page][places] = np.where(mine, 0, held)


_BITS = 12
_PAGE = 1 << _BITS
# Of the number of a row, the bits that are its place in the chunk.
LOW = 31
PLACE = (1 << LOW) - 1


def _pages(ids: Ids, row: slice | None) -> Iterator[tuple[int, slice, Ids | slice]]:
    """The pages that sorted ids are on, which of the ids are on each, and where there.

    `row` is the `span` of the ids.
    """
    if row is not None:
        for page in range(row.start >> _BITS, (row.stop - 1 >> _BITS) + 1):
            first, last = page << _BITS, page + 1 << _BITS
            first, last = max(first, row.start), min(last, row.stop)
            low = first & (_PAGE - 1)
            yield page, slice(first - row.start, last - row.start), slice(low, low + last - first)
        return
    pages = ids >> _BITS
    starts = np.flatnonzero(changes(pages)).tolist()
    for start, stop in zip(starts, [*starts[1:], len(ids)], strict=True):
        yield int(pages[start]), slice(start, stop), ids[start:stop] & (_PAGE - 1)
