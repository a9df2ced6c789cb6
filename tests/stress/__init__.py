"""Searches that break what answers requests: ``python -m tests.stress NAME``."""
