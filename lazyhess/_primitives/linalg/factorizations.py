"""Factorizations: Cholesky, eigenvalues, singular values, QR."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from lazyhess._indices import Array, Shape
from lazyhess._primitives.base import Differential, astype, implements, nested
from lazyhess._primitives.linalg.base import adjoint, square_matrices
from lazyhess._record import reads
from lazyhess._record.variable import record, value_of


def _real(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of the parts of a complex number."""
    return np.finfo(dtype).dtype


# --- factorizations of symmetric matrices ---
def _symmetric(a: Any, lower: bool) -> Any:
    """The Hermitian matrix that NumPy sees: one triangle, and the real part of the diagonal."""
    triangle = np.tril(a, -1) if lower else np.triu(a, 1)
    diagonal = np.real(a) if a.dtype.kind == "c" else a
    eye = np.eye(a.shape[-1], dtype=np.bool_)
    return triangle + adjoint(triangle) + np.where(eye, diagonal, diagonal.dtype.type(0))


def _halved(a: Any) -> Any:
    """The lower triangle with half of the diagonal."""
    n = a.shape[-1]
    return a * (np.tril(np.ones((n, n))) - 0.5 * np.eye(n)).astype(_real(a.dtype))


class Triangle(Differential):
    """A function of Hermitian matrices, of which NumPy reads one triangle."""

    def __init__(self, lower: bool) -> None:
        self.lower = lower


class Cholesky(Triangle):
    """``A = L Lᴴ``: dL = L Φ(L⁻¹ dA L⁻ᴴ), Φ the lower triangle with half of the diagonal."""

    name = "cholesky"

    def value(self, *args: Any) -> Array:
        factor: Array = np.linalg.cholesky(args[0] if self.lower else adjoint(args[0]))
        return factor

    def differential(self, k: int, args: tuple[Any, ...], out: Any, tangent: Any) -> Any:
        inverse = np.linalg.inv(out)
        return out @ _halved(inverse @ _symmetric(tangent, self.lower) @ adjoint(inverse))


@implements(np.linalg.cholesky)
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """`numpy.linalg.cholesky`; as there, one triangle of `a` is read."""
    factor = record(Cholesky.of(not upper), square_matrices("cholesky", a))
    return adjoint(factor) if upper else factor


class Packed(Differential):
    """A function with several results: they come as one array, one after the other."""

    def parts(self, shape: Shape) -> tuple[Shape, ...]:
        """The shapes of the results, without the leading axes."""
        raise NotImplementedError

    def unpack(self, out: Any, shape: Shape) -> tuple[Any, ...]:
        """The results."""
        results, start = [], 0
        for part in self.parts(shape):
            stop = start + prod(part)
            results.append(out[..., start:stop].reshape(out.shape[:-1] + part))
            start = stop
        return tuple(results)


def _pack(*parts: Any, lead: int) -> Any:
    dtype = np.result_type(*(part.dtype for part in parts))
    return np.concatenate(
        [
            astype(part, dtype).reshape((*part.shape[:lead], prod(part.shape[lead:])))
            for part in parts
        ],
        -1,
    )


def _gaps(w: Any) -> Any:
    """1 / (w_j - w_i), and 0 on the diagonal."""
    eye = np.eye(w.shape[-1], dtype=np.bool_)
    gap = w[..., None, :] - w[..., :, None]
    return np.where(eye, gap.dtype.type(0), 1 / np.where(eye, gap.dtype.type(1), gap))


class SymmetricEigen(Packed, Triangle):
    """``A = V diag(w) Vᴴ``, M = Vᴴ dA V: dw = diag M, dV = V (F ∘ M), F_ij = 1 / (w_j - w_i)."""

    name = "eigh"

    def parts(self, shape: Shape) -> tuple[Shape, ...]:
        n = shape[-1]
        return (n,), (n, n)

    def value(self, *args: Any) -> Array:
        w, v = np.linalg.eigh(args[0], "L" if self.lower else "U")
        packed: Array = _pack(w, v, lead=args[0].ndim - 2)
        return packed

    def differential(self, k: int, args: tuple[Any, ...], out: Any, tangent: Any) -> Any:
        w, v = self.unpack(out, tangent.shape)
        m = adjoint(v) @ _symmetric(tangent, self.lower) @ v
        dw = np.diagonal(m, 0, -2, -1)
        return _pack(dw, v @ (_gaps(np.real(w)) * m), lead=tangent.ndim - 2)


