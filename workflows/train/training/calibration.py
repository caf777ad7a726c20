"""How well the spread of an ensemble tells its error, and how it grows beyond the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from scipy.stats import spearmanr

from pet_driver.model.ensemble import Ensemble
from pet_driver.report.drawing import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION, panels

BINS = 8  # of a set's curve, with as many atoms each
SHAKEN = (0.1, 0.3)  # A, standard deviation of what each coordinate is moved by
SQUEEZED = (0.95, 0.85)  # of all lengths
MARKS = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (VERMILION, "D"), (PURPLE, "v"))


@dataclass(frozen=True)
class Calibration:
    """Of one set of frames.

    Attributes:
        errors: by atom, how far the mean force is from the reference, meV/A.
        spreads: by atom, ``force_std``, meV/A.
        energy_error: root mean square, meV/atom, after the mean error of the set is removed.
        energy_std: root mean square, meV/atom.
    """

    errors: np.ndarray
    spreads: np.ndarray
    energy_error: float
    energy_std: float

    @property
    def force_error(self) -> float:
        """Root mean square, meV/A."""
        return _rms(self.errors)

    @property
    def force_std(self) -> float:
        """Root mean square, meV/A."""
        return _rms(self.spreads)

    @property
    def rank_correlation(self) -> float:
        """Spearman's, of spreads and errors of atoms: 1 if the one orders them as the other."""
        return float(spearmanr(self.spreads, self.errors).statistic)


def calibration(ensemble: Ensemble, frames: Sequence[Atoms]) -> Calibration:
    """Evaluate frames that carry energies (eV) and forces (eV/A)."""
    errors, spreads, energies, apart = [], [], [], []
    for atoms in frames:
        found = ensemble.evaluate(atoms)
        errors.append(np.linalg.norm(found.forces - atoms.get_forces(), axis=1))
        spreads.append(found.force_std)
        energies.append((found.energy - atoms.get_potential_energy()) / len(atoms))
        apart.append(found.ensemble_std / len(atoms))
    return Calibration(
        errors=1e3 * np.concatenate(errors),
        spreads=1e3 * np.concatenate(spreads),
        energy_error=1e3 * float(np.std(energies)),
        energy_std=1e3 * _rms(np.array(apart)),
    )


def deformed(atoms: Atoms, seed: int = 0) -> dict[str, Atoms]:
    """A structure as it is, shaken at random, and squeezed."""
    rng = np.random.default_rng(seed)
    found = {"as it is": atoms}
    for width in SHAKEN:
        found[f"shaken by {width} A"] = shaken = atoms.copy()
        shaken.positions += rng.normal(0.0, width, atoms.positions.shape)
    for factor in SQUEEZED:
        found[f"squeezed to {factor}"] = squeezed = atoms.copy()
        squeezed.set_cell(factor * atoms.cell)
        squeezed.positions *= factor
    return found


def largest_std(ensemble: Ensemble, frames: Sequence[Atoms]) -> dict[str, float]:
    """By deformation: the largest force standard deviation of an atom, meV/A, median over frames."""
    found: dict[str, list[float]] = {}
    for number, atoms in enumerate(frames):
        for name, one in deformed(atoms, number).items():
            spread = ensemble.evaluate(one).force_std.max()
            found.setdefault(name, []).append(1e3 * float(spread))
    return {name: float(np.median(values)) for name, values in found.items()}


def draw(found: Mapping[str, Calibration], path: Path) -> None:
    """Error against spread, atoms of similar spread together."""
    figure, (axis,) = panels(1, width=3.6, height=3.2)
    for (name, one), (color, mark) in zip(found.items(), MARKS, strict=False):
        groups = np.array_split(np.argsort(one.spreads), BINS)
        x, y = ([_rms(values[group]) for group in groups] for values in (one.spreads, one.errors))
        axis.loglog(x, y, marker=mark, color=color, label=name)
    ends = axis.get_xlim()
    axis.loglog(ends, ends, color=GREY, lw=0.8, zorder=0)
    axis.set(xlabel="force standard deviation (meV/A)", ylabel="force error (meV/A)", xlim=ends)
    axis.legend()
    figure.savefig(path, bbox_inches="tight")


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))
