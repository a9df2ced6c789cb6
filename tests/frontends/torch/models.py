"""Models in torch, each a scalar function and the tensors it is differentiated by."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn
from torch.func import functional_call

DOUBLE = torch.float64


def normal(*shape, seed=0, dtype=DOUBLE):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def network(*sizes, dtype=DOUBLE):
    """Layers named ``fc1``, ``fc2``, ..."""
    torch.manual_seed(0)
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for k in range(1, len(sizes)):
        parts[f"fc{k}"] = nn.Linear(sizes[k - 1], sizes[k])
        parts[f"tanh{k}"] = nn.Tanh()
    parts.popitem()  # of the last layer
    return nn.Sequential(parts).to(dtype)


def mlp():
    X, labels = normal(9, 4, seed=1), torch.arange(9) % 3

    def loss(w1, b1, w2, b2):
        return nn.functional.cross_entropy(torch.tanh(X @ w1 + b1) @ w2 + b2, labels)

    return loss, (normal(4, 5), normal(5, seed=2), normal(5, 3, seed=3), normal(3, seed=4))


def attention():
    X = normal(2, 4, 6, seed=1)

    def loss(inner, outer):
        q, k, v = (X @ inner).reshape(2, 4, 3, 2, 3).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-1, -2) / 3**0.5, dim=-1)
        return (X + (weights @ v).transpose(1, 2).reshape(2, 4, 6) @ outer).pow(4).sum()

    return loss, (normal(6, 18) / 3, normal(6, 6, seed=2) / 3)


def logistic():
    X, t = normal(30, 7, seed=1), (normal(30, seed=2) > 0).double()

    def loss(w, b):
        return nn.functional.binary_cross_entropy_with_logits(X @ w + b, t)

    return loss, (normal(7), normal(()))


def loop():
    def loss(x):
        total = 0.0
        for k in range(len(x) - 1):
            total = total + (x[k + 1] - x[k] ** 2) ** 2 * torch.sin(x[k])
        return total

    return loss, (normal(8),)


def pairs():
    first, second = torch.triu_indices(6, 6, 1)

    def energy(x):
        apart = x[first] - x[second]
        inverse = 1 / apart.pow(2).sum(1) ** 3
        return (inverse**2 - inverse).sum()

    return energy, (normal(6, 3) * 2,)


def recurrent():
    """A matrix times vectors, again and again."""

    def loss(W, h):
        for _ in range(4):
            h = torch.tanh(W @ h)
        return h.pow(3).sum()

    return loss, (normal(5, 5), normal(5, seed=1))


def convolution():
    images = normal(2, 1, 6, 6, seed=1)

    def loss(kernel, bias):
        h = nn.functional.softplus(nn.functional.conv2d(images, kernel, bias))
        return nn.functional.avg_pool2d(h, 2).pow(3).sum()

    return loss, (normal(3, 1, 3, 3), normal(3, seed=2))


def gaussian_process():
    Y = normal(6, 2, seed=1)

    def loss(Z, hyper):
        apart = (Z[:, None] - Z[None]).pow(2).sum(-1) / torch.exp(hyper[1])
        K = torch.exp(hyper[0] - apart / 2) + torch.exp(hyper[2]) * torch.eye(6, dtype=DOUBLE)
        return ((Y * torch.linalg.solve(K, Y)).sum() + 2 * torch.linalg.slogdet(K)[1]) / 2

    return loss, (normal(6, 2), torch.tensor([0.1, 0.2, -1.0], dtype=DOUBLE))


def normalized():
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.GELU(), nn.Linear(5, 2)).double()
    names, X = [name for name, _ in model.named_parameters()], normal(7, 4, seed=1)

    def loss(*values):
        made = functional_call(model, dict(zip(names, values, strict=True)), (X,))
        return torch.logsumexp(made, 1).sum()

    return loss, tuple(p.detach().clone() for p in model.parameters())


ALL = {
    f.__name__: f
    for f in (
        mlp,
        attention,
        logistic,
        loop,
        pairs,
        recurrent,
        convolution,
        gaussian_process,
        normalized,
    )
}
