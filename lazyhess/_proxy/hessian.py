"""The proxy: a read-only array whose elements are computed when they are asked for."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from lazyhess._indices import Array, Ids, Shape
from lazyhess._proxy import direct
from lazyhess._proxy.assemble import assemble, check_fits
from lazyhess._proxy.chunks import CacheInfo
from lazyhess._proxy.index import Selection, select
from lazyhess._proxy.lazy_array import ArrayT_co, LazyArray, dense
from lazyhess._proxy.matrix_products import matrix_product
from lazyhess._proxy.rows import RowSource


class Hessian(LazyArray[ArrayT_co]):
    """The Hessian of one pair of inputs, as a read-only array that has not been computed.

    Made by `lazyhess.hessian`. Indexing, with every index that NumPy knows, computes the rows or
    columns that it needs and are not known yet, and returns what NumPy returns from the dense
    array: an array of your own.

    Notes
    -----
    A request that lacks R' rows and C' columns runs ``min(R', C')`` products. Functions and
    operators of NumPy other than ``@`` see the dense array.

    Examples
    --------
    >>> import numpy as np
    >>> import lazyhess as lh
    >>> x = lh.variable(np.array([1.0, 2.0, 3.0]))
    >>> H = lh.hessian(np.prod(x), x)
    >>> H
    Hessian(shape=(3, 3), dtype=float64, known=0/3 rows)
    >>> H[0]
    array([0., 3., 2.])
    >>> H[:, 0]
    array([0., 3., 2.])
    >>> H.cache_info().products
    1
    """

    __slots__ = ("_i", "_j", "_source", "_transposed")

    def __init__(self, source: RowSource, i: int, j: int, transposed: bool = False) -> None:
        self._source = source
        self._i = i
        self._j = j
        self._transposed = transposed

    # --- what it is -----------------------------------------------------------------------------

    @property
    def shape(self) -> Shape:
        """Leading axes, then those of x_i, then those of x_j."""
        engine = self._source.engine
        shape = engine.lead + engine.shapes[self._i] + engine.shapes[self._j]
        return shape[::-1] if self._transposed else shape

    @property
    def dtype(self) -> Any:
        """The dtype of x_i: NumPy's, or that of the framework."""
        return self._source.engine.dtypes[self._i]

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return self._source.engine.arrays.itemsize(self.dtype)

    @property
    def nbytes(self) -> int:
        """Bytes that the dense array would take."""
        return self.size * self.itemsize

    @property
    def T(self) -> Hessian[ArrayT_co]:
        """All axes reversed, as `numpy.ndarray.T`; nothing is computed.

        Examples
        --------
        >>> import numpy as np
        >>> import lazyhess as lh
        >>> H = lh.hessian(lambda a, b: a @ b, (np.ones(2), np.ones(2)))
        >>> H[0][1].T[1]
        array([0., 1.])
        """
        return Hessian(self._source, self._i, self._j, not self._transposed)

    def __repr__(self) -> str:
        source = self._source
        rows = source.rows_of(self._i)
        held = source.known(self._i, self._j)
        return f"Hessian(shape={self.shape}, dtype={self.dtype}, known={held}/{rows} rows)"

    def cache_info(self) -> CacheInfo:
        """What has been computed and kept, the same for all blocks of one `hessian` call.

        Returns
        -------
        CacheInfo
            ``(products, hits, misses, rows, currsize, maxsize, checks)``, sizes in bytes.
        """
        return self._source.info()

    def cache_clear(self) -> None:
        """Forget all rows, of all blocks of the call, and start counting again."""
        self._source.clear()

    # --- where it is ----------------------------------------------------------------------------

    @property
    def value(self) -> Any:
        """The value of ys at this point, as an array of your own (with a graph, a Variable)."""
        return self._source.engine.value()

    def gradient(self) -> ArrayT_co:
        """The gradient of ys with respect to x_i, at this point.

        Returns
        -------
        ndarray
            In the shape and dtype of x_i; with ``reduction="none"`` the axes of ys lead. It shares
            the linearization with the Hessian.

        Examples
        --------
        >>> import numpy as np
        >>> import lazyhess as lh
        >>> H = lh.hessian(lambda x: np.sum(x**3), np.array([1.0, 2.0]))
        >>> H.value, H.gradient()
        (np.float64(9.0), array([ 3., 12.]))
        """
        engine = self._source.engine
        gradient: ArrayT_co = engine.gradient(self._j if self._transposed else self._i)
        return gradient

    def at(self, *new_xs: Any) -> Any:
        """The same Hessian at another point; nothing is computed but the value of ys.

        The structure that was worked out before is used again, so that steps of Newton's method
        or of time cost values only. For loops: ``H = H.at(x)``.

        Parameters
        ----------
        *new_xs : array_like, or nested containers of them
            New values for all xs, as xs were given: one argument, or one for each x of a tuple
            or list. Shapes stay as they are.

        Returns
        -------
        Hessian, or nested containers of Hessian
            What `lazyhess.hessian` returned, with a cache of its own, at the new point.

        Raises
        ------
        ValueError
            If a shape or dtype differs; or if ys was not given as a function, and somebody asked
            for a value while it was recorded: see Notes.

        Notes
        -----
        The recorded primitives are evaluated again; `numpy.maximum`, `numpy.max` or
        `numpy.abs` decide anew. What was decided from values otherwise (``if x > 0``,
        `numpy.where` of a comparison, `numpy.sort`, the norm of zero) is no primitive: then a
        function given as ys is called again, and its structure is worked out anew. Variables
        that were recorded without a function cannot be, and that is an error.

        Examples
        --------
        Newton's method:

        >>> import numpy as np
        >>> import lazyhess as lh
        >>> x = np.array([1.0, 3.0])
        >>> H = lh.hessian(lambda x: np.sum(np.cosh(x)), x)
        >>> for _ in range(8):
        ...     x = x - np.linalg.solve(H, H.gradient())
        ...     H = H.at(x)
        >>> H.value
        np.float64(2.0)
        """
        source = self._source
        if source.again is None:
            raise TypeError("this Hessian was not made by lazyhess.hessian, and has no xs")
        return source.again.at(new_xs)

    # --- elements -------------------------------------------------------------------------------

    def __getitem__(self, index: Any) -> ArrayT_co:
        """The elements of an index, as NumPy gives them from the dense array.

        Parameters
        ----------
        index : integer, slice, ``...``, ``None``, array of integers or booleans, or tuple of them
            As `numpy.ndarray` takes it; the shape is `shape`.

        Returns
        -------
        ndarray, scalar or tensor
            An array of your own (of one element by integers alone: a scalar, as NumPy's); of a
            framework's xs, its tensor.

        Raises
        ------
        IndexError
            As NumPy raises it from the dense array; nothing is computed.
        MemoryError
            If the result does not fit into the memory of this machine.

        Notes
        -----
        Of R' rows and C' columns that are not known yet ``min(R', C')`` products are run.

        Examples
        --------
        >>> import numpy as np
        >>> import lazyhess as lh
        >>> H = lh.hessian(lambda x: np.sum(x[1:] * x[:-1]), np.ones(4))
        >>> H[1:3, ::2]
        array([[1., 1.],
               [0., 0.]])
        >>> H.cache_info().products
        2
        """
        source, i, j, transposed = self._source, self._i, self._j, self._transposed
        elements: ArrayT_co = direct.answer(source, i, j, transposed, index)
        if elements is None:
            engine = source.engine
            shapes = engine.shapes[i], engine.shapes[j]
            elements = self._take(select(index, engine.lead, *shapes, transposed=transposed))
        return elements

    def __matmul__(self, other: Any) -> ArrayT_co:
        """``H @ other``, without the dense Hessian: one product for each column of `other`.

        Parameters
        ----------
        other : array_like or tensor
            A vector, a matrix, or with a leading axis a stack of them, as `numpy.matmul` has it.

        Returns
        -------
        ndarray or tensor
            What ``np.asarray(H) @ other`` is; nothing of it is kept.

        Raises
        ------
        ValueError
            If the contracted axes differ in length.

        Notes
        -----
        Where the dense Hessian takes fewer products, it is computed, kept and multiplied.

        Examples
        --------
        >>> import numpy as np
        >>> import lazyhess as lh
        >>> H = lh.hessian(lambda x: np.sum(x[1:] * x[:-1]), np.ones(4))
        >>> H @ np.ones(4)
        array([1., 2., 2., 1.])
        >>> H.cache_info().products
        1
        """
        return self._times(other, left=False)

    def __rmatmul__(self, other: Any) -> ArrayT_co:
        """``other @ H``, without the dense Hessian: one product for each row of `other`.

        Examples
        --------
        >>> import numpy as np
        >>> import lazyhess as lh
        >>> H = lh.hessian(lambda x: np.sum(x[1:] * x[:-1]), np.ones(4))
        >>> np.ones((1, 4)) @ H
        array([[1., 2., 2., 1.]])
        """
        return self._times(other, left=True)

    def _times(self, other: Any, *, left: bool) -> ArrayT_co:
        source, i, j, transposed = self._source, self._i, self._j, self._transposed
        product: ArrayT_co = matrix_product(
            source, i, j, transposed, dense(other), lambda: self[...], left=left
        )
        return product

    def _take(self, wanted: Selection, *, alone: bool = False) -> Any:
        """The elements of a selection; `alone`, where no further blocks may be computed."""
        source, i, j = self._source, self._i, self._j
        sizes = [prod(shape) for shape in source.engine.shapes]
        if 0 in wanted.shape:
            return source.engine.arrays.zeros(wanted.shape, self.dtype)
        row_ids, column_ids = wanted.rows, wanted.columns
        if source.engine.lead:
            row_ids = wanted.lead * sizes[i] + row_ids
            column_ids = wanted.lead * sizes[j] + column_ids
        rows, of_row = _unique(row_ids)
        columns, of_column = _unique(column_ids)
        check_fits(wanted.shape, self.itemsize, self.dtype)
        by_rows, projections = source.gather(i, j, rows, columns, alone=alone)
        if by_rows:
            asked = len(rows), of_row, wanted.columns, wanted.shape, sizes[j]
        else:  # by symmetry, rows of (j, i)
            asked = len(columns), of_column, wanted.rows, wanted.shape, sizes[i]
        answer = assemble(projections, *asked, self.dtype, source.engine.arrays)
        arrays = source.engine.arrays
        if arrays.in_place:
            return answer[()] if wanted.scalar else answer
        # By symmetry rows may be those of x_j, in its dtype.
        return answer if answer.dtype == self.dtype else arrays.cast(answer, self.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """The dense array, for `numpy.asarray`.

        Parameters
        ----------
        dtype : dtype, optional
            By default that of the Hessian.
        copy : bool, optional
            ``False`` is refused: there is no array to share.

        Returns
        -------
        ndarray
            An array of your own.

        Raises
        ------
        ValueError
            With ``copy=False``.
        TypeError
            With `create_graph`: the derivatives of the entries would be lost.
        """
        if copy is False:
            raise ValueError(
                "a Hessian has no array to share: np.asarray(H) computes a new one, copy=False "
                "cannot"
            )
        engine = self._source.engine
        whole: Any = self[...]
        # What is recorded refuses: its derivative would be lost.
        array = np.asarray(whole) if engine.create_graph else engine.arrays.numpy(whole)
        return array if dtype is None else array.astype(dtype, copy=False)

    def diagonal(self) -> ArrayT_co:
        """The second derivative by each element of x: the diagonal of the matrix.

        Returns
        -------
        ndarray
            Of the leading axes and the shape of x.

        Raises
        ------
        ValueError
            Where the two inputs differ in shape, and there is no diagonal.

        Examples
        --------
        >>> import numpy as np
        >>> import lazyhess as lh
        >>> lh.hessian(lambda x: np.sum(x**3), np.array([1.0, 2.0])).diagonal()
        array([ 6., 12.])
        """
        engine = self._source.engine
        shape, other = engine.shapes[self._i], engine.shapes[self._j]
        if shape != other:
            raise ValueError(f"the block of inputs with shapes {shape} and {other} has no diagonal")
        lead = np.arange(prod(engine.lead)).reshape(engine.lead + (1,) * len(shape))
        at = np.arange(prod(shape)).reshape((1,) * len(engine.lead) + shape)
        wanted = Selection(lead, at, at, engine.lead + shape, False)
        diagonal: ArrayT_co = self._take(wanted, alone=True)
        if self._transposed:
            axes = range(len(engine.lead) + len(shape))
            diagonal = engine.arrays.transpose(diagonal, axes[::-1])
        return diagonal

    def tocoo(self) -> tuple[Array, ...]:
        """The nonzero elements of the matrix, without its dense form.

        Returns
        -------
        rows, columns : ndarray of intp
            Positions in the flattened x_i and x_j, by row and then column. With leading axes,
            their flat position comes first, as an array of its own.
        values : ndarray
            The elements.

        Notes
        -----
        Rows that are computed for this are not kept.

        Examples
        --------
        >>> import numpy as np
        >>> import lazyhess as lh
        >>> H = lh.hessian(lambda x: np.sum(x[1:] * x[:-1]), np.ones(3))
        >>> rows, columns, values = H.tocoo()
        >>> rows, columns
        (array([0, 1, 1, 2]), array([1, 0, 2, 1]))
        """
        source = self._source
        i, j = (self._j, self._i) if self._transposed else (self._i, self._j)
        lead, *matrix = source.nonzeros(i, j)
        return (lead, *matrix) if source.engine.lead else tuple(matrix)

    def __copy__(self) -> Hessian[ArrayT_co]:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Hessian, (self._source, self._i, self._j, self._transposed)


def _unique(ids: Ids) -> tuple[Ids, Ids]:
    """The ids sorted, without repeats, and for each its number among them."""
    flat = ids.reshape(-1)
    if len(flat) < 2 or bool((flat[1:] > flat[:-1]).all()):
        return flat, np.arange(len(flat)).reshape(ids.shape)
    once, number = np.unique(flat, return_inverse=True)
    return once, number.reshape(ids.shape)
