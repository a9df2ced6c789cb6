"""Calls of every function that has a rule: what the tests of rules are parametrised over.

A case is a function of plain arrays, written once: it runs on Variables, on arrays, and on arrays
in extended precision. Inputs avoid kinks and poles; those have tests of their own. A module for
each family of functions; importing it adds its cases to the list.
"""

from tests.cases import assemble, core, edges, fourier, linalg, nan, order, series, special
from tests.cases.base import CASES, Case

edges.add()

__all__ = [
    "CASES",
    "Case",
    "assemble",
    "core",
    "edges",
    "fourier",
    "linalg",
    "nan",
    "order",
    "series",
    "special",
]
