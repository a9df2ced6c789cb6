"""Gradients and Hessian-vector products of a graph of linear maps."""
