"""Comment lines of xyz and extxyz frames: cell, units, step and time."""

from __future__ import annotations

import re

import numpy as np
from MDAnalysis.lib.mdamath import triclinic_box, triclinic_vectors

_LATTICE = re.compile(r'Lattice="([^"]*)"', re.IGNORECASE)
PROPERTIES = re.compile(r"Properties=(\S+)", re.IGNORECASE)
_CELL = re.compile(r"CELL[(\[{](\w*)[)\]}]:[ \t]*([-+0-9.Ee \t]*)")
_CELL_SIZE = {"abcABC": 6, "H": 9, "GENH": 9}


def xyz_cell(comment: str) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the cell of a comment, and the rotation that i-PI applies to the values.

    i-PI has three forms, with any of the brackets ``(``, ``[`` and ``{``: ``CELL{abcABC}``,
    ``CELL{H}`` (the matrix whose columns are the cell vectors) and ``CELL{GENH}`` (the matrix whose
    rows are cell vectors of any orientation, which i-PI rotates together with the atoms).

    Args:
        comment: the comment of the frame.

    Returns:
        a, b, c, alpha, beta, gamma in the file's unit, or ``None`` without a cell; and the matrix
        [3, 3] by which the rows of values are to be multiplied, or ``None``.

    Raises:
        ValueError: a form that i-PI does not have, or too few numbers.
    """
    match = _LATTICE.search(comment)
    if match is not None:
        return cell_dimensions(np.array(match.group(1).split(), float).reshape(3, 3)), None
    cells = dict(_CELL.findall(comment))
    form = next((form for form in _CELL_SIZE if form in cells), None)
    if form is None:
        if "CELL" in comment:
            raise ValueError(
                "its CELL is in none of i-PI's forms CELL{abcABC}, CELL{H}, CELL{GENH}"
            )
        return None, None
    numbers = np.array(cells[form].split(), float)[: _CELL_SIZE[form]]
    if len(numbers) < _CELL_SIZE[form]:
        raise ValueError(f"{len(numbers)} numbers follow CELL{{{form}}}, not {_CELL_SIZE[form]}")
    if form == "abcABC":
        return (numbers if (numbers[:3] > 0).all() else None), None
    matrix = numbers.reshape(3, 3)
    if form == "H":
        return (None if (matrix.diagonal() < 0).all() else cell_dimensions(matrix.T)), None
    cell = _lengths_and_angles(matrix)
    return cell, np.linalg.inv(matrix) @ triclinic_vectors(cell, dtype=np.float64)


def _lengths_and_angles(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1)
    cosines = [vectors[i] @ vectors[j] / (lengths[i] * lengths[j]) for i, j in _ANGLES]
    return np.concatenate([lengths, np.rad2deg(np.arccos(cosines))])


_ANGLES = ((1, 2), (0, 2), (0, 1))  # alpha, beta and gamma


def cell_dimensions(vectors: np.ndarray) -> np.ndarray | None:
    """Return a, b, c, alpha, beta, gamma of cell vectors [3, 3], ``None`` if they are zero.

    Raises:
        ValueError: the cell is not in MDAnalysis' orientation.
    """
    if abs(np.linalg.det(vectors)) < 1e-12:
        return None
    scale = np.abs(vectors).max()
    # MDAnalysis stores lengths and angles only, not the orientation of the cell
    if np.abs(vectors[np.triu_indices(3, 1)]).max() > 1e-6 * scale or vectors.diagonal().min() <= 0:
        raise ValueError(
            "the cell's first vector does not lie along x, its second not in the xy plane above "
            "x, or its third not above that; rotate the structure with ASE's cell.standard_form()"
        )
    return np.array(triclinic_box(*vectors), float)


# a mark has no space: i-PI does not recognize positions{ angstrom }
_QUANTITY = re.compile(r"([A-Za-z_]\w*)(\([^)]*\))?\{([^}\s]*)\}")
_STEP = re.compile(r"(?:Step:\s*|\bTimestep=)(-?\d+)")
_TIME = re.compile(r"\bTimestep=-?\d+ Time=(\S+)")


def ipi_quantity(comment: str) -> tuple[str, str]:
    """Return quantity and unit from a mark such as ``positions{angstrom}``, or ("", "")."""
    for name, _, unit in _QUANTITY.findall(comment):
        if name.lower() != "cell":
            return name, unit
    return "", ""


def ipi_cell_unit(comment: str) -> str | None:
    """Return the unit of the cell from a mark such as ``cell{angstrom}``, or None."""
    for name, _, unit in _QUANTITY.findall(comment):
        if name == "cell":
            return unit
    return None


def is_extxyz(comment: str) -> bool:
    """Return whether a comment is that of an extended xyz file, whose unit is angstrom."""
    return _LATTICE.search(comment) is not None or PROPERTIES.search(comment) is not None


def ipi_step(comment: str) -> int:
    """Return the step of a comment of i-PI or of LAMMPS' ``dump extxyz``, -1 without one."""
    match = _STEP.search(comment)
    return int(match.group(1)) if match else -1


def lammps_time(comment: str) -> float:
    """Return the time in a comment of LAMMPS' ``dump extxyz`` in its unit, NaN without one."""
    match = _TIME.search(comment)
    return float(match.group(1)) if match else np.nan
