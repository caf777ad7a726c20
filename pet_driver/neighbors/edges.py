"""Around the network: from pairs of atoms to edges, and from the gradients by edges to forces.

Both are worked off by the kernels where these run the network, and by torch elsewhere: on GPUs, and
on CPUs without kernels. There the dozen small operations that they are to torch take longer than
the work in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pet_driver.backends.cpu import edges as kernels


@dataclass(frozen=True)
class Pairs:
    """Directed pairs of atoms, each beside its other direction; sorted by centre.

    Attributes:
        centers, neighbors: i and j [P].
        reverse: index of the pair (j, i, -S) [P].
    """

    centers: Tensor
    neighbors: Tensor
    reverse: Tensor

    def vectors(self, positions: Tensor, shift_vectors: Tensor | None) -> Tensor:
        """x_j - x_i of ``positions`` [N, 3], plus ``shift_vectors`` [P, 3], the S.cell, if any."""
        vectors = positions.index_select(0, self.neighbors)
        vectors -= positions.index_select(0, self.centers)
        if shift_vectors is not None:
            vectors += shift_vectors
        return vectors

    def near(
        self, positions: Tensor, shift_vectors: Tensor | None, cutoff: float, by_kernels: bool
    ) -> tuple[Pairs, Tensor, Tensor]:
        """Those not as long as ``cutoff`` (A), both directions of a pair or none.

        Returns:
            them; their vectors [E, 3]; how many of them come before each of all the pairs [P + 1].
        """
        if by_kernels:
            pairs = (self.centers, self.neighbors, self.reverse)
            place, vectors, *found = kernels.near(positions, *pairs, shift_vectors, cutoff)
            return Pairs(*found), vectors, place
        vectors = self.vectors(positions, shift_vectors)
        # a product with ones is several times faster than a sum over so short an axis
        near = (vectors * vectors) @ vectors.new_ones(3) < cutoff**2
        # rounding may put the two directions of one pair on either side of the cutoff
        near &= near.index_select(0, self.reverse)
        kept = near.nonzero().squeeze(1)
        place = torch.cat([kept.new_zeros(1), near.cumsum(0)])
        found = Pairs(
            self.centers.index_select(0, kept),
            self.neighbors.index_select(0, kept),
            place.index_select(0, self.reverse.index_select(0, kept)),
        )
        return found, vectors.index_select(0, kept), place


def forces_and_virials(
    pairs: Pairs,
    vectors: Tensor,
    gradients: Tensor,
    structures: Tensor,
    counts: Sequence[int],
    by_kernels: bool,
) -> tuple[Tensor, Tensor]:
    """Forces [N, 3] (eV/A) and virials [B, 3, 3] (eV), minus the derivatives by a strain.

    Args:
        pairs: the edges.
        vectors: of these [E, 3] in A.
        gradients: by these [E, 3] in eV/A.
        structures: which structure each atom is in [N].
        counts: number of edges of each structure.
        by_kernels: whether these do it.
    """
    if by_kernels:
        where = (structures, pairs.centers, pairs.reverse)
        return kernels.forces_and_virials(len(counts), *where, vectors, gradients)
    none = gradients.new_zeros(structures.shape[0], 3)
    forces = none.index_add(0, pairs.centers, gradients)
    # torch is ten times slower with a factor of -1
    forces -= none.index_add_(0, pairs.neighbors, gradients)
    if len(counts) == 1:
        return forces, -(vectors.T @ gradients)
    parts = zip(vectors.split(counts), gradients.split(counts), strict=True)
    return forces, -torch.stack([r.T @ gradient for r, gradient in parts])
