"""Functions that pass over NaN."""

from __future__ import annotations

import numpy as np

from tests.cases.base import case, spread

HOLES = np.zeros((3, 4, 3), np.bool_)
HOLES[[0, 0, 1, 1], [1, 2, 0, 3], [0, 0, 2, 1]] = True
X = spread(0.5, 2, HOLES.shape)
ROW = spread(0.5, 2, (4,))
S = spread(1, 2, ())
NONE = np.zeros((3, 0))


def pierced(x):
    """An array with NaN in some places, whatever `x` is."""
    return np.where(HOLES[(0,) * (3 - x.ndim)], np.nan, x)


AXES = [{}, {"axis": 0}, {"axis": -1, "keepdims": True}, {"axis": (0, 2)}, {"keepdims": True}]
for _function in (np.nansum, np.nanprod, np.nanmax, np.nanmin, np.nanmean, np.nanstd, np.nanvar):
    for _kwargs in AXES:
        case(_function, lambda x, f=_function, k=_kwargs: f(pierced(x), **k) ** 2, X)
    case(_function, lambda x, f=_function: f(x * x), ROW)
    case(_function, lambda x, f=_function: f(pierced(x), axis=1), X.astype(np.float32))
for _function in (np.nansum, np.nanprod):
    case(_function, lambda x, f=_function: f(pierced(x), axis=1, initial=3.0) ** 2, X)
    case(_function, lambda x, f=_function: f(pierced(x), 1, where=x > 1) ** 2, X)
    case(_function, lambda s, f=_function: f(s) ** 2, S)
    case(_function, lambda x, f=_function: f(x, axis=1), NONE)
    case(_function, lambda x, f=_function: f(x * [np.nan, 1, np.nan, np.nan]), ROW)
for _function in (np.nanmax, np.nanmin):
    case(_function, lambda x, f=_function: f(pierced(x), 1, initial=1.4) ** 2, X)
    case(_function, lambda x, f=_function: f(pierced(x), 1, initial=1.4, where=x > 1) ** 2, X)
    case(_function, lambda s, f=_function: f(s) ** 2, S)
for _function in (np.nanvar, np.nanstd):
    case(_function, lambda x, f=_function: f(pierced(x), axis=1, ddof=1) ** 2, X)
    case(_function, lambda x, f=_function: f(pierced(x), axis=1, correction=1) ** 2, X)
    case(_function, lambda x, m, f=_function: f(pierced(x), axis=1, mean=m[:, None]), X, X[:, 0])
case(np.nanvar, lambda x: np.nanvar(pierced(x), axis=2, where=x > 0.6) ** 2, X)
case(np.nanmean, lambda x: np.nanmean(pierced(x), axis=1, where=x > 0.8) ** 2, X)
for _function in (np.nancumsum, np.nancumprod):
    for _kwargs in ({}, {"axis": 0}, {"axis": -1}):
        case(_function, lambda x, f=_function, k=_kwargs: f(pierced(x), **k) ** 2, X)
    case(_function, lambda x, f=_function: f(pierced(x), axis=1), X.astype(np.float32))
    case(_function, lambda x, f=_function: f(x), NONE)
case(np.nan_to_num, lambda x: np.nan_to_num(pierced(x)) ** 2, X)
case(np.nan_to_num, lambda x, s: np.nan_to_num(pierced(x), nan=2.5) * s, X, S)
case(np.nan_to_num, lambda x: np.nan_to_num(np.where(x > 1.2, np.inf, x), posinf=3.0) ** 2, X)
case(np.nan_to_num, lambda x: np.nan_to_num(np.where(x > 1.2, -np.inf, x), neginf=3.0), ROW)
case(np.nan_to_num, lambda x: np.nan_to_num(pierced(x)), X.astype(np.float32))
case(np.nan_to_num, np.nan_to_num, NONE)
for _ufunc in (np.fmax, np.fmin):
    case((_ufunc, "reduce"), lambda x, u=_ufunc: u.reduce(pierced(x)) ** 2, X)
    case((_ufunc, "reduce"), lambda x, u=_ufunc: u.reduce(pierced(x), (1, 2)) ** 2, X)
    case((_ufunc, "reduce"), lambda x, u=_ufunc: u.reduce(x, axis=1, keepdims=True), X)
    case((_ufunc, "accumulate"), lambda x, u=_ufunc: u.accumulate(pierced(x), 2)[..., 1:] ** 2, X)
