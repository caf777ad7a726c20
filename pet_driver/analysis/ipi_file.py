"""Random access to the frames of one trajectory file of i-PI, in MDAnalysis' units."""

from __future__ import annotations

import os
import warnings
from typing import BinaryIO

import numpy as np

from pet_driver.analysis import comments, formats
from pet_driver.analysis.input_path import checked_path
from pet_driver.analysis.memory_map import open_memory_map
from pet_driver.analysis.units import factor
from pet_driver.errors import PetDriverError

_DIMENSION = {
    "positions": "length",
    "x_centroid": "length",
    "r_gyration": "length",
    "velocities": "velocity",
    "v_centroid": "velocity",
    "forces": "force",
    "Eforces": "force",
    "f_centroid": "force",
    "kinetic_cv": "energy",
    "kinetic_od": "energy",
}


def dimension_of(quantity: str) -> str:
    """Return the dimension of a trajectory quantity of i-PI.

    It is "length", "velocity", "force", "energy", or "undefined" for other quantities.
    """
    if quantity in _DIMENSION:
        return _DIMENSION[quantity]
    for prefix in ("x_centroid", "v_centroid", "forces"):
        if quantity.startswith(prefix):
            return _DIMENSION[prefix]
    return "undefined"


class TrajectoryFile:
    """Frames of a trajectory file of i-PI (xyz, ase, pdb, bin).

    ``file[k]`` returns the values [N, 3] and the cell of frame k. Values are float64 in A, A/ps,
    kJ/(mol A) or eV, depending on the quantity. An incomplete frame is left out with a warning if
    it is the last one, or if a restarted run wrote its step again.

    Args:
        path: the file.
        duplicates: ``"drop"`` (default) counts frames that a restarted run wrote again once: where
            the step does not grow, the later frames are kept. ``"keep"`` returns all frames.
        units: unit of positions and cell if the comments do not mark them as in
            ``positions{angstrom} cell{angstrom}``: i-PI's name of a unit of length, or
            ``"automatic"`` for i-PI's own rule (bohr in its xyz, angstrom in pdb and extxyz).
            ``None`` (default) reads pdb and extxyz in angstrom, and refuses an xyz without marks.
        cell_units: the same for the cell alone, by default as ``units``.

    Attributes:
        n_atoms: number of atoms, N.
        names: names of the atoms [N].
        steps: step of each frame [F], -1 if the file has none.
        times: time of each frame [F] in ps if LAMMPS wrote the file with times, else ``None``.
        quantity: what the values are, such as ``"positions"``.
        unit: unit of the quantity in the file.
        dimension: dimension of the quantity, see :func:`dimension_of`.

    Raises:
        PetDriverError: a missing, empty or damaged file, an unknown unit, no marks of units, or
            marks that contradict ``units``.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        duplicates: str = "drop",
        units: str | None = None,
        cell_units: str | None = None,
    ):
        if duplicates not in ("drop", "keep"):
            raise PetDriverError(f"duplicates must be 'drop' or 'keep', not {duplicates!r}")
        self.path = checked_path(path)
        self._handle: BinaryIO | None = None
        with open_memory_map(self.path) as data:
            self.kind = formats.detect_format(data, self.path)
            self.n_atoms, entries = formats.SCANNERS[self.kind](data, self.path)
        self._index(entries, duplicates)
        self._read_units(entries, units, cell_units or units)
        self._raw(0)  # raises an error if the first frame is damaged
        self.names = formats.NAMES[self.kind](self._block(0), self.n_atoms)

    def _block(self, k: int) -> bytes:
        """Return the bytes of frame k; they are read, since mapped pages would stay in memory."""
        if self._handle is None:
            self._handle = open(self.path, "rb", buffering=0)  # noqa: SIM115 (see close)
        self._handle.seek(int(self.starts[k]))
        return self._handle.read(int(self.stops[k] - self.starts[k]))

    def _index(self, entries: list[formats.FrameEntry], duplicates: str) -> None:
        steps = [comments.ipi_step(entry.comment) for entry in entries]
        kept: list[int] = []
        incomplete: list[int] = []
        for k, entry in enumerate(entries):
            if duplicates == "drop" and steps[k] >= 0:
                while kept and steps[kept[-1]] >= steps[k]:
                    kept.pop()
            if entry.complete:
                kept.append(k)
            else:
                incomplete.append(k)
        self._check_incomplete(entries, steps, incomplete)
        if not kept:
            raise PetDriverError(f"{self.path}: contains no complete frame; run for longer")
        self.starts = np.array([entries[k].start for k in kept])
        self.stops = np.array([entries[k].stop for k in kept])
        self.steps = np.array([steps[k] for k in kept])
        self.times = _times([comments.lammps_time(entries[k].comment) for k in kept], self.steps)

    def _check_incomplete(
        self, entries: list[formats.FrameEntry], steps: list[int], incomplete: list[int]
    ) -> None:
        for k in incomplete:
            # if its step was not written either, extrapolate from the frames before
            step = steps[k] if steps[k] >= 0 or k < 2 else 2 * steps[k - 1] - steps[k - 2]
            if k + 1 < len(entries) and not 0 <= steps[k + 1] <= max(step, 0):
                raise PetDriverError(
                    f"{self.path}: frame {k} (step {steps[k]}, byte {entries[k].start}) is "
                    "incomplete in the middle of the file and no restarted run repeats it; cut the "
                    "file before that frame, or run again"
                )
        if incomplete:
            warnings.warn(
                f"{self.path}: frame {incomplete[-1]} (step {steps[incomplete[-1]]}) is "
                "incomplete; it is left out",
                stacklevel=4,
            )

    def _read_units(
        self, entries: list[formats.FrameEntry], units: str | None, cell_units: str | None
    ) -> None:
        complete = [entry.comment for entry in entries if entry.complete]
        marks = {(comments.ipi_quantity(c), comments.ipi_cell_unit(c)) for c in complete}
        if len(marks) > 1:
            seen = ", ".join(sorted(f"{name}{{{unit}}}" for (name, unit), _ in marks))
            raise PetDriverError(
                f"{self.path}: quantity or units change within the file ({seen}); "
                "split it where they change"
            )
        (self.quantity, unit), cell_unit = marks.pop()
        is_angstrom = self.kind == "pdb" or comments.is_extxyz(complete[0])
        default = "angstrom" if is_angstrom else "atomic_unit"
        if self.quantity:
            self.unit = self._checked_unit(unit, units, self.quantity)
        elif units is None and not is_angstrom:
            raise PetDriverError(
                f"{self.path}: its comments do not say the unit of the positions (i-PI itself "
                "reads bohr, unless <file units=...> says otherwise); add the marks "
                "positions{angstrom} cell{angstrom} to them, or give units='angstrom' or "
                "'atomic_unit' (--units of pet-driver evaluate and probe)"
            )
        else:
            self.quantity = "positions"
            self.unit = default if units is None or units == "automatic" else units
        if cell_unit is not None:
            cell_unit = self._checked_unit(cell_unit, cell_units, "cell")
        elif cell_units is None or cell_units == "automatic":
            # with a mark for the positions, i-PI takes the cell in its default unit
            cell_unit = default
        else:
            cell_unit = cell_units
        self.dimension = dimension_of(self.quantity)
        self._factor = factor(self.dimension, self.unit, self.path)
        self._cell_factor = factor("length", cell_unit, self.path)

    def _checked_unit(self, mark: str, given: str | None, name: str) -> str:
        """Return the unit of a mark.

        Raises:
            PetDriverError: another unit was given for the file.
        """
        dimension = "length" if name == "cell" else dimension_of(name)
        if given is not None and given != "automatic" and dimension == "length":
            values = [factor("length", unit, self.path) for unit in (mark, given)]
            if abs(values[0] / values[1] - 1) > 1e-6:
                raise PetDriverError(
                    f"{self.path}: its comments say {name}{{{mark}}}, but units={given!r} was "
                    "given; leave units out, or correct the comments"
                )
        return mark

    def __len__(self) -> int:
        return len(self.starts)

    def _raw(self, k: int) -> formats.RawFrame:
        try:
            return formats.PARSERS[self.kind](self._block(k), self.n_atoms)
        except (ValueError, IndexError) as error:
            raise PetDriverError(
                f"{self.path}: frame {k} (step {self.steps[k]}, byte {self.starts[k]}) "
                f"cannot be read: {error}"
            ) from None

    def __getitem__(self, k: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the values [N, 3] of frame k, and a, b, c (A), alpha, beta, gamma or None."""
        raw = self._raw(k)
        if not np.isfinite(raw.values).all():
            raise PetDriverError(
                f"{self.path}: frame {k} (step {self.steps[k]}) contains a value that is not "
                "finite; the run failed there"
            )
        cell = raw.cell
        if cell is not None:
            cell = cell.copy()
            cell[:3] *= self._cell_factor
        return raw.values * self._factor, cell

    def close(self) -> None:
        """Close the file; the next access opens it again."""
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_handle": None}


# A time step below this is one in ps (units metal), a larger one is in fs (units real): as the
# other unit it would be above 20 fs or below 0.02 fs.
_LONGEST_PS = 0.02


def _times(values: list[float], steps: np.ndarray) -> np.ndarray | None:
    """Return the times [F] in ps of frames of LAMMPS, whose dumps do not say their unit."""
    times = np.array(values)
    last = int(np.argmax(steps))
    if not np.isfinite(times).all() or steps[last] <= 0:
        return None
    return times if times[last] / steps[last] < _LONGEST_PS else times * 1.0e-3
