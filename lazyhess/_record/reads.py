"""Who asked for a value: what Python decided by it is not decided again at another point.

Every road from a Variable to a plain number passes `note`, or `look` where a person may only look.
"""

from __future__ import annotations

from itertools import count

from lazyhess._locks import lock
from lazyhess._record.calls import anywhere

# Numbers Variables, and reads of values between them, in the order of recording.
serials = count()
# The serial number at which somebody asked for a value last, and may have decided something by it.
# Every Variable remembers what it was when it was recorded.
newest = -1
_turn = lock()


def note() -> None:
    """Remember that a value is asked for now, other than by a primitive."""
    global newest
    with _turn:  # or a thread could put an older number over a newer one
        newest = next(serials)


def look() -> None:
    """Remember that a value is shown now: a read only in a function that can be called again.

    By hand people print what they record, and debuggers show it; a function may parse what it
    prints.
    """
    if anywhere():
        note()


def now() -> int:
    """A serial number for now, see `since`."""
    return next(serials)


def since(serial: int) -> bool:
    """Whether a value was asked for since then."""
    return newest > serial
