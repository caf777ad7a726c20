"""Equivariance error of the energy along a run that averages over rotations."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pet_driver.analysis.drift import statistical_inefficiency
from pet_driver.analysis.extras_file import ExtrasFile, is_extras
from pet_driver.analysis.lammps_log import LAMMPSLog
from pet_driver.analysis.properties import (
    PropertyFile,
    PropertyTable,
    files_with_prefix,
    property_names,
)
from pet_driver.analysis.run_files import bead_files
from pet_driver.errors import PetDriverError

PathLike = str | os.PathLike


@dataclass(frozen=True)
class EquivarianceError:
    """Equivariance error of the energy along a run.

    All energies are those of the whole system; for ring polymers, the mean over the beads.

    Attributes:
        step: [F].
        time: [F] in ps.
        error: raw energy minus the energy averaged over the grid [F] in eV.
        rotation_std: standard deviation of the energy over the rotations of the grid [F] in eV.
    """

    step: np.ndarray
    time: np.ndarray
    error: np.ndarray
    rotation_std: np.ndarray

    @property
    def rms(self) -> float:
        """Root mean square of the error in eV."""
        return float(np.sqrt(np.mean(self.error**2)))

    @property
    def mean(self) -> float:
        """Mean of the error in eV: a constant shift, without an effect on the dynamics."""
        return float(self.error.mean())

    @property
    def mean_error(self) -> float:
        """Standard error of the mean in eV, with the correlation in time taken into account."""
        independent = len(self.error) / statistical_inefficiency(self.error)
        return float(self.error.std() / np.sqrt(max(independent - 1.0, 1.0)))

    @property
    def rms_rotation_std(self) -> float:
        """Root mean square of ``rotation_std`` over the run in eV."""
        return float(np.sqrt(np.mean(self.rotation_std**2)))


def equivariance_error(
    source: PathLike | Sequence[PathLike] | LAMMPSLog,
    properties: PropertyTable | PathLike | None = None,
    compute: str = "rotations",
    start: float = 0.0,
) -> EquivarianceError:
    """Return the equivariance error along a run of i-PI or LAMMPS that averages over a grid.

    For example::

        error = equivariance_error("2i.rotations_0")
        error.rms, power_spectrum(error.error, error.time[1] - error.time[0])

    i-PI writes nine digits, so the energy of a box of liquid is accurate to 0.05 meV.

    Args:
        source: one of: i-PI's file with the extras ``raw_energy_ev`` and ``rotation_std_ev`` of one
            bead (the files of the other beads in the same folder are read too); a list of such
            files; a log of LAMMPS, or its path, with the columns ``c_NAME[1]`` and ``c_NAME[2]`` of
            ``compute NAME all pair pet``.
        properties: i-PI's property file with ``step``, ``time`` and ``potential``; by default it is
            searched in the folder of the extras (``2i.out``).
        compute: NAME of the compute in LAMMPS.
        start: time to leave out at the start of the run, in ps.

    Raises:
        PetDriverError: missing files or columns, or steps that do not match.
    """
    if isinstance(source, LAMMPSLog):
        return _cut(_from_lammps(source, compute), start)
    if isinstance(source, str | os.PathLike):
        if not Path(source).is_file():
            raise PetDriverError(f"{os.fspath(source)}: no such file")
        if properties is None and not is_extras(source):
            return _cut(_from_lammps(LAMMPSLog(source), compute), start)
        files = _bead_files(source)
    else:
        files = [os.fspath(path) for path in source]
        if not files:
            raise PetDriverError("give at least one file of extras")
    if properties is None:
        properties = _find_properties(files[0])
    if not isinstance(properties, PropertyTable):
        properties = PropertyFile(properties)
    return _cut(_from_ipi([ExtrasFile(path) for path in files], properties), start)


def _cut(series: EquivarianceError, start: float) -> EquivarianceError:
    keep = series.time >= series.time[0] + start
    if not keep.any():
        raise PetDriverError(f"the run ends within the {start} ps that are to be left out")
    columns = (series.step, series.time, series.error, series.rotation_std)
    return EquivarianceError(*(column[keep] for column in columns))


def _from_lammps(log: LAMMPSLog, compute: str) -> EquivarianceError:
    raw, rotation_std = (log.energy(f"c_{compute}[{k}]") for k in (1, 2))
    return EquivarianceError(log["step"], log.time(), raw - log.energy("PotEng"), rotation_std)


def _from_ipi(beads: list[ExtrasFile], properties: PropertyTable) -> EquivarianceError:
    steps = beads[0]["step"]
    for bead in beads[1:]:
        if not np.array_equal(bead["step"], steps):
            raise PetDriverError(f"{bead.path}: its steps differ from those of {beads[0].path}")
    rows = np.searchsorted(properties["step"], steps)
    rows = np.minimum(rows, len(properties) - 1)
    known = properties["step"][rows] == steps
    if not known.any():
        raise PetDriverError(
            f"{properties.path}: has none of the steps of {beads[0].path}; write the extras at a "
            "multiple of the stride of the properties"
        )
    stride = properties["step"][-1] - properties["step"][max(-2, -len(properties))]
    if steps[-1] > properties["step"][-1] + max(stride, 1):
        raise PetDriverError(
            f"{properties.path}: ends at step {properties['step'][-1]:.0f}, {beads[0].path} at "
            f"step {steps[-1]:.0f}: one of them is left from another run; remove it, or give "
            "properties="
        )
    rows = rows[known]
    raw = np.mean([bead.energy("raw_energy_ev")[known] for bead in beads], axis=0)
    rotation_std = np.mean([bead.energy("rotation_std_ev")[known] for bead in beads], axis=0)
    error = raw - properties.energy("potential")[rows]
    return EquivarianceError(steps[known], properties.time()[rows], error, rotation_std)


def _bead_files(path: PathLike) -> list[str]:
    """Return the files of all beads in the folder of one; the file alone if it has no number."""
    numbered = Path(path).name.rpartition("_")[2].isdigit()
    return bead_files(path) if numbered else [os.fspath(path)]


def _find_properties(extras: PathLike) -> PropertyFile:
    """Return the property file with step, time and potential in the folder of the extras."""
    for candidate in files_with_prefix(extras):
        if {"step", "time", "potential"}.issubset(property_names(candidate)):
            return PropertyFile(candidate)
    raise PetDriverError(
        f"{os.fspath(extras)}: no property file with step, time and potential in its folder; "
        "give properties="
    )
