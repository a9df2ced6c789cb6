"""Which blocks come along with one that is asked for: those by which a pass hardly grows.

A product from x_i, seen by some columns, pushes tangents through every value that depends on x_i,
and adjoints through every value that depends on a column. Its work is about the elements of those,
and some more for the calls (`COSTS.calls`). Columns that add at most `SHARE` of it, all together,
come along.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from lazyhess._costs import COSTS
from lazyhess._indices import Array

SHARE = 1 / 4
# Inputs and sets of them beyond which the table of who reaches what is not worth its memory.
_MOST = 1 << 22
MANY = 1 << 10


class ReachTable:
    """How many elements of the values between some xs and an output depend on which xs.

    Parameters
    ----------
    sizes : sequence of int
        Elements of each x.
    values : mapping of int to int, optional
        Of the values between: the xs that some depend on, as the bits of a number, and how many
        elements those have. Without it nothing is known of them, and columns come along only where
        they are small beside the calls.
    never : collection of int
        The xs that never come along.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        values: Mapping[int, int] | None = None,
        never: Collection[int] = (),
    ) -> None:
        n = len(sizes)
        self._known: dict[tuple[int, int], tuple[int, ...]] = {}
        self._orders: dict[int, list[tuple[int, float]]] = {}
        self._may = np.array([k not in never for k in range(n)], np.bool_)
        if values is not None and len(values) * n > _MOST:
            values = None
        # For each set of xs its elements, and who is in it; first each x by itself.
        inner = values or {}
        self._elements: Array = np.array([*sizes, *inner.values()], float)
        self._reached: Array = np.zeros((len(self._elements), n), np.bool_)
        self._reached[:n] = np.eye(n, dtype=np.bool_)
        for row, xs in enumerate(inner, n):
            while xs:
                low = xs & -xs
                self._reached[row, low.bit_length() - 1] = True
                xs ^= low
        self._passed: Array = self._elements @ self._reached
        if values is None:
            self._passed = np.zeros(n)

    def along(self, i: int, j: int) -> tuple[int, ...]:
        """The columns that come along with column j when rows of x_i are computed."""
        if (i, j) not in self._known:
            budget = SHARE * (COSTS.calls + self._passed[i] + self._passed[j])
            columns = [k for k, grown in self._order(j) if grown <= budget]
            self._known[i, j] = tuple(sorted(columns))
        return self._known[i, j]

    def _order(self, j: int) -> list[tuple[int, float]]:
        """Columns, each time the cheapest next, and by how much a pass has grown with each.

        That is the same for rows of all xs.
        """
        if j not in self._orders:
            most = SHARE * (COSTS.calls + 2 * self._passed.max(initial=0))
            may, order, grown = self._may.copy(), [], 0.0
            elements, k = self._elements.copy(), j
            cost = elements @ self._reached
            while True:
                may[k] = False
                new = np.flatnonzero(self._reached[:, k] & (elements > 0))
                cost -= elements[new] @ self._reached[new]
                elements[new] = 0
                if not may.any():
                    break
                k = int(np.argmin(np.where(may, cost, np.inf)))
                grown += cost[k]
                if grown > most:
                    break
                order.append((k, grown))
            self._orders[j] = order
        return self._orders[j]
