"""Recorded NumPy: Variables with a graph, and callables on arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, TypeAlias

import numpy as np

from lazyhess._create import asarray
from lazyhess._engines.problem import Problem
from lazyhess._engines.recorded.engine import RecordedEngine
from lazyhess._engines.recorded.per_sample import PerSampleEngine
from lazyhess._frontends.base import (
    FrontEnd,
    check_related,
    matched,
    other_kind,
    refuse_interacting,
)
from lazyhess._frontends.request import Request, call, no_record, one_output, picked, recorded
from lazyhess._record import reads
from lazyhess._record.calls import INPUTS, being_called
from lazyhess._record.tape import value_dependent
from lazyhess._record.variable import Variable, ancestors, leaf, variable
from lazyhess._trees import leaves, rebuild

AnyEngine: TypeAlias = RecordedEngine | PerSampleEngine
Inputs: TypeAlias = list[tuple[str, Variable]]  # with their paths in xs


class NumPy(FrontEnd):
    """See `lazyhess._frontends.base.FrontEnd`."""

    def problem(self, request: Request) -> Problem:
        """Record a callable, check the output and the inputs, and find the engine."""
        start = reads.now()
        function = callable(request.ys) and not isinstance(request.ys, Variable)
        ys, xs, aux = request.ys, request.xs, None
        if function:
            inside = being_called() or _of_a_call(request.xs)
            keeps = request.create_graph or (inside and request.create_graph is None)
            with _Inputs(_named(request, _kept if keeps else _fresh)) as fresh:
                ys, xs, aux = call(request, fresh, _same if keeps and inside else _plain)
        else:
            request.needs_callable()
        inputs = [(path, _input(path, x)) for path, x in leaves(xs)]
        variables = [x for _, x in inputs]
        if function and not inputs and not isinstance(ys, Variable):
            ys = variable(np.zeros(()))  # a function of nothing may give anything
        output = partial(_output, function=function)
        root = one_output(ys, request.reduction, output, _total, "np.stack")
        # What a function asks for after its output was recorded may decide something, too.
        decided = reads.since(start) if function else value_dependent(root, variables)
        _check_complex(root, inputs)
        batch = request.batch_axes(root.shape, inputs)
        if request.strict:
            check_related(inputs, _related(root, variables))
        create_graph = _recorded(request.create_graph, root, None if not function else start)
        return RecordedProblem(
            engine=_engine(request, root, variables, batch, create_graph),
            tree=_numbered(xs),
            aux=aux,
            again=partial(self._again, request) if function else None,
            batch_axis=request.batch_axis,
            create_graph=request.create_graph,
            decided=decided,
        ).checked()

    def _again(self, request: Request, new_xs: Any) -> Problem:
        return self.problem(request.at(new_xs))


FRONT_END = NumPy()


@dataclass(kw_only=True)
class RecordedProblem(Problem):
    """A recorded graph; at another point it is evaluated again, if no value decided what it is.

    Parameters
    ----------
    batch_axis, create_graph
        As given to `lazyhess.hessian`.
    decided : bool
        Whether somebody asked for a value, and may have decided by it what was recorded.
    """

    engine: AnyEngine
    batch_axis: Any
    create_graph: bool | None
    decided: bool

    def checked(self) -> RecordedProblem:
        """The problem itself; an error if its samples interact."""
        evidence = "ys[{}] depends on samples other than its own"
        refuse_interacting(self.engine, self.batch_axis, evidence)
        return self

    def at(self, new_xs: Any) -> Problem:
        """The same problem at new xs, in their structure."""
        engine, start = self.engine, reads.now()
        keeps = self.create_graph or (
            self.create_graph is None and (being_called() or _of_a_call(new_xs))
        )
        values = [
            _value(path, value, engine.xs[i], bool(keeps))
            for path, i, value in matched(self.tree, new_xs)
        ]
        if not self.decided:
            root, xs = engine.evaluated(values)
            create_graph = _recorded(self.create_graph, root, start)
            return RecordedProblem(
                engine=engine.at(root, xs, create_graph),
                tree=self.tree,
                again=self.again,
                batch_axis=self.batch_axis,
                create_graph=self.create_graph,
                decided=False,
            ).checked()
        if self.again is not None:
            return self.again(self.for_each_x(values.__getitem__))
        raise ValueError(
            "at() cannot evaluate ys again: while it was recorded somebody asked for a value "
            "(a comparison, a sort, a norm, .value), and what was decided by it would "
            "stay as it was; give ys as a function, lh.hessian(f, xs), which is called again"
        )


def _engine(
    request: Request,
    root: Variable,
    xs: Sequence[Variable],
    batch: Sequence[int | None] | None,
    create_graph: bool,
) -> AnyEngine:
    """The engine of a request: of each sample alone, where samples share an x."""
    axes = [axis for axis in batch or () if axis is not None]
    shared = batch is not None and len(axes) < len(batch)
    engine = RecordedEngine(
        root,
        xs,
        batch=None if batch is None or shared else axes,
        each=request.reduction == "none" or shared,
        create_graph=create_graph,
        block_size=request.block_size,
        progress=request.progress,
        memory=request.options.memory,
    )
    return PerSampleEngine(engine, batch or ()) if shared else engine


def _numbered(xs: Any) -> Any:
    """The structure of xs, which keeps no Variable alive."""
    numbers = count()
    return rebuild(xs, lambda _: next(numbers))


# --- inputs -------------------------------------------------------------------------------------


def _named(request: Request, make: Callable[[Any], Variable]) -> Callable[[Any], Variable]:
    """A function called for each x in order, whose errors say which one it was."""
    paths = (path for path, _ in leaves(picked(request)))

    def named(x: Any) -> Variable:
        path = next(paths)
        try:
            return make(x)
        except TypeError as error:
            raise TypeError(f"xs{path}: {error}") from None

    return named


def _fresh(x: Any) -> Variable:
    """A new Variable of the same value."""
    if not isinstance(x, Variable):
        return variable(x)
    reads.look()
    return leaf(x._value)


def _kept(x: Any) -> Variable:
    """A new Variable that still depends on x, so that what comes out can be differentiated by x."""
    return +x if isinstance(x, Variable) else variable(x)


def _plain(x: Any) -> Any:
    """What is in aux, without its record."""
    return np.array(x.value) if isinstance(x, Variable) else x


def _same(x: Any) -> Any:
    """What is in aux, with its record."""
    return x


def _input(path: str, x: Any) -> Variable:
    if not isinstance(x, Variable):
        raise TypeError(
            f"xs{path} must be a Variable that ys was recorded from, got {type(x).__name__}; make "
            "it with lh.variable(array) before computing ys, or give ys as a callable"
        )
    return x


def _value(path: str, new: Any, x: Variable, keeps: bool) -> Any:
    """A new value as a copy in the dtype of the old one; a Variable, if its record is kept."""
    value = asarray(new._value if isinstance(new, Variable) else new)
    if value.shape != x.shape or not np.can_cast(value.dtype, x.dtype, "same_kind"):
        raise other_kind(
            path,
            f"an array of shape {x.shape} and dtype {x.dtype}",
            f"shape {value.shape} and dtype {value.dtype}",
        )
    if isinstance(new, Variable):
        if keeps:
            return new.astype(x.dtype)
        reads.look()
    return np.array(value, x.dtype, order="C", subok=False)


# --- the output ---------------------------------------------------------------------------------


def _output(ys: Any, *, function: bool) -> Variable:
    if not isinstance(ys, Variable):
        value = f"{type(ys).__name__}"
        if isinstance(ys, (np.ndarray, np.generic)):
            value += f" of shape {ys.shape}"
        way = (
            "make xs with lh.variable(array) and compute ys from them, or give the function "
            "itself: lh.hessian(f, xs)"
        )
        if function:
            way = "ys has to return what it computes from its arguments (is a return missing?)"
        raise no_record(value, ".value, or another library", way)
    return ys


def _total(parts: list[Variable]) -> Any:
    return sum(np.sum(part) for part in parts)


class _Inputs:
    """Makes the inputs of a call, which are known as such while it lasts."""

    def __init__(self, make: Callable[[Any], Variable]) -> None:
        self.make = make
        self.serials: list[int] = []

    def __enter__(self) -> Callable[[Any], Variable]:
        return self._made

    def _made(self, x: Any) -> Variable:
        new = self.make(x)
        self.serials.append(new._serial)
        INPUTS.add(new._serial)
        return new

    def __exit__(self, *_: object) -> None:
        INPUTS.difference_update(self.serials)


def _of_a_call(xs: Any) -> bool:
    """Whether a Variable depends on what a function is being called with, in another thread."""
    if not INPUTS:
        return False
    variables = [x for _, x in leaves(xs) if isinstance(x, Variable)]
    return any(node._serial in INPUTS for node in ancestors(variables))


def _recorded(create_graph: bool | None, root: Variable, start: int | None) -> bool:
    """Whether answers are recorded; `start` is when a function was called, if one was."""
    if recorded(create_graph, lambda: start is None or _reaches(root, start)):
        return True
    return create_graph is None and not being_called() and _of_a_call(root)


def _reaches(root: Variable, start: int) -> bool:
    """Whether the output depends on anything that was recorded before a call."""
    new = ancestors([root], lambda node: node._serial > start)
    old = (x._serial < start for node in new for x in node._operands if type(x) is Variable)
    return root._serial < start or any(old)


def _related(root: Variable, xs: Sequence[Variable]) -> list[bool]:
    """Whether the output was recorded from each x."""
    known = {node._serial for node in ancestors([root])}
    return [x._serial in known for x in xs]


def _check_complex(root: Variable, inputs: Inputs) -> None:
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
