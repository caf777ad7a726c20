"""Structures in the formats that the engines start from."""

from __future__ import annotations

from pathlib import Path

from ase import Atoms
from ase.io import write

from pet_driver.errors import PetDriverError

FORMATS = {".xyz": "extxyz", ".extxyz": "extxyz", ".data": "lammps-data"}


def check_output(path: str | Path) -> Path:
    """Refuse a file that :func:`write_structure` could not write."""
    path = Path(path)
    if path.suffix not in FORMATS:
        raise PetDriverError(f"{path}: the ending chooses the format, one of {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise PetDriverError(f"the folder of {path} does not exist")
    return path


def write_structure(path: str | Path, atoms: Atoms) -> None:
    """Write a structure: extended XYZ for i-PI (``mode="ase"``), or data for LAMMPS.

    Args:
        path: ends in ``.xyz``, ``.extxyz`` or ``.data`` (atom_style atomic, units metal, types
            O and H).
        atoms: the structure.

    Raises:
        PetDriverError: another ending, or a folder that does not exist.
    """
    path = check_output(path)
    clean = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    if FORMATS[path.suffix] == "lammps-data":
        write(path, clean, format="lammps-data", specorder=["O", "H"], masses=True)
    else:
        write(path, clean, format="extxyz")
