"""Functions that pass over NaN: it is masked out by its plain value, and leaks nowhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lazyhess._create import asarray
from lazyhess._decisions import everywhere, nowhere
from lazyhess._indices import Array
from lazyhess._primitives.base import astype, implements, nested
from lazyhess._primitives.reduce import (
    counted,
    cumsum,
    deviation,
    given,
    masked,
    max_,
    mean,
    min_,
    prod,
    sum_,
    var,
)
from lazyhess._primitives.running import cumprod
from lazyhess._record.primitive import METHODS
from lazyhess._record.variable import value_of

_NONE: Any = np._NoValue


def _filled(a: Any, fill: float) -> Any:
    """The array with something harmless in place of NaN."""
    missing = np.isnan(a)
    return a if nowhere(missing) else np.where(missing, a.dtype.type(fill), a)


def _over(function: Callable[..., Any], rule: Any, fill: float) -> None:
    """A reduction or a running one, to which `fill` makes no difference."""

    def over(a: Any, *args: Any, **kwargs: Any) -> Any:
        return rule(_filled(a, fill), *args, **kwargs)

    over.__doc__ = f"`numpy.{function.__name__}`."
    implements(function)(over)


_over(np.nansum, sum_, 0.0)
_over(np.nanprod, prod, 1.0)
_over(np.nancumsum, cumsum, 0.0)
_over(np.nancumprod, cumprod, 1.0)


def _extremum(function: Callable[..., Any], rule: Any, fill: float) -> Any:
    def extremum(a: Any, *args: Any, **kwargs: Any) -> Any:
        extreme = rule(_filled(a, fill), *args, **kwargs)
        # Where there is nothing but NaN, that is the answer, with NumPy's warning.
        plain = function(value_of(a), *args, **kwargs)
        nothing = np.isnan(plain)
        return extreme if nowhere(nothing) else np.where(nothing, plain, extreme)

    extremum.__doc__ = f"`numpy.{function.__name__}`."
    return implements(function)(extremum)


nanmax = _extremum(np.nanmax, max_, -np.inf)
nanmin = _extremum(np.nanmin, min_, np.inf)
METHODS[np.fmax, "reduce"] = lambda a, axis=0, dtype=None, *args, **kwargs: nanmax(
    a, axis, *args, **kwargs
)
METHODS[np.fmin, "reduce"] = lambda a, axis=0, dtype=None, *args, **kwargs: nanmin(
    a, axis, *args, **kwargs
)


def _kept(a: Any, where: Any) -> Array:
    """Which elements count."""
    kept: Array = ~np.isnan(a)
    return kept & asarray(value_of(where), np.bool_) if masked(where) else kept


@implements(np.nanmean)
def nanmean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = _NONE,
    *,
    where: Any = _NONE,
) -> Any:
    """`numpy.nanmean`."""
    return mean(a, axis, dtype, out, keepdims, where=_kept(a, where))


@implements(np.nanvar)
def nanvar(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = _NONE,
    *,
    where: Any = _NONE,
    mean: Any = _NONE,
    correction: Any = _NONE,
) -> Any:
    """`numpy.nanvar`: NaN where it has no degree of freedom left."""
    kept = _kept(a, where)
    variance = var(
        a, axis, dtype, out, ddof, keepdims, where=kept, mean=mean, correction=correction
    )
    left = counted(a, axis, keepdims, kept) > (correction if given(correction) else ddof)
    return variance if everywhere(left) else np.where(left, variance, variance.dtype.type(np.nan))


@implements(np.nanstd)
def nanstd(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = _NONE,
    **options: Any,
) -> Any:
    """`numpy.nanstd`."""
    where, mean = options.get("where", _NONE), options.get("mean", _NONE)
    variance = nanvar(a, axis, dtype, out, ddof, keepdims, **options)
    if given(mean):
        return np.sqrt(variance)
    return deviation(variance, a, axis, keepdims, _kept(a, where))


@implements(np.nan_to_num)
def nan_to_num(
    x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """`numpy.nan_to_num`."""
    if x.dtype.kind == "c":
        real, imag = (
            nan_to_num(part, copy, nan, posinf, neginf) for part in (np.real(x), np.imag(x))
        )
        return real + imag * x.dtype.type(1j)
    value, limits = value_of(x), np.finfo(x.dtype)
    for places, number in (
        (np.isnan(value), nan),
        (np.isposinf(value), limits.max if posinf is None else posinf),
        (np.isneginf(value), limits.min if neginf is None else neginf),
    ):
        if not nowhere(places):
            x = np.where(places, astype(nested(number), x.dtype), x)
    return x
