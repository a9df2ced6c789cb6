"""A contraction of two arrays as products of matrices, arranged so that little is copied.

Every label of a contraction is a row, a column, summed, or counts the products of a batch. BLAS
takes an operand as it lies in memory if its rows, and what is summed, are one axis each, and one
of them is contiguous; else it has to be copied. A label in the batch need not lie next to any
other, so some are put there: leading ones of the result, and leading ones of the sum, whose
products are added up.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np

from lazyhess._costs import COSTS
from lazyhess._create import contiguous
from lazyhess._indices import Array, Shape
from lazyhess._maps.pairing import ContractionSpec, Labels

# About how long it takes, in nanoseconds: a multiplication, a further product of a batch, an
# element that is copied, and one that lies elsewhere than where the next map looks for it.
_MULTIPLY = 0.04
_CALL = 250.0
_COPY = 2.0
_ASTRAY = 1.0
# Rows or columns, and summed elements, for which a multiplication takes twice as long.
_THIN, _SHORT = 8, 4


class Operand(NamedTuple):
    """How an operand becomes matrices: its axes in another order, copied or not, reshaped."""

    axes: tuple[int, ...]
    copied: bool
    shape: Shape

    def of(self, array: Array) -> Array:
        """The matrices."""
        array = array.transpose(self.axes)
        if self.copied:
            array = contiguous(array)
        return array.reshape(self.shape)


class MatmulPlan(NamedTuple):
    """A contraction as one call of `numpy.matmul`."""

    left: Operand
    right: Operand
    swapped: bool  # whether the right operand has the rows
    shape: Shape  # of the products, label by label
    added: tuple[int, ...]  # the axes along which the products are added up
    order: tuple[int, ...]  # of the axes that are left

    def apply(self, left: Array, right: Array) -> Array:
        """The contraction of two arrays that lie as those that this was made for."""
        a, b = self.left.of(left), self.right.of(right)
        products: Array = np.matmul(b, a) if self.swapped else np.matmul(a, b)
        products = products.reshape(self.shape)
        if self.added:
            products = np.add.reduce(products, axis=self.added)
        return products.transpose(self.order)


class StridedOperand:
    """An operand with its strides, in elements."""

    def __init__(self, labels: Labels, shape: Shape, strides: tuple[int, ...], item: int) -> None:
        self.labels = labels
        self.extent = dict(zip(labels, shape, strict=True))
        self.stride = {label: step / item for label, step in zip(labels, strides, strict=True)}
        self.size = prod(shape)

    def ordered(self, labels: Labels) -> Labels:
        """Some labels, as they lie in memory."""
        return tuple(sorted(labels, key=lambda label: -abs(self.stride[label])))

    def axis(self, labels: Labels) -> tuple[int, float] | None:
        """Length and stride of some labels as one axis; ``None`` where they are not one."""
        length, stride = 1, 0.0
        for label in reversed(labels):
            n = self.extent[label]
            if n == 1:
                continue
            if length == 1:
                stride = self.stride[label]
            elif self.stride[label] != stride * length:
                return None
            length *= n
        return length, stride

    def lies(self, one: Labels, other: Labels) -> bool:
        """Whether these labels are the rows and columns of a matrix that BLAS takes as it is."""
        first, second = self.axis(one), self.axis(other)
        if first is None or second is None:
            return False
        for (m, across), (n, along) in ((first, second), (second, first)):
            if (n == 1 or along == 1) and (m == 1 or (across >= n and across == int(across))):
                return True
        return False

    def operand(self, batch: Labels, one: Labels, other: Labels, lies: bool) -> Operand:
        order = (*(label for label in batch if label in self.extent), *one, *other)
        thin = tuple(self.extent.get(label, 1) for label in batch)
        sides = (self._size(one), self._size(other))
        return Operand(tuple(map(self.labels.index, order)), not lies, thin + sides)

    def _size(self, labels: Labels) -> int:
        return prod(self.extent[label] for label in labels)


@lru_cache(maxsize=4096)
def matmul_plan(
    how: ContractionSpec,
    shapes: tuple[Shape, Shape],
    strides: tuple[tuple[int, ...], tuple[int, ...]],
    items: tuple[int, int],
) -> MatmulPlan:
    """The plan of a contraction that should be fastest.

    Parameters
    ----------
    how : ContractionSpec
        The labels.
    shapes, strides, items
        Shape, strides and the size of an element, of the block and of the weights.
    """
    labels, onto = how.seeded
    a = StridedOperand(labels, shapes[0], strides[0], items[0])
    b = StridedOperand(how.with_, shapes[1], strides[1], items[1])
    best, least = None, np.inf
    for batch, inner in _batches(a, b, onto):
        candidate = _Candidate(a, b, onto, batch, inner)
        cost, clean = candidate.cost()
        if cost < least:
            best, least = candidate, cost
        # More in the batch would only make smaller products; for small arrays any will do.
        if clean or a.size + b.size <= COSTS.small:
            break
    assert best is not None
    return best.plan()


def _batches(a: StridedOperand, b: StridedOperand, onto: Labels) -> Iterator[tuple[Labels, Labels]]:
    """Labels for the batch, and those that are summed in each product, in order."""
    both = [label for label in a.labels if label in b.extent]
    shared = [label for label in onto if label in both]
    rest = [label for label in onto if label not in both]
    summed = tuple(label for label in both if label not in onto)
    for order in {a.ordered(summed): None, b.ordered(summed): None}:
        for cut in range(max(len(order), 1)):
            for first in range(len(rest) + 1):
                chosen = {*shared, *rest[:first]}
                batch = tuple(label for label in onto if label in chosen)
                yield (*order[:cut], *batch), order[cut:]


class _Candidate:
    """A plan by the labels of its batch, and of what is summed in each product."""

    def __init__(
        self, a: StridedOperand, b: StridedOperand, onto: Labels, batch: Labels, inner: Labels
    ) -> None:
        self.a, self.b, self.onto, self.batch, self.inner = a, b, onto, batch, inner
        self.extent = a.extent | b.extent
        self.rows = a.ordered(tuple(x for x in a.labels if x not in batch and x not in inner))
        self.columns = b.ordered(tuple(x for x in b.labels if x not in batch and x not in inner))
        self.lies = a.lies(self.rows, inner), b.lies(inner, self.columns)
        # What comes first in the result is on the left.
        first = [onto.index(side[0]) for side in (self.columns, self.rows) if side]
        self.swapped = len(first) == 2 and first[0] < first[1]
        sides = self.columns + self.rows if self.swapped else self.rows + self.columns
        self.labels = batch + sides
        self.kept = tuple(label for label in self.labels if label in onto)

    def _size(self, labels: Labels) -> int:
        return prod(self.extent[label] for label in labels)

    def cost(self) -> tuple[float, bool]:
        """About how long it takes, and whether that is products only."""
        count, k = self._size(self.batch), self._size(self.inner)
        m, n = self._size(self.rows), self._size(self.columns)
        # (1 + _THIN / m + _THIN / n + _SHORT / k) for each multiplication
        cost = _MULTIPLY * count * (m * n * k + _THIN * (m + n) * k + _SHORT * m * n)
        rest = _COPY * ((not self.lies[0]) * self.a.size + (not self.lies[1]) * self.b.size)
        if len(self.kept) != len(self.labels):
            rest += _ASTRAY * count * m * n
        extent = self.extent
        if [x for x in self.kept if extent[x] != 1] != [x for x in self.onto if extent[x] != 1]:
            rest += _ASTRAY * self._size(self.onto)
        return cost + _CALL * count + rest, not rest

    def plan(self) -> MatmulPlan:
        batch, rows, inner, columns = self.batch, self.rows, self.inner, self.columns
        left = (inner, rows) if self.swapped else (rows, inner)
        right = (columns, inner) if self.swapped else (inner, columns)
        return MatmulPlan(
            self.a.operand(batch, *left, self.lies[0]),
            self.b.operand(batch, *right, self.lies[1]),
            self.swapped,
            tuple(self.extent[label] for label in self.labels),
            tuple(axis for axis, label in enumerate(self.labels) if label not in self.onto),
            tuple(map(self.kept.index, self.onto)),
        )
