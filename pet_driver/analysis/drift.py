"""Drift of the conserved quantity."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from pet_driver.analysis.properties import LAMMPSLog, PropertyFile, PropertyTable
from pet_driver.errors import PetDriverError


@dataclass(frozen=True)
class Drift:
    """A linear fit of an energy over time: slope and its standard error in eV/(atom ps)."""

    slope: float
    error: float
    fluctuation: float  # root mean square about the line, eV/atom
    duration: float  # ps
    n_samples: int
    n_independent: float  # samples after the correlation of the residuals

    def __str__(self) -> str:
        return f"{self.slope:.3e} +- {self.error:.1e} eV/(atom ps) over {self.duration:.4g} ps"


def conserved_drift(
    source: PropertyTable | str | os.PathLike,
    n_atoms: int,
    name: str | None = None,
    start: float = 0.0,
) -> Drift:
    """The drift of the conserved quantity of a run.

    The error takes the correlation of the residuals into account.

    Args:
        source: a property file of i-PI or a log of LAMMPS, or its path.
        n_atoms: atoms of the system (for ring polymers: of one bead; i-PI's ``conserved`` is by
            bead).
        name: the column; by default ``conserved`` (i-PI), ``Econserve`` or ``TotEng`` (LAMMPS; a
            thermostat or barostat does not conserve the latter).
        start: ps from the start of the run to leave out.

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
    """Fit energy [F] (eV/atom) over time [F] (ps) by a line."""
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
    """1 + 2 sum of the autocorrelation up to its first zero: samples for one independent one."""
    series = np.asarray(series, float) - np.mean(series)
    n = len(series)
    power = np.abs(np.fft.rfft(series, 2 * n)) ** 2
    correlation = np.fft.irfft(power)[:n]
    if correlation[0] <= 0:
        return 1.0
    correlation /= correlation[0]
    crossing = np.argmax(correlation <= 0) if (correlation <= 0).any() else n
    return float(1.0 + 2.0 * correlation[1:crossing].sum())
