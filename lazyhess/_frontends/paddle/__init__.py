"""Objects of Paddle."""
