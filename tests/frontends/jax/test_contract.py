"""The contract of engines, by arrays of jax."""

from __future__ import annotations

import jax.numpy as jnp

from lazyhess.testing import check_engine


def test_the_contract() -> None:
    check_engine(jnp.asarray, jnp.sum)
