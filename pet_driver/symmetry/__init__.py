"""What is done about the rotations that a PET network does not know.

Averages over grids of rotations, or exact symmetrization in frames made from neighbours.
"""

from pet_driver.symmetry.averaging import AveragedPotential
from pet_driver.symmetry.ecse import SymmetrizedPotential
from pet_driver.symmetry.grids import RotationGrids, rotation_grid

__all__ = ["AveragedPotential", "RotationGrids", "SymmetrizedPotential", "rotation_grid"]
