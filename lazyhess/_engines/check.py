"""Second derivatives of a framework, compared with what else is known of them.

A framework differentiates each operation by a rule that it, or a user, wrote. A rule that is right
the first time may be wrong when its own gradient is differentiated. What shows it: a Hessian that
is not symmetric, and a product that is not the change of the gradient along its tangent.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lazyhess._indices import Array, Ids
from lazyhess._locks import lock

if TYPE_CHECKING:
    from lazyhess._engines.framework import FrameworkEngine

# Products of a request from which on one more is worth while.
FEW = 20
# Rows of a pass that are compared with one another.
ROWS = 64
# Elements of the row that is kept to be compared with later ones.
WITNESS = 1 << 20
# How much more a product has to miss differences by than these differ by among themselves.
MISS = 10


class Differing(NamedTuple):
    """What was compared, and by how much it differs, relative to its size."""

    what: str
    size: float


@dataclass
class Evidence:
    """What a front end offers for the comparison.

    Parameters
    ----------
    owner : str
        The framework.
    paths : sequence of str
        Of the xs.
    repeat : callable, optional
        From values of all xs, arrays of the framework, to the output and the gradients of its sum
        by all xs, None where there is none; by a new call of a function of the user.
    pure : bool
        Whether two calls at one point give the same in any case.
    suspects : callable
        The names of the operations to suspect.
    """

    owner: str
    paths: Sequence[str]
    repeat: Callable[[list[Any]], tuple[Any, Sequence[Any]]] | None = None
    pure: bool = False
    suspects: Callable[[], Sequence[str]] = tuple


@dataclass
class Done:
    """What one call of `lazyhess.hessian` has compared, at any of its points."""

    products: set[int] = field(default_factory=set)  # the xs whose products were
    told: bool = False  # whether it was warned


class Check:
    """The comparisons of one engine.

    Parameters
    ----------
    mode : {"auto", True, False}
        As of `lazyhess.hessian`.
    evidence : Evidence
        What there is to compare with.
    done : Done
        What was compared before, at other points.
    """

    def __init__(self, mode: Any, evidence: Evidence, done: Done) -> None:
        self.mode, self.evidence, self.done = mode, evidence, done
        self.count = 0  # of products run for it
        self._rows: dict[
            int, tuple[int, int, Array]
        ] = {}  # sample, position and numbers of one row
        self._turn = lock()

    # --- entries that are there anyway ------------------------------------------------------------

    def entries(self, engine: FrameworkEngine, i: int, ids: Ids, rows: Any) -> None:
        """Compare entries of the block (i, i) that are known from both sides."""
        if self.mode is False or self.done.told or not len(ids):
            return
        arrays = engine.arrays
        sample, position = engine.batch.divide(i, ids)
        some = np.arange(len(ids))[:: -(-len(ids) // ROWS)]
        wrong = 0.0
        if len(some) > 1:
            there, at = sample[some], position[some]
            part = arrays.numpy(arrays.take(arrays.take(rows, some, 0), at, 1))
            same = there[:, None] == there
            wrong = _differ(part[same], part.T[same], self._tolerance(engine, i))
        kept = self._rows.get(i)
        if kept is not None:
            first, place, numbers = kept
            mine = np.flatnonzero(sample == first)
            if len(mine):
                column = arrays.numpy(arrays.points(rows, mine, np.full(len(mine), place)))
                other = numbers[position[mine]]
                wrong = max(wrong, _differ(column, other, self._tolerance(engine, i)))
        elif engine.batch.sizes[i] <= WITNESS:
            row = np.array(arrays.numpy(arrays.take(rows, np.arange(1), 0)))
            self._rows[i] = int(sample[0]), int(position[0]), row[0]
        if wrong and self._asymmetric(engine, i):
            self._warn(engine, i, Differing("the Hessian is not symmetric", wrong))

    def _asymmetric(self, engine: FrameworkEngine, i: int) -> float:
        """By how much ``u @ (H @ v)`` differs from ``v @ (H @ u)``; 0 where they agree."""
        rng = np.random.default_rng(1)
        u, v = rng.normal(size=(2, *engine.batch.full[i]))
        along_u, along_v = (self._product(engine, i, w, (i,))[0] for w in (u, v))
        both = np.array([np.vdot(u, along_v), np.vdot(v, along_u)])
        size = np.linalg.norm(u) * np.linalg.norm(along_v) + 1e-300
        wrong = float(abs(both[0] - both[1]) / size)
        return wrong if wrong > self._tolerance(engine, i) else 0.0

    # --- products ---------------------------------------------------------------------------------

    def products(self, engine: FrameworkEngine, i: int, count: int, columns: Sequence[int]) -> None:
        """After so many products by x_i: compare one with a difference of gradients."""
        always = self.mode is True
        if self.mode is False or self.done.told or not columns or not prod(engine.batch.full[i]):
            return
        if not always and (count < FEW or i in self.done.products):
            return
        with self._turn:
            if not always and i in self.done.products:
                return
            self.done.products.add(i)
        if self.evidence.repeat is None:
            if always and i in columns and (wrong := self._asymmetric(engine, i)):
                self._warn(engine, i, Differing("the Hessian is not symmetric", wrong))
            return
        with np.errstate(all="ignore"), _random_as_it_was():
            wrong = self._changes(engine, i, tuple(columns))
        if wrong:
            what = "products of the Hessian are not the change of the gradient"
            self._warn(engine, i, Differing(what, wrong))

    def _changes(self, engine: FrameworkEngine, i: int, columns: tuple[int, ...]) -> float:
        """By how much products miss differences of gradients; 0 where none tells that they do."""
        eps = engine._rounding(i, _real(engine, i))
        if eps > 1e-5:
            return 0.0  # of half precision, whose differences tell nothing
        evidence, arrays = self.evidence, engine.arrays
        xs = [arrays.numpy(x) for x in engine.function.xs]
        step, tolerance = eps ** (1 / 3), 30 * eps ** (1 / 3)

        def at(change: Array) -> tuple[Any, Array]:
            moved = [x + change if k == i else x for k, x in enumerate(xs)]
            values = [
                arrays.from_numpy(x, dtype) for x, dtype in zip(moved, engine.dtypes, strict=True)
            ]
            assert evidence.repeat is not None
            value, gradients = evidence.repeat(values)
            parts = [
                np.zeros(engine.batch.full[j]) if gradients[j] is None else gradients[j]
                for j in columns
            ]
            return value, _joined(parts, arrays.numpy)

        try:
            value, here = at(np.zeros_like(xs[i]))
            if not evidence.pure and not _alike(arrays.numpy(value), arrays.numpy(engine.value())):
                return 0.0  # another call is another function
            wrong = 0.0
            for seed in range(2):  # the second direction only where the first one misses
                # Signs stay, for functions that are there for one of them only.
                x, rng = xs[i], np.random.default_rng(seed)
                size = np.where(x == 0, max(float(np.abs(x).mean()), 1e-3) or 1.0, np.abs(x))
                tangent = (rng.normal(size=x.shape) * size).astype(x.dtype)
                product = _joined(self._product(engine, i, tangent, columns), np.asarray)
                ahead = (at(step * tangent)[1] - here) / step
                wrong = float(np.linalg.norm(ahead - product))
                noise = float(100 * eps * np.linalg.norm(here) / step)
                largest = float(max(np.linalg.norm(ahead), np.linalg.norm(product)))
                if not wrong > tolerance * largest + noise:
                    return 0.0
                # At a kink, or where all is rounding, differences disagree with one another.
                steps = (-step, step / 8, -step / 8)
                differences = [ahead, *((at(h * tangent)[1] - here) / h for h in steps)]
                mean = np.mean(differences, axis=0)
                spread = max(float(np.linalg.norm(d - mean)) for d in differences)
                wrong = float(np.linalg.norm(mean - product))
                if not wrong > MISS * spread + noise:
                    return 0.0
                wrong /= largest
        except Exception:  # a function that cannot be called there, or then, tells nothing
            if self.mode is True:
                raise
            return 0.0
        return wrong

    def _product(
        self, engine: FrameworkEngine, i: int, tangent: Array, columns: tuple[int, ...]
    ) -> list[Array]:
        """One product, of the sum of all outputs, as arrays of NumPy."""
        arrays = engine.arrays
        self.count += 1
        tangents = arrays.from_numpy(tangent[None], engine.dtypes[i])
        products = engine.function.products(i, tangents, columns, None)
        return [arrays.numpy(products[j])[0] for j in columns]

    @staticmethod
    def _tolerance(engine: FrameworkEngine, i: int) -> float:
        return float(engine._rounding(i, _real(engine, i)) ** (1 / 3))

    def _warn(self, engine: FrameworkEngine, i: int, found: Differing) -> None:
        self.done.told = True
        evidence = self.evidence
        names = list(evidence.suspects())
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        warnings.warn(
            f"second derivatives that {evidence.owner} gives seem to be wrong: {found.what}, by "
            f"{found.size:.1g} of its size, by xs{evidence.paths[i]} (shape "
            f"{engine.batch.full[i]}), along two directions"
            + (f"; suspected: {shown}" if names else "")
            + "; write that part with operations whose gradients can be differentiated, and "
            "compare with lh.testing.check_hessian; check=False compares nothing",
            RuntimeWarning,
            stacklevel=2,
        )


@contextmanager
def _random_as_it_was() -> Iterator[None]:
    """Whatever a function draws inside, numbers of Python and NumPy go on as before."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)


def _real(engine: FrameworkEngine, i: int) -> Any:
    """What NumPy holds numbers of x_i in."""
    return engine.arrays.numpy(engine.arrays.zeros((0,), engine.dtypes[i])).dtype


def _joined(parts: Sequence[Any], numpy: Callable[[Any], Array]) -> Array:
    arrays = [part if isinstance(part, np.ndarray) else numpy(part) for part in parts]
    kind = np.complex128 if any(map(np.iscomplexobj, arrays)) else np.float64
    return np.concatenate([array.reshape(-1).astype(kind) for array in arrays])


def _alike(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)


def _differ(a: Array, b: Array, tolerance: float) -> float:
    """By how much two arrays differ, relative to the largest element; 0 where that is rounding."""
    size = float(np.abs(a).max(initial=0))
    if not 0 < size < np.inf:
        return 0.0
    wrong = float(np.abs(a - b).max(initial=0)) / size
    return wrong if wrong > tolerance else 0.0
