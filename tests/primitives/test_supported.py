"""The page of supported functions is the registry's, and leaves no public function out."""

from pathlib import Path

import numpy as np
import pytest

from tests import supported

PAGE = Path(__file__).parents[2] / "docs" / "supported.md"


def test_every_public_function_has_a_rule_or_a_reason():
    kinds, reasons, lost = supported.sorted_out()
    assert not lost
    assert sum(len(names) for names in kinds["rule"].values()) >= 230
    named = [name.rpartition(".")[2] for names in reasons.values() for name in names]
    listed = {name for names in supported.REASONS.values() for name in names.split()}
    missing = listed - set(named)  # of older NumPy, or of newer
    assert not any(
        hasattr(space, name) for name in missing for space in supported.NAMESPACES.values()
    )


def test_the_page_is_that_of_the_registry():
    pytest.importorskip("scipy")
    if np.lib.NumpyVersion(np.__version__) < "2.4.0":
        pytest.skip("the page is of the newest NumPy")
    assert PAGE.read_text() == supported.page() + "\n"
