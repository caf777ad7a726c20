"""Structure files, those of the engines too: elements and units."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

import pet_driver
from pet_driver.building.structures import read_structures
from pet_driver.errors import PetDriverError

BOHR = 0.529177210903  # A


def ipi_frame(atoms: Atoms, quantity: str = "positions", unit: str = "atomic_unit") -> str:
    """Return one frame as i-PI writes it, with units for cell and positions."""
    scale = BOHR if unit == "atomic_unit" else 1.0
    lengths = " ".join(f"{value / scale:.8f}" for value in atoms.cell.lengths())
    angles = " ".join(f"{value:.8f}" for value in atoms.cell.angles())
    head = f"# CELL(abcABC): {lengths} {angles} Step: 0 Bead: 0 {quantity}{{{unit}}} cell{{{unit}}}"
    rows = [
        f"{symbol:>8} " + " ".join(f"{value / scale:.10e}" for value in position)
        for symbol, position in zip(atoms.symbols, atoms.positions, strict=True)
    ]
    return "\n".join([str(len(atoms)), head, *rows]) + "\n"


@pytest.mark.parametrize("unit", ["atomic_unit", "angstrom"])
def test_ipi_xyz_is_read_with_cell_and_units(
    tmp_path: Path, small_box: Atoms, unit: str, model_f64: pet_driver.Model
) -> None:
    path = tmp_path / "start.xyz"
    path.write_text(ipi_frame(small_box, unit=unit) * 2)
    first, second = read_structures(path)
    assert first.pbc.all() and first == second
    np.testing.assert_allclose(first.positions, small_box.positions, atol=1e-6)
    expected = model_f64.evaluate(small_box).energy
    assert model_f64.evaluate(first).energy == pytest.approx(expected, abs=1e-4)


def test_ipi_xyz_must_hold_positions(tmp_path: Path, water: Atoms) -> None:
    path = tmp_path / "velocities.xyz"
    path.write_text(ipi_frame(water, "velocities"))
    with pytest.raises(PetDriverError, match="holds velocities; give a file of positions"):
        read_structures(path)
    path.write_text(ipi_frame(water).replace(" H ", " D "))
    with pytest.raises(PetDriverError, match="unknown element 'D'"):
        read_structures(path)


@pytest.mark.parametrize("style", ["atomic", "full"])
@pytest.mark.parametrize("suffix", [".data", ".lmp"])
def test_lammps_data_needs_masses_for_elements(
    tmp_path: Path, small_box: Atoms, style: str, suffix: str
) -> None:
    path = tmp_path / f"water{suffix}"
    options = {"format": "lammps-data", "specorder": ["O", "H"], "atom_style": style}
    write(path, small_box, **options, masses=True)
    [found] = read_structures(path)
    assert (found.numbers == small_box.numbers).all()
    write(path, small_box, **options)
    with pytest.raises(PetDriverError, match="does not name the elements of its atom types"):
        read_structures(path)
