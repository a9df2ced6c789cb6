"""Functions of Paddle's tensors, of operations that Paddle itself can differentiate three times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle

Function = Callable[..., Any]


def tensor(a: Any, dtype: str = "float64", trained: bool = True) -> Any:
    made = paddle.to_tensor(np.asarray(a), dtype=dtype)
    made.stop_gradient = not trained
    return made


_RNG = np.random.default_rng(7)
_X, _LABELS = _RNG.normal(size=(6, 3)), np.array([0, 1, 1, 0, 2, 1])


def polynomial(x: Any) -> Any:
    return paddle.sum(x**3) * paddle.sum(x[1:] * x[:-1])


def loop(x: Any) -> Any:
    total = x[0]
    for k in range(4):
        total = total + (x[k + 1] - x[k] * x[k]) ** 2 * paddle.sin(x[k])
    return total


def picked(x: Any) -> Any:
    i, j = paddle.to_tensor([0, 2, 2, 4]), paddle.to_tensor([1, 0, 3, 4])
    return paddle.sum((x[i] * x[j]) ** 3)


def branches(x: Any) -> Any:
    return paddle.sum(paddle.where(x > 0, x**3, x**2)) * paddle.sum(paddle.tanh(x))


def softmax(x: Any) -> Any:
    e = paddle.exp(x)
    e = e * paddle.exp(-paddle.log(paddle.sum(e)))
    return paddle.sum(e * e)


VECTORS = {f.__name__: f for f in (polynomial, loop, picked, branches, softmax)}


def mlp(parameters: dict[str, Any]) -> Any:
    """A perceptron with cross-entropy, by its named parameters."""
    z = paddle.tanh(tensor(_X, trained=False) @ parameters["w"] + parameters["b"])
    z = z @ parameters["out"]
    logs = z - paddle.log(paddle.sum(paddle.exp(z), 1, keepdim=True))
    return -paddle.sum(logs * tensor(np.eye(3)[_LABELS], trained=False))


def mlp_parameters() -> dict[str, Any]:
    rng = np.random.default_rng(8)
    shapes = {"w": (3, 4), "b": (4,), "out": (4, 3)}
    return {name: tensor(rng.normal(size=shape)) for name, shape in shapes.items()}


def attention(q: Any, k: Any, v: Any) -> Any:
    """One head."""
    scores = paddle.exp(q @ paddle.transpose(k, [1, 0]) / 2.0)
    scores = scores * paddle.exp(-paddle.log(paddle.sum(scores, 1, keepdim=True)))
    made = scores @ v
    return paddle.sum(made * made)


def attention_inputs() -> tuple[Any, ...]:
    rng = np.random.default_rng(9)
    return tuple(tensor(rng.normal(size=shape)) for shape in ((3, 2), (4, 2), (4, 2)))


def dense(function: Function, xs: tuple[Any, ...]) -> list[list[Any]]:
    """Paddle's Hessian of one vector of all inputs, as blocks of NumPy."""
    sizes = [x.size for x in xs]
    ends = np.cumsum([0, *sizes])
    flat = tensor(np.concatenate([x.numpy().reshape(-1) for x in xs]))
    parts = [
        flat[int(a) : int(b)].reshape(x.shape) for a, b, x in zip(ends, ends[1:], xs, strict=False)
    ]
    H = paddle.autograd.hessian(function(*parts), flat)[:].numpy()
    return [
        [
            H[ends[i] : ends[i + 1], ends[j] : ends[j + 1]].reshape((*xs[i].shape, *xs[j].shape))
            for j in range(len(xs))
        ]
        for i in range(len(xs))
    ]
