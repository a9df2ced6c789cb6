"""The time of ``import lazyhess`` over that of ``import numpy``."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.benchmarks.race import ROOT, Options, Side

RUNS = 21


def run(side: Side, options: Options) -> None:
    """Fresh interpreters in turns, with bytecode, as installed."""
    python = options.pythons.get("ours", sys.executable)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def fresh(code: str) -> float:
        timed = f"import time; t = time.perf_counter(); {code}; print(time.perf_counter() - t)"
        command = [python, "-c", timed]
        answer = subprocess.run(
            command, capture_output=True, text=True, check=True, env=environment
        )
        return float(answer.stdout)

    fresh("import lazyhess")  # writes the bytecode
    for _ in range(RUNS):
        side.times.append(fresh("import numpy, lazyhess") - fresh("import numpy"))
