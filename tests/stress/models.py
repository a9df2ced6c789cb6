"""Hessians of several blocks by every engine, and their dense values.

The function is one, written in few operations that all frameworks have; its inputs are of one, two and
no axes. The dense engine reads random matrices instead, and shares no sweep with any other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import lazyhess as lh
from lazyhess._proxy.hessian import Hessian
from lazyhess._proxy.rows import RowSource
from tests.dense_engine import DenseEngine

SHAPES: tuple[tuple[int, ...], ...] = ((7,), (2, 3), ())
BATCH = 3
ENGINES = ("dense", "numpy", "create_graph", "torch", "torch_graph", "jax", "paddle", "tensorflow")

Blocks = list[list[Hessian[Any]]]
Dense = list[list[np.ndarray]]


@dataclass
class Model:
    """An engine, and what its blocks are."""

    engine: Any
    dense: Dense


def blocks_of(engine: Any, cache: Any) -> Blocks:
    """All blocks over a store of their own."""
    source, n = RowSource(engine, cache), len(engine.shapes)
    return [[Hessian(source, i, j) for j in range(n)] for i in range(n)]


def dense_model(
    seed: int,
    *,
    batch: bool = False,
    passes: int = 3,
    sparse: bool = False,
    shapes: tuple[tuple[int, ...], ...] = SHAPES,
) -> Model:
    """Rows of random matrices."""
    lead = (BATCH,) if batch else ()
    engine = DenseEngine(shapes, lead, sparse=sparse, passes=passes, seed=seed)
    n = range(len(shapes))
    return Model(engine, [[engine.dense(i, j) for j in n] for i in n])


Total = Callable[[Any, tuple[int, ...]], Any]
Constant = Callable[[np.ndarray], Any]


def model(name: str, seed: int, *, batch: bool = False) -> Model:
    """A Hessian of the given engine, in passes of few seeds."""
    if name == "dense":
        return dense_model(seed, batch=batch)
    total, constant, kwargs = OPERATIONS[name]()
    rng = np.random.default_rng(seed)
    weights = [rng.uniform(0.5, 1.5, shape) for shape in (*SHAPES[:2], *SHAPES[:2])]
    lead = (BATCH,) if batch else ()
    xs = [rng.uniform(0.5, 1.5, (*lead, *shape)) for shape in SHAPES]
    options: dict[str, Any] = {"batch_axis": 0 if batch else None, "block_size": 2}

    def function(total: Total, constant: Constant) -> Callable[..., Any]:
        k = len(lead)
        w1, w2, w3, w4 = map(constant, weights)

        def f(a: Any, b: Any, c: Any) -> Any:
            first, second = (k,), (k, k + 1)
            u = total(a * w1, first) + c
            v = total(b * b * w2, second)
            return u * u * u + v * u + v * v + total(a * a * a * w3, first) * total(b * w4, second)

        return f

    own = lh.hessian(function(total, constant), tuple(map(constant, xs)), **options, **kwargs)
    plain = lh.hessian(function(np.sum, np.asarray), tuple(xs), **options)
    return Model(own[0][0]._source.engine, [[np.asarray(block) for block in row] for row in plain])


def _numpy() -> tuple[Total, Constant, dict[str, Any]]:
    return np.sum, np.asarray, {}


def _create_graph() -> tuple[Total, Constant, dict[str, Any]]:
    return np.sum, np.asarray, {"create_graph": True}


def _torch() -> tuple[Total, Constant, dict[str, Any]]:
    import torch

    torch.set_num_threads(1)
    return lambda x, axes: x.sum(dim=axes), lambda x: torch.tensor(x), {}


def _torch_graph() -> tuple[Total, Constant, dict[str, Any]]:
    import torch

    torch.set_num_threads(1)
    return (
        lambda x, axes: x.sum(dim=axes),
        lambda x: torch.tensor(x, requires_grad=True),
        {"create_graph": True},
    )


def _jax() -> tuple[Total, Constant, dict[str, Any]]:
    import jax

    config: Any = jax.config
    config.update("jax_enable_x64", True)
    return jax.numpy.sum, jax.numpy.asarray, {}


def _paddle() -> tuple[Total, Constant, dict[str, Any]]:
    import paddle

    return lambda x, axes: x.sum(axis=list(axes)), lambda x: paddle.to_tensor(x), {}


def _tensorflow() -> tuple[Total, Constant, dict[str, Any]]:
    import tensorflow as tf

    return lambda x, axes: tf.reduce_sum(x, axis=axes), tf.constant, {}


OPERATIONS: dict[str, Callable[[], tuple[Total, Constant, dict[str, Any]]]] = {
    "numpy": _numpy,
    "create_graph": _create_graph,
    "torch": _torch,
    "torch_graph": _torch_graph,
    "jax": _jax,
    "paddle": _paddle,
    "tensorflow": _tensorflow,
}
