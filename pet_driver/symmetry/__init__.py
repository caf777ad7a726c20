"""What is done about the rotations that a PET network does not know.

Averages over grids of rotations, or exact symmetrization in frames made from neighbours.
"""

from pet_driver.symmetry.grid_names import GridName, draws, parse_grid_name
from pet_driver.symmetry.grids import RotationGrids, rotation_grid
from pet_driver.symmetry.potential import SymmetrizedPotential

__all__ = [
    "GridName",
    "RotationGrids",
    "SymmetrizedPotential",
    "draws",
    "parse_grid_name",
    "rotation_grid",
]
