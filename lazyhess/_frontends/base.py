"""What front ends share: the checks that are the same for all of them, and their words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

from lazyhess._engines.check import Check, Evidence
from lazyhess._engines.framework import FrameworkEngine, Products
from lazyhess._engines.problem import Problem
from lazyhess._engines.protocol import Engine
from lazyhess._frontends.request import Request
from lazyhess._indices import Shape
from lazyhess._trees import is_node


class FrontEnd(Protocol):
    """What a module that knows objects of one kind offers, as ``FRONT_END``."""

    def problem(self, request: Request) -> Problem:
        """Find the engine for a request, or say what is wrong with it."""

    def gradient(self, request: Request) -> Any:
        """The gradient, in the structure of xs; with aux, where that is asked for."""
        problem = self.problem(request)
        return request.with_aux(problem.for_each_x(problem.engine.gradient), problem.aux)


# --- frameworks ---------------------------------------------------------------------------------


def engine_of(
    function: Products,
    request: Request,
    xs: Sequence[Any],
    output: Shape,
    batch: Sequence[int | None] | None,
    evidence: Evidence | None = None,
) -> FrameworkEngine:
    """The engine of a request by some xs; with `evidence` its products are compared with that."""
    return FrameworkEngine(
        function,
        [(tuple(x.shape), x.dtype) for x in xs],
        output,
        batch=batch,
        each=request.reduction == "none",
        create_graph=bool(request.create_graph),
        block_size=request.block_size,
        progress=request.progress,
        memory=request.options.memory,
        check=checking(request, evidence),
    )


def checking(request: Request, evidence: Evidence | None) -> Check | None:
    """What compares products, as a request asks for it."""
    if evidence is None or request.check is False:
        return None
    return Check(request.check, evidence, request.done)


def graph_problem(
    front_end: FrontEnd,
    graph: Any,
    request: Request,
    tree: Any,
    aux: Any,
    batch: Sequence[int | None] | None,
    fits: Callable[[Any], None] | None,
    evidence: Evidence | None = None,
) -> Problem:
    """What a front end makes of a recorded graph: `Products` that know their `xs` and `root`.

    With `fits`, which refuses values for `at` that are not those of the same problem, ys is a
    function.
    """
    resolved = replace(request, create_graph=graph.create_graph)
    engine = engine_of(graph, resolved, graph.xs, tuple(graph.root.shape), batch, evidence)
    refuse_interacting(engine, request.batch_axis)
    again: Callable[[Any], Problem] | None = None
    if fits is not None:

        def again(new: Any) -> Problem:
            fits(new)
            return front_end.problem(request.at(new))

    return Problem(engine, tree, aux=aux, again=again)


# --- inputs -------------------------------------------------------------------------------------


def check_alike(inputs: Sequence[tuple[str, Any]], *names: str) -> None:
    """One device and one dtype: rows of one x are columns of another."""
    for what in names:
        path_of = {str(getattr(x, what)): path for path, x in reversed(inputs)}
        if len(path_of) > 1:
            (a, here), (b, there) = list(path_of.items())[:2]
            raise ValueError(
                f"all xs must be of one {what}, got {b} for xs{there} and {a} for xs{here}; "
                f"convert them, or ask for the Hessian of each {what} apart"
            )


def check_related(inputs: Iterable[tuple[str, Any]], related: Iterable[bool]) -> None:
    """Refuse an x that ys does not depend on, as ``strict=True`` does."""
    for (path, x), depends in zip(inputs, related, strict=True):
        if not depends:
            raise ValueError(
                f"ys does not depend on xs{path} (shape {tuple(x.shape)}), and strict=True asks "
                "for it; without strict its blocks are zero"
            )


def refuse_interacting(
    engine: Engine,
    batch_axis: Any,
    evidence: str = "the output of another sample depends on sample {}",
) -> None:
    """Refuse a batch whose samples interact; `evidence` says what is known of the sample found."""
    sample = None if batch_axis is None else engine.interacting()
    if sample is not None:
        raise ValueError(
            f"samples interact under batch_axis={batch_axis}: {evidence.format(sample)} (a sum, "
            "mean, sort or product across the batch axis does that, and normalization of a "
            "batch), so there is no Hessian per sample; use batch_axis=None, or "
            'reduction="none" for every pair'
        )


# --- other points -------------------------------------------------------------------------------


def other_structure(expected: str, got: str) -> ValueError:
    """The error for values for `at` in another structure."""
    return ValueError(
        "at() takes new values in the structure of xs, one argument for each x of a tuple: "
        f"{expected}, got {got}"
    )


def other_kind(path: str, expected: str, got: str) -> ValueError:
    """The error for a value for `at` of another shape or dtype."""
    return ValueError(
        f"at() needs {expected} for xs{path}, got {got}; another shape or dtype is another "
        "problem: call lh.hessian again"
    )


def matched(tree: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Each leaf of `tree` with its path, and what stands in `new` in its place."""
    if not is_node(tree):
        if tree is not None or new is not None:
            yield path, tree, new
        return
    keys: Any = tree.keys() if isinstance(tree, dict) else range(len(tree))
    fits = is_node(new) and isinstance(new, dict) == isinstance(tree, dict)
    if not fits or len(new) != len(keys) or (isinstance(new, dict) and new.keys() != keys):
        items = f"keys {list(keys)}" if isinstance(tree, dict) else f"{len(keys)} items"
        got = f"{len(new)} of them" if is_node(new) else "one value"
        raise other_structure(f"xs{path} has {items}", f"{type(new).__name__} with {got}")
    for key in keys:
        yield from matched(tree[key], new[key], f"{path}[{key!r}]")


def check_new(tree: Any, new: Any, check: Callable[[str, Any], None]) -> None:
    """Refuse values for `at` that are those of another problem; `check` refuses other kinds."""
    for path, x, value in matched(tree, new):
        if x is None or is_node(value):
            raise other_structure(f"xs{path} is {_leaf(x)}", f"{type(value).__name__}")
        check(path, value)
        if value.shape != x.shape or value.dtype != x.dtype:
            raise other_kind(path, f"a tensor of {_kind(x)}", _kind(value))


def _leaf(x: Any) -> str:
    return "None" if x is None else "a tensor"


def _kind(x: Any) -> str:
    return f"shape {tuple(x.shape)} and dtype {x.dtype}"
