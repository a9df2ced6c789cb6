"""Timings, side by side with jitted JAX in one run: ``python -m tests.benchmarks``."""
