"""What the products of frameworks share: a tensor with its graph, which is differentiated again."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from cachetools import LRUCache

from lazyhess._engines.arrays import Arrays
from lazyhess._engines.framework import Single
from lazyhess._indices import Array, Ids, Shape
from lazyhess._locks import lock

# Outputs whose gradients are kept with their graphs.
OUTPUTS = 4

GIVE_FUNCTION = "give the function itself: lh.hessian(f, xs)"


def padded(count: int, whole: int) -> int:
    """The number of tangents to compile for, so that few programs serve all requests.

    Up to 8 exactly, then four numbers for each factor of two: that wastes at most 25 %. As many as
    there are in all is a number of its own.
    """
    if count <= 8 or count == whole:
        return count
    step = 1 << ((count - 1).bit_length() - 3)
    return -(-count // step) * step


class Recorded(NamedTuple):
    """Gradients with their graph."""

    gradients: list[Any]  # by each x; None where ys does not depend on it
    cotangent: Any = None  # that they are linear in, where their graph has it as an input


class RecordedArrays(Arrays):
    """Operations whose results keep their graph, whatever mode the caller is in.

    Parameters
    ----------
    arrays : Arrays
        The operations.
    recording : callable
        Makes a context in which operations are recorded.
    """

    def __init__(
        self, arrays: Arrays, recording: Callable[[], AbstractContextManager[Any]]
    ) -> None:
        self._arrays, self._recording = arrays, recording

    def _recorded(self, name: str, *args: Any) -> Any:
        with self._recording():
            return getattr(self._arrays, name)(*args)

    def numpy(self, array: Any) -> Array:
        return self._arrays.numpy(array)

    def from_numpy(self, array: Array, dtype: Any) -> Any:
        return self._arrays.from_numpy(array, dtype)

    def zeros(self, shape: Shape, dtype: Any) -> Any:
        return self._arrays.zeros(shape, dtype)

    def concatenate(self, parts: Sequence[Any]) -> Any:
        return self._recorded("concatenate", parts)

    def take(self, array: Any, ids: Ids, axis: int) -> Any:
        return self._recorded("take", array, ids, axis)

    def points(self, array: Any, rows: Ids, columns: Ids) -> Any:
        return self._recorded("points", array, rows, columns)

    def reshape(self, array: Any, shape: Shape) -> Any:
        return self._recorded("reshape", array, shape)

    def transpose(self, array: Any, axes: Sequence[int]) -> Any:
        return self._recorded("transpose", array, axes)

    def cast(self, array: Any, dtype: Any) -> Any:
        return self._recorded("cast", array, dtype)

    def matmul(self, a: Any, b: Any) -> Any:
        return self._recorded("matmul", a, b)

    def nbytes(self, array: Any) -> int:
        return self._arrays.nbytes(array)

    def itemsize(self, dtype: Any) -> int:
        return self._arrays.itemsize(dtype)


class TensorGraph(Single):
    """Derivatives of a tensor by differentiating its gradient, which is recorded once.

    Parameters
    ----------
    root : Tensor
        The output.
    xs : sequence of Tensor
        The inputs.
    create_graph : bool
        Whether answers keep a graph.
    arrays : Arrays
        Operations on such tensors.
    """

    owner: str  # whose tensors they are, in errors
    outputs_kept: float = OUTPUTS

    def __init__(self, root: Any, xs: Sequence[Any], create_graph: bool, arrays: Arrays) -> None:
        self.root, self.xs = root, list(xs)
        self.create_graph = create_graph
        self.arrays = RecordedArrays(arrays, self.recording) if create_graph else arrays
        self._gradients: LRUCache[int | None, Recorded] = LRUCache(self.outputs_kept)
        self._turn = lock()

    def __reduce__(self) -> Any:
        raise TypeError(
            f"a Hessian of {self.owner} tensors cannot be pickled or copied, for the record of how "
            "they were computed cannot; keep what you need of it as a tensor, H[...]"
        )

    def recording(self) -> AbstractContextManager[Any]:
        """A context in which operations are recorded, whatever mode the caller is in."""
        return nullcontext()

    @abstractmethod
    def differentiate(
        self, cotangent: Any, *, create_graph: bool, retain_graph: bool = True
    ) -> list[Any]:
        """The gradients by all xs, None where ys does not depend on that x.

        Without a cotangent they are those of the sum of all outputs.
        """

    @abstractmethod
    def _record(self, output: int | None) -> Recorded:
        """The gradients of one output, or of the sum of all, with their graph."""

    def recorded(self, output: int | None) -> Recorded:
        """The same, kept for the last few outputs."""
        with self._turn:
            if output not in self._gradients:
                self._gradients[output] = self._record(output)
            return self._gradients[output]

    def value(self) -> Any:
        return self._answer(self.root)

    def gradient(self, i: int, output: int | None) -> Any:
        gradient = self._gradient(i, output)
        return self.zeros(i) if gradient is None else self._answer(gradient)

    def _gradient(self, i: int, output: int | None) -> Any:
        return self.recorded(output).gradients[i]

    def weighted(self, weights: Array) -> list[Any]:
        cotangent = self.arrays.from_numpy(weights, self.root.dtype)
        return self.completed(self.differentiate(cotangent, create_graph=False))

    def zeros(self, i: int, *lead: int) -> Any:
        """Zeros in the shape of x_i, behind other axes."""
        x = self.xs[i]
        return self.arrays.zeros((*lead, *x.shape), x.dtype)

    def completed(self, gradients: Sequence[Any]) -> list[Any]:
        """Gradients by all xs, with zeros where there is none."""
        return [self.zeros(i) if g is None else g for i, g in enumerate(gradients)]

    def _answer(self, tensor: Any) -> Any:
        """A tensor of the caller's own."""
        if not self.create_graph:
            return tensor.detach().clone()
        with self.recording():
            return tensor.clone()


AGAIN = f"compute ys again, or {GIVE_FUNCTION}"


def freed(differentiate: str) -> str:
    """What to say of a graph that was freed, by a framework's function that does that."""
    return (
        f"the graph of ys was freed: backward() or {differentiate}() went through it before, and "
        "frees it unless it is told retain_graph=True; ask for the Hessian's rows first, say "
        f"retain_graph=True there, {AGAIN}"
    )


def changed(how: str) -> str:
    """What to say of a change in place."""
    return (
        f"a tensor that ys was computed from was changed in place afterwards (as {how}), so its "
        "second derivatives are lost; ask for the rows that you need before that, "
        f"{AGAIN}, which works with copies of xs"
    )
