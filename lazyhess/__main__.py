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
    found = logit.fit(*logit.load())
    print("1. Newton's method, with a Hessian that is an array")
    print("   32 students: did their grade improve? (Spector and Mazzeo 1980, in Greene's book)\n")
    print("   step  log likelihood  largest gradient  products")
    for k, step in enumerate(found.steps):
        print(f"   {k:4d}  {step.log_likelihood:14.6f}  {step.gradient:16.1e}  {step.products:8d}")
    print("\n   coefficient (standard error)      found      published")
    for name, b, e in zip(logit.NAMES, found.coefficients, found.errors, strict=True):
        book = "{:7.3f} ({:5.3f})".format(*logit.PUBLISHED[name])
        print(f"   {name:20s} {b:9.3f} ({e:5.3f})  {book}")
    agrees = found.agrees()
    print(f"\n   {'All' if agrees else 'NOT all'} published digits are reproduced.\n")
    return agrees


def atoms(cells: int = 10) -> bool:
    """Read the Hessian of a crystal in slices, and check it against the laws of physics."""
    places = crystal.lattice(cells).reshape(-1)
    size = places.size
    first, second = crystal.pairs(size // 3)
    start = time.perf_counter()
    x = lh.variable(places)
    energy = crystal.energy(x, first, second)
    recorded = time.perf_counter()
    force = -lh.gradient(energy, x)
    linearized = time.perf_counter()
    print(f"2. A Lennard-Jones crystal of {size // 3} atoms: its Hessian is {size} x {size}")
    print(
        f"   {len(first)} pairs, energy {3 * energy.value / size:.4f} epsilon per atom; recorded "
        f"in {1e3 * (recorded - start):.0f} ms, gradient in {1e3 * (linearized - recorded):.0f} ms"
    )
    print("   From here on you pay for what you touch:\n")

    H = lh.hessian(energy, x)
    v = np.random.default_rng(0).normal(size=size)
    half = size // 2
    print(f"   {'':22s} products        ms")
    _, rows = _ask(H, "H[:3]", lambda: H[:3], "three rows: the first atom")
    _ask(H, "H[:, :3]", lambda: H[:, :3], "its columns: the Hessian is symmetric")
    _ask(H, "H[:, 7]", lambda: H[:, 7], "a column costs what a row costs")
    _ask(H, "H[7, ::-100]", lambda: H[7, ::-100], "that row is known")
    _ask(H, f"H[::-1, {half}:{half + 3}]", lambda: H[::-1, half : half + 3], "the cheaper side")
    pushed, _ = _ask(H, "H @ v", lambda: H @ v, "no matrix is formed")
    matrix, whole = _ask(H, "np.asarray(H)", lambda: np.asarray(H), "all the rest")
    _ask(H, "np.asarray(H)", lambda: np.asarray(H), "all is known")
    print(f"\n   The first three rows took {rows / whole:.1%} of the time of all the rest.")

    scale = np.abs(matrix).max()
    checks = {
        "the forces add up to zero": np.abs(force.reshape(-1, 3).sum(axis=0)).max()
        / np.abs(force).max(),
        "every row adds up to zero over the atoms": np.abs(
            matrix.reshape(size, -1, 3).sum(axis=1)
        ).max()
        / scale,
        "the matrix is symmetric": np.abs(matrix - matrix.T).max() / scale,
        "H @ v is the matrix times v": np.abs(pushed - matrix @ v).max() / np.abs(pushed).max(),
    }
    print(
        "   Moving all atoms together costs no energy, and more that must hold (relative errors):"
    )
    for law, error in checks.items():
        print(f"     {law:44s} {error:.0e}")
    return all(bool(error < 1e-11) for error in checks.values())


def _ask(H: lh.Hessian, code: str, ask: Callable[[], Any], remark: str) -> tuple[Any, float]:
    """An answer and its seconds; prints them with the products that were run."""
    before = H.cache_info().products
    start = time.perf_counter()
    answer = ask()
    took = time.perf_counter() - start
    products = H.cache_info().products - before
    print(f"   {code:22s} {products:8d}  {1e3 * took:8.1f}   {remark}")
    return answer, took


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration; the exit status says whether all checks held."""
    parser = argparse.ArgumentParser(
        prog="python -m lazyhess",
        description="Fits a logistic regression to published data by Newton's method, then reads "
        "the Hessian of a crystal in slices. Exits with 1 if a check does not hold.",
    )
    parser.add_argument("--version", action="version", version=f"lazyhess {lh.__version__}")
    parser.add_argument(
        "--cells",
        type=int,
        default=10,
        metavar="N",
        help="cells along each edge of the crystal, which has N**3 atoms (default: 10)",
    )
    options = parser.parse_args(arguments)
    if options.cells < 2:
        parser.error(f"--cells must be at least 2, got {options.cells}")
    start = time.perf_counter()
    held = [students(), atoms(options.cells)]
    print(
        f"\n   {'All checks held' if all(held) else 'SOME CHECKS DID NOT HOLD'}; "
        f"{time.perf_counter() - start:.1f} s in all."
    )
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
