"""Count the floating-point operations that an evaluation needs, from the network and the edges.

Only matrix products are counted. A linear layer from width a to b for n rows needs 2 n a b
operations forward, and as many backward, because only the gradient of its input is needed. In
attention, both factors have gradients: backward needs twice as many as forward. The rows are atoms,
and edges within the pair cutoff without padding. Norms, activations and cutoff functions are left
out: they are limited by memory bandwidth, not by arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from vesin import NeighborList

from benchmarks.speed.contenders import Frame


@dataclass(frozen=True)
class Operations:
    """Operations for energy, forces and virial of one structure.

    Attributes:
        edges: number of directed edges within their pair cutoffs.
        linear: operations in linear layers, forward.
        attention: operations in the products of attention, forward.
    """

    edges: int
    linear: float
    attention: float

    @property
    def total(self) -> float:
        """Operations forward and backward."""
        return 2.0 * self.linear + 3.0 * self.attention


def count(hypers: dict[str, Any], frame: Frame) -> Operations:
    """Count the operations of a network with the hyper-parameters of metatrain."""
    degrees = neighbors_within(hypers, frame)
    atoms, edges = len(degrees), int(degrees.sum())
    tokens = float(((1 + degrees) ** 2).sum())  # pairs of tokens; the centre is one
    width, node = hypers["d_pet"], hypers["d_node"]
    layers, depth = hypers["num_gnn_layers"], hypers["num_attention_layers"]
    linear = 0.0
    for layer in range(layers):
        linear += edges * _message(width, first=layer == 0)
        linear += depth * _transformer(hypers, atoms, edges)
        linear += edges * (2 * width * 2 * width + 2 * width * width)  # forward and reverse edge
    linear += _head(hypers, atoms, node) + _head(hypers, edges, width)
    # queries times keys, then weights times values
    attention = layers * depth * 2 * tokens * width
    return Operations(edges, 2.0 * linear, 2.0 * attention)


def _message(width: int, first: bool) -> float:
    """Return the products for one edge at the input of a message-passing layer.

    The embedding of the species is counted as an input of the linear layer, as in training.
    """
    parts = 2 if first else 3
    return 4 * width + parts * width * width + width * width


def _transformer(hypers: dict[str, Any], atoms: int, edges: int) -> float:
    """Return the products in the linear layers of one transformer layer (SwiGLU)."""
    width, node = hypers["d_pet"], hypers["d_node"]
    attention = (atoms + edges) * (3 * width * width + width * width)
    on_edges = edges * 3 * width * hypers["d_feedforward"]
    on_atoms = 0
    if node != width:
        on_atoms = atoms * (2 * node * width + 3 * node * 2 * node)
    return attention + on_edges + on_atoms


def _head(hypers: dict[str, Any], rows: int, width: int) -> float:
    head = hypers["d_head"]
    return rows * (width * head + head * head + head)


def neighbors_within(hypers: dict[str, Any], frame: Frame) -> np.ndarray:
    """Return the number of neighbours [N] of each atom within the pair cutoff."""
    centers, neighbors, distances = NeighborList(cutoff=hypers["cutoff"], full_list=True).compute(
        points=frame.positions,
        box=frame.cell,
        periodic=frame.periodic,
        quantities="ijd",
    )
    n_atoms = len(frame.numbers)
    if hypers.get("num_neighbors_adaptive") is not None:
        radii = adaptive_radii(hypers, n_atoms, centers, distances)
        kept = distances <= 0.5 * (radii[centers] + radii[neighbors])
        centers = centers[kept]
    return np.bincount(centers, minlength=n_atoms)


def adaptive_radii(
    hypers: dict[str, Any], n_atoms: int, centers: np.ndarray, distances: np.ndarray
) -> np.ndarray:
    """Return the adaptive cutoff radius [N] (A) of each atom.

    It is the radius at which a smooth number of neighbours, plus a cubic baseline, equals
    ``num_neighbors_adaptive``; found by bisection.
    """
    longest, target = hypers["cutoff"], hypers["num_neighbors_adaptive"]
    width = hypers.get("cutoff_width_adaptive", 1.0)
    low, high = np.zeros(n_atoms), np.full(n_atoms, float(longest))
    for _ in range(40):
        radii = 0.5 * (low + high)
        s = np.clip((distances - (radii[centers] - width)) / width, 1e-6, 1.0 - 1e-6)
        inside = 0.5 * (1.0 + np.tanh(1.0 / np.tan(np.pi * s)))
        counts = np.bincount(centers, inside, n_atoms) + target * (radii / longest) ** 3
        low, high = np.where(counts < target, radii, low), np.where(counts < target, high, radii)
    return 0.5 * (low + high)
