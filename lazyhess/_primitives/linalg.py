"""Linear algebra: `numpy.linalg`, stacked matrices everywhere.

Sources of the differentials: M. B. Giles, *Collected matrix derivative results for forward and
reverse mode algorithmic differentiation*, in: Advances in Automatic Differentiation, Springer 2008;
for Cholesky I. Murray, *Differentiation of the Cholesky decomposition*, 2016, section 3.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from operator import index
from typing import Any

import numpy as np

from lazyhess._maps import NOTHING, Map, Permute, Weighted, chain
from lazyhess._primitives.base import (
    Differential,
    RecordedMap,
    astype,
    axis_tuple,
    implements,
    nested,
    squared,
    variables,
)
from lazyhess._primitives.contract import contract, product
from lazyhess._primitives.reduce import given
from lazyhess._tangents import Array, Ids, Shape, Sparse
from lazyhess._variable import FUNCTIONS, UFUNCS, Primitive, Variable, record, refuse_out, value_of

_NONE: Any = np._NoValue


def adjoint(a: Any) -> Any:
    """The conjugate transpose of stacked matrices."""
    a = _T(a)
    return np.conjugate(a) if a.dtype.kind == "c" else a


def _real(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of the parts of a complex number."""
    return np.finfo(dtype).dtype


def _square(name: str, a: Any) -> Any:
    """A stack of square matrices of a floating dtype, or NumPy's own error."""
    a = nested(a)
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        getattr(np.linalg, name)(np.empty(a.shape))
    return a


def times(side: str, a: Any, shape: Shape) -> Map:
    """The map of stacked matrices of `shape` to their products with `a` on the left or right."""
    lead = tuple(range(3, 3 + len(shape) - 2))
    if side == "left":
        return contract((*lead, 0, 1), (*lead, 2, 0), (*lead, 2, 1), a, shape)
    return contract((*lead, 0, 1), (*lead, 1, 2), (*lead, 0, 2), a, shape)


def turned(shape: Shape) -> Map:
    """The map of stacked matrices of `shape` to their transposes."""
    lead = range(len(shape) - 2)
    return Permute(shape, (*lead, len(shape) - 1, len(shape) - 2))


def _T(a: Any) -> Any:
    return np.swapaxes(a, -1, -2)


Curvature = Iterable[tuple[int, int, Map]]


# --- inverse and solutions ---
def _columns(a: Any, block: Any) -> Any:
    """Solve for K right-hand sides of each matrix at once: one factorization for all."""
    count, shape = block.shape[0], block.shape[1:]
    columns = np.moveaxis(block, 0, -1).reshape((*shape[:-1], shape[-1] * count))
    made = np.linalg.solve(a, columns).reshape((*shape, count))
    return np.moveaxis(made, -1, 0)


class Solving(Weighted):
    """Stacked matrices B -> A⁻¹ B."""

    def __init__(self, a: Array, shape: Shape) -> None:
        self.weights = a
        self.inp = self.out = shape

    def dense(self, block: Array) -> Array:
        made: Array = _columns(self.weights, block)
        return made

    def sparse(self, block: Sparse) -> Array:
        return self.dense(block.dense())

    def reach(self, labels: Ids) -> Ids:
        return np.broadcast_to(np.max(labels, axis=-2, keepdims=True, initial=NOTHING), self.out)

    @property
    def T(self) -> Map:
        return Solving(_T(self.weights), self.out)


class RecordedSolving(RecordedMap):
    """As `Solving`, with a Variable for A."""

    def __init__(self, a: Variable, shape: Shape) -> None:
        super().__init__(Solving(a.value, shape))
        self.a = a

    def dense(self, block: Any) -> Any:
        return _columns(self.a, block)

    @property
    def T(self) -> Map:
        return RecordedSolving(_T(self.a), self.out)


def solving(a: Any, shape: Shape) -> Map:
    """The map B -> A⁻¹ B of stacked matrices of `shape`."""
    return (RecordedSolving if isinstance(a, Variable) else Solving)(a, shape)


