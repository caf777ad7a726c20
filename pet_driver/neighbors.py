"""From structures to edges: all pairs within a cutoff, every periodic image counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from vesin import NeighborList

from pet_driver.errors import PetDriverError


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
            if self.pbc[axis] and np.linalg.norm(self.cell[axis]) == 0.0:
                raise PetDriverError(
                    f"the structure is periodic along axis {axis} but its cell vector is zero; "
                    "give a cell or switch the periodicity off"
                )


@dataclass(frozen=True)
class Edges:
    """All directed edges of one structure, sorted by centre.

    Attributes:
        vectors: r_ij = x_j - x_i + S.cell [E, 3] in A.
        centers, neighbors: i and j [E].
        reverse: index of the edge (j, i, -S) [E].
    """

    vectors: np.ndarray
    centers: np.ndarray
    neighbors: np.ndarray
    reverse: np.ndarray


def find_edges(structure: Structure, cutoff: float) -> Edges:
    """Every edge of ``structure`` no longer than ``cutoff`` (A)."""
    structure.check()
    cell = np.where(np.array(structure.pbc)[:, None], structure.cell, 0.0)
    i, j, shifts, vectors = NeighborList(cutoff=cutoff, full_list=True, sorted=True).compute(
        points=np.ascontiguousarray(structure.positions, dtype=np.float64),
        box=cell,
        periodic=np.array(structure.pbc),
        quantities="ijSD",
    )
    i, j, shifts = i.astype(np.int64), j.astype(np.int64), shifts.astype(np.int64)
    # lexsort puts (i, j, S) and (j, i, -S) into the same order, which pairs them up.
    forward = np.lexsort((shifts[:, 2], shifts[:, 1], shifts[:, 0], j, i))
    backward = np.lexsort((-shifts[:, 2], -shifts[:, 1], -shifts[:, 0], i, j))
    reverse = np.empty_like(forward)
    reverse[backward] = forward
    return Edges(vectors, i, j, reverse)
