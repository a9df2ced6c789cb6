"""The calls that `tests.benchmarks.requests` times, in a process of its own.

Run by its path, it times the lazyhess of the checkout that is on PYTHONPATH. Each line on standard
input is a name of `CALLS` and its arguments, and is answered with one line of JSON. Of this folder
it imports nothing: the other checkout may not have it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from math import prod
from statistics import median
from typing import Any

import numpy as np

import lazyhess as lh
from lazyhess._engines.arrays import NumpyArrays
from lazyhess._proxy.hessian import Hessian
from lazyhess._proxy.rows import RowSource

# Calls are repeated for so many seconds, and so often at least.
SECONDS, CALLS_AT_LEAST = 0.05, 21
BYTES = 4 << 30


# --- requests to an engine that costs nothing ----------------------------------------------------


class FreeEngine:
    """Rows that were there before anybody asked: what a request costs is the proxy's own."""

    def __init__(self, shapes: tuple[tuple[int, ...], ...]) -> None:
        rng = np.random.default_rng(0)
        self.shapes, self.lead = shapes, ()
        self.dtypes = (np.dtype(float),) * len(shapes)
        self.create_graph = False
        self.checks = 0
        self.arrays = NumpyArrays()
        sizes = [prod(shape) for shape in shapes]
        made = rng.normal(size=(sum(sizes), sum(sizes)))
        ends = np.cumsum(sizes)
        spans = [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]
        made += made.T.copy()
        self.blocks = [[np.ascontiguousarray(made[a, b]) for b in spans] for a in spans]
        for block in (block for row in self.blocks for block in row):
            block.flags.writeable = False

    def products(self, i: int, rows: Any) -> int:
        return len(rows)

    def along(self, i: int, j: int) -> tuple[int, ...]:
        return tuple(k for k in range(len(self.shapes)) if k != j)

    def rows(
        self, i: int, rows: Any, columns: tuple[int, ...]
    ) -> Iterator[tuple[Any, dict[int, Any]]]:
        if len(rows) == len(self.blocks[i][i]):
            yield rows, {j: self.blocks[i][j] for j in columns}
        else:
            yield rows, {j: self.blocks[i][j][rows] for j in columns}


