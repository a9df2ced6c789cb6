"""Random recorded programs, every block against jax.hessian."""

import os

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.jax.compare import compare

# A longer run: LAZYHESS_PROGRAMS=20000 python -m pytest tests/jax/test_random_programs.py
PROGRAMS = int(os.environ.get("LAZYHESS_PROGRAMS", "60"))

UNARY = [
    lambda np, v: np.sin(v), lambda np, v: np.tanh(v), lambda np, v: np.exp(-v * v),
    lambda np, v: np.log1p(v * v), lambda np, v: np.sqrt(1 + v * v), lambda np, v: v**3 / 10,
    lambda np, v: 1 / (2 + np.cos(v)), lambda np, v: np.arctan(v), lambda np, v: np.where(v > 0.1, v * v, v),
    lambda np, v: np.maximum(v, 0.3 * v), lambda np, v: np.clip(v, -0.8, 0.9) * v, lambda np, v: 0.5 * v - 1,
    lambda np, v: np.abs(v) ** 1.5, lambda np, v: np.logaddexp(v, 0.2),
]  # fmt: skip
BINARY = [
    lambda np, a, b: a + b, lambda np, a, b: a * b, lambda np, a, b: a - b / 2,
    lambda np, a, b: a / (2 + b * b), lambda np, a, b: np.hypot(a, 1 + np.abs(b)),
    lambda np, a, b: np.arctan2(a, 1.5 + b * b), lambda np, a, b: np.minimum(a, b),
    lambda np, a, b: np.logaddexp(a, b),
]  # fmt: skip


@st.composite
def programs(draw):
    """Inputs, and steps of (operation, operands) with parameters that fit the shapes."""
    shapes = draw(
        st.lists(st.lists(st.integers(0, 3), max_size=3).map(tuple), min_size=1, max_size=3)
    )
    known, steps = list(shapes), []
    for _ in range(draw(st.integers(1, 9))):
        a = draw(st.integers(0, len(known) - 1))
        shape = known[a]
        kind = draw(st.sampled_from("unary binary binary reduce move index join matmul".split()))
        if kind == "unary":
            k = draw(st.integers(0, len(UNARY) - 1))
            steps.append((lambda np, v, k=k, a=a: UNARY[k](np, v[a])))
        elif kind == "binary":
            fits = [b for b, other in enumerate(known) if _broadcasts(shape, other)]
            b = draw(st.sampled_from(fits))
            k = draw(st.integers(0, len(BINARY) - 1))
            steps.append(lambda np, v, k=k, a=a, b=b: BINARY[k](np, v[a], v[b]))
        elif kind == "reduce" and shape:
            axis = draw(st.none() | st.integers(-len(shape), len(shape) - 1))
            keep = draw(st.booleans())
            name = draw(st.sampled_from(["sum", "mean", "cumsum", "prod"]))
            if name == "mean" and 0 in shape:
                name = "sum"
            extra = {} if name == "cumsum" else {"keepdims": keep}
            steps.append(
                lambda np, v, a=a, n=name, x=axis, e=extra: getattr(np, n)(v[a], axis=x, **e)
            )
        elif kind == "move" and shape:
            order = draw(st.permutations(range(len(shape))))
            flip = draw(st.booleans())
            flat = draw(st.booleans())

            def move(np, v, a=a, order=order, flip=flip, flat=flat):
                w = np.transpose(v[a], order)
                w = np.flip(w, 0) if flip else np.roll(w, 1)
                return np.reshape(w, (-1,)) if flat and w.size else w

            steps.append(move)
        elif kind == "index" and shape and shape[0]:
            n = shape[0]
            index = draw(
                st.integers(-n, n - 1)
                | st.lists(st.integers(0, n - 1), min_size=1, max_size=4)
                | st.sampled_from([slice(None, None, -1), slice(1, None), None, (Ellipsis, None)])
            )
            fixed = np.array(index) if isinstance(index, list) else index
            steps.append(lambda np, v, a=a, index=fixed: v[a][index])
        elif kind == "join" and shape:
            axis = draw(st.integers(0, len(shape) - 1))
            steps.append(lambda np, v, a=a, x=axis: np.concatenate([v[a], np.sin(v[a])], axis=x))
        elif kind == "matmul" and len(shape) == 2:
            steps.append(lambda np, v, a=a: v[a] @ v[a].T)
        else:
            continue
        point = [np.zeros(s) for s in known]
        known.append(np.shape(steps[-1](np, point)))
        if np.prod(known[-1]) > 60:
            known.pop()
            steps.pop()
    seed = draw(st.integers(0, 2**31))
    return shapes, steps, seed


def _broadcasts(a, b):
    try:
        return bool(np.broadcast_shapes(a, b) is not None)
    except ValueError:
        return False


@given(programs())
@settings(max_examples=PROGRAMS)
def test_random_programs(program):
    shapes, steps, seed = program
    rng = np.random.default_rng(seed)
    xs = [rng.uniform(-1.5, 1.5, shape) for shape in shapes]

    def run(np, *xs):
        values = list(xs)
        for step in steps:
            values.append(step(np, values))
        # Everything counts, the last one most.
        return sum((k + 1) * np.sum(v) for k, v in enumerate(values[len(xs) :])) + 0.0 * np.sum(
            values[0]
        )

    compare(run, *xs)
