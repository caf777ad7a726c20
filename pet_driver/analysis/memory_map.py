"""Large files, looked into without being read."""

from __future__ import annotations

import mmap
import os

from pet_driver.errors import PetDriverError


def mapped(path: str | os.PathLike) -> mmap.mmap:
    """Map a file into memory; to be closed, as in ``with mapped(path) as data``.

    Raises:
        PetDriverError: it is missing or empty.
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
