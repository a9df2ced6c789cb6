"""Check a rule, an engine, or any Hessian: against differences, which know nothing of rules.

Every check raises an AssertionError that says where a number is off, and by how much. The tests of
the library's own rules and engines are made of these.
"""

from lazyhess.testing.differences import difference_gradient, difference_hessian
from lazyhess.testing.engines import check_engine
from lazyhess.testing.rules import check_hessian, check_rule, products

__all__ = [
    "check_engine",
    "check_hessian",
    "check_rule",
    "difference_gradient",
    "difference_hessian",
    "products",
]
