"""What is done about the rotations that a PET network does not know: averages over grids."""

from pet_driver.symmetry.averaging import AveragedPotential
from pet_driver.symmetry.grid_names import GridName, draws, parse_grid_name
from pet_driver.symmetry.grids import RotationGrids, rotation_grid

__all__ = [
    "AveragedPotential",
    "GridName",
    "RotationGrids",
    "draws",
    "parse_grid_name",
    "rotation_grid",
]
