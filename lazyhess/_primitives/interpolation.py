"""Interpolation between points."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyhess._decisions import nowhere
from lazyhess._primitives.base import astype, implements, nested
from lazyhess._record.variable import value_of


@implements(np.interp)
def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    """`numpy.interp`, with the slope of the interval to the right at a point between two."""
    fp = nested(fp)
    kind = np.complex128 if fp.dtype.kind == "c" else np.float64
    x, xp, fp = astype(nested(x), np.float64), astype(nested(xp), np.float64), astype(fp, kind)
    np.interp(np.zeros(0), value_of(xp), value_of(fp))  # NumPy checks the shapes
    if period is not None:
        if value_of(period) == 0:
            raise ValueError("period must be a non-zero value")
        period = abs(period)
        x, xp = x % period, xp % period
        order = np.argsort(value_of(xp))
        xp, fp = xp[order], fp[order]
        xp = np.concatenate([xp[-1:] - period, xp, xp[:1] + period])
        fp = np.concatenate([fp[-1:], fp, fp[:1]])
        left = right = None
    at, knots = value_of(x), value_of(xp)
    below, above = at < knots[0], at > knots[-1]
    if len(knots) == 1:
        result = fp[0] + (x - x)
    else:
        low = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, len(knots) - 2)
        start, base = xp[low], fp[low]
        width = xp[low + 1] - start
        # Of equal knots the last one counts.
        none = value_of(width) == 0
        if not nowhere(none):
            width, start = np.where(none, 1.0, width), np.where(none, x - 1.0, start)
        # Outside, the distance is of no use, and may be infinite.
        if not nowhere(below | above):
            x = np.where(below | above, start, x)
        result = base + (fp[low + 1] - base) * ((x - start) / width)
    if not nowhere(below):
        result = np.where(below, fp[0] if left is None else left, result)
    if not nowhere(above):
        result = np.where(above, fp[-1] if right is None else right, result)
    return result
