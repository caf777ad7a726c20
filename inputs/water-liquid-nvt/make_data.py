"""Writes water.data: 64 molecules on a cubic lattice, turned at random (0.997 g/cm^3)."""

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.io import write

SIDE = 4  # molecules along each edge
LENGTH = 12.42  # A
SEED = 1


def main() -> None:
    generator = np.random.default_rng(SEED)
    box = Atoms(cell=[LENGTH] * 3, pbc=True)
    for site in np.ndindex(SIDE, SIDE, SIDE):
        water = molecule("H2O")
        water.rotate(generator.uniform(0, 360), generator.normal(size=3))
        water.translate((np.array(site) + 0.5) * LENGTH / SIDE - water.get_center_of_mass())
        box += water
    write("water.data", box, format="lammps-data", specorder=["O", "H"], masses=True)


if __name__ == "__main__":
    main()
