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
from lazyhess._indices import Array, Ids

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
        self._orders: dict[int, tuple[Ids, Array]] = {}
        self._may = np.array([k not in never for k in range(n)], np.bool_)
        self._sizes: Array = np.array(sizes, float)
        # Of each set of xs its elements, and who is in it.
        self._elements: Array = np.zeros(0)
        self._reached: Array = np.zeros((0, n), np.bool_)
        self._passed: Array = np.zeros(n)
        if values is None or len(values) * n > _MOST:
            return
        self._elements = np.array(list(values.values()), float)
        self._reached = np.zeros((len(values), n), np.bool_)
        for row, xs in enumerate(values):
            while xs:
                low = xs & -xs
                self._reached[row, low.bit_length() - 1] = True
                xs ^= low
        self._passed = self._sizes + self._elements @ self._reached

    def along(self, i: int, j: int) -> tuple[int, ...]:
        """The columns that come along with column j when rows of x_i are computed."""
        if j not in self._orders:
            self._orders[j] = self._order(j)
        columns, grown = self._orders[j]
        budget = SHARE * (COSTS.calls + self._passed[i] + self._passed[j])
        return tuple(sorted(columns[: np.searchsorted(grown, budget, "right")].tolist()))

    def _order(self, j: int) -> tuple[Ids, Array]:
        """Columns, each time the cheapest next, and by how much a pass has grown with each.

        That is the same for rows of all xs.
        """
        most = SHARE * (COSTS.calls + 2 * self._passed.max(initial=0))
        may, order, grown = self._may.copy(), [], [0.0]
        elements, k = self._elements.copy(), j
        cost = self._sizes + elements @ self._reached
        while True:
            may[k] = False
            new = np.flatnonzero(self._reached[:, k] & (elements > 0))
            cost -= elements[new] @ self._reached[new]
            elements[new] = 0
            if not may.any():
                break
            k = int(np.argmin(np.where(may, cost, np.inf)))
            if grown[-1] + cost[k] > most:
                break
            order.append(k)
            grown.append(grown[-1] + cost[k])
        return np.array(order, np.intp), np.array(grown[1:])
