"""Derivatives of what a TensorFlow function did, from the tapes that watched it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from math import inf
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import record

from lazyhess._frontends.graphs import Recorded, TensorGraph, padded
from lazyhess._frontends.tensorflow.arrays import TensorFlowArrays, dense
from lazyhess._indices import Ids

# Products for the tangents of an x (its number comes first, then which inputs are asked for), and
# their outputs. None where what the function reads has changed since it was called.
Program = Callable[[int, Sequence[int], Any, "Ids | None"], "list[Any] | None"]

# Products of one record that run one by one: a program for them would take longer to trace.
FEW = 64


def unrecorded() -> AbstractContextManager[None]:
    """No tape of the caller sees what happens inside."""
    context: AbstractContextManager[None] = record.stop_recording()
    return context


def recording() -> bool:
    """Whether a tape of the caller is open."""
    return bool(record.could_possibly_record())


def is_recorded(x: Any) -> bool:
    """Whether a tape that is open records what is computed from a tensor."""
    return bool(record.should_record_backprop([x]))


def compiled(function: Callable[..., Any]) -> Any:
    """A program of a function; that there is one for each size is meant, and no cause to warn."""
    program = tf.function(function, autograph=False)
    program._omit_frequent_tracing_warning = True
    return program


_here = threading.local()


def _heard(_: logging.LogRecord) -> bool:
    return not getattr(_here, "quiet", False)


tf.get_logger().addFilter(_heard)


@contextmanager
def quietly() -> Iterator[None]:
    """What TensorFlow logs where it cannot vectorise, pages of it, is dealt with here."""
    before = getattr(_here, "quiet", False)
    _here.quiet = True
    try:
        yield
    finally:
        _here.quiet = before


def differentiated(tape: Any, target: Any, xs: Sequence[Any], seed: Any) -> list[Any]:
    """``tape.gradient``, with an error that says which op has no derivative."""
    try:
        gradients: list[Any] = tape.gradient(target, list(xs), output_gradients=seed)
    except LookupError as error:
        if "gradient" not in str(error).lower():
            raise
        raise NotImplementedError(
            f"TensorFlow has no derivative for an op that ys or its gradient uses ({error}); write "
            "that part with other ops, or give it its derivatives by tf.custom_gradient; lazyhess "
            "itself differentiates NumPy: lh.hessian(f, array)"
        ) from error
    return gradients


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice, that of TensorFlow's devices too."""
    return isinstance(error, (MemoryError, tf.errors.ResourceExhaustedError))


class Tapes:
    """Two tapes over one call of a function: one for gradients, one for products.

    The function runs once, as Python; what it decides, draws and prints is what is differentiated.
    """

    def __init__(self) -> None:
        self.first = tf.GradientTape(persistent=True, watch_accessed_variables=False)
        self.second = tf.GradientTape(persistent=True, watch_accessed_variables=False)

    def run(self, function: Callable[[Callable[[Any], None]], Any]) -> Any:
        """Call ``function(watch)`` under both tapes."""

        def watch(x: Any) -> None:
            self.first.watch(x)
            self.second.watch(x)

        with self.second, self.first:
            return function(watch)