class Solve(Primitive):
    """``X = A⁻¹ B`` for stacks of one leading shape: dX = A⁻¹ (dB - dA X).

    With L = A⁻ᵀ X̄ the adjoints are B̄ = L and Ā = -L Xᵀ; the curvature is the change of these.
    """

    name = "solve"

    def value(self, *args: Any) -> Array:
        a, b = args
        made: Array = np.linalg.solve(a, b)
        return made

    def jacobian(self, k: int, args: tuple[Any, ...], out: Array) -> Map:
        inverse = solving(args[0], out.shape)
        return inverse if k else chain(times("right", -out, args[0].shape), inverse)

    def curvature(
        self, args: tuple[Any, ...], out: Array, adjoint: Array, active: tuple[int, ...]
    ) -> Curvature:
        if 0 not in active:
            return
        a, shape = args[0], args[0].shape
        back = np.linalg.solve(_T(a), adjoint)
        outer = back @ _T(out)
        turn = turned(shape)
        yield 0, 0, chain(turn, times("right", outer, shape), solving(_T(a), shape))
        yield 0, 0, chain(times("right", _T(outer), shape), solving(a, shape), turn)
        if 1 in active:
            yield 1, 0, chain(turn, times("right", -back, shape), solving(_T(a), out.shape))
            lead = tuple(range(3, 1 + len(shape)))
            spread = contract((*lead, 1, 2), (*lead, 0, 2), (*lead, 0, 1), -back, out.shape)
            yield 0, 1, chain(solving(a, out.shape), spread)


@implements(np.linalg.solve)
def solve(a: Any, b: Any) -> Any:
    """`numpy.linalg.solve`."""
    a, b = _square("solve", a), nested(b)
    if not variables(a, b):
        return np.linalg.solve(a, b)
    if b.ndim == 0 or a.shape[-1] != b.shape[0 if b.ndim == 1 else -2]:
        np.linalg.solve(np.ones(a.shape), np.ones(b.shape))  # NumPy words the error
    vector = b.ndim == 1
    b = b[:, None] if vector else b
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    dtype = np.result_type(a.dtype, b.dtype)
    a, b = (np.broadcast_to(astype(x, dtype), lead + x.shape[-2:]) for x in (a, b))
    made = record(Solve(), a, b)
    return made[..., 0] if vector else made


class Inverse(Primitive):
    """``X = A⁻¹``: dX = -X dA X, Ā = -Xᵀ X̄ Xᵀ, dĀ = -Xᵀ dAᵀ Ā - Ā dAᵀ Xᵀ."""

    name = "inv"

    def value(self, *args: Any) -> Array:
        made: Array = np.linalg.inv(args[0])
        return made

    def jacobian(self, k: int, args: tuple[Any, ...], out: Array) -> Map:
        return chain(times("left", -out, out.shape), times("right", out, out.shape))

    def curvature(
        self, args: tuple[Any, ...], out: Array, adjoint: Array, active: tuple[int, ...]
    ) -> Curvature:
        x, shape = _T(out), out.shape
        back = x @ adjoint @ x  # -Ā
        yield 0, 0, chain(turned(shape), times("left", x, shape), times("right", back, shape))
        yield 0, 0, chain(turned(shape), times("left", back, shape), times("right", x, shape))


@implements(np.linalg.inv)
def inv(a: Any) -> Any:
    """`numpy.linalg.inv`."""
    return record(Inverse(), _square("inv", a))


@implements(np.linalg.tensorsolve)
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """`numpy.linalg.tensorsolve`."""
    a, b = nested(a), nested(b)
    if axes is not None:
        order = [k for k in range(a.ndim) if k not in axis_tuple(axes, a.ndim)]
        a = np.transpose(a, (*order, *axis_tuple(axes, a.ndim)))
    rest = a.shape[-(a.ndim - b.ndim) :] if a.ndim > b.ndim else ()
    if prod(rest) != b.size:
        raise np.linalg.LinAlgError(
            "Input arrays must satisfy the requirement prod(a.shape[b.ndim:]) == "
            "prod(a.shape[:b.ndim])"
        )
    made = solve(np.reshape(a, (b.size, b.size)), np.reshape(b, (b.size,)))
    return np.reshape(made, rest)


@implements(np.linalg.tensorinv)
def tensorinv(a: Any, ind: int = 2) -> Any:
    """`numpy.linalg.tensorinv`."""
    if ind <= 0:
        raise ValueError("Invalid ind argument.")
    first, rest = a.shape[:ind], a.shape[ind:]
    made = inv(np.reshape(a, (prod(first), -1)))
    return np.reshape(made, (*rest, *first))


