"""The files that a run segment of a run finds and leaves: how far they reach, and where they are torn."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

from pet_driver.analysis.formats import scan_bin
from pet_driver.runs.record import FILE

LOCK = ".lock"
_TAIL = 16384  # bytes that surely hold the last row of a table


def last_step(path: Path) -> int:
    """The step of the last whole row of numbers in i-PI's property file or LAMMPS' log."""
    column = step_column(path)
    for line in reversed(tail(path).split("\n")[:-1]):
        try:
            numbers = [float(word) for word in line.split()]
        except ValueError:
            continue
        # LAMMPS also writes rows of energies alone.
        if len(numbers) > max(1, column) and numbers[column].is_integer() and numbers[column] >= 0:
            return int(numbers[column])
    return 0


def step_column(path: Path) -> int:
    """Which column has the step: i-PI's header says it, in LAMMPS' log it is the first."""
    if not path.is_file():
        return 0
    with open(path, errors="replace") as handle:
        found = re.search(r"^# column +(\d+) +--> step\b", handle.read(_TAIL), re.MULTILINE)
    return int(found[1]) - 1 if found else 0


def tail(path: Path) -> str:
    """The end of a text file; nothing where there is none."""
    if not path.is_file():
        return ""
    with open(path, "rb") as handle:
        handle.seek(max(0, path.stat().st_size - _TAIL))
        return handle.read().decode(errors="replace")


def set_aside(folder: Path, warns: bool = False) -> None:
    """Move what a run segment without a checkpoint left behind: nobody but its owner throws data away.

    Where it had steps that will be done again, it ``warns``.
    """
    old = [path for path in folder.iterdir() if path.is_file() and path.name not in (FILE, LOCK)]
    if not old:
        return
    found = [re.fullmatch(r"set-aside-(\d+)", path.name) for path in folder.iterdir()]
    number = 1 + max((int(match[1]) for match in found if match), default=0)
    aside = folder / f"set-aside-{number}"
    aside.mkdir()
    for path in old:
        path.rename(aside / path.name)
    if warns:
        warnings.warn(
            f"{folder} has no whole checkpoint: the run begins anew, and what it had done is in "
            f"{aside}",
            stacklevel=2,
        )


def cut_partial_frames(folder: Path, pattern: str) -> None:
    """Let text files end with a whole line, and binary trajectories with a whole frame.

    What a restarted engine appends begins a new one.
    """
    for path in folder.glob(pattern):
        end = whole_frames(path) if path.suffix == ".bin" else whole_lines(path)
        if end < path.stat().st_size:
            os.truncate(path, end)


def whole_lines(path: Path) -> int:
    """How many bytes of a text file end with its last newline."""
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


def whole_frames(path: Path) -> int:
    """How many bytes of a binary trajectory of i-PI end with its last whole frame."""
    frames = scan_bin(path.read_bytes(), str(path))[1]
    return next((frame.stop for frame in reversed(frames) if frame.complete), 0)
