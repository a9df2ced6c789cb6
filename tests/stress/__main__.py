"""Search for faults: ``python -m tests.stress threads --seconds 60 --engine numpy``.

``threads``: many threads ask at once, for so many seconds. ``interrupts``: so many real SIGINTs.
``lines``: an error at each place of what is executed (with ``--stride 10`` at each tenth). ``fork``: at
each line, and so many while threads ask. ``copies``: by pickle and by copy. Figures are printed, and a
fault is an exit status of 1.
"""

from __future__ import annotations

import argparse
import os
import sys

from tests.stress import copies, fork, interrupts, lines, threads
from tests.stress.models import ENGINES
from tests.stress.scenes import SCENES
from tests.stress.trace import MODES


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=["threads", "interrupts", "lines", "fork", "copies"])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", choices=ENGINES, default="numpy")
    parser.add_argument("--scene", choices=SCENES, action="append")
    parser.add_argument("--mode", choices=MODES, action="append")
    parser.add_argument("--stride", type=int, default=1)
    options = parser.parse_args()
    ended = True
    if options.name == "threads":
        figures, ended = threads.run(options.engine, options.seconds, options.seed)
    elif options.name == "interrupts":
        figures = interrupts.run(options.engine, options.count, options.seed)
    elif options.name == "fork":
        figures = fork.run(options.engine, options.count, options.seed, stride=options.stride)
    elif options.name == "copies":
        figures = copies.run(options.engine, options.count, options.seed)
    else:
        figures = lines.run(
            scenes=tuple(options.scene or SCENES),
            modes=tuple(options.mode or MODES),
            stride=options.stride,
            first=options.seed % options.stride,
        )
    print(f"{options.name}, {options.engine}, seed {options.seed}\n{figures}", flush=True)
    if not ended:
        os._exit(1)  # with threads that hang
    return 0 if figures.clean else 1


if __name__ == "__main__":
    sys.exit(main())
