"""Neighbour search with vesin: all pairs within a cutoff, with every periodic image."""

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
        centers, neighbors: atoms i and j [E].
        reverse: index of the edge (j, i, -S) [E].
        shifts: cell shifts S [E, 3], integers.
    """

    vectors: np.ndarray
    centers: np.ndarray
    neighbors: np.ndarray
    reverse: np.ndarray
    shifts: np.ndarray


def find_edges(structure: Structure, cutoff: float) -> Edges:
    """Return all edges of ``structure`` that are not longer than ``cutoff`` (A).

    Raises:
        PetDriverError: positions or cell are not finite, or the cell is degenerate.
    """
    structure.check()
    cell = np.where(np.array(structure.pbc)[:, None], structure.cell, 0.0)
    # With a half list the reverse of each edge is known without a search.
    finder = NeighborList(cutoff=cutoff, full_list=False)  # owns the arrays that it returns
    ends, shifts, vectors = finder.compute(
        points=np.ascontiguousarray(structure.positions, dtype=np.float64),
        box=cell,
        periodic=np.array(structure.pbc),
        quantities="PSD",
        copy=False,
    )
    centers = ends.T.astype(np.int64).reshape(-1)
    order = _stable_argsort(centers, len(structure.numbers))
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


def _stable_argsort(indices: np.ndarray, end: int) -> np.ndarray:
    """Return the permutation that sorts ``indices``, all of them below ``end``.

    NumPy sorts 16-bit integers by radix, in linear time.
    """
    return np.argsort(indices.astype(np.uint16) if end < 2**16 else indices, kind="stable")
