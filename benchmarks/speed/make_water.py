"""Make water-216.xyz: 216 molecules at 1 g/cm^3, heated to 300 K with the shipped model.

    python -m benchmarks.speed.make_water

The molecules are placed by packmol, relaxed, and run for 150 fs with a Langevin thermostat. This is
enough for realistic numbers of neighbours, but not for the structure of the liquid.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import units
from ase.io import write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

import pet_driver
from pet_driver.building import liquid
from pet_driver.building.liquid import relax

OUTPUT = Path(__file__).with_name("water-216.xyz")


def main() -> None:
    """Write the box."""
    random = np.random.default_rng(0)
    calculator = pet_driver.PETCalculator(pet_driver.load("water-small"))
    box = relax(liquid(216, density=1.0, seed=0), calculator, fmax=1.0, steps=60)
    MaxwellBoltzmannDistribution(box, temperature_K=300, rng=random)
    box.calc = calculator
    Langevin(box, 0.5 * units.fs, temperature_K=300, friction=0.05 / units.fs, rng=random).run(300)
    box.calc = None
    del box.arrays["momenta"]
    write(OUTPUT, box, format="extxyz")


if __name__ == "__main__":
    main()
