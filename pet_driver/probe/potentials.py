"""An archive or an ASE calculator, averaged over grids: the two things a probe can look at."""

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
class Answer:
    """What a potential says of one structure, averaged over a grid of R rotations.

    Attributes:
        energy: eV.
        forces: [N, 3] in eV/A.
        virial: [3, 3] in eV, symmetric; ``None`` where the potential gives no stress.
        torque: modulus (eV) of the derivative of the energy by a rotation of everything, the
            cell included: zero where the energy is invariant. ``None`` where it is not known.
        rotation_energies: energy under each rotation [R] in eV.
    """

    energy: float
    forces: np.ndarray
    virial: np.ndarray | None
    torque: float | None
    rotation_energies: np.ndarray


class Potential(Protocol):
    """What the probe asks of a potential."""

    name: str

    def grid(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Rotations [R, 3, 3] and weights [R], without any rotation of weight zero."""

    def answer(self, atoms: Atoms, grid: str) -> Answer:
        """Evaluate one structure, averaged over a grid."""


class ArchivePotential:
    """A PET archive, or several: all rotations of a structure are one call."""

    def __init__(self, model: Model | Ensemble) -> None:
        self.model = model
        self.name = str(model.path)

    def grid(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        rotations, weights = (t.cpu().numpy() for t in self.model.rotations(name)[:2])
        return rotations[weights != 0.0], weights[weights != 0.0]

    def answer(self, atoms: Atoms, grid: str) -> Answer:
        found = self.model.evaluate(atoms, grid)
        counted = self.model.rotations(grid)[1].cpu().numpy() != 0.0
        # The antisymmetric part A of the virial holds the torque t: A_ab = e_abc t_c / 2.
        torque = np.sqrt(2.0) * found.antisymmetric_virial
        energies = found.rotation_energies[counted]
        return Answer(found.energy, found.forces, found.virial, torque, energies)


class CalculatorPotential:
    """Any ASE calculator: structures, and their cells, are turned one after another."""

    def __init__(self, calculator: BaseCalculator) -> None:
        self.calculator = calculator
        self.name = type(calculator).__name__

    def grid(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        try:
            return rotation_grid(name)
        except ValueError as error:
            raise PetDriverError(str(error)) from None

    def answer(self, atoms: Atoms, grid: str) -> Answer:
        rotations, weights = self.grid(grid)
        energies, forces, virials, torques = [], [], [], []
        for rotation in rotations:
            turned = turn(atoms, rotation)
            turned.calc = self.calculator
            energies.append(turned.get_potential_energy())
            force = turned.get_forces()
            forces.append(force @ rotation.T)
            virial = self._virial(turned, force)
            virials.append(None if virial is None else rotation @ virial @ rotation.T)
            torques.append(np.linalg.det(rotation) * total_torque(turned, force) @ rotation.T)
        known = all(virial is not None for virial in virials)
        return Answer(
            energy=float(weights @ energies),
            forces=np.tensordot(weights, forces, 1),
            virial=np.tensordot(weights, virials, 1) if known else None,
            # Forces alone do not tell the torque of a periodic box: its walls turn as well.
            torque=None if atoms.pbc.any() else float(np.linalg.norm(weights @ np.array(torques))),
            rotation_energies=np.array(energies),
        )

    @staticmethod
    def _virial(atoms: Atoms, forces: np.ndarray) -> np.ndarray | None:
        if not atoms.pbc.any():
            virial = atoms.positions.T @ forces
            return 0.5 * (virial + virial.T)
        try:
            return -atoms.get_stress(voigt=False) * atoms.get_volume()
        except (PropertyNotImplementedError, ValueError):
            return None


def as_potential(potential: Model | Ensemble | BaseCalculator | str | os.PathLike) -> Potential:
    """Make an archive, its name or path, or an ASE calculator ready for the probe.

    Raises:
        PetDriverError: it is none of these, or the archive cannot be loaded.
    """
    if isinstance(potential, str | os.PathLike):
        potential = load(potential)
    if isinstance(potential, Model | Ensemble):
        return ArchivePotential(potential)
    if isinstance(potential, BaseCalculator) or hasattr(potential, "get_potential_energy"):
        return CalculatorPotential(potential)
    raise PetDriverError(
        f"{potential!r} cannot be probed; give a model of pet_driver.load, the name or path of "
        "an archive, or an ASE calculator"
    )


def turn(atoms: Atoms, rotation: np.ndarray) -> Atoms:
    """x -> x R for positions and cell, R proper or improper.

    Without constraints, which take forces away from ASE's answers: a potential has none.
    """
    copy = atoms.copy()
    copy.set_constraint()
    copy.set_cell(np.array(atoms.cell) @ rotation)
    copy.positions = atoms.positions @ rotation
    return copy


def total_torque(atoms: Atoms, forces: np.ndarray) -> np.ndarray:
    """Torque [3] (eV) about the centroid."""
    return np.cross(atoms.positions - atoms.positions.mean(axis=0), forces).sum(axis=0)
