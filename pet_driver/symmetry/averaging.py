"""Energies averaged over rotations, with gradients, in as few network passes as memory allows.

A structure is rotated by rotating its edge vectors: species, neighbour lists, cutoffs and reverse
edges are the same for all rotations and are computed once. Rotated copies are one more batch
dimension. The gradient of the average by the unrotated edge vectors is

    g = sum_r w_r (dE/dv_r) R_r^T + (sum_r w_r dE/df) df/dr,    v_r = r R_r,

where f are the cutoff factors, which depend on lengths only.
"""

from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from pet_driver.network import DifferentiableNetwork, Hypers, PairCutoffs


@dataclass(frozen=True)
class PotentialParameters:
    """Parameters of a potential other than the weights of its network.

    Attributes:
        hypers: hyper-parameters of the network.
        dtype: precision of the network.
        atomic_numbers: atomic number of each species [S], in the network's order.
        scale: factor of the network's output.
        composition: energy of one atom of each species [S] (eV), added to the network's.
        zbl_radii: covalent radii [S] (A) of the ZBL repulsion; ``None``: no repulsion is added.
    """

    hypers: Hypers
    dtype: torch.dtype
    atomic_numbers: list[int]
    scale: float
    composition: list[float]
    zbl_radii: list[float] | None = None


class Structures(NamedTuple):
    """A batch of structures; see :meth:`SymmetrizedPotential.forward`."""

    types: Tensor  # [N] atomic numbers
    vectors: Tensor  # [E, 3]
    centers: Tensor  # [E]
    neighbors: Tensor  # [E]
    reverse: Tensor  # [E]
    structures: Tensor  # [N]
    owned: Tensor  # [N]
    n_structures: int


class Edges(NamedTuple):
    """The inputs of the network before rotation."""

    species: Tensor  # [N]
    vectors: Tensor  # [E, 3]
    factors: Tensor  # [E]
    centers: Tensor  # [E]
    neighbors: Tensor  # [E]
    reverse: Tensor  # [E]


