"""Reader of i-PI's property files (``.out``).

i-PI's own reader (``ipi.scripting.read_output``) is in an optional dependency and does not handle
the incomplete and repeated rows of restarted runs.
"""

from __future__ import annotations

import glob
import os
import re
import warnings
from collections.abc import Iterator, KeysView
from pathlib import Path
from typing import TypeAlias

import numpy as np

from pet_driver.analysis.appended_table import AppendedTable
from pet_driver.analysis.input_path import checked_path
from pet_driver.analysis.units import factor
from pet_driver.errors import PetDriverError

_HEADER = re.compile(r"#\s*(?:column|cols\.)\s+(\d+)(?:\s*-\s*(\d+))?\s*-->\s*(\S[^:]*?)\s*(?::|$)")
_UNIT = re.compile(r"\{([^}]*)\}")
_ARGUMENTS = re.compile(r"\(([^)]*)\)")


class PropertyTable:
    """Time series by name.

    ``table["conserved"]`` is an array [F], or [F, k] for a property with k columns; ``in``,
    ``len`` (the number of rows) and iteration over the names work as well.

    Args:
        path: the file.
        columns: series by name.
        units: units by name.

    Attributes:
        path: the file.
        columns: series by name.
        units: units by name, "" where the file names none.
    """

    def __init__(
        self, path: str | os.PathLike, columns: dict[str, np.ndarray], units: dict[str, str]
    ):
        self.path = os.fspath(path)
        self.columns = columns
        self.units = units

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.columns:
            raise PetDriverError(
                f"{self.path}: no column '{name}'; it has {', '.join(self.columns)}"
            )
        return self.columns[name]

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def keys(self) -> KeysView[str]:
        """Return the names of the columns."""
        return self.columns.keys()

    def energy(self, name: str) -> np.ndarray:
        """Return a column in eV [F]."""
        return self[name] * factor("energy", self.units[name], self.path)

    def time(self) -> np.ndarray:
        """Return the time in ps [F]."""
        return self["time"] * factor("time", self.units["time"], self.path)


class PropertyFile(PropertyTable):
    """Property file of i-PI, whose header has the names, units and columns.

    An incomplete row is left out with a warning if it is the last one, or if a restarted run wrote
    its step again.

    Args:
        path: the ``.out`` file.
        duplicates: ``"drop"`` (default) counts rows that a restarted run wrote again once, with
            their later values (rows are compared by step, or by time without a column step);
            ``"keep"`` returns all rows.

    Raises:
        PetDriverError: a missing, empty or damaged file.
    """

    def __init__(self, path: str | os.PathLike, duplicates: str = "drop"):
        text = read_text(path)
        layout, units = _header(text, path)
        rows, key = _rows(text, layout, path), _key_column(layout)
        if key is not None and duplicates == "drop":
            rows = rows[restart_mask(rows[:, key])]
        columns = {}
        for name, (first, last) in layout.items():
            columns[name] = rows[:, first] if last == first + 1 else rows[:, first:last]
        super().__init__(path, columns, units)


def restart_mask(steps: np.ndarray) -> np.ndarray:
    """Return which rows [F] to keep if restarted runs wrote some ``steps`` [F] again.

    Of two rows of one step, the later one is kept.
    """
    # keep a row if all later rows have larger steps
    later = np.minimum.accumulate(steps[::-1])[::-1]
    return np.append(steps[:-1] < later[1:], True)


def read_text(path: str | os.PathLike) -> str:
    """Return the text of a file up to its last newline.

    A last line without a newline may end in an incomplete number, which looks like another number;
    it is left out with a warning.

    Raises:
        PetDriverError: the file is missing, empty or compressed.
    """
    text = Path(checked_path(path)).read_text(errors="replace")
    if not text.strip():
        raise PetDriverError(f"{os.fspath(path)}: the file is empty")
    end = text.rfind("\n") + 1
    if text[end:].strip():
        warnings.warn(
            f"{os.fspath(path)}: the last row is incomplete; it is left out", stacklevel=4
        )
    return text[:end]


def split_property(text: str) -> tuple[str, str]:
    """Split the name of a property of i-PI into the name with its arguments and the unit.

    i-PI accepts unit and arguments in either order: ``potential{electronvolt}(bead=0)`` and
    ``potential(bead=0){electronvolt}`` are both ``("potential(bead=0)", "electronvolt")``. The
    rule is that of ``ipi.engine.properties.getall``.
    """
    unit, arguments = _UNIT.search(text), _ARGUMENTS.search(text)
    name = re.split(r"[({]", text, maxsplit=1)[0].strip()
    if arguments is not None:
        name += f"({'; '.join(word.strip() for word in arguments[1].split(';'))})"
    return name, unit[1].strip() if unit is not None else ""