# --- determinants ---
class Determinant(Primitive):
    """d det A = tr(C dA) with C = det A · A⁻¹; dC = C tr(A⁻¹ dA) - C dA A⁻¹."""

    name = "det"

    def value(self, *args: Any) -> Array:
        return np.asarray(np.linalg.det(args[0]))

    def jacobian(self, k: int, args: tuple[Any, ...], out: Array) -> Map:
        (a,) = args
        return _inner(out[..., None, None] * _T(np.linalg.inv(a)), a.shape)

    def curvature(
        self, args: tuple[Any, ...], out: Array, adjoint: Array, active: tuple[int, ...]
    ) -> Curvature:
        shape, inverse = args[0].shape, _T(np.linalg.inv(args[0]))
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
        return np.asarray(np.linalg.slogdet(args[0])[1])

    def jacobian(self, k: int, args: tuple[Any, ...], out: Array) -> Map:
        (a,) = args
        return _inner(_T(np.linalg.inv(a)), a.shape)

    def curvature(
        self, args: tuple[Any, ...], out: Array, adjoint: Array, active: tuple[int, ...]
    ) -> Curvature:
        shape, inverse = args[0].shape, _T(np.linalg.inv(args[0]))
        weighted = -adjoint[..., None, None] * inverse
        yield (
            0,
            0,
            chain(turned(shape), times("left", weighted, shape), times("right", inverse, shape)),
        )


def _inner(weights: Any, shape: Shape) -> Map:
    """Stacked matrices -> the sum of their elements times weights."""
    lead = tuple(range(2, len(shape)))
    return contract((*lead, 0, 1), (*lead, 0, 1), lead, weights, shape)


@implements(np.linalg.det)
def det(a: Any) -> Any:
    """`numpy.linalg.det`; exact where matrices are singular, too."""
    a = _square("det", a)
    value = value_of(a)
    if not np.isfinite(value).all() or a.size == 0:
        return record(Determinant(), a)
    u, s, vh = np.linalg.svd(value)
    small = s <= _SINGULAR * np.max(s, axis=-1, keepdims=True)
    r = int(np.max(np.sum(small, axis=-1)))
    if not r:
        return record(Determinant(), a)
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
    return record(Determinant(), bordered) * _expanded(inv(bordered)[..., n:, n:])


_SINGULAR = 1e-6


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
    """`numpy.linalg.slogdet`."""
    a = _square("slogdet", a)
    logarithm = record(LogDeterminant(), a)
    if a.dtype.kind != "c":
        return _SLOGDET(np.linalg.slogdet(value_of(a))[0], logarithm)
    return _SLOGDET(record(Determinant(), a) / np.exp(logarithm), logarithm)


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
        made: Array = np.linalg.cholesky(args[0] if self.lower else adjoint(args[0]))
        return made

    def differential(self, k: int, args: tuple[Any, ...], out: Any, tangent: Any) -> Any:
        inverse = np.linalg.inv(out)
        return out @ _halved(inverse @ _symmetric(tangent, self.lower) @ adjoint(inverse))


@implements(np.linalg.cholesky)
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """`numpy.linalg.cholesky`; as there, one triangle of `a` is read."""
    made = record(Cholesky(not upper), _square("cholesky", a))
    return adjoint(made) if upper else made


class Packed(Differential):
    """A function with several results: they come as one array, one after the other."""

    def parts(self, shape: Shape) -> tuple[Shape, ...]:
        """The shapes of the results, without the leading axes."""
        raise NotImplementedError

    def unpack(self, out: Any, shape: Shape) -> tuple[Any, ...]:
        """The results."""
        made, start = [], 0
        for part in self.parts(shape):
            stop = start + prod(part)
            made.append(out[..., start:stop].reshape(out.shape[:-1] + part))
            start = stop
        return tuple(made)


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
        made: Array = _pack(w, v, lead=args[0].ndim - 2)
        return made

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
    a = _square("eigh", a)
    primitive = SymmetricEigen(UPLO.upper() == "L")
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
        made: Array = _pack(w, v, lead=args[0].ndim - 2)
        return made

    def differential(self, k: int, args: tuple[Any, ...], out: Any, tangent: Any) -> Any:
        w, v = self.unpack(out, tangent.shape)
        m = np.linalg.inv(v) @ tangent @ v
        dv = v @ (_gaps(w) * m)
        plain = value_of(v)
        length = np.real(np.sum(np.conjugate(v) * dv, axis=-2, keepdims=True))
        change = v * length
        if plain.dtype.kind == "c":
            top = np.argmax(np.abs(plain), axis=-2, keepdims=True)
            turn = np.imag(np.take_along_axis(dv, top, -2)) / np.real(
                np.take_along_axis(v, top, -2)
            )
            change = change + 1j * v * turn
        return _pack(np.diagonal(m, 0, -2, -1), dv - change, lead=tangent.ndim - 2)


_EIG = type(np.linalg.eig(np.eye(1)))


@implements(np.linalg.eig)
def eig(a: Any) -> Any:
    """`numpy.linalg.eig`."""
    a = _square("eig", a)
    primitive = Eigen()
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
        made: Array = _pack(*np.linalg.svd(args[0], full_matrices=False), lead=args[0].ndim - 2)
        return made

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
    primitive = Singular()
    u, s, vh = primitive.unpack(record(primitive, a), a.shape)
    s = np.real(s)
    return _SVD(u, s, vh) if compute_uv else s


