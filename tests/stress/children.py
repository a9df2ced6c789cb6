"""What runs in processes that are watched: ``python -m tests.stress.children WORK OPTIONS``."""

from __future__ import annotations

import json
import sys

from tests.stress import interrupts, lines
from tests.stress.watch import Speaker

WORK = {"lines": lines.child, "interrupts": interrupts.child}

if __name__ == "__main__":
    WORK[sys.argv[1]](Speaker(), json.loads(sys.argv[2]))
