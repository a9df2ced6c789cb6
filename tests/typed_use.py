"""Users' code that must type-check: the package ships its types."""

import numpy as np

import lazyhess as lh

x = lh.variable([1.0, 2.0])
y = np.sum(2 * x**2 + 1 - x / 3)
z: lh.Variable = -x + x.sum() * x
H: lh.Hessian = lh.hessian(y, x)
a = H[0] + 1
b = H * 2 + H.T[0]
