"""Hessian-vector products of a `tf.function`, traced once for all Hessians of it.

That is for functions whose output follows from their arguments and from Variables that they read.
One that draws random numbers or changes anything would give products of different moments; its
products come from the tapes of its one call. The tapes are also used once a Variable has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from lazyhess._frontends.request import Request, arguments
from lazyhess._frontends.tensorflow.arrays import dense
from lazyhess._frontends.tensorflow.record import (
    Program,
    compiled,
    out_of_memory,
    quietly,
    unrecorded,
)
from lazyhess._indices import Ids
from lazyhess._trees import leaves

# Where programs are kept: on the function that they are of, and as long as that.
_KEPT = "_lazyhess_programs"
# Ops that count as stateful because of what they call, which is looked at itself.
_CALLS = {"StatefulPartitionedCall", "If", "While", "Case", "Placeholder", "Assert", "Print"}
_CALLS |= {"PrintV2", "_Arg", "_Retval"}
# And those that read a Variable: its value is compared.
_CALLS |= {"ReadVariableOp", "VariableShape", "ResourceGather", "ResourceGatherNd"}


def program(request: Request, picked: Any, xs: Sequence[Any], alone: bool) -> Program | None:
    """Products of the Hessian of a request; None where its function has to be taped.

    Parameters
    ----------
    request : Request
        Whose function has been called once.
    picked : nested containers
        What is differentiated by, as the function got it.
    xs : sequence of tf.Tensor or tf.Variable
        Its leaves, for the tapes.
    alone : bool
        Whether the function is called without arguments, and reads xs.
    """
    function = request.ys
    if not isinstance(function, tf.types.experimental.PolymorphicFunction):
        return None
    if tf.config.functions_run_eagerly():
        return None
    args: list[Any] = []
    if not alone:
        args = arguments(request.at(picked))
        if any(taped is not x for taped, (_, x) in zip(xs, leaves(picked), strict=True)):
            return None  # variables of Keras, which a tf.function does not know as arguments
    kept = function.__dict__.setdefault(_KEPT, {})
    concrete = function.get_concrete_function(*args)
    if concrete not in kept:
        kept[concrete] = _pure(concrete)
    if not kept[concrete]:
        return None
    read = {x.ref(): x for x in (*concrete.variables, *xs) if isinstance(x, tf.Variable)}
    read |= {x.ref(): x for _, x in leaves(args) if isinstance(x, tf.Variable)}
    with unrecorded():
        then = [(x, x.read_value()) for x in read.values()]
    places = _places(request, args, alone)
    options = (places, request.reduction, request.has_aux)
    closed = tuple(x.ref() for x in xs) if alone else None

    def unchanged() -> bool:
        # What is not a number is not equal to itself: then the tapes serve.
        return all(bool(tf.reduce_all(x.read_value() == value)) for x, value in then)

    def run(i: int, columns: Sequence[int], tangents: Any, outputs: Ids | None) -> list[Any] | None:
        size = int(tangents.shape[0])
        what = (*options, closed, i, tuple(columns), outputs is not None)
        which = None if outputs is None else tf.constant(outputs, tf.int64)
        # All at once, or one after the other where TensorFlow cannot; then the tapes.
        for number in range(kept.get(what, 0), len(_WAYS)):
            program = kept.get((what, size))
            if program is None:
                read = xs if alone else None
                rows = _traced(function, *options, read, i, tuple(columns), _WAYS[number])
                program = kept.setdefault((what, size), compiled(rows))
            if not unchanged():
                return None
            try:
                with quietly():
                    products: list[Any] = program(args, tangents, which)
            except Exception as error:  # of whatever kind: the tapes say what it was
                if out_of_memory(error):
                    raise
                kept[what] = number + 1
                kept.pop((what, size), None)
                continue
            return products if unchanged() else None
        return None

    return run


def _one_by_one(function: Callable[[Any], list[Any]], many: Any) -> Any:
    """What `tf.vectorized_map` gives, by a loop."""
    first = tf.nest.map_structure(lambda part: part[0], many)
    like = [tf.TensorSpec(part.shape, part.dtype) for part in function(first)]
    return tf.map_fn(function, many, fn_output_signature=like)


def _at_once(function: Callable[[Any], list[Any]], many: Any) -> Any:
    return tf.vectorized_map(function, many)


_WAYS: tuple[Callable[..., Any], ...] = (_at_once, _one_by_one)


def _places(request: Request, args: list[Any], alone: bool) -> tuple[int, ...]:
    """Which arguments are differentiated by."""
    if alone:
        return ()
    if request.argnums is None:
        return tuple(range(len(args)))
    return tuple(index(k) % len(args) for k in np.atleast_1d(request.argnums))


def _pure(concrete: Any) -> bool:
    """Whether a traced function reads only its arguments and Variables, and changes nothing."""
    handles = {id(x.handle) for x in concrete.variables}
    for x in concrete.captured_inputs:
        if x.dtype == tf.variant or (x.dtype == tf.resource and id(x) not in handles):
            return False  # tables, iterators, ...
    graph = concrete.graph.as_graph_def()
    nodes = list(graph.node)
    for inner in graph.library.function:
        nodes.extend(inner.node_def)
    for node in nodes:
        if node.op in _CALLS:
            continue
        known = op_def_registry.get(node.op)
        if known is None or known.is_stateful:
            return False
    return True


def _traced(
    function: Any,
    numbers: tuple[int, ...],
    reduction: str | None,
    has_aux: bool,
    closed: Sequence[Any] | None,
    i: int,
    columns: tuple[int, ...],
    way: Callable[..., Any],
) -> Callable[[list[Any], Any, Any], list[Any]]:
    """What is compiled: products for all tangents at once."""

    def output(args: list[Any]) -> Any:
        ys = function(*args)
        if has_aux:
            ys = ys[0]
        parts = ys if isinstance(ys, (tuple, list)) else [ys]
        if reduction == "sum":
            return tf.add_n([tf.reduce_sum(part) for part in parts])
        return tf.convert_to_tensor(parts[0])

    def slope(args: list[Any], xs: list[Any], second: Any, which: Any) -> Any:
        """The gradient by x_i of one output, or of the sum of all, recorded."""
        with second:
            for x in xs:
                second.watch(x)
            with tf.GradientTape(watch_accessed_variables=False) as first:
                first.watch(xs[i])
                root = output(args)
            seed = None
            if which is not None:
                size = int(np.prod(root.shape, dtype=np.int64))
                seed = tf.reshape(tf.one_hot(which, size, dtype=root.dtype), root.shape)
            gradient = first.gradient(root, xs[i], output_gradients=seed)
            return None if gradient is None else tf.convert_to_tensor(gradient)

    def products(second: Any, gradient: Any, xs: list[Any], tangent: Any) -> list[Any]:
        wanted = [xs[j] for j in columns]
        if gradient is None:
            return [tf.zeros_like(x) for x in wanted]
        parts = second.gradient(gradient, wanted, output_gradients=tangent)
        return [dense(part, x) for part, x in zip(parts, wanted, strict=True)]

    def tapes() -> Any:
        return tf.GradientTape(persistent=True, watch_accessed_variables=False)

    def run(args: list[Any], tangents: Any, outputs: Any) -> list[Any]:
        xs = [x for k in numbers for _, x in leaves([args[k]])] if closed is None else list(closed)
        if outputs is None:
            second = tapes()
            gradient = slope(args, xs, second, None)
            return list(way(lambda v: products(second, gradient, xs, v), tangents))

        def one(pair: Any) -> list[Any]:
            second = tapes()
            return products(second, slope(args, xs, second, pair[1]), xs, pair[0])

        return list(way(one, (tangents, outputs)))

    return run


# Ops that nobody has to suspect: constants, sums, products, and what moves elements.
_PLAIN = set(
    "Add AddV2 Cast ConcatV2 Const Fill GatherV2 Identity MatMul Mean Mul Neg NoOp Pack "
    "Placeholder Pow Range ReadVariableOp RealDiv Reshape Shape Slice Square StridedSlice Sub Sum "
    "Tile Transpose".split()
)


def suspected(function: Callable[..., Any], xs: Sequence[Any]) -> list[str]:
    """The names of the ops of a function whose second derivatives may be wrong."""
    try:
        graph = tf.function(function, autograph=False).get_concrete_function(*xs).graph
    except Exception:  # what cannot be traced tells no names
        return []
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    if any("_gradient_op_type" in node.attr for node in nodes):
        return ["a function under tf.custom_gradient"]
    return list(dict.fromkeys(node.op for node in nodes if node.op not in _PLAIN | _CALLS))
