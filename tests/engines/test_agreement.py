"""One exported model gives the same numbers in every engine.

The evaluator is the reference; ASE, i-PI (in its process and through sockets) and LAMMPS on 1, 2
and 4 MPI ranks must agree with it. What concerns one engine alone is in the tests of that engine.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

import pet_driver
from pet_driver.engines.ipi.client import serve
from pet_driver.engines.ipi.potential import BOHR_PER_ANGSTROM, HARTREE_PER_EV
from pet_driver.model.archive import save
from tests.conftest import tiny_source

from .ipi_tools import (
    System,
    Trajectory,
    ffdirect,
    new_server,
    simulation,
    structures_of,
    trajectories_of,
    write_input_of_systems,
)
from .lammps_input import evaluate, water_box
from .structures import centered_molecule, triclinic_box

ENERGY = {"f64": 1e-9, "deep": 1e-9, "zbl": 1e-9, "f32": 1e-6}  # eV/atom
FORCE = {"f64": 1e-8, "deep": 1e-8, "zbl": 1e-8, "f32": 1e-4}  # eV/A
MIN_REPULSION = 10.0  # eV or eV/A that the repulsion contributes


def compressed_box() -> Atoms:
    """Return a box with O-H bonds so short that nuclei repel each other.

    On 2 and 4 MPI ranks, some bonds cross a boundary between ranks.
    """
    box = water_box(2, 6.2).repeat((2, 1, 1))
    for first in range(0, len(box), 3):
        oxygen, hydrogen = box.positions[first], box.positions[first + 1 : first + 3]
        hydrogen += 0.35 * (oxygen - hydrogen)
    box.positions += 1.55  # before, molecules were halfway between the boundaries
    return box


STRUCTURES = {
    "liquid": lambda: water_box(4, 12.42),
    "triclinic": triclinic_box,
    "molecule": centered_molecule,
    "compressed": compressed_box,
}


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
    """Compare (energy, forces, virial, energies by atom or None) with the evaluator."""
    energy, forces, virial, energies = found
    n_atoms = len(expected.forces)
    assert np.abs(expected.forces).max() > 0.1, "the reference must not be trivial"
    assert abs(energy - expected.energy) < ENERGY[precision] * n_atoms
    assert np.abs(forces - expected.forces).max() < FORCE[precision]
    # The virial is a sum over edges of a force times a length; its error scales as the energy's.
    bound = max(ENERGY[precision], 0.1 * FORCE[precision]) * n_atoms
    assert np.abs(virial - expected.virial).max() < bound
    if energies is not None:
        assert np.abs(energies - expected.energies).max() < 10 * ENERGY[precision]


# The deep network needs the most communication between ranks: all structures on all numbers of
# ranks. With another precision the communication is the same.
LAMMPS_CASES = [
    *product(["deep"], ["liquid", "triclinic", "molecule"], [1, 2, 4]),
    *[("f32", "liquid", 1), ("f32", "triclinic", 2), ("f32", "molecule", 4), ("f32", "liquid", 4)],
]


@pytest.mark.parametrize(("precision", "structure", "ranks"), LAMMPS_CASES)
def test_lammps(precision: str, structure: str, ranks: int, archive: Path, tmp_path: Path) -> None:
    atoms = STRUCTURES[structure]()
    expected = pet_driver.load(archive).evaluate(atoms)
    found = evaluate(tmp_path, atoms, archive, ranks=ranks)
    assert_same((found.energy, found.forces, found.virial, found.energies), expected, precision)


@pytest.mark.parametrize(
    ("grid", "ranks"), [("0", 1), ("0", 2), ("0", 4), ("i", 2), ("ecse", 1), ("ecse", 4)]
)
def test_lammps_with_repulsion(
    grid: str, ranks: int, archive_zbl: Path, archive_f64: Path, tmp_path: Path
) -> None:
    """For a pair across a boundary, each of the two ranks adds one half of the repulsion."""
    atoms = compressed_box() if grid != "ecse" else compressed_box()[:6]
    expected, without = (
        pet_driver.load(path).evaluate(atoms, grid) for path in (archive_zbl, archive_f64)
    )
    assert expected.energy - without.energy > MIN_REPULSION
    assert np.abs(expected.forces - without.forces).max() > MIN_REPULSION
    found = evaluate(tmp_path, atoms, archive_zbl, ranks=ranks, keywords=f"grid {grid}")
    assert_same((found.energy, found.forces, found.virial, found.energies), expected, "zbl")
    assert found.raw_energy == pytest.approx(expected.raw_energy, abs=1e-8)
    assert found.rotation_std == pytest.approx(expected.rotation_std, abs=1e-8)


IPI_CASES = [
    *product(["f64", "f32", "deep"], ["liquid", "triclinic", "molecule"]),
    ("zbl", "compressed"),
]
# All cases are systems of one simulation; run its tests where its fixture has been computed.
in_one_worker = pytest.mark.xdist_group("agreement-ipi")


@pytest.fixture(scope="module")
def ipi_runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[Trajectory]]:
    """Trajectories of one step for each of IPI_CASES, in the i-PI process and through sockets."""
    archives = [request.getfixturevalue(f"archive_{precision}") for precision, _ in IPI_CASES]
    structures = [STRUCTURES[structure]() for _, structure in IPI_CASES]
    runs = {}
    for way in ("in process", "socket"):
        folder = tmp_path_factory.mktemp(way.replace(" ", "-"))
        with ExitStack() as stack:
            if way == "in process":
                forcefields, servers = [ffdirect(path) for path in archives], []
            else:
                servers = [stack.enter_context(new_server("unix")) for _ in IPI_CASES]
                forcefields = [server.ffsocket() for server in servers]
            systems = [
                System(forcefield, atoms=atoms)
                for forcefield, atoms in zip(forcefields, structures, strict=True)
            ]
            write_input_of_systems(folder, systems, steps=1)
            process = stack.enter_context(simulation(folder, steps=1))
            # the clients are threads of this process, which spares ten starts of Python
            pool = stack.enter_context(ThreadPoolExecutor(len(IPI_CASES)))
            clients = [
                pool.submit(serve, path, folder / f"start-{k}.xyz", server.address)
                for k, (path, server) in enumerate(zip(archives, servers, strict=False))
            ]
            runs[way] = trajectories_of(process, folder)
            assert all(client.result(60) == 2 for client in clients)
    return runs


@in_one_worker
@pytest.mark.parametrize("way", ["in process", "socket"])
@pytest.mark.parametrize(("precision", "structure"), IPI_CASES)
def test_ipi(precision: str, structure: str, way: str, archive: Path, ipi_runs: dict) -> None:
    trajectory = ipi_runs[way][IPI_CASES.index((precision, structure))]
    atoms = structures_of(trajectory, STRUCTURES[structure]())[-1]
    upper = np.triu(trajectory["virials"][-1, 0])  # i-PI keeps the upper triangle
    found = (
        trajectory["energies"][-1, 0] / HARTREE_PER_EV,
        trajectory["forces"][-1, 0].reshape(-1, 3) / HARTREE_PER_EV * BOHR_PER_ANGSTROM,
        (upper + np.triu(upper, 1).T) / HARTREE_PER_EV,
        None,
    )
    assert_same(found, pet_driver.load(archive).evaluate(atoms), precision)


@pytest.mark.parametrize(("precision", "structure"), IPI_CASES)
def test_ase(precision: str, structure: str, archive: Path) -> None:
    atoms = STRUCTURES[structure]()
    model = pet_driver.load(archive)
    expected = model.evaluate(atoms)
    atoms.calc = pet_driver.PETCalculator(model)
    found = (
        atoms.get_potential_energy(),
        atoms.get_forces(),
        -atoms.get_stress(voigt=False) * atoms.get_volume(),
        atoms.get_potential_energies(),
    )
    assert_same(found, expected, precision)
