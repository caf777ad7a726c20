"""An exactly invariant potential, and one with a known symmetry error."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.lj import LennardJones

# Axis of the solid harmonics that break the symmetry.
AXIS = np.array([2.0, -1.0, 3.0]) / np.sqrt(14.0)


def solid_harmonic(momentum: int, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return r^l P_l(cos) along AXIS for vectors x [n, 3]: values [n] and gradients [n, 3]."""
    z, square = x @ AXIS, (x**2).sum(axis=1)
    if momentum == 1:
        return z, np.tile(AXIS, (len(x), 1))
    if momentum == 2:
        return 0.5 * (3 * z**2 - square), 3 * z[:, None] * AXIS - x
    value = 0.5 * (5 * z**3 - 3 * z * square)
    return value, (7.5 * z**2 - 1.5 * square)[:, None] * AXIS - 3 * z[:, None] * x


class DefectiveLennardJones(Calculator):
    """Lennard-Jones plus amplitude * sum over O-H vectors v of exp(-v^2) v^l P_l(cos to AXIS)."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(self, momentum: int, amplitude: float) -> None:
        super().__init__()
        self.momentum, self.amplitude = momentum, amplitude
        self.invariant = LennardJones(sigma=1.0, epsilon=0.1, rc=12.0)

    def calculate(self, atoms=None, properties=None, system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        plain = self.atoms.copy()
        plain.calc = self.invariant
        energy, forces = plain.get_potential_energy(), plain.get_forces()
        i, j, vectors = oxygen_hydrogen(self.atoms)
        decay = np.exp(-(vectors**2).sum(axis=1))
        value, slope = solid_harmonic(self.momentum, vectors)
        gradient = self.amplitude * decay[:, None] * (slope - 2 * value[:, None] * vectors)
        np.add.at(forces, i, gradient)
        np.subtract.at(forces, j, gradient)
        self.results = {"energy": energy + self.amplitude * (decay @ value), "forces": forces}

    def power(self, atoms: Atoms) -> float:
        """Return the variance (eV^2) of the energy over O(3), by the addition theorem of P_l."""
        _, _, vectors = oxygen_hydrogen(atoms)
        lengths = np.linalg.norm(vectors, axis=1)
        radial = np.exp(-(lengths**2)) * lengths**self.momentum
        cosines = (vectors @ vectors.T) / np.outer(lengths, lengths)
        legendre = np.polynomial.Legendre.basis(self.momentum)(cosines)
        return self.amplitude**2 * radial @ legendre @ radial / (2 * self.momentum + 1)


def oxygen_hydrogen(atoms: Atoms) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the indices of all pairs of O and H, and the vectors from O to H [n, 3]."""
    i, j = np.meshgrid(np.flatnonzero(atoms.numbers == 8), np.flatnonzero(atoms.numbers == 1))
    i, j = i.ravel(), j.ravel()
    return i, j, atoms.positions[j] - atoms.positions[i]


@pytest.fixture
def invariant() -> LennardJones:
    return LennardJones(sigma=1.0, epsilon=0.1, rc=12.0)


@pytest.fixture
def one_water() -> Atoms:
    """Return a symmetric molecule without a cell, in a general orientation."""
    atoms = molecule("H2O")
    atoms.rotate(40, (1, 2, 3))
    return atoms
