"""`hessian` and `gradient`: find the front end, which makes a problem of the call, and answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Unpack, overload

from lazyhess._frontends import front_end_of
from lazyhess._frontends.request import Request
from lazyhess._proxy.hessian import Hessian
from lazyhess._proxy.shared import DEFAULT_CACHE
from lazyhess._proxy.tree import HessianTree
from lazyhess._trees import gathered
from lazyhess._typing import (
    Arguments,
    ArrayT,
    BatchAxis,
    DictOfX,
    GradientOptions,
    HessianOptions,
    KeyT,
    ListOfX,
    TupleOfX,
    X,
)

# What xs are where none were given: the error says what is called otherwise elsewhere.
_MISSING: Any = object()


def _given(name: str, xs: Any) -> Any:
    if xs is _MISSING:
        raise TypeError(
            f"{name}() needs xs, the point: it is called as lh.{name}(f, x), where others give a "
            f"function back, {name}(f)(x); lambda x: lh.{name}(f, x) is that function"
        )
    return xs


@overload
def hessian(
    ys: Any, xs: X[ArrayT], batch_axis: BatchAxis = None, **options: Unpack[HessianOptions]
) -> Hessian[ArrayT]: ...
@overload
def hessian(
    ys: Any, xs: TupleOfX[ArrayT], batch_axis: BatchAxis = None, **options: Unpack[HessianOptions]
) -> tuple[tuple[Hessian[ArrayT], ...], ...]: ...
@overload
def hessian(
    ys: Any, xs: ListOfX[ArrayT], batch_axis: BatchAxis = None, **options: Unpack[HessianOptions]
) -> list[list[Hessian[ArrayT]]]: ...
@overload
def hessian(
    ys: Any,
    xs: DictOfX[KeyT, ArrayT],
    batch_axis: BatchAxis = None,
    **options: Unpack[HessianOptions],
) -> dict[KeyT, dict[KeyT, Hessian[ArrayT]]]: ...
@overload
def hessian(
    ys: Any,
    xs: Arguments[ArrayT],
    batch_axis: BatchAxis = None,
    *,
    argnums: int,
    **options: Unpack[HessianOptions],
) -> Hessian[ArrayT]: ...
@overload
def hessian(
    ys: Any,
    xs: Arguments[ArrayT],
    batch_axis: BatchAxis = None,
    *,
    argnums: Sequence[int],
    **options: Unpack[HessianOptions],
) -> tuple[tuple[Hessian[ArrayT], ...], ...]: ...
@overload
def hessian(
    ys: Any,
    xs: X[ArrayT],
    batch_axis: BatchAxis = None,
    *,
    has_aux: Literal[True],
    **options: Unpack[HessianOptions],
) -> tuple[Hessian[ArrayT], Any]: ...
@overload
def hessian(
    ys: Any,
    xs: TupleOfX[ArrayT],
    batch_axis: BatchAxis = None,
    *,
    has_aux: Literal[True],
    **options: Unpack[HessianOptions],
) -> tuple[tuple[tuple[Hessian[ArrayT], ...], ...], Any]: ...
@overload
def hessian(
    ys: Any,
    xs: ListOfX[ArrayT],
    batch_axis: BatchAxis = None,
    *,
    has_aux: Literal[True],
    **options: Unpack[HessianOptions],
) -> tuple[list[list[Hessian[ArrayT]]], Any]: ...
@overload
def hessian(
    ys: Any,
    xs: DictOfX[KeyT, ArrayT],
    batch_axis: BatchAxis = None,
    *,
    has_aux: Literal[True],
    **options: Unpack[HessianOptions],
) -> tuple[dict[KeyT, dict[KeyT, Hessian[ArrayT]]], Any]: ...
@overload
def hessian(
    ys: Any,
    xs: Arguments[ArrayT],
    batch_axis: BatchAxis = None,
    *,
    argnums: int,
    has_aux: Literal[True],
    **options: Unpack[HessianOptions],
) -> tuple[Hessian[ArrayT], Any]: ...
@overload
def hessian(
    ys: Any,
    xs: Arguments[ArrayT],
    batch_axis: BatchAxis = None,
    *,
    argnums: Sequence[int],
    has_aux: Literal[True],
    **options: Unpack[HessianOptions],
) -> tuple[tuple[tuple[Hessian[ArrayT], ...], ...], Any]: ...
@overload
def hessian(
    ys: Any,
    xs: Any,
    batch_axis: BatchAxis = None,
    *,
    reduction: str | None = None,
    has_aux: bool = False,
    argnums: int | Sequence[int] | None = None,
    create_graph: bool | None = None,
    strict: bool = False,
    check: bool | Literal["auto"] = "auto",
    cache: Any = DEFAULT_CACHE,
    block_size: int | None = None,
    progress: bool = False,
) -> Any: ...
def hessian(
    ys: Any,
    xs: Any = _MISSING,
    batch_axis: BatchAxis = None,
    *,
    reduction: str | None = None,
    has_aux: bool = False,
    argnums: int | Sequence[int] | None = None,
    create_graph: bool | None = None,
    strict: bool = False,
    check: bool | Literal["auto"] = "auto",
    cache: Any = DEFAULT_CACHE,
    block_size: int | None = None,
    progress: bool = False,
) -> Any:
    """The Hessian of ys with respect to xs, as arrays that compute what is indexed.

    Nothing is computed by this call. Indexing a block runs exactly the Hessian-vector products
    that the index needs, keeps their rows, and uses symmetry.

    Parameters
    ----------
    ys : Variable or callable
        The output, of one element (unless `batch_axis` or `reduction` says otherwise), recorded
        from `xs`; or a callable that returns it, which is called as ``ys(*xs)``. With `reduction`
        it may be a list or tuple of outputs.
    xs : Variable, array_like, or nested tuple, list, dict of them
        The inputs, floating or complex. With a callable, arrays; else Variables, of which
        intermediates of the graph are allowed. If one is complex, all are, ys is a holomorphic
        function of them, and the Hessian is its complex second derivative, symmetric and not
        Hermitian.
    batch_axis : int or sequence of int or None, optional
        Position of the batch axis in every x (negative counts from the end), or one position for
        each, ``None`` for an x that all samples share (parameters of a model). Then `ys` has one
        element for each sample, samples must not interact, and the result is one Hessian for
        each sample, the batch axis leading.
    reduction : {None, "sum", "none"}
        ``"sum"``: the Hessian of the sum over all elements of all `ys`. ``"none"``: of each
        element of `ys`, whose axes lead in the result.
    has_aux : bool
        The callable returns ``(ys, aux)``, and so does this function: ``(H, aux)``.
    argnums : int or sequence of int, optional
        Which arguments of the callable are differentiated; `xs` are then all its arguments.
    create_graph : bool, optional
        Whether entries, rows and products are Variables, for third order and beyond. A callable
        that is given Variables then keeps their derivatives. What the cache keeps, keeps the graph
        that it was made by, beyond the bytes that are counted. Without it no graph is kept. By
        default they are Variables inside a function that is being called for its record (a `ys` of
        another call), where ys depends on what was recorded outside of this call, so that nothing
        is detached from it in silence; elsewhere, and so for a graph recorded by hand, they are
        plain arrays. ``False`` is the deliberate detachment: it counts as a read of values.
    strict : bool
        Whether an x that ys does not depend on is an error; else its blocks are zero.
    check : {"auto", True, False}
        Whether second derivatives that a framework gives are compared with what else is known of
        them, and a warning names the operations to suspect. ``"auto"``: entries that are known from
        both sides; and once, in a request of at least 20 products, one product with a difference
        of gradients, where ys is a callable of which two calls at one point agree bit for bit.
        ``True``: so in every request. Counted apart, as ``cache_info().checks``.
    cache : int, str, cachetools.Cache or None
        What keeps the rows: a number of bytes, a string such as ``"512MB"``, a cache of your own,
        or ``None`` for none. By default 1 GiB.
    block_size : int, optional
        Seeds for one pass; by default as many as a memory budget allows.
    progress : bool
        Whether to show a progress bar while rows are computed (needs tqdm).

    Returns
    -------
    Hessian, or nested containers of Hessian
        For one x a `Hessian` of shape ``x.shape + x.shape``. For a tuple of n, a tuple of n tuples
        of n: ``H[i][j]`` has shape ``xs[i].shape + xs[j].shape`` and the dtype of ``xs[i]``. Other
        containers mirror likewise. Leading axes: the batch, or those of ys with ``"none"``.

    Raises
    ------
    TypeError
        ys was not recorded, an x has no floating dtype, or ys is no holomorphic function of
        complex xs.
    ValueError
        ys has several elements, the batch axis does not fit, samples interact, or (`strict`) ys
        does not depend on an x.

    See Also
    --------
    gradient : shares the recording and its linearization.

    Notes
    -----
    A row is one product: a forward sweep of tangents and a backward sweep of adjoint tangents
    through the recorded graph [1]_.

    References
    ----------
    .. [1] A. Griewank and A. Walther, *Evaluating Derivatives*, 2nd ed., SIAM 2008, chapter 5.

    Examples
    --------
    >>> import numpy as np
    >>> import lazyhess as lh
    >>> x = lh.variable([1.0, 2.0, 3.0])
    >>> H = lh.hessian(np.sum(x**3), x)
    >>> H[1]
    array([ 0., 12.,  0.])
    >>> H.cache_info().products
    1
    >>> a, b = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    >>> lh.hessian(lambda a, b: a @ b, (a, b))[0][1][:, 0]
    array([1., 0.])
    >>> H = lh.hessian(np.sum(x**3), x, create_graph=True)
    >>> lh.gradient(np.trace(H), x)
    array([6., 6., 6.])
    """
    xs = gathered(_given("hessian", xs))
    request = Request(
        ys,
        xs,
        batch_axis,
        reduction,
        has_aux,
        argnums,
        create_graph,
        strict,
        block_size,
        progress,
        check,
    )
    problem = front_end_of(ys, xs).problem(request)
    return request.with_aux(HessianTree(problem, cache).blocks(), problem.aux)


@overload
def gradient(ys: Any, xs: X[ArrayT], **options: Unpack[GradientOptions]) -> ArrayT: ...
@overload
def gradient(
    ys: Any, xs: TupleOfX[ArrayT], **options: Unpack[GradientOptions]
) -> tuple[ArrayT, ...]: ...
@overload
def gradient(ys: Any, xs: ListOfX[ArrayT], **options: Unpack[GradientOptions]) -> list[ArrayT]: ...
@overload
def gradient(
    ys: Any, xs: DictOfX[KeyT, ArrayT], **options: Unpack[GradientOptions]
) -> dict[KeyT, ArrayT]: ...
@overload
def gradient(
    ys: Any, xs: Arguments[ArrayT], *, argnums: int, **options: Unpack[GradientOptions]
) -> ArrayT: ...
@overload
def gradient(
    ys: Any, xs: Arguments[ArrayT], *, argnums: Sequence[int], **options: Unpack[GradientOptions]
) -> tuple[ArrayT, ...]: ...
@overload
def gradient(
    ys: Any, xs: X[ArrayT], *, has_aux: Literal[True], **options: Unpack[GradientOptions]
) -> tuple[ArrayT, Any]: ...
@overload
def gradient(
    ys: Any, xs: TupleOfX[ArrayT], *, has_aux: Literal[True], **options: Unpack[GradientOptions]
) -> tuple[tuple[ArrayT, ...], Any]: ...
@overload
def gradient(
    ys: Any, xs: ListOfX[ArrayT], *, has_aux: Literal[True], **options: Unpack[GradientOptions]
) -> tuple[list[ArrayT], Any]: ...
@overload
def gradient(
    ys: Any,
    xs: DictOfX[KeyT, ArrayT],
    *,
    has_aux: Literal[True],
    **options: Unpack[GradientOptions],
) -> tuple[dict[KeyT, ArrayT], Any]: ...
@overload
def gradient(
    ys: Any,
    xs: Arguments[ArrayT],
    *,
    argnums: int,
    has_aux: Literal[True],
    **options: Unpack[GradientOptions],
) -> tuple[ArrayT, Any]: ...
@overload
def gradient(
    ys: Any,
    xs: Arguments[ArrayT],
    *,
    argnums: Sequence[int],
    has_aux: Literal[True],
    **options: Unpack[GradientOptions],
) -> tuple[tuple[ArrayT, ...], Any]: ...
@overload
def gradient(
    ys: Any,
    xs: Any,
    *,
    reduction: str | None = None,
    has_aux: bool = False,
    argnums: int | Sequence[int] | None = None,
    create_graph: bool | None = None,
    strict: bool = False,
) -> Any: ...
def gradient(
    ys: Any,
    xs: Any = _MISSING,
    *,
    reduction: str | None = None,
    has_aux: bool = False,
    argnums: int | Sequence[int] | None = None,
    create_graph: bool | None = None,
    strict: bool = False,
) -> Any:
    """The gradient of ys with respect to xs.

    On a recorded `ys` it shares the linearization with `hessian`: value, gradient and Hessian
    cost one recording and one adjoint sweep.

    Parameters
    ----------
    ys, xs, has_aux, argnums, create_graph, strict
        As for `hessian`.
    reduction : {None, "sum"}
        ``"sum"``: the gradient of the sum over all elements of all `ys`.

    Returns
    -------
    ndarray, or nested containers of ndarray
        The gradient for each x, in its shape and dtype, mirroring `xs`. The arrays are yours.

    Examples
    --------
    >>> import numpy as np
    >>> import lazyhess as lh
    >>> x = lh.variable([1.0, 2.0])
    >>> lh.gradient(np.sum(x**2), x)
    array([2., 4.])
    """
    if reduction == "none":
        raise ValueError('gradient knows reduction=None and "sum", got "none"')
    xs = gathered(_given("gradient", xs))
    request = Request(ys, xs, None, reduction, has_aux, argnums, create_graph, strict)
    return front_end_of(ys, xs).gradient(request)
