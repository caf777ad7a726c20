"""Relax a water molecule, compute harmonic frequencies, and fit the reference surface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.optimize import BFGS
from scipy.optimize import minimize

import pet_driver
from pet_driver.model.evaluator import Model

MODES = ("bend", "symmetric stretch", "asymmetric stretch")
STEP = 0.01  # A, of finite differences; large enough for a float32 network
ORDER = 5  # of the polynomial in internal coordinates


@dataclass(frozen=True)
class Equilibrium:
    """Minimum of a potential energy surface.

    Attributes:
        length: O-H, A (the mean of the two).
        angle: H-O-H, degrees.
        energy: eV.
        frequencies: [3] harmonic, cm^-1, in the order of ``MODES``.
    """

    length: float
    angle: float
    energy: float
    frequencies: np.ndarray


def equilibrium(model: Model, grid: str) -> Equilibrium:
    """Relax a water molecule on the surface averaged over a grid."""
    water = molecule("H2O")
    water.calc = pet_driver.PETCalculator(model, grid)
    BFGS(water, logfile=None).run(fmax=1e-3, steps=300)
    length = 0.5 * (water.get_distance(0, 1) + water.get_distance(0, 2))
    return Equilibrium(
        length,
        water.get_angle(1, 0, 2),
        water.get_potential_energy(),
        harmonic_frequencies(water, lambda atoms: model.evaluate(atoms, grid).forces),
    )


def harmonic_frequencies(atoms: Atoms, forces: Callable[[Atoms], np.ndarray]) -> np.ndarray:
    """Return the three harmonic frequencies (cm^-1) of a relaxed molecule of three atoms.

    Args:
        atoms: the relaxed molecule.
        forces: function that returns the forces [3, 3] (eV/A) on a structure.
    """
    hessian = np.zeros((9, 9))
    for index, axis in product(range(3), range(3)):
        pair = []
        for sign in (+1, -1):
            moved = Atoms(atoms.numbers, atoms.positions)
            moved.positions[index, axis] += sign * STEP
            pair.append(np.asarray(forces(moved)).ravel())
        hessian[3 * index + axis] = (pair[1] - pair[0]) / (2 * STEP)
    mass = np.repeat(atoms.get_masses(), 3)
    scaled = 0.5 * (hessian + hessian.T) / np.sqrt(np.outer(mass, mass))
    values = np.linalg.eigvalsh(scaled)[-3:]
    # Imaginary frequencies are returned as negative numbers.
    quantum = units._hbar * units.m / np.sqrt(units._e * units._amu)
    return np.sign(values) * np.sqrt(np.abs(values)) * quantum / units.invcm


class ReferenceSurface:
    """Polynomial in both bond lengths and the angle, fitted to the energies of molecules.

    Args:
        frames: single molecules of water with energies (eV).

    Attributes:
        residual: root mean square error of the fitted energies, eV.
    """

    def __init__(self, frames: Sequence[Atoms]) -> None:
        oxygen_first = [f.positions[np.argsort(-f.numbers, kind="stable")] for f in frames]
        internal = np.array([_internal(positions) for positions in oxygen_first])
        self._centre = internal.mean(axis=0)
        self._centre[:2] = self._centre[
            :2
        ].mean()  # one centre for both bonds keeps the terms symmetric
        self._powers = [
            (a, b, c)
            for a, b, c in product(range(ORDER + 1), repeat=3)
            if a + b + c <= ORDER and a >= b
        ]
        energies = np.array([f.get_potential_energy() for f in frames])
        self._offset = energies.mean()
        basis = np.array([self._basis(one) for one in internal])
        self._weights = np.linalg.lstsq(basis, energies - self._offset, rcond=None)[0]
        self.residual = float(
            np.sqrt(np.mean((basis @ self._weights + self._offset - energies) ** 2))
        )

    def energy(self, positions: np.ndarray) -> float:
        """Return the energy (eV) for positions [3, 3] (A) of O, H, H."""
        return float(self._basis(_internal(positions)) @ self._weights) + self._offset

    def equilibrium(self) -> Equilibrium:
        """Return the minimum of the polynomial and its harmonic frequencies."""
        found = minimize(
            lambda x: self._basis(np.array([x[0], x[0], x[1]])) @ self._weights,
            x0=self._centre[[0, 2]],
            method="Nelder-Mead",
            options={"xatol": 1e-7, "fatol": 1e-10},
        )
        length, angle = found.x
        positions = np.array(
            [
                [0.0, 0.0, 0.0],
                [length, 0.0, 0.0],
                [length * np.cos(angle), length * np.sin(angle), 0.0],
            ]
        )
        frequencies = harmonic_frequencies(Atoms("OHH", positions), self._forces)
        return Equilibrium(length, np.degrees(angle), self.energy(positions), frequencies)

    def _forces(self, atoms: Atoms) -> np.ndarray:
        forces, step = np.zeros((3, 3)), 1e-4
        for index in np.ndindex(3, 3):
            moved = atoms.positions.copy()
            moved[index] += step
            up = self.energy(moved)
            moved[index] -= 2 * step
            forces[index] = (self.energy(moved) - up) / (2 * step)
        return forces

    def _basis(self, internal: np.ndarray) -> np.ndarray:
        """Return the values of the terms, which are symmetric in the two hydrogens."""
        x, y, z = internal - self._centre
        return np.array([(x**a * y**b + x**b * y**a) * z**c for a, b, c in self._powers])


def _internal(positions: np.ndarray) -> np.ndarray:
    """Return both O-H lengths (A) and the angle (radians) as an array [3]."""
    bonds = positions[1:] - positions[0]
    lengths = np.linalg.norm(bonds, axis=1)
    return np.array([*lengths, np.arccos(bonds[0] @ bonds[1] / lengths.prod())])
