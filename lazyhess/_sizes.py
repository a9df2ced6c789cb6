"""Sizes in bytes, as users write them."""

from __future__ import annotations

import re
import sys
from decimal import Decimal
from typing import Any

import numpy as np

_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
_UNITS |= {f"{unit}i": 1024 ** (k + 1) for k, unit in enumerate("kmgt")}


def parse_bytes(size: Any, name: str, others: str) -> int:
    """Bytes of an int, or of a string such as ``"512MB"`` or ``"1GiB"``.

    Errors name the argument, and what else it may be.
    """
    if isinstance(size, str):
        match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([kmgt]?i?)b?\s*", size.lower())
        if match is None or match[2] not in _UNITS:
            raise ValueError(f'{name} must be bytes such as 10**9, "512MB" or "1GiB", got {size!r}')
        text = match[1]
        number: Any = int(text) if text.isdigit() and len(text) < 18 else Decimal(text)
        number *= _UNITS[match[2]]
    elif isinstance(size, bool) or not isinstance(size, (int, np.integer)):
        raise TypeError(
            f"{name} must be a number of bytes, a string such as '512MB'{others}, got "
            f"{type(size).__name__} {size!r}"
        )
    else:
        number = int(size)
    if number < 0:
        raise ValueError(f"{name} must not be negative, got {size}")
    if number > sys.maxsize:
        given = repr(size) if isinstance(size, str) else f"{Decimal(number):.3e}"
        given = given if len(given) < 40 else f"{given[:12]}... of {len(given) - 2} characters"
        raise ValueError(f"{name} must be at most {sys.maxsize} bytes, got {given}")
    return int(number)
