"""Read and check structure files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import ase.io
from ase import Atoms

from pet_driver.errors import PetDriverError
from pet_driver.model.ensemble import Ensemble
from pet_driver.model.evaluator import Model
from pet_driver.neighbors.structure import Structure

LAMMPS_DATA = (".data", ".lmp", ".lammps")  # suffixes from which ASE does not guess the format
# Sections of a data file that name the elements of the atom types.
_ELEMENTS = re.compile(r"^\s*(Masses|Atom Type Labels)\b", re.MULTILINE)
_IPI_COMMENT = re.compile(r"CELL[(\[{]")


def read_structures(path: Path) -> list[Atoms]:
    """Read all frames of a file: i-PI's xyz, a LAMMPS data file, or any format that ASE reads.

    Raises:
        PetDriverError: the file is missing or unreadable, does not name the elements, or holds
            something other than positions.
    """
    if not path.is_file():
        raise PetDriverError(f"there is no structure file at {path}")
    if path.suffix == ".xyz" and _is_ipi(path):
        return _read_ipi(path)
    options: dict[str, Any] = {}
    if path.suffix in LAMMPS_DATA:
        options["format"] = "lammps-data"
        if not _ELEMENTS.search(path.read_text(errors="replace")):
            raise PetDriverError(
                f"{path} does not name the elements of its atom types: add a section Masses or "
                "Atom Type Labels"
            )
    try:
        frames = list(ase.io.read(path, ":", **options))
    except Exception as error:  # ASE's readers raise exceptions of many types
        raise PetDriverError(f"ASE cannot read {path}: {error}") from None
    if not frames:
        raise PetDriverError(f"{path} holds no structure")
    return frames


def _is_ipi(path: Path) -> bool:
    with open(path, errors="replace") as handle:
        return bool(_IPI_COMMENT.search("".join(handle.readline() for _ in range(2))))


def _read_ipi(path: Path) -> list[Atoms]:
    """Read i-PI's xyz format, whose comment lines hold the cell and the units."""
    from pet_driver.analysis.ipi_file import TrajectoryFile  # slow to import, rarely needed

    file = TrajectoryFile(path, duplicates="keep")
    if file.dimension != "length":
        raise PetDriverError(f"{path} holds {file.quantity}; give a file of positions")
    frames = [file[index] for index in range(len(file))]
    file.close()
    try:
        return [Atoms(file.names, positions, cell=cell, pbc=True) for positions, cell in frames]
    except KeyError as error:
        raise PetDriverError(f"{path}: unknown element {error}") from None


def check_frames(frames: list[Atoms], path: Path, model: Model | Ensemble) -> None:
    """Raise PetDriverError if a model cannot evaluate one of the frames.

    Raises:
        PetDriverError: the message names the file and the first such frame.
    """
    for index, frame in enumerate(frames):
        try:
            Structure.from_ase(frame).check()
            model.check_species(frame.numbers)
        except PetDriverError as error:
            raise PetDriverError(f"{path}, frame {index}: {error}") from None


def select_evenly(frames: list[Atoms], n_frames: int | None) -> list[Atoms]:
    """Return ``n_frames`` evenly spaced frames, starting with the first; all for ``None``.

    Raises:
        PetDriverError: ``n_frames`` is below 1, or above the number of frames.
    """
    if n_frames is None:
        return frames
    if not 1 <= n_frames <= len(frames):
        raise PetDriverError(f"{n_frames} frames were asked for, the file holds {len(frames)}")
    return [frames[index * len(frames) // n_frames] for index in range(n_frames)]
