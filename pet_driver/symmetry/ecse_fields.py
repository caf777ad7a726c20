"""Receptive fields: the part of a structure on which the energy of an atom depends.

A network that passes messages L times reads an atom, its neighbours, their neighbours and so on.
To see one atom in a frame of its own, only that part has to be evaluated in the frame. A field
lists the atoms whose edges are tokens; atoms at the far end of their edges are there as species
alone. Messages that would come from beyond are missing, which spoils the outermost atoms, then the
ones before them, and never reaches the atom in the middle.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from pet_driver.symmetry.ecse_frames import spans, sum_by


class Fields(NamedTuple):
    """Subgraphs, one after the other; indices of nodes and edges count from each field's own."""

    atoms: Tensor  # [n] the atom of each node
    counted: Tensor  # [n] bool: its energy counts
    first_node: Tensor  # [K]
    n_nodes: Tensor  # [K]
    edges: Tensor  # [m] the edge of the whole graph
    centers: Tensor  # [m] node
    reverse: Tensor  # [m] edge of the field; an edge whose reverse lies outside is its own
    first_edge: Tensor  # [K]
    n_edges: Tensor  # [K]


def unique(keys: Tensor) -> Tensor:
    """Sorted keys without repetition."""
    keys = torch.sort(keys)[0]
    fresh = torch.ones_like(keys, dtype=torch.bool)
    fresh[1:] = keys[1:] != keys[:-1]
    return keys[fresh]


def surroundings(
    atoms: Tensor, hops: int, first: Tensor, counts: Tensor, neighbors: Tensor
) -> Tensor:
    """Keys k N + j [n], ascending, of all atoms j within ``hops`` edges of ``atoms[k]``."""
    n_atoms = first.shape[0]
    keys = torch.arange(atoms.shape[0], device=atoms.device) * n_atoms + atoms
    for _ in range(hops):
        members = keys % n_atoms
        edges, owner = spans(first[members], counts[members])
        keys = unique(torch.cat([keys, (keys - members)[owner] + neighbors[edges]]))
    return keys


def make_fields(
    keys: Tensor,
    counted: Tensor,
    n_fields: int,
    first: Tensor,
    counts: Tensor,
    neighbors: Tensor,
    reverse: Tensor,
) -> Fields:
    """Subgraphs of a graph.

    Args:
        keys: k N + j for every atom j of field k, ascending [n].
        counted: atoms whose energy counts [n], bool.
        n_fields: number of fields K.
        first, counts: where the edges of each atom begin, and how many there are [N].
        neighbors, reverse: far end and reverse of each edge [E].
    """
    n_atoms = first.shape[0]
    atoms, owners = keys % n_atoms, keys // n_atoms
    n_nodes = sum_by(torch.ones_like(keys), owners, n_fields)
    first_node = torch.cumsum(n_nodes, 0) - n_nodes
    edges, nodes = spans(first[atoms], counts[atoms])
    n_edges = sum_by(counts[atoms], owners, n_fields)
    first_edge = torch.cumsum(n_edges, 0) - n_edges

    # The reverse of an edge starts at the edge's far end, if that is a node of the same field.
    far = (keys - atoms)[nodes] + neighbors[edges]
    partner = torch.searchsorted(keys, far).clamp(max=max(0, keys.shape[0] - 1))
    present = keys[partner] == far
    first_of_node = torch.cumsum(counts[atoms], 0) - counts[atoms]
    position = torch.arange(edges.shape[0], device=keys.device)
    back = first_of_node[partner] + reverse[edges] - first[neighbors[edges]]
    back = torch.where(present, back, position)
    field = owners[nodes]
    return Fields(
        atoms,
        counted,
        first_node,
        n_nodes,
        edges,
        nodes - first_node[field],
        back - first_edge[field],
        first_edge,
        n_edges,
    )


class Batch(NamedTuple):
    """Copies of fields side by side, as one input of the network."""

    copies: Tensor  # [n] the copy of each node
    nodes: Tensor  # [n] node among all nodes of the fields
    edge_copies: Tensor  # [m] the copy of each edge
    edges: Tensor  # [m] edge of the whole graph
    centers: Tensor  # [m] node of the batch
    reverse: Tensor  # [m] edge of the batch


def make_batch(fields: Fields, chosen: Tensor) -> Batch:
    """One copy of a field for each entry of ``chosen`` [C]."""
    n_nodes, n_edges = fields.n_nodes[chosen], fields.n_edges[chosen]
    nodes, copies = spans(fields.first_node[chosen], n_nodes)
    edges, edge_copies = spans(fields.first_edge[chosen], n_edges)
    node_offsets = (torch.cumsum(n_nodes, 0) - n_nodes)[edge_copies]
    edge_offsets = (torch.cumsum(n_edges, 0) - n_edges)[edge_copies]
    return Batch(
        copies,
        nodes,
        edge_copies,
        fields.edges[edges],
        fields.centers[edges] + node_offsets,
        fields.reverse[edges] + edge_offsets,
    )
