"""The rules: importing this package fills the tables that `Variable` dispatches on."""

from lazyhess._primitives import (
    assemble,
    complexes,
    constants,
    contract,
    elementwise,
    late,
    linalg,
    order,
    reduce,
    select,
    structure,
)

__all__ = [
    "assemble",
    "complexes",
    "constants",
    "contract",
    "elementwise",
    "late",
    "linalg",
    "order",
    "reduce",
    "select",
    "structure",
]
