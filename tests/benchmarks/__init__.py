"""Timings, side by side with peers in processes of their own: ``python -m tests.benchmarks``."""
