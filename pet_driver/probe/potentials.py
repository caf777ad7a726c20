"""Potentials that the probe can evaluate: a PET model, or an ASE calculator."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator, PropertyNotImplementedError

from pet_driver.errors import PetDriverError
from pet_driver.model.ensemble import Ensemble, load
from pet_driver.model.evaluator import Model
from pet_driver.symmetry import rotation_grid


@dataclass(frozen=True)
class GridAverage:
    """Results of one structure, averaged over a grid of R rotations.

    Attributes:
        energy: eV.
        forces: [N, 3] in eV/A.
        virial: [3, 3] in eV, symmetric; ``None`` if the potential gives no stress.
        torque: modulus (eV) of the derivative of the energy by a rotation of the structure
            together with its cell: zero if the energy is invariant. ``None`` if not known.
        rotation_energies: energy under each rotation [R] in eV.
    """

    energy: float
    forces: np.ndarray
    virial: np.ndarray | None
    torque: float | None
    rotation_energies: np.ndarray


class Potential(Protocol):
    """Interface of a potential for the probe."""

    name: str

    def grid(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return rotations [R, 3, 3] and weights [R] of a grid, without those of weight zero."""
        ...

    def average(self, atoms: Atoms, grid: str) -> GridAverage:
        """Evaluate one structure, averaged over a grid."""
        ...


class ModelPotential:
    """A PET model or an ensemble: all rotations of a structure are evaluated in one call."""

    def __init__(self, model: Model | Ensemble) -> None:
        self.model = model
        self.name = str(model.path)

    def grid(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        rotations, weights = (t.cpu().numpy() for t in self.model.rotations(name)[:2])
        return rotations[weights != 0.0], weights[weights != 0.0]

    def average(self, atoms: Atoms, grid: str) -> GridAverage:
        found = self.model.evaluate(atoms, grid)
        counted = self.model.rotations(grid)[1].cpu().numpy() != 0.0
        # The antisymmetric part A of the virial holds the torque t: A_ab = e_abc t_c / 2.
        torque = np.sqrt(2.0) * found.antisymmetric_virial
        energies = found.rotation_energies[counted]
        return GridAverage(found.energy, found.forces, found.virial, torque, energies)


class CalculatorPotential:
    """Any ASE calculator: structures and their cells are rotated one after another."""

    def __init__(self, calculator: BaseCalculator) -> None:
        self.calculator = calculator
        self.name = type(calculator).__name__

    def grid(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        try:
            return rotation_grid(name)
        except ValueError as error:
            raise PetDriverError(str(error)) from None

    def average(self, atoms: Atoms, grid: str) -> GridAverage:
        rotations, weights = self.grid(grid)
        energies, forces, virials, torques = [], [], [], []
        for rotation in rotations:
            rotated = rotate(atoms, rotation)
            rotated.calc = self.calculator
            energies.append(rotated.get_potential_energy())
            force = rotated.get_forces()
            forces.append(force @ rotation.T)
            virial = self._virial(rotated, force)
            if virial is not None:
                virials.append(rotation @ virial @ rotation.T)
            torques.append(np.linalg.det(rotation) * total_torque(rotated, force) @ rotation.T)
        return GridAverage(
            energy=float(weights @ energies),
            forces=np.tensordot(weights, forces, 1),
            virial=np.tensordot(weights, virials, 1) if len(virials) == len(rotations) else None,
            # Forces alone do not give the torque of a periodic structure, whose cell rotates too.
            torque=None if atoms.pbc.any() else float(np.linalg.norm(weights @ np.array(torques))),
            rotation_energies=np.array(energies),
        )

    @staticmethod
    def _virial(atoms: Atoms, forces: np.ndarray) -> np.ndarray | None:
        """Return the symmetric virial [3, 3] (eV), None if the calculator gives no stress."""
        if not atoms.pbc.any():
            virial = atoms.positions.T @ forces
            return 0.5 * (virial + virial.T)
        try:
            return -atoms.get_stress(voigt=False) * atoms.get_volume()
        except (PropertyNotImplementedError, ValueError):
            return None


def as_potential(potential: Model | Ensemble | BaseCalculator | str | os.PathLike) -> Potential:
    """Return a potential for the probe.

    Args:
        potential: a model, an ensemble, the name or path of an exported model, or an ASE
            calculator.

    Raises:
        PetDriverError: it is none of these, or the model cannot be loaded.
    """
    if isinstance(potential, str | os.PathLike):
        potential = load(potential)
    if isinstance(potential, Model | Ensemble):
        return ModelPotential(potential)
    if isinstance(potential, BaseCalculator) or hasattr(potential, "get_potential_energy"):
        return CalculatorPotential(potential)
    raise PetDriverError(
        f"{potential!r} cannot be probed; give a model of pet_driver.load, the name or path of "
        "an archive, or an ASE calculator"
    )


def rotate(atoms: Atoms, rotation: np.ndarray) -> Atoms:
    """Return a copy with positions and cell rotated, x -> x R, R proper or improper.

    The copy has no constraints, with which ASE would change the forces of the potential.
    """
    copy = atoms.copy()
    copy.set_constraint()
    copy.set_cell(np.array(atoms.cell) @ rotation)
    copy.positions = atoms.positions @ rotation
    return copy


def total_torque(atoms: Atoms, forces: np.ndarray) -> np.ndarray:
    """Return the torque [3] (eV) about the centroid."""
    return np.cross(atoms.positions - atoms.positions.mean(axis=0), forces).sum(axis=0)
