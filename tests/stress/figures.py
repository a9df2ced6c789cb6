"""What a search counted, and the faults it found."""

from __future__ import annotations

import sys
import threading
from collections import Counter

SHOWN = 3  # faults of a kind that are printed in full


class Figures:
    """Counts by name, and faults by kind; threads may share one.

    Parameters
    ----------
    *kinds : str
        Kinds of faults that are printed even if there is none.
    aloud : bool
        Whether the first ones of a kind are printed at once, for a search may be stopped.
    """

    def __init__(self, *kinds: str, aloud: bool = False) -> None:
        self.aloud = aloud
        self.counts: Counter[str] = Counter()
        self.faults: dict[str, list[str]] = {kind: [] for kind in kinds}
        self._lock = threading.Lock()

    def add(self, name: str, count: int = 1) -> None:
        """Count something."""
        with self._lock:
            self.counts[name] += count

    def fault(self, kind: str, text: str) -> None:
        """Note a fault."""
        with self._lock:
            texts = self.faults.setdefault(kind, [])
            texts.append(text)
            if self.aloud and len(texts) <= SHOWN:
                print(f"{kind}: {text}", file=sys.stderr, flush=True)

    @property
    def clean(self) -> bool:
        """Whether no fault was found."""
        return not any(self.faults.values())

    def __str__(self) -> str:
        lines = [", ".join(f"{name} {count}" for name, count in self.counts.items())]
        lines += [", ".join(f"{kind}: {len(texts)}" for kind, texts in self.faults.items())]
        for kind, texts in self.faults.items():
            for text, times in Counter(texts).most_common(SHOWN):
                lines.append(f"--- {kind} ({times} times)\n{text}")
        return "\n".join(line for line in lines if line)
