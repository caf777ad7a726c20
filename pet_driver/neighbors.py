"""From structures to edges: all pairs within a cutoff, every periodic image counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from vesin import NeighborList

from pet_driver.errors import PetDriverError

FLAT = 1e-6  # singular value of directions of cell vectors that span no volume


@dataclass(frozen=True)
class Structure:
    """Atoms in space: the lean input of the engines.

    Attributes:
        numbers: atomic numbers [N].
        positions: [N, 3] in A.
        cell: [3, 3] in A, the vectors in rows; ignored along directions without periodicity.
        pbc: periodicity along each cell vector.
    """

    numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray
    pbc: tuple[bool, bool, bool]

    @classmethod
    def from_ase(cls, atoms: Atoms) -> Structure:
        pbc = tuple(bool(p) for p in atoms.pbc)
        return cls(atoms.numbers, atoms.positions, np.asarray(atoms.cell), pbc)

    def check(self) -> None:
        """Refuse what no energy can be computed for."""
        if not np.isfinite(self.positions).all():
            atom = int(np.argwhere(~np.isfinite(self.positions))[0, 0])
            raise PetDriverError(
                f"position of atom {atom} is {self.positions[atom]}; the structure is broken "
                "(a time step too long, or overlapping atoms?)"
            )
        if not np.isfinite(self.cell).all():
            raise PetDriverError(f"the cell is not finite: {self.cell.tolist()}")
        for axis in range(3):
            if self.pbc[axis] and not self.cell[axis].any():
                raise PetDriverError(
                    f"the structure is periodic along axis {axis} but its cell vector is zero; "
                    "give a cell or switch the periodicity off"
                )
        periodic = self.cell[list(self.pbc)]
        directions = periodic / np.linalg.norm(periodic, axis=1, keepdims=True)
        if np.linalg.matrix_rank(directions, tol=FLAT) < len(directions):
            raise PetDriverError(
                f"the cell vectors {periodic.tolist()} are parallel, or lie in one plane; give a "
                "cell with a volume, or switch the periodicity off"
            )


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
