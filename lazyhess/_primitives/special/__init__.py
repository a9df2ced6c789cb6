"""The ufuncs of `scipy.special`: each is its value, its first and its second derivatives.

Imported only once scipy is (see `late`). In the formulas ``z`` is the value; they are chosen to
hold where a textbook's lose all digits: in tails, next to poles, for large orders. An order is an
operand without a derivative of its own: it has to be a constant.
"""

from lazyhess._primitives.special import bessel, entropy, errors, gamma, powers

__all__ = ["bessel", "entropy", "errors", "gamma", "powers"]
