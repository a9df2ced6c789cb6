"""Tangent blocks: K arrays of one shape, one for each seed.

A block is one of these kinds, and every linear map acts on each of them:

* ``None``: all K arrays are zero;
* `Sparse`: entries (seed, position, value); what is not listed is zero, what is listed twice
  adds up. Where they stand, arrays tell, or boxes (`lazyhess._tangents.boxes`);
* `KhatriRao`: seeds of a grid, whose arrays are products of two smaller families;
* `Repeated`: a sparse block that is the same all along some axes: the seeds of a whole batch;
* an ``ndarray`` of shape ``(K,) + shape``, whose stride-0 axes are kept as they are;
* `Recorded`: a Variable of that shape, where the sweeps are themselves recorded, for derivatives
  of higher order.

Seeds are born sparse. A block turns dense when that is cheaper (`settle`), and back (`Sparse.of`)
only where it was dense for being small and a map makes it larger, or where a dense zero would
meet an infinity.
"""

from lazyhess._tangents.blocks import (
    Block,
    Recorded,
    Sparse,
    Structured,
    add_up,
    cast,
    compact,
    compactly,
    dense,
    identity,
    mostly_zero,
    nbytes,
    one_place,
    repeated_axes,
    settle,
    shape_of,
    spread,
)
from lazyhess._tangents.heap import reserve
from lazyhess._tangents.pattern import Pattern, SourceView
from lazyhess._tangents.structured import KhatriRao, Repeated, repeated
from lazyhess._tangents.sums import Folded, total

__all__ = [
    "FEW",
    "Block",
    "Folded",
    "KhatriRao",
    "Pattern",
    "Recorded",
    "Repeated",
    "SourceView",
    "Sparse",
    "Structured",
    "add_up",
    "cast",
    "compact",
    "compactly",
    "dense",
    "identity",
    "mostly_zero",
    "nbytes",
    "one_place",
    "repeated",
    "repeated_axes",
    "reserve",
    "settle",
    "shape_of",
    "spread",
    "total",
]