class RotationAverage(nn.Module):
    """Energies in eV of a network, averaged over rotations.

    Args:
        network: a :class:`pet_driver.network.PET`; in TorchScript if the whole module is to be
            scripted.
        parameters: of the potential.
    """

    # TorchScript reads these annotations here only: a subclass with annotations would hide them.
    network: DifferentiableNetwork
    zero: Tensor
    species_of_number: Tensor
    composition: Tensor

    def __init__(self, network: nn.Module, parameters: PotentialParameters) -> None:
        super().__init__()
        self.network = cast(DifferentiableNetwork, network)
        self.pair_cutoffs = PairCutoffs(parameters.hypers)
        self.register_buffer("zero", torch.zeros((), dtype=parameters.dtype))
        numbers = parameters.atomic_numbers
        lookup = torch.full((max(numbers) + 1,), -1, dtype=torch.int64)
        lookup[numbers] = torch.arange(len(numbers))
        self.register_buffer("species_of_number", lookup)
        composition = torch.tensor(parameters.composition, dtype=torch.float64)
        self.register_buffer("composition", composition)
        self.scale = float(parameters.scale)

    def rotation_average(
        self, batch: Structures, rotations: Tensor, weights: Tensor, max_edges: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the results of :meth:`SymmetrizedPotential.forward` for a grid of rotations."""
        if self.pair_cutoffs.adaptive:
            by_atom, gradients = self.adaptive_passes(batch, rotations, weights, max_edges)
        else:
            by_atom, gradients = self.fixed_passes(batch, rotations, weights, max_edges)
        by_atom = by_atom + self.owned_composition(batch)
        if batch.n_structures == 1:
            by_rotation = by_atom.sum(dim=1, keepdim=True)
        else:
            by_rotation = torch.zeros(
                rotations.shape[0], batch.n_structures, dtype=torch.float64, device=by_atom.device
            ).index_add(1, batch.structures, by_atom)
        atomic_energies = torch.matmul(weights, by_atom)
        energies = torch.matmul(weights, by_rotation)
        return energies, atomic_energies, gradients, by_rotation

    def fixed_passes(
        self, batch: Structures, rotations: Tensor, weights: Tensor, max_edges: int
    ) -> tuple[Tensor, Tensor]:
        """Return energies [R, N] and weighted gradients [E, 3], with one cutoff for all edges.

        No edge is beyond its cutoff, and a cutoff factor depends on its own edge only, so that its
        derivative is known. This takes half of the time of :meth:`adaptive_passes` for a molecule.
        """
        lengths = torch.linalg.vector_norm(batch.vectors, dim=1)
        factors, slopes = self.pair_cutoffs.fixed_factors(lengths.to(self.zero.dtype))
        edges = Edges(
            self.species_of_number[batch.types],
            batch.vectors,
            factors,
            batch.centers,
            batch.neighbors,
            batch.reverse,
        )
        by_atom, gradients, by_factor = self.rotated_passes(
            edges, batch.owned, rotations, weights, max_edges
        )
        gradients.addcmul_(batch.vectors, (by_factor * slopes / lengths)[:, None])
        return by_atom, gradients

    def adaptive_passes(
        self, batch: Structures, rotations: Tensor, weights: Tensor, max_edges: int
    ) -> tuple[Tensor, Tensor]:
        """Return the same as ``fixed_passes``, where each atom has a cutoff of its own."""
        leaf = batch.vectors.detach().requires_grad_(True)
        kept, position, factors = self.near_edges(
            leaf, batch.centers, batch.neighbors, batch.types.shape[0]
        )
        edges = Edges(
            self.species_of_number[batch.types],
            batch.vectors[kept],
            factors.detach(),
            batch.centers[kept],
            batch.neighbors[kept],
            position[batch.reverse[kept]],
        )
        by_atom, by_vector, by_factor = self.rotated_passes(
            edges, batch.owned, rotations, weights, max_edges
        )
        gradients = self.through_factors(leaf, factors, by_factor)
        return by_atom, gradients.index_add_(0, kept, by_vector)

    def near_edges(
        self, vectors: Tensor, centers: Tensor, neighbors: Tensor, n_atoms: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Select the edges within the cutoff of their own pair.

        Returns:
            the indices of the selected edges [K]; the place of each edge among them [E]; their
            cutoff factors [K], differentiable with respect to ``vectors``.
        """
        lengths = torch.sqrt((vectors * vectors).sum(dim=1)).to(self.zero.dtype)
        pair_cutoffs = self.pair_cutoffs(lengths, centers, neighbors, n_atoms)
        kept = torch.nonzero(lengths <= pair_cutoffs).squeeze(1)
        position = torch.zeros_like(centers).index_copy(
            0, kept, torch.arange(kept.shape[0], device=centers.device)
        )
        return kept, position, self.pair_cutoffs.factors(lengths[kept], pair_cutoffs[kept])

    def through_factors(self, leaf: Tensor, factors: Tensor, gradients: Tensor) -> Tensor:
        """Return the gradient by edge vectors [E, 3] of a gradient by cutoff factors [K]."""
        if factors.shape[0] == 0:
            return torch.zeros_like(leaf)
        chained = torch.autograd.grad([(factors * gradients.to(factors.dtype)).sum()], [leaf])[0]
        assert chained is not None
        return chained

    def owned_composition(self, batch: Structures) -> Tensor:
        """Return the composition energy of each owned atom [N] (eV), zero for others."""
        return self.composition[self.species_of_number[batch.types]] * batch.owned

    def rotated_passes(
        self, edges: Edges, owned: Tensor, rotations: Tensor, weights: Tensor, max_edges: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return energies [R, N], and weighted gradients by vectors [E, 3] and factors [E]."""
        n_edges = edges.vectors.shape[0]
        by_atom: list[Tensor] = []
        vector_gradients = torch.zeros_like(edges.vectors)
        factor_gradients = torch.zeros_like(edges.factors, dtype=edges.vectors.dtype)
        counted = self.scale * owned.to(torch.float64)
        step = max(1, max_edges // max(1, n_edges))
        for start in range(0, rotations.shape[0], step):
            matrices = rotations[start : start + step]
            grad_outputs = weights[start : start + step, None] * counted
            energies, by_vector, by_factor = self.rotated_pass(edges, matrices, grad_outputs)
            # v = r R, so dE/dr = dE/dv R^T.
            vector_gradients += torch.matmul(by_vector, matrices.transpose(1, 2)).sum(dim=0)
            factor_gradients += by_factor.sum(dim=0)
            by_atom.append(energies * counted)
        return torch.cat(by_atom), vector_gradients, factor_gradients

    def rotated_pass(
        self, edges: Edges, matrices: Tensor, grad_outputs: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run the network on C copies of a batch, each rotated by one of ``matrices``.

        Returns:
            the output of the network [C, N]; the gradients, in float64, of the sum of the output
            times ``grad_outputs`` [C, N], by rotated vectors [C, E, 3] and by factors [C, E].
        """
        species, vectors, factors, centers, neighbors, reverse = edges
        n_copies, n_atoms, n_edges = matrices.shape[0], species.shape[0], vectors.shape[0]
        rotated = torch.matmul(vectors, matrices).reshape(n_copies * n_edges, 3).to(factors.dtype)
        if n_copies > 1:
            copies = torch.arange(n_copies, device=species.device)[:, None]
            species, factors = species.repeat(n_copies), factors.repeat(n_copies)
            centers = (centers + n_atoms * copies).view(n_copies * n_edges)
            neighbors = (neighbors + n_atoms * copies).view(n_copies * n_edges)
            reverse = (reverse + n_edges * copies).view(n_copies * n_edges)
        energies, by_vector, by_factor = self.network.differentiate(
            species,
            rotated,
            factors,
            centers,
            neighbors,
            reverse,
            grad_outputs.view(n_copies * n_atoms),
        )
        return (
            energies.view(n_copies, n_atoms),
            by_vector.to(vectors.dtype).view(n_copies, n_edges, 3),
            by_factor.to(vectors.dtype).view(n_copies, n_edges),
        )
