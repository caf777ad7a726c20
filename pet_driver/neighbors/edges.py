"""Edges from pairs of atoms, and forces and virials from gradients by edges.

Where the C++ kernels run the network, they do this work too: it consists of a dozen small
operations, which take longer to launch in torch than to compute. On GPUs, and on CPUs without the
kernels, torch does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pet_driver.backends.cpu import edges as kernels


@dataclass(frozen=True)
class Pairs:
    """Directed pairs of atoms (i, j, S), in both directions, sorted by centre.

    Attributes:
        centers, neighbors: atoms i and j [P].
        reverse: index of the pair (j, i, -S) [P].
    """

    centers: Tensor
    neighbors: Tensor
    reverse: Tensor

    def vectors(self, positions: Tensor, shift_vectors: Tensor | None) -> Tensor:
        """Return x_j - x_i + S.cell of every pair [P, 3].

        Args:
            positions: x [N, 3].
            shift_vectors: S.cell [P, 3]; ``None`` where all are zero.
        """
        vectors = positions.index_select(0, self.neighbors)
        vectors -= positions.index_select(0, self.centers)
        if shift_vectors is not None:
            vectors += shift_vectors
        return vectors

    def select(
        self, positions: Tensor, shift_vectors: Tensor | None, cutoff: float, use_kernels: bool
    ) -> tuple[Pairs, Tensor, Tensor]:
        """Select the pairs shorter than ``cutoff`` (A): always both directions, or neither.

        Args:
            positions, shift_vectors: as for :meth:`vectors`.
            cutoff: A.
            use_kernels: whether the C++ kernels do it.

        Returns:
            the selected pairs; their vectors [E, 3]; for each of all pairs, how many selected
            ones come before it [P + 1].
        """
        if use_kernels:
            pairs = (self.centers, self.neighbors, self.reverse)
            place, vectors, *selected = kernels.near(positions, *pairs, shift_vectors, cutoff)
            return Pairs(*selected), vectors, place
        vectors = self.vectors(positions, shift_vectors)
        # A product with ones is several times faster than a sum over so short an axis.
        near = (vectors * vectors) @ vectors.new_ones(3) < cutoff**2
        # Rounding may put the two directions of one pair on either side of the cutoff.
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
    use_kernels: bool,
) -> tuple[Tensor, Tensor]:
    """Return forces [N, 3] (eV/A) and virials [B, 3, 3] (eV).

    The force on atom i is the sum of dE/dr_ij over its edges minus that of dE/dr_ji over the edges
    that end at it. The virial is minus the derivative of the energy by strain, - sum r_ij dE/dr_ij
    (outer product); it is not symmetrized.

    Args:
        pairs: the edges.
        vectors: r_ij [E, 3] in A.
        gradients: dE/dr_ij [E, 3] in eV/A.
        structures: index of the structure of each atom [N].
        counts: number of edges of each structure.
        use_kernels: whether the C++ kernels do it.
    """
    if use_kernels:
        indices = (structures, pairs.centers, pairs.reverse)
        return kernels.forces_and_virials(len(counts), *indices, vectors, gradients)
    zeros = gradients.new_zeros(structures.shape[0], 3)
    forces = zeros.index_add(0, pairs.centers, gradients)
    # In torch a subtraction is ten times faster than index_add with a factor of -1.
    forces -= zeros.index_add_(0, pairs.neighbors, gradients)
    if len(counts) == 1:
        return forces, -(vectors.T @ gradients)[None]
    parts = zip(vectors.split(counts), gradients.split(counts), strict=True)
    return forces, -torch.stack([r.T @ gradient for r, gradient in parts])