def property_names(path: str | os.PathLike) -> list[str]:
    """Return the names in the header of a property file of i-PI; an empty list for other files."""
    with open(path, errors="replace") as handle:
        head = handle.read(_MAX_READ)
    try:
        return list(_header(head, path)[0])
    except PetDriverError:
        return []


Layout: TypeAlias = dict[str, tuple[int, int]]  # name -> first column, column after the last


def _header(text: str, path: str | os.PathLike) -> tuple[Layout, dict[str, str]]:
    layout: Layout = {}
    units = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        match = _HEADER.match(line)
        if match is None:
            continue
        first, last, what = match.groups()
        name, unit = split_property(what)
        layout[name] = (int(first) - 1, int(last or first))
        units[name] = unit
    if not layout:
        raise PetDriverError(
            f"{os.fspath(path)}: has no header '# column 1 --> name'; not a property file of i-PI"
        )
    return layout, units


def _rows(text: str, layout: Layout, path: str | os.PathLike) -> np.ndarray:
    width = max(last for _, last in layout.values())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if lines:
        try:
            table = np.loadtxt(lines, ndmin=2)
        except ValueError:  # read line by line below
            table = np.empty((0, 0))
        if table.shape[1] == width:
            return table
    rows, key = AppendedTable(os.fspath(path)), _key_column(layout)
    for k, line in enumerate(lines):
        fields = line.split()
        try:
            if len(fields) != width:
                raise ValueError(f"{len(fields)} fields for {width} columns")
            row = [float(field) for field in fields]
        except ValueError as error:
            rows.add_damaged(f"data row {k + 1}: {error}", merged=len(fields) > width)
            continue
        rows.add(row, None if key is None else row[key])
    return rows.to_array()


def _key_column(layout: Layout) -> int | None:
    """Return the column that grows during a run: step or time, or None without them."""
    return next((layout[name][0] for name in ("step", "time") if name in layout), None)


def find_timestep(trajectory: str | os.PathLike) -> float | None:
    """Return the time step in fs of the run that wrote a trajectory, or None.

    It is taken from a property file with the columns step and time in the same folder: for
    ``run.pos_0.xyz`` from ``run.out``, or from another file whose name starts with ``run.``.
    """
    for candidate in files_with_prefix(trajectory):
        if candidate.suffix in _NOT_PROPERTIES:
            continue
        found = _timestep_of(candidate)
        if found is not None:
            return found
    return None


def files_with_prefix(path: str | os.PathLike) -> Iterator[Path]:
    """Yield the files in the folder of ``path`` that start with the same prefix and a dot.

    i-PI's prefix may contain dots, so the files with the longest common prefix come first.
    """
    path = Path(path)
    words = path.name.split(".")
    seen = set()
    for length in range(len(words) - 1, 0, -1):
        prefix = ".".join(words[:length])
        found = path.parent.glob(f"{glob.escape(prefix)}.*")
        # run.out before run.long.out, which may belong to another run
        for candidate in sorted(found, key=lambda file: (file.name.count("."), file.name)):
            if candidate.is_file() and candidate not in seen:
                seen.add(candidate)
                yield candidate


_MAX_READ = 100_000  # characters of a property file; the time step is the same in all rows
_NOT_PROPERTIES = {".xyz", ".extxyz", ".pdb", ".bin", ".xml"}


def _timestep_of(path: Path) -> float | None:
    if not path.is_file():
        return None
    with open(path, errors="replace") as handle:
        text = handle.read(_MAX_READ)
    try:
        layout, units = _header(text, path)
        if "step" not in layout or "time" not in layout:
            return None
        rows = _rows(text[: text.rfind("\n") + 1], layout, path)
        steps, times = (rows[:, layout[name][0]] for name in ("step", "time"))
        times = times * factor("time", units["time"], str(path))
        kept = restart_mask(steps)
        steps, times = steps[kept], times[kept]
    except PetDriverError:
        return None
    if len(steps) > 1 and steps[-1] > steps[0]:
        exact = (times[-1] - times[0]) / (steps[-1] - steps[0]) * 1000.0
        return float(f"{exact:.8g}")  # the numbers in the file have nine digits
    return float(times[0] / steps[0] * 1000.0) if len(steps) and steps[0] > 0 else None
