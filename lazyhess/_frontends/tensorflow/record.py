"""Derivatives of what a TensorFlow function did, from the tapes that watched it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import record

from lazyhess._engines.arrays import Arrays
from lazyhess._engines.framework import Single
from lazyhess._indices import Array, Ids, Shape

# Products for the tangents of an x (its number comes first, then which inputs are asked for), and
# their outputs. None where what the function reads has changed since it was called.
Program = Callable[[int, Sequence[int], Any, "Ids | None"], "list[Any] | None"]

# Products of one record that run one by one: a program for them would take longer to trace.
FEW = 64


class Tensors(Arrays):
    """Operations on tensors, see `lazyhess._engines.arrays.Arrays`."""

    def numpy(self, array: Any) -> Array:
        made = np.asarray(array)
        # What NumPy itself does not know (bfloat16) comes as the next wider type that it does.
        return made.astype(np.float32) if made.dtype.kind == "V" else made

    def from_numpy(self, array: Array, dtype: Any) -> Any:
        return tf.constant(np.asarray(array).astype(dtype.as_numpy_dtype))

    def zeros(self, shape: Shape, dtype: Any) -> Any:
        return tf.zeros(shape, dtype)

    def concatenate(self, parts: Sequence[Any]) -> Any:
        return tf.concat(list(parts), 0)

    def take(self, array: Any, ids: Ids, axis: int) -> Any:
        return tf.gather(array, ids, axis=axis)

    def points(self, array: Any, rows: Ids, columns: Ids) -> Any:
        return tf.gather_nd(array, np.stack(np.broadcast_arrays(rows, columns), -1))

    def reshape(self, array: Any, shape: Shape) -> Any:
        return tf.reshape(array, np.asarray(shape, np.int64))

    def transpose(self, array: Any, axes: Sequence[int]) -> Any:
        return tf.transpose(array, list(axes))

    def cast(self, array: Any, dtype: Any) -> Any:
        return tf.cast(array, dtype)

    def nbytes(self, array: Any) -> int:
        return int(np.prod(array.shape, dtype=np.int64)) * self.itemsize(array.dtype)

    def itemsize(self, dtype: Any) -> int:
        return int(dtype.size)


def unrecorded() -> AbstractContextManager[None]:
    """No tape of the caller sees what happens inside."""
    made: AbstractContextManager[None] = record.stop_recording()
    return made


def recording() -> bool:
    """Whether a tape of the caller is open."""
    return bool(record.could_possibly_record())


def compiled(function: Callable[..., Any]) -> Any:
    """A program of a function; that there is one for each size is meant, and no cause to warn."""
    made = tf.function(function, autograph=False)
    made._omit_frequent_tracing_warning = True
    return made


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


def padded(count: int) -> int:
    """The next size that programs are made for: 1 to 8, then four in each octave."""
    if count <= 8:
        return count
    step = 1 << ((count - 1).bit_length() - 3)
    return -(-count // step) * step


def dense(made: Any, like: Any) -> Any:
    """A gradient as a tensor in the shape of its x; zeros where there is none."""
    if made is None:
        return tf.zeros(like.shape, like.dtype)
    return tf.convert_to_tensor(made)  # of IndexedSlices, too


def differentiated(tape: Any, target: Any, xs: Sequence[Any], seed: Any) -> list[Any]:
    """``tape.gradient``, with an error that says which op has no derivative."""
    try:
        made: list[Any] = tape.gradient(target, list(xs), output_gradients=seed)
    except LookupError as error:
        if "gradient" not in str(error).lower():
            raise
        raise NotImplementedError(
            f"TensorFlow has no derivative for an op that ys or its gradient uses ({error}); write "
            "that part with other ops, or give it its derivatives by tf.custom_gradient; lazyhess "
            "itself differentiates NumPy: lh.hessian(f, array)"
        ) from error
    return made


class Record(Single):
    """Two tapes over one call of a function: one for gradients, one for products.

    The function ran once, as Python; what it decided, drew and printed is what is differentiated.

    Parameters
    ----------
    create_graph : bool
        Whether the caller's tapes see the answers.
    """

    def __init__(self, create_graph: bool) -> None:
        self.create_graph = create_graph
        self.arrays = Tensors()
        self.root: Any = None
        self.xs: list[Any] = []
        self.program: Program | None = None
        self._first = tf.GradientTape(persistent=True, watch_accessed_variables=False)
        self._second = tf.GradientTape(persistent=True, watch_accessed_variables=False)
        self._gradients: dict[int | None, list[Any]] = {}
        self._compiled: dict[Any, Any] = {}
        self._alone: set[Any] = set()  # what no program can be made of
        self._turn = threading.RLock()

    def run(self, function: Callable[[Callable[[Any], None]], Any]) -> Any:
        """Call ``function(watch)`` under both tapes."""

        def watch(x: Any) -> None:
            self._first.watch(x)
            self._second.watch(x)

        with self._second, self._first:
            return function(watch)

    def settle(self, root: Any, xs: Sequence[Any]) -> None:
        """Say what came out, and by what it is differentiated."""
        self.root, self.xs = root, list(xs)

    def related(self) -> list[bool]:
        """Of each x whether ys depends on it."""
        return [made is not None for made in self._all(None)]

    # --- see Products ---------------------------------------------------------------------------

    def __reduce__(self) -> Any:
        raise TypeError(
            "a Hessian of TensorFlow's tensors cannot be pickled or copied, for its tapes cannot; "
            "keep what you need of it as a tensor, H[...]"
        )

    def value(self) -> Any:
        return self.root

    def _all(self, output: int | None) -> list[Any]:
        """The gradients by all xs, recorded; None where there is none."""
        with self._turn:
            found = self._gradients.get(output)
            if found is None:
                with self._second:
                    seed = None if output is None else self._seed(output)
                    made = differentiated(self._first, self.root, self.xs, seed)
                    found = [None if g is None else tf.convert_to_tensor(g) for g in made]
                self._gradients[output] = found
            return found

    def _seed(self, output: int) -> Any:
        shape = tuple(self.root.shape)
        flat = np.zeros(int(np.prod(shape)), np.bool_)
        flat[output] = True
        return self.arrays.from_numpy(flat.reshape(shape), self.root.dtype)

    def gradient(self, i: int, output: int | None) -> Any:
        self._check_recording()
        return dense(self._all(output)[i], self.xs[i])

    def weighted(self, weights: Array) -> list[Any]:
        seed = self.arrays.from_numpy(weights, self.root.dtype)
        with unrecorded():
            made = differentiated(self._first, self.root, self.xs, seed)
            return [dense(g, x) for g, x in zip(made, self.xs, strict=True)]

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
            except tf.errors.ResourceExhaustedError:
                raise
            except Exception:  # of whatever kind: the tapes say what it was
                pass
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
        first, xs = self._all(output)[i], [self.xs[j] for j in columns]
        count = int(tangents.shape[0])
        if first is None or not count:
            return {
                j: tf.zeros((count, *x.shape), x.dtype) for j, x in zip(columns, xs, strict=True)
            }

        def one(tangent: Any) -> list[Any]:
            made = differentiated(self._second, first, xs, tangent)
            return [dense(part, x) for part, x in zip(made, xs, strict=True)]

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
                made = self._compiled.get((key, size))
                if made is None:
                    made = compiled(lambda some: tf.vectorized_map(one, some))
                    self._compiled[key, size] = made
            with quietly(), nullcontext() if self.create_graph else unrecorded():
                return made(tangents)

        try:
            return self._blocks(tangents, columns, None, run)
        except tf.errors.ResourceExhaustedError:
            raise
        except Exception:  # of whatever kind: the same products one by one say what it was
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
            shapes = {j: (0, *self.xs[j].shape) for j in columns}
            return {j: tf.zeros(shape, self.xs[j].dtype) for j, shape in shapes.items()}
        whole = count == int(np.prod(tangents.shape[1:], dtype=np.int64))  # all rows: one more size
        more = 0 if whole else padded(count) - count
        if more:
            none = tf.zeros((more, *tangents.shape[1:]), tangents.dtype)
            tangents = tf.concat([tangents, none], 0)
            outputs = None if outputs is None else np.pad(outputs, (0, more))
        made = run(tangents, outputs)
        if made is None:
            return None
        return {j: part[:count] if more else part for j, part in zip(columns, made, strict=True)}
