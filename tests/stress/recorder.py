"""An engine around an engine: which rows are being computed, by whom, and how often they were."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.stress.figures import Figures

Key = tuple[int, int, int]  # x of the rows, x of the columns, row


class PlantedError(RuntimeError):
    """A product that failed because it was told to."""


class Recorder:
    """Delegates to an engine; counts products, and holds each row to one thread at a time.

    Parameters
    ----------
    engine : Engine
        What computes.
    figures : Figures
        Where faults are noted.
    failing : float
        How probable it is that a pass fails.
    pausing : float
        How probable it is that another thread is let in before a pass.
    name : str
        Said with each fault.
    """

    def __init__(
        self,
        engine: Any,
        figures: Figures,
        *,
        failing: float = 0,
        pausing: float = 0,
        seed: int = 0,
        name: str = "",
    ) -> None:
        self.engine, self.figures, self.name = engine, figures, name
        self.failing, self.pausing = failing, pausing
        self.ran = 0
        self.counted = True
        self.failed = 0
        self.times: Counter[Key] = Counter()
        self.apart = threading.local()  # `.now`: rows of this thread are computed apart
        self._flying: dict[Key, int] = {}
        self._rng = np.random.default_rng(seed)
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return _apart, (self.engine,)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def rows(
        self, i: int, rows: np.ndarray, columns: tuple[int, ...]
    ) -> Iterator[tuple[np.ndarray, dict[int, Any]]]:
        """The rows of the engine."""
        mine: set[Key] = set()
        if not getattr(self.apart, "now", False):
            mine = {(i, j, int(row)) for j in columns for row in rows}
        self._begin(mine)
        try:
            passes = self.engine.rows(i, rows, columns)
            while True:
                self._before()
                part = next(passes, None)
                if part is None:
                    return
                ids, _ = part
                with self._lock:
                    self.ran += self.engine.products(i, ids) if ids.ndim == 1 else ids.shape[1]
                done = {(i, j, int(row)) for j in columns for row in ids.reshape(-1)} & mine
                self._end(done, computed=True)
                mine -= done
                yield part
        finally:
            self._end(mine)

    def apply(self, j: int, tangents: Any, columns: tuple[int, ...]) -> Any:
        """The products of the engine."""
        products = self.engine.apply(j, tangents, columns)
        with self._lock:
            self.ran += len(tangents)
        return products

    def _before(self) -> None:
        with self._lock:
            fails, pauses = self._rng.random(2)
            self.failed += fails < self.failing
        if pauses < self.pausing:
            time.sleep(pauses * 1e-3 / self.pausing)
        if fails < self.failing:
            raise PlantedError

    def _begin(self, keys: set[Key]) -> None:
        with self._lock:
            twice = [key for key in keys if key in self._flying]
            self._flying.update((key, threading.get_ident()) for key in keys)
        if twice:
            self.figures.fault("computed twice at once", f"{self.name}: {sorted(twice)[:5]}")

    def _end(self, keys: set[Key], *, computed: bool = False) -> None:
        with self._lock:
            for key in keys:
                self._flying.pop(key, None)
            if computed:
                self.times.update(keys)

    def repeated(self) -> list[Key]:
        """Rows that were computed more than once."""
        return sorted(key for key, times in self.times.items() if times > 1)


def _apart(engine: Any) -> Recorder:
    """The copy of a recorder, which notes for nobody."""
    return Recorder(engine, Figures())
