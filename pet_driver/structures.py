"""Reading structures for the command line."""

from __future__ import annotations

from pathlib import Path

import ase.io
from ase import Atoms

from pet_driver.errors import PetDriverError


def read_structures(path: Path) -> list[Atoms]:
    """All frames of any file that ASE reads.

    Raises:
        PetDriverError: there is no such file, or ASE cannot read it.
    """
    if not path.is_file():
        raise PetDriverError(f"there is no structure file at {path}")
    try:
        frames = ase.io.read(path, ":")
    except Exception as error:  # ASE's readers raise whatever they stumble over
        raise PetDriverError(f"ASE cannot read {path}: {error}") from None
    if not frames:
        raise PetDriverError(f"{path} holds no structure")
    return frames


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
