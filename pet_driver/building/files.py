"""Write structures in the formats that i-PI and LAMMPS read."""

from __future__ import annotations

from pathlib import Path

from ase import Atoms
from ase.io import write

from pet_driver.errors import PetDriverError

FORMATS = {".xyz": "extxyz", ".extxyz": "extxyz", ".data": "lammps-data"}


def check_output(path: str | Path) -> Path:
    """Raise PetDriverError if :func:`write_structure` cannot write to ``path``.

    Raises:
        PetDriverError: unknown suffix, or the folder does not exist.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise PetDriverError(f"{path}: the suffix must be one of {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise PetDriverError(f"the folder of {path} does not exist")
    return path


def write_structure(path: str | Path, atoms: Atoms) -> None:
    """Write a structure as extended XYZ (i-PI, ``mode="ase"``) or as a LAMMPS data file.

    Args:
        path: file with the suffix ``.xyz``, ``.extxyz`` or ``.data`` (atom_style atomic, units
            metal, atom types O and H in this order).
        atoms: the structure, in A.

    Raises:
        PetDriverError: unknown suffix, or the folder does not exist.
    """
    path = check_output(path)
    clean = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    if FORMATS[path.suffix] == "lammps-data":
        write(path, clean, format="lammps-data", specorder=["O", "H"], masses=True)
    else:
        write(path, clean, format="extxyz")
