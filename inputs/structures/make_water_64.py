"""Make water-64.xyz: 64 molecules at 0.999 g/cm^3, equilibrated at 300 K with the shipped model.

    python inputs/structures/make_water_64.py [--picoseconds 1.5]

Molecules with random orientations on a cubic lattice are relaxed, heated and thermalised with a
Langevin thermostat. Molecules are written whole, in the order O H H.
"""

import argparse
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.io import write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.optimize import FIRE

import pet_driver

OUTPUT = Path(__file__).with_name("water-64.xyz")
LENGTH = 12.42  # A
TEMPERATURE = 300.0  # K


def lattice(n_side: int = 4) -> Atoms:
    """n_side^3 molecules on a lattice that fills the box."""
    rng = np.random.default_rng(7)
    box = Atoms(cell=[LENGTH] * 3, pbc=True)
    for site in np.ndindex(n_side, n_side, n_side):
        one = molecule("H2O")
        one.rotate(rng.uniform(0, 360), rng.normal(size=3), center=one.positions[0])
        one.positions += (np.array(site) + 0.5) * LENGTH / n_side - one.positions[0]
        box += one
    return box


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picoseconds", type=float, default=1.5)
    steps = round(parser.parse_args().picoseconds * 1000 / 0.5)
    atoms = lattice()
    atoms.calc = pet_driver.PETCalculator(pet_driver.load("water-small"))
    FIRE(atoms, logfile=None).run(fmax=0.5, steps=100)
    rng = np.random.default_rng(7)
    MaxwellBoltzmannDistribution(atoms, temperature_K=TEMPERATURE, rng=rng)
    thermostat = Langevin(
        atoms, 0.5 * units.fs, temperature_K=TEMPERATURE, friction=0.02 / units.fs, rng=rng
    )
    thermostat.attach(
        lambda: print(f"{atoms.get_potential_energy():.3f} eV, {atoms.get_temperature():.0f} K"),
        interval=200,
    )
    thermostat.run(steps)
    write(OUTPUT, Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True), format="extxyz")
    print(f"wrote {OUTPUT}")


if __name__ == "__main__":
    main()
