"""Sorting, quantiles, sets, running extremes, moments, counts."""

from __future__ import annotations

import numpy as np

from tests.cases.base import case, spread

X = spread(0.5, 2, (2, 4, 3))
ROW = spread(0.5, 2, (7,))
S = spread(1, 2, ())
NONE = np.zeros((3, 0))

# --- sorting --------------------------------------------------------------------------------------
for _kwargs in ({}, {"axis": 0}, {"axis": None}, {"axis": 1, "kind": "stable"}, {"stable": True}):
    case(np.sort, lambda x, k=_kwargs: np.sort(x, **k) ** 2, X)
case(np.sort, np.sort, ROW.astype(np.float32))
case(np.sort, np.sort, NONE)
case(np.partition, lambda x: np.partition(x, 2, axis=1)[:, 2] ** 2, X)
case(np.partition, lambda x: np.partition(x, (1, -1), axis=None)[[1, -1]] ** 2, X)
case(np.partition, lambda x: np.partition(x, 3)[3], ROW.astype(np.float32))
for _kwargs in ({}, {"axis": 1}, {"axis": (0, -1)}, {"axis": 0, "keepdims": True}):
    case(np.ptp, lambda x, k=_kwargs: np.ptp(x, **k) ** 2, X)
    case(np.amax, lambda x, k=_kwargs: np.amax(x, **k) ** 2, X)
    case(np.amin, lambda x, k=_kwargs: np.amin(x, **k) ** 2, X)
case(np.ptp, np.ptp, ROW.astype(np.float32))
case(np.ptp, np.ptp, S)
for _pair in (np.maximum, np.minimum, np.fmax, np.fmin):
    _key = (_pair, "accumulate")
    case(_key, lambda x, p=_pair: p.accumulate(x) ** 2, X)
    case(_key, lambda x, p=_pair: p.accumulate(x, 1) ** 2, X)
    case(_key, lambda x, p=_pair: p.accumulate(x, axis=-1) ** 2, X)
    case(_key, lambda x, p=_pair: p.accumulate(x), ROW.astype(np.float32))
    case(_key, lambda x, p=_pair: p.accumulate(x), NONE)

# --- quantiles ------------------------------------------------------------------------------------
AXES = [{}, {"axis": 0}, {"axis": -1, "keepdims": True}, {"axis": (0, 2)}, {"keepdims": True},
        {"axis": (2, 0), "keepdims": True}]  # fmt: skip
HOLES = np.array([[0.3, np.nan, -0.4, 1.2, 0.9], [np.nan, 0.1, np.nan, 0.7, -2.0]])


def pierced(x):
    """An array with NaN in some places, whatever `x` is."""
    return np.where(np.isnan(HOLES), np.nan, x)


FULL = spread(0.5, 2, HOLES.shape)
for _function in (np.median, np.nanmedian):
    for _kwargs in AXES:
        case(_function, lambda x, f=_function, k=_kwargs: f(x, **k) ** 2, X)
    case(_function, _function, ROW.astype(np.float32))
    case(_function, lambda x, f=_function: f(x) ** 2, ROW[:6])
    case(_function, lambda s, f=_function: f(s) ** 2, S)
    case(_function, lambda x, f=_function: f(x, axis=0), NONE)
