"""A Hessian is an array that you index, and you pay only for what you touch.

>>> import numpy as np
>>> import lazyhess as lh
>>> x = lh.variable(np.arange(4.0))
>>> H = lh.hessian(np.sum(x[1:] * x[:-1] ** 2), x)
>>> H[2]
array([0., 2., 6., 4.])
"""

# The first fills the tables where Variables look up their rules.
from lazyhess import _primitives, extend, special, testing  # noqa: F401
from lazyhess._api import gradient, hessian
from lazyhess._options import options
from lazyhess._proxy.hessian import Hessian
from lazyhess._record.variable import Variable, variable

__all__ = [
    "Hessian",
    "Variable",
    "extend",
    "gradient",
    "hessian",
    "options",
    "special",
    "testing",
    "variable",
]
__version__ = "0.1.0"