@implements(np.linalg.svdvals)
def svdvals(x: Any, /) -> Any:
    """`numpy.linalg.svdvals`."""
    return svd(x, compute_uv=False)


class PseudoInverse(Differential):
    """The Moore-Penrose inverse of matrices whose rank does not change.

    dP = -P dA P + P Pᴴ dAᴴ (1 - A P) + (1 - P A) dAᴴ Pᴴ P (G. Golub and V. Pereyra, *The
    differentiation of pseudo-inverses*, SIAM J. Numer. Anal. 10, 1973).
    """

    name = "pinv"

    def __init__(self, rcond: Any, hermitian: bool) -> None:
        self.rcond = rcond
        self.hermitian = hermitian

    def value(self, *args: Any) -> Array:
        made: Array = np.linalg.pinv(args[0], self.rcond, self.hermitian)
        return made

    def differential(self, k: int, args: tuple[Any, ...], out: Any, tangent: Any) -> Any:
        (a,), p = args, out
        ph, dah = adjoint(p), adjoint(tangent)
        inner, outer = dah - dah @ a @ p, dah - p @ a @ dah
        return p @ ph @ inner - p @ tangent @ p + outer @ ph @ p


@implements(np.linalg.pinv)
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = _NONE) -> Any:
    """`numpy.linalg.pinv`."""
    if given(rtol):
        rcond = rtol
    if rcond is None:
        rcond = np.finfo(a.dtype).eps * max(a.shape[-2:])
    if a.size == 0:
        return _T(a)
    rcond = value_of(rcond)
    found = np.linalg.svd(value_of(a), compute_uv=False)
    largest = np.max(found, axis=-1, keepdims=True)
    cut = found <= np.asarray(rcond)[..., None] * largest
    if not np.any(cut & (found > 1e3 * np.finfo(a.dtype).eps * largest)):
        return record(PseudoInverse(rcond, hermitian), a)
    # What is cut is not zero, and turns against what is kept: the rank says too little.
    u, s, vh = svd(a, full_matrices=False)
    inverse = np.where(cut, s.dtype.type(0), 1 / np.where(cut, s.dtype.type(1), s))
    return adjoint(vh) * inverse[..., None, :] @ adjoint(u)