METHODS = (
    "inverted_cdf averaged_inverted_cdf closest_observation interpolated_inverted_cdf hazen weibull "
    "linear median_unbiased normal_unbiased lower higher midpoint nearest"
).split()
for _function, _unit in ((np.quantile, 1), (np.percentile, 100), (np.nanquantile, 1),
                         (np.nanpercentile, 100)):  # fmt: skip
    _q = np.array([[0.37, 0.0, 0.91], [1.0, 0.45, 0.73]]) * _unit
    for _kwargs in AXES:
        # NumPy's nanquantile has the axes wrong for q of more axes and several axes.
        _some = _q if "axis" not in _kwargs or np.ndim(_kwargs["axis"]) == 0 else _q[0]
        case(_function, lambda x, f=_function, q=_some, k=_kwargs: f(x, q, **k) ** 2, X)
        case(_function, lambda x, f=_function, q=0.29 * _unit, k=_kwargs: f(x, q, **k) ** 2, X)
    for _method in METHODS:
        case(_function, lambda x, f=_function, q=_q[0], m=_method: f(x, q, method=m) ** 2, ROW)
        case(_function, lambda x, q, f=_function, m=_method: f(x, q, 1, method=m) ** 2,
             X, np.array([0.43, 0.29]) * _unit)  # fmt: skip
    case(_function, lambda q, f=_function: f([1.0, 2.0, 5.0], q) ** 2, np.array(0.3) * _unit)
    case(_function, lambda x, f=_function, q=_q: f(x, q, axis=0), NONE)
    case(_function, lambda x, f=_function, u=_unit: f(x, 0.3 * u), ROW.astype(np.float32))
    case(_function, lambda x, f=_function, u=_unit: f(x, 0.5 * u) ** 2, ROW)
    case(_function, lambda x, f=_function, u=_unit: f(
        x, 0.37 * u, method="inverted_cdf", weights=np.arange(1.0, 8)) ** 2, ROW)  # fmt: skip
    if _function in (np.quantile, np.percentile):  # NumPy's nanquantile fails with axis and weights
        case(_function, lambda x, f=_function, u=_unit: f(
            x, [0.37 * u, 0.8 * u], axis=1, method="inverted_cdf", weights=[1.0, 2, 1, 3]) ** 2,
            X)  # fmt: skip
for _kwargs in ({}, {"axis": 0}, {"axis": 1, "keepdims": True}):
    case(np.nanmedian, lambda x, k=_kwargs: np.nanmedian(pierced(x), **k) ** 2, FULL)
    case(np.nanquantile, lambda x, q, k=_kwargs: np.nanquantile(pierced(x), q, **k) ** 2,
         FULL, np.array([0.43, 0.29]))  # fmt: skip
    case(np.nanpercentile, lambda x, k=_kwargs: np.nanpercentile(
        pierced(x), [13, 77], method="hazen", **k) ** 2, FULL)  # fmt: skip

# --- sets -----------------------------------------------------------------------------------------
TWICE = [0, 1, 1, 3, 0]
case(np.unique, lambda x: np.unique(x) ** 2, X)
case(np.unique, lambda x: np.unique(x[TWICE]) ** 2, ROW)
case(np.unique, lambda x: np.unique(x[TWICE], return_counts=True)[0], ROW.astype(np.float32))
case(np.unique, lambda x: np.unique(x[:, [0, 1, 0]], axis=1, return_index=True)[0] ** 2, X)
case(np.unique, np.unique, NONE)
case(np.unique_values, lambda x: np.sum(np.unique_values(x[TWICE]) ** 2), ROW)
case(np.unique_all, lambda x: np.unique_all(x[TWICE]).values ** 2, ROW)
case(np.unique_counts, lambda x: np.unique_counts(x[TWICE]).values ** 2, ROW)
case(np.unique_inverse, lambda x: np.unique_inverse(x[TWICE]).values ** 2, ROW)
case(np.union1d, lambda x, y: np.union1d(x, y) ** 2, X[0], ROW)
case(np.union1d, lambda x: np.union1d(x, x[:3]) ** 2, ROW)
case(np.intersect1d, lambda x: np.intersect1d(x[:3], x[[1, 2, 5]]) ** 2, ROW)
case(np.intersect1d, lambda x: np.intersect1d(x, x, return_indices=True)[0] ** 2, ROW)
case(np.setdiff1d, lambda x, y: np.setdiff1d(x, y) ** 2, ROW, X[0])
case(np.setdiff1d, lambda x: np.setdiff1d(x, x[1:3]) ** 2, ROW)
case(np.setxor1d, lambda x, y: np.setxor1d(x, y) ** 2, ROW, X[0])
case(np.setxor1d, lambda x: np.setxor1d(x, x[1:3], assume_unique=True) ** 2, ROW)

# --- moments --------------------------------------------------------------------------------------
for _kwargs in AXES:
    case(np.average, lambda x, k=_kwargs: np.average(x, **k) ** 2, X)
    case(np.average, lambda x, w, k=_kwargs: np.average(x, weights=w, **k) ** 2, X, X + 2)
