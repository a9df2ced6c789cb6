"""Objects of JAX."""
