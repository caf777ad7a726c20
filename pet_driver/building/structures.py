"""Read and check structure files."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers

from pet_driver.common.labels import ISOTOPES, MASSES, element_of, isotopes_to_elements, mass_of
from pet_driver.errors import PetDriverError
from pet_driver.model.ensemble import Ensemble
from pet_driver.model.evaluator import Model
from pet_driver.neighbors.structure import Structure

LAMMPS_DATA = (".data", ".lmp", ".lammps")  # suffixes from which ASE does not guess the format
# Sections of a data file that name the elements of the atom types.
_ELEMENTS = re.compile(r"^\s*(Masses|Atom Type Labels)\b", re.MULTILINE)
_COMPRESSED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
# a line of a section Masses: type and mass
_MASS = re.compile(r"^\s*(\d+)\s+([\d.eE+-]+)\s*(?:#.*)?$", re.MULTILINE)
# i-PI's comments: a cell, or a quantity with its unit
_IPI_COMMENT = re.compile(r"CELL[(\[{]|\b(?:positions|velocities|forces|[xvf]_centroid)\{")


def read_structures(
    path: Path, units: str | None = None, cell_units: str | None = None
) -> list[Atoms]:
    """Read all frames of a file: i-PI's xyz, a LAMMPS data file, or any format that ASE reads.

    Isotopes such as D are read as their elements.

    Args:
        path: the file.
        units: unit of positions and cell in a file of i-PI that does not mark its units, such as
            "angstrom" or "atomic_unit"; "automatic" is i-PI's own rule (bohr in xyz).
        cell_units: the same for the cell alone, by default as ``units``.

    Raises:
        PetDriverError: the file is missing or unreadable, does not name the elements, holds
            something other than positions, or does not say its units.
    """
    path = Path(path)
    if not path.is_file():
        raise PetDriverError(f"there is no structure file at {path}")
    if path.suffix in _COMPRESSED:
        _check_compressed(path)
    if path.suffix in (".xyz", ".extxyz", ".pdb") and _is_ipi(path):
        return _read_ipi(path, units, cell_units)
    source: Path | StringIO = path
    options: dict[str, Any] = {}
    if path.suffix in LAMMPS_DATA:
        options.update(_lammps_options(path))
    elif _is_dump(path):
        options["format"] = "lammps-dump-text"
    elif path.suffix in (".xyz", ".extxyz"):
        text = path.read_text(errors="replace")
        elements = isotopes_to_elements(text)
        if elements != text:
            source, options["format"] = StringIO(elements), "extxyz"
    try:
        frames = list(ase.io.read(source, ":", **options))
    except Exception as error:  # ASE's readers raise exceptions of many types
        raise PetDriverError(f"ASE cannot read {path}: {error}") from None
    if not frames:
        raise PetDriverError(f"{path} holds no structure")
    if units not in (None, "automatic", "angstrom", "ase"):
        _scale(frames, path, units)
    return frames


def _scale(frames: list[Atoms], path: Path, units: str) -> None:
    """Convert the positions of a plain xyz file, whose unit is given, to angstrom."""
    from pet_driver.analysis.units import factor  # slow to import, rarely needed

    if path.suffix != ".xyz" or any(frame.cell.rank for frame in frames):
        raise PetDriverError(
            f"{path}: the unit of this format is angstrom; leave units={units!r} out, which is for "
            "i-PI's xyz without marks of units"
        )
    for frame in frames:
        frame.positions *= factor("length", units, str(path))


def _check_compressed(path: Path) -> None:
    """Raise PetDriverError for a compressed file of i-PI; ASE would ignore its units."""
    name = path.with_suffix("").suffix
    with _COMPRESSED[path.suffix](path, "rt", errors="replace") as handle:
        head = "".join(handle.readline() for _ in range(2))
    if name in (".xyz", ".extxyz", ".pdb") and _IPI_COMMENT.search(head):
        raise PetDriverError(f"{path} is a compressed file of i-PI; decompress it first")


def _is_dump(path: Path) -> bool:
    """Return whether a file is a dump of LAMMPS.

    Raises:
        PetDriverError: it is one, and does not name the elements.
    """
    with open(path, errors="replace") as handle:
        if not handle.readline().startswith("ITEM:"):
            return False
        columns = next((line for line in handle if line.startswith("ITEM: ATOMS")), "")
    if "element" not in columns.split():
        raise PetDriverError(
            f"{path} is a dump of LAMMPS that does not name the elements of its atom types: write "
            "the column element (dump ... custom ... id element x y z, dump_modify ... element O H)"
        )
    return True


def _is_ipi(path: Path) -> bool:
    with open(path, errors="replace") as handle:
        return bool(_IPI_COMMENT.search("".join(handle.readline() for _ in range(2))))


def _read_ipi(path: Path, units: str | None, cell_units: str | None) -> list[Atoms]:
    """Read i-PI's xyz, extxyz or pdb, whose comment lines hold the cell and the units."""
    from pet_driver.analysis.ipi_file import TrajectoryFile  # slow to import, rarely needed

    file = TrajectoryFile(path, "keep", units, cell_units)
    if file.dimension != "length":
        raise PetDriverError(f"{path} holds {file.quantity}; give a file of positions")
    frames = [file[index] for index in range(len(file))]
    file.close()
    symbols, masses = zip(*((element_of(n), mass_of(n)) for n in file.names), strict=True)
    try:
        return [
            Atoms(symbols, positions, cell=cell, pbc=cell is not None, masses=masses)
            for positions, cell in frames
        ]
    except KeyError as error:
        raise PetDriverError(f"{path}: unknown element {error}") from None


