"""Linear algebra: `numpy.linalg`, stacked matrices everywhere.

Sources of the differentials: M. B. Giles, *Collected matrix derivative results for forward and
reverse mode algorithmic differentiation*, in: Advances in Automatic Differentiation, Springer 2008;
for Cholesky I. Murray, *Differentiation of the Cholesky decomposition*, 2016, section 3.
"""

from lazyhess._primitives.linalg import (
    determinants,
    factorizations,
    least_squares,
    norms,
    products,
    solutions,
)

__all__ = ["determinants", "factorizations", "least_squares", "norms", "products", "solutions"]
