"""The proxy: a read-only array whose elements are computed when they are asked for."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from math import prod
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from lazyhess._indices import Array, Ids, Shape
from lazyhess._proxy.assemble import empty, fill
from lazyhess._proxy.chunks import CacheInfo
from lazyhess._proxy.index import Selection, select
from lazyhess._proxy.matrix_products import MatrixProducts, dense
from lazyhess._proxy.rows import Core


class Hessian(MatrixProducts):
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

    __slots__ = ("_core", "_i", "_j", "_transposed")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, core: Core, i: int, j: int, transposed: bool = False) -> None:
        self._core = core
        self._i = i
        self._j = j
        self._transposed = transposed

    # --- what it is -----------------------------------------------------------------------------

    @property
    def shape(self) -> Shape:
        """Leading axes, then those of x_i, then those of x_j."""
        engine = self._core.engine
        shape = engine.lead + engine.shapes[self._i] + engine.shapes[self._j]
        return shape[::-1] if self._transposed else shape

    @property
    def dtype(self) -> Any:
        """The dtype of x_i: NumPy's, or that of the framework."""
        return self._core.engine.dtypes[self._i]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return self._core.engine.arrays.itemsize(self.dtype)

    @property
    def nbytes(self) -> int:
        """Bytes that the dense array would take."""
        return self.size * self.itemsize

    @property
    def T(self) -> Hessian:
        """All axes reversed, as `numpy.ndarray.T`; nothing is computed.

        Examples
        --------
        >>> import numpy as np
        >>> import lazyhess as lh
        >>> H = lh.hessian(lambda a, b: a @ b, (np.ones(2), np.ones(2)))
        >>> H[0][1].T[1]
        array([0., 1.])
        """
        return Hessian(self._core, self._i, self._j, not self._transposed)

    def __repr__(self) -> str:
        core = self._core
        rows = core.rows_of(self._i)
        known = core.known(self._i, self._j)
        return f"Hessian(shape={self.shape}, dtype={self.dtype}, known={known}/{rows} rows)"

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        return (self[k] for k in range(len(self)))

    def __contains__(self, item: Any) -> bool:
        return item in np.asarray(self)

    def cache_info(self) -> CacheInfo:
        """What has been computed and kept, the same for all blocks of one `hessian` call.

        Returns
        -------
        CacheInfo
            ``(products, hits, misses, rows, currsize, maxsize)``, sizes in bytes.
        """
        return self._core.info()

    def cache_clear(self) -> None:
        """Forget all rows, of all blocks of the call, and start counting again."""
        self._core.clear()

    # --- where it is ----------------------------------------------------------------------------

    @property
    def value(self) -> Any:
        """The value of ys at this point, as an array of your own (with a graph, a Variable)."""
        return self._core.engine.value()

    def gradient(self) -> Any:
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
        engine = self._core.engine
        return engine.gradient(self._j if self._transposed else self._i)

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
        core = self._core
        if core.again is None:
            raise TypeError("this Hessian was not made by lazyhess.hessian, and has no xs")
        return core.again.at(core.engine, new_xs)

    # --- elements -------------------------------------------------------------------------------

    def __getitem__(self, index: Any) -> Any:
        engine = self._core.engine
        return self._take(
            select(
                index,
                engine.lead,
                engine.shapes[self._i],
                engine.shapes[self._j],
                transposed=self._transposed,
            )
        )

    def _take(self, wanted: Selection) -> Any:
        """The elements of a selection."""
        core, i, j = self._core, self._i, self._j
        sizes = [prod(shape) for shape in core.engine.shapes]
        if 0 in wanted.shape:
            return core.engine.arrays.zeros(wanted.shape, self.dtype)
        row_ids, column_ids = wanted.rows, wanted.columns
        if core.engine.lead:
            row_ids = wanted.lead * sizes[i] + row_ids
            column_ids = wanted.lead * sizes[j] + column_ids
        rows, of_row = _unique(row_ids)
        columns, of_column = _unique(column_ids)
        if prod(wanted.shape) * self.itemsize > _LARGE:
            empty(
                wanted.shape, np.dtype(f"V{self.itemsize}")
            )  # too large for this machine: say so before the work
        by_rows, pieces = core.gather(i, j, rows, columns)
        if by_rows:
            made = fill(
                pieces,
                len(rows),
                of_row,
                wanted.columns,
                wanted.shape,
                sizes[j],
                self.dtype,
                core.engine.arrays,
            )
        else:
            made = fill(
                pieces,
                len(columns),
                of_column,
                wanted.rows,
                wanted.shape,
                sizes[i],
                self.dtype,
                core.engine.arrays,
            )
        arrays = core.engine.arrays
        if arrays.in_place:
            return made[()] if wanted.scalar else made
        # By symmetry rows may be those of x_j, in its dtype.
        return made if made.dtype == self.dtype else arrays.cast(made, self.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError(
                "a Hessian has no array to share: np.asarray(H) computes a new one, copy=False "
                "cannot"
            )
        engine = self._core.engine
        made = self[...]
        # What is recorded refuses: its derivative would be lost.
        made = np.asarray(made) if engine.create_graph else engine.arrays.numpy(made)
        return made if dtype is None else made.astype(dtype, copy=False)

    def diagonal(self) -> Array:
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
        engine = self._core.engine
        shape, other = engine.shapes[self._i], engine.shapes[self._j]
        if shape != other:
            raise ValueError(f"the block of inputs with shapes {shape} and {other} has no diagonal")
        lead = np.arange(prod(engine.lead)).reshape(engine.lead + (1,) * len(shape))
        at = np.arange(prod(shape)).reshape((1,) * len(engine.lead) + shape)
        made: Array = self._take(Selection(lead, at, at, engine.lead + shape, False))
        if not self._transposed:
            return made
        axes = range(len(engine.lead) + len(shape))
        turned: Array = engine.arrays.transpose(made, axes[::-1])
        return turned

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
        core = self._core
        i, j = (self._j, self._i) if self._transposed else (self._i, self._j)
        found = core.nonzeros(i, j)
        return found if core.engine.lead else found[1:]

    # --- what evaluates -------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(isinstance(x, Hessian) for x in kwargs.get("out") or ()):
            self._refuse()
        if ufunc is np.matmul and method == "__call__" and not kwargs:
            a, b = inputs
            return a @ b if isinstance(a, Hessian) else b.__rmatmul__(a)
        return getattr(ufunc, method)(*(dense(x) for x in inputs), **kwargs)

    def __array_function__(
        self, func: Callable[..., Any], types: Any, args: Any, kwargs: Any
    ) -> Any:
        if func in (np.shape, np.ndim, np.size):
            return func(np.broadcast_to(np.empty((), "V0"), self.shape), *args[1:], **kwargs)
        return func(*(dense(x) for x in args), **{name: dense(x) for name, x in kwargs.items()})

    if TYPE_CHECKING:  # added below, for all operators alike

        def __add__(self, other: Any, /) -> Array: ...
        def __radd__(self, other: Any, /) -> Array: ...
        def __sub__(self, other: Any, /) -> Array: ...
        def __rsub__(self, other: Any, /) -> Array: ...
        def __mul__(self, other: Any, /) -> Array: ...
        def __rmul__(self, other: Any, /) -> Array: ...
        def __truediv__(self, other: Any, /) -> Array: ...
        def __rtruediv__(self, other: Any, /) -> Array: ...
        def __floordiv__(self, other: Any, /) -> Array: ...
        def __rfloordiv__(self, other: Any, /) -> Array: ...
        def __mod__(self, other: Any, /) -> Array: ...
        def __rmod__(self, other: Any, /) -> Array: ...
        def __pow__(self, other: Any, /) -> Array: ...
        def __rpow__(self, other: Any, /) -> Array: ...
        def __divmod__(self, other: Any, /) -> tuple[Array, Array]: ...
        def __rdivmod__(self, other: Any, /) -> tuple[Array, Array]: ...
        def __lt__(self, other: Any, /) -> Any: ...
        def __le__(self, other: Any, /) -> Any: ...
        def __gt__(self, other: Any, /) -> Any: ...
        def __ge__(self, other: Any, /) -> Any: ...
        def __eq__(self, other: object, /) -> Any: ...
        def __ne__(self, other: object, /) -> Any: ...
        def __neg__(self) -> Array: ...
        def __pos__(self) -> Array: ...
        def __abs__(self) -> Array: ...

    def astype(self, dtype: Any) -> Array:
        """The dense array in another dtype."""
        return np.asarray(self, dtype)

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        self._refuse()

    def _refuse(self, *args: Any) -> NoReturn:
        raise TypeError(
            "a Hessian is read-only: it is what the recorded function says; np.array(H) gives an "
            "array of your own"
        )

    __iadd__ = __isub__ = __imul__ = __itruediv__ = __ifloordiv__ = __imod__ = __ipow__ = _refuse
    __imatmul__ = _refuse

    def __bool__(self) -> bool:
        if self.size > 1:
            raise ValueError(
                "The truth value of an array with more than one element is ambiguous. "
                "Use a.any() or a.all()"
            )
        return bool(np.asarray(self))

    def __float__(self) -> float:
        return float(np.asarray(self).item())

    def __int__(self) -> int:
        return int(np.asarray(self).item())

    def __complex__(self) -> complex:
        return complex(np.asarray(self).item())

    def __copy__(self) -> Hessian:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Hessian, (self._core, self._i, self._j, self._transposed)


_LARGE = 1 << 30


def _unique(ids: Ids) -> tuple[Ids, Ids]:
    """The ids sorted, without repeats, and for each its number among them."""
    flat = ids.reshape(-1)
    if len(flat) < 2 or bool((flat[1:] > flat[:-1]).all()):
        return flat, np.arange(len(flat)).reshape(ids.shape)
    once, number = np.unique(flat, return_inverse=True)
    return once, number.reshape(ids.shape)


def _operator(function: Callable[..., Any], reflected: bool = False) -> Callable[[Any, Any], Any]:
    def method(self: Hessian, other: Any) -> Any:
        if (
            not isinstance(other, (Hessian, list, tuple))
            and getattr(type(other), "__array_ufunc__", self) is None
        ):
            return NotImplemented
        a, b = self[...], dense(other)
        return function(b, a) if reflected else function(a, b)

    return method


for _name in "add sub mul truediv floordiv mod divmod pow".split():
    _function = divmod if _name == "divmod" else getattr(operator, _name)
    setattr(Hessian, f"__{_name}__", _operator(_function))
    setattr(Hessian, f"__r{_name}__", _operator(_function, reflected=True))
for _name in "lt le gt ge eq ne".split():
    setattr(Hessian, f"__{_name}__", _operator(getattr(operator, _name)))


def _unary(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda self: function(self[...])


for _name in "neg pos abs".split():
    setattr(Hessian, f"__{_name}__", _unary(getattr(operator, _name)))
