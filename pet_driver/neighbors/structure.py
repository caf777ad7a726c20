"""Atoms in a cell: the input of neighbour lists, models and engines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms

from pet_driver.errors import PetDriverError

# Cell vectors of unit length whose smallest singular value is below this span no volume.
SMALLEST_SINGULAR_VALUE = 1e-6


@dataclass(frozen=True)
class Structure:
    """Atoms in a cell.

    Attributes:
        numbers: atomic numbers [N].
        positions: [N, 3] in A.
        cell: [3, 3] in A, one cell vector in each row; vectors of directions without periodicity
            are ignored.
        pbc: periodicity along each cell vector.
    """

    numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray
    pbc: tuple[bool, bool, bool]

    @classmethod
    def from_ase(cls, atoms: Atoms) -> Structure:
        """Return the atoms of an ASE structure; arrays are shared, not copied."""
        along_a, along_b, along_c = (bool(periodic) for periodic in atoms.pbc)
        pbc = (along_a, along_b, along_c)
        return cls(atoms.numbers, atoms.positions, np.asarray(atoms.cell), pbc)

    def check(self) -> None:
        """Raise PetDriverError if positions or cell are not finite, or the cell is degenerate."""
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
        if np.linalg.matrix_rank(directions, tol=SMALLEST_SINGULAR_VALUE) < len(directions):
            raise PetDriverError(
                f"the cell vectors {periodic.tolist()} are parallel, or lie in one plane; give a "
                "cell with a volume, or switch the periodicity off"
            )
