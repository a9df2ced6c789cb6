"""The rules: importing this package fills the tables that `Variable` dispatches on."""

from lazyhess._primitives import (
    assemble,
    constants,
    contract,
    elementwise,
    late,
    reduce,
    select,
    structure,
)

__all__ = [
    "assemble",
    "constants",
    "contract",
    "elementwise",
    "late",
    "reduce",
    "select",
    "structure",
]
