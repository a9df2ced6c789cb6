"""Convolution and correlation of two sequences."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyhess._primitives.base import finite, implements, nested
from lazyhess._primitives.shape import flip
from lazyhess._record.variable import value_of

_MODES = {"valid": 0, "same": 1, "full": 2, 0: 0, 1: 1, 2: 2}


def _correlated(long: Any, short: Any, mode: Any) -> Any:
    """The products of `short` with the windows of `long`."""
    n, m = len(long), len(short)
    if mode not in _MODES:
        raise ValueError(f"mode must be one of 'valid', 'same', or 'full' (got {mode!r})")
    # How far the first and the last window reach out of `long`.
    before = (0, m // 2, m - 1)[_MODES[mode]]
    after = (0, m - 1 - m // 2, m - 1)[_MODES[mode]]
    if before or after:
        long = np.concatenate([np.zeros(before, long.dtype), long, np.zeros(after, long.dtype)])
    count = n + before + after - m + 1
    bounded = finite(value_of(short))
    if count > 16 * m and bounded:
        # A few long products, rather than a copy of each window.
        return sum(long[k : k + count] * short[k] for k in range(m))
    at = np.arange(count)[:, None] + np.arange(m)
    windows = long[at]
    if (before or after) and not bounded:
        # The zeros put around are not there: an infinity must not meet them.
        inside = (at >= before) & (at < before + n)
        return np.sum(np.where(inside, windows * short, 0.0), axis=-1)
    return windows @ short


def _sequences(name: str, *items: Any) -> list[Any]:
    sequences = [np.atleast_1d(nested(item)) for item in items]
    for item, letter in zip(sequences, "av", strict=True):
        if item.ndim > 1:
            raise ValueError(f"{name} takes sequences, got {letter} of shape {item.shape}")
        if not len(item):
            raise ValueError(f"{letter} cannot be empty")
    return sequences


@implements(np.correlate)
def correlate(a: Any, v: Any, mode: Any = "valid") -> Any:
    """`numpy.correlate`."""
    a, v = _sequences("correlate", a, v)
    v = np.conjugate(v) if v.dtype.kind == "c" else v
    return _correlated(a, v, mode) if len(a) >= len(v) else flip(_correlated(v, a, mode))


@implements(np.convolve)
def convolve(a: Any, v: Any, mode: Any = "full") -> Any:
    """`numpy.convolve`."""
    a, v = _sequences("convolve", a, v)
    long, short = (a, v) if len(a) >= len(v) else (v, a)
    return _correlated(long, short[::-1], mode)
