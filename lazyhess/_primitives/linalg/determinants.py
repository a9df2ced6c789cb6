"""Determinants."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyhess._create import asarray
from lazyhess._decisions import nowhere
from lazyhess._indices import Array, Shape
from lazyhess._maps import Map, chain
from lazyhess._primitives.base import implements, weigh
from lazyhess._primitives.einsum import contract
from lazyhess._primitives.linalg.base import Curvature, square_matrices, times, transposed, turned
from lazyhess._primitives.linalg.solutions import inv
from lazyhess._record.primitive import Primitive
from lazyhess._record.variable import record, value_of

_SINGULAR = 1e-6


class Determinant(Primitive):
    """d det A = tr(C dA) with C = det A · A⁻¹; dC = C tr(A⁻¹ dA) - C dA A⁻¹."""

    name = "det"

    def value(self, *args: Any) -> Array:
        return asarray(np.linalg.det(args[0]))

    def jacobian(self, k: int, args: tuple[Any, ...], out: Array) -> Map:
        (a,) = args
        return _inner(out[..., None, None] * transposed(np.linalg.inv(a)), a.shape)

    def curvature(
        self, args: tuple[Any, ...], out: Array, adjoint: Array, active: tuple[int, ...]
    ) -> Curvature:
        shape, inverse = args[0].shape, transposed(np.linalg.inv(args[0]))
        cofactors = (adjoint * out)[..., None, None] * inverse
        yield 0, 0, chain(_inner(inverse, shape), _inner(cofactors, shape).T)
        yield (
            0,
            0,
            chain(turned(shape), times("left", -cofactors, shape), times("right", inverse, shape)),
        )


class LogDeterminant(Primitive):
    """d log|det A| = tr(A⁻¹ dA), dA⁻¹ = -A⁻¹ dA A⁻¹."""

    name = "slogdet"

    def value(self, *args: Any) -> Array:
        return asarray(np.linalg.slogdet(args[0])[1])

    def jacobian(self, k: int, args: tuple[Any, ...], out: Array) -> Map:
        return _inner(transposed(_inverse(args[0], out)), args[0].shape)

    def curvature(
        self, args: tuple[Any, ...], out: Array, adjoint: Array, active: tuple[int, ...]
    ) -> Curvature:
        shape, inverse = args[0].shape, transposed(_inverse(args[0], out))
        weighted = weigh(-adjoint[..., None, None], inverse)
        yield (
            0,
            0,
            chain(turned(shape), times("left", weighted, shape), times("right", inverse, shape)),
        )


def _inverse(a: Any, logarithm: Any) -> Any:
    """A⁻¹, and NaN where A is singular: there log|det A|, of the same factors, is -inf."""
    singular = np.isneginf(logarithm)[..., None, None]
    if nowhere(singular):
        return np.linalg.inv(a)
    inverse = np.linalg.inv(np.where(singular, np.eye(a.shape[-1], dtype=a.dtype), a))
    return np.where(singular, inverse.dtype.type(np.nan), inverse)


class DeterminantSign(Primitive):
    """The sign of the determinant of real matrices: constant where it is not zero."""

    name = "slogdet"

    def value(self, *args: Any) -> Array:
        return asarray(np.linalg.slogdet(args[0])[0])

    def jacobian(self, k: int, args: tuple[Any, ...], out: Array) -> Map | None:
        return None


def _inner(weights: Any, shape: Shape) -> Map:
    """Stacked matrices -> the sum of their elements times weights."""
    lead = tuple(range(2, len(shape)))
    return contract((*lead, 0, 1), (*lead, 0, 1), lead, weights, shape)


@implements(np.linalg.det)
def det(a: Any) -> Any:
    """`numpy.linalg.det`; exact where matrices are singular, too."""
    a = square_matrices("det", a)
    value = value_of(a)
    if not np.isfinite(value).all() or a.size == 0:
        return record(Determinant.of(), a)
    u, s, vh = np.linalg.svd(value)
    small = s <= _SINGULAR * np.max(s, axis=-1, keepdims=True)
    r = int(np.max(np.sum(small, axis=-1)))
    if not r:
        return record(Determinant.of(), a)
    # det A = det M · det (M⁻¹)₂₂ (Jacobi's identity), with M = [[A, U], [Vᵀ, 0]] regular where U
    # and V span the null spaces.
    if r > 4:
        return (
            np.sum(a, axis=(-2, -1)) * 0.0
        )  # a zero of higher order than any derivative asked for
    scale = np.where(s[..., :1] == 0, 1, s[..., :1])[..., None].astype(a.dtype)
    right, below = u[..., -r:] * scale, vh[..., -r:, :] * scale
    corner = np.zeros((*a.shape[:-2], r, r), a.dtype)
    bordered = np.concatenate(
        [np.concatenate([a, right], -1), np.concatenate([below, corner], -1)], -2
    )
    n = a.shape[-1]
    return record(Determinant.of(), bordered) * _expanded(inv(bordered)[..., n:, n:])


def _expanded(a: Any) -> Any:
    """The determinant of small matrices by its first row (Laplace): no division."""
    if a.shape[-1] == 1:
        return a[..., 0, 0]
    columns = range(a.shape[-1])
    return sum(
        (-1) ** k * a[..., 0, k] * _expanded(a[..., 1:, [c for c in columns if c != k]])
        for k in columns
    )


_SLOGDET = type(np.linalg.slogdet(np.eye(1)))


@implements(np.linalg.slogdet)
def slogdet(a: Any) -> Any:
    """`numpy.linalg.slogdet`; the sign is recorded, too, so that no value is asked for."""
    a = square_matrices("slogdet", a)
    logarithm = record(LogDeterminant.of(), a)
    if a.dtype.kind != "c":
        return _SLOGDET(record(DeterminantSign.of(), a), logarithm)
    return _SLOGDET(record(Determinant.of(), a) / np.exp(logarithm), logarithm)
