"""Random requests of a block, and what their answers have to be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lazyhess._proxy.hessian import Hessian
from tests.helpers import numbers
from tests.stress.models import Blocks, Dense

Ask = tuple[str, Callable[[], Any], np.ndarray]


def random_index(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """An index of some form: integers, slices of any step, arrays, masks, points, or everything."""
    if not shape:
        return ()
    form = rng.choice(["axes", "points", "mask", "all", "slice", "reversed"])
    if form == "all":
        return ...
    if form == "reversed":
        return slice(None, None, -1)
    if form == "slice":
        start = int(rng.integers(0, shape[0]))
        return slice(start, start + int(rng.integers(1, 6)))
    if form == "mask":
        return rng.random(shape[0]) < 0.4
    if form == "points":
        count = int(rng.integers(1, 5))
        return tuple(rng.integers(0, n, count) for n in shape)
    arrays = 0
    index: list[Any] = []
    for n in shape:
        kind = rng.choice(["full", "integer", "slice", "array"], p=[0.45, 0.25, 0.2, 0.1])
        if kind == "array" and not arrays:
            arrays += 1
            index.append(rng.permutation(n)[: rng.integers(1, 4)])
        elif kind == "integer":
            index.append(int(rng.integers(-n, n)))
        elif kind == "slice":
            start, step = int(rng.integers(0, n)), int(rng.choice([1, 2, -1]))
            index.append(slice(start, None, step))
        else:
            index.append(slice(None))
    if rng.random() < 0.1:
        index = [*index[: rng.integers(0, len(index))], ..., None]
    return tuple(index)


def random_ask(
    rng: np.random.Generator, blocks: Blocks, dense: Dense, *, products: bool = True
) -> Ask:
    """A request of a random block: what it is, what makes it, and its answer."""
    i, j = (int(k) for k in rng.integers(0, len(blocks), 2))
    block: Hessian[Any] = blocks[i][j]
    want = dense[i][j]
    kind = rng.random()
    if kind < 0.05 and i == j:
        size, lead = want.ndim, block._source.engine.lead
        n = int(np.prod(want.shape[len(lead) : (size + len(lead)) // 2], dtype=int))
        matrix = want.reshape(-1, n, n)
        shape = want.shape[: (size + len(lead)) // 2]
        return f"H[{i}][{j}].diagonal()", block.diagonal, matrix.diagonal(0, 1, 2).reshape(shape)
    if products and kind < 0.1 and want.ndim == 2:
        vector: np.ndarray = rng.normal(size=(want.shape[1],))
        own = block._source.engine.arrays.from_numpy(vector, block.dtype)
        return f"H[{i}][{j}] @ v", lambda: block @ own, want @ vector
    name = f"H[{i}][{j}]"
    if kind > 0.9:
        name, block, want = f"{name}.T", block.T, want.T
    index = random_index(rng, want.shape)
    return f"{name}[{index}]", lambda: block[index], want[index]


def difference(got: Any, want: np.ndarray) -> str:
    """What is wrong with an answer; empty where nothing is."""
    got = numbers(got)
    if got.shape != want.shape:
        return f"shape {got.shape}, expected {want.shape}"
    gap = np.abs(got - want)
    worst = float(gap.max(initial=0))
    if worst <= 1e-9 * max(1.0, float(np.abs(want).max(initial=0))):
        return ""
    places = np.argwhere(~(gap <= 1e-9))[:3].tolist()
    return f"off by {worst:.3g} at {places} of {got.shape}"


def wrong_blocks(blocks: Blocks, dense: Dense) -> str:
    """What is wrong with the blocks, each asked as a whole."""
    for i, row in enumerate(blocks):
        for j, block in enumerate(row):
            if text := difference(block[...], dense[i][j]):
                return f"H[{i}][{j}][...]: {text}"
    return ""
