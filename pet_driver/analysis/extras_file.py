"""The extras of a force field as i-PI writes them: ``PREFIX.rotations_B`` of the input files."""

from __future__ import annotations

import os
import re
from itertools import zip_longest

import numpy as np

from pet_driver.analysis.properties import PropertyTable, read_text, restart_mask
from pet_driver.analysis.text_rows import Rows
from pet_driver.errors import PetDriverError

_HEAD = re.compile(r"[ \t]*#EXTRAS\w*\(([^)#]*)\)#\s*Step:\s*(\d+)(?:\s+Bead:\s*\d+)?[ \t]*\n")
_UNITS = {"_ev": "electronvolt"}  # by the ending of the name, as pet-driver names its extras


class ExtrasFile(PropertyTable):
    """Numbers that came back from the potential beside energy and forces, of one bead.

        ExtrasFile("2i.rotations_0")["rotation_std_ev"]

    Columns: ``step`` and the extras by name, one number each. A row that breaks off is left out
    with a warning, the last one or one where a run was restarted.

    Args:
        path: written by ``<trajectory extra_type="a,b"> extras </trajectory>``.
        duplicates: ``"drop"`` (default) or ``"keep"`` steps that a restarted run wrote again.

    Raises:
        PetDriverError: a missing, empty or damaged file, or extras that are no numbers.
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
        return _HEAD.match(handle.readline()) is not None


def _parse(text: str, path: str) -> tuple[list[str], np.ndarray]:
    """Names of the extras [k], and rows [F, 1 + k] with the step first."""
    heads = list(_HEAD.finditer(text))
    if not heads or text[: heads[0].start()].strip():
        raise _no_head(text, path)
    names = _names(heads[0])
    rows = Rows(path)
    for head, following in zip_longest(heads, heads[1:]):
        if _names(head) != names:
            raise PetDriverError(f"{path}: extras change from {names} to {_names(head)}")
        body = text[head.end() : following.start() if following else None]
        line, newline, rest = body.partition("\n")
        if rest.strip() and not rest.lstrip().startswith("#"):  # of a head that was torn
            raise _no_head(rest, path)
        try:
            values = [float(field) for field in line.split()]
            if len(values) != len(names) or not newline:
                raise ValueError(f"{len(values)} numbers for {len(names)} names")
        except ValueError as error:
            rows.damaged(f"step {head[2]}: {error}")
            continue
        rows.add([float(head[2]), *values], float(head[2]))
    table = rows.table()
    if not np.isfinite(table).all():
        raise PetDriverError(f"{path}: holds a value that is not finite; the run went wrong there")
    return names, table


def _names(head: re.Match) -> list[str]:
    return [name.strip() for name in head[1].split(",")]


def _no_head(text: str, path: str) -> PetDriverError:
    return PetDriverError(
        f"{path}: line {text.strip().splitlines()[0][:60]!r} is no head '#EXTRAS(names)# Step: n'; "
        "the file is damaged, or its extras are not one row of numbers a step"
    )