case(np.average, lambda x, w: np.average(x, 1, w) ** 2, X, ROW[:4])
case(np.average, lambda x, w: np.average(x, (2, 0), w) ** 2, X, spread(1, 2, (3, 2)))
case(np.average, lambda w: np.average(np.arange(7), weights=w) ** 2, ROW)
case(np.average, lambda x: np.average(x, weights=x, returned=True)[1] ** 2, ROW)
case(np.average, lambda x: np.average(x, returned=True, axis=0)[0], ROW.astype(np.float32))
case(np.average, lambda x: np.average(x, weights=x), ROW.astype(np.float32))
M, N = spread(-1, 1, (2, 5)), spread(-1, 1, (3, 5))
for _kwargs in ({}, {"bias": True}, {"ddof": 2}, {"fweights": np.array([1, 2, 3, 1, 2])},
                {"aweights": np.array([1.0, 2, 0.5, 1, 1])}, {"ddof": 0, "aweights": [1.0, 2, 3, 1, 1]},
                {"fweights": np.array([1, 2, 3, 1, 2]), "aweights": np.array([1.0, 2, 0.5, 1, 1])}):  # fmt: skip
    case(np.cov, lambda x, k=_kwargs: np.cov(x, **k), M)
    case(np.cov, lambda x, y, k=_kwargs: np.cov(x, y, **k), M, N[0])
case(np.cov, lambda x, y: np.cov(x.T, y.T, rowvar=False), M, N)
case(np.cov, lambda x: np.cov(x), ROW)
case(np.cov, lambda x, y: np.cov(x, y), ROW, ROW[::-1] ** 2)
case(np.cov, lambda x, w: np.cov(x, aweights=w, bias=True), M, ROW[:5])
case(np.cov, lambda x: np.cov(x), M.astype(np.float32))
case(np.cov, lambda x: np.cov(x, dtype=x.dtype), M)
case(np.corrcoef, lambda x: np.corrcoef(x), M)
case(np.corrcoef, lambda x, y: np.corrcoef(x, y), M, N[0])
case(np.corrcoef, lambda x: np.corrcoef(x, rowvar=False)[:2], N)
case(np.corrcoef, lambda x: np.corrcoef(x, dtype=x.dtype), M.astype(np.float32))

# --- counts ---------------------------------------------------------------------------------------
case(np.bincount, lambda w: np.bincount([1, 4, 1, 0, 0, 2, 2], w) ** 2, ROW, extended=False)
case(
    np.bincount,
    lambda w: np.bincount([1, 4, 1, 0, 0, 2, 2], weights=w, minlength=9) ** 2,
    ROW,
    extended=False,
)
case(
    np.bincount,
    lambda w: np.bincount([1, 4, 1, 0, 0, 2, 2], w),
    ROW.astype(np.float32),
    extended=False,
)
AT = np.array([0.1, 0.9, 0.4, -3, 0.2, 0.25, 1.0])
EDGES = np.array([0, 0.25, 0.5, 1])
case(np.histogram, lambda w: np.histogram(AT, EDGES, weights=w)[0] ** 2, ROW)
case(np.histogram, lambda w: np.histogram(AT, 3, (0, 1), weights=w, density=True)[0] ** 2, ROW)
case(np.histogram, lambda x: np.histogram(x, 3, density=True)[0] ** 2,
     np.array([1.3, 0.5, 2.0, 1.6, 0.8, 1.2]), extended=False)  # fmt: skip
case(np.histogram, lambda x: np.histogram(x, 4)[1] ** 2, ROW)
case(np.histogram, lambda w: np.histogram(AT, EDGES, weights=w)[0], ROW.astype(np.float32))
case(np.histogram, lambda e: np.histogram(AT, np.concatenate([[-1.0], e]), density=True)[0] ** 2,
     np.array([0.5, 1.5, 3.0]), extended=False)  # fmt: skip
case(np.histogram_bin_edges, lambda x: np.histogram_bin_edges(x, 3) ** 2, ROW)
case(np.histogram_bin_edges, lambda x: np.histogram_bin_edges(x, "sturges") ** 2, X)
case(np.histogram_bin_edges, lambda s: np.histogram_bin_edges(ROW, 3, (0.0, s)) ** 2, S)
