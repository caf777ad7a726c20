"""Readers of trained models. Each returns a :class:`Source`, or names what is not supported."""

from __future__ import annotations

from pathlib import Path

from pet_driver.checkpoints.metatrain import read_metatrain
from pet_driver.checkpoints.pet2023 import read_pet2023
from pet_driver.checkpoints.source import Source
from pet_driver.errors import PetDriverError

__all__ = ["Source", "read_checkpoint", "read_metatrain", "read_pet2023"]


def read_checkpoint(path: Path, target: str | None = None) -> Source:
    """Read a metatrain checkpoint (a file), or a directory of the 2023 PET.

    Args:
        path: the checkpoint.
        target: name of the energy in a metatrain checkpoint that has several.

    Raises:
        PetDriverError: the file is missing, damaged or no PET, or has a part that this network does
            not have; it has no such target.
    """
    if not path.exists():
        raise PetDriverError(f"there is no checkpoint at {path}")
    if not path.is_dir():
        return read_metatrain(path, target)
    if target is not None:
        raise PetDriverError(f"target {target!r}: {path} is of the 2023 PET, which has one energy")
    return read_pet2023(path)
