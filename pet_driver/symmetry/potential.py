"""The function in every archive: energies and gradients of a network, raw or symmetrized."""

import torch
from torch import Tensor, nn

from pet_driver.network import Repulsion
from pet_driver.symmetry.averaging import PotentialParameters, Structures
from pet_driver.symmetry.ecse import FrameAverage
from pet_driver.symmetry.ecse_frames import sum_by
from pet_driver.symmetry.grid_names import POOLED, parse_grid_name
from pet_driver.symmetry.grids import RotationGrids


class SymmetrizedPotential(FrameAverage):
    """A potential that engines call by the contract of :meth:`forward`.

    Args:
        network: a :class:`pet_driver.network.PET`; in TorchScript if the whole module is to be
            scripted.
        parameters: of the potential.
    """

    def __init__(self, network: nn.Module, parameters: PotentialParameters) -> None:
        super().__init__(network, parameters)
        numbers, radii = parameters.atomic_numbers, parameters.zbl_radii
        self.repulsion = None if radii is None else Repulsion(numbers, radii)
        self.grids = RotationGrids()
        self.pooled = POOLED

    @torch.jit.export
    def grid(self, name: str, counter: int = 0) -> tuple[Tensor, Tensor, int]:
        """Return the arguments of :meth:`forward` that describe a symmetrization.

        Args:
            name: see :mod:`pet_driver.symmetry.grids`.
            counter: index of the draw, where the grid is random.

        Returns:
            rotations [R, 3, 3] and weights [R], float64, on the archive's device; ``frames``.

        Raises:
            ValueError: there is no grid of this name.
        """
        rotations, weights = self.grids(name, counter)
        return rotations, weights, parse_grid_name(name).frames

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
        frames: int,
        max_edges: int,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return energies and edge gradients of a batch of structures.

        The caller must have gradients enabled: TorchScript cannot enable them.

        Args:
            types: atomic numbers [N], int64.
            edge_vectors: r_ij = x_j - x_i + S.cell [E, 3] in A, float64, none longer than the
                cutoff.
            centers: index i of each edge [E], int64, non-decreasing.
            neighbors: index j of each edge [E], int64.
            reverse: index of the edge (j, i, -S) [E], int64.
            structures: index of the structure of each atom [N], int64.
            owned: whether the energy of an atom counts [N], bool (that of ghosts does not).
            n_structures: number of structures B.
            rotations: [R, 3, 3] float64, at least one.
            weights: [R] float64. A rotation of weight zero gives the energy of the raw network,
                without frames, and does not contribute to gradients.
            frames: local reference frames: 0 for none; 1 to evaluate each atom in frames of its
                own; 2 to evaluate the structure in the frames of all its atoms, all of which must
                be owned.
            max_edges: upper bound for edges times rotations in one network pass.

        Returns:
            energies [B] (eV, float64); energies by atom [N] (eV, zero where not owned);
            gradients dE/dr_ij [E, 3] (eV/A); energies by rotation and structure [R, B] (eV).

        Raises:
            RuntimeError: frames are pooled and not all atoms are owned.
        """
        batch = Structures(
            types, edge_vectors, centers, neighbors, reverse, structures, owned, n_structures
        )
        energies, by_atom, gradients, by_rotation = self.symmetrized(
            batch, rotations, weights, frames, max_edges
        )
        if self.repulsion is not None:
            # It depends on lengths only, and so is the same for all rotations.
            species = self.species_of_number[types]
            repelled, slopes = self.repulsion(species, edge_vectors, centers, neighbors, owned)
            by_structure = sum_by(repelled, structures, n_structures)
            total = weights.sum()
            energies = energies + total * by_structure
            by_atom = by_atom + total * repelled
            gradients = gradients + total * slopes
            by_rotation = by_rotation + by_structure
        return energies, by_atom, gradients, by_rotation

    def symmetrized(
        self, batch: Structures, rotations: Tensor, weights: Tensor, frames: int, max_edges: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the results of :meth:`forward` without the repulsion."""
        if frames == 0:
            return self.rotation_average(batch, rotations, weights, max_edges)
        framed = torch.nonzero(weights != 0.0).squeeze(1)
        energies, by_atom, gradients, by_frame = self.frame_average(
            batch, rotations[framed], weights[framed], frames == self.pooled, max_edges
        )
        raw = torch.nonzero(weights == 0.0).squeeze(1)
        if raw.shape[0] == 0:
            return energies, by_atom, gradients, by_frame
        _, _, _, by_raw = self.rotation_average(batch, rotations[raw], weights[raw], max_edges)
        by_rotation = torch.zeros(
            rotations.shape[0], batch.n_structures, dtype=torch.float64, device=by_frame.device
        )
        by_rotation = by_rotation.index_copy(0, framed, by_frame).index_copy(0, raw, by_raw)
        return energies, by_atom, gradients, by_rotation

    @torch.jit.export
    def workload(
        self,
        types: Tensor,
        edge_vectors: Tensor,
        centers: Tensor,
        neighbors: Tensor,
        reverse: Tensor,
        structures: Tensor,
        owned: Tensor,
        n_structures: int,
        frames: int,
        max_edges: int,
    ) -> tuple[int, int, int]:
        """Return the cost of one evaluation in local reference frames, without evaluating.

        Returns:
            number of frames; number of edges in all of them; number of edges of the raw network.
        """
        batch = Structures(
            types, edge_vectors, centers, neighbors, reverse, structures, owned, n_structures
        )
        return self.frame_workload(batch, frames == self.pooled, max_edges)
