"""One trajectory file of i-PI as a random-access sequence of frames, in MDAnalysis' units."""

from __future__ import annotations

import glob
import os
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pet_driver.analysis import formats
from pet_driver.analysis.memory_map import mapped
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
    """The dimension of one of i-PI's trajectories: length, velocity, force, energy, undefined."""
    if quantity in _DIMENSION:
        return _DIMENSION[quantity]
    for prefix in ("x_centroid", "v_centroid", "forces"):
        if quantity.startswith(prefix):
            return _DIMENSION[prefix]
    return "undefined"


class TrajectoryFile:
    """A trajectory file of i-PI (xyz, ase, pdb, bin); ``file[k]`` is the k-th frame that counts.

    Values are float64 in A, A/ps, kJ/(mol A) or eV by dimension. A last frame that breaks off is
    left out with a warning, as is one in the middle that a restarted run wrote again.

    Args:
        path: the file.
        duplicates: ``"drop"`` (default): where the step does not grow, a run was restarted; the
            later frames count, and the earlier ones from that step on are left out. ``"keep"``:
            all.

    Attributes:
        n_atoms: number of atoms.
        names: [N].
        steps: [F], -1 where the file has none.
        quantity: ``"positions"``, ...
        unit: of the quantity in the file.
        dimension: of the quantity, see :func:`dimension_of`.

    Raises:
        PetDriverError: a missing, empty or damaged file, or an unknown unit.
    """

    def __init__(self, path: str | os.PathLike, duplicates: str = "drop"):
        if duplicates not in ("drop", "keep"):
            raise PetDriverError(f"duplicates must be 'drop' or 'keep', not {duplicates!r}")
        self.path = os.fspath(path)
        self._handle: BinaryIO | None = None
        with mapped(self.path) as data:
            self.kind = formats.kind_of(data, self.path)
            self.n_atoms, entries = formats.SCANNERS[self.kind](data, self.path)
        self._index(entries, duplicates)
        self._read_units(entries)
        self._raw(0)  # complains of a damaged first frame
        self.names = formats.NAMES[self.kind](self._block(0), self.n_atoms)

    def _block(self, k: int) -> bytes:
        """Frame k as it stands in the file. Read, not mapped: mapped pages would stay resident."""
        if self._handle is None:
            self._handle = open(self.path, "rb", buffering=0)  # noqa: SIM115 (see close)
        self._handle.seek(int(self.starts[k]))
        return self._handle.read(int(self.stops[k] - self.starts[k]))

    def _index(self, entries: list[formats.FrameEntry], duplicates: str) -> None:
        steps = [formats.ipi_step(entry.comment) for entry in entries]
        kept: list[int] = []
        broken = []
        for k, entry in enumerate(entries):
            if duplicates == "drop" and steps[k] >= 0:
                while kept and steps[kept[-1]] >= steps[k]:
                    kept.pop()
            if entry.complete:
                kept.append(k)
            else:
                broken.append(k)
        self._check_broken(entries, steps, broken)
        if not kept:
            raise PetDriverError(f"{self.path}: holds no whole frame; run for longer")
        self.starts = np.array([entries[k].start for k in kept])
        self.stops = np.array([entries[k].stop for k in kept])
        self.steps = np.array([steps[k] for k in kept])

    def _check_broken(self, entries, steps: list[int], broken: list[int]) -> None:
        for k in broken:
            # One that broke off before it named its step is the one that was to come.
            step = steps[k] if steps[k] >= 0 or k < 2 else 2 * steps[k - 1] - steps[k - 2]
            if k + 1 < len(entries) and not 0 <= steps[k + 1] <= max(step, 0):
                raise PetDriverError(
                    f"{self.path}: frame {k} (step {steps[k]}, byte {entries[k].start}) breaks off "
                    "in the middle of the file and no restarted run repeats it; cut the file "
                    "before that frame, or write it anew"
                )
        if broken:
            warnings.warn(
                f"{self.path}: frame {broken[-1]} (step {steps[broken[-1]]}) breaks off; "
                "it is left out",
                stacklevel=4,
            )

    def _read_units(self, entries: list[formats.FrameEntry]) -> None:
        marks = {
            (formats.ipi_quantity(e.comment), formats.ipi_cell_unit(e.comment))
            for e in entries
            if e.complete
        }
        if len(marks) > 1:
            seen = ", ".join(sorted(f"{name}{{{unit}}}" for (name, unit), _ in marks))
            raise PetDriverError(
                f"{self.path}: quantity or units change within the file ({seen}); "
                "split it where they change"
            )
        (self.quantity, self.unit), cell_unit = marks.pop()
        if not self.quantity:  # an extxyz of ASE, or a pdb without a title
            self.quantity, self.unit = "positions", "angstrom"
            cell_unit = cell_unit or "angstrom"
        self.dimension = dimension_of(self.quantity)
        self._factor = factor(self.dimension, self.unit, self.path)
        self._cell_factor = factor("length", cell_unit or "", self.path)

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
        """Values [N, 3] of frame k, and its cell a, b, c (A), alpha, beta, gamma, or None."""
        raw = self._raw(k)
        if not np.isfinite(raw.values).all():
            raise PetDriverError(
                f"{self.path}: frame {k} (step {self.steps[k]}) holds a value that is not finite; "
                "the run went wrong there"
            )
        cell = raw.cell
        if cell is not None:
            cell = cell.copy()
            cell[:3] *= self._cell_factor
        return raw.values * self._factor, cell

    def close(self) -> None:
        """Let go of the file; the next access opens it again."""
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_handle": None}


def bead_files(path: str | os.PathLike) -> list[str]:
    """All bead files beside one of them: ``run.pos_03.xyz`` -> ``run.pos_00.xyz``, ... in order.

    Raises:
        PetDriverError: the name has no bead number.
    """
    path = Path(path)
    stem, _, number = path.stem.rpartition("_")
    if not stem or not number.isdigit():
        raise PetDriverError(
            f"{path}: the name does not end in a bead number such as _0; "
            "give centroid=[files of all beads]"
        )
    found = sorted(
        other
        for other in path.parent.glob(f"{glob.escape(stem)}_*{path.suffix}")
        if other.stem[len(stem) + 1 :].isdigit() and len(other.stem) == len(path.stem)
    )
    return [str(other) for other in found]
