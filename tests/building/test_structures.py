"""Structure files, those of the engines too: elements and units."""

import gzip
from pathlib import Path

import MDAnalysis as mda
import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from ipi.utils.io import read_file
from ipi.utils.units import Constants, Elements

import pet_driver
from pet_driver.analysis import TrajectoryFile, water_universe
from pet_driver.building.structures import read_structures
from pet_driver.common.labels import MASSES, element_of, mass_of
from pet_driver.engines.ipi.potential import read_numbers
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
    path.write_text(ipi_frame(water).replace(" H ", " Q "))
    with pytest.raises(PetDriverError, match="unknown element 'Q'"):
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


WATER = np.array([[5.0, 5.0, 5.0], [5.76, 5.59, 5.0], [4.24, 5.59, 5.0]])  # A
BOX = "12.0 13.0 14.0 90.0 90.0 90.0"
REFUSED = "do not say the unit of the positions"

# comment, the units given by the reader, unit of positions and of the cell in A or the error
MARKS = [
    (f"# CELL(abcABC): {BOX} positions{{angstrom}} cell{{angstrom}}", None, (1.0, 1.0)),
    (f"# CELL(abcABC): {BOX} cell{{angstrom}} positions{{angstrom}}", None, (1.0, 1.0)),
    (f"# CELL[abcABC]: {BOX} positions{{Angstrom}} cell{{ANGSTROM}}", None, (1.0, 1.0)),
    (f"# CELL{{abcABC}}: {BOX} positions{{ase}} cell{{ase}}", None, (1.0, 1.0)),
    (f"# CELL(abcABC): {BOX} positions{{nanometer}} cell{{angstrom}}", None, (10.0, 1.0)),
    (f"# CELL(abcABC): {BOX} positions{{atomic_unit}} cell{{atomic_unit}}", None, (BOHR, BOHR)),
    (f"# CELL(abcABC): {BOX} positions{{}} cell{{}}", None, (BOHR, BOHR)),
    (f"# CELL(abcABC): {BOX} positions{{angstrom}} cell{{atomic_unit}}", None, (1.0, BOHR)),
    (f"# CELL(abcABC): {BOX} positions{{angstrom}}", None, (1.0, BOHR)),
    (f"# CELL(abcABC): {BOX} x_centroid{{angstrom}} cell{{angstrom}}", None, (1.0, 1.0)),
    ("# Step: 0 positions{atomic_unit} cell{atomic_unit}", None, (BOHR, None)),
    (f"# CELL(abcABC): {BOX}", None, REFUSED),
    (f"# CELL(abcABC): {BOX} cell{{angstrom}}", None, REFUSED),
    (f"# CELL(abcABC): {BOX} positions{{ angstrom }} cell{{angstrom}}", None, REFUSED),
    (f"# CELL(abcABC): {BOX} positions(angstrom)", None, REFUSED),
    (f"# CELL(abcABC): {BOX} Traj: positions Step: 1", None, REFUSED),
    (f"# CELL(abcABC): {BOX}", "automatic", (BOHR, BOHR)),
    (f"# CELL(abcABC): {BOX}", "angstrom", (1.0, 1.0)),
    (f"# CELL(abcABC): {BOX}", "atomic_unit", (BOHR, BOHR)),
    (f"# CELL(abcABC): {BOX} positions{{angstrom}} cell{{angstrom}}", "angstrom", (1.0, 1.0)),
    (f"# CELL(abcABC): {BOX} positions{{angstrom}}", "atomic_unit", r"say positions\{angstrom\}"),
    (f"# CELL(abcABC): {BOX} positions{{furlong}} cell{{angstrom}}", None, "furlong"),
    (
        f"# CELL(abcABC): {BOX} Positions{{angstrom}} cell{{angstrom}}",
        None,
        "of an unknown quantity",
    ),
    (f"# CELL(abc): {BOX} positions{{angstrom}} cell{{angstrom}}", None, "none of i-PI's forms"),
    ("# CELL(abcABC): 12 13 14 positions{angstrom}", None, "3 numbers follow CELL{abcABC}"),
]


@pytest.mark.parametrize(("comment", "units", "expected"), MARKS)
def test_unit_marks_of_ipi(tmp_path: Path, comment: str, units: str | None, expected) -> None:
    """Units as i-PI reads them, or a request for them."""
    path = tmp_path / "start.xyz"
    rows = "".join(
        f"{symbol} {x} {y} {z}\n" for symbol, (x, y, z) in zip("OHH", WATER, strict=True)
    )
    path.write_text(f"3\n{comment}\n{rows}")
    if isinstance(expected, str):
        with pytest.raises(PetDriverError, match=expected):
            read_structures(path, units)
        return
    [found] = read_structures(path, units)
    length, cell = expected
    np.testing.assert_allclose(found.positions, WATER * length, rtol=1e-9)
    if units in (None, "automatic"):
        with open(path) as handle:
            read = read_file("xyz", handle)
        np.testing.assert_allclose(found.positions, read["atoms"].q.reshape(3, 3) * BOHR, rtol=1e-7)
    if cell is None:
        assert not found.pbc.any()
    else:
        assert found.pbc.all()
        np.testing.assert_allclose(found.cell.lengths(), cell * np.array([12, 13, 14]), rtol=1e-6)


