"""The sizes from which another way is cheaper: measured, and all in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Costs:
    """What a choice between two ways that give the same answer depends on.

    Tests set them so that small programs take every way.
    """

    # --- blocks ---------------------------------------------------------------------------------
    small: int = 4096
    """Elements below which the fixed cost of a NumPy call dominates: dense needs fewer calls."""
    entry: int = 6
    """A dense operation streams, a sparse one gathers: an entry costs about this many elements."""
    repeats: int = 4
    """Repeated entries are merged when a block holds this many times what it held without."""
    box: int = 256
    """What a box costs, in entries that are gathered instead."""
    run: int = 4
    """What each run along a box's last axis costs, in such entries."""
    table: int = 4
    """Diagonals are merged in a table of at most this many places for each entry."""
    # --- memory of temporaries ------------------------------------------------------------------
    reserve_from: int = 1 << 18
    """Bytes of values, or of the blocks of all products, from which memory is reserved."""
    reserved_bytes: int = 1 << 26
    """Bytes that are: what the passes of a request, and its graph, use at a time."""
    reserved_piece: int = 1 << 23
    """It is made of pieces of so many bytes: of the blocks of a pass. Of large ones the system
    gives more in huge pages; from larger ones on glibc would take arrays from its heap."""
    # --- maps -----------------------------------------------------------------------------------
    product: int = 48
    """A sparse entry costs as much as this many elements in a wide enough product of matrices."""
    wide: int = 16
    """Rows of a matrix from which its product is wide."""
    chunk: int = 1 << 19
    """Elements of a temporary array in products of factored blocks."""
    # --- passes ---------------------------------------------------------------------------------
    pass_bytes: int = 1 << 23
    """Bytes that the blocks of one pass may hold. Large enough that NumPy's cost for a call
    vanishes, small enough that a block is still in the processor's caches when the next map reads
    it."""
    first_pass: int = 16
    """Seeds of the first pass where the size of the blocks can only be told by trying."""
    aligned_bytes: int = 1 << 20
    """Bytes of the blocks for which a pass of its own, whose blocks stay factored, is worth it."""
    triangle_passes: int = 8
    """Passes of a whole symmetric matrix: with p of them, (1 + 1 / p) / 2 of it is computed."""
    gram_bytes: int = 1 << 27
    """Bytes of the Jacobian that a symmetric rank-k update may form."""
    calls: int = 1 << 12
    """What the calls of a product cost, in elements of the values that it passes through."""
    framework_bytes: int = 1 << 28
    """Bytes of the rows and tangents of one pass of a framework."""
    pattern_bytes: int = 1 << 30
    """Bytes of patterns that are kept from one point to the next."""
    # --- loops put together ---------------------------------------------------------------------
    loop_steps: int = 64
    """Steps of a graph from which it is worth looking for loops."""
    loop_elements: int = 256
    """Elements of a step, on average, up to which it is."""
    loop_shrinks: int = 2
    """How many times smaller the graph must become."""
    loop_terms: int = 16
    """Terms that make a chain of additions a sum."""
    loop_picks: int = 16
    """An array that is picked from in more places is a source, not one of a turn of a loop."""


COSTS = Costs()
