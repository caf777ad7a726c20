"""Memory-mapped files, to scan trajectories that are larger than the memory."""

from __future__ import annotations

import mmap
import os

from pet_driver.errors import PetDriverError


def open_memory_map(path: str | os.PathLike) -> mmap.mmap:
    """Map a file into memory for reading; use it as ``with open_memory_map(path) as data``.

    Raises:
        PetDriverError: the file is missing or empty.
    """
    name = os.fspath(path)
    try:
        with open(path, "rb") as handle:
            return mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise PetDriverError(f"{name}: no such file") from None
    except ValueError:
        raise PetDriverError(
            f"{name}: the file is empty; did the run write its first frame?"
        ) from None
