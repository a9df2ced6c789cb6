"""TensorFlow: callables on tensors and Variables.

An eager tensor carries no record of how it was made, so ys is a callable. It runs once for each
Hessian, as Python, under two tapes: branches on values, side effects and random numbers are what
they were in that call, and no product runs it again. Products of one Hessian that come in numbers
are vectorised and compiled. What is decorated with `tf.function`, and follows from its arguments
and Variables alone, is compiled once for all Hessians of it; see `products`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from lazyhess._engines.check import Evidence
from lazyhess._engines.framework import FrameworkEngine
from lazyhess._engines.problem import Problem
from lazyhess._frontends.base import (
    FrontEnd,
    check_related,
    engine_of,
    matched,
    other_kind,
    other_structure,
    refuse_interacting,
)
from lazyhess._frontends.request import Request, arguments, call, no_record, one_output, picked
from lazyhess._frontends.tensorflow.products import program, suspected
from lazyhess._frontends.tensorflow.python_functions import refusing
from lazyhess._frontends.tensorflow.record import (
    Record,
    Tapes,
    differentiated,
    is_recorded,
    recording,
    unrecorded,
)
from lazyhess._trees import inside, is_node, leaves, rebuild

# What detaches an output, and how one with a record is made.
_DETACHED = (
    "tf.stop_gradient, .numpy(), integers",
    "compute ys from the arguments of the function, by functions of TensorFlow",
)

_Method = TypeVar("_Method", bound=Callable[..., Any])


def _containers(tree: Any) -> Any:
    """The wrappers in which modules keep lists and dicts, as the plain ones."""
    return inside(dict(tree) if isinstance(tree, dict) else tree, _containers)


def _variable(x: Any) -> Any:
    """The tf.Variable that x is, or that a variable of Keras keeps; else None."""
    if isinstance(x, tf.Variable):
        return x
    inner = getattr(x, "value", None)
    return inner if isinstance(inner, tf.Variable) else None


def _what(x: Any) -> str:
    """A value in words: its kind, shape and dtype."""
    name = type(x).__name__
    if tf.is_tensor(x) or isinstance(x, (np.ndarray, np.generic)) or _variable(x) is not None:
        dtype = getattr(x.dtype, "name", x.dtype)
        return f"{name} of shape {tuple(x.shape)} and dtype {dtype}"
    return f"{name} {x!r}" if isinstance(x, (bool, int, float, complex, str)) else name


def _check_input(path: str, x: Any) -> None:
    """Refuse what cannot be differentiated by."""
    known = isinstance(x, (tf.Tensor, np.ndarray, np.generic)) or _variable(x) is not None
    if not known:
        raise TypeError(
            f"xs{path} must be a tf.Tensor or tf.Variable, got {_what(x)}; make it with "
            "tf.constant(...), or leave it out of what is differentiated by argnums"
        )
    dtype = tf.as_dtype(x.dtype)
    if dtype.is_complex:
        raise TypeError(
            f"xs{path} has dtype {dtype.name}: TensorFlow's gradients of complex tensors are no "
            "complex derivatives; take real and imaginary part as two x: f(tf.complex(a, b)) with "
            "xs = (a, b)"
        )
    if not dtype.is_floating:
        raise TypeError(
            f"xs{path} must have a floating dtype, got {_what(x)}; tf.cast(x, tf.float64), or "
            "leave it out of what is differentiated by argnums"
        )
    if not tf.TensorShape(x.shape).is_fully_defined():
        raise ValueError(
            f"xs{path} has shape {x.shape}, which is not known while TensorFlow traces; give the "
            "tf.function an input_signature with sizes, or call lh.hessian outside of it"
        )


def _total(parts: list[Any]) -> Any:
    return tf.add_n([tf.reduce_sum(part) for part in parts])


def _output(ys: Any) -> Any:
    """What ys returned, as a tensor."""
    if not (tf.is_tensor(ys) or _variable(ys) is not None):
        raise no_record(f"{_what(ys)}, which is no tf.Tensor", *_DETACHED)
    ys = tf.convert_to_tensor(ys)
    if not ys.dtype.is_floating:
        raise TypeError(
            f"ys must have a real floating dtype, got {_what(ys)}; an integer or bool is not "
            "differentiable, and of a complex ys take tf.math.real or tf.math.imag"
        )
    return ys


def _takes_none(function: Any, args: Any) -> bool:
    """Whether a function of these Variables is called without them: it needs no arguments."""
    if not args or any(_variable(x) is None for _, x in leaves(args)):
        return False
    try:
        signature = inspect.signature(getattr(function, "python_function", function))
    except (TypeError, ValueError):  # not told
        return False
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return False
    try:
        signature.bind()
    except TypeError:
        return False
    return True


def _matched(old: Any, new: Any) -> None:
    """Refuse values for at() that are those of another problem."""
    for path, x, value in matched(old, new):
        if is_node(value):
            raise other_structure(f"xs{path} is a tensor", type(value).__name__)
        _check_input(path, value)
        if tuple(x.shape) != tuple(value.shape) or tf.as_dtype(x.dtype) != tf.as_dtype(value.dtype):
            raise other_kind(path, _what(x), _what(value))


def _copy(x: Any, create_graph: bool) -> Any:
    """A tensor of its own, which the caller's tapes see only where that is asked for."""
    if create_graph:
        return tf.identity(x)
    with unrecorded():
        return tf.identity(x)


def _unconverted(method: _Method) -> _Method:
    """A method whose Python stays as it is where a tf.function calls it."""
    plain: _Method = tf.autograph.experimental.do_not_convert(method)
    return plain