@implements(np.linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """`numpy.linalg.lstsq`."""
    a, b = nested(a), nested(b)
    plain = np.linalg.lstsq(value_of(a), value_of(b), rcond)
    if rcond is None:
        rcond = np.finfo(np.result_type(a, b) if not variables(a, b) else plain[0].dtype).eps * max(
            a.shape
        )
    x = (pinv(a, rcond) if isinstance(a, Variable) else np.linalg.pinv(a, rcond)) @ b
    residuals: Any = plain[1]
    if residuals.size:
        residuals = np.sum(squared(b - a @ x), axis=0, keepdims=b.ndim == 1)
    s = svdvals(a) if isinstance(a, Variable) else plain[3]
    return x, residuals, plain[2], s


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
        made: Array = _pack(*np.linalg.qr(args[0]), lead=args[0].ndim - 2)
        return made

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
    primitive = Orthogonal()
    square = a[..., :, :m] if n > m else a
    q, r = primitive.unpack(record(primitive, square), square.shape)
    if n > m:
        r = np.concatenate([r, adjoint(q) @ a[..., :, m:]], -1)
    return r if mode == "r" else _QR(q, r)


# --- norms ---
def _root(total: Any, power: float) -> Any:
    """total**power, with a derivative of zero where the total is zero: the norm's kink."""
    zero = value_of(total) == 0
    if not np.any(zero):
        return np.sqrt(total) if power == 0.5 else total**power
    safe = np.where(zero, total.dtype.type(1), total)
    return np.where(zero, total.dtype.type(0), _root(safe, power))


def _vector_norm(x: Any, order: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    how: dict[str, Any] = {"axis": axes, "keepdims": keepdims}
    if order in (None, 2, "fro", "f"):
        return _root(np.sum(squared(x), **how), 0.5)
    if isinstance(order, str):
        raise ValueError(f"Invalid norm order '{order}' for vectors")
    size = np.abs(x)
    if order == np.inf:
        return np.max(size, **how)
    if order == -np.inf:
        return np.min(size, **how)
    if order == 0:
        return np.sum(np.sign(size), **how)
    if order == 1:
        return np.sum(size, **how)
    return _root(np.sum(size**order, **how), 1 / order)


def _matrix_norm(x: Any, order: Any, axes: tuple[int, int], keepdims: bool) -> Any:
    rows, columns = axes
    if order in (None, "fro", "f"):
        return _vector_norm(x, None, axes, keepdims)
    if order in (1, -1, np.inf, -np.inf):
        summed, left = (rows, columns) if abs(order) == 1 else (columns, rows)
        total = np.sum(np.abs(x), axis=summed, keepdims=True)
        made = (np.max if order > 0 else np.min)(total, axis=left, keepdims=True)
    elif order in (2, -2, "nuc"):
        s = svdvals(np.moveaxis(x, axes, (-2, -1)))
        combine: Any = {2: np.max, -2: np.min, "nuc": np.sum}[order]
        made = np.expand_dims(combine(s, axis=-1), axes)
    else:
        raise ValueError(f"Invalid norm order {order!r} for matrices.")
    return made if keepdims else np.squeeze(made, axes)


@implements(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """`numpy.linalg.norm`."""
    if axis is None:
        axes = tuple(range(x.ndim))
        if ord is None or (x.ndim == 1 and ord in ("fro", "f")):
            if isinstance(ord, str):
                raise ValueError(f"Invalid norm order '{ord}' for vectors")
            return _vector_norm(x, None, axes, keepdims)
    else:
        axes = axis_tuple(axis, x.ndim)
    if len(axes) == 1:
        if isinstance(ord, str):
            raise ValueError(f"Invalid norm order '{ord}' for vectors")
        return _vector_norm(x, ord, axes, keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, ord, (axes[0], axes[1]), keepdims)
    raise ValueError("Improper number of dimensions to norm.")


@implements(np.linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """`numpy.linalg.vector_norm`."""
    return _vector_norm(x, ord, axis_tuple(axis, x.ndim), keepdims)


@implements(np.linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """`numpy.linalg.matrix_norm`."""
    return _matrix_norm(x, ord, (x.ndim - 2, x.ndim - 1), keepdims)


@implements(np.linalg.cond)
def cond(x: Any, p: Any = None) -> Any:
    """`numpy.linalg.cond`."""
    if p in (None, 2, -2):
        s = svdvals(x)
        first, last = (s[..., 0], s[..., -1])
        return last / first if p == -2 else first / last
    x = _square("inv", x)
    return norm(x, p, axis=(-2, -1)) * norm(inv(x), p, axis=(-2, -1))


# --- products ---
@implements(np.linalg.matrix_power)
def matrix_power(a: Any, n: Any) -> Any:
    """`numpy.linalg.matrix_power`, by repeated squaring."""
    a = _square("inv", a)
    n = index(n)
    if n < 0:
        return matrix_power(inv(a), -n)
    if n == 0:
        return a * 0 + np.eye(a.shape[-1], dtype=a.dtype)
    made, square = None, a
    while True:
        if n & 1:
            made = square if made is None else made @ square
        n >>= 1
        if not n:
            return made
        square = square @ square


@implements(np.linalg.multi_dot)
def multi_dot(arrays: Any, *, out: Any = None) -> Any:
    """`numpy.linalg.multi_dot`, in an order chosen by sizes."""
    if out is not None:
        refuse_out("multi_dot")
    parts = [nested(a) for a in arrays]
    if len(parts) < 2:
        raise ValueError("Expecting at least two arrays.")
    ends = (parts[0].ndim == 1, parts[-1].ndim == 1)
    for a, allowed in zip(parts, [(1, 2), *[(2,)] * (len(parts) - 2), (1, 2)], strict=True):
        if a.ndim not in allowed:
            raise np.linalg.LinAlgError(
                f"{a.ndim}-dimensional array given. Array must be two-dimensional"
            )
    labels = [(k, k + 1) for k in range(len(parts))]
    onto = (0, len(parts))
    if ends[0]:
        labels[0], onto = labels[0][1:], onto[1:]  # type: ignore[assignment]
    if ends[1]:
        labels[-1], onto = labels[-1][:1], onto[:-1]  # type: ignore[assignment]
    return product(parts, labels, onto)


implements(np.linalg.matmul)(FUNCTIONS.get(np.matmul) or UFUNCS[np.matmul])
implements(np.linalg.matrix_transpose)(FUNCTIONS[np.matrix_transpose])


@implements(np.linalg.diagonal)
def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """`numpy.linalg.diagonal`."""
    return np.diagonal(x, offset, -2, -1)


@implements(np.linalg.trace)
def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """`numpy.linalg.trace`."""
    return np.trace(x, offset, -2, -1, dtype)
