"""Deviations of averages over grids from a fine reference grid, and the recommended grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from pet_driver.probe.molecules import torques, unwrapped_molecules
from pet_driver.probe.potentials import GridAverage


@dataclass(frozen=True)
class GridDeviation:
    """Deviations of one grid from the reference, over all structures.

    Attributes:
        grid: name of the grid.
        evaluations: number of rotations, hence of evaluations of the potential.
        energy: mean absolute deviation, eV a structure.
        energy_per_atom: mean absolute deviation, eV/atom.
        forces: mean absolute deviation of the components, eV/A.
        forces_rms: root mean square deviation of the components, eV/A.
        virial_per_atom: mean absolute deviation of the components, eV/atom; ``None`` where
            the potential gives no stress.
        torque: root mean square of the torque on whole structures, eV. It is zero for an
            invariant energy and needs no reference. ``None`` if not known.
        molecular_torque: root mean square deviation of the torque on molecules, eV; ``None``
            where there are none.
    """

    grid: str
    evaluations: int
    energy: float
    energy_per_atom: float
    forces: float
    forces_rms: float
    virial_per_atom: float | None
    torque: float | None
    molecular_torque: float | None


@dataclass(frozen=True)
class Recommendation:
    """The cheapest grid within the tolerances; ``grid`` is ``None`` if none of them is.

    Attributes:
        grid: name of the grid.
        evaluations: number of evaluations of the potential.
        energy_tolerance: eV/atom.
        force_tolerance: eV/A.
    """

    grid: str | None
    evaluations: int | None
    energy_tolerance: float
    force_tolerance: float


def deviation(
    grid: str,
    evaluations: int,
    structures: Sequence[Atoms],
    averages: Sequence[GridAverage],
    references: Sequence[GridAverage],
) -> GridDeviation:
    """Return the deviations of one grid from the reference.

    Args:
        grid: name of the grid.
        evaluations: number of its rotations.
        structures: the structures.
        averages, references: results of each structure on the grid and on the reference grid.
    """
    energies, per_atom, forces, virials, molecular = [], [], [], [], []
    for atoms, average, reference in zip(structures, averages, references, strict=True):
        energies.append(abs(average.energy - reference.energy))
        per_atom.append(energies[-1] / len(atoms))
        difference = average.forces - reference.forces
        forces.append(difference.ravel())
        molecular.append((torques(unwrapped_molecules(atoms), difference) ** 2).sum(axis=1))
        if average.virial is not None and reference.virial is not None:
            virials.append(np.abs(average.virial - reference.virial).mean() / len(atoms))
    all_forces, all_molecular = np.concatenate(forces), np.concatenate(molecular)
    return GridDeviation(
        grid=grid,
        evaluations=evaluations,
        energy=float(np.mean(energies)),
        energy_per_atom=float(np.mean(per_atom)),
        forces=float(np.abs(all_forces).mean()),
        forces_rms=float(np.sqrt((all_forces**2).mean())),
        virial_per_atom=float(np.mean(virials)) if virials else None,
        torque=torque_rms(averages),
        molecular_torque=float(np.sqrt(all_molecular.mean())) if len(all_molecular) else None,
    )


def torque_rms(averages: Sequence[GridAverage]) -> float | None:
    """Return the root mean square of the torque on whole structures (eV); ``None`` if unknown."""
    known = [average.torque for average in averages if average.torque is not None]
    return float(np.sqrt(np.mean(np.square(known)))) if known else None


def recommend(
    deviations: Sequence[GridDeviation], energy_tolerance: float, force_tolerance: float
) -> Recommendation:
    """Return the cheapest grid whose energies (eV/atom) and forces (eV/A) are within tolerance."""
    for found in sorted(deviations, key=lambda found: found.evaluations):
        if found.energy_per_atom <= energy_tolerance and found.forces <= force_tolerance:
            return Recommendation(found.grid, found.evaluations, energy_tolerance, force_tolerance)
    return Recommendation(None, None, energy_tolerance, force_tolerance)
