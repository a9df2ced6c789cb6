"""What front ends share whose tensors carry a graph.

A `TensorFrontEnd` is the description of a kind of tensors: their class and dtypes, the flag that
says whether they are recorded, what things are called in errors, and how to make the `TensorGraph`
that differentiates one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from lazyhess._engines.check import Evidence
from lazyhess._engines.problem import Problem
from lazyhess._frontends.base import (
    FrontEnd,
    check_alike,
    check_new,
    check_related,
    graph_problem,
)
from lazyhess._frontends.graphs import GIVE_FUNCTION, TensorGraph
from lazyhess._frontends.request import Request, call, no_record, one_output, picked
from lazyhess._record.calls import being_called
from lazyhess._trees import gathered, inside, leaves, rebuild


@dataclass(frozen=True)
class Words:
    """What a framework calls things, in errors."""

    name: str  # of the framework
    tensor: str  # the class of its tensors
    owner: str  # whose tensors they are
    module: str  # what holds parameters
    create: str  # the function that makes a tensor of other arrays
    stack: str  # the one that makes one tensor of several
    complex: str  # the one that makes a complex tensor of its parts
    parts: str  # the parts of a complex ys
    dtypes: str  # by which there are derivatives
    convert: str  # a method, called, that gives such a dtype
    fixed: str  # "xs ... so ys has no derivative by it"
    were_fixed: str  # "or xs ... by then"
    unfix: str  # "..., before computing ys"
    unrecorded: str  # the modes in which nothing is recorded
    inference: str = ""  # the one of them that leaves its mark on tensors


class Prepared(NamedTuple):
    """A request with its output and inputs checked."""

    graph: TensorGraph
    inputs: list[tuple[str, Any]]  # with their paths in xs
    tree: Any  # the structure of xs
    aux: Any
    batch: list[int | None] | None  # the position of the batch axis in each
    function: bool  # whether ys was called, with inputs that nobody else knows


class TensorFrontEnd(FrontEnd):
    """A front end for tensors that carry a graph.

    Attributes
    ----------
    tensor, module : type
        The class of the tensors; and what holds parameters, which is no tensor.
    dicts, lists : type
        The framework's own containers of parameters.
    dtypes : container
        By which there are derivatives.
    alike : tuple of str
        The attributes that all xs have to agree in.
    words : Words
        What things are called.
    """

    tensor: Any
    module: Any
    dicts: Any
    lists: Any
    dtypes: Container[Any]
    alike: tuple[str, ...]
    words: Words

    @abstractmethod
    def recording(self) -> AbstractContextManager[Any]:
        """A context in which operations are recorded, whatever mode the caller is in."""

    @abstractmethod
    def requires_grad(self, x: Any) -> bool:
        """Whether what is computed from a tensor is recorded."""

    @abstractmethod
    def require_grad(self, x: Any) -> Any:
        """The tensor, of which that holds from now on."""

    @abstractmethod
    def sparse(self, x: Any) -> str | None:
        """What a tensor is that is not dense; else None."""

    @abstractmethod
    def graph(
        self,
        root: Any,
        xs: list[Any],
        request: Request,
        tree: Any,
        batch: list[int | None] | None,
    ) -> TensorGraph:
        """The derivatives of an output by some tensors, whose structure is that of `tree`."""

    @abstractmethod
    def strangers(
        self, prepared: Prepared, gradients: Callable[[], Sequence[Any]]
    ) -> Iterator[tuple[str, Any]]:
        """Tensors that were computed from others, but are not on the way to ys.

        A leaf that ys does not use has a Hessian of zero; a view such as ``w[0]``, made for this
        call, is never what was meant.
        """

    def problem(self, request: Request) -> Problem:
        prepared = self.prepare(request)
        graph = prepared.graph
        self._check_related(prepared, lambda: graph.recorded(None).gradients, request.strict)
        fits: Callable[[Any], None] | None = None
        if prepared.function:

            def fits(new: Any) -> None:
                check_new(prepared.tree, self.containers(new), self.check_kind)

        evidence = self._evidence(prepared, request)
        return graph_problem(
            self, graph, request, prepared.tree, prepared.aux, prepared.batch, fits, evidence
        )

    def _evidence(self, prepared: Prepared, request: Request) -> Evidence:
        """What there is to compare second derivatives with."""

        def repeat(values: list[Any]) -> tuple[Any, Sequence[Any]]:
            values = [self.require_grad(x) for x in values]
            rest = iter(values)
            moved = replace(
                request.at(rebuild(prepared.tree, lambda _: next(rest))), create_graph=False
            )
            with self.recording(), self.undisturbed():
                ys, _, _ = call(moved, lambda x: x, self._plain)
                root = one_output(
                    ys, request.reduction, self._output_of_function, self._total, self.words.stack
                )
                graph = self.graph(root, values, moved, prepared.tree, prepared.batch)
                return root, graph.differentiate(None, create_graph=False, retain_graph=False)

        again = prepared.function and not self.changes(prepared.graph)
        return Evidence(
            owner=self.words.name,
            paths=[path for path, _ in prepared.inputs],
            repeat=repeat if again else None,
            suspects=lambda: self.suspects(prepared.graph),
        )

    def undisturbed(self) -> AbstractContextManager[Any]:
        """A context after which random numbers go on as before."""
        return nullcontext()

    def changes(self, graph: Any) -> bool:
        """Whether another call of what was recorded would change something."""
        return False

    def suspects(self, graph: Any) -> Sequence[str]:
        """The operations between xs and ys whose second derivatives may be wrong, by name."""
        return ()

    def gradient(self, request: Request) -> Any:
        prepared = self.prepare(request)
        graph = prepared.graph
        create = graph.create_graph
        gradients = graph.differentiate(
            None, create_graph=create, retain_graph=create or not prepared.function
        )
        self._check_related(prepared, lambda: gradients, request.strict)
        parts = iter(graph.completed(gradients))
        answer = rebuild(prepared.tree, lambda _: next(parts))
        return request.with_aux(answer, prepared.aux)

    def is_function(self, ys: Any) -> bool:
        return callable(ys) and not isinstance(ys, self.tensor)

    def containers(self, tree: Any) -> Any:
        """The framework's own containers of parameters, and iterators, as plain ones."""
        if isinstance(tree, self.dicts):
            tree = dict(tree.items())
        elif isinstance(tree, self.lists):
            tree = tuple(tree)
        return inside(gathered(tree), self.containers)

    def prepare(self, request: Request) -> Prepared:
        """Call a function, and check the output and the inputs."""
        ys, xs, aux = request.ys, self.containers(request.xs), None
        function = self.is_function(ys)
        if function:
            request = request.at(xs) if request.argnums is None else request
            for path, x in leaves(self.containers(picked(request))):
                self.check_kind(path, x)
            keeps = request.recorded()
            plain = self._same if keeps and being_called() else self._plain
            with self.recording():
                ys, xs, aux = call(request, self._linked if keeps else self._fresh, plain)
        else:
            request.needs_callable()
        inputs = list(leaves(xs))
        for path, x in inputs:
            self._check_input(path, x)
        check_alike(inputs, *self.alike)

        check = self._output_of_function if function else self._output_of_graph
        root = one_output(ys, request.reduction, check, self._total, self.words.stack)
        batch = request.batch_axes(tuple(root.shape), inputs)
        request = replace(
            request,
            create_graph=request.recorded(
                lambda: not function or self.reaches(root, [x for _, x in inputs])
            ),
        )
        graph = self.graph(root, [x for _, x in inputs], request, xs, batch)
        return Prepared(graph, inputs, xs, aux, batch, function)

    def reaches(self, root: Any, xs: Sequence[Any]) -> bool:
        """Whether an output of a function, or one of its inputs, depends on other tensors."""
        return True

    def inference(self, x: Any) -> bool:
        """Whether a tensor is one of a mode in which nothing can be recorded, even later."""
        return False

    @staticmethod
    def _same(x: Any) -> Any:
        return x

    def _fresh(self, x: Any) -> Any:
        """A copy to differentiate by, which no later change of x reaches."""
        return self.require_grad(x.detach().clone())

    def _linked(self, x: Any) -> Any:
        """One that still depends on x, so that what comes out can be differentiated by x."""
        return x.clone() if self.requires_grad(x) else self._fresh(x)

    def _plain(self, x: Any) -> Any:
        return x.detach().clone() if isinstance(x, self.tensor) else x

    def _total(self, parts: list[Any]) -> Any:
        with self.recording():
            return sum(part.sum() for part in parts)

    def check_kind(self, path: str, x: Any) -> None:
        """Refuse what cannot be differentiated by."""
        words = self.words
        if isinstance(x, self.module):
            raise TypeError(
                f"xs{path} is a {words.module} ({type(x).__name__}); give its parameters: "
                f"dict({words.module}.named_parameters()) or tuple({words.module}.parameters())"
            )
        if not isinstance(x, self.tensor):
            raise TypeError(
                f"xs{path} must be a {words.tensor} like the others, got {type(x).__name__}; make "
                f"it with {words.create}(...)"
            )
        if x.is_complex():
            raise TypeError(
                f"xs{path} has dtype {x.dtype}: Hessians of {words.owner} tensors are by real xs; "
                f"take real and imaginary part as two xs, {words.complex}(a, b) in the function"
            )
        if x.dtype not in self.dtypes:
            raise TypeError(
                f"xs{path} must be of dtype {words.dtypes}, got a tensor of shape "
                f"{tuple(x.shape)} and dtype {x.dtype}, which has no derivatives here; convert it, "
                f"x{words.convert}, before computing ys"
            )
        sparse = self.sparse(x)
        if sparse is not None:
            raise TypeError(f"xs{path} must be dense, got {sparse}; x.to_dense()")

    def _check_input(self, path: str, x: Any) -> None:
        self.check_kind(path, x)
        if self.inference(x):
            raise ValueError(
                f"xs{path} (shape {tuple(x.shape)}, dtype {x.dtype}) was made under "
                f"{self.words.inference}, so nothing computed from it is recorded; "
                f"make it outside of that, or give {GIVE_FUNCTION[5:]}"
            )
        if not self.requires_grad(x):
            raise ValueError(
                f"xs{path} (shape {tuple(x.shape)}, dtype {x.dtype}) {self.words.fixed}, so ys has "
                "no derivative by it (a detached copy is another tensor, too); "
                f"{self.words.unfix} before computing ys, or {GIVE_FUNCTION}"
            )

    def _output_of_function(self, ys: Any) -> Any:
        return self._output(ys, True)

    def _output_of_graph(self, ys: Any) -> Any:
        return self._output(ys, False)

    def _output(self, ys: Any, function: bool) -> Any:
        """An output that can be differentiated."""
        words = self.words
        if not isinstance(ys, self.tensor):
            way = "return the tensor itself" if function else GIVE_FUNCTION
            detached = f".item(), .numpy(), {words.unrecorded}"
            raise no_record(f"{type(ys).__name__}, which is no {words.tensor}", detached, way)
        if ys.is_complex():
            raise TypeError(
                f"ys has dtype {ys.dtype}; take its real or imaginary part, {words.parts}"
            )
        got = f"a tensor of shape {tuple(ys.shape)} and dtype {ys.dtype}"
        if self.requires_grad(ys):
            if ys.dtype not in self.dtypes:
                raise TypeError(
                    f"ys must be of dtype {words.dtypes}, got {ys.dtype}; ys{words.convert}"
                )
            return ys
        detached = f".detach(), .item(), .numpy(), {words.unrecorded}"
        if self.inference(ys):
            got += f", made under {words.inference}"
        if function:
            raise no_record(got, detached, "return the floating tensor that was computed from xs")
        way = f"compute it again with its graph, or {GIVE_FUNCTION}"
        raise no_record(got, f"{detached}; or xs {words.were_fixed} by then", way)

    def _check_related(
        self, prepared: Prepared, gradients: Callable[[], Sequence[Any]], strict: bool
    ) -> None:
        """Refuse xs that ys was not computed from, where they should be on the way to it."""
        if not prepared.function:
            for path, x in self.strangers(prepared, gradients):
                raise ValueError(
                    f"xs{path} (shape {tuple(x.shape)}) is no leaf, and ys was not computed from "
                    "it: an expression such as w[0] makes a new tensor each time; make it before "
                    "computing ys, and compute ys from it"
                )
        if strict:
            check_related(prepared.inputs, [g is not None for g in gradients()])
