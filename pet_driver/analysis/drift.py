"""Drift of the conserved quantity, and the statistical inefficiency of a series.

``scipy.stats.linregress`` fits a line too, but its error takes the samples as independent. pymbar
has a statistical inefficiency; it would be a dependency for ten lines.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from pet_driver.analysis.lammps_log import LAMMPSLog
from pet_driver.analysis.properties import PropertyFile, PropertyTable
from pet_driver.errors import PetDriverError


@dataclass(frozen=True)
class Drift:
    """Linear fit of an energy over time.

    Attributes:
        slope: in eV/(atom ps).
        error: standard error of the slope in eV/(atom ps).
        fluctuation: root mean square deviation from the line in eV/atom.
        duration: length of the series in ps.
        n_samples: number of samples.
        n_independent: number of independent samples, from the correlation of the residuals.
    """

    slope: float
    error: float
    fluctuation: float
    duration: float
    n_samples: int
    n_independent: float

    def __str__(self) -> str:
        return f"{self.slope:.3e} +- {self.error:.1e} eV/(atom ps) over {self.duration:.4g} ps"


def conserved_drift(
    source: PropertyTable | str | os.PathLike,
    n_atoms: int,
    name: str | None = None,
    start: float = 0.0,
) -> Drift:
    """Return the drift of the conserved quantity of a run.

    The error takes the correlation of the residuals into account.

    Args:
        source: a property file of i-PI or a log of LAMMPS, or its path.
        n_atoms: number of atoms of the system (for ring polymers: of one bead, since i-PI divides
            ``conserved`` by the number of beads).
        name: the column; by default ``conserved`` (i-PI), ``Econserve`` or ``TotEng`` (LAMMPS; a
            thermostat or barostat does not conserve the latter).
        start: time to leave out at the start of the run, in ps.

    Returns:
        The slope and its error.

    Raises:
        PetDriverError: too few samples, or a missing column.
    """
    table = source if isinstance(source, PropertyTable) else _open(source)
    if name is None:
        known = ("conserved", "Econserve", "TotEng")
        name = next((n for n in known if n in table), known[0])
    if n_atoms <= 0:
        raise PetDriverError(f"n_atoms must be positive, not {n_atoms}")
    time, energy = table.time(), table.energy(name) / n_atoms
    keep = time >= time[0] + start
    time, energy = time[keep], energy[keep]
    if len(time) < 3 or time[-1] <= time[0]:
        raise PetDriverError(f"{table.path}: {len(time)} samples are too few for a drift")
    return linear_drift(time, energy)


def _open(path: str | os.PathLike) -> PropertyTable:
    try:
        with open(path, errors="replace") as handle:
            lines = [handle.readline() for _ in range(100)]
    except FileNotFoundError:
        raise PetDriverError(f"{os.fspath(path)}: no such file") from None
    return PropertyFile(path) if any("-->" in line for line in lines) else LAMMPSLog(path)


def linear_drift(time: np.ndarray, energy: np.ndarray) -> Drift:
    """Fit a line to an energy over time.

    Args:
        time: [F] in ps.
        energy: [F] in eV/atom.

    Returns:
        The slope and its error, which takes the correlation of the residuals into account.
    """
    t = time - time.mean()
    slope = float(t @ (energy - energy.mean()) / (t @ t))
    residual = energy - energy.mean() - slope * t
    variance = float(residual @ residual) / (len(t) - 2)
    inefficiency = statistical_inefficiency(residual)
    return Drift(
        slope=slope,
        error=float(np.sqrt(variance * inefficiency / (t @ t))),
        fluctuation=float(np.sqrt(variance)),
        duration=float(time[-1] - time[0]),
        n_samples=len(t),
        n_independent=len(t) / inefficiency,
    )


def statistical_inefficiency(series: np.ndarray) -> float:
    """Return the statistical inefficiency of a series [F].

    It is the number of samples for one independent sample, 1 + 2 sum_k C(k), with the normalized
    autocorrelation C summed up to its first zero.
    """
    series = np.asarray(series, float) - np.mean(series)
    n = len(series)
    power = np.abs(np.fft.rfft(series, 2 * n)) ** 2
    correlation = np.fft.irfft(power)[:n]
    if correlation[0] <= 0:
        return 1.0
    correlation /= correlation[0]
    crossing = np.argmax(correlation <= 0) if (correlation <= 0).any() else n
    return float(1.0 + 2.0 * correlation[1:crossing].sum())
