"""The labels of a pairwise contraction, and the axes and sizes that follow from them."""

from __future__ import annotations

from functools import cached_property, lru_cache
from math import prod

from lazyhess._indices import Shape

Labels = tuple[int, ...]


class ContractionSpec:
    """What of ``einsum("labels,with_->onto", block, weights)`` does not depend on numbers.

    Labels are `shared` (in all three), `summed` (in both operands), `free` (not in the weights) or
    `new` (not in the block). One object serves all contractions of the same labels and shapes.
    """

    def __init__(self, labels: Labels, with_: Labels, onto: Labels, met: Shape, inp: Shape) -> None:
        self.labels, self.with_, self.onto = labels, with_, onto
        self.inp = inp
        extent = dict(zip(labels, inp, strict=True)) | dict(zip(with_, met, strict=True))
        self.extent = extent
        self.out = tuple(extent[label] for label in onto)
        held = set(with_)
        self.shared = tuple(x for x in labels if x in held and x in onto)
        self.summed = tuple(x for x in labels if x in held and x not in onto)
        self.free = tuple(x for x in labels if x not in held)
        self.new = tuple(x for x in onto if x not in labels)
        self.grows = prod(self.out) > prod(inp)
        # What the sparse side asks of every pattern: axes of the input, and sizes.
        self.kept = (*self.shared, *self.free)
        self.kept_axes = tuple(labels.index(x) for x in self.kept)
        self.met_axes = tuple(labels.index(x) for x in (*self.shared, *self.summed))
        self.places = self.size(self.kept)
        self.rows = self.size(self.shared) * self.size(self.summed)
        self.width = self.size(self.new)
        self.key = (labels, with_, onto, self.out)
        # The weights as a matrix (shared..., summed, new).
        self.turn = tuple(with_.index(x) for x in (*self.shared, *self.summed, *self.new))
        self.matrix = (*self.shape(self.shared), self.size(self.summed), self.width)
        # The block as (seeds, shared..., free...), and back, where nothing is summed or new.
        self.forth = (0, *(axis + 1 for axis in self.kept_axes))
        self.spread = self.shape(self.shared) + (1,) * len(self.free)
        self.back = (0, *(self.kept.index(x) + 1 for x in onto if x in self.kept))
        # The labels of blocks, which have a seed axis, and of the answer.
        seed = max((*labels, *with_), default=0) + 1
        self.seeded = ((seed, *labels), (seed, *onto))

    def size(self, labels: Labels) -> int:
        """How many places there are along some labels."""
        return prod(self.extent[label] for label in labels)

    def shape(self, labels: Labels) -> Shape:
        """The lengths of some labels."""
        return tuple(self.extent[label] for label in labels)

    def at_one_place(self, axes: tuple[int, ...]) -> ContractionSpec:
        """That at one place of some free axes of the block."""
        inp = tuple(1 if axis in axes else n for axis, n in enumerate(self.inp))
        return contraction_spec(self.labels, self.with_, self.onto, self.shape(self.with_), inp)

    @cached_property
    def T(self) -> ContractionSpec:
        """That of the transposed map."""
        met = self.shape(self.with_)
        return contraction_spec(self.onto, self.with_, self.labels, met, self.out)


@lru_cache(maxsize=4096)
def contraction_spec(
    labels: Labels, with_: Labels, onto: Labels, met: Shape, inp: Shape
) -> ContractionSpec:
    """The one object for these labels and shapes."""
    return ContractionSpec(labels, with_, onto, met, inp)
