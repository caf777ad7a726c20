"""Compare the standard deviation of an ensemble with its error, within the data and beyond."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from scipy.stats import spearmanr

from pet_driver.model.ensemble import Ensemble
from pet_driver.report.drawing import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION, panels

BINS = 8  # points of the curve of a set, each for the same number of atoms
SHAKEN = (0.1, 0.3)  # A, standard deviation of random displacements
SQUEEZED = (0.95, 0.85)  # factor on all lengths
MARKS = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (VERMILION, "D"), (PURPLE, "v"))


@dataclass(frozen=True)
class Calibration:
    """Errors and ensemble standard deviations on one set of frames.

    Attributes:
        errors: by atom, length of the error vector of the mean force, meV/A.
        force_stds: by atom, ``force_std``, meV/A.
        energy_error: root mean square, meV/atom, after the mean error of the set is removed.
        energy_std: root mean square of the ensemble standard deviation, meV/atom.
    """

    errors: np.ndarray
    force_stds: np.ndarray
    energy_error: float
    energy_std: float

    @property
    def force_error(self) -> float:
        """Root mean square error of the force on an atom, meV/A."""
        return _rms(self.errors)

    @property
    def force_std(self) -> float:
        """Root mean square of ``force_std``, meV/A."""
        return _rms(self.force_stds)

    @property
    def rank_correlation(self) -> float:
        """Spearman correlation of ``force_std`` and error over atoms."""
        return float(spearmanr(self.force_stds, self.errors).statistic)


def calibration(ensemble: Ensemble, frames: Sequence[Atoms]) -> Calibration:
    """Compare an ensemble with frames that have energies (eV) and forces (eV/A)."""
    errors, force_stds, energies, energy_stds = [], [], [], []
    for atoms in frames:
        found = ensemble.evaluate(atoms)
        errors.append(np.linalg.norm(found.forces - atoms.get_forces(), axis=1))
        force_stds.append(found.force_std)
        energies.append((found.energy - atoms.get_potential_energy()) / len(atoms))
        energy_stds.append(found.ensemble_std / len(atoms))
    return Calibration(
        errors=1e3 * np.concatenate(errors),
        force_stds=1e3 * np.concatenate(force_stds),
        energy_error=1e3 * float(np.std(energies)),
        energy_std=1e3 * _rms(np.array(energy_stds)),
    )


def deformed(atoms: Atoms, seed: int = 0) -> dict[str, Atoms]:
    """Return a structure unchanged, with random displacements, and compressed, by name."""
    rng = np.random.default_rng(seed)
    found = {"unchanged": atoms}
    for width in SHAKEN:
        found[f"shaken by {width} A"] = shaken = atoms.copy()
        shaken.positions += rng.normal(0.0, width, atoms.positions.shape)
    for factor in SQUEEZED:
        found[f"squeezed to {factor}"] = squeezed = atoms.copy()
        squeezed.set_cell(factor * atoms.cell)
        squeezed.positions *= factor
    return found


def largest_std(ensemble: Ensemble, frames: Sequence[Atoms]) -> dict[str, float]:
    """Return the median over frames of the largest ``force_std`` (meV/A), by deformation."""
    found: dict[str, list[float]] = {}
    for number, atoms in enumerate(frames):
        for name, one in deformed(atoms, number).items():
            largest = ensemble.evaluate(one).force_std.max()
            found.setdefault(name, []).append(1e3 * float(largest))
    return {name: float(np.median(values)) for name, values in found.items()}


def draw(found: Mapping[str, Calibration], path: Path) -> None:
    """Draw the force error against ``force_std``, each point for atoms of similar ``force_std``."""
    figure, (axis,) = panels(1, width=3.6, height=3.2)
    for (name, one), (color, mark) in zip(found.items(), MARKS, strict=False):
        groups = np.array_split(np.argsort(one.force_stds), BINS)
        x, y = (
            [_rms(values[group]) for group in groups] for values in (one.force_stds, one.errors)
        )
        axis.loglog(x, y, marker=mark, color=color, label=name)
    ends = axis.get_xlim()
    axis.loglog(ends, ends, color=GREY, lw=0.8, zorder=0)
    axis.set(xlabel="force standard deviation (meV/A)", ylabel="force error (meV/A)", xlim=ends)
    axis.legend()
    figure.savefig(path, bbox_inches="tight")


def _rms(values: np.ndarray) -> float:
    """Return the root mean square."""
    return float(np.sqrt((values**2).mean()))
