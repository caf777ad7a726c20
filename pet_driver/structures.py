"""Reading structures for the command line."""

from __future__ import annotations

from pathlib import Path

import ase.io
from ase import Atoms

from pet_driver.ensemble import Ensemble
from pet_driver.errors import PetDriverError
from pet_driver.evaluator import Model
from pet_driver.neighbors import Structure


def read_structures(path: Path) -> list[Atoms]:
    """All frames of any file that ASE reads.

    Raises:
        PetDriverError: there is no such file, or ASE cannot read it.
    """
    if not path.is_file():
        raise PetDriverError(f"there is no structure file at {path}")
    # by itself ASE takes data files of LAMMPS for something else
    options = {"format": "lammps-data", "atom_style": "atomic"} if path.suffix == ".data" else {}
    try:
        frames = ase.io.read(path, ":", **options)
    except Exception as error:  # ASE's readers raise whatever they stumble over
        raise PetDriverError(f"ASE cannot read {path}: {error}") from None
    if not frames:
        raise PetDriverError(f"{path} holds no structure")
    return frames


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
