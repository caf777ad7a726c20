"""Compute errors of a model on frames with known energies and forces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from ase import Atoms

from pet_driver.model.evaluator import Model

CHUNK = 16  # frames in one evaluation


@dataclass(frozen=True)
class Errors:
    """Errors on one set of frames.

    Attributes:
        frames: number of frames.
        atoms: number of atoms of the smallest frame.
        energy_mae: meV/atom, after the mean error of the set is removed.
        energy_rmse: root mean square of the same, meV/atom.
        shift: the mean error that was removed, meV/atom.
        force_mae: meV/A, of components.
        force_rmse: root mean square of the same, meV/A.
    """

    frames: int
    atoms: int
    energy_mae: float
    energy_rmse: float
    shift: float
    force_mae: float
    force_rmse: float

    def as_dict(self) -> dict[str, float]:
        """Return the errors as a dictionary, for JSON."""
        return asdict(self)


def errors(model: Model, frames: Sequence[Atoms], grid: str = "0") -> Errors:
    """Evaluate frames and compare with their reference energies (eV) and forces (eV/A)."""
    energy, force = [], []
    for start in range(0, len(frames), CHUNK):
        some = frames[start : start + CHUNK]
        for atoms, found in zip(some, model.evaluate(some, grid), strict=True):
            energy.append((found.energy - atoms.get_potential_energy()) / len(atoms))
            force.append((found.forces - atoms.get_forces()).ravel())
    shift = float(np.mean(energy))
    off, components = np.array(energy) - shift, np.concatenate(force)
    milli = 1e3
    return Errors(
        frames=len(frames),
        atoms=min(map(len, frames)),
        energy_mae=milli * float(np.abs(off).mean()),
        energy_rmse=milli * float(np.sqrt((off**2).mean())),
        shift=milli * shift,
        force_mae=milli * float(np.abs(components).mean()),
        force_rmse=milli * float(np.sqrt((components**2).mean())),
    )
