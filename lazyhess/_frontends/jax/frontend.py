"""jax: callables on arrays and pytrees of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr, tree_flatten, tree_flatten_with_path, tree_unflatten

from lazyhess._engines.check import Evidence
from lazyhess._engines.framework import FrameworkEngine, Products
from lazyhess._engines.problem import Problem
from lazyhess._frontends.base import (
    FrontEnd,
    check_related,
    checking,
    other_kind,
    other_structure,
    refuse_interacting,
)
from lazyhess._frontends.jax import keys
from lazyhess._frontends.jax.arrays import traced
from lazyhess._frontends.jax.products import LACKING, Compiled, Eager, Program, Units, program
from lazyhess._frontends.request import Request, call, no_record, one_output, picked
from lazyhess._indices import Ids, Shape

# What a function raises that jax cannot trace without values.
_NEEDS_VALUES = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)


def _rebuild(tree: Any, make: Callable[[Any], Any]) -> Any:
    """As `lazyhess._trees.rebuild`, of every container that is registered with jax."""
    leaves, structure = tree_flatten(tree)
    return tree_unflatten(structure, [make(leaf) for leaf in leaves])


class JaxEngine(FrameworkEngine):
    """Rows of the Hessian of a function of jax."""

    function: Compiled | Eager

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError(
            "a Hessian of a jax function does not pickle, as the function does not; "
            "np.asarray(H) does"
        )

    def gradient(self, i: int) -> Any:
        """The gradient with respect to x_i."""
        if not self._by_output(i):
            return self.function.gradient(i, None)
        made = self.function.gradients(i, np.arange(prod(self.lead)))
        return self.arrays.reshape(made, self.lead + self.shapes[i])

    def _gradients(self, wanted: Sequence[int]) -> list[Any]:
        made = self.function.weighted(np.ones(self.output))  # one call gives them all
        return [made[i] for i in wanted]

    def _rounding(self, i: int, dtype: Any) -> float:
        limits: Any = jnp.finfo
        return float(limits(self.dtypes[i]).eps)

    def _units(self, i: int, positions: Ids, samples: Ids | None = None) -> Any:
        if isinstance(self.function, Eager):
            return super()._units(i, positions, samples)
        return Units(positions, None if self.batch.axes[i] is None else samples)


class _Flat:
    """A request with its inputs flat: what is differentiated, and how to call the function."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.structure: Any
        paths, self.structure = tree_flatten_with_path(picked(request))
        self.paths = [keystr(path) for path, _ in paths]
        self.xs = [_input(path, x) for path, (_, x) in zip(self.paths, paths, strict=True)]
        self.kept: tuple[Any, Any] = (None, None)  # aux: its structure, and what is no array

    @property
    def inputs(self) -> list[tuple[str, Any]]:
        """The xs with their paths."""
        return list(zip(self.paths, self.xs, strict=True))

    def moved(self, flat: Sequence[Any]) -> Request:
        """The request at other inputs."""
        return self.request.at(tree_unflatten(self.structure, flat))

    def run(self, *flat: Any) -> tuple[Any, list[Any]]:
        """Call the function: ys as `reduction` says, and the arrays of aux."""
        ys, _, aux = call(self.moved(flat), _same, _same, lambda tree, _: tree)
        arrays: list[Any] = []
        if self.request.has_aux:
            leaves, structure = tree_flatten(aux)
            arrays = [leaf for leaf in leaves if isinstance(leaf, jax.Array)]
            others = [None if isinstance(leaf, jax.Array) else (leaf,) for leaf in leaves]
            self.kept = structure, others
        return one_output(ys, self.request.reduction, _output, _total, "jnp.stack"), arrays

    def aux(self, arrays: Sequence[Any]) -> Any:
        """The aux of the last call, with these arrays."""
        structure, others = self.kept
        rest = iter(arrays)
        return tree_unflatten(structure, [next(rest) if x is None else x[0] for x in others])


def _same(x: Any) -> Any:
    return x


def _input(path: str, x: Any) -> Any:
    """An x as an array of jax."""
    if not isinstance(x, (jax.Array, np.ndarray, np.generic, float, complex, int)):
        raise TypeError(
            f"xs{path} must be a jax array, got {type(x).__name__}; arguments that are no arrays "
            "are left out of what is differentiated by argnums, or by functools.partial"
        )
    dtype = jax.dtypes.canonicalize_dtype(x.dtype if hasattr(x, "dtype") else np.result_type(x))
    if not jnp.issubdtype(dtype, np.inexact):
        raise TypeError(
            f"xs{path} must be floating or complex, got dtype {dtype} (shape {np.shape(x)}); make "
            "it so, x.astype(float), or leave it out of what is differentiated by argnums"
        )
    return x if isinstance(x, jax.Array) else jnp.array(x)  # a copy: arrays of NumPy can change


def _total(parts: list[Any]) -> Any:
    return sum((jnp.sum(part) for part in parts[1:]), jnp.sum(parts[0]))


