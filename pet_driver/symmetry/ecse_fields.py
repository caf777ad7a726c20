"""Receptive fields: the part of a structure on which the energy of an atom depends.

With L message-passing layers the energy of an atom depends on the atom, its neighbours, their
neighbours and so on. In a local reference frame of the atom, only this part has to be evaluated. A
field lists the atoms whose edges are tokens; of the atoms at the far end of these edges only the
species matters. Messages from outside the field are missing. They would change the outermost atoms
in the first layer, those before them in the next one, and never the atom in the centre.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from pet_driver.symmetry.ecse_frames import spans, sum_by


class Fields(NamedTuple):
    """K receptive fields, one after another; node and edge indices start at 0 in each field."""

    atoms: Tensor  # [n] the atom of each node
    counted: Tensor  # [n] bool: whether its energy counts
    first_node: Tensor  # [K]
    n_nodes: Tensor  # [K]
    edges: Tensor  # [m] edge of the whole graph
    centers: Tensor  # [m] node
    reverse: Tensor  # [m] edge of the field; the edge itself where its reverse is outside
    first_edge: Tensor  # [K]
    n_edges: Tensor  # [K]


def unique(keys: Tensor) -> Tensor:
    """Return the sorted keys without repetition."""
    keys = torch.sort(keys)[0]
    fresh = torch.ones_like(keys, dtype=torch.bool)
    fresh[1:] = keys[1:] != keys[:-1]
    return keys[fresh]


def surroundings(
    atoms: Tensor, hops: int, first: Tensor, counts: Tensor, neighbors: Tensor
) -> Tensor:
    """Return keys k N + j [n], ascending, of all atoms j within ``hops`` edges of ``atoms[k]``."""
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
    """Return the receptive fields with the given atoms.

    Args:
        keys: k N + j for every atom j of field k, ascending [n].
        counted: whether the energy of an atom counts [n], bool.
        n_fields: number of fields K.
        first, counts: index of the first edge of each atom, and number of its edges [N].
        neighbors, reverse: neighbour and reverse edge of each edge [E].
    """
    n_atoms = first.shape[0]
    atoms, owners = keys % n_atoms, keys // n_atoms
    n_nodes = sum_by(torch.ones_like(keys), owners, n_fields)
    first_node = torch.cumsum(n_nodes, 0) - n_nodes
    edges, nodes = spans(first[atoms], counts[atoms])
    n_edges = sum_by(counts[atoms], owners, n_fields)
    first_edge = torch.cumsum(n_edges, 0) - n_edges

    # The reverse of an edge starts at the neighbour, if that is a node of the same field.
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
    """Copies of fields as one input of the network."""

    copies: Tensor  # [n] the copy of each node
    nodes: Tensor  # [n] index among the nodes of all fields
    edge_copies: Tensor  # [m] the copy of each edge
    edges: Tensor  # [m] edge of the whole graph
    centers: Tensor  # [m] node of the batch
    reverse: Tensor  # [m] edge of the batch


def make_batch(fields: Fields, chosen: Tensor) -> Batch:
    """Return one copy of a field for each entry of ``chosen`` [C]."""
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
