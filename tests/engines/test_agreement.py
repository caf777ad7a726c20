"""One archive gives the same numbers through every engine.

The evaluator is the reference; ASE, i-PI in its process and through a socket, and LAMMPS on 1, 2
and 4 ranks must agree with it. Cases that concern one engine alone stand in that engine's tests.
"""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import read

import pet_driver
from pet_driver.engines.ipi.potential import BOHR_PER_ANGSTROM, HARTREE_PER_EV
from pet_driver.model.archive import save
from tests.conftest import tiny_source

from .ipi_tools import client, direct, new_server, seen, simulation, write_input
from .lammps_input import evaluate, water_box

ENERGY = {"f64": 1e-9, "deep": 1e-9, "zbl": 1e-9, "f32": 1e-6}  # eV/atom
FORCE = {"f64": 1e-8, "deep": 1e-8, "zbl": 1e-8, "f32": 1e-4}  # eV/A
REPULSIVE = 10.0  # eV or eV/A that the repulsion must be worth


def triclinic() -> Atoms:
    """8 molecules in a skewed cell smaller than twice the cutoff."""
    box = water_box(2, 6.5)
    box.set_cell([[6.5, 0, 0], [2.1, 6.2, 0], [-1.7, 1.1, 7.0]], scale_atoms=True)
    return box


def molecule() -> Atoms:
    one = water_box(1, 3.1)
    one.set_cell([30.0] * 3)
    one.center()
    return one


def pressed() -> Atoms:
    """Bonds so short that atoms overlap; on 2 and 4 ranks, some lie across a boundary."""
    box = water_box(2, 6.2).repeat((2, 1, 1))
    for first in range(0, len(box), 3):
        oxygen, hydrogen = box.positions[first], box.positions[first + 1 : first + 3]
        hydrogen += 0.35 * (oxygen - hydrogen)
    box.positions += 1.55  # a molecule's centre was halfway between the boundaries
    return box


STRUCTURES = {"liquid": lambda: water_box(4, 12.42), "triclinic": triclinic, "molecule": molecule}


@pytest.fixture(scope="session")
def archive_zbl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network of ``archive_f64``, with the repulsion between nuclei."""
    path = tmp_path_factory.mktemp("archives") / "zbl.pt"
    save(replace(tiny_source(), zbl_radii=[0.31, 0.66]), path, dtype="float64")
    return path


@pytest.fixture
def archive(precision: str, request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(f"archive_{precision}")


def assert_same(found: tuple, expected: pet_driver.Results, precision: str) -> None:
    """found = (energy, forces, virial, energies by atom or None)."""
    energy, forces, virial, energies = found
    n_atoms = len(expected.forces)
    assert np.abs(expected.forces).max() > 0.1, "the reference must not be trivial"
    assert abs(energy - expected.energy) < ENERGY[precision] * n_atoms
    assert np.abs(forces - expected.forces).max() < FORCE[precision]
    # The virial is a sum over edges of a force times a length: it is bounded as the energy is.
    bound = max(ENERGY[precision], 0.1 * FORCE[precision]) * n_atoms
    assert np.abs(virial - expected.virial).max() < bound
    if energies is not None:
        assert np.abs(energies - expected.energies).max() < 10 * ENERGY[precision]


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("precision", ["f32", "deep"])
def test_lammps(precision: str, structure: str, ranks: int, archive: Path, tmp_path: Path) -> None:
    atoms = STRUCTURES[structure]()
    expected = pet_driver.load(archive).evaluate(atoms)
    found = evaluate(tmp_path, atoms, archive, ranks=ranks)
    assert_same((found.energy, found.forces, found.virial, found.energies), expected, precision)


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("grid", ["0", "i", "ecse"])
def test_lammps_with_repulsion(
    grid: str, ranks: int, archive_zbl: Path, archive_f64: Path, tmp_path: Path
) -> None:
    """Of a pair across a boundary either rank has one half."""
    atoms = pressed() if grid != "ecse" else pressed()[:6]
    expected, without = (
        pet_driver.load(path).evaluate(atoms, grid) for path in (archive_zbl, archive_f64)
    )
    assert expected.energy - without.energy > REPULSIVE
    assert np.abs(expected.forces - without.forces).max() > REPULSIVE
    found = evaluate(tmp_path, atoms, archive_zbl, ranks=ranks, keywords=f"grid {grid}")
    assert_same((found.energy, found.forces, found.virial, found.energies), expected, "zbl")
    assert found.raw_energy == pytest.approx(expected.raw_energy, abs=1e-8)
    assert found.rotation_std == pytest.approx(expected.rotation_std, abs=1e-8)


@pytest.mark.parametrize(
    ("precision", "structure"),
    [*product(["f64", "f32", "deep"], STRUCTURES), ("zbl", "pressed")],
)
def test_ipi_and_ase(precision: str, structure: str, archive: Path, tmp_path: Path) -> None:
    start = pressed() if structure == "pressed" else STRUCTURES[structure]()
    model = pet_driver.load(archive)

    folder = tmp_path / "in-process"
    write_input(folder, direct(archive), atoms=start)
    with simulation(folder, steps=1) as process:
        runs = [seen(process, folder)]
    folder = tmp_path / "socket"
    with new_server("unix") as server:
        write_input(folder, server.forcefield(), atoms=start)
        with simulation(folder, steps=1) as process, client(archive, server, folder):
            runs.append(seen(process, folder))

    for run in runs:
        atoms = read(folder / "start.xyz")
        # i-PI's constants differ from ASE's in the eighth digit: compare what it holds itself.
        atoms.set_cell(run["cells"][-1].T / BOHR_PER_ANGSTROM)
        atoms.positions = run["positions"][-1, 0].reshape(-1, 3) / BOHR_PER_ANGSTROM
        expected = model.evaluate(atoms)
        upper = np.triu(run["virials"][-1, 0])
        found = (
            run["energies"][-1, 0] / HARTREE_PER_EV,
            run["forces"][-1, 0].reshape(-1, 3) / HARTREE_PER_EV * BOHR_PER_ANGSTROM,
            (upper + np.triu(upper, 1).T) / HARTREE_PER_EV,
            None,
        )
        assert_same(found, expected, precision)

        atoms.calc = pet_driver.PETCalculator(model)
        virial = -atoms.get_stress(voigt=False) * atoms.get_volume()
        by_ase = (
            atoms.get_potential_energy(),
            atoms.get_forces(),
            virial,
            atoms.get_potential_energies(),
        )
        assert_same(by_ase, expected, precision)
