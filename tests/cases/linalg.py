"""Linear algebra. Matrices are built from the inputs where NumPy wants them symmetric or regular."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.cases.base import case, spread

LA = np.linalg


def add(key: Any, function: Any, *inputs: Any) -> None:
    """NumPy's linear algebra has no extended precision."""
    case(key, function, *inputs, extended=False)


def positive(x: Any) -> Any:
    """A positive definite matrix of any matrix."""
    return x @ np.swapaxes(x, -1, -2) + 2.0 * np.eye(x.shape[-2])


REGULAR = [(2, 2), (3, 3), (1, 1), (2, 1, 3, 3), (0, 2, 2)]


def regular(shape: tuple[int, ...]) -> np.ndarray:
    return spread(-0.5, 0.5, shape) + 1.5 * np.eye(shape[-1])


for _shape in REGULAR:
    add(LA.inv, LA.inv, regular(_shape))
    add(LA.det, LA.det, regular(_shape))
    add(LA.slogdet, lambda x: LA.slogdet(x)[1], regular(_shape))
    add(LA.cholesky, lambda x: LA.cholesky(positive(x)), regular(_shape))
    add(LA.eigvalsh, LA.eigvalsh, regular(_shape) * np.arange(1, _shape[-1] + 1))
    add(LA.svdvals, LA.svdvals, regular(_shape) * np.arange(1, _shape[-1] + 1))
    # In no order that one could rely on, and complex at times.
    add(LA.eigvals, lambda x: np.sum(np.real(np.exp(LA.eigvals(x))), axis=-1), regular(_shape))
add(LA.inv, LA.inv, regular((2, 2)).astype(np.float32))
add(LA.inv, LA.inv, np.zeros((0, 0)))
add(LA.det, LA.det, regular((2, 2)).astype(np.float32))
add(LA.det, LA.det, np.array([[1.0, 2.0], [2.0, 4.0]]))
add(LA.det, LA.det, np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]))
add(LA.det, LA.det, np.outer([1.0, 2.0, -1.0], [1.0, 0.5, 3.0]))
add(LA.det, LA.det, np.stack([np.eye(2), np.zeros((2, 2)), np.ones((2, 2))]))
add(LA.slogdet, lambda x: LA.slogdet(x).sign * LA.slogdet(x).logabsdet, -regular((3, 3)))
for _a, _b in [((3, 3), (3,)), ((3, 3), (3, 2)), ((2, 1, 3, 3), (4, 3, 2)), ((2, 2, 2), (2,)), ((0, 2, 2), (2,)),
               ((2, 2), (2, 0))]:  # fmt: skip
    add(LA.solve, LA.solve, regular(_a), spread(-1, 1, _b))
add(LA.solve, lambda b: LA.solve(np.array([[2.0, 1.0], [0.0, 1.0]]), b), spread(-1, 1, (2,)))
add(LA.solve, lambda a: LA.solve(a, [1.0, 2.0]), regular((2, 2)).astype(np.float32))
add(LA.tensorsolve, LA.tensorsolve, regular((4, 4)).reshape(2, 2, 4), spread(-1, 1, (2, 2)))
add(LA.tensorsolve, lambda a, b: LA.tensorsolve(a, b, (0,)),
    regular((4, 4)).reshape(4, 2, 2).transpose(1, 0, 2), spread(-1, 1, (4,)))  # fmt: skip
add(LA.tensorinv, lambda a: LA.tensorinv(a, 1), regular((4, 4)).reshape(4, 2, 2))
add(LA.tensorinv, LA.tensorinv, regular((4, 4)).reshape(2, 2, 4))
add(LA.cholesky, lambda x: LA.cholesky(x), positive(spread(-1, 1, (3, 3))))
add(LA.cholesky, lambda x: LA.cholesky(x, upper=True), positive(spread(-1, 1, (2, 2))))
add(LA.cholesky, lambda x: LA.cholesky(positive(x)), spread(-1, 1, (2, 3)).astype(np.float32))
SYMMETRIC = spread(-1, 1, (3, 3)) + np.diag([0.0, 3.0, 7.0])
add(LA.eigvalsh, lambda x: LA.eigvalsh(x, "U"), SYMMETRIC)
# Signs of eigenvectors are arbitrary: what is tested does not see them.
add(LA.eigh, lambda x: np.square(LA.eigh(x).eigenvectors) * LA.eigh(x)[0], SYMMETRIC)
add(LA.eigh, lambda x: (lambda w, v: v * np.exp(w)[..., None, :] @ np.swapaxes(v, -1, -2))(*LA.eigh(x)),
    np.stack([SYMMETRIC, 2 * SYMMETRIC.T]))  # fmt: skip
add(LA.eigh, lambda x: np.abs(LA.eigh(x, "U")[1]), SYMMETRIC[:2, :2].astype(np.float32))


def eigen(x: Any) -> Any:
    w, v = LA.eig(x)
    return np.sum(np.square(np.abs(v)) * np.real(np.exp(w))[..., None, :], axis=-1)


