"""Models that ship with the package, by name."""

from __future__ import annotations

import os
from pathlib import Path

from pet_driver.errors import PetDriverError

FOLDER = Path(__file__).parent


def shipped() -> list[str]:
    """Names of the shipped models."""
    return sorted(path.stem for path in FOLDER.glob("*.pt"))


def resolve(name_or_path: str | os.PathLike) -> Path:
    """Path of an archive: a file if there is one, else a shipped model of that name."""
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    if str(name_or_path) in shipped():
        return FOLDER / f"{name_or_path}.pt"
    raise PetDriverError(
        f"{name_or_path} is neither a file nor a shipped model; shipped are: {', '.join(shipped())}"
    )
