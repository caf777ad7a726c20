"""Structures of water that several engines evaluate."""

from ase import Atoms
from ase.build import molecule

from tests.engines.lammps_input import water_box


def skewed_dimer() -> Atoms:
    """Return two molecules in a triclinic cell smaller than twice the cutoff."""
    water = molecule("H2O")
    dimer = water + Atoms("OHH", water.positions[:, [2, 0, 1]] + [3.1, 0.4, 0.3])
    dimer.set_cell([[6.5, 0, 0], [1.2, 6.1, 0], [0.4, -0.9, 6.3]])
    dimer.pbc = True
    return dimer


def triclinic_box() -> Atoms:
    """Return 8 molecules in a triclinic cell smaller than twice the cutoff."""
    box = water_box(2, 6.5)
    box.set_cell([[6.5, 0, 0], [2.1, 6.2, 0], [-1.7, 1.1, 7.0]], scale_atoms=True)
    return box


def centered_molecule() -> Atoms:
    """Return a molecule in the middle of a large cell, where two and four MPI ranks split it."""
    water = water_box(1, 3.1)
    water.set_cell([30.0] * 3)
    water.center()
    return water
