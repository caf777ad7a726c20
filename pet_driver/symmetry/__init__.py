"""Rotational averaging and exact symmetrization.

A PET network is not invariant under rotations. Its energy is averaged over a grid of rotations, or
symmetrized exactly with local reference frames that are built from the neighbours of each atom.
"""

from pet_driver.symmetry.averaging import PotentialParameters
from pet_driver.symmetry.grid_names import GridName, draws, parse_grid_name
from pet_driver.symmetry.grids import RotationGrids, rotation_grid
from pet_driver.symmetry.potential import SymmetrizedPotential

__all__ = [
    "GridName",
    "PotentialParameters",
    "RotationGrids",
    "SymmetrizedPotential",
    "draws",
    "parse_grid_name",
    "rotation_grid",
]
