"""Columns by name from i-PI's property files (``.out``) and from LAMMPS' logs."""

from __future__ import annotations

import glob
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pet_driver.analysis.text_rows import Rows
from pet_driver.analysis.units import factor
from pet_driver.errors import PetDriverError

_HEADER = re.compile(r"#\s*(?:column|cols\.)\s+(\d+)(?:\s*-\s*(\d+))?\s*-->\s*(\S[^:]*?)\s*:")
_NAME = re.compile(r"(.*?)(?:\{([^{}]*)\})?$")


class PropertyTable:
    """Time series by name: ``table["conserved"]`` is an array [F] (or [F, k] for k columns).

    Rows that a restarted run wrote again count once, the later ones.

    Attributes:
        path: of the file.
        units: name -> unit as the file says, "" if it says none.
    """

    def __init__(self, path: str | os.PathLike, columns: dict, units: dict[str, str]):
        self.path = os.fspath(path)
        self.columns: dict[str, np.ndarray] = columns
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

    def keys(self):
        """The names of the columns."""
        return self.columns.keys()

    def energy(self, name: str) -> np.ndarray:
        """A column in eV [F]."""
        return self[name] * factor("energy", self.units[name], self.path)

    def time(self) -> np.ndarray:
        """The time in ps [F]."""
        return self["time"] * factor("time", self.units["time"], self.path)


class PropertyFile(PropertyTable):
    """A property file of i-PI; the header says names, units and columns.

    A row that breaks off is left out with a warning, the last one or one where a run was restarted.

    Args:
        path: the ``.out`` file.
        duplicates: ``"drop"`` (default) or ``"keep"`` rows that a restarted run wrote again (they
            are known by the column step, or else by time).

    Raises:
        PetDriverError: a missing, empty or damaged file.
    """

    def __init__(self, path: str | os.PathLike, duplicates: str = "drop"):
        text = read_text(path)
        layout, units = _header(text, path)
        rows, key = _rows(text, layout, path), _key(layout)
        if key is not None and duplicates == "drop":
            rows = rows[restart_mask(rows[:, key])]
        columns = {}
        for name, (first, last) in layout.items():
            columns[name] = rows[:, first] if last == first + 1 else rows[:, first:last]
        super().__init__(path, columns, units)


def restart_mask(steps: np.ndarray) -> np.ndarray:
    """Which rows count where ``steps`` [F] falls back at each restart: the later ones."""
    # a row counts if no later row has its step or a smaller one
    later = np.minimum.accumulate(steps[::-1])[::-1]
    return np.append(steps[:-1] < later[1:], True)


def read_text(path: str | os.PathLike) -> str:
    """A text file that must be there and hold something, up to its last newline.

    What follows is being written, or was when its writer died: a number that breaks off looks like
    another number. Of that a warning tells.
    """
    try:
        text = Path(path).read_text(errors="replace")
    except FileNotFoundError:
        raise PetDriverError(f"{os.fspath(path)}: no such file") from None
    if not text.strip():
        raise PetDriverError(f"{os.fspath(path)}: the file is empty")
    end = text.rfind("\n") + 1
    if text[end:].strip():
        warnings.warn(f"{os.fspath(path)}: the last row breaks off; it is left out", stacklevel=4)
    return text[:end]


def _header(text: str, path) -> tuple[dict[str, tuple[int, int]], dict[str, str]]:
    layout, units = {}, {}
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        match = _HEADER.match(line)
        if match is None:
            continue
        first, last, what = match.groups()
        name, unit = _NAME.fullmatch(what.strip()).groups()
        layout[name] = (int(first) - 1, int(last or first))
        units[name] = unit or ""
    if not layout:
        raise PetDriverError(
            f"{os.fspath(path)}: has no header '# column 1 --> name'; not a property file of i-PI"
        )
    return layout, units


def _rows(text: str, layout: dict[str, tuple[int, int]], path) -> np.ndarray:
    width = max(last for _, last in layout.values())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if lines:
        try:
            table = np.loadtxt(lines, ndmin=2)
        except ValueError:  # told line by line below
            table = np.empty((0, 0))
        if table.shape[1] == width:
            return table
    rows, key = Rows(os.fspath(path)), _key(layout)
    for k, line in enumerate(lines):
        fields = line.split()
        try:
            if len(fields) != width:
                raise ValueError(f"{len(fields)} fields for {width} columns")
            row = [float(field) for field in fields]
        except ValueError as error:
            rows.damaged(f"data row {k + 1}: {error}", merged=len(fields) > width)
            continue
        rows.add(row, None if key is None else row[key])
    return rows.table()


def _key(layout: dict[str, tuple[int, int]]) -> int | None:
    """The column that grows while a run goes on."""
    return next((layout[name][0] for name in ("step", "time") if name in layout), None)


def find_timestep(trajectory: str | os.PathLike) -> float | None:
    """The time step in fs from the property file beside a trajectory, or None.

    For ``run.pos_0.xyz`` the files ``run.*out*`` in the same folder are looked through for the
    columns step and time.
    """
    for candidate in files_of_the_run(trajectory):
        if candidate.suffix in _NOT_PROPERTIES:
            continue
        found = _timestep_of(candidate)
        if found is not None:
            return found
    return None


def files_of_the_run(path: str | os.PathLike) -> Iterator[Path]:
    """Files beside one of i-PI's whose names begin as its own does, up to a dot.

    i-PI's prefix may have dots in it: those that share the most come first.
    """
    path = Path(path)
    words = path.name.split(".")
    seen = set()
    for length in range(len(words) - 1, 0, -1):
        prefix = ".".join(words[:length])
        found = path.parent.glob(f"{glob.escape(prefix)}.*")
        # run.out before run.long.out, which is another run's
        for candidate in sorted(found, key=lambda file: (file.name.count("."), file.name)):
            if candidate.is_file() and candidate not in seen:
                seen.add(candidate)
                yield candidate