@pytest.mark.parametrize("brackets", ["()", "[]", "{}"])
@pytest.mark.parametrize("form", ["abcABC", "H", "GENH"])
def test_three_forms_of_the_cell(tmp_path: Path, form: str, brackets: str) -> None:
    """GENH has any orientation: i-PI rotates the cell and the atoms."""
    vectors = np.array([[12.0, 0.0, 0.0], [1.0, 13.0, 0.0], [2.0, 3.0, 14.0]])
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    atoms = Atoms("OHH", WATER, cell=vectors, pbc=True)
    numbers = {"abcABC": atoms.cell.cellpar(), "H": vectors.T, "GENH": vectors @ rotation}[form]
    x = WATER @ rotation if form == "GENH" else WATER
    head = f"# CELL{brackets[0]}{form}{brackets[1]}: " + " ".join(f"{v:.9f}" for v in numbers.flat)
    rows = "".join(f"{s} {a:.9f} {b:.9f} {c:.9f}\n" for s, (a, b, c) in zip("OHH", x, strict=True))
    path = tmp_path / "start.xyz"
    path.write_text(f"3\n{head} positions{{angstrom}} cell{{angstrom}}\n{rows}")
    [found] = read_structures(path)
    np.testing.assert_allclose(found.positions, WATER, atol=1e-6)
    np.testing.assert_allclose(found.cell.array, vectors, atol=1e-5)
    with open(path) as handle:
        read = read_file("xyz", handle)
    np.testing.assert_allclose(read["atoms"].q.reshape(3, 3) * BOHR, WATER, atol=1e-6)
    np.testing.assert_allclose(read["cell"].h.T * BOHR, vectors, atol=1e-5)


def test_trajectory_without_unit_marks(tmp_path: Path, water: Atoms) -> None:
    path = tmp_path / "run.pos_0.xyz"
    text = ipi_frame(water, unit="angstrom").replace("positions{angstrom} cell{angstrom}", "")
    path.write_text(text)
    with pytest.raises(PetDriverError, match=REFUSED):
        TrajectoryFile(path)
    with pytest.raises(PetDriverError, match=REFUSED):
        water_universe(path, timestep=0.5)
    u = water_universe(path, timestep=0.5, units="angstrom")
    np.testing.assert_allclose(u.atoms.positions, water.positions, atol=1e-5)


def test_files_of_ase_are_in_angstrom(tmp_path: Path, small_box: Atoms) -> None:
    for name, format in (("a.xyz", "extxyz"), ("a.extxyz", "extxyz"), ("b.xyz", "xyz")):
        write(tmp_path / name, small_box, format=format)
        [found] = read_structures(tmp_path / name)
        np.testing.assert_allclose(found.positions, small_box.positions, atol=1e-7)
        assert found.pbc.all() == (format == "extxyz")
    [found] = read_structures(tmp_path / "b.xyz", "atomic_unit")
    np.testing.assert_allclose(found.positions, small_box.positions * BOHR, atol=1e-7)
    with pytest.raises(PetDriverError, match="the unit of this format is angstrom"):
        read_structures(tmp_path / "a.xyz", "atomic_unit")


def test_pdb_of_ipi_in_atomic_units(tmp_path: Path) -> None:
    path = tmp_path / "start.pdb"
    head = "TITLE     Step:  0  Bead:   0  positions{atomic_unit}  cell{atomic_unit}\n"
    head += "CRYST1   20.000   20.000   20.000  90.00  90.00  90.00 P 1           1\n"
    rows = "".join(
        f"ATOM  {k:5d} {name:>4}   1     1    {x:8.3f}{y:8.3f}{z:8.3f}  0.00  0.00"
        f"          {name:>2}  0\n"
        for k, (name, (x, y, z)) in enumerate(zip("OHH", WATER / BOHR, strict=True), 1)
    )
    path.write_text(head + rows + "END\n")
    [found] = read_structures(path)
    np.testing.assert_allclose(found.positions, WATER, atol=1e-3)
    assert found.cell.lengths() == pytest.approx(20 * BOHR)


# label, element
ISOTOPES = [("D", "H"), ("T", "H"), ("Z", "H"), ("O17", "O"), ("O18", "O"), ("H2", "H")]


