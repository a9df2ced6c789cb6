"""The pseudo-inverse and least squares."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyhess._create import asarray
from lazyhess._indices import Array
from lazyhess._primitives.base import Differential, implements, nested, squared, variables
from lazyhess._primitives.linalg.base import adjoint, transposed
from lazyhess._primitives.linalg.factorizations import svd, svdvals
from lazyhess._primitives.reduce import given
from lazyhess._record.variable import Variable, record, value_of

_NONE: Any = np._NoValue


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
        inverse: Array = np.linalg.pinv(args[0], self.rcond, self.hermitian)
        return inverse

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
        return transposed(a)
    rcond = value_of(rcond)
    singular = np.linalg.svd(value_of(a), compute_uv=False)
    largest = np.max(singular, axis=-1, keepdims=True)
    cut = singular <= asarray(rcond)[..., None] * largest
    if not np.any(cut & (singular > 1e3 * np.finfo(a.dtype).eps * largest)):
        return record(PseudoInverse.of(rcond, bool(hermitian)), a)
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
