"""Polynomials, as sequences of coefficients: the functions of `numpy` itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyhess._primitives.base import astype, implements, nested
from lazyhess._primitives.convolution import convolve
from lazyhess._record.variable import value_of


@implements(np.roots)
def roots(p: Any) -> Any:
    """`numpy.roots`: the eigenvalues of the companion matrix, in the order that NumPy has them."""
    if p.ndim != 1:
        raise ValueError("Input must be a rank-1 array.")
    there = np.flatnonzero(value_of(p))
    if len(there) == 0:
        return np.zeros(0)
    tail = len(p) - 1 - there[-1]
    p = p[there[0] : there[-1] + 1]
    n = len(p) - 1
    zeros = np.zeros(tail, p.dtype)
    if n == 0:
        return zeros
    below = np.eye(n - 1, n, dtype=p.dtype)
    eigenvalues = np.linalg.eigvals(np.concatenate([(-p[1:] / p[0])[None], below]))
    return np.concatenate([eigenvalues, zeros]) if tail else eigenvalues


@implements(np.poly)
def poly(seq_of_zeros: Any) -> Any:
    """`numpy.poly`: the product of the factors."""
    zeros = np.atleast_1d(seq_of_zeros)
    if zeros.ndim == 2 and zeros.shape[0] == zeros.shape[1] != 0:
        zeros = np.linalg.eigvals(zeros)
    elif zeros.ndim != 1:
        raise ValueError("input must be 1d or non-empty square 2d array.")
    product: Any = np.ones(1, zeros.dtype)
    for zero in zeros:
        product = np.convolve(product, np.stack([np.ones((), zeros.dtype), -zero]))
    plain = value_of(zeros)
    if plain.dtype.kind == "c" and np.array_equal(np.sort(plain), np.sort(plain.conj())):
        product = np.real(product)
    return product


@implements(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    """`numpy.polyval`, by Horner's rule."""
    p, x = nested(p), nested(x)
    value: Any = np.zeros(x.shape, x.dtype)
    if not len(p):  # zero, and recorded all the same
        value = np.where(np.zeros(x.shape, np.bool_), x, value) + np.sum(p)
    for n in range(len(p)):
        value = (value * x if n else value) + p[n]
    return value


def _padded(p: Any, length: int) -> Any:
    return p if len(p) == length else np.concatenate([np.zeros(length - len(p), p.dtype), p])


def _aligned(p: Any, q: Any) -> tuple[Any, Any]:
    p, q = np.atleast_1d(nested(p)), np.atleast_1d(nested(q))
    length = max(len(p), len(q))
    return _padded(p, length), _padded(q, length)


@implements(np.polyadd)
def polyadd(a1: Any, a2: Any) -> Any:
    """`numpy.polyadd`."""
    p, q = _aligned(a1, a2)
    return p + q


@implements(np.polysub)
def polysub(a1: Any, a2: Any) -> Any:
    """`numpy.polysub`."""
    p, q = _aligned(a1, a2)
    return p - q


@implements(np.polymul)
def polymul(a1: Any, a2: Any) -> Any:
    """`numpy.polymul`: without the zeros in front, as NumPy."""
    p, q = (np.trim_zeros(np.atleast_1d(nested(a)), "f") for a in (a1, a2))
    return convolve(*(a if len(a) else np.zeros(1, a.dtype) for a in (p, q)))


@implements(np.polydiv)
def polydiv(u: Any, v: Any) -> Any:
    """`numpy.polydiv`, by long division."""
    u, v = (np.atleast_1d(nested(a)) + 0.0 for a in (u, v))
    kind = np.result_type(u.dtype, v.dtype)
    rest, width, quotient = astype(u, kind), len(v), []
    for k in range(len(u) - width + 1):
        quotient.append(rest[k] / v[0])
        less = rest[k : k + width] - quotient[-1] * v
        rest = np.concatenate([rest[:k], less, rest[k + width :]])
    while len(rest) > 1 and np.allclose(rest[0], 0, rtol=1e-14):
        rest = rest[1:]
    return np.stack(quotient) if quotient else np.zeros(1, kind), rest


@implements(np.polyder)
def polyder(p: Any, m: int = 1) -> Any:
    """`numpy.polyder`."""
    m = int(m)
    if m < 0:
        raise ValueError("Order of derivative must be positive (see polyint)")
    for _ in range(m):
        p = p[:-1] * np.arange(len(p) - 1, 0, -1)
    return p


@implements(np.polyint)
def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """`numpy.polyint`."""
    m = int(m)
    if m < 0:
        raise ValueError("Order of integral must be positive (see polyder)")
    k = np.atleast_1d(np.zeros(m) if k is None else nested(k))
    if len(k) == 1 and m > 1:
        k = np.broadcast_to(k, (m,))
    if len(k) < m:
        raise ValueError("k must be a scalar or a rank-1 array of length 1 or >m.")
    for n in range(m):
        p = np.concatenate([p / np.arange(len(p), 0, -1), k[n : n + 1]])
    return p


@implements(np.polyfit)
def polyfit(
    x: Any,
    y: Any,
    deg: Any,
    rcond: Any = None,
    full: bool = False,
    w: Any = None,
    cov: Any = False,
) -> Any:
    """`numpy.polyfit`, by the rule of `numpy.linalg.lstsq`."""
    # NumPy checks the arguments, and says what has no derivative.
    plain: Any = np.polyfit(value_of(x), value_of(y), deg, rcond, True, value_of(w))
    x, y = nested(x) + 0.0, nested(y) + 0.0
    left, right = vander(x, int(deg) + 1), y
    if w is not None:
        w = nested(w)
        left, right = left * w[:, None], (right.T * w).T
    # Columns of length 1; the answer does not depend on the lengths.
    lengths = np.sqrt(np.sum(np.square(value_of(left)), axis=0))
    tolerance = len(x) * np.finfo(x.dtype).eps if rcond is None else rcond
    solution = np.linalg.lstsq(left / lengths, right, tolerance)
    coefficients = (solution[0].T / lengths).T
    if full:
        return coefficients, solution[1], *plain[2:]
    if not cov:
        return coefficients
    spread = np.linalg.inv(left.T @ left)
    if cov != "unscaled":
        if len(x) <= int(deg) + 1:
            raise ValueError(
                "the number of data points must exceed order to scale the covariance matrix"
            )
        share = np.sum(np.square(left @ coefficients - right), axis=0) / (len(x) - int(deg) - 1)
        return coefficients, (spread if y.ndim == 1 else spread[:, :, None]) * share
    return coefficients, spread if y.ndim == 1 else spread[:, :, None]


@implements(np.vander)
def vander(x: Any, N: Any = None, increasing: bool = False) -> Any:
    """`numpy.vander`."""
    if x.ndim != 1:
        raise ValueError("x must be a one-dimensional array or sequence.")
    powers = np.arange(len(x) if N is None else N)
    x = astype(x, np.promote_types(x.dtype, int))
    return x[:, None] ** (powers if increasing else powers[::-1]).astype(x.dtype)
