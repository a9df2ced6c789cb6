"""The contract of engines, by arrays of jax."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from lazyhess.testing import check_engine
from tests.frontends.cases import CASES, Kind


def test_the_contract() -> None:
    check_engine(jnp.asarray, jnp.sum)


KIND = Kind(lambda x, dtype: jnp.array(x, dtype), jnp.sum, jax.lax.stop_gradient)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_what_all_answer_alike(case: Any) -> None:
    case(KIND)
