"""The rules: importing this package fills the tables that `Variable` dispatches on."""

from lazyhess._primitives import (
    constants,
    contract,
    elementwise,
    reduce,
    select,
    structure,
)

__all__ = ["constants", "contract", "elementwise", "reduce", "select", "structure"]
