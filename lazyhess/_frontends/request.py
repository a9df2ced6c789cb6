"""The arguments of `lazyhess.hessian`, checked as far as that needs no engine."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from operator import index
from typing import Any

import numpy as np

from lazyhess._engines.check import Done
from lazyhess._indices import Shape
from lazyhess._options import Options, current
from lazyhess._record.calls import being_called, calling
from lazyhess._trees import is_node, rebuild


@dataclass(frozen=True)
class Request:
    """What is asked for: `lazyhess.hessian` says what each of these is."""

    ys: Any
    xs: Any
    batch_axis: Any = None
    reduction: str | None = None
    has_aux: bool = False
    argnums: Any = None
    create_graph: bool | None = None
    strict: bool = False
    block_size: int | None = None
    progress: bool = False
    check: Any = "auto"
    options: Options = field(default_factory=current)  # those at the call
    done: Done = field(default_factory=Done, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("has_aux", "create_graph", "strict", "progress"):
            self._check_flag(name)
        reduction = self.reduction
        if reduction is not None and not (
            isinstance(reduction, str) and reduction in ("sum", "none")
        ):
            raise ValueError(f'reduction must be None, "sum" or "none", got {self.reduction!r}')
        if not (isinstance(self.check, bool) or self.check == "auto"):
            raise ValueError(f'check must be "auto", True or False, got {self.check!r}')
        if self.batch_axis is not None and self.reduction is not None:
            raise ValueError(
                f"batch_axis and reduction={self.reduction!r} exclude each other; give one"
            )
        if self.block_size is not None:
            size = whole_number(self.block_size, "block_size must be a whole number of seeds")
            if size < 1:
                raise ValueError(f"block_size must be at least 1, got {self.block_size}")
        if self.argnums is not None:
            numbers = _items(self.argnums)
            if not numbers:
                raise ValueError(f"argnums names no argument: got {self.argnums!r}")
            for number in numbers:
                whole_number(
                    number, "argnums must be the number of an argument, or several", self.argnums
                )
        for axis in () if self.batch_axis is None else _items(self.batch_axis):
            if axis is not None:
                words = "batch_axis must be the position of an axis, or one for each x"
                whole_number(axis, words, self.batch_axis)

    def _check_flag(self, name: str) -> None:
        """Take True or False alone: any other text is true, and an array is no answer."""
        value = getattr(self, name)
        if value is True or value is False:
            return
        if isinstance(value, np.bool_):
            object.__setattr__(self, name, bool(value))
        elif not (value is None and name == "create_graph"):
            none = ", or None" if name == "create_graph" else ""
            shape = f" of shape {value.shape}" if isinstance(value, np.ndarray) else f" {value!r}"
            raise TypeError(
                f"{name} must be True or False{none}, got {type(value).__name__}{shape}"
            )

    def at(self, new: Any) -> Request:
        """The same request at new xs."""
        if self.argnums is None:
            return replace(self, xs=new)
        args = list(self.xs) if type(self.xs) in (tuple, list) else [self.xs]
        one = np.ndim(self.argnums) == 0
        for k, value in zip(
            (self.argnums,) if one else self.argnums, (new,) if one else new, strict=True
        ):
            args[k] = value
        return replace(self, xs=args)

    def recorded(self, reaches: Callable[[], bool] = lambda: True) -> bool:
        """Whether answers can be differentiated again: as asked, or as the place of the call says.

        By default they can be where the call stands in a function that is being called for its
        record, so that nothing is detached from it in silence.

        Parameters
        ----------
        reaches : callable
            Whether ys, or an x, depends on what was recorded before this call. If nothing does,
            there is nothing to be detached from.
        """
        return recorded(self.create_graph, reaches)

    def with_aux(self, answer: Any, aux: Any) -> Any:
        """What the caller gets: the answer, with aux where that is asked for."""
        return (answer, aux) if self.has_aux else answer

    def needs_callable(self) -> None:
        """Refuse what only a callable ys can have."""
        if self.has_aux or self.argnums is not None:
            name = "has_aux" if self.has_aux else "argnums"
            raise TypeError(f"{name} is for a callable ys, got {type(self.ys).__name__}")

    def check_output(self, shape: Shape) -> None:
        """Refuse an output of several elements that nothing tells what to do with."""
        if self.reduction is None and self.batch_axis is None and prod(shape) != 1:
            raise ValueError(
                f"ys must have one element, got shape {shape}; the ways out: "
                'reduction="sum" for the Hessian of its sum, reduction="none" for one Hessian for '
                "each element, batch_axis=... if each element belongs to a sample of a batch"
            )

    def batch_axes(
        self, output: Shape, inputs: Sequence[tuple[str, Any]]
    ) -> list[int | None] | None:
        """The batch axis of each x, if there is a batch; the output is checked."""
        self.check_output(output)
        if self.batch_axis is None:
            return None
        return batch_axes(self.batch_axis, output, [(path, tuple(x.shape)) for path, x in inputs])


def recorded(create_graph: bool | None, reaches: Callable[[], bool]) -> bool:
    """See `Request.recorded`."""
    return being_called() and reaches() if create_graph is None else create_graph


def no_record(got: str, detached: str, way: str) -> TypeError:
    """The error for an output that carries no record of how it was computed.

    Parameters
    ----------
    got : str
        What it is.
    detached : str
        What detaches an output.
    way : str
        How one with a record is made.
    """
    return TypeError(
        f"ys carries no record of how it was computed from xs, got {got}: it is a constant, or was "
        f"detached on the way ({detached}), which cannot be told apart; {way}; of a constant, "
        "return constant + 0 * sum(x)"
    )


def call(
    request: Request,
    fresh: Callable[[Any], Any],
    plain: Callable[[Any], Any],
    rebuild: Callable[[Any, Callable[[Any], Any]], Any] = rebuild,
) -> tuple[Any, Any, Any]:
    """Call ``ys(*xs)``: the output, the new inputs in the structure of xs, and aux.

    Parameters
    ----------
    request : Request
        With a callable.
    fresh, plain : callable
        Make an input of an x, and an array without its graph of what is in aux.
    rebuild : callable
        Rebuilds containers, as `lazyhess._trees.rebuild`.
    """
    ys, xs, has_aux, argnums = request.ys, request.xs, request.has_aux, request.argnums
    args = list(xs) if type(xs) in (tuple, list) else [xs]
    inputs: Any
    if argnums is None:
        args = [rebuild(arg, fresh) for arg in args]
        inputs = type(xs)(args) if type(xs) in (tuple, list) else args[0]
    else:
        for k in _numbers(argnums, len(args)):
            args[k] = rebuild(args[k], fresh)
        inputs = _named(args, argnums)
    try:
        with calling():
            output = ys(*args)
    except TypeError as error:
        _check_arguments(ys, args, xs, error)
        raise
    aux: Any = None
    if has_aux:
        if not (isinstance(output, tuple) and len(output) == 2):
            raise TypeError(
                f"with has_aux the callable returns (ys, aux), got {type(output).__name__}"
            )
        output, aux = output
        aux = rebuild(aux, plain)
    return output, inputs, aux


def _check_arguments(ys: Any, args: list[Any], xs: Any, error: TypeError) -> None:
    """Say so, where a function does not take as many arguments as there are xs."""
    try:
        signature = inspect.signature(ys)
    except (TypeError, ValueError):  # functions in C may have none
        return
    try:
        signature.bind(*args)
    except TypeError:
        kind = type(xs).__name__
        if type(xs) in (tuple, list):
            got = f"a {kind} as xs is spread over the arguments, and this one has {len(args)} items"
            way = "for one x give an array, np.asarray(xs)" + (
                ", or put the container into a tuple, (xs,)" if len(args) != 1 else ""
            )
        else:
            got = f"xs is one argument ({kind})"
            way = "for several give a tuple, one x for each"
        raise TypeError(
            f"ys cannot be called with xs: it is ys{signature}, and {got}; {way}"
        ) from error


def whole_number(value: Any, must: str, whole: Any = None) -> int:
    """A whole number; an error in these words of anything else, True among it."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        return index(value)
    except TypeError:
        got = value if whole is None else whole
        raise TypeError(f"{must}, got {got!r}") from None


