"""`hessian` and `gradient`: check the arguments, find the engine, build the answer's structure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Unpack, overload

import numpy as np

from lazyhess._engines.recorded.engine import NumpyEngine
from lazyhess._engines.recorded.per_sample import PerSampleEngine
from lazyhess._engines.recorded.prepared import linearize, unit_cotangent
from lazyhess._frontends import find
from lazyhess._frontends.request import Request, batch_axes, call, one_output
from lazyhess._proxy.chunks import DEFAULT_CACHE
from lazyhess._proxy.hessian import Hessian
from lazyhess._proxy.tree import Again, Anew, Recorder
from lazyhess._record import reads
from lazyhess._record.variable import Variable, ancestors, leaf, variable
from lazyhess._sweep.linearization import Linearization
from lazyhess._trees import gathered, leaves, rebuild
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
    create_graph: bool = False,
    strict: bool = False,
    cache: Any = DEFAULT_CACHE,
    block_size: int | None = None,
    progress: bool = False,
) -> Any: ...
def hessian(
    ys: Any,
    xs: Any,
    batch_axis: BatchAxis = None,
    *,
    reduction: str | None = None,
    has_aux: bool = False,
    argnums: int | Sequence[int] | None = None,
    create_graph: bool = False,
    strict: bool = False,
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
    create_graph : bool
        Whether entries, rows and products are Variables, for third order and beyond. A callable
        that is given Variables then keeps their derivatives. What the cache keeps, keeps the graph
        that it was made by, beyond the bytes that are counted. Without it no graph is kept.
    strict : bool
        Whether an x that ys does not depend on is an error; else its blocks are zero.
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
    xs = gathered(xs)
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
    )
    adapter = find(ys, xs)
    if adapter is not None:
        found = adapter.problem(request)
        answer = Anew(found, cache).blocks()
        return (answer, found.aux) if has_aux else answer
    problem = _prepare(request)
    if strict:
        _check_related(problem)
    own = [axis for axis in problem.batch or () if axis is not None]
    shared = problem.batch is not None and len(own) < len(problem.batch)
    inner = NumpyEngine(
        problem.root,
        [x for _, x in problem.inputs],
        batch=own if problem.batch is not None and not shared else None,
        each=reduction == "none" or shared,
        create_graph=create_graph,
        block_size=block_size,
        progress=progress,
    )
    engine = PerSampleEngine(inner, problem.batch or ()) if shared else inner
    numbers = iter(range(len(problem.inputs)))
    places = rebuild(problem.tree, lambda _: next(numbers))
    answer = Again(places, cache, batch_axis, problem.record, problem.decided).blocks(engine)
    return (answer, problem.aux) if has_aux else answer


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
    create_graph: bool = False,
    strict: bool = False,
) -> Any: ...
def gradient(
    ys: Any,
    xs: Any,
    *,
    reduction: str | None = None,
    has_aux: bool = False,
    argnums: int | Sequence[int] | None = None,
    create_graph: bool = False,
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
    xs = gathered(xs)
    request = Request(ys, xs, None, reduction, has_aux, argnums, create_graph, strict)
    adapter = find(ys, xs)
    if adapter is not None:
        return adapter.gradient(request)
    problem = _prepare(request)
    if strict:
        _check_related(problem)
    inputs = [x for _, x in problem.inputs]
    if create_graph:
        found = Linearization(problem.root, inputs, unit_cotangent(problem.root), recorded=True)
    else:
        found = linearize(problem.root, inputs)
    numbers = iter(range(len(problem.inputs)))
    answer = rebuild(problem.tree, lambda _: found.gradient(next(numbers)))
    return (answer, problem.aux) if has_aux else answer


@dataclass
class _Problem:
    root: Variable  # the output
    inputs: list[tuple[str, Variable]]  # with their paths in xs
    tree: Any  # the structure of xs
    batch: list[int | None] | None  # the position of the batch axis in each
    aux: Any
    record: Recorder | None  # the function at new inputs, if it was given as one
    decided: bool  # whether the function asked for values


def _prepare(request: Request) -> _Problem:
    """Record a callable, and check the output and the inputs."""
    ys, xs, aux = request.ys, request.xs, None
    record: Recorder | None = None
    decided = False
    if callable(ys) and not isinstance(ys, Variable):
        start = reads.now()
        ys, xs, aux = call(request, _copied if request.create_graph else _fresh, _plain)

        def record(new: Any) -> tuple[Variable, list[Variable], bool]:
            again = _prepare(request.at(new))
            return again.root, [x for _, x in again.inputs], again.decided

        decided = reads.since(start)

    else:
        request.needs_callable()
    inputs = [(path, _input(path, x)) for path, x in leaves(xs)]
    root = one_output(ys, request.reduction, _output, _total, "np.stack")
    _check_complex(root, inputs)
    request.check_output(root.shape)
    batch = None
    if request.batch_axis is not None:
        shapes = [(path, x.shape) for path, x in inputs]
        batch = batch_axes(request.batch_axis, root.shape, shapes)
    return _Problem(root, inputs, xs, batch, aux, record, decided)


def _fresh(x: Any) -> Variable:
    return leaf(x._value) if isinstance(x, Variable) else variable(x)


def _plain(x: Any) -> Any:
    return np.array(x._value) if isinstance(x, Variable) else x


def _copied(x: Any) -> Variable:
    """A new Variable that still depends on x, so that what comes out can be differentiated by x."""
    return +x if isinstance(x, Variable) else variable(x)


def _input(path: str, x: Any) -> Variable:
    if not isinstance(x, Variable):
        raise TypeError(
            f"xs{path} must be a Variable that ys was recorded from, got {type(x).__name__}; make "
            "it with lh.variable(array) before computing ys, or give ys as a callable"
        )
    return x


def _total(parts: list[Variable]) -> Any:
    return sum(np.sum(part) for part in parts)


def _output(ys: Any) -> Variable:
    if not isinstance(ys, Variable):
        value = f"{type(ys).__name__}"
        if isinstance(ys, (np.ndarray, np.generic)):
            value += f" of shape {ys.shape}"
        raise TypeError(
            f"ys must be recorded from xs, got {value}, which carries no record; make xs with "
            "lh.variable(array) and compute ys from them, or give the function itself: "
            "lh.hessian(f, xs)"
        )
    return ys


def _check_complex(root: Variable, inputs: list[tuple[str, Variable]]) -> None:
    """A complex derivative is one of a holomorphic function of complex inputs alone."""
    dtypes = {path: x.dtype for path, x in inputs if x.dtype.kind == "c"}
    if not dtypes:
        if root.dtype.kind == "c":
            raise TypeError(
                f"ys has dtype {root.dtype} and xs are real: take np.real or np.imag of ys, or "
                "make xs complex where ys is a holomorphic function of them"
            )
        return
    path, dtype = next(iter(dtypes.items()))
    way = "as two real x, take real and imaginary part: f(a + 1j * b) with x = (a, b)"
    if len(dtypes) < len(inputs):
        real = next(path for path, x in inputs if path not in dtypes)
        raise TypeError(
            f"xs{path} has dtype {dtype} and xs{real} is real: the Hessian of a holomorphic "
            f"function is by complex xs alone; make xs{real} complex, or xs{path} real, {way}"
        )
    reached = {x._serial for _, x in inputs}
    for node in ancestors([root]):
        if node._serial in reached or not any(
            type(x) is Variable and x._serial in reached for x in node._operands
        ):
            continue
        reached.add(node._serial)
        assert node._primitive is not None
        if node.dtype.kind != "c" or not node._primitive.holomorphic:
            raise TypeError(
                f"ys is no holomorphic function of xs{path} (dtype {dtype}): "
                f"{node._primitive.name} of a complex number is not differentiable; {way}"
            )


def _check_related(problem: _Problem) -> None:
    known = {node._serial for node in ancestors([problem.root])}
    for path, x in problem.inputs:
        if x._serial not in known:
            raise ValueError(
                f"ys does not depend on xs{path} (shape {x.shape}), and strict=True asks for it; "
                "without strict its blocks are zero"
            )
