"""A Lennard-Jones crystal of 1000 atoms: its Hessian is 3000 x 3000, and read in slices."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Nearest neighbours of the face-centred cubic crystal at rest, in units of sigma: the lattice sums
# over all pairs for r**-12 and r**-6 as in C. Kittel, Introduction to Solid State Physics,
# chapter 3.
SPACING = (2 * 12.13188 / 14.45392) ** (1 / 6)


def lattice(cells: int = 10) -> Array:
    """Atoms of a free piece of a face-centred cubic crystal, ``(cells**3, 3)``, in sigma."""
    edges = SPACING / np.sqrt(2) * np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]])
    steps = np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), axis=-1)
    places: Array = steps.reshape(-1, 3) @ edges
    return places


def pairs(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """All pairs of atoms, each once."""
    first, second = np.triu_indices(count, 1)
    return first, second


def energy(coordinates: Any, first: NDArray[np.intp], second: NDArray[np.intp]) -> Any:
    """The Lennard-Jones energy in units of epsilon, in plain NumPy.

    `coordinates` are ``(3 * atoms,)``, and the sum runs over the given pairs of atoms.
    """
    atoms = coordinates.reshape(-1, 3)
    apart = atoms[first] - atoms[second]
    inverse = 1 / np.sum(apart * apart, axis=1) ** 3
    return 4 * np.sum(inverse * inverse - inverse)