def _items(value: Any) -> list[Any]:
    """What stands in an argument that is one number, or several."""
    if isinstance(value, np.ndarray):
        return [value] if value.ndim == 0 else list(value)
    several = isinstance(value, Sequence) and not isinstance(value, str)
    return list(value) if several else [value]


def batch_axes(
    batch_axis: int | Sequence[int], shape: Shape, inputs: Sequence[tuple[str, Shape]]
) -> list[int | None]:
    """The batch axis of each x, counted from the start; ``None`` where all samples share it."""
    positions: list[Any]
    if is_node(batch_axis):
        positions = list(batch_axis)
        if len(positions) != len(inputs):
            raise ValueError(f"batch_axis gives {len(positions)} positions for {len(inputs)} xs")
    else:
        positions = [batch_axis] * len(inputs)
    if not inputs:
        raise ValueError("batch_axis needs at least one x, got none")
    axes: list[int | None] = []
    for axis, (path, x) in zip(positions, inputs, strict=True):
        if axis is None:
            axes.append(None)
            continue
        if not -len(x) <= index(axis) < len(x):
            raise ValueError(
                f"batch_axis {axis} is out of range for xs{path} with shape {x} ({len(x)} axes)"
            )
        axes.append(index(axis) % len(x))
    sizes = [x[axis] for axis, (_, x) in zip(axes, inputs, strict=True) if axis is not None]
    sizes = sizes or [prod(shape)]  # all xs are shared: ys tells how many samples there are
    if len(set(sizes)) > 1:
        shapes = [x for _, x in inputs]
        raise ValueError(
            f"batch sizes differ: {sizes} along batch_axis={batch_axis} of xs with shapes {shapes}"
        )
    if prod(shape) != sizes[0] or max(shape, default=1) != sizes[0]:
        raise ValueError(
            f"with batch_axis={batch_axis} ys has one element for each of {sizes[0]} samples, got "
            f"shape {shape}; sum over each sample's own axes first"
        )
    return axes


