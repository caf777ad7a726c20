"""An energy averaged over rotations, with its gradients, in as few network passes as fit.

Rotating a structure is rotating its edge vectors: species, neighbour lists, cutoffs and reverse
edges are the same for all rotations and are worked out once. Rotated copies are one more batch
dimension. The gradient of the average with respect to the unrotated edges is

    g = sum_r w_r (dE/dv_r) R_r^T + (sum_r w_r dE/df) df/dr,    v_r = r R_r,

where f are the cutoff factors, which depend on lengths alone.
"""

import torch
from torch import Tensor, nn

from pet_driver.network.pet import PET
from pet_driver.symmetry.grids import RotationGrids


class AveragedPotential(nn.Module):
    """The function that an archive holds: see :meth:`forward` for the contract.

    ``scale`` multiplies the network's output, ``composition`` [S] (eV) is added by species.
    """

    def __init__(
        self, network: PET, atomic_numbers: list[int], scale: float, composition: list[float]
    ) -> None:
        super().__init__()
        self.network = network
        self.grids = RotationGrids()
        lookup = torch.full((max(atomic_numbers) + 1,), -1, dtype=torch.int64)
        lookup[atomic_numbers] = torch.arange(len(atomic_numbers))
        self.register_buffer("species_of_number", lookup)
        self.register_buffer("composition", torch.tensor(composition, dtype=torch.float64))
        self.scale = float(scale)

    @torch.jit.export
    def grid(self, name: str) -> tuple[Tensor, Tensor]:
        """Rotations [R, 3, 3] and weights [R] of a grid, float64, on the archive's device.

        A random grid gives its first draw.
        """
        return self.grids(name, 0)

    @torch.jit.export
    def random_grid(self, name: str, counter: int) -> tuple[Tensor, Tensor]:
        """As :meth:`grid`; a random grid gives the draw that belongs to ``counter``."""
        return self.grids(name, counter)

    def forward(
        self,
        types: Tensor,
        edge_vectors: Tensor,
        centers: Tensor,
        neighbors: Tensor,
        reverse: Tensor,
        structures: Tensor,
        owned: Tensor,
        n_structures: int,
        rotations: Tensor,
        weights: Tensor,
        max_edges: int,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Energies and edge gradients of a batch of structures, averaged over rotations.

        Gradients must be enabled where this is called: TorchScript cannot switch them on.

        Args:
            types: atomic numbers [N], int64.
            edge_vectors: r_ij = x_j - x_i + S.cell [E, 3] in A, float64, none longer than the
                cutoff.
            centers: index i of each edge [E], int64, non-decreasing.
            neighbors: index j of each edge [E], int64.
            reverse: index of the edge (j, i, -S) [E], int64.
            structures: which structure each atom is in [N], int64.
            owned: atoms whose energy counts [N], bool (ghosts do not).
            n_structures: number of structures B.
            rotations: [R, 3, 3] float64; none at all means the raw network.
            weights: [R] float64. A weight of zero gives an energy and no force.
            max_edges: upper bound for edges times rotations in one network pass.

        Returns:
            energies [B] (eV, float64); energies by atom [N] (eV, zero where not owned);
            gradients dE/dr_ij [E, 3] (eV/A); energies by rotation and structure [R, B] (eV).
        """
        if rotations.shape[0] == 0:
            rotations = torch.eye(3, dtype=torch.float64, device=edge_vectors.device)[None]
            weights = torch.ones(1, dtype=torch.float64, device=edge_vectors.device)
        species = self.species_of_number[types]
        dtype = self.network.featurizer.edge_embedder.weight.dtype

        leaf = edge_vectors.detach().requires_grad_(True)
        lengths = torch.sqrt((leaf * leaf).sum(dim=1)).to(dtype)
        pair_cutoffs = self.network.pair_cutoffs(lengths, centers, neighbors, types.shape[0])
        kept = torch.nonzero(lengths <= pair_cutoffs).squeeze(1)
        position = torch.zeros_like(centers).index_copy(
            0, kept, torch.arange(kept.shape[0], device=centers.device)
        )
        factors = self.network.cutoff_factors(lengths[kept], pair_cutoffs[kept])

        by_atom, vector_gradients, factor_gradients = self.rotated_passes(
            species,
            edge_vectors[kept],
            factors.detach(),
            centers[kept],
            neighbors[kept],
            position[reverse[kept]],
            owned,
            rotations,
            weights,
            max_edges,
        )
        gradients = torch.zeros_like(edge_vectors).index_copy(0, kept, vector_gradients)
        if kept.shape[0] > 0:
            weighted = (factors * factor_gradients.to(dtype)).sum()
            chained = torch.autograd.grad([weighted], [leaf])[0]
            assert chained is not None
            gradients = gradients + chained

        by_atom = by_atom + torch.where(
            owned, self.composition[species], torch.zeros_like(self.composition[species])
        )
        by_rotation = torch.zeros(
            rotations.shape[0], n_structures, dtype=torch.float64, device=types.device
        ).index_add(1, structures, by_atom)
        atomic_energies = (weights[:, None] * by_atom).sum(dim=0)
        energies = (weights[:, None] * by_rotation).sum(dim=0)
        return energies, atomic_energies, gradients, by_rotation

    def rotated_passes(
        self,
        species: Tensor,
        vectors: Tensor,
        factors: Tensor,
        centers: Tensor,
        neighbors: Tensor,
        reverse: Tensor,
        owned: Tensor,
        rotations: Tensor,
        weights: Tensor,
        max_edges: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Energies [R, N], and the weighted gradients [E, 3] and [E] by vectors and factors."""
        n_atoms, n_edges = species.shape[0], vectors.shape[0]
        by_atom: list[Tensor] = []
        vector_gradients = torch.zeros_like(vectors)
        factor_gradients = torch.zeros(n_edges, dtype=vectors.dtype, device=vectors.device)
        step = max(1, max_edges // max(1, n_edges))
        for start in range(0, rotations.shape[0], step):
            matrices = rotations[start : start + step]
            n_copies = matrices.shape[0]
            copies = torch.arange(n_copies, device=species.device)[:, None]
            rotated = torch.matmul(vectors, matrices).reshape(-1, 3).to(factors.dtype)
            repeated = factors.repeat(n_copies)
            rotated = rotated.detach().requires_grad_(True)
            repeated = repeated.detach().requires_grad_(True)
            energies = (
                self.scale
                * self.network(
                    species.repeat(n_copies),
                    rotated,
                    repeated,
                    (centers + n_atoms * copies).reshape(-1),
                    (neighbors + n_atoms * copies).reshape(-1),
                    (reverse + n_edges * copies).reshape(-1),
                ).view(n_copies, n_atoms)
                * owned.to(torch.float64)
            )
            weighted = (energies * weights[start : start + step, None]).sum()
            gradients = torch.autograd.grad([weighted], [rotated, repeated])
            by_vector, by_factor = gradients[0], gradients[1]
            assert by_vector is not None and by_factor is not None
            by_vector = by_vector.to(vectors.dtype).view(n_copies, n_edges, 3)
            # v = r R, so dE/dr = dE/dv R^T.
            vector_gradients += torch.matmul(by_vector, matrices.transpose(1, 2)).sum(dim=0)
            factor_gradients += by_factor.to(vectors.dtype).view(n_copies, n_edges).sum(dim=0)
            by_atom.append(energies.detach())
        return torch.cat(by_atom), vector_gradients, factor_gradients
