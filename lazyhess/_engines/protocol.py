"""What plan, store and proxy know of an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeAlias

from lazyhess._engines.arrays import Arrays
from lazyhess._indices import Ids, Shape

# An array, or whatever else the engine answers with that indexes like one.
Rows: TypeAlias = Any


class Engine(Protocol):
    """Rows of block (i, j) for some seeds: all that the rest of the library asks of an engine.

    A row id counts the rows of one x, leading axes first: ``lead * size + position``.
    """

    shapes: tuple[Shape, ...]
    """Of each x, without the batch axis."""
    dtypes: tuple[Any, ...]
    lead: Shape
    """Leading axes of the result: none, the batch, or the shape of ys (``reduction="none"``)."""
    create_graph: bool
    """Whether what it answers with can be differentiated again."""
    arrays: Arrays
    """What it answers with."""

    @property
    def checks(self) -> int:
        """How many products and gradients were run to compare second derivatives."""

    def products(self, i: int, rows: Ids) -> int:
        """How many Hessian-vector products these rows of x_i take."""

    def along(self, i: int, j: int) -> tuple[int, ...]:
        """The other blocks (i, k) that may come along when rows of (i, j) are computed.

        A pass grows by at most a quarter by all of them together. An x with a batch axis is never
        among them.
        """

    def rows(
        self, i: int, rows: Ids, columns: tuple[int, ...]
    ) -> Iterator[tuple[Ids, dict[int, Rows]]]:
        """Rows of the blocks (i, j) for j in columns, pass by pass, each row in one pass.

        Ids may be a grid (sample, position): dense rows then have both axes in front, and those
        of a CSR count in that order. All passes of a request have as many axes.
        """

    def apply(self, j: int, tangents: Any, columns: tuple[int, ...]) -> dict[int, Any]:
        """Products: ``(K,) + lead + shapes[j]`` -> for each i ``(K,) + lead + shapes[i]``."""

    def vectors(self, operand: Any) -> Any:
        """What ``@`` was given as tangents for `apply`; None where the dense matrix is needed."""

    def interacting(self) -> int | None:
        """A sample of a batch that interacts with another one, if any."""

    def value(self) -> Any:
        """The value of ys."""

    def gradient(self, i: int) -> Any:
        """The gradient with respect to x_i: ``lead + shapes[i]``, or with a batch as x_i."""


def progress_bar(count: int) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError("progress=True needs tqdm: pip install 'lazyhess[progress]'") from error
    make: Callable[..., Any] = tqdm
    return make(total=count, unit="product")
