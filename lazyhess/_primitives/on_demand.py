"""Rules of packages that lazyhess does not import by itself."""

from __future__ import annotations

import importlib
import sys

from lazyhess._record.primitive import ON_DEMAND


def scipy_special() -> bool:
    """Register the rules of `scipy.special`, if the user has imported it."""
    if "scipy.special" not in sys.modules:
        return False
    # Python's own lock makes threads that come here together wait for the one that imports.
    importlib.import_module("lazyhess._primitives.special")
    return True


ON_DEMAND.append(scipy_special)
