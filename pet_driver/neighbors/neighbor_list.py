"""Neighbour search: all pairs within a cutoff, every periodic image counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from vesin import NeighborList

from pet_driver.neighbors.structure import Structure


@dataclass(frozen=True)
class Edges:
    """All directed edges of one structure, sorted by centre.

    Attributes:
        vectors: r_ij = x_j - x_i + S.cell [E, 3] in A.
        centers, neighbors: i and j [E].
        reverse: index of the edge (j, i, -S) [E].
        shifts: S [E, 3], whole cell vectors.
    """

    vectors: np.ndarray
    centers: np.ndarray
    neighbors: np.ndarray
    reverse: np.ndarray
    shifts: np.ndarray


def find_edges(structure: Structure, cutoff: float) -> Edges:
    """Every edge of ``structure`` no longer than ``cutoff`` (A)."""
    structure.check()
    cell = np.where(np.array(structure.pbc)[:, None], structure.cell, 0.0)
    # Each pair once: its two directions are then known to be each other's reverse.
    finder = NeighborList(cutoff=cutoff, full_list=False)  # owns what it finds
    ends, shifts, vectors = finder.compute(
        points=np.ascontiguousarray(structure.positions, dtype=np.float64),
        box=cell,
        periodic=np.array(structure.pbc),
        quantities="PSD",
        copy=False,
    )
    centers = ends.T.astype(np.int64).reshape(-1)
    order = _sorting(centers, len(structure.numbers))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    pairs = len(ends)
    partner = np.where(order < pairs, order + pairs, order - pairs)
    return Edges(
        np.concatenate([vectors, -vectors])[order],
        centers[order],
        centers[partner],
        place[partner],
        np.concatenate([shifts, -shifts])[order],
    )


def _sorting(indices: np.ndarray, end: int) -> np.ndarray:
    """Permutation that sorts ``indices``, all below ``end``; in linear time where they are short,
    because numpy sorts small integers by their digits."""
    return np.argsort(indices.astype(np.uint16) if end < 2**16 else indices, kind="stable")
