"""The Point Edge Transformer as a function of edge vectors.

Sources: S. N. Pozdnyakov and M. Ceriotti, "Smooth, exact rotational symmetrization for deep
learning on point clouds", NeurIPS 2023 (the architecture), and metatrain's PET (the current
options). Parameters have metatrain's names where the structure is the same.
"""

# TorchScript requires the body ``pass`` of an interface, and misreads comments for type checkers
# inside the class.
# mypy: disable-error-code="empty-body"

from __future__ import annotations

import torch
from torch import Tensor, nn

from pet_driver.network.hypers import Hypers
from pet_driver.network.transformer import Layout, make_layer, make_layout, table_width


class MessagePassingLayer(nn.Module):
    """Message-passing layer: a token for each edge, then attention layers."""

    def __init__(self, hypers: Hypers, n_species: int, first: bool) -> None:
        super().__init__()
        width = hypers.d_pet
        self.edge_embedder = nn.Linear(4, width)
        # In the first layer the message is the embedding of the neighbour's species already.
        self.neighbor_embedder = None if first else nn.Embedding(n_species, width)
        self.compress = nn.Sequential(
            nn.Linear((2 if first else 3) * width, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.layers = nn.ModuleList(
            [make_layer(hypers) for _ in range(hypers.num_attention_layers)]
        )

    def forward(
        self, nodes: Tensor, messages: Tensor, geometry: Tensor, species: Tensor, layout: Layout
    ) -> tuple[Tensor, Tensor]:
        """Return the updated features of atoms [N, d_node] and of edges [E, D].

        Args:
            nodes: features of atoms [N, d_node].
            messages: incoming message of each edge [E, D].
            geometry: edge vector and length [E, 4].
            species: species of the neighbour of each edge [E].
            layout: see :class:`pet_driver.network.transformer.Layout`.
        """
        parts = [self.edge_embedder(geometry)]
        if self.neighbor_embedder is not None:
            parts.append(self.neighbor_embedder(species))
        parts.append(messages)
        edges = self.compress(torch.cat(parts, dim=1))
        for layer in self.layers:
            nodes, edges = layer(nodes, edges, layout)
        return nodes, edges


class Readout(nn.Module):
    """Energies of atoms from their own features and those of their edges."""

    def __init__(self, hypers: Hypers) -> None:
        super().__init__()
        self.node_head = self._head(hypers.d_node, hypers.d_head)
        self.edge_head = self._head(hypers.d_pet, hypers.d_head)
        self.node_last = nn.Linear(hypers.d_head, 1)
        self.edge_last = nn.Linear(hypers.d_head, 1)

    @staticmethod
    def _head(width: int, hidden: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(width, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU()
        )

    def forward(self, nodes: Tensor, edges: Tensor, factors: Tensor, centers: Tensor) -> Tensor:
        """Return the energy of each atom [N], summed in float64."""
        energies = self.node_last(self.node_head(nodes)).squeeze(1).to(torch.float64)
        bonds = factors * self.edge_last(self.edge_head(edges)).squeeze(1)
        return energies.index_add(0, centers, bonds.to(torch.float64))


class FeedForwardFeaturizer(nn.Module):
    """Layers in sequence; after each, an edge is combined with its reverse edge.

    Features of atoms pass from layer to layer, and energies are read out once, at the end.
    """

    def __init__(self, hypers: Hypers, n_species: int) -> None:
        super().__init__()
        width, layers = hypers.d_pet, range(hypers.num_gnn_layers)
        self.gnn_layers = nn.ModuleList(
            [MessagePassingLayer(hypers, n_species, first=layer == 0) for layer in layers]
        )
        self.combination_norms = nn.ModuleList([nn.LayerNorm(2 * width) for _ in layers])
        self.combination_mlps = nn.ModuleList(
            [
                nn.Sequential(
                    nn.Linear(2 * width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
                )
                for _ in layers
            ]
        )
        self.node_embedders = nn.ModuleList([nn.Embedding(n_species, hypers.d_node)])
        self.edge_embedder = nn.Embedding(n_species, width)
        self.readouts = nn.ModuleList([Readout(hypers)])

    def forward(
        self,
        species: Tensor,
        geometry: Tensor,
        factors: Tensor,
        centers: Tensor,
        neighbors: Tensor,
        reverse: Tensor,
        width: int,
    ) -> Tensor:
        layout = make_layout(centers, factors, species.shape[0], width)
        neighbor_species = species[neighbors]
        messages = self.edge_embedder(neighbor_species)
        nodes = self.node_embedders[0](species)
        for layer, norm, mlp in zip(
            self.gnn_layers, self.combination_norms, self.combination_mlps, strict=True
        ):
            nodes, edges = layer(nodes, messages, geometry, neighbor_species, layout)
            both = torch.cat([edges, edges.index_select(0, reverse)], dim=1)
            messages = messages + edges + mlp(norm(both))
        return self.readouts[0](nodes, messages, factors, centers)


class ResidualFeaturizer(nn.Module):
    """Layers with a readout each; messages are averaged with the reverse edge.

    Features of atoms start from the species in every layer.
    """

    def __init__(self, hypers: Hypers, n_species: int) -> None:
        super().__init__()
        layers = range(hypers.num_gnn_layers)
        self.gnn_layers = nn.ModuleList(
            [MessagePassingLayer(hypers, n_species, first=layer == 0) for layer in layers]
        )
        self.node_embedders = nn.ModuleList(
            [nn.Embedding(n_species, hypers.d_node) for _ in layers]
        )
        self.edge_embedder = nn.Embedding(n_species, hypers.d_pet)
        self.readouts = nn.ModuleList([Readout(hypers) for _ in layers])

    def forward(
        self,
        species: Tensor,
        geometry: Tensor,
        factors: Tensor,
        centers: Tensor,
        neighbors: Tensor,
        reverse: Tensor,
        width: int,
    ) -> Tensor:
        layout = make_layout(centers, factors, species.shape[0], width)
        neighbor_species = species[neighbors]
        messages = self.edge_embedder(neighbor_species)
        energies = torch.zeros(species.shape[0], dtype=torch.float64, device=species.device)
        for layer, embedder, readout in zip(
            self.gnn_layers, self.node_embedders, self.readouts, strict=True
        ):
            nodes, edges = layer(embedder(species), messages, geometry, neighbor_species, layout)
            messages = 0.5 * (messages + edges.index_select(0, reverse))
            energies = energies + readout(nodes, edges, factors, centers)
        return energies


class PET(nn.Module):
    """PET network: energies of atoms from edge vectors, in the units and scale of the training.

    Edges are sorted by centre, present in both directions, and not longer than the cutoff.

    Attributes:
        num_heads, temperature, pre_norm: read by backends together with the weights, whose shapes
            do not determine them.
    """

    def __init__(self, hypers: Hypers, n_species: int) -> None:
        super().__init__()
        residual = hypers.featurizer_type == "residual"
        kind = ResidualFeaturizer if residual else FeedForwardFeaturizer
        self.featurizer = kind(hypers, n_species)
        self.num_heads = hypers.num_heads
        self.temperature = float(hypers.attention_temperature)
        self.pre_norm = hypers.transformer_type == "PreLN"

    def forward(
        self,
        species: Tensor,
        vectors: Tensor,
        factors: Tensor,
        centers: Tensor,
        neighbors: Tensor,
        reverse: Tensor,
    ) -> Tensor:
        """Return the energy of each atom [N], float64.

        The arguments are those of :meth:`DifferentiableNetwork.differentiate`.
        """
        width = table_width(centers, species.shape[0])
        return self.energies(species, vectors, factors, centers, neighbors, reverse, width)

    def energies(
        self,
        species: Tensor,
        vectors: Tensor,
        factors: Tensor,
        centers: Tensor,
        neighbors: Tensor,
        reverse: Tensor,
        width: int,
    ) -> Tensor:
        """Return the same as ``forward``, with padded edge rows of a given ``width``."""
        lengths = torch.sqrt((vectors * vectors).sum(dim=1, keepdim=True) + 1e-15)
        geometry = torch.cat([vectors, lengths], dim=1)
        return self.featurizer(species, geometry, factors, centers, neighbors, reverse, width)

    @torch.jit.export
    def differentiate(
        self,
        species: Tensor,
        vectors: Tensor,
        factors: Tensor,
        centers: Tensor,
        neighbors: Tensor,
        reverse: Tensor,
        seeds: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Implement :class:`DifferentiableNetwork`."""
        width = table_width(centers, species.shape[0])
        return self.differentiate_padded(
            species, vectors, factors, centers, neighbors, reverse, seeds, width
        )

    def differentiate_padded(
        self,
        species: Tensor,
        vectors: Tensor,
        factors: Tensor,
        centers: Tensor,
        neighbors: Tensor,
        reverse: Tensor,
        grad_outputs: Tensor,
        width: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the same as ``differentiate``, with padded edge rows of a given ``width``."""
        vectors = vectors.detach().requires_grad_(True)
        factors = factors.detach().requires_grad_(True)
        energies = self.energies(species, vectors, factors, centers, neighbors, reverse, width)
        gradients = torch.autograd.grad([(energies * grad_outputs).sum()], [vectors, factors])
        by_vector, by_factor = gradients[0], gradients[1]
        assert by_vector is not None and by_factor is not None
        return energies.detach(), by_vector, by_factor


@torch.jit.interface
class DifferentiableNetwork(nn.Module):
    """Interface of a network with gradients, through which an archive calls it.

    A backend replaces the :class:`PET` of an archive by another module with this method.
    """

    # TorchScript compares the names of arguments, and archives hold a copy of this interface.
    # ``seeds`` (autograd's grad_outputs) keeps its name as long as archives of format 2 are read.

    def differentiate(
        self,
        species: Tensor,
        vectors: Tensor,
        factors: Tensor,
        centers: Tensor,
        neighbors: Tensor,
        reverse: Tensor,
        seeds: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return energies of atoms, and the gradients of their sum weighted by ``seeds``.

        Args:
            species: index of the species of each atom [N].
            vectors: edge vectors [E, 3] in A, sorted by centre.
            factors: cutoff factors of the edges [E].
            centers, neighbors: the two atoms of each edge [E].
            reverse: index of the reverse of each edge [E].
            seeds: weights of the energies [N], float64.

        Returns:
            energies [N], float64; gradients by vectors [E, 3] and by factors [E].
        """
        pass