def _lammps_options(path: Path) -> dict[str, Any]:
    """Return the options with which ASE reads a data file.

    Raises:
        PetDriverError: the file does not name the elements.
    """
    text = path.read_text(errors="replace")
    if not _ELEMENTS.search(text):
        raise PetDriverError(
            f"{path} does not name the elements of its atom types: add a section Masses or "
            "Atom Type Labels"
        )
    options: dict[str, Any] = {"format": "lammps-data"}
    section = re.split(r"^[ \t]*[A-Za-z]", text.partition("\nMasses")[2], maxsplit=1, flags=re.M)[0]
    masses = {int(kind): float(mass) for kind, mass in _MASS.findall(section)}
    if any(_heavy_isotope(mass) for mass in masses.values()):
        options["Z_of_type"] = {kind: _number(mass) for kind, mass in masses.items()}
    return options


def _heavy_isotope(mass: float) -> str | None:
    """Return the element of an isotope whose mass is closer to that of another element."""
    close = (name for name in ("T", "O18") if abs(MASSES[name] - mass) < _MASS_TOLERANCE)
    return next((ISOTOPES[name] for name in close), None)


def _number(mass: float) -> int:
    """Return the atomic number that belongs to a mass in amu."""
    element = _heavy_isotope(mass)
    return atomic_numbers[element] if element else int(np.abs(atomic_masses - mass).argmin())


_MASS_TOLERANCE = 0.01  # amu


def check_frames(frames: list[Atoms], path: Path, model: Model | Ensemble) -> None:
    """Raise PetDriverError if a model cannot evaluate one of the frames.

    Raises:
        PetDriverError: the message names the file and the first such frame.
    """
    for index, frame in enumerate(frames):
        try:
            Structure.from_ase(frame).check()
            model.check_species(frame.numbers)
        except PetDriverError as error:
            raise PetDriverError(f"{path}, frame {index}: {error}") from None


def select_evenly(frames: list[Atoms], n_frames: int | None) -> list[Atoms]:
    """Return ``n_frames`` evenly spaced frames, starting with the first; all for ``None``.

    Raises:
        PetDriverError: ``n_frames`` is below 1, or above the number of frames.
    """
    if n_frames is None:
        return frames
    if not 1 <= n_frames <= len(frames):
        raise PetDriverError(f"{n_frames} frames were asked for, the file holds {len(frames)}")
    return [frames[index * len(frames) // n_frames] for index in range(n_frames)]
