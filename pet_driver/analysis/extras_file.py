"""The extras of a force field as i-PI writes them: ``PREFIX.rotations_B`` of the decks."""

from __future__ import annotations

import os
import re
import warnings

import numpy as np

from pet_driver.analysis.properties import PropertyTable, read_text, restart_mask
from pet_driver.errors import PetDriverError

_HEAD = re.compile(r"\s*#EXTRAS\w*\(([^)]*)\)#\s*Step:\s*(\d+)(?:\s+Bead:\s*\d+)?\s*")
_UNITS = {"_ev": "electronvolt"}  # by the ending of the name, as pet-driver names its extras


class ExtrasFile(PropertyTable):
    """Numbers that came back from the potential beside energy and forces, of one bead.

        ExtrasFile("2i.rotations_0")["rotation_spread_ev"]

    :param path: written by ``<trajectory extra_type="a,b"> extras </trajectory>``.
    :param duplicates: "drop" (default) or "keep" steps that a restarted run wrote again.
    :raises PetDriverError: for a missing, empty or damaged file, or extras that are no numbers.

    Columns: ``step`` and the extras by name, one number each. A last row that breaks off is left
    out with a warning.
    """

    def __init__(self, path: str | os.PathLike, duplicates: str = "drop"):
        names, rows = _parse(read_text(path), os.fspath(path))
        if duplicates == "drop":
            rows = rows[restart_mask(rows[:, 0])]
        columns = {name: rows[:, k] for k, name in enumerate(["step", *names])}
        units = {
            name: next((unit for end, unit in _UNITS.items() if name.endswith(end)), "")
            for name in columns
        }
        super().__init__(path, columns, units)


def is_extras(path: str | os.PathLike) -> bool:
    """Whether a file starts as i-PI's extras do."""
    with open(path, errors="replace") as handle:
        return _HEAD.fullmatch(handle.readline()) is not None


def _parse(text: str, path: str) -> tuple[list[str], np.ndarray]:
    """Names of the extras [k], and rows [F, 1 + k] with the step first."""
    lines = [line for line in text.splitlines() if line.strip()]
    names: list[str] = []
    rows = []
    for k in range(0, len(lines), 2):
        head = _HEAD.fullmatch(lines[k])
        if head is None:
            raise PetDriverError(
                f"{path}: line {lines[k].strip()[:60]!r} is no head '#EXTRAS(names)# Step: n'; the "
                "file is damaged, or its extras are not one row of numbers a step"
            )
        found = [name.strip() for name in head[1].split(",")]
        if names and found != names:
            raise PetDriverError(f"{path}: extras change from {names} to {found}")
        names = found
        try:
            values = [float(field) for field in lines[k + 1].split()]
            if len(values) != len(names):
                raise ValueError(f"{len(values)} numbers for {len(names)} names")
        except (ValueError, IndexError) as error:
            if k + 2 >= len(lines):
                warnings.warn(f"{path}: the last row breaks off; it is left out", stacklevel=4)
                break
            raise PetDriverError(f"{path}: step {head[2]}: {error}") from None
        rows.append([float(head[2]), *values])
    if not rows:
        raise PetDriverError(f"{path}: holds no whole row; run for longer")
    table = np.array(rows)
    if not np.isfinite(table).all():
        raise PetDriverError(f"{path}: holds a value that is not finite; the run went wrong there")
    return names, table
