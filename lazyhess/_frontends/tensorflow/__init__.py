"""Objects of TensorFlow."""
