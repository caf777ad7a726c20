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
