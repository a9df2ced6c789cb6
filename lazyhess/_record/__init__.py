"""Recording: what NumPy does to Variables, as a graph of primitives."""
