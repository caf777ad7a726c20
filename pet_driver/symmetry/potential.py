"""The function that every archive holds: a network, raw or symmetrized in any of the ways."""

import torch
from torch import Tensor

from pet_driver.network import DifferentiableNetwork, Hypers, Repulsion
from pet_driver.symmetry.averaging import Structures
from pet_driver.symmetry.ecse import FrameAverage
from pet_driver.symmetry.ecse_frames import sum_by
from pet_driver.symmetry.grid_names import POOLED, parse_grid_name
from pet_driver.symmetry.grids import RotationGrids


class SymmetrizedPotential(FrameAverage):
    """See :meth:`forward` for the contract with the engines.

    Args:
        network, hypers, dtype, atomic_numbers, scale, composition: as for
            :class:`pet_driver.symmetry.averaging.RotationAverage`.
        zbl_radii: covalent radii [S] (A) of the repulsion that is added; ``None``: there is none.
    """

    def __init__(
        self,
        network: DifferentiableNetwork,
        hypers: Hypers,
        dtype: torch.dtype,
        atomic_numbers: list[int],
        scale: float,
        composition: list[float],
        zbl_radii: list[float] | None = None,
    ) -> None:
        super().__init__(network, hypers, dtype, atomic_numbers, scale, composition)
        self.repulsion = None if zbl_radii is None else Repulsion(atomic_numbers, zbl_radii)
        self.grids = RotationGrids()
        self.pooled = POOLED

    @torch.jit.export
    def grid(self, name: str, counter: int = 0) -> tuple[Tensor, Tensor, int]:
        """What :meth:`forward` takes to symmetrize as ``name`` says.

        Args:
            name: see :mod:`pet_driver.symmetry.grids`; an unknown one raises a ValueError.
            counter: which draw, where the grid is random.

        Returns:
            rotations [R, 3, 3] and weights [R], float64, on the archive's device; frames.
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
        """Energies and edge gradients of a batch of structures.

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
            rotations: [R, 3, 3] float64, at least one.
            weights: [R] float64. A rotation of weight zero gives the energy of the raw network,
                without frames, and no force.
            frames: 0 for none; 1 to see each atom in frames of its own; 2 to see the structure in
                the frames of all its atoms (all must be owned then).
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
            # It knows lengths alone: once for all rotations.
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
        """Results of :meth:`forward`, without the repulsion."""
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
        """What one evaluation in frames will take, without running the network.

        Returns:
            number of frames; edges that the network will see in all of them; edges that the raw
            network sees.
        """
        batch = Structures(
            types, edge_vectors, centers, neighbors, reverse, structures, owned, n_structures
        )
        return self.frame_workload(batch, frames == self.pooled, max_edges)
