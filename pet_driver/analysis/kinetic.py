"""Quantum kinetic energy of ring polymers, by element.

i-PI writes the estimator as a time series; this computes its mean and an error that takes the
correlation of the series into account.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pet_driver.analysis.base import Atoms, atoms_of
from pet_driver.analysis.drift import statistical_inefficiency
from pet_driver.analysis.properties import PropertyFile, PropertyTable
from pet_driver.analysis.units import BOLTZMANN_EV
from pet_driver.errors import PetDriverError

_COLUMN = "kinetic_cv"


@dataclass(frozen=True)
class KineticEnergy:
    """Mean kinetic energy per atom.

    Attributes:
        mean: in eV.
        error: standard error in eV.
        n_samples: number of samples.
        n_independent: number of independent samples, from their correlation in time.
    """

    mean: float
    error: float
    n_samples: int
    n_independent: float

    @property
    def temperature(self) -> float:
        """Temperature in K at which a classical atom has this kinetic energy."""
        return self.mean / (1.5 * BOLTZMANN_EV)

    def excess(self, temperature: float) -> float:
        """Return the difference in eV from the classical 3/2 kT at a temperature in K."""
        return self.mean - 1.5 * BOLTZMANN_EV * temperature


def quantum_kinetic_energy(
    source: PropertyTable | str | os.PathLike,
    atoms: Mapping[str, int] | Atoms,
    start: float = 0.0,
) -> dict[str, KineticEnergy]:
    """Return the kinetic energy per atom by element.

    Averages the columns ``kinetic_cv(H)``, ``kinetic_cv(O)``, ... of i-PI::

        quantum_kinetic_energy("in-process.out", {"H": 128, "O": 64})["H"].mean    # eV/atom

    They are the centroid-virial estimator 3/2 kT - 1/(2P) sum_k (r_k - r_c) . F_k, summed over the
    atoms of an element. A column ``kinetic_cv`` without an element gives the mean over all atoms,
    under the key "all"; a column of one atom, ``kinetic_cv(0)``, is under its index, "0".

    Args:
        source: the property file of a run, or its path.
        atoms: number of atoms by element, or the Universe or group of the run.
        start: time to leave out at the start of the run, in ps.

    Returns:
        The mean and its error by element.

    Raises:
        PetDriverError: missing columns, too few samples, or an element without atoms.
    """
    table = source if isinstance(source, PropertyTable) else PropertyFile(source)
    numbers = _count(atoms)
    columns = [name for name in table if name.split("(")[0] == _COLUMN]
    if not columns:
        raise PetDriverError(
            f"{table.path}: has no column {_COLUMN}; add e.g. kinetic_cv(H){{electronvolt}} to the "
            "properties of the run"
        )
    keep: slice | np.ndarray = slice(None)
    if start > 0:
        keep = table.time() >= table.time()[0] + start
    energies = {}
    for column in columns:
        argument = column[len(_COLUMN) :].strip("()")
        element = argument.removeprefix("atom=").strip() or "all"
        n_atoms = _n_atoms(element, numbers)
        if n_atoms <= 0:
            raise PetDriverError(
                f"{table.path}: column {column}, but no atom of {element} among {numbers}"
            )
        energies[element] = _mean(table.energy(column)[keep] / n_atoms, table.path)
    return energies


def _n_atoms(element: str, numbers: dict[str, int]) -> int:
    """Return the number of atoms of an element or of "all"; 1 for the index of an atom."""
    if element == "all":
        return sum(numbers.values())
    return 1 if element.isdigit() else numbers.get(element, 0)


def _count(atoms: Mapping[str, int] | Atoms) -> dict[str, int]:
    if isinstance(atoms, Mapping):
        return dict(atoms)
    # by name, not by element: i-PI's properties distinguish D from H
    names, numbers = np.unique(atoms_of(atoms).names.astype(str), return_counts=True)
    return dict(zip(names.tolist(), numbers.tolist(), strict=True))


def _mean(series: np.ndarray, path: str) -> KineticEnergy:
    if len(series) < 3:
        raise PetDriverError(f"{path}: {len(series)} samples are too few for a mean with an error")
    if not np.isfinite(series).all():
        raise PetDriverError(f"{path}: a kinetic energy is not finite; the run failed there")
    independent = len(series) / statistical_inefficiency(series)
    error = series.std() / np.sqrt(max(independent - 1.0, 1.0))
    return KineticEnergy(float(series.mean()), float(error), len(series), float(independent))
