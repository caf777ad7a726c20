"""i-PI's files of extras: numbers that the potential returned with energy and forces.

i-PI's own reader (``ipi.scripting``) is in an optional dependency of this package and does not
handle the incomplete and repeated rows of restarted runs.
"""

from __future__ import annotations

import os
import re
from itertools import zip_longest

import numpy as np

from pet_driver.analysis.appended_table import AppendedTable
from pet_driver.analysis.properties import PropertyTable, read_text, restart_mask
from pet_driver.errors import PetDriverError

_HEADER = re.compile(r"[ \t]*#EXTRAS\w*\(([^)#]*)\)#\s*Step:\s*(\d+)(?:\s+Bead:\s*\d+)?[ \t]*\n")
_UNITS = {"_ev": "electronvolt"}  # by the ending of the name, as pet-driver names its extras


class ExtrasFile(PropertyTable):
    """File of extras of one bead, as columns by name.

    The columns are ``step`` and the extras, one number each::

        ExtrasFile("2i.rotations_0")["rotation_std_ev"]

    An incomplete row is left out with a warning if it is the last one, or if a restarted run wrote
    its step again.

    Args:
        path: a file written by ``<trajectory extra_type="a,b"> extras </trajectory>``.
        duplicates: ``"drop"`` (default) counts steps that a restarted run wrote again once, with
            their later values; ``"keep"`` returns all rows.

    Raises:
        PetDriverError: a missing, empty or damaged file, or extras that are not numbers.
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
    """Return whether a file starts like a file of extras."""
    with open(path, errors="replace") as handle:
        return _HEADER.match(handle.readline()) is not None


def _parse(text: str, path: str) -> tuple[list[str], np.ndarray]:
    """Return the names of the extras [k] and rows [F, 1 + k] with the step first."""
    headers = list(_HEADER.finditer(text))
    if not headers or text[: headers[0].start()].strip():
        raise _no_header(text, path)
    names = _names(headers[0])
    rows = AppendedTable(path)
    for header, following in zip_longest(headers, headers[1:]):
        if _names(header) != names:
            raise PetDriverError(f"{path}: extras change from {names} to {_names(header)}")
        body = text[header.end() : following.start() if following else None]
        line, newline, rest = body.partition("\n")
        # a line that starts with "#" is an incomplete header
        if rest.strip() and not rest.lstrip().startswith("#"):
            raise _no_header(rest, path)
        try:
            values = [float(field) for field in line.split()]
            if len(values) != len(names) or not newline:
                raise ValueError(f"{len(values)} numbers for {len(names)} names")
        except ValueError as error:
            rows.add_damaged(f"step {header[2]}: {error}")
            continue
        rows.add([float(header[2]), *values], float(header[2]))
    table = rows.to_array()
    if not np.isfinite(table).all():
        raise PetDriverError(f"{path}: contains a value that is not finite; the run failed there")
    return names, table


def _names(header: re.Match) -> list[str]:
    return [name.strip() for name in header[1].split(",")]


def _no_header(text: str, path: str) -> PetDriverError:
    return PetDriverError(
        f"{path}: line {text.strip().splitlines()[0][:60]!r} is not a header "
        "'#EXTRAS(names)# Step: n'; the file is damaged, or its extras are not one row of numbers "
        "per step"
    )