class TensorFlow(FrontEnd):
    """Functions of tensors and Variables of TensorFlow."""

    @_unconverted
    def problem(self, request: Request) -> Problem:
        return self._problem(request, 2)

    @_unconverted
    def gradient(self, request: Request) -> Any:
        problem = self._problem(request, 1)
        return request.with_aux(problem.for_each_x(problem.engine.gradient), problem.aux)

    def _problem(self, request: Request, order: int) -> Problem:
        request = replace(request, xs=_containers(request.xs))
        ys = request.ys
        if not callable(ys):
            request.needs_callable()
            raise TypeError(
                f"ys must be a callable, got {_what(ys)}: a tensor of TensorFlow carries no record "
                "of how it was computed; give the function itself, lh.hessian(f, xs), or one "
                "without arguments that reads Variables, lh.hessian(loss, variables)"
            )
        if request.create_graph and not recording():
            raise RuntimeError(
                "create_graph=True needs a tape of your own that records the answers, and none is "
                "open; make the Hessian and index it inside `with tf.GradientTape() as tape:`"
            )
        for path, x in leaves(picked(request)):
            _check_input(path, x)
        alone = request.argnums is None and _takes_none(ys, arguments(request))
        tapes = Tapes()
        # Where TensorFlow traces, what is computed is recorded in any case.
        outer = recording()
        create = request.recorded() and outer

        def run(watch: Callable[[Any], None]) -> tuple[Any, Any, Any, bool]:
            def fresh(x: Any) -> Any:
                inner = _variable(x)
                if inner is not None:
                    watch(inner)
                    return x
                x = _copy(x, create)
                watch(x)
                return x

            asked = replace(request, ys=lambda *_: ys()) if alone else request
            root, xs, aux = call(asked, fresh, lambda x: x)
            root = one_output(root, request.reduction, _output, _total, "tf.stack")
            root = tf.reduce_sum(root) if request.reduction == "sum" else root
            return root, xs, aux, is_recorded(root)

        with refusing(order) as watch:
            root, xs, aux, there = tapes.run(run)
        inputs = [(path, x if (v := _variable(x)) is None else v) for path, x in leaves(xs)]
        if not root.shape.is_fully_defined():
            raise ValueError(
                f"ys has shape {root.shape}, which is not known while TensorFlow traces; "
                "tf.ensure_shape in the function, or call lh.hessian outside of tf.function"
            )
        output = tuple(root.shape)
        batch = request.batch_axes(output, inputs)
        record = Record(tapes, root, [x for _, x in inputs], create)
        if request.strict:
            check_related(inputs, record.related())
        if alone and not any(record.related()):
            raise ValueError(
                "ys needs no arguments, so it was called without any, and it reads none of the "
                "Variables of xs; let it read them, or take them as arguments without defaults"
            )
        # A tape of the caller may record an output for reasons of its own.
        if inputs and not (any(record.related()) if there and outer else there):
            raise no_record(_what(root), *_DETACHED)
        evidence = _evidence(request, xs, root, watch.changes)
        resolved = replace(request, create_graph=create)
        engine = engine_of(record, resolved, record.xs, output, batch, evidence)
        if batch is not None:
            _check_samples(engine, request, root)
        record.program = program(request, xs, record.xs, alone)

        def again(new: Any) -> Problem:
            new = _containers(new)
            _matched(xs, new)
            if alone and any(old is not now for _, old, now in matched(xs, new)):
                raise ValueError(
                    "at() of a function without arguments takes the same Variables, and their "
                    "values as they are now: variable.assign(...), then H.at(*variables)"
                )
            return self.problem(request.at(new))

        return Problem(engine, xs, aux=aux, again=again)


def _evidence(request: Request, xs: Any, root: Any, changes: bool) -> Evidence | None:
    """What there is to compare second derivatives with; nothing while TensorFlow traces."""
    if not hasattr(root, "numpy"):
        return None

    def output(*values: Any) -> Any:
        rest = iter(values)
        moved = replace(request.at(rebuild(xs, lambda _: next(rest))), create_graph=False)
        ys, _, _ = call(moved, lambda x: x, lambda x: x)
        return one_output(ys, request.reduction, _output, _total, "tf.stack")

    def repeat(values: list[Any]) -> tuple[Any, Sequence[Any]]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            for x in values:
                tape.watch(x)
            ys = output(*values)
        gradients = differentiated(tape, ys, values, None)
        return ys, [None if g is None else tf.convert_to_tensor(g) for g in gradients]

    def suspects() -> list[str]:
        return suspected(output, [x for _, x in leaves(xs)])

    # A function may read Variables wherever it likes: their values are not moved.
    inputs = list(leaves(xs))
    again = not changes and all(_variable(x) is None for _, x in inputs)
    return Evidence(
        "TensorFlow", [path for path, _ in inputs], repeat if again else None, suspects=suspects
    )


def _check_samples(engine: FrameworkEngine, request: Request, root: Any) -> None:
    """Refuse a batch whose samples interact, or that cannot be told."""
    if not hasattr(root, "numpy"):
        raise TypeError(
            "batch_axis needs values, to see that samples do not interact, and a tf.function has "
            "none while it is traced; call lh.hessian outside of it, or use tf.vectorized_map over "
            "the samples"
        )
    if root.dtype == tf.bfloat16 or tf.bfloat16 in engine.dtypes:
        raise TypeError(
            "batch_axis does not know bfloat16, whose precision does not tell whether samples "
            "interact; tf.cast the xs to tf.float32"
        )
    refuse_interacting(engine, request.batch_axis)


FRONT_END = TensorFlow()
