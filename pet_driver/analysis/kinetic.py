"""The quantum kinetic energy of ring polymers, by element."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pet_driver.analysis.base import atoms_of
from pet_driver.analysis.drift import statistical_inefficiency
from pet_driver.analysis.properties import PropertyFile, PropertyTable
from pet_driver.analysis.units import BOLTZMANN_EV
from pet_driver.errors import PetDriverError

_COLUMN = "kinetic_cv"


@dataclass(frozen=True)
class KineticEnergy:
    """Kinetic energy of an atom in eV, its standard error, and what it is in classical terms."""

    mean: float
    error: float
    n_samples: int
    n_independent: float  # samples after their correlation

    @property
    def temperature(self) -> float:
        """The temperature (K) at which a classical atom has this kinetic energy."""
        return self.mean / (1.5 * BOLTZMANN_EV)

    def excess(self, temperature: float) -> float:
        """What is above the classical 3/2 kT at ``temperature`` in K, eV."""
        return self.mean - 1.5 * BOLTZMANN_EV * temperature


def quantum_kinetic_energy(
    source: PropertyTable | str | os.PathLike,
    atoms: Mapping[str, int] | object,
    start: float = 0.0,
) -> dict[str, KineticEnergy]:
    """Kinetic energy by element from the columns ``kinetic_cv(H)``, ``kinetic_cv(O)``, ... of i-PI.

        quantum_kinetic_energy("in-process.out", {"H": 128, "O": 64})["H"].mean    # eV/atom

    The centroid-virial estimator 3/2 kT - 1/2P sum_k (r_k - r_c) . F_k; i-PI writes the sum over
    the atoms of an element. The column without a name, where it is there, is the mean of all atoms
    and comes as "all".

    Args:
        source: the property file of a run, or its path.
        atoms: how many of each element, or a Universe or group that holds them.
        start: ps from the start of the run to leave out.

    Raises:
        PetDriverError: missing columns, too few samples, or an element that is not there.
    """
    table = source if isinstance(source, PropertyTable) else PropertyFile(source)
    numbers = _count(atoms)
    columns = [name for name in table if name.split("(")[0] == _COLUMN]
    if not columns:
        raise PetDriverError(
            f"{table.path}: has no column {_COLUMN}; add e.g. kinetic_cv(H){{electronvolt}} to the "
            "properties of the run"
        )
    keep = slice(None)
    if start > 0:
        keep = table.time() >= table.time()[0] + start
    found = {}
    for column in columns:
        element = column[len(_COLUMN) :].strip("()") or "all"
        n_atoms = sum(numbers.values()) if element == "all" else numbers.get(element, 0)
        if n_atoms <= 0:
            raise PetDriverError(
                f"{table.path}: column {column}, but no atom of {element} among {numbers}"
            )
        found[element] = _mean(table.energy(column)[keep] / n_atoms, table.path)
    return found


def _count(atoms) -> dict[str, int]:
    if isinstance(atoms, Mapping):
        return dict(atoms)
    # i-PI's labels: D is not H there
    names, numbers = np.unique(atoms_of(atoms).names.astype(str), return_counts=True)
    return dict(zip(names.tolist(), numbers.tolist(), strict=True))


def _mean(series: np.ndarray, path: str) -> KineticEnergy:
    if len(series) < 3:
        raise PetDriverError(f"{path}: {len(series)} samples are too few for a mean with an error")
    if not np.isfinite(series).all():
        raise PetDriverError(f"{path}: a kinetic energy is not finite; the run went wrong there")
    independent = len(series) / statistical_inefficiency(series)
    error = series.std() / np.sqrt(max(independent - 1.0, 1.0))
    return KineticEnergy(float(series.mean()), float(error), len(series), float(independent))
