"""Make water-64.xyz: 64 molecules at 0.999 g/cm^3, equilibrated at 300 K with the shipped model.

    python inputs/structures/make_water_64.py
    python inputs/water-liquid-nvt/make_data.py
    pet-driver run inputs/water-liquid-nvt/in.water -o equilibration --steps 40000
    python inputs/structures/make_water_64.py --after equilibration
    python inputs/water-liquid-nvt/make_data.py

Molecules with random orientations on a cubic lattice are relaxed, heated and thermalised with a
strong Langevin thermostat for 1.5 ps, after which the order of the lattice remains. 20 ps at
constant volume and temperature, in which molecules diffuse as far as their second neighbours,
remove it. Molecules are written unwrapped, in the order O H H.
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
from pet_driver import analysis
from pet_driver.runs.record import read_run

OUTPUT = Path(__file__).with_name("water-64.xyz")
LENGTH = 12.42  # A
TEMPERATURE = 300.0  # K
PICOSECONDS = 1.5


def lattice(n_side: int = 4) -> Atoms:
    """Return n_side^3 molecules on a lattice that fills the box."""
    rng = np.random.default_rng(7)
    box = Atoms(cell=[LENGTH] * 3, pbc=True)
    for site in np.ndindex(n_side, n_side, n_side):
        one = molecule("H2O")
        one.rotate(rng.uniform(0, 360), rng.normal(size=3), center=one.positions[0])
        one.positions += (np.array(site) + 0.5) * LENGTH / n_side - one.positions[0]
        box += one
    return box


def molten_lattice() -> Atoms:
    """Return the lattice after 1.5 ps with a Langevin thermostat of 50 fs."""
    atoms = lattice()
    atoms.calc = pet_driver.PETCalculator(pet_driver.load("water-small"))
    FIRE(atoms, logfile=None).run(fmax=0.5, steps=100)
    rng = np.random.default_rng(7)
    MaxwellBoltzmannDistribution(atoms, temperature_K=TEMPERATURE, rng=rng)
    thermostat = Langevin(
        atoms, 0.5 * units.fs, temperature_K=TEMPERATURE, friction=0.02 / units.fs, rng=rng
    )
    thermostat.run(round(PICOSECONDS * 1000 / 0.5))
    return atoms


def last_frame(folder: Path) -> Atoms:
    """Return the last frame of a LAMMPS run, unwrapped, with all oxygens in the box."""
    run = read_run(folder / "run.json")
    universe = analysis.water_universe(run.path(run.positions[0]))
    universe.trajectory[-1]
    molecules = universe.atoms.positions.astype(float).reshape(-1, 3, 3)  # unwrapped
    molecules -= LENGTH * np.floor(molecules[:, :1] / LENGTH)
    return Atoms(universe.atoms.elements, molecules.reshape(-1, 3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--after", type=Path, help="folder of a run whose last frame is used")
    after = parser.parse_args().after
    atoms = molten_lattice() if after is None else last_frame(after)
    box = Atoms(atoms.symbols, atoms.positions, cell=[LENGTH] * 3, pbc=True)
    write(OUTPUT, box, format="extxyz")
    print(f"wrote {OUTPUT}")


if __name__ == "__main__":
    main()
