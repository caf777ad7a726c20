"""Files of one run of i-PI in a folder that may hold those of earlier runs.

i-PI moves a file that it is about to write out of the way, but no others: the beads of a longer
ring polymer, or outputs that the new run does not write, stay beside those of the new run.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from pet_driver.analysis.units import factor
from pet_driver.errors import PetDriverError

T = TypeVar("T")

_BEAD = re.compile(r"(.+_)(\d+)((?:\.\w+)?)")
_MAX_READ = 200_000  # characters of a checkpoint, which are before its arrays
_PREFIX = re.compile(r"<output\b[^>]*\bprefix\s*=\s*['\"]([^'\"]*)['\"]")
_BEADS = re.compile(r"<(?:initialize|beads)\b[^>]*\bnbeads\s*=\s*['\"]\s*(\d+)")
_TIMESTEP = re.compile(r"<timestep\b([^>]*)>\s*([-+.\deE]+)\s*<")
_UNITS = re.compile(r"\bunits\s*=\s*['\"]\s*([^'\"]*?)\s*['\"]")


def bead_files(path: str | os.PathLike) -> list[str]:
    """Return the files of all beads in the folder of one of them.

    For ``run.pos_03.xyz`` they are ``run.pos_00.xyz``, ``run.pos_01.xyz``, ... in order; for
    ``run.rotations_0`` they are ``run.rotations_0``, ``run.rotations_1``, ...

    Raises:
        PetDriverError: the name has no bead number, a bead is missing, or there are more or fewer
            files than the run has beads according to its input or checkpoint in the folder.
    """
    path = Path(path)
    match = _BEAD.fullmatch(path.name)
    if match is None:
        raise PetDriverError(
            f"{path}: the name does not end in a bead number such as _0; "
            "give centroid=[files of all beads]"
        )
    stem, number, suffix = match.groups()
    digits = "[0-9]" * len(number)
    pattern = glob.escape(stem) + digits + glob.escape(suffix)
    found = sorted(path.parent.glob(pattern))
    _check_beads(found, [int(other.name[len(stem) :][: len(number)]) for other in found])
    return [str(other) for other in found]


def _check_beads(files: list[Path], numbers: list[int]) -> None:
    """Raise PetDriverError if the files are not those of the beads of one run."""
    # i-PI can write every second bead, or every third: <trajectory bead="-2">
    stride = numbers[1] if len(numbers) > 1 else 1
    if numbers != list(range(0, len(numbers) * stride, stride)):
        raise PetDriverError(
            f"{files[0]}: the beads in its folder are numbers {', '.join(map(str, numbers))}: some "
            "are missing, or are left from another run; give centroid=[files of all beads]"
        )
    for source, n_beads in _values_in_inputs(files[0], _n_beads):
        if len(numbers) != -(-n_beads // stride) and len(numbers) > 1:
            raise PetDriverError(
                f"{files[0]}: {len(files)} files of beads in its folder, but {source.name} says "
                f"nbeads={n_beads}: some are missing, or are left from another run; remove those, "
                "or give centroid=[files of all beads]"
            )


def check_timestep(path: str | os.PathLike, timestep: float) -> None:
    """Raise PetDriverError if the input or checkpoint of a run has another time step.

    Args:
        path: a trajectory of the run.
        timestep: the time step that its property file says, in fs.
    """
    for source, value in _values_in_inputs(path, _timestep):
        if abs(value / timestep - 1) > 1e-3:
            raise PetDriverError(
                f"{os.fspath(path)}: the .out file in its folder says a time step of "
                f"{timestep:.6g} fs, but {source.name} says {value:.6g} fs: one of them is left "
                "from another run; remove it from the folder"
            )


def _values_in_inputs(
    path: str | os.PathLike, read: Callable[[str], T | None]
) -> Iterator[tuple[Path, T]]:
    """Yield the inputs and checkpoints of a run in the folder of a file, and a value in each."""
    path = Path(path)
    for source in _inputs(path.parent):
        with open(source, errors="replace") as handle:
            text = handle.read(_MAX_READ)
        prefix = _PREFIX.search(text)
        if prefix is None or not path.name.startswith(prefix[1].strip() + "."):
            continue
        value = read(text)
        if value is not None:
            yield source, value


def _inputs(folder: Path) -> list[Path]:
    names = {*folder.glob("RESTART"), *folder.glob("*.xml"), *folder.glob("*chk*")}
    return sorted(name for name in names if name.is_file())


def _n_beads(text: str) -> int | None:
    match = _BEADS.search(text)
    return int(match[1]) if match is not None else None


def _timestep(text: str) -> float | None:
    """Return the time step of an input in fs."""
    found = _TIMESTEP.findall(text)
    if len(found) != 1:  # none, or several systems
        return None
    units = _UNITS.search(found[0][0])
    return float(found[0][1]) * factor("time", units[1] if units else "") * 1.0e3
