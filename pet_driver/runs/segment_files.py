"""Inspect and repair the output files that an earlier run segment left in a folder."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

from pet_driver.analysis.formats import scan_bin
from pet_driver.runs.record import FILE

LOCK = ".lock"
_TAIL = 16384  # bytes at the end of a file that contain the last row of a table


def last_step(path: Path) -> int:
    """Return the step of the last complete row of i-PI's property file or LAMMPS' log; 0: none."""
    column = step_column(path)
    for line in reversed(tail(path).split("\n")[:-1]):
        try:
            numbers = [float(word) for word in line.split()]
        except ValueError:
            continue
        # A minimization of LAMMPS also writes rows of energies, without a step.
        if len(numbers) > max(1, column) and numbers[column].is_integer() and numbers[column] >= 0:
            return int(numbers[column])
    return 0


def step_column(path: Path) -> int:
    """Return the column of the step: from the header of i-PI; the first one in LAMMPS' log."""
    if not path.is_file():
        return 0
    with open(path, errors="replace") as handle:
        match = re.search(r"^# column +(\d+) +--> step\b", handle.read(_TAIL), re.MULTILINE)
    return int(match[1]) - 1 if match else 0


def tail(path: Path) -> str:
    """Return the end of a text file; an empty text if there is no file."""
    if not path.is_file():
        return ""
    with open(path, "rb") as handle:
        handle.seek(max(0, path.stat().st_size - _TAIL))
        return handle.read().decode(errors="replace")


def set_aside(folder: Path, warns: bool = False) -> None:
    """Move the files of a run without a checkpoint to a subfolder ``set-aside-N``.

    Nothing is deleted.

    Args:
        folder: folder of the run.
        warns: warn that completed steps will be repeated.
    """
    old = [path for path in folder.iterdir() if path.is_file() and path.name not in (FILE, LOCK)]
    if not old:
        return
    found = [re.fullmatch(r"set-aside-(\d+)", path.name) for path in folder.iterdir()]
    number = 1 + max((int(match[1]) for match in found if match), default=0)
    subfolder = folder / f"set-aside-{number}"
    subfolder.mkdir()
    for path in old:
        path.rename(subfolder / path.name)
    if warns:
        warnings.warn(
            f"{folder} has no complete checkpoint: the run starts again; its earlier files are in "
            f"{subfolder}",
            stacklevel=2,
        )


def cut_incomplete_frames(folder: Path, pattern: str) -> None:
    """Cut text files after their last complete line, binary trajectories after their last frame.

    A resumed engine appends to these files.
    """
    for path in folder.glob(pattern):
        end = end_of_last_frame(path) if path.suffix == ".bin" else end_of_last_line(path)
        if end < path.stat().st_size:
            os.truncate(path, end)


def end_of_last_line(path: Path) -> int:
    """Return the number of bytes of a text file up to its last newline."""
    with open(path, "rb") as handle:
        position = handle.seek(0, 2)
        while position > 0:
            begin = max(0, position - _TAIL)
            handle.seek(begin)
            newline = handle.read(position - begin).rfind(b"\n")
            if newline >= 0:
                return begin + newline + 1
            position = begin
    return 0


def end_of_last_frame(path: Path) -> int:
    """Return the number of bytes of a binary i-PI trajectory up to its last complete frame."""
    frames = scan_bin(path.read_bytes(), str(path))[1]
    return next((frame.stop for frame in reversed(frames) if frame.complete), 0)
