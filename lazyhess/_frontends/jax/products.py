"""jax: a traced function and the compiled programs of its derivatives."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from cachetools import LRUCache

from lazyhess._engines.framework import Products, by_output
from lazyhess._frontends.graphs import OUTPUTS, padded
from lazyhess._frontends.jax import keys
from lazyhess._frontends.jax.arrays import JaxArrays, precision, traced, wide
from lazyhess._indices import Array, Ids
from lazyhess._locks import lock

# Programs that are kept for functions that come again.
KEPT = 64


_waited: Any = jax.block_until_ready
# What jax raises where an operation has no rule.
LACKING = (ValueError, TypeError, NotImplementedError)


def lacking(error: Exception, suspects: Sequence[str]) -> NotImplementedError:
    """The error for a function that jax cannot differentiate twice, which it told by another."""
    said = next(iter(str(error).splitlines()), type(error).__name__)
    return NotImplementedError(
        f"jax cannot differentiate ys as often as a Hessian needs it: {said}"
        + (f" (ys uses {', '.join(suspects)})" if suspects else "")
        + "; a Hessian needs two derivatives of every operation, one of them in reverse; the ways "
        "out of an operation that lacks one: give it by jax.custom_jvp, use lax.scan where "
        "lax.while_loop stands, or write the function in NumPy, which lazyhess differentiates by "
        "itself"
    )


class Units(NamedTuple):
    """Unit tangents of an x by the positions of their ones; programs make them."""

    positions: Ids  # in one sample, where there are any
    samples: Ids | None  # for each the sample; without it the same in all


class Program:
    """The derivatives of a traced function, compiled when they are asked for, for any constants.

    Parameters
    ----------
    closed : ClosedJaxpr
        The function of flat inputs; its first output is ys, those behind it are aux.
    batch : sequence of int or None, optional
        The position of the batch axis in each input.
    """

    def __init__(self, closed: Any, batch: Sequence[int | None] | None) -> None:
        # Without the constants, which belong to one call; and without what serves aux only.
        self.jaxpr = closed.jaxpr
        self.suspects = [*keys.rules(closed), *keys.lacking(closed)]
        self.batch = batch
        self.shapes = [tuple(var.aval.shape) for var in closed.jaxpr.invars]
        self.dtypes = [var.aval.dtype for var in closed.jaxpr.invars]
        self.output = tuple(closed.jaxpr.outvars[0].aval.shape)
        self.reach: dict[int, int] | None = None
        self.outputs = jax.jit(self._outputs)
        self.slope = jax.jit(self._slope)
        self.slopes = jax.jit(self._slopes, static_argnames="i")
        self.reverse = False  # whether products are gradients of gradients
        static = ("i", "columns", "reverse")
        self.whole = jax.jit(self._whole, static_argnames=static)
        self.rows = jax.jit(self._rows, static_argnames=static)
        self.along = jax.jit(self._along, static_argnames=static)

    def _outputs(self, consts: Any, xs: Any) -> Any:
        return jax.core.eval_jaxpr(self.jaxpr, consts, *xs)

    def root(self, consts: Any, xs: Any) -> Any:
        """The value of ys."""
        return jax.core.eval_jaxpr(self.jaxpr, consts, *xs)[0]

    def _slope(self, consts: Any, xs: Any, weights: Any) -> Any:
        """The gradients by all inputs of the sum of outputs times weights."""
        value, back = jax.vjp(lambda *xs: self.root(consts, xs), *xs)
        return back(jnp.broadcast_to(weights, value.shape).astype(value.dtype))

    def _slopes(self, consts: Any, xs: Any, outputs: Any, i: int) -> Any:
        """The gradients by x_i of several outputs."""
        value, back = jax.vjp(lambda x: self.root(consts, [*xs[:i], x, *xs[i + 1 :]]), xs[i])
        units = self._selected(outputs, value)
        return jax.vmap(lambda unit: back(unit)[0])(units)

    def _selected(self, outputs: Any, value: Any) -> Any:
        """For each of some outputs the cotangent that picks it."""
        count = jax.lax.iota(jnp.int32, max(value.size, 1))
        ones = count.reshape((1,) * outputs.ndim + (-1,)) == outputs[..., None]
        return ones[..., : value.size].reshape(outputs.shape + value.shape).astype(value.dtype)

    def _along(
        self,
        consts: Any,
        xs: Any,
        tangents: Any,
        outputs: Any,
        i: int,
        columns: tuple[int, ...],
        reverse: bool,
    ) -> Any:
        """The change, along each tangent of x_i, of the gradient by some inputs."""
        if reverse:
            return self._reversed(consts, xs, tangents, outputs, i, columns)

        def gradient(x: Any, output: Any) -> Any:
            full = [*xs[:i], x, *xs[i + 1 :]]

            def root(*picked: Any) -> Any:
                new = list(full)
                for j, value in zip(columns, picked, strict=True):
                    new[j] = value
                return self.root(consts, new)

            value, back = jax.vjp(root, *(full[j] for j in columns))
            seed = jnp.ones_like(value) if output is None else self._selected(output, value)
            # As a batch of one, for which XLA lays out products of matrices better: up to three
            # times as fast.
            return tuple(part[0] for part in jax.vmap(back)(seed[None]))

        def product(tangent: Any, output: Any) -> Any:
            return jax.jvp(lambda x: gradient(x, output), (xs[i],), (tangent,))[1]

        # What does not depend on the tangent is computed once for all of them.
        return jax.vmap(product, (0, None if outputs is None else 0))(tangents, outputs)

    def _reversed(
        self, consts: Any, xs: Any, tangents: Any, outputs: Any, i: int, columns: tuple[int, ...]
    ) -> Any:
        """The gradient, by some inputs, of the gradient by x_i times each tangent: the same.

        For functions that know reverse derivatives only.
        """

        def slope(output: Any, *picked: Any) -> Any:
            full = list(xs)
            for j, value in zip(columns, picked, strict=True):
                full[j] = value
            value, back = jax.vjp(
                lambda x: self.root(consts, [*full[:i], x, *full[i + 1 :]]), full[i]
            )
            seed = jnp.ones_like(value) if output is None else self._selected(output, value)
            return back(seed)[0]

        def product(tangent: Any, output: Any) -> Any:
            return jax.vjp(partial(slope, output), *(xs[j] for j in columns))[1](tangent)

        return jax.vmap(product, (0, None if outputs is None else 0))(tangents, outputs)

    def _rows(
        self,
        consts: Any,
        xs: Any,
        positions: Any,
        samples: Any,
        outputs: Any,
        i: int,
        columns: tuple[int, ...],
        reverse: bool,
    ) -> Any:
        """Products with unit tangents, flat where there is no batch."""
        axis = None if self.batch is None else self.batch[i]
        shape = self.shapes[i] if axis is None else _without(self.shapes[i], axis)
        count = positions.shape[0]
        units = jax.lax.iota(jnp.int32, prod(shape))[None] == positions[:, None]
        units = units.reshape((count, *shape))
        if axis is not None:
            size = self.shapes[i][axis]
            there = jnp.ones((count, size), bool)
            if samples is not None:
                there = jax.lax.iota(jnp.int32, size)[None] == samples[:, None]
            there = there.reshape((count, *(1,) * axis, size, *(1,) * (len(shape) - axis)))
            units = jnp.expand_dims(units, axis + 1) & there
        units = units.astype(self.dtypes[i])
        blocks = self._along(consts, xs, units, outputs, i, columns, reverse)
        if self.batch is not None:
            return blocks
        return tuple(
            block.reshape((count, prod(self.shapes[j])))
            for j, block in zip(columns, blocks, strict=True)
        )

    def _whole(self, consts: Any, xs: Any, i: int, columns: tuple[int, ...], reverse: bool) -> Any:
        """All rows of x_i."""
        positions = jax.lax.iota(jnp.int32, prod(self.shapes[i]))
        return self._rows(consts, xs, positions, None, None, i, columns, reverse)


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]


_programs: LRUCache[Hashable, Program] = LRUCache(KEPT)
_lock = lock()


def program(closed: Any, batch: Sequence[int | None] | None) -> Program:
    """The program of a traced function; the one there is, where an equal one came before."""
    try:
        same: Hashable = keys.key(closed, rules=True)
    except keys.OpaqueError:
        # Differentiated twice, the function has its rules written out.
        if any(map(traced, closed.consts)):
            return Program(closed, batch)
        same = keys.key(closed, rules=False), keys.key(_twice(closed), rules=False)
    key = same, None if batch is None else tuple(batch), wide()
    with _lock:
        if key not in _programs:
            _programs[key] = Program(closed, batch)
        return _programs[key]


def _twice(closed: Any) -> Any:
    """The Hessian-vector product of a function, traced."""
    struct: Any = jax.ShapeDtypeStruct
    xs = [struct(var.aval.shape, var.aval.dtype) for var in closed.jaxpr.invars]

    def gradient(*xs: Any) -> Any:
        value, back = jax.vjp(
            lambda *xs: jax.core.eval_jaxpr(closed.jaxpr, closed.consts, *xs)[0], *xs
        )
        return back(jnp.ones_like(value))

    return jax.make_jaxpr(lambda xs, tangents: jax.jvp(gradient, xs, tangents))(
        tuple(xs), tuple(xs)
    )


class Compiled(Products):
    """Derivatives of a traced function at a point.

    Parameters
    ----------
    program, consts, xs
        The function, its constants and its inputs.
    device : jax.Device, optional
        Where answers lie.
    detached : bool
        Whether a function that jax traces is not differentiated through the answers.
    """

    def __init__(
        self,
        program: Program,
        consts: Sequence[Any],
        xs: Sequence[Any],
        device: Any,
        detached: bool = False,
    ) -> None:
        self.detached = detached
        self.program, self.consts, self.xs = program, tuple(consts), tuple(xs)
        self.arrays: JaxArrays = JaxArrays(device)

    def _run(self, function: Callable[..., Any], *args: Any, **static: Any) -> Any:
        with precision(self.arrays.x64):
            try:
                # Done when it returns: jax tells of what failed only once it is waited for, and
                # NumPy, which looks at its arrays, would end the process.
                answer = _waited(function(self.consts, self.xs, *args, **static))
                return _stopped(answer) if self.detached else answer
            except LACKING as error:
                raise lacking(error, self.program.suspects) from error

    def _twice(self, function: Callable[..., Any], *args: Any, **static: Any) -> Any:
        """Products by a program; by gradients of gradients, where a rule knows these only."""
        program = self.program
        try:
            return self._run(function, *args, **static, reverse=program.reverse)
        except NotImplementedError:
            if program.reverse:
                raise
            try:
                products = self._run(function, *args, **static, reverse=True)
            except NotImplementedError:
                pass
            else:
                program.reverse = True
                return products
            raise

    def outputs(self) -> Any:
        """The value of ys, and the arrays of aux."""
        return self._run(self.program.outputs)

    def value(self) -> Any:
        return self.outputs()[0]

    def weighted(self, weights: Array) -> list[Any]:
        return list(self._run(self.program.slope, weights))

    def gradient(self, i: int, output: int | None) -> Any:
        if output is None:
            return self._run(self.program.slope, np.ones((), np.int8))[i]
        return self.gradients(i, np.array([output]))[0]

    def gradients(self, i: int, outputs: Ids) -> Any:
        """The gradients by x_i of several outputs."""
        return self._run(self.program.slopes, outputs.astype(np.int32), i=i)

    def out_of_memory(self, error: BaseException) -> bool:
        return _out_of_memory(error)

    def reach(self) -> dict[int, int]:
        if self.program.reach is None:
            self.program.reach = keys.reach(self.program.jaxpr)
        return self.program.reach

    def products(
        self, i: int, tangents: Any, columns: Sequence[int], outputs: Ids | None
    ) -> dict[int, Any]:
        columns, units = tuple(columns), isinstance(tangents, Units)
        count = len(tangents.positions if units else tangents)
        whole = prod(self.program.shapes[i])
        if (
            units
            and count == whole
            and outputs is None
            and self.program.batch is None
            and bool((tangents.positions == np.arange(count)).all())
        ):
            return dict(
                zip(columns, self._twice(self.program.whole, i=i, columns=columns), strict=True)
            )
        size = padded(count, whole)
        which = None if outputs is None else _pad(outputs, size)
        if units:
            samples = None if tangents.samples is None else _pad(tangents.samples, size)
            args = (_pad(tangents.positions, size), samples, which)
            blocks = self._twice(self.program.rows, *args, i=i, columns=columns)
        else:
            if size > count:
                none = self.arrays.zeros((size - count, *tangents.shape[1:]), tangents.dtype)
                tangents = self.arrays.concatenate([tangents, none])
            blocks = self._twice(self.program.along, tangents, which, i=i, columns=columns)
        if size > count:
            blocks = [self.arrays.take(block, np.arange(count), 0) for block in blocks]
        return dict(zip(columns, blocks, strict=True))


def _out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice, that of jax's devices too."""
    exhausted = isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
    return exhausted or isinstance(error, MemoryError)


