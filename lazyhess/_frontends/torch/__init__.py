"""Objects of torch."""