Ask = Callable[[list[list[Any]], int], Any]
# What is asked of one block (n, n): a function of the index objects, made once.
INDICES: dict[str, Callable[[int], Any]] = {
    "row H[k]": lambda n: n // 2,
    "column H[:, k]": lambda n: (slice(None), n // 2),
    "slice H[3:5]": lambda n: slice(3, 5),
    "slice H[3:5, 2:9]": lambda n: (slice(3, 5), slice(2, 9)),
    "scalar H[3, 2]": lambda n: (3, 2),
    "5 x 5 H[np.ix_(I, J)]": lambda n: np.ix_(*_five(n)),
    "5 x 5 H[I[:, None], J]": lambda n: (_five(n)[0][:, None], _five(n)[1]),
    "pointwise H[I, J]": lambda n: _five(n),
    "whole H[...]": lambda n: ...,
}
SEVERAL = "of 3 x 3 blocks: "


def _five(n: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(n)
    return rng.permutation(n)[:5], rng.permutation(n)[:5]


def questions() -> list[str]:
    """The names of what `request` can be asked."""
    return [
        *INDICES, "diagonal()", "row H[k], kept one by one", "slice H[3:5], kept one by one",
        "whole, kept one by one", "whole, unknown", "row H[k], unknown",
        SEVERAL + "row H[k]", SEVERAL + "all blocks", SEVERAL + "all blocks, unknown",
    ]  # fmt: skip


@cache
def engine(n: int, blocks: int = 1) -> FreeEngine:
    return FreeEngine(((n,),) * blocks)


def blocks_of(engine: FreeEngine) -> list[list[Any]]:
    source = RowSource(engine, BYTES)
    count = range(len(engine.shapes))
    return [[Hessian(source, i, j) for j in count] for i in count]


@cache
def prepared(question: str, n: int) -> Callable[[], Callable[[], Any]]:
    """What makes a call ready, which is not timed, and gives it."""
    if question.startswith(SEVERAL):
        what, free = question.removeprefix(SEVERAL), engine(n, 3)

        def everything(H: list[list[Any]]) -> list[Any]:
            return [block[...] for row in H for block in row]

        if what == "all blocks, unknown":
            return lambda: _on(everything, blocks_of(free))
        H = blocks_of(free)
        everything(H)
        row = _on(lambda block: block[n // 2], H[0][1])
        call = row if what == "row H[k]" else _on(everything, H)
        return lambda: call
    free = engine(n)
    what, _, how = question.partition(", ")
    whole, row_number = ..., n // 2
    if how == "unknown":
        index = whole if what == "whole" else row_number
        return lambda: _on(lambda block: block[index], blocks_of(free)[0][0])
    H = blocks_of(free)[0][0]
    if how == "kept one by one":
        for k in range(n):
            H[k]
        index = {"whole": whole, "row H[k]": row_number, "slice H[3:5]": slice(3, 5)}[what]
    else:
        H[...]
        if what == "diagonal()":
            return lambda: H.diagonal
        index = INDICES[question](n)
    return lambda: lambda: H[index]


def _on(function: Callable[[Any], Any], x: Any) -> Callable[[], Any]:
    return lambda: function(x)


def request(question: str, n: str) -> dict[str, Any]:
    """Seconds of a request, and of copying its answer."""
    ready = prepared(question, int(n))
    times = repeated(ready)
    answer = ready()()
    parts = answer if isinstance(answer, list) else [answer]
    copies = repeated(lambda: lambda: [np.copy(part) for part in parts])
    return {
        "seconds": median(times), "least": min(times), "copy": median(copies),
        "bytes": sum(np.asarray(part).nbytes for part in parts),
    }  # fmt: skip


def repeated(ready: Callable[[], Callable[[], Any]]) -> list[float]:
    """The times of calls, after one that is not counted."""
    times: list[float] = []
    until = time.perf_counter() + SECONDS
    while len(times) <= CALLS_AT_LEAST or time.perf_counter() < until:
        call = ready()
        start = time.perf_counter()
        answer = call()  # its memory is given back after the clock has stopped
        times.append(time.perf_counter() - start)
        del answer
    return times[1:]


# --- row by row ----------------------------------------------------------------------------------


ROWS: dict[str, Callable[[Any], Any]] = {
    "dense": lambda x: np.sum(x**3) * np.sum(x),
    "banded": lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2),
}


def row_by_row(function: str, n: str) -> dict[str, Any]:
    """Seconds for a row in the first, the middle and the last tenth: unknown, then known."""
    size = int(n)
    H = lh.hessian(ROWS[function], np.linspace(0, 1, size), cache="4GiB")
    made = {}
    peak_memory(reset=True)
    for what in ("unknown", "known"):
        times, answers = np.empty(size), []
        for k in range(size):
            start = time.perf_counter()
            answers.append(H[k])
            times[k] = time.perf_counter() - start
        tenth, middle = size // 10, size // 2
        parts = times[:tenth], times[middle - tenth // 2 : middle + tenth // 2], times[-tenth:]
        made[what] = [float(np.median(part)) for part in parts]
        made[f"{what} sum"] = float(times.sum())
        del answers
    return {**made, "seconds": made["unknown sum"], "memory": peak_memory()}


# --- all blocks of a model -----------------------------------------------------------------------


def all_blocks(order: str) -> dict[str, Any]:
    """Each block of the Hessian of an MLP of 1715 parameters, as one writes it and backwards."""
    from tests.benchmarks.workloads import make

    work = make("mlp")
    H = lh.hessian(lambda *xs: work.function(np, *xs), work.xs)
    count = range(len(work.xs))
    pairs = [(i, j) for i in count for j in count]
    if order == "backwards":
        pairs.reverse()
    if order == "by columns":
        pairs = [(j, i) for i, j in pairs]
    peak_memory(reset=True)
    start = time.perf_counter()
    made = [np.asarray(H[i][j]) for i, j in pairs]
    seconds = time.perf_counter() - start
    products = H[0][0].cache_info().products
    del made
    return {"seconds": seconds, "memory": peak_memory(), "products": products}


# --- the last layer of a model -------------------------------------------------------------------


@cache
def torch_model() -> tuple[Any, dict[str, Any]]:
    import torch

    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(8, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Flatten(), torch.nn.Linear(256, 32), torch.nn.Tanh(), torch.nn.Linear(32, 10),
    )  # fmt: skip
    images, labels = torch.randn(64, 3, 16, 16), torch.randint(0, 10, (64,))
    return lambda: torch.nn.functional.cross_entropy(net(images), labels), dict(
        net.named_parameters()
    )


def last_layer_torch(how: str) -> dict[str, Any]:
    import torch

    loss, parameters = torch_model()
    last = list(parameters)[-2]  # the weights; the bias comes after

    def by_hand() -> Any:
        w = parameters[last]
        (gradient,) = torch.autograd.grad(loss(), w, create_graph=True)
        seeds = torch.eye(w.numel()).reshape(-1, *w.shape)
        (made,) = torch.autograd.grad(gradient, w, seeds, is_grads_batched=True)
        return made.reshape(*w.shape, *w.shape).numpy()

    def ours() -> Any:
        return lh.hessian(loss(), parameters)[last][last][...].numpy()

    return timed(by_hand if how == "by hand" else ours)


@cache
def jax_model() -> tuple[Any, dict[str, Any]]:
    import jax

    def layer(number: int, *shape: int) -> Any:
        scale = prod(shape[1:] if len(shape) == 4 else shape[:1]) ** -0.5
        return scale * jax.random.normal(jax.random.PRNGKey(number), shape)

    parameters = {
        "conv1": layer(0, 8, 3, 3, 3), "conv2": layer(1, 16, 8, 3, 3),
        "hidden": layer(2, 256, 32), "last": layer(3, 32, 10), "bias": layer(4, 10),
    }  # fmt: skip
    images = jax.random.normal(jax.random.PRNGKey(5), (64, 3, 16, 16))
    labels = jax.random.randint(jax.random.PRNGKey(6), (64,), 0, 10)

    def loss(p: Any) -> Any:
        h = images
        for name in ("conv1", "conv2"):
            h = jax.nn.relu(jax.lax.conv(h, p[name], (1, 1), "SAME"))
            h = jax.lax.reduce_window(h, -np.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
        z = jax.numpy.tanh(h.reshape(64, -1) @ p["hidden"]) @ p["last"] + p["bias"]
        return -jax.nn.log_softmax(z)[jax.numpy.arange(64), labels].mean()

    return loss, parameters


@cache
def jax_by_hand() -> Any:
    import jax

    loss, _ = jax_model()
    return jax.jit(lambda p: jax.hessian(lambda w: loss({**p, "last": w}))(p["last"]))


def last_layer_jax(how: str) -> dict[str, Any]:
    loss, parameters = jax_model()
    if how == "by hand":
        return timed(lambda: np.asarray(jax_by_hand()(parameters)))
    return timed(lambda: np.asarray(lh.hessian(loss, parameters)["last"]["last"]))


def timed(call: Callable[[], Any]) -> dict[str, Any]:
    peak = peak_memory(reset=True)
    start = time.perf_counter()
    answer = call()
    seconds = time.perf_counter() - start
    now = peak_memory()
    memory = None if now is None or peak is None else now - peak
    return {"seconds": seconds, "memory": memory, "trace": float(np.sum(answer**2))}


# --- one process ---------------------------------------------------------------------------------


def peak_memory(reset: bool = False) -> int | None:
    """In bytes, of this process alone, since it was set back."""
    if reset:
        with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    try:
        with open("/proc/self/status", encoding="utf-8") as status:
            return next(int(line.split()[1]) * 1024 for line in status if "VmHWM" in line)
    except (OSError, StopIteration):
        return None


CALLS: dict[str, Callable[..., dict[str, Any]]] = {
    "request": request,
    "row_by_row": row_by_row,
    "all_blocks": all_blocks,
    "last_layer_torch": last_layer_torch,
    "last_layer_jax": last_layer_jax,
}


def main() -> None:
    # Frameworks print where they like; the answers go where nothing else does.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(**answer: Any) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    tell(ready=True, root=lh.__file__)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            tell(**CALLS[name](*arguments))
        except Exception as error:
            tell(failed=f"{type(error).__name__}: {error}".splitlines()[0][:120])


if __name__ == "__main__":
    main()