class Record(TensorGraph):
    """Derivatives of what happened under two tapes.

    Parameters
    ----------
    tapes : Tapes
        They watched how the output was computed.
    root, xs, create_graph
        As for `TensorGraph`. The caller's tapes see the answers with `create_graph` only.
    """

    owner = "TensorFlow's"
    outputs_kept = inf  # for the tapes keep them in any case

    def __init__(self, tapes: Tapes, root: Any, xs: Sequence[Any], create_graph: bool) -> None:
        super().__init__(root, xs, create_graph, TensorFlowArrays())
        self.program: Program | None = None
        self._tapes = tapes
        self._compiled: dict[Any, Any] = {}
        self._alone: set[Any] = set()  # what no program can be made of

    def out_of_memory(self, error: BaseException) -> bool:
        return out_of_memory(error)

    @contextmanager
    def recording(self) -> Iterator[None]:
        self._check_recording()
        yield

    def related(self) -> list[bool]:
        """Of each x whether ys depends on it."""
        return [gradient is not None for gradient in self.recorded(None).gradients]

    def differentiate(
        self, cotangent: Any, *, create_graph: bool, retain_graph: bool = True
    ) -> list[Any]:
        with nullcontext() if create_graph else unrecorded():
            return self._by_first(cotangent)

    def _by_first(self, cotangent: Any) -> list[Any]:
        gradients = differentiated(self._tapes.first, self.root, self.xs, cotangent)
        return [None if g is None else tf.convert_to_tensor(g) for g in gradients]

    def _record(self, output: int | None) -> Recorded:
        with self._tapes.second:
            return Recorded(self._by_first(None if output is None else self._seed(output)))

    def _seed(self, output: int) -> Any:
        shape = tuple(self.root.shape)
        flat = np.zeros(int(np.prod(shape)), np.bool_)
        flat[output] = True
        return self.arrays.from_numpy(flat.reshape(shape), self.root.dtype)

    def _answer(self, tensor: Any) -> Any:
        return tensor  # which never changes

    def gradient(self, i: int, output: int | None) -> Any:
        self._check_recording()
        return super().gradient(i, output)

    def products(
        self, i: int, tangents: Any, columns: Sequence[int], outputs: Ids | None
    ) -> dict[int, Any]:
        self._check_recording()
        program = self.program
        if program is not None:
            try:
                blocks = self._blocks(tangents, columns, outputs, partial(program, i, columns))
                if blocks is not None:
                    return blocks
            except Exception as error:  # of whatever kind: the tapes say what it was
                if out_of_memory(error):
                    raise
            self.program = None
        return super().products(i, tangents, columns, outputs)

    def _check_recording(self) -> None:
        if self.create_graph and not recording():
            raise RuntimeError(
                "with create_graph=True answers are recorded by your tape, and none is open here; "
                "make the Hessian and index it inside `with tf.GradientTape() as tape:`"
            )

    def _products(
        self, i: int, tangents: Any, columns: Sequence[int], output: int | None
    ) -> dict[int, Any]:
        first, xs = self.recorded(output).gradients[i], [self.xs[j] for j in columns]
        count = int(tangents.shape[0])
        if first is None or not count:
            return {j: self.zeros(j, count) for j in columns}

        def one(tangent: Any) -> list[Any]:
            rows = differentiated(self._tapes.second, first, xs, tangent)
            return [dense(row, x) for row, x in zip(rows, xs, strict=True)]

        if count >= FEW:
            together = self._together((i, tuple(columns), output), one, tangents, columns)
            if together is not None:
                return together
        # One thread at a time: a tape that records a gradient in another one would complain.
        with self._turn, nullcontext() if self.create_graph else unrecorded():
            parts = [one(tangents[k]) for k in range(count)]
            return {j: tf.stack([part[k] for part in parts]) for k, j in enumerate(columns)}

    def _together(
        self, key: Any, one: Callable[[Any], list[Any]], tangents: Any, columns: Sequence[int]
    ) -> dict[int, Any] | None:
        """All products by one program; None where TensorFlow cannot make it."""
        if key in self._alone:
            return None

        def run(tangents: Any, _: None) -> Any:
            size = int(tangents.shape[0])
            with self._turn:
                if (key, size) not in self._compiled:
                    self._compiled[key, size] = compiled(lambda some: tf.vectorized_map(one, some))
                program = self._compiled[key, size]
            with quietly(), nullcontext() if self.create_graph else unrecorded():
                return program(tangents)

        try:
            return self._blocks(tangents, columns, None, run)
        except Exception as error:  # of whatever kind: the same products one by one say it
            if out_of_memory(error):
                raise
            self._alone.add(key)
            return None

    def _blocks(
        self,
        tangents: Any,
        columns: Sequence[int],
        outputs: Ids | None,
        run: Callable[[Any, Any], list[Any] | None],
    ) -> dict[int, Any] | None:
        """Products by a program, for one of the sizes that there are programs for."""
        count = int(tangents.shape[0])
        if not count:
            return {j: self.zeros(j, 0) for j in columns}
        more = padded(count, int(np.prod(tangents.shape[1:], dtype=np.int64))) - count
        if more:
            none = tf.zeros((more, *tangents.shape[1:]), tangents.dtype)
            tangents = tf.concat([tangents, none], 0)
            outputs = None if outputs is None else np.pad(outputs, (0, more))
        blocks = run(tangents, outputs)
        if blocks is None:
            return None
        return {
            j: block[:count] if more else block for j, block in zip(columns, blocks, strict=True)
        }