def _output(ys: Any) -> Any:
    """The output as an array."""
    if not isinstance(ys, (jax.Array, np.ndarray, np.generic, float, complex, int)):
        raise TypeError(
            f"ys must return a jax array, got {type(ys).__name__}"
            + ('; for the sum of several give reduction="sum"' if _is_list(ys) else "")
            + ("; for (ys, aux) give has_aux=True" if isinstance(ys, tuple) else "")
        )
    ys = jnp.asarray(ys)
    if not jnp.issubdtype(ys.dtype, np.inexact):
        raise TypeError(
            f"ys must be floating or complex to be differentiated, got dtype {ys.dtype} (shape "
            f"{ys.shape}); an integer or a truth value has no derivative"
        )
    return ys


def _is_list(ys: Any) -> bool:
    return isinstance(ys, (tuple, list))


def _check_complex(flat: _Flat, dtype: Any) -> None:
    """A complex derivative is one of a holomorphic function of complex inputs alone."""
    kinds = [jnp.issubdtype(x.dtype, np.complexfloating) for x in flat.xs]
    if not any(kinds):
        if jnp.issubdtype(dtype, np.complexfloating):
            raise TypeError(
                f"ys has dtype {dtype} and xs are real: take the real or the imaginary part of ys, "
                "or make xs complex where ys is a holomorphic function of them"
            )
        return
    k = kinds.index(True)
    path, way = flat.paths[k], "as two real x, take both parts: f(a + 1j * b) with x = (a, b)"
    if not all(kinds):
        real = flat.paths[kinds.index(False)]
        raise TypeError(
            f"xs{path} has dtype {flat.xs[k].dtype} and xs{real} is real: the Hessian of a "
            f"holomorphic function is by complex xs alone; make xs{real} complex, or xs{path} "
            f"real, {way}"
        )
    if not jnp.issubdtype(dtype, np.complexfloating):
        raise TypeError(
            f"ys is no holomorphic function of xs{path} (dtype {flat.xs[k].dtype}): it has dtype "
            f"{dtype}; {way}"
        )


def _check_related(flat: _Flat, used: Sequence[bool]) -> None:
    """Refuse a ys that no x matters to, and, if that is asked for, an x that does not matter."""
    if flat.xs and not any(used):
        raise no_record(
            "an output that is the same whatever they are",
            "jax.lax.stop_gradient, numpy.asarray",
            "compute ys from the arguments of the function, by functions of jax",
        )
    if flat.request.strict:
        check_related(flat.inputs, used)


def _device(xs: Sequence[Any]) -> Any:
    """The device of the inputs, or None where they do not tell."""
    first: Any = None
    at = ""
    for k, x in enumerate(xs):
        if traced(x) or len(x.devices()) != 1:
            continue
        device = next(iter(x.devices()))
        if first is not None and device != first and x.committed:
            raise ValueError(
                f"xs must be on one device, got x number {at} on {first} and number {k} on "
                f"{device}; move them with jax.device_put(xs, device)"
            )
        if first is None and (x.committed or k == len(xs) - 1):
            first, at = device, str(k)
    return first if any(getattr(x, "committed", False) for x in xs if not traced(x)) else None


def _problem(request: Request) -> Problem:
    if isinstance(request.ys, (jax.Array, np.ndarray)) or not callable(request.ys):
        request.needs_callable()
        shape = f" of shape {request.ys.shape}" if hasattr(request.ys, "shape") else ""
        raise TypeError(
            f"ys must be a function of jax arrays, got {type(request.ys).__name__}{shape}: jax "
            "keeps no record of how an array was computed; give the function itself: "
            "lh.hessian(f, xs)"
        )
    flat = _Flat(request)
    tracing = any(map(traced, flat.xs))
    if request.create_graph and not tracing:
        raise TypeError(
            "jax keeps no graph, so create_graph=True has nothing to keep outside of a function "
            "that jax traces; write a function that calls lh.hessian, and transform that: "
            "jax.grad(lambda x: lh.hessian(f, x)[0].sum())(x)"
        )
    device = _device(flat.xs)
    try:
        closed = jax.make_jaxpr(flat.run)(*flat.xs)
    except _NEEDS_VALUES:
        return _eager(flat, device)
    shape, dtype = closed.jaxpr.outvars[0].aval.shape, closed.jaxpr.outvars[0].aval.dtype
    request.check_output(shape)
    _check_complex(flat, dtype)
    if any(jnp.issubdtype(x.dtype, np.complexfloating) for x in flat.xs):
        name = keys.not_holomorphic(closed)
        if name is not None:
            raise TypeError(
                f"ys is no holomorphic function of xs{flat.paths[0]} (dtype {flat.xs[0].dtype}): "
                f"{name} of a complex number is not differentiable; as two real x, take both "
                "parts: f(a + 1j * b) with x = (a, b)"
            )
    _check_related(flat, keys.reached(closed, 0))
    batch = request.batch_axes(shape, flat.inputs)
    consts = [x if isinstance(x, jax.Array) else jnp.array(x) for x in closed.consts]
    rules = keys.rules(closed)
    return _compiled(flat, program(closed, batch), consts, shape, batch, device, rules)