@pytest.mark.parametrize(("label", "element"), ISOTOPES)
def test_isotopes(tmp_path: Path, label: str, element: str) -> None:
    """Elements and masses as i-PI takes them, in every format."""
    mass = Elements.mass(label) / Constants.amu
    labels = [label if symbol == element else symbol for symbol in "OHH"]
    rows = "".join(
        f"{name:>8} {x:.5e} {y:.5e} {z:.5e}\n"
        for name, (x, y, z) in zip(labels, WATER, strict=True)
    )
    for name, comment in (
        ("ipi.xyz", f"# CELL(abcABC): {BOX} Step: 0 positions{{angstrom}} cell{{angstrom}}"),
        ("ase.extxyz", 'Lattice="12 0 0 0 13 0 0 0 14" Properties=species:S:1:pos:R:3'),
        ("ase.xyz", 'Lattice="12 0 0 0 13 0 0 0 14" Properties=species:S:1:pos:R:3'),
        ("plain.xyz", "water"),
    ):
        path = tmp_path / name
        path.write_text(f"3\n{comment}\n{rows}")
        [found] = read_structures(path)
        assert list(found.symbols) == list("OHH")
        np.testing.assert_allclose(found.positions, WATER, atol=1e-5)
        assert list(read_numbers(path)) == [8, 1, 1]
        if name == "plain.xyz":
            continue
        u = mda.Universe(str(path), format="IPI", dt=1.0)
        assert list(u.atoms.elements) == list("OHH")
        expected = [mass if n == label else Elements.mass(n) / Constants.amu for n in labels]
        np.testing.assert_allclose(u.atoms.masses, expected)
    assert element_of(label) == element


def test_masses_are_those_of_ipi() -> None:
    for label, mass in Elements.mass_list.items():
        if label not in "LX":  # a photon and an electron
            assert mass_of(label) == MASSES[label] == pytest.approx(mass, rel=1e-9)
            Atoms([element_of(label)])


@pytest.mark.parametrize(
    ("mass", "symbol"), [(2.014, "H"), (3.016, "H"), (16.999, "O"), (17.999, "O"), (15.999, "O")]
)
def test_isotopes_of_lammps(tmp_path: Path, mass: float, symbol: str) -> None:
    """A data file has masses only; a dump may have labels."""
    path = tmp_path / "water.data"
    path.write_text(
        "water\n\n1 atoms\n2 atom types\n0 9 xlo xhi\n0 9 ylo yhi\n0 9 zlo zhi\n\n"
        f"Masses\n\n1 {mass} # first\n2 4.0026\n\nAtoms # atomic\n\n1 1 1.0 2.0 3.0\n"
    )
    assert list(read_structures(path)[0].symbols) == [symbol]


@pytest.mark.parametrize("label", ["D", "T"])
def test_isotopes_in_a_dump_of_lammps(tmp_path: Path, label: str) -> None:
    rows = [f"{k + 1} {min(k, 1) + 1} {x} {y} {z}" for k, (x, y, z) in enumerate(WATER)]
    path = tmp_path / "water.lammpstrj"
    path.write_text(
        "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n3\nITEM: BOX BOUNDS pp pp pp\n0 12\n0 12\n0 12\n"
        "ITEM: ATOMS id type x y z\n" + "\n".join(rows) + "\n"
    )
    u = water_universe(path, timestep=0.5, species={1: "O", 2: label})
    assert list(u.atoms.elements) == list("OHH") and list(u.atoms.names) == ["O", label, label]
    np.testing.assert_allclose(u.atoms.masses, [15.9994, MASSES[label], MASSES[label]])


def test_dump_of_lammps_must_name_its_elements(tmp_path: Path) -> None:
    """ASE would take types for atomic numbers."""
    box = "ITEM: BOX BOUNDS pp pp pp\n0 12\n0 12\n0 12\n"
    head = f"ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n3\n{box}"
    path = tmp_path / "dump.water"
    rows = [f"{k} {s} {x} {y} {z}" for k, s, (x, y, z) in zip((1, 2, 3), "OHH", WATER, strict=True)]
    path.write_text(head + "ITEM: ATOMS id element x y z\n" + "\n".join(rows) + "\n")
    [found] = read_structures(path)
    assert list(found.symbols) == list("OHH")
    np.testing.assert_allclose(found.positions, WATER)
    path.write_text(path.read_text().replace("element", "type").replace(" O ", " 1 "))
    with pytest.raises(PetDriverError, match="does not name the elements"):
        read_structures(path)


def test_compressed_structures(tmp_path: Path, small_box: Atoms) -> None:
    write(tmp_path / "a.xyz.gz", small_box, format="extxyz")
    np.testing.assert_allclose(read_structures(tmp_path / "a.xyz.gz")[0].positions,
                               small_box.positions, atol=1e-7)  # fmt: skip
    with gzip.open(tmp_path / "b.xyz.gz", "wt") as handle:
        handle.write(ipi_frame(small_box))
    with pytest.raises(PetDriverError, match="compressed file of i-PI; decompress it"):
        read_structures(tmp_path / "b.xyz.gz")
