"""Matrix products of a Hessian without forming it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from lazyhess._proxy.rows import RowSource

# Elements of the tangents that one call of the engine gets in a matrix product.
_TANGENTS = 1 << 22


def matrix_product(
    source: RowSource,
    i: int,
    j: int,
    transposed: bool,
    other: Any,
    whole: Callable[[], Any],
    *,
    left: bool,
) -> Any:
    """``H @ other``, or ``other @ H``: as NumPy's, but without the dense Hessian.

    Parameters
    ----------
    source : RowSource
        What computes rows.
    i, j : int
        The block that H is.
    transposed : bool
        Whether H is that block with all axes reversed.
    other : array_like or tensor
        The other operand.
    whole : callable
        Gives the dense Hessian: it is asked for where it is as cheap.
    left : bool
        Whether `other` stands on the left.
    """
    engine, arrays = source.engine, source.engine.arrays
    block_shape = engine.lead + engine.shapes[i] + engine.shapes[j]
    ndim, dtype = len(block_shape), engine.dtypes[i]
    _check_operand(other, arrays.of_framework(other))
    if (answer := _with_graph(source, i, j, transposed, other, left)) is not None:
        return answer
    operand, other = other, engine.vectors(other)
    if other is None:
        return _dense_product(source, whole(), operand, left)
    if transposed:
        # (H.T @ v) contracts the first axes of H; where H is a matrix that is v @ H.
        if ndim == 2 and other.ndim in (1, 2):

            def straight() -> Any:
                return arrays.transpose(whole(), (1, 0))

            return matrix_product(source, i, j, False, other.T, straight, left=not left).T
        return _dense_product(source, whole(), other, left)
    lead = len(engine.lead)
    axis = ndim - (2 if left else 1)
    if other.dtype.kind not in "biufc" or axis < lead or not other.ndim:
        return _dense_product(source, whole(), other, left)
    n = block_shape[axis]
    inner = other.shape[-1 if left or other.ndim == 1 else -2]
    if inner != n:
        a, b = (other.shape, block_shape) if left else (block_shape, other.shape)
        raise ValueError(
            f"matmul: mismatch in the contracted dimension, shapes {a} and {b}: {inner} is "
            f"different from {n}"
        )
    stacked = other.ndim > 2
    if stacked and not (lead == other.ndim - 2 == 1 and ndim == 3):
        return _dense_product(source, whole(), other, left)
    if other.dtype.kind == "c":
        real, imaginary = (
            matrix_product(source, i, j, False, part, whole, left=left)
            for part in (other.real, other.imag)
        )
        return real + 1j * imaginary
    # The vectors as (K,) + batch (or nothing) + (n,).
    vectors = other.reshape(1, n) if other.ndim == 1 else other
    if not left and other.ndim > 1:
        vectors = vectors.swapaxes(-1, -2)
    vectors = np.moveaxis(vectors, -2, 0)
    product = _contract(source, i, j, axis, vectors, stacked)
    if product is None:
        return _dense_product(source, whole(), other, left)
    product = arrays.promoted(product, dtype, other.dtype)
    # The contracted axis is now K, where NumPy puts it; a vector has none.
    axes = [*range(1, len(product.shape))]
    axes.insert(axis, 0)
    product = arrays.transpose(product, axes)
    if other.ndim > 1:
        return product
    shape = tuple(product.shape)
    return arrays.reshape(product, shape[:axis] + shape[axis + 1 :])


def _check_operand(other: Any, of_framework: bool) -> None:
    """Refuse what is no array of numbers with axes, before anything is computed."""
    array = other if of_framework and hasattr(other, "shape") else None
    if array is None:
        try:
            array = other if hasattr(other, "shape") else np.asarray(other)
        except ValueError as error:
            raise ValueError(f"H @ v needs an array, got {type(other).__name__}: {error}") from None
        if isinstance(array, np.ndarray) and array.dtype.kind not in "biufc":
            raise TypeError(
                f"H @ v needs an array of numbers, got {type(other).__name__} (dtype {array.dtype})"
            )
    if len(array.shape) == 0:
        raise ValueError(
            f"matmul: H @ v needs an operand with axes, got {type(other).__name__} without; "
            "H * v multiplies each element"
        )


def _with_graph(source: RowSource, i: int, j: int, transposed: bool, other: Any, left: bool) -> Any:
    """The product of a matrix with vectors of the framework's own, which may have a graph.

    None where it is no such thing, or where the dense matrix is as cheap.
    """
    engine, arrays = source.engine, source.engine.arrays
    if not arrays.of_framework(other):
        return None
    if transposed:
        left = not left
    if engine.lead or len(engine.shapes[j]) != 1 or len(engine.shapes[i]) != 1:
        return None
    if getattr(other, "dtype", None) != engine.dtypes[i] or len(other.shape) not in (1, 2):
        return None
    of, onto = (i, j) if left else (j, i)
    (n,) = engine.shapes[of]
    flat = len(other.shape) == 1
    columns = (not left) != transposed  # vectors are the columns of other
    if other.shape[0 if flat or columns else 1] != n:
        return None  # refused where all are
    vectors = arrays.reshape(other, (1, n)) if flat else other
    if columns and not flat:
        vectors = arrays.transpose(other, (1, 0))
    everything = [np.arange(source.rows_of(k)) for k in (i, j)]
    count = int(vectors.shape[0])
    if not count or source.lacking(i, j, *everything) < count:
        return None
    products = source.apply(of, vectors, onto)
    if flat:
        return arrays.reshape(products, engine.shapes[onto])
    return arrays.transpose(products, (1, 0)) if columns else products


def _dense_product(source: RowSource, whole: Any, other: Any, left: bool) -> Any:
    """The product with the dense Hessian."""
    a, b = (other, whole) if left else (whole, other)
    return source.engine.arrays.matmul(a, b)


def _contract(source: RowSource, i: int, j: int, axis: int, vectors: Any, stacked: bool) -> Any:
    """The sum along an axis times each vector: (K,) + the other axes. None if dense is cheaper.

    The tangents are a vector along the axis and unit vectors along the other axes of its x.
    """
    engine = source.engine
    lead = engine.lead
    shapes = (engine.shapes[i], engine.shapes[j])
    on_rows = axis < len(lead) + len(shapes[0])
    of, onto = (i, j) if on_rows else (j, i)
    shape = engine.shapes[of]
    summed = axis - len(lead) - (0 if on_rows else len(shapes[0]))
    units = prod(shape[:summed] + shape[summed + 1 :])
    everything = [np.arange(source.rows_of(k)) for k in (i, j)]
    if source.lacking(i, j, *everything) < len(vectors) * units:
        return None
    batch = lead if stacked else (1,) * len(lead)
    vectors = vectors.reshape((len(vectors), *batch, shape[summed]))
    flat = np.broadcast_to(vectors, (len(vectors), *lead, shape[summed]))
    other = engine.lead + engine.shapes[onto]
    parts = []
    step = max(1, _TANGENTS // max(prod(lead) * prod(shape), 1))
    for start in range(0, len(vectors) * units, step):
        which = np.arange(start, min(start + step, len(vectors) * units))
        k, unit = np.divmod(which, max(units, 1))
        place = np.zeros((len(which), *(1 for _ in lead), units, 1), np.bool_)
        place[np.arange(len(which)), ..., unit, 0] = True
        tangents = np.where(place, flat[k][..., None, :], 0)
        tangents = tangents.reshape(
            (len(which), *lead, *shape[:summed], *shape[summed + 1 :], shape[summed])
        )
        tangents = np.moveaxis(tangents, -1, 1 + len(lead) + summed)
        parts.append(source.apply(of, tangents, onto))
    rest = shape[:summed] + shape[summed + 1 :]
    arrays = engine.arrays
    none = arrays.zeros((0, *other), engine.dtypes[i])
    product = parts[0] if len(parts) == 1 else arrays.concatenate([none, *parts])
    product = arrays.reshape(product, (len(vectors), *rest, *other))
    # (K, rest of the contracted x, lead, other x) -> (K, lead, x_i's axes, x_j's axes)
    ends = np.cumsum([1, len(rest), len(lead), len(shapes[1 if on_rows else 0])]).tolist()
    _, rest_axes, lead_axes, other_axes = (list(range(a, b)) for a, b in pairwise([0, *ends]))
    both = rest_axes + other_axes if on_rows else other_axes + rest_axes
    return arrays.transpose(product, [0, *lead_axes, *both])