def _compiled(
    flat: _Flat,
    program: Program,
    consts: Sequence[Any],
    shape: Shape,
    batch: Sequence[int | None] | None,
    device: Any,
    rules: Sequence[str],
) -> Problem:
    """The problem of a traced function, at the inputs of a request."""
    detached = flat.request.create_graph is False and any(map(traced, (*flat.xs, *consts)))
    function = Compiled(program, consts, flat.xs, device, detached)

    def repeat(values: list[Any]) -> tuple[Any, Sequence[Any]]:
        there = Compiled(program, consts, values, device)
        return None, there.weighted(np.ones(shape))

    # jax's own rules are differentiated as functions are; those of users may be anything.
    asked = bool(rules) or flat.request.check is True
    evidence = _evidence(flat, function, repeat if asked else None, rules)
    engine = _engine(flat, function, shape, batch, evidence)

    def again(new: Any) -> Problem:
        moved = _moved(flat, new)
        moved.kept = flat.kept
        return _compiled(moved, program, consts, shape, batch, _device(moved.xs), rules)

    aux = flat.aux(function.outputs()[1:]) if flat.request.has_aux else None
    return _finished(flat, engine, aux, again)


def _eager(flat: _Flat, device: Any) -> Problem:
    """The problem of a function that decides by values: jax follows it at this point only."""
    ys, arrays = flat.run(*flat.xs)
    flat.request.check_output(ys.shape)
    _check_complex(flat, ys.dtype)
    batch = flat.request.batch_axes(tuple(ys.shape), flat.inputs)
    aux = flat.aux(arrays) if flat.request.has_aux else None
    if flat.request.strict or flat.xs:
        _check_related(flat, _followed(flat))
    function = Eager(lambda *xs: flat.run(*xs)[0], flat.xs, ys, device)

    def repeat(values: list[Any]) -> tuple[Any, Sequence[Any]]:
        there = Eager(function.root, values, None, device)
        return function.root(*values), there.weighted(np.ones(ys.shape))

    engine = _engine(flat, function, tuple(ys.shape), batch, _evidence(flat, function, repeat, ()))

    def again(new: Any) -> Problem:
        return _problem(_moved(flat, new).request)

    return _finished(flat, engine, aux, again)


def _followed(flat: _Flat) -> list[bool]:
    """Which inputs ys depends on, where values decide: those that its derivative comes from."""
    try:
        linear = jax.linearize(lambda *xs: flat.run(*xs)[0], *flat.xs)[1]
    except _NEEDS_VALUES:
        raise
    except LACKING:  # a rule that knows reverse derivatives only does not tell
        return [True] * len(flat.xs)
    closed = jax.make_jaxpr(linear)(*flat.xs)
    return keys.reached(closed, 0)


def _evidence(
    flat: _Flat, function: Compiled | Eager, repeat: Any, rules: Sequence[str]
) -> Evidence | None:
    """What there is to compare with; while jax traces there are no numbers."""
    if any(map(traced, (*flat.xs, *getattr(function, "consts", ())))):
        return None
    pure = isinstance(function, Compiled)
    return Evidence("jax", flat.paths, repeat, pure, lambda: rules)


def _engine(
    flat: _Flat,
    function: Products,
    shape: Shape,
    batch: Sequence[int | None] | None,
    evidence: Evidence | None,
) -> JaxEngine:
    request = flat.request
    return JaxEngine(
        function,
        [(tuple(x.shape), x.dtype) for x in flat.xs],
        tuple(shape),
        batch=batch,
        each=request.reduction == "none",
        create_graph=bool(request.create_graph),
        block_size=request.block_size,
        progress=request.progress,
        memory=request.options.memory,
        check=checking(request, evidence),
    )


def _finished(flat: _Flat, engine: JaxEngine, aux: Any, again: Callable[[Any], Problem]) -> Problem:
    tracing = any(map(traced, (*flat.xs, *getattr(engine.function, "consts", ()))))
    if engine.batch and not tracing:  # while jax traces there are no numbers to tell by
        refuse_interacting(engine, flat.request.batch_axis)
    tree = tree_unflatten(flat.structure, list(range(len(flat.xs))))
    return Problem(engine, tree, _rebuild, aux, again)


def _moved(flat: _Flat, new: Any) -> _Flat:
    """The same request at new inputs."""
    leaves, structure = tree_flatten(new)
    if structure != flat.structure:
        raise other_structure(f"xs is {flat.structure}", str(structure))
    values = []
    for path, x, value in zip(flat.paths, flat.xs, leaves, strict=True):
        dtype = getattr(value, "dtype", None) or np.result_type(value)
        if np.shape(value) != x.shape or not np.can_cast(dtype, x.dtype, "same_kind"):
            raise other_kind(
                path,
                f"an array of shape {x.shape} and dtype {x.dtype}",
                f"shape {np.shape(value)} and dtype {dtype}",
            )
        values.append(jnp.asarray(value, x.dtype))
    return _Flat(flat.moved(values))


class Jax(FrontEnd):
    """Functions of arrays of jax."""

    def problem(self, request: Request) -> Problem:
        return _problem(request)


FRONT_END = Jax()