def _stopped(answer: Any) -> Any:
    return jax.tree_util.tree_map(jax.lax.stop_gradient, answer)


def _pad(ids: Ids, size: int) -> Array:
    """Numbers for a program: 32 bits, the last one repeated."""
    numbers = np.empty(size, np.int32)
    numbers[: len(ids)] = ids
    numbers[len(ids) :] = ids[-1] if len(ids) else 0
    return numbers


class Eager(Products):
    """Derivatives of a function that decides by values, as jax computes them without compiling.

    Parameters
    ----------
    root : callable
        From flat inputs to ys.
    xs : sequence of array
        The point.
    """

    def __init__(self, root: Callable[..., Any], xs: Sequence[Any], value: Any, device: Any):
        self.root, self.xs, self._value = root, tuple(xs), value
        self.arrays: JaxArrays = JaxArrays(device)
        self._linear: LRUCache[int | None, Any] = LRUCache(OUTPUTS)
        self._reverse = False  # whether products are gradients of gradients: H is symmetric
        self._lock = lock()

    def value(self) -> Any:
        return self._value

    def out_of_memory(self, error: BaseException) -> bool:
        return _out_of_memory(error)

    def _gradient(self, output: int | None, *xs: Any) -> Any:
        value, back = jax.vjp(self.root, *xs)
        seed = jnp.ones_like(value)
        if output is not None:
            seed = jnp.zeros(value.size, value.dtype).at[output].set(1).reshape(value.shape)
        return back(seed)

    def _linearized(self, output: int | None) -> Any:
        """The gradient, and the linear function that gives its change; the last ones are kept."""
        with self._lock, precision(self.arrays.x64):
            if output not in self._linear:
                gradient = partial(self._gradient, output)
                if self._reverse:
                    slope, back = jax.vjp(gradient, *self.xs)
                    self._linear[output] = slope, lambda *full: back(tuple(full))
                else:
                    self._linear[output] = jax.linearize(gradient, *self.xs)
            return self._linear[output]

    def _known(self, run: Callable[[], Any]) -> Any:
        """What a function gives of the linearized gradient; in reverse, where a rule lacks."""
        try:
            return run()
        except jax.errors.JAXTypeError:  # the function wants values
            raise
        except LACKING as error:
            if self._reverse:
                raise lacking(error, ()) from error
            with self._lock:
                self._reverse = True
                self._linear.clear()
            try:
                return run()
            except LACKING:
                self._reverse = False
                raise lacking(error, ()) from error

    def gradient(self, i: int, output: int | None) -> Any:
        return self._known(lambda: self._linearized(output)[0][i])

    def gradients(self, i: int, outputs: Ids) -> Any:
        """The gradients by x_i of several outputs."""
        return jnp.stack([self.gradient(i, int(output)) for output in outputs])

    def weighted(self, weights: Array) -> list[Any]:
        with precision(self.arrays.x64):
            value, back = jax.vjp(self.root, *self.xs)
            return list(back(jnp.asarray(weights, value.dtype)))

    def products(
        self, i: int, tangents: Any, columns: Sequence[int], outputs: Ids | None
    ) -> dict[int, Any]:
        def run(part: Any, output: int | None) -> dict[int, Any]:
            return dict(zip(columns, self._known(partial(some, part, output)), strict=True))

        def some(part: Any, output: int | None) -> list[Any]:
            linear = self._linearized(output)[1]

            def product(tangent: Any) -> Any:
                full = [jnp.zeros_like(x) for x in self.xs]
                full[i] = tangent
                change = linear(*full)
                return [change[j] for j in columns]

            with precision(self.arrays.x64):
                rows: list[Any] = _waited(jax.vmap(product)(part))
            return rows

        return by_output(outputs, columns, tangents, self.arrays, run)
