"""Rows of a block for some seeds: what the rest of the library asks of an engine."""
