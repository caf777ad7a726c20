"""Reading structures for the command line."""

from __future__ import annotations

import re
from pathlib import Path

import ase.io
from ase import Atoms

from pet_driver.errors import PetDriverError
from pet_driver.model.ensemble import Ensemble
from pet_driver.model.evaluator import Model
from pet_driver.model.results import Results
from pet_driver.neighbors.structure import Structure

LAMMPS_DATA = (".data", ".lmp", ".lammps")  # which ASE takes for something else, or for nothing
# What tells the elements of LAMMPS' types.
_ELEMENTS = re.compile(r"^\s*(Masses|Atom Type Labels)\b", re.MULTILINE)
_IPI_COMMENT = re.compile(r"CELL[(\[{]")


def read_structures(path: Path) -> list[Atoms]:
    """All frames of a file: i-PI's own xyz, data of LAMMPS, or whatever ASE reads.

    Raises:
        PetDriverError: there is no such file, it cannot be read, it does not tell the elements, or
            holds something else than positions.
    """
    if not path.is_file():
        raise PetDriverError(f"there is no structure file at {path}")
    if path.suffix == ".xyz" and _is_ipi(path):
        return _read_ipi(path)
    options = {}
    if path.suffix in LAMMPS_DATA:
        options["format"] = "lammps-data"
        if not _ELEMENTS.search(path.read_text(errors="replace")):
            raise PetDriverError(
                f"{path} does not tell the elements of its atom types: add a section Masses, or "
                "Atom Type Labels"
            )
    try:
        frames = ase.io.read(path, ":", **options)
    except Exception as error:  # ASE's readers raise whatever they stumble over
        raise PetDriverError(f"ASE cannot read {path}: {error}") from None
    if not frames:
        raise PetDriverError(f"{path} holds no structure")
    return frames


def _is_ipi(path: Path) -> bool:
    with open(path, errors="replace") as handle:
        return bool(_IPI_COMMENT.search("".join(handle.readline() for _ in range(2))))


def _read_ipi(path: Path) -> list[Atoms]:
    """Frames of i-PI's format xyz, whose comments have the cell and the units."""
    from pet_driver.analysis.ipi_file import TrajectoryFile  # slow to import, and rarely asked for

    file = TrajectoryFile(path, duplicates="keep")
    if file.dimension != "length":
        raise PetDriverError(f"{path} holds {file.quantity}; give a file of positions")
    frames = [file[index] for index in range(len(file))]
    file.close()
    try:
        return [Atoms(file.names, positions, cell=cell, pbc=True) for positions, cell in frames]
    except KeyError as error:
        raise PetDriverError(f"{path}: there is no element {error}") from None


def check_frames(frames: list[Atoms], path: Path, model: Model | Ensemble) -> None:
    """Refuse frames that a model cannot evaluate.

    Raises:
        PetDriverError: there is one; the message names the file and the first such frame.
    """
    for index, frame in enumerate(frames):
        try:
            Structure.from_ase(frame).check()
            model.check_species(frame.numbers)
        except PetDriverError as error:
            raise PetDriverError(f"{path}, frame {index}: {error}") from None


def check_finite(found: Results, path: Path, index: int) -> None:
    """Refuse what is no energy or no force of a frame.

    Raises:
        PetDriverError: naming the file and the frame.
    """
    try:
        found.check_finite()
    except PetDriverError as error:
        raise PetDriverError(f"{path}, frame {index}: {error}") from None


def spaced(frames: list[Atoms], n_frames: int | None) -> list[Atoms]:
    """So many of the frames, evenly spaced, the first among them; all of them for ``None``.

    Raises:
        PetDriverError: fewer than one, or more than there are.
    """
    if n_frames is None:
        return frames
    if not 1 <= n_frames <= len(frames):
        raise PetDriverError(f"{n_frames} frames were asked for, the file holds {len(frames)}")
    return [frames[index * len(frames) // n_frames] for index in range(n_frames)]
