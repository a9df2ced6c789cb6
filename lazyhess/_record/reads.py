"""Who asked for a value: what Python decided by it is not decided again at another point."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from itertools import count

# Numbers Variables, and reads of values between them, in the order of recording.
serials = count()
# Serial numbers at which somebody asked for a value, and may have decided something by it. What
# was asked before the oldest of them is forgotten, and taken to have been asked.
_reads: deque[int] = deque(maxlen=1 << 11)


def note() -> None:
    """Remember that a value is asked for now, other than by a primitive."""
    _reads.append(next(serials))


def now() -> int:
    """A serial number for now, see `since`."""
    return next(serials)


def since(serial: int) -> bool:
    """Whether a value was asked for since then."""
    return bool(_reads) and _reads[-1] > serial


def between(first: int, last: int) -> bool:
    """Whether a value was asked for between the serial numbers of two Variables."""
    while _reads:
        newest = _reads[-1]
        if newest < first:
            return False
        before = bisect_left(_reads, last)  # how many were asked for before the last
        read = _reads[before - 1] if before else None
        if _reads[-1] == newest:  # else another thread was asking
            return len(_reads) == _reads.maxlen if read is None else read > first
    return False