_EIGH = type(np.linalg.eigh(np.eye(1)))


@implements(np.linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> Any:
    """`numpy.linalg.eigh`; as there, one triangle of `a` is read."""
    if UPLO.upper() not in ("L", "U"):
        raise ValueError("UPLO argument must be 'L' or 'U'")
    a = square_matrices("eigh", a)
    primitive = SymmetricEigen.of(UPLO.upper() == "L")
    w, v = primitive.unpack(record(primitive, a), a.shape)
    return _EIGH(np.real(w), v)


@implements(np.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    """`numpy.linalg.eigvalsh`."""
    return eigh(a, UPLO)[0]


# --- eigenvalues of any matrix ---
class Eigen(Packed):
    """``A V = V diag(w)``, with M = V⁻¹ dA V: dw = diag M, dV = V (F ∘ M) + V diag(c).

    c keeps each eigenvector's length 1 and its largest element real, as NumPy gives them.
    """

    name = "eig"

    def parts(self, shape: Shape) -> tuple[Shape, ...]:
        n = shape[-1]
        return (n,), (n, n)

    def value(self, *args: Any) -> Array:
        w, v = np.linalg.eig(args[0])
        packed: Array = _pack(w, v, lead=args[0].ndim - 2)
        return packed

    def differential(self, k: int, args: tuple[Any, ...], out: Any, tangent: Any) -> Any:
        w, v = self.unpack(out, tangent.shape)
        m = np.linalg.inv(v) @ tangent @ v
        dv = v @ (_gaps(w) * m)
        plain = value_of(v)
        length = np.real(np.sum(np.conjugate(v) * dv, axis=-2, keepdims=True))
        change = v * length
        if plain.dtype.kind == "c":
            place = np.argmax(np.abs(plain), axis=-2, keepdims=True)
            top = np.arange(plain.shape[-2])[:, None] == place
            turn = _at(top, np.imag(dv)) / _at(top, np.real(v))
            change = change + 1j * v * turn
        return _pack(np.diagonal(m, 0, -2, -1), dv - change, lead=tangent.ndim - 2)


def _at(mask: Any, a: Any) -> Any:
    """The only element of each column that the mask holds for."""
    return np.sum(np.where(mask, a, a.dtype.type(0)), axis=-2, keepdims=True)


_EIG = type(np.linalg.eig(np.eye(1)))


@implements(np.linalg.eig)
def eig(a: Any) -> Any:
    """`numpy.linalg.eig`."""
    a = square_matrices("eig", a)
    reads.note()  # whether they are complex is a matter of values
    primitive = Eigen.of()
    return _EIG(*primitive.unpack(record(primitive, a), a.shape))


@implements(np.linalg.eigvals)
def eigvals(a: Any) -> Any:
    """`numpy.linalg.eigvals`."""
    return eig(a)[0]


# --- singular values ---
class Singular(Packed):
    """``A = U diag(s) Vᴴ`` with min(m, n) columns in U and V.

    With P = Uᴴ dA V: ds = diag Re P, and dU, dV from the off-diagonal of P S + S Pᴴ and S P + Pᴴ S
    over s_j² - s_i², plus what leaves the spaces that U and V span.
    """

    name = "svd"

    def parts(self, shape: Shape) -> tuple[Shape, ...]:
        m, n = shape[-2:]
        k = min(m, n)
        return (m, k), (k,), (k, n)

    def value(self, *args: Any) -> Array:
        packed: Array = _pack(*np.linalg.svd(args[0], full_matrices=False), lead=args[0].ndim - 2)
        return packed

    def differential(self, k: int, args: tuple[Any, ...], out: Any, tangent: Any) -> Any:
        m, n = tangent.shape[-2:]
        u, s, vh = self.unpack(out, tangent.shape)
        s = np.real(s)
        v, uh = adjoint(vh), adjoint(u)
        row, column = s[..., None, :], s[..., :, None]
        p = uh @ tangent @ v
        ph = adjoint(p)
        over = _gaps(s) / _sums(s)
        du = u @ (over * (p * row + column * ph))
        dv = v @ (over * (column * p + ph * row))
        diagonal = np.diagonal(p, 0, -2, -1)
        if tangent.dtype.kind == "c":
            du = du + u * (1j * np.imag(diagonal) / s)[..., None, :]
        if m > n:
            out_of = tangent @ v
            du = du + (out_of - u @ (uh @ out_of)) / row
        if n > m:
            out_of = adjoint(tangent) @ u
            dv = dv + (out_of - v @ (vh @ out_of)) / row
        return _pack(du, np.real(diagonal), adjoint(dv), lead=tangent.ndim - 2)


def _sums(s: Any) -> Any:
    """s_i + s_j, and 1 on the diagonal."""
    eye = np.eye(s.shape[-1], dtype=np.bool_)
    return np.where(eye, 1, s[..., None, :] + s[..., :, None])


_SVD = type(np.linalg.svd(np.eye(1)))


@implements(np.linalg.svd)
def svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    """`numpy.linalg.svd`."""
    a = nested(a)
    if a.ndim < 2:
        np.linalg.svd(np.ones(a.shape))
    if compute_uv and full_matrices and a.shape[-1] != a.shape[-2]:
        raise NotImplementedError(
            f"svd of matrices of shape {a.shape[-2:]} with full_matrices=True has no derivative: "
            "the columns beyond the thin factors are any basis of the rest; use full_matrices=False"
        )
    primitive = Singular.of()
    u, s, vh = primitive.unpack(record(primitive, a), a.shape)
    s = np.real(s)
    return _SVD(u, s, vh) if compute_uv else s


@implements(np.linalg.svdvals)
def svdvals(x: Any, /) -> Any:
    """`numpy.linalg.svdvals`."""
    return svd(x, compute_uv=False)


# --- QR ---
class Orthogonal(Packed):
    """``A = Q R`` with at least as many rows as columns.

    With C = Qᴴ dA R⁻¹ and Ω its strict lower triangle minus that one's adjoint (and i times the
    imaginary diagonal): dQ = Q (Ω - C) + dA R⁻¹, dR = (C - Ω) R.
    """

    name = "qr"

    def parts(self, shape: Shape) -> tuple[Shape, ...]:
        m, n = shape[-2:]
        return (m, n), (n, n)

    def value(self, *args: Any) -> Array:
        packed: Array = _pack(*np.linalg.qr(args[0]), lead=args[0].ndim - 2)
        return packed

    def differential(self, k: int, args: tuple[Any, ...], out: Any, tangent: Any) -> Any:
        q, r = self.unpack(out, tangent.shape)
        y = tangent @ np.linalg.inv(r)
        c = adjoint(q) @ y
        low = np.tril(c, -1)
        turn = low - adjoint(low)
        if tangent.dtype.kind == "c":
            turn = turn + 1j * np.imag(c) * np.eye(c.shape[-1], dtype=_real(c.dtype))
        return _pack(q @ (turn - c) + y, (c - turn) @ r, lead=tangent.ndim - 2)


_QR = type(np.linalg.qr(np.eye(1)))


@implements(np.linalg.qr)
def qr(a: Any, mode: str = "reduced") -> Any:
    """`numpy.linalg.qr`."""
    if a.ndim < 2:
        np.linalg.qr(np.ones(a.shape))
    m, n = a.shape[-2:]
    if mode not in ("reduced", "r", "complete") or (mode == "complete" and m > n):
        raise NotImplementedError(
            f"qr(mode={mode!r}) of matrices of shape {(m, n)} has no derivative rule; the modes "
            'with one are "reduced" and "r", and "complete" for no more rows than columns'
        )
    primitive = Orthogonal.of()
    square = a[..., :, :m] if n > m else a
    q, r = primitive.unpack(record(primitive, square), square.shape)
    if n > m:
        r = np.concatenate([r, adjoint(q) @ a[..., :, m:]], -1)
    return r if mode == "r" else _QR(q, r)
