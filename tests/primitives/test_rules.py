"""Every rule: value, Jacobian, transpose, curvature, symmetry, third order, over all cases."""

import warnings

import numpy as np
import pytest

from lazyhess._primitives.constants import PLAIN_FUNCTIONS, PLAIN_UFUNCS
from lazyhess._primitives.in_place import IN_PLACE
from lazyhess._record.primitive import FUNCTIONS, METHODS, UFUNCS
from lazyhess._record.variable import Variable, ancestors
from lazyhess.testing.rules import Rule
from tests.cases import CASES

warnings.filterwarnings("ignore", "(Mean of empty slice|invalid value|Degrees of freedom)")


def rule(case):
    if case.extended:
        return Rule(case.function, case.inputs, 2e-7)
    return Rule(case.function, case.inputs, 2e-6, np.float64)


def test_every_registered_function_has_cases():
    registered = set(UFUNCS) | set(METHODS) | set(FUNCTIONS)
    without = set(PLAIN_UFUNCS) | set(PLAIN_FUNCTIONS) | set(IN_PLACE) | {Variable.mapped}
    assert registered - without <= {case.key for case in CASES}


@pytest.mark.parametrize("check", Rule.CHECKS)
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_rules(check, case):
    getattr(rule(case), check)()


def test_no_node_keeps_a_writable_array():
    for case in CASES:
        for node in ancestors([rule(case).out]):
            for array in (node._value, *node._operands):
                assert not isinstance(array, np.ndarray) or not array.flags.writeable
