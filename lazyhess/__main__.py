"""``python -m lazyhess``: a guided demonstration on real data."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import lazyhess as lh
from lazyhess._demo import crystal, logit


def students() -> bool:
    """Fit the logit model, and compare it with the published table."""
    regressors, improved = logit.load()
    found = logit.fit(regressors, improved)
    print("1. Newton's method with a Hessian that is an array")
    print("   32 students, did their grade improve? (Spector & Mazzeo 1980, in Greene's book)\n")
    print("              ours               published")
    for name, b, e in zip(logit.NAMES, found.coefficients, found.errors, strict=True):
        book = "{:8.3f} ({:5.3f})".format(*logit.PUBLISHED[name])
        print(f"   {name:9s} {b:8.3f} ({e:5.3f})   {book}")
    agrees = found.agrees()
    print(
        f"\n   {found.steps} Newton steps, {found.products} Hessian-vector products, largest "
        f"gradient {found.gradient:.0e}."
        f"\n   Coefficients (standard errors) {'agree' if agrees else 'DISAGREE'} with the "
        "published ones in every printed digit.\n"
    )
    return agrees


def atoms(cells: int = 10) -> bool:
    """Read the Hessian of a crystal in slices, and check a law of physics."""
    places = crystal.lattice(cells)
    count = len(places)
    start = time.perf_counter()
    x = lh.variable(places)
    energy = crystal.energy(x, *crystal.pairs(count))
    recorded = time.perf_counter() - start
    start = time.perf_counter()
    force = lh.gradient(energy, x)
    linearized = time.perf_counter() - start
    size = 3 * count
    print(f"2. A Lennard-Jones crystal of {count} atoms: its Hessian is {size} x {size}")
    print(
        f"   energy {energy.item() / count:.4f} epsilon per atom, largest force "
        f"{np.abs(force).max():.2f}"
    )
    print(
        f"   recorded in {1e3 * recorded:.0f} ms, gradient in {1e3 * linearized:.0f} ms; from now "
        "on you pay for what you touch:\n"
    )
    hessian = lh.hessian(energy, x)
    middle = count // 2
    push = np.random.default_rng(0).normal(size=places.shape)
    _timed("H[500]            three rows", hessian, lambda: hessian[middle])
    _timed(
        "H[:, :, 500]      the columns: the same, by symmetry",
        hessian,
        lambda: hessian[:, :, middle],
    )
    _timed(
        "H[500, 0, 490:]   part of a row that is known",
        hessian,
        lambda: hessian[middle, 0, middle - 10 :],
    )
    _timed("H[:2, 0]          two more rows", hessian, lambda: hessian[:2, 0])
    # Moving all atoms together costs nothing: every row sums to zero over the atoms.
    whole = _timed("np.asarray(H)     all the rest", hessian, lambda: np.asarray(hessian))
    _timed("np.asarray(H)     again", hessian, lambda: np.asarray(hessian))
    matrix = whole.reshape(size, size)
    scale = np.abs(matrix).max()
    drift = np.abs(whole.sum(axis=2)).max() / scale
    skew = np.abs(matrix - matrix.T).max() / scale
    print(f"\n   {hessian!r}")
    print(f"   rows sum to zero over the atoms (moving all of them costs nothing): {drift:.0e}")
    print(
        f"   symmetric: {skew:.0e}; curvature along a random push: "
        f"{np.vdot(push, matrix @ push.reshape(-1)) / np.vdot(push, push):.2f}"
    )
    return bool(drift < 1e-12 and skew < 1e-12)


def _timed(label: str, hessian: Any, ask: Callable[[], Any]) -> Any:
    before = hessian.cache_info().products
    start = time.perf_counter()
    answer = ask()
    took = 1e3 * (time.perf_counter() - start)
    products = hessian.cache_info().products - before
    print(f"   {label:54s} {products:5d} products {took:8.1f} ms")
    return answer


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration; the exit status says whether all checks held."""
    parser = argparse.ArgumentParser(prog="python -m lazyhess", description=__doc__)
    parser.add_argument("--version", action="version", version=f"lazyhess {lh.__version__}")
    parser.parse_args(arguments)
    start = time.perf_counter()
    held = [students(), atoms()]
    print(
        f"\n   All checks {'held' if all(held) else 'DID NOT HOLD'}; "
        f"{time.perf_counter() - start:.1f} s in all."
    )
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