add(LA.eig, eigen, regular((3, 3)) * np.arange(1, 4))
add(
    LA.eig,
    eigen,
    np.stack([np.array([[1.0, 2.0], [-1.5, 0.5]]), np.array([[0.0, 1.0], [-1.0, 0.3]])]),
)
add(LA.eig, lambda x: np.imag(LA.eig(x)[1]) ** 2, np.array([[1.0, 2.0], [-1.5, 0.5]]))
for _shape in [(3, 2), (2, 3), (2, 2), (2, 3, 2), (1, 1)]:
    _x = spread(-0.5, 0.5, _shape) + np.eye(*_shape[-2:]) * 1.5 * np.arange(1, _shape[-1] + 1)
    add(LA.svd, lambda x: np.square(LA.svd(x, full_matrices=False).U), _x)
    add(
        LA.svd,
        lambda x: LA.svd(x, full_matrices=False)[1][..., None] * np.square(LA.svd(x, False)[2]),
        _x,
    )
    add(LA.svd, lambda x: LA.svd(x, compute_uv=False), _x)
    add(LA.pinv, LA.pinv, _x)
    add(LA.qr, lambda x: np.square(LA.qr(x).Q), _x)
    add(LA.qr, lambda x: np.square(LA.qr(x, "r")), _x)
add(LA.qr, lambda x: np.square(LA.qr(x, "complete").R), spread(-1, 1, (2, 3)))
add(LA.svd, lambda x: np.sum(LA.svd(x)[0] * LA.svd(x)[2]), regular((2, 2)).astype(np.float32))
add(LA.pinv, lambda x: LA.pinv(x, rtol=1e-3), spread(-1, 1, (2, 3)).astype(np.float32))
add(LA.pinv, LA.pinv, np.zeros((2, 0)))
add(LA.pinv, lambda x: LA.pinv(x, 0.5), np.diag([1.0, 2.0, 0.3]) + spread(-0.1, 0.1, (3, 3)))
add(LA.lstsq, lambda a, b: LA.lstsq(a, b)[0], spread(-1, 1, (4, 2)), spread(-1, 1, (4,)))
add(
    LA.lstsq,
    lambda a, b: LA.lstsq(a, b)[1],
    spread(-1, 1, (4, 2)) + 2 * np.eye(4, 2),
    spread(-1, 1, (4, 3)),
)
add(LA.lstsq, lambda a, b: LA.lstsq(a, b)[0], spread(-1, 1, (2, 3)), spread(-1, 1, (2,)))
add(
    LA.lstsq,
    lambda a, b: LA.lstsq(a, b, rcond=1e-9)[3] * b[0],
    spread(-1, 1, (3, 2)),
    spread(-1, 1, (3,)),
)

X = spread(-1, 1, (2, 3)) + np.array([[1.5, 0.1, 0.0], [0.0, -0.2, 0.01]])
for _order in (None, 2, 1, np.inf, -np.inf, 0, 3, 2.5, -1):
    case(LA.norm, lambda x, o=_order: LA.norm(x, o), X[0])
    case(LA.norm, lambda x, o=_order: LA.norm(x, o, axis=1, keepdims=True), X)
    case(
        LA.vector_norm, lambda x, o=_order: LA.vector_norm(x, ord=2 if o is None else o, axis=0), X
    )
for _order in (None, "fro", 1, -1, np.inf, -np.inf, 2, -2, "nuc"):
    add(LA.norm, lambda x, o=_order: LA.norm(x, o), X)
    add(
        LA.norm,
        lambda x, o=_order: LA.norm(x, o, axis=(2, 0), keepdims=True),
        spread(-1, 1, (2, 2, 3)),
    )
    add(
        LA.matrix_norm,
        lambda x, o=_order: LA.matrix_norm(x, ord="fro" if o is None else o),
        X[None],
    )
case(LA.norm, LA.norm, spread(-1, 1, (2, 2, 2)))
case(LA.norm, LA.norm, X.astype(np.float32))
case(LA.norm, lambda x: LA.norm(x[None]), spread(1, 2, ()))
case(LA.norm, LA.norm, np.zeros((0,)))
case(LA.vector_norm, lambda x: LA.vector_norm(x), X)
for _order in (None, 2, -2, "fro", 1, np.inf):
    add(LA.cond, lambda x, o=_order: LA.cond(x, o), regular((3, 3)) * np.arange(1, 4))
for _power in (0, 1, 2, 3, 5, -1, -2):
    add(LA.matrix_power, lambda x, n=_power: LA.matrix_power(x, n), regular((2, 2)))
case(LA.matrix_power, lambda x: LA.matrix_power(x, 3), spread(-1, 1, (2, 2, 2)))
case(LA.multi_dot, lambda a, b, c: LA.multi_dot([a, b, c]),
     spread(-1, 1, (2, 3)), spread(-1, 1, (3, 1)), spread(-1, 1, (1, 2)))  # fmt: skip
case(LA.multi_dot, lambda a, b, c: LA.multi_dot([a, b, c]),
     spread(-1, 1, (2,)), spread(-1, 1, (2, 3)), spread(-1, 1, (3,)))  # fmt: skip
case(
    LA.multi_dot,
    lambda a, b: LA.multi_dot([a, b, a, b]),
    spread(-1, 1, (2, 3)),
    spread(-1, 1, (3, 2)),
)
case(LA.matmul, LA.matmul, spread(-1, 1, (2, 3)), spread(-1, 1, (3,)))
case(LA.matrix_transpose, lambda x: LA.matrix_transpose(x) ** 2, spread(-1, 1, (2, 1, 3)))
case(LA.diagonal, lambda x: LA.diagonal(x, offset=1) ** 2, spread(-1, 1, (2, 3, 3)))
case(LA.trace, lambda x: LA.trace(x @ x, offset=-1), spread(-1, 1, (2, 3, 3)))
