"""The logarithm of a sum of exponentials: one primitive, so that infinities stay where they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from lazyhess._decisions import everywhere
from lazyhess._indices import Array, Shape
from lazyhess._maps import Map, Reduce, chain
from lazyhess._primitives.base import astype, finite, one_axis, scale, weigh
from lazyhess._primitives.reduce import masked, reduced, reduced_axes
from lazyhess._record.primitive import METHODS, Primitive, refuse_out
from lazyhess._record.variable import record, value_of


class LogSumExp(Primitive):
    """``log(abs(sum(b * exp(a))))`` over some axes; b is 1 where it is not given.

    The share of an element is ``s = b exp(a) / sum(b exp(a))``; the Jacobian is s, the curvature
    ``diag(s) - s s.T``. Where the sum is infinite the infinite elements share it, and where all
    elements are -inf no share is left.
    """

    name = "logsumexp"

    def __init__(self, axes: tuple[int, ...], out: Shape) -> None:
        self.axes = axes
        self.out = out

    def value(self, *args: Any) -> Array:
        return self.signed(*args)[0]

    def signed(self, a: Array, b: Array | None = None) -> tuple[Array, Array]:
        """The value, and the sign of the sum."""
        with np.errstate(all="ignore"):
            counted = a if b is None else np.where(b == 0, -np.inf, a)
            peak = np.max(counted, axis=self.axes, keepdims=True, initial=-np.inf)
            shift, top = np.where(np.isfinite(peak), peak, 0), counted == peak
            part = np.exp(counted - shift)
            if b is not None:
                part = np.where(b == 0, 0, b * part)
            # The largest are counted apart, so that what is small next to them is not lost.
            most = self._sum(top if b is None else np.where(top, b, 0))
            rest = self._sum(np.where(top, 0, part))
            whole = np.where(np.isinf(peak), np.where(peak > 0, most * peak, 0), most + rest)
            small = np.isfinite(peak) & (np.abs(rest) < 0.5 * np.abs(most))
            tail = np.log1p(np.where(small, rest / most, 0))
            logarithm = np.log(np.abs(np.where(small, most, whole))) + tail + shift
        return logarithm.reshape(self.out).astype(part.dtype), np.sign(whole).reshape(self.out)

    def _sum(self, x: Any) -> Any:
        return np.sum(x, axis=self.axes, keepdims=True)

    def _thin(self, x: Any, shape: Shape) -> Any:
        """An array in the shape of the value, with the summed axes kept."""
        return np.reshape(x, tuple(1 if k in self.axes else n for k, n in enumerate(shape)))

    def _shares(self, out: Any, a: Any, b: Any = None) -> tuple[Any, Any]:
        """The derivatives with respect to a and b, either of which may be a Variable."""
        value = self._thin(value_of(out), a.shape)
        bounded = np.isfinite(value)
        # Whatever the shift, the quotient is the same.
        power = np.exp(a - np.where(bounded, value, 0))
        part = power if b is None else np.where(value_of(b) == 0, 0, b * power)
        whole = self._sum(part)
        by_b = power / whole
        by_a = by_b if b is None else part / whole
        if everywhere(bounded):
            return by_a, by_b
        # All there is is -inf: no share. Something is inf: it has all of it.
        none = value_of(whole) == 0
        ends = (value == np.inf) & (value_of(a) == np.inf)
        if b is None:
            even = np.where(ends, 1 / self._sum(ends), 0)
            return (np.where(none | (value == np.inf), even, by_a),) * 2
        ends = ends & (value_of(b) != 0)
        even = np.where(ends, 1 / self._sum(np.where(ends, value_of(b), 0)), 0)
        by_a = np.where((none & (value_of(part) == 0)) | (value == np.inf), even * b, by_a)
        return by_a, np.where((none & (value_of(power) == 0)) | (value == np.inf), even, by_b)

    def jacobian(self, k: int, args: tuple[Any, ...], out: Array) -> Map:
        shape = args[0].shape
        shares = self._shares(out, *args)[k]
        return chain(scale(shares, shape), Reduce(shape, self.axes, self.out))

    def curvature(
        self, args: tuple[Any, ...], out: Array, adjoint: Array, active: tuple[int, ...]
    ) -> Iterable[tuple[int, int, Map]]:
        shape = args[0].shape
        shares = list(self._shares(out, *args))
        if not all(finite(value_of(share)) for share in shares):
            # What the adjoint leaves out stays out, NaN too.
            there = self._thin(value_of(adjoint), shape) != 0
            shares = [np.where(there, share, 0) for share in shares]
        maps = [scale(share, shape) for share in shares]
        total, less = Reduce(shape, self.axes, self.out), scale(-adjoint, self.out)
        weights = self._thin(adjoint, shape)
        for k in active:
            for l in active:
                yield k, l, chain(maps[l], total, less, total.T, maps[k])
                if k == 0 or l == 0:
                    yield k, l, scale(weigh(weights, shares[max(k, l)]), shape)


def _reduce(
    a: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: Any = False, **kwargs: Any
) -> Any:
    if out is not None:
        refuse_out("logaddexp.reduce")
    a = a if dtype is None else astype(a, dtype)
    if masked(where := kwargs.pop("where", True)):
        a = np.where(where, a, a.dtype.type(-np.inf))
    axes = reduced_axes(axis, a.ndim)
    total = record(LogSumExp.of(axes, reduced(a.shape, axes, keepdims)), a)
    initial = kwargs.pop("initial", None)
    if kwargs:
        raise NotImplementedError(f"logaddexp.reduce of a Variable has no option {sorted(kwargs)}")
    return total if initial is None else np.logaddexp(initial, total)


def _accumulate(a: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
    """Each takes the one before, then the two before that, and so on: log2(n) steps."""
    if out is not None:
        refuse_out("logaddexp.accumulate")
    a = np.moveaxis(a if dtype is None else astype(a, dtype), one_axis(axis, a.ndim), 0)
    step = 1
    while step < len(a):
        a = np.concatenate([a[:step], np.logaddexp(a[:-step], a[step:])])
        step *= 2
    return np.moveaxis(a, 0, axis)


METHODS[np.logaddexp, "reduce"] = _reduce
METHODS[np.logaddexp, "accumulate"] = _accumulate
