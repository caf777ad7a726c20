"""Check of the path of a file to read."""

from __future__ import annotations

import os

from pet_driver.errors import PetDriverError

# first bytes of compressed files, and the command that decompresses them
_COMPRESSED = {
    b"\x1f\x8b": "gunzip",
    b"BZh": "bunzip2",
    b"\xfd7zXZ": "unxz",
    b"\x28\xb5\x2f\xfd": "unzstd",
}


def checked_path(path: str | os.PathLike) -> str:
    """Return the path of one uncompressed file as text.

    Raises:
        PetDriverError: not a path, such as a list of them, or a missing file, a folder, or a
            compressed file.
    """
    if not isinstance(path, str | os.PathLike):
        raise PetDriverError(
            f"give the path of one file, not {type(path).__name__} {path!r}; join the files of a "
            "run that was continued with cat (repeated steps count once), and give centroid=True "
            "for the files of all beads"
        )
    name = os.fspath(path)
    if os.path.isdir(name):
        raise PetDriverError(f"{name}: is a folder; give the path of a file in it")
    command = compression(name)
    if command is not None:
        raise PetDriverError(f"{name}: is compressed; decompress it first with {command} -k {name}")
    return name


def compression(path: str | os.PathLike) -> str | None:
    """Return the command that decompresses a file, ``None`` for one that is not compressed.

    Raises:
        PetDriverError: the file is missing.
    """
    try:
        with open(path, "rb") as handle:
            head = handle.read(8)
    except FileNotFoundError:
        raise PetDriverError(f"{os.fspath(path)}: no such file") from None
    return next((command for mark, command in _COMPRESSED.items() if head.startswith(mark)), None)
