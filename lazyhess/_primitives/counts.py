"""Counts and sums of bins."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyhess._create import asarray
from lazyhess._indices import Array
from lazyhess._primitives.base import astype, implements, nested, scattered, structural, variables
from lazyhess._record.variable import Variable, shape_of, value_of


def _sums(name: str, bins: Array, count: int, weights: Any) -> Any:
    """The sum of the weights in each of some bins."""
    return structural(name, weights, scattered, (count,), (bins,), bins.shape)


@implements(np.bincount)
def bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Any:
    """`numpy.bincount`: with weights, their sum for each integer."""
    x = asarray(value_of(x))
    counts = np.bincount(x, minlength=minlength)
    weights = nested(weights)
    if weights.shape != x.shape:
        raise ValueError("The weights and list don't have the same length.")
    return _sums("bincount", x.astype(np.intp), len(counts), astype(weights, np.float64))


def _edges(a: Any, bins: Any, range: Any, edges: Array) -> Any:
    """The edges of bins as what they depend on: the ends of `a`, or what was given."""
    if not isinstance(bins, str) and len(shape_of(bins)) == 1:
        return nested(bins) if variables(*bins) or isinstance(bins, Variable) else edges
    if range is not None:
        low, high = range
    elif not a.size:
        return edges
    else:
        low, high = np.min(a), np.max(a)
    if not variables(low, high):
        return edges
    if value_of(low) == value_of(high):
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, len(edges), dtype=edges.dtype)


@implements(np.histogram_bin_edges)
def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    """`numpy.histogram_bin_edges`: they move with the smallest and the largest element."""
    a = nested(a)
    edges = np.histogram_bin_edges(value_of(a), value_of(bins), value_of(range), value_of(weights))
    return _edges(a, bins, range, edges)


@implements(np.histogram)
def histogram(
    a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> Any:
    """`numpy.histogram`: the counts are constant, the sums of weights and the edges are not."""
    a = nested(a)
    value = value_of(a)
    counts, bounds = np.histogram(value, value_of(bins), value_of(range), weights=value_of(weights))
    edges = _edges(a, bins, range, bounds)
    totals: Any = counts
    if isinstance(weights, Variable):
        inside = (value >= bounds[0]) & (value <= bounds[-1])
        last = len(bounds) - 2
        bin_of = np.minimum(np.searchsorted(bounds, value[inside], side="right") - 1, last)
        totals = _sums("histogram", bin_of, last + 1, np.ravel(weights[inside]))
    if density:
        totals = totals / np.diff(edges) / np.sum(totals)
    return totals, edges
