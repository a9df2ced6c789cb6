"""`hessian` and `gradient`: check the arguments, find the engine, build the answer's structure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from operator import index
from typing import Any

import numpy as np

from lazyhess import _dispatch  # noqa: F401 - gives Variable its operators and methods
from lazyhess._again import Again, Recorder
from lazyhess._engine import NumpyEngine, linearize, unit
from lazyhess._store import DEFAULT_CACHE
from lazyhess._sweep import Linearization
from lazyhess._trees import is_node, leaves, rebuild
from lazyhess._variable import Variable, ancestors, asked_since, leaf, moment, variable


def hessian(
    ys: Any,
    xs: Any,
    batch_axis: int | Sequence[int] | None = None,
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
    batch_axis : int or sequence of int, optional
        Position of the batch axis in every x (negative counts from the end), or one position for
        each. Then `ys` has one element for each sample, samples must not interact, and the
        result is one Hessian for each sample, the batch axis leading.
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
    problem = _prepare(ys, xs, reduction, has_aux, argnums, create_graph, batch_axis)
    if strict:
        _check_related(problem)
    if block_size is not None and index(block_size) < 1:
        raise ValueError(f"block_size must be at least 1, got {block_size}")
    engine = NumpyEngine(
        problem.root,
        [x for _, x in problem.inputs],
        batch=problem.batch,
        each=reduction == "none",
        create_graph=create_graph,
        block_size=block_size,
        progress=progress,
    )
    numbers = iter(range(len(problem.inputs)))
    places = rebuild(problem.tree, lambda _: next(numbers))
    answer = Again(places, cache, batch_axis, problem.record, problem.decided).blocks(engine)
    return (answer, problem.aux) if has_aux else answer


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
    problem = _prepare(ys, xs, reduction, has_aux, argnums, create_graph, None)
    if strict:
        _check_related(problem)
    inputs = [x for _, x in problem.inputs]
    if create_graph:
        found = Linearization(problem.root, inputs, unit(problem.root), recorded=True)
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
    batch: list[int] | None  # the position of the batch axis in each
    aux: Any
    record: Recorder | None  # the function at new inputs, if it was given as one
    decided: bool  # whether the function asked for values


def _prepare(
    ys: Any,
    xs: Any,
    reduction: str | None,
    has_aux: bool,
    argnums: Any,
    create_graph: bool,
    batch_axis: int | Sequence[int] | None,
) -> _Problem:
    """Record a callable, and check the output and the inputs."""
    if reduction not in (None, "sum", "none"):
        raise ValueError(f'reduction must be None, "sum" or "none", got {reduction!r}')
    batched = batch_axis is not None
    if batched and reduction is not None:
        raise ValueError(f"batch_axis and reduction={reduction!r} exclude each other; give one")
    aux: Any = None
    record: Recorder | None = None
    decided = False
    if callable(ys) and not isinstance(ys, Variable):
        fresh = _copied if create_graph else _fresh
        function, arguments, start = ys, xs, moment()
        ys, xs, aux = _call(function, arguments, has_aux, argnums, fresh)

        def record(new: Any) -> tuple[Variable, list[Variable], bool]:
            again = _prepare(
                function,
                new if argnums is None else _replaced(arguments, argnums, new),
                reduction,
                has_aux,
                argnums,
                create_graph,
                batch_axis,
            )
            return again.root, [x for _, x in again.inputs], again.decided

        decided = asked_since(start)

    elif has_aux or argnums is not None:
        name = "has_aux" if has_aux else "argnums"
        raise TypeError(f"{name} is for a callable ys, got {type(ys).__name__}")
    inputs = [(path, _input(path, x)) for path, x in leaves(xs)]
    root = _output(ys, reduction)
    _check_complex(root, inputs)
    if reduction is None and not batched and root.size != 1:
        raise ValueError(
            f"ys must have one element, got shape {root.shape}; the ways out: "
            'reduction="sum" for the Hessian of its sum, reduction="none" for one Hessian for each '
            "element, batch_axis=... if each element belongs to a sample of a batch"
        )
    batch = None if batch_axis is None else _batch_axes(batch_axis, root, inputs)
    return _Problem(root, inputs, xs, batch, aux, record, decided)


def _replaced(arguments: Any, argnums: Any, new: Any) -> list[Any]:
    """The arguments with new values for those that are differentiated."""
    args = list(arguments) if type(arguments) in (tuple, list) else [arguments]
    one = np.ndim(argnums) == 0
    for k, value in zip((argnums,) if one else argnums, (new,) if one else new, strict=True):
        args[k] = value
    return args


def _call(
    ys: Any, xs: Any, has_aux: bool, argnums: Any, fresh: Callable[[Any], Variable]
) -> tuple[Any, Any, Any]:
    """Record ``ys(*xs)``: the output, the Variables in the structure of xs, and aux."""
    args = list(xs) if type(xs) in (tuple, list) else [xs]
    picked: Any
    if argnums is None:
        args = [rebuild(arg, fresh) for arg in args]
        picked = rebuild(xs, lambda _: None)
        picked = type(xs)(args) if type(xs) in (tuple, list) else args[0]
    else:
        chosen = (argnums,) if np.ndim(argnums) == 0 else tuple(argnums)
        for k in chosen:
            if not -len(args) <= index(k) < len(args):
                raise ValueError(f"argnums {argnums} is out of range for {len(args)} arguments")
            args[k] = rebuild(args[k], fresh)
        picked = args[chosen[0]] if np.ndim(argnums) == 0 else tuple(args[k] for k in chosen)
    made = ys(*args)
    aux: Any = None
    if has_aux:
        if not (isinstance(made, tuple) and len(made) == 2):
            raise TypeError(
                f"with has_aux the callable returns (ys, aux), got {type(made).__name__}"
            )
        made, aux = made
        aux = rebuild(aux, lambda x: np.array(x._value) if isinstance(x, Variable) else x)
    return made, picked, aux


def _fresh(x: Any) -> Variable:
    return leaf(x._value) if isinstance(x, Variable) else variable(x)


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


def _output(ys: Any, reduction: str | None) -> Variable:
    if reduction is not None and isinstance(ys, (tuple, list)):
        parts = [_output(y, reduction) for y in ys]
        if not parts:
            raise ValueError("ys is empty")
        if reduction == "sum":
            root: Any = sum(np.sum(part) for part in parts)
            assert isinstance(root, Variable)
            return root
        if len(parts) > 1:
            raise ValueError('reduction="none" takes one ys; np.stack them, or call it for each')
        return parts[0]
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


def _batch_axes(
    batch_axis: int | Sequence[int], root: Variable, inputs: list[tuple[str, Variable]]
) -> list[int]:
    """The batch axis of each x, counted from the start."""
    given: list[Any]
    if is_node(batch_axis):
        given = list(batch_axis)
        if len(given) != len(inputs):
            raise ValueError(f"batch_axis gives {len(given)} positions for {len(inputs)} xs")
    else:
        given = [batch_axis] * len(inputs)
    if not inputs:
        raise ValueError("batch_axis needs at least one x, got none")
    axes = []
    for axis, (path, x) in zip(given, inputs, strict=True):
        if axis is None:
            raise NotImplementedError(
                f"batch_axis None for xs{path}: one x shared by all samples is not in this version"
            )
        if not -x.ndim <= index(axis) < x.ndim:
            raise ValueError(
                f"batch_axis {axis} is out of range for xs{path} with shape {x.shape} "
                f"({x.ndim} axes)"
            )
        axes.append(index(axis) % x.ndim)
    sizes = [x.shape[axis] for axis, (_, x) in zip(axes, inputs, strict=True)]
    if len(set(sizes)) > 1:
        shapes = [x.shape for _, x in inputs]
        raise ValueError(
            f"batch sizes differ: {sizes} along batch_axis={batch_axis} of xs with shapes {shapes}"
        )
    shape = root.shape
    if prod(shape) != sizes[0] or max(shape, default=1) != sizes[0]:
        raise ValueError(
            f"with batch_axis={batch_axis} ys has one element for each of {sizes[0]} samples, got "
            f"shape {shape}; sum over each sample's own axes first"
        )
    return axes