def one_output(
    ys: Any,
    reduction: str | None,
    check: Callable[[Any], Any],
    total: Callable[[list[Any]], Any],
    stack: str,
) -> Any:
    """What ys are as one output: a list of them is, under a reduction.

    Parameters
    ----------
    ys : output, or list or tuple of outputs
        As given, or returned by a callable.
    reduction : {None, "sum", "none"}
        As of `lazyhess.hessian`.
    check : callable
        Refuses what is no output, and gives the output.
    total : callable
        The sum over all elements of some outputs.
    stack : str
        What the framework calls the function that would make one output of several.
    """
    if reduction is None or not isinstance(ys, (tuple, list)):
        return check(ys)
    parts = [one_output(y, reduction, check, total, stack) for y in ys]
    if not parts:
        raise ValueError("ys is empty")
    if reduction == "sum":
        return total(parts)
    if len(parts) > 1:
        raise ValueError(f'reduction="none" takes one ys; {stack} them, or call it for each')
    return parts[0]


def arguments(request: Request) -> list[Any]:
    """The arguments of a callable ys."""
    return list(request.xs) if type(request.xs) in (tuple, list) else [request.xs]


def picked(request: Request) -> Any:
    """What is differentiated by: xs, or those of the arguments that `argnums` names."""
    if request.argnums is None:
        return request.xs
    return _named(arguments(request), request.argnums)


def _numbers(argnums: Any, count: int) -> list[int]:
    """The arguments that `argnums` names, of so many."""
    numbers = [index(k) for k in ((argnums,) if np.ndim(argnums) == 0 else argnums)]
    for k in numbers:
        if not -count <= k < count:
            raise ValueError(f"argnums {argnums} is out of range for {count} arguments")
    return numbers


def _named(args: list[Any], argnums: Any) -> Any:
    """The argument of a number, or a tuple of those of several."""
    numbers = _numbers(argnums, len(args))
    return args[numbers[0]] if np.ndim(argnums) == 0 else tuple(args[k] for k in numbers)
