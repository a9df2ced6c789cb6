"""What every engine answers alike, of recorded NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lazyhess as lh
from tests.frontends.cases import CASES, Kind

KIND = Kind(
    lambda x, dtype: lh.variable(np.array(x, dtype)),
    np.sum,
    lambda x: x.value,
    carries=True,
    asks_first=False,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_what_all_answer_alike(case: Any) -> None:
    case(KIND)
