"""How far the energy is from invariance along a run: what the average over rotations took away."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pet_driver.analysis.drift import statistical_inefficiency
from pet_driver.analysis.extras_file import ExtrasFile, is_extras
from pet_driver.analysis.properties import (
    LAMMPSLog,
    PropertyFile,
    PropertyTable,
    files_of_the_run,
)
from pet_driver.errors import PetDriverError

PathLike = str | os.PathLike


@dataclass(frozen=True)
class EquivarianceError:
    """Raw minus averaged energy along a run, and the spread over the rotations of the grid, in eV.

    Of the whole box; of ring polymers, the mean over beads.
    """

    step: np.ndarray  # [F]
    time: np.ndarray  # [F], ps
    error: np.ndarray  # [F], raw energy minus the energy averaged over the grid
    rotation_std: np.ndarray  # [F], standard deviation of the energy over the rotations of the grid

    @property
    def rms(self) -> float:
        """Root mean square of the error, eV."""
        return float(np.sqrt(np.mean(self.error**2)))

    @property
    def mean(self) -> float:
        """Mean of the error, eV: a shift that moves nothing."""
        return float(self.error.mean())

    @property
    def mean_error(self) -> float:
        """Standard error of the mean (eV), with the correlation in time."""
        independent = len(self.error) / statistical_inefficiency(self.error)
        return float(self.error.std() / np.sqrt(max(independent - 1.0, 1.0)))

    @property
    def mean_std(self) -> float:
        """Root mean square of the spread, eV."""
        return float(np.sqrt(np.mean(self.rotation_std**2)))


def equivariance_error(
    source: PathLike | Sequence[PathLike] | LAMMPSLog,
    properties: PropertyTable | PathLike | None = None,
    compute: str = "rotations",
    start: float = 0.0,
) -> EquivarianceError:
    """The equivariance error along a run of i-PI or LAMMPS that averages over a grid.

        found = equivariance_error("2i.rotations_0")
        found.rms, power_spectrum(found.error, found.time[1] - found.time[0])

    i-PI writes nine digits: of a box of liquid, energies are good to 0.05 meV.

    Args:
        source: i-PI's extras ``raw_energy_ev`` and ``rotation_std_ev`` of one bead (all beads of
            a ring polymer that lie beside it are taken together; or give their list), or a log of
            LAMMPS, or its path, with the columns ``c_NAME[1]``, ``c_NAME[2]`` of ``compute NAME all
            pair pet``.
        properties: of i-PI, the file with ``step``, ``time`` and ``potential``; by default it is
            looked for beside the extras (``2i.out``).
        compute: NAME of the compute in LAMMPS.
        start: ps from the start of the run to leave out.

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
        files = _beads(source)
    else:
        files = [os.fspath(path) for path in source]
        if not files:
            raise PetDriverError("give at least one file of extras")
    if properties is None:
        properties = _beside(files[0])
    if not isinstance(properties, PropertyTable):
        properties = PropertyFile(properties)
    return _cut(_from_ipi([ExtrasFile(path) for path in files], properties), start)


def _cut(found: EquivarianceError, start: float) -> EquivarianceError:
    keep = found.time >= found.time[0] + start
    if not keep.any():
        raise PetDriverError(f"the run ends within the {start} ps that are to be left out")
    return EquivarianceError(
        *(a[keep] for a in (found.step, found.time, found.error, found.rotation_std))
    )


def _from_lammps(log: LAMMPSLog, compute: str) -> EquivarianceError:
    raw, spread = (log.energy(f"c_{compute}[{k}]") for k in (1, 2))
    return EquivarianceError(log["step"], log.time(), raw - log.energy("PotEng"), spread)


def _from_ipi(beads: list[ExtrasFile], properties: PropertyTable) -> EquivarianceError:
    steps = beads[0]["step"]
    for bead in beads[1:]:
        if not np.array_equal(bead["step"], steps):
            raise PetDriverError(f"{bead.path}: its steps are not those of {beads[0].path}")
    places = np.searchsorted(properties["step"], steps)
    places = np.minimum(places, len(properties) - 1)
    known = properties["step"][places] == steps
    if not known.any():
        raise PetDriverError(
            f"{properties.path}: has none of the steps of {beads[0].path}; write the extras at a "
            "multiple of the stride of the properties"
        )
    places = places[known]
    raw = np.mean([bead.energy("raw_energy_ev")[known] for bead in beads], axis=0)
    spread = np.mean([bead.energy("rotation_std_ev")[known] for bead in beads], axis=0)
    error = raw - properties.energy("potential")[places]
    return EquivarianceError(steps[known], properties.time()[places], error, spread)


def _beads(path: PathLike) -> list[str]:
    """The extras of all beads beside those of one of them, ``run.rotations_3``, in order."""
    path = Path(path)
    stem, _, number = path.name.rpartition("_")
    if not stem or not number.isdigit():
        return [os.fspath(path)]
    found = path.parent.glob(f"{glob.escape(stem)}_" + "[0-9]" * len(number))
    return [os.fspath(other) for other in sorted(found)]


def _beside(extras: PathLike) -> PropertyFile:
    """The property file with step, time and potential beside the extras."""
    for candidate in files_of_the_run(extras):
        with open(candidate, errors="replace") as handle:
            if handle.read(3) != "# c":
                continue
        table = PropertyFile(candidate)
        if all(name in table for name in ("step", "time", "potential")):
            return table
    raise PetDriverError(
        f"{os.fspath(extras)}: no property file with step, time and potential beside it; "
        "give properties="
    )