_ENOUGH = 100_000  # characters of a property file; the time step does not change
_NOT_PROPERTIES = {".xyz", ".extxyz", ".pdb", ".bin", ".xml"}


def _timestep_of(path: Path) -> float | None:
    if not path.is_file():
        return None
    with open(path, errors="replace") as handle:
        text = handle.read(_ENOUGH)
    if not text.startswith("# c"):
        return None
    try:
        layout, units = _header(text, path)
        if "step" not in layout or "time" not in layout:
            return None
        whole = text[: text.rfind("\n") + 1]  # the last row may be cut
        rows = _rows(whole, layout, path)
        steps, times = (rows[:, layout[name][0]] for name in ("step", "time"))
        times = times * factor("time", units["time"], str(path))
        counts = restart_mask(steps)
        steps, times = steps[counts], times[counts]
    except PetDriverError:
        return None
    if len(steps) > 1 and steps[-1] > steps[0]:
        exact = (times[-1] - times[0]) / (steps[-1] - steps[0]) * 1000.0
        return float(f"{exact:.8g}")  # the file has nine digits
    return float(times[0] / steps[0] * 1000.0) if len(steps) and steps[0] > 0 else None


_LAMMPS_ENERGY = {"metal": "electronvolt", "real": "kilocal/mol"}
_LAMMPS_TIME = {"metal": "picosecond", "real": "femtosecond"}
_LAMMPS_ENERGIES = ("TotEng", "PotEng", "KinEng", "E_pair", "E_mol", "Econserve", "Enthalpy")


class LAMMPSLog(PropertyTable):
    """The thermodynamic output of a LAMMPS log (thermo_style one or custom).

    Column "Step" is also there as "step", "Time" as "time" (from ``timestep`` if absent).

    Args:
        path: the log.
        units: ``"metal"`` or ``"real"``; ``None`` reads the log's ``units`` command.
        timestep: in the units of the log; ``None`` reads the log's ``timestep`` command.
        duplicates: ``"drop"`` (default) or ``"keep"`` rows that a restarted run wrote again.

    Raises:
        PetDriverError: a missing or empty log, one without thermodynamic output, or one that does
            not say its units or time step, as after the command ``log`` or a restart.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        units: str | None = None,
        timestep: float | None = None,
        duplicates: str = "drop",
    ):
        text = read_text(path)
        said = _commands(text, "units")
        if units is None and not said:
            raise PetDriverError(
                f"{os.fspath(path)}: does not say its units, as a log that was begun in the middle "
                "of an input; give units='metal' or 'real'"
            )
        units = units or said[-1]
        if units not in _LAMMPS_ENERGY:
            raise PetDriverError(f"{os.fspath(path)}: units {units}; use metal or real")
        names, rows = _thermo(text, path)
        columns = {name: rows[:, k] for k, name in enumerate(names)}
        if "Step" in columns:
            mask = restart_mask(columns["Step"]) if duplicates == "drop" else slice(None)
            columns = {name: column[mask] for name, column in columns.items()}
            columns["step"] = columns["Step"]
            if "Time" not in columns and timestep is None:
                timestep = _timestep(text, units if said else None, path)
            columns["time"] = columns["Time"] if "Time" in columns else columns["Step"] * timestep
        unit_of = dict.fromkeys(columns, "")
        unit_of.update({n: _LAMMPS_ENERGY[units] for n in _LAMMPS_ENERGIES if n in columns})
        unit_of["time"] = _LAMMPS_TIME[units]
        self._energy_unit = _LAMMPS_ENERGY[units]
        super().__init__(path, columns, unit_of)

    def energy(self, name: str) -> np.ndarray:
        """A column in eV [F]; of a compute or variable, whose unit LAMMPS does not say, too."""
        return self[name] * factor("energy", self._energy_unit, self.path)


def _commands(text: str, name: str) -> list[str]:
    """What a log says behind every command of that name, with variables put in."""
    found = re.findall(rf"^\s*{name}\s+(\S+)", text, re.MULTILINE)
    return [word for word in found if "$" not in word]


def _timestep(text: str, units: str | None, path) -> float:
    """The time step of a log without a column of times.

    Args:
        units: of the log where it begins with them, else ``None``.
    """
    said = {float(word) for word in _commands(text, "timestep")}
    if not said and units is not None:
        return {"metal": 0.001, "real": 1.0}[units]  # LAMMPS' own
    if len(said) != 1:
        what = "changes its time step" if said else "does not say its time step"
        raise PetDriverError(
            f"{os.fspath(path)}: {what}, and has no column of times; give timestep=, or add time "
            "to thermo_style"
        )
    return said.pop()


def _thermo(text: str, path) -> tuple[list[str], np.ndarray]:
    """Names and rows of all tables of a log; tables must have the same columns."""
    names: list[str] = []
    rows: list[list[float]] = []
    inside = False
    for line in text.splitlines():
        fields = line.split()
        if fields[:1] == ["Step"]:
            if names and fields != names:
                raise PetDriverError(
                    f"{os.fspath(path)}: thermo columns change from {names} to {fields}; "
                    "keep one thermo_style a log"
                )
            names, inside = fields, True
        elif inside and line.startswith("Loop time"):
            inside = False
        elif inside and len(fields) == len(names):
            try:
                rows.append([float(field) for field in fields])
            except ValueError:  # a warning between the rows
                continue
    if not rows:
        raise PetDriverError(
            f"{os.fspath(path)}: no thermodynamic output (a line 'Step ...' and rows below it)"
        )
    return names, np.array(rows)
