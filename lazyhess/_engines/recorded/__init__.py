"""The engine of recorded NumPy."""
