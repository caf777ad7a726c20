"""Exact symmetrization with local reference frames: an invariant and smooth energy.

The environment of each atom is evaluated in local reference frames that are built from its own
neighbours and rotate with them. The energy of the atom is the weighted mean over these frames (see
:mod:`pet_driver.symmetry.ecse_frames`):

    E = sum_i [sum_f w_if E_i(x R_if) + w_i E_i^aux] / (sum_f w_if + w_i).

This is the equivariant coordinate system ensemble (ECSE) of S. N. Pozdnyakov and M. Ceriotti,
"Smooth, exact rotational symmetrization for deep learning on point clouds", NeurIPS 2023.

A frame needs only the atom's receptive field (see :mod:`pet_driver.symmetry.ecse_fields`), so that
the cost is linear in the number of atoms. Alternatively all frames of a structure are pooled, and
the whole structure is evaluated in each: cheaper for a small structure and a network with a large
interaction range, but the cost is quadratic in the number of atoms.

Edge vectors enter twice: in the structure that is rotated, and in the frame that rotates it. The
gradient has terms for both, and for the weights:

    dE/dr = sum_f [w_f (dE/dv_f) R_f^T + <dE/dR_f, dR_f/dr> + E_f dw_f/dr] + (dE/dc) dc/dr

with v_f = r R_f and the cutoff factors c. Frames and weights are differentiated once, after all
passes of the network, so that one pass bounds the memory.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from pet_driver.symmetry.averaging import PotentialParameters, RotationAverage, Structures
from pet_driver.symmetry.ecse_fields import Fields, make_batch, make_fields, surroundings
from pet_driver.symmetry.ecse_frames import FrameBuilder, sum_by
from pet_driver.symmetry.ranges import split_by_cost

# Bounds on the pairs of neighbours and on the edges of receptive fields in memory, in units of the
# edges of one network pass.
PAIRS_IN_MEMORY = 16.0
EDGES_IN_MEMORY = 8.0


class Graph(NamedTuple):
    """A batch of structures, with its edges sorted by centre."""

    species: Tensor  # [N]
    structures: Tensor  # [N]
    all_vectors: Tensor  # [A, 3] vectors of all edges within the largest cutoff
    all_first: Tensor  # [N] index of the first edge of each atom among these
    all_counts: Tensor  # [N] number of edges of each atom among these
    vectors: Tensor  # [E, 3] vectors of the edges within their pair cutoffs
    factors: Tensor  # [E] their cutoff factors
    neighbors: Tensor  # [E]
    reverse: Tensor  # [E]
    first: Tensor  # [N]
    counts: Tensor  # [N]


class Block(NamedTuple):
    """Atoms whose local reference frames are in memory at the same time."""

    atoms: Tensor  # [A]
    matrices: Tensor  # [C, 3, 3] frames, then axes; differentiable
    weights: Tensor  # [C] differentiable
    lone: Tensor  # [A] weights of isolated atoms; differentiable
    axial: Tensor  # [C] 1 for an axis, 0 for a frame
    chosen: Tensor  # [C] the receptive field that is evaluated in each
    fields: Fields


class Sums(NamedTuple):
    """Sums over the network passes."""

    by_rotation: Tensor  # [R, B] energies
    by_atom: Tensor  # [N] energies
    by_vector: Tensor  # [E, 3] gradients, edges within their pair cutoffs
    by_factor: Tensor  # [E]


def split(costs: Tensor, bound: float) -> list[tuple[int, int]]:
    """Apply :func:`pet_driver.symmetry.ranges.split_by_cost` to a tensor of costs."""
    values: list[float] = costs.to(torch.float64).tolist()
    return split_by_cost(values, bound)


def mirrored(rotations: Tensor) -> Tensor:
    """Return rotations [R, 3, 3] as they act on a structure in a local reference frame.

    In the frames of an inverted structure the axes u1 and u1 x n are reversed, and n is not.
    """
    mirror = torch.ones(3, dtype=rotations.dtype, device=rotations.device)
    mirror[1] = -1.0
    improper = torch.linalg.det(rotations) < 0.0
    return torch.where(improper[:, None, None], -mirror[None, :, None] * rotations, rotations)


def seen_in_frames(vectors: Tensor, matrices: Tensor, copies: Tensor, axial: Tensor) -> Tensor:
    """Return edge vectors [m, 3] in the coordinates of their frames.

    Vectors that belong to an axis are projected on it: |r| c -> |r| c (3 - c^2)/2, with the cosine
    c of the angle between vector and axis.

    Args:
        vectors: [m, 3].
        matrices: frames or axes [C, 3, 3], in columns.
        copies: index of the frame or axis of each vector [m].
        axial: 1 for an axis, 0 for a frame [C].
    """
    seen = torch.bmm(vectors[:, None, :], matrices[copies]).squeeze(1)
    if bool(axial.any()):
        # The first component is |r| c already, the others are zero.
        squared_cosines = (seen * seen).sum(dim=1) / (vectors * vectors).sum(dim=1)
        projection = 0.5 * (3.0 - squared_cosines)
        factors = torch.where(axial[copies] > 0.0, projection, torch.ones_like(projection))
        seen = seen * factors[:, None]
    return seen


class FrameAverage(RotationAverage):
    """Energies averaged over local reference frames, which rotate with the structure.

    An atom without usable pairs of neighbours has an auxiliary energy, also invariant and smooth.
    For each of its nearest neighbours all edge vectors are projected on the axis u to it,
    r -> |r| s(cos(r, u)) u with s(c) = c (3 - c^2)/2, and the network evaluates the projection
    with u along x. A diatomic or a linear molecule is its own projection, so that its energy is the
    network's for the molecule along x; elsewhere the auxiliary energy is a smooth continuation. An
    isolated atom has the network's energy of a single atom.

    Rotations are composed with the frames. Frames are proper rotations and do not make the energy
    invariant under inversion; a grid with the inversion does: it adds to each frame the mirror
    image that the inverted structure has in its own frames, with the middle axis reversed.
    """

    def __init__(self, network: nn.Module, parameters: PotentialParameters) -> None:
        super().__init__(network, parameters)
        self.frames = FrameBuilder(parameters.hypers.cutoff)
        self.pairs_in_memory = PAIRS_IN_MEMORY
        self.edges_in_memory = EDGES_IN_MEMORY
        self.hops = parameters.hypers.hops

    def frame_average(
        self, batch: Structures, rotations: Tensor, weights: Tensor, pooled: bool, max_edges: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the results of :meth:`SymmetrizedPotential.forward` for local reference frames.

        Raises:
            RuntimeError: frames are pooled and not all atoms are owned.
        """
        rotations = mirrored(rotations)
        device, n_structures = batch.types.device, batch.n_structures
        leaf = batch.vectors.detach().requires_grad_(True)
        graph, kept, factors = self.make_graph(batch, leaf)
        sums = Sums(
            torch.zeros(rotations.shape[0], n_structures, dtype=torch.float64, device=device),
            torch.zeros(batch.types.shape[0], dtype=torch.float64, device=device),
            torch.zeros_like(graph.vectors),
            torch.zeros_like(graph.factors, dtype=torch.float64),
        )
        by_frame = torch.zeros_like(batch.vectors)
        isolated = self.isolated_energies(batch.types)
        for atoms in self.blocks(graph, batch.owned, pooled, max_edges):
            by_frame += self.evaluate_block(
                graph, atoms, n_structures, isolated, rotations, weights, sums, pooled, max_edges
            )
        gradients = by_frame + self.through_factors(leaf, factors, sums.by_factor)
        gradients.index_add_(0, kept, sums.by_vector)

        composition = self.owned_composition(batch)
        by_rotation = sums.by_rotation + sum_by(composition, batch.structures, n_structures)
        energies = (weights[:, None] * by_rotation).sum(dim=0)
        return energies, sums.by_atom + composition, gradients, by_rotation

    def frame_workload(
        self, batch: Structures, pooled: bool, max_edges: int
    ) -> tuple[int, int, int]:
        """Return the results of :meth:`SymmetrizedPotential.workload`."""
        graph, kept, _ = self.make_graph(batch, batch.vectors)
        n_frames, n_edges = 0, 0
        for atoms in self.blocks(graph, batch.owned, pooled, max_edges):
            block = self.make_block(graph, atoms, graph.all_vectors, batch.n_structures, pooled)
            n_frames += block.chosen.shape[0]
            n_edges += int(block.fields.n_edges[block.chosen].sum())
        return n_frames, n_edges, kept.shape[0]

    def make_graph(self, batch: Structures, vectors: Tensor) -> tuple[Graph, Tensor, Tensor]:
        """Return the graph, the indices of the edges within their pair cutoffs, their factors.

        The factors are differentiable with respect to ``vectors``, which are those of ``batch``.
        """
        n_atoms, centers = batch.types.shape[0], batch.centers
        kept, position, factors = self.near_edges(vectors, centers, batch.neighbors, n_atoms)
        all_counts = sum_by(torch.ones_like(centers), centers, n_atoms)
        counts = sum_by(torch.ones_like(kept), centers[kept], n_atoms)
        graph = Graph(
            self.species_of_number[batch.types],
            batch.structures,
            vectors.detach(),
            torch.cumsum(all_counts, 0) - all_counts,
            all_counts,
            vectors.detach()[kept],
            factors.detach(),
            batch.neighbors[kept],
            position[batch.reverse[kept]],
            torch.cumsum(counts, 0) - counts,
            counts,
        )
        return graph, kept, factors

    def isolated_energies(self, types: Tensor) -> Tensor:
        """Return the network's energy of a single atom of each species [S]."""
        n_species = self.composition.shape[0]
        species = torch.arange(n_species, device=types.device)
        none = torch.zeros(0, dtype=torch.int64, device=types.device)
        vectors = torch.zeros(0, 3, dtype=self.zero.dtype, device=types.device)
        grad_outputs = torch.zeros(n_species, dtype=torch.float64, device=types.device)
        energies, _, _ = self.network.differentiate(
            species, vectors, vectors[:, 0], none, none, none, grad_outputs
        )
        return self.scale * energies

    def blocks(self, graph: Graph, owned: Tensor, pooled: bool, max_edges: int) -> list[Tensor]:
        """Split the owned atoms into blocks that fit into memory."""
        if pooled:
            if not bool(owned.all()):
                raise RuntimeError(
                    "frames that are pooled over the whole structure cannot be distributed over "
                    "processes: run on one, or use the grid ecse"
                )
            return [torch.arange(owned.shape[0], device=owned.device)]
        # The number of walks of ``hops`` steps is an upper bound on the edges of a receptive field.
        centers = torch.repeat_interleave(graph.counts)
        walks = graph.counts
        for _ in range(self.hops):
            walks = graph.counts + sum_by(walks[graph.neighbors], centers, owned.shape[0])
            walks = walks.clamp(max=graph.vectors.shape[0])
        pairs = graph.all_counts * graph.all_counts
        costs = torch.maximum(pairs / self.pairs_in_memory, walks / self.edges_in_memory)
        atoms = torch.nonzero(owned).squeeze(1)
        return [atoms[start:stop] for start, stop in split(costs[atoms], float(max_edges))]

    def make_block(
        self, graph: Graph, atoms: Tensor, vectors: Tensor, n_structures: int, pooled: bool
    ) -> Block:
        """Return frames of ``atoms`` from all edge vectors [A, 3], and their receptive fields."""
        own = torch.arange(atoms.shape[0], device=atoms.device)
        groups, n_groups = own, atoms.shape[0]
        if pooled:
            groups, n_groups = graph.structures, n_structures
        first, counts = graph.all_first[atoms], graph.all_counts[atoms]
        frames = self.frames(vectors, first, counts, groups, n_groups)

        n_atoms = graph.species.shape[0]
        keys = torch.zeros(0, dtype=torch.int64, device=atoms.device)
        counted = torch.zeros(0, dtype=torch.bool, device=atoms.device)
        n_fields = 0
        if pooled:
            keys = torch.sort(graph.structures * n_atoms + atoms)[0]
            counted = torch.ones_like(keys, dtype=torch.bool)
            n_fields = n_structures
        chosen = torch.cat([frames.groups, n_fields + frames.axis_slots])
        if not pooled or frames.axis_slots.shape[0] > 0:
            near = surroundings(atoms, self.hops, graph.first, graph.counts, graph.neighbors)
            keys = torch.cat([keys, near + n_fields * n_atoms])
            counted = torch.cat([counted, near % n_atoms == atoms[near // n_atoms]])
            n_fields += atoms.shape[0]
        fields = make_fields(
            keys, counted, n_fields, graph.first, graph.counts, graph.neighbors, graph.reverse
        )
        axial = torch.cat([torch.zeros_like(frames.weights), torch.ones_like(frames.axis_weights)])
        return Block(
            atoms,
            torch.cat([frames.matrices, frames.axes]),
            torch.cat([frames.weights, frames.axis_weights]),
            frames.lone,
            axial.detach(),
            chosen,
            fields,
        )

    def evaluate_block(
        self,
        graph: Graph,
        atoms: Tensor,
        n_structures: int,
        isolated: Tensor,
        rotations: Tensor,
        weights: Tensor,
        sums: Sums,
        pooled: bool,
        max_edges: int,
    ) -> Tensor:
        """Add the energies of one block to ``sums``; return the gradient [A, 3] by its frames.

        Args:
            graph: the batch.
            atoms: atoms of the block [A].
            n_structures: number of structures.
            isolated: energy of an isolated atom of each species [S].
            rotations, weights: rotations that are composed with the frames, and their weights.
            sums: results of all blocks.
            pooled: whether frames are pooled over the structure.
            max_edges: upper bound for edges in one network pass.
        """
        leaf = graph.all_vectors.detach().requires_grad_(True)
        block = self.make_block(graph, atoms, leaf, n_structures, pooled)
        by_matrix = torch.zeros_like(block.matrices)
        by_weight = torch.zeros_like(block.weights)
        for start, stop in split(block.fields.n_edges[block.chosen], float(max_edges)):
            for index in range(rotations.shape[0]):
                found = self.network_pass(
                    graph, block, start, stop, rotations[index], weights[index], sums
                )
                energies, node_energies, node_atoms, matrix_gradients = found
                by_matrix[start:stop] += matrix_gradients
                by_weight[start:stop] += weights[index] * energies
                sums.by_rotation[index].index_add_(0, graph.structures[node_atoms], node_energies)
                sums.by_atom.index_add_(0, node_atoms, weights[index] * node_energies)

        lone = isolated[graph.species[atoms]]
        by_atom = block.lone.detach() * lone
        sums.by_atom.index_add_(0, atoms, by_atom * weights.sum())
        sums.by_rotation.index_add_(
            1, graph.structures[atoms], by_atom.expand(rotations.shape[0], -1)
        )
        total = (block.matrices * by_matrix).sum() + (block.weights * by_weight).sum()
        total = total + (block.lone * lone).sum() * weights.sum()
        gradient = torch.autograd.grad([total], [leaf])[0]
        assert gradient is not None
        return gradient

    def network_pass(
        self,
        graph: Graph,
        block: Block,
        start: int,
        stop: int,
        rotation: Tensor,
        weight: Tensor,
        sums: Sums,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Run the network on the receptive fields in the frames ``start`` to ``stop`` of a block.

        Gradients by edge vectors and factors are added to ``sums``.

        Returns:
            energies by frame [C]; weighted energies by node [n], and the atom of each node [n];
            weighted gradients by the matrices of the frames [C, 3, 3].
        """
        batch = make_batch(block.fields, block.chosen[start:stop])
        atoms = block.fields.atoms[batch.nodes]
        vectors = graph.vectors[batch.edges].requires_grad_(True)
        matrices = block.matrices.detach()[start:stop].clone().requires_grad_(True)
        seen = seen_in_frames(vectors, matrices, batch.edge_copies, block.axial[start:stop])
        # The network needs only the species of neighbours: one node for each species is enough.
        n_nodes, n_species = atoms.shape[0], self.composition.shape[0]
        neighbors = n_nodes + graph.species[graph.neighbors[batch.edges]]
        counted = self.scale * block.fields.counted[batch.nodes].to(torch.float64)
        shares = block.weights.detach()[start:stop][batch.copies]
        rotated = torch.matmul(seen, rotation)
        by_node, by_rotated, by_factor = self.network.differentiate(
            torch.cat([graph.species[atoms], torch.arange(n_species, device=neighbors.device)]),
            rotated.detach().to(graph.factors.dtype),
            graph.factors[batch.edges],
            batch.centers,
            neighbors,
            batch.reverse,
            torch.cat([weight * shares * counted, torch.zeros_like(self.composition)]),
        )
        by_node = by_node[:n_nodes] * counted
        gradients = torch.autograd.grad(
            [(rotated * by_rotated.to(rotated.dtype)).sum()], [vectors, matrices]
        )
        by_vector, by_matrix = gradients[0], gradients[1]
        assert by_vector is not None and by_matrix is not None
        sums.by_vector.index_add_(0, batch.edges, by_vector)
        sums.by_factor.index_add_(0, batch.edges, by_factor.to(torch.float64))
        energies = sum_by(by_node, batch.copies, stop - start)
        return energies, by_node * shares, atoms, by_matrix
