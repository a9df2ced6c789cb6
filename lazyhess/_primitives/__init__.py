"""The rules: importing this package fills the tables that `Variable` dispatches on."""

from lazyhess._primitives import (
    assemble,
    complexes,
    constants,
    contract,
    elementwise,
    fourier,
    late,
    linalg,
    logsumexp,
    nan,
    order,
    polynomials,
    reduce,
    select,
    series,
    structure,
)

__all__ = [
    "assemble",
    "complexes",
    "constants",
    "contract",
    "elementwise",
    "fourier",
    "late",
    "linalg",
    "logsumexp",
    "nan",
    "order",
    "polynomials",
    "reduce",
    "select",
    "series",
    "structure",
]
