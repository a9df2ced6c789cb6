"""JAX in double precision, with quick compilation; without JAX nothing here is collected."""

import os
from importlib.util import find_spec

collect_ignore_glob: list[str] = []
if find_spec("jax") is None:
    collect_ignore_glob.append("*")
else:
    # What is compiled runs once, so optimizing it is time lost.
    flags = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
    os.environ.setdefault("JAX_PLATFORMS", "cpu")

    import jax

    jax.config.update("jax_enable_x64", True)
