"""i-PI gets the evaluator's numbers through every way in, and batches are single passes."""

import numpy as np
import pytest
from ase.build import molecule
from ase.io import read

import pet_driver
from pet_driver.engines.ipi.potential import BOHR_PER_ANGSTROM, HARTREE_PER_EV, Potential
from tests.engines.ipi_tools import (
    assert_same,
    client,
    direct,
    finish,
    new_server,
    running,
    seen,
    simulation,
    write_input,
)

TOLERANCE = 1e-10
BEADS = 3


@pytest.fixture(scope="module")
def in_process(archive_f64, tmp_path_factory):
    """What a run in i-PI's process saw, by its number of beads; the beads in one batch."""
    runs = {}
    for beads in (1, BEADS):
        folder = tmp_path_factory.mktemp("direct")
        write_input(folder, direct(archive_f64, batch=beads), beads)
        with simulation(folder) as process:
            runs[beads] = seen(process, folder)
    return runs


def test_units_are_those_of_ipi():
    from ipi.utils.units import unit_to_internal

    assert unit_to_internal("length", "angstrom", 1.0) == BOHR_PER_ANGSTROM
    assert unit_to_internal("energy", "electronvolt", 1.0) == HARTREE_PER_EV


@pytest.mark.parametrize("grid", ["0", "2", "ecse"])
def test_in_process_is_the_evaluator(archive_f64, tmp_path, grid):
    write_input(tmp_path, direct(archive_f64, grid))
    with simulation(tmp_path) as process:
        found = seen(process, tmp_path)
    atoms = read(tmp_path / "start.xyz")
    frames = []
    # the cell as i-PI holds it: its own constants and those of ASE differ in the eighth digit
    for positions, cell in zip(found["positions"][:, 0], found["cells"], strict=True):
        frames.append(atoms.copy())
        frames[-1].set_cell(cell.T / BOHR_PER_ANGSTROM)
        frames[-1].positions = positions.reshape(-1, 3) / BOHR_PER_ANGSTROM
    expected = pet_driver.load(archive_f64).evaluate(frames, grid=grid)
    energies = np.array([[e.energy] for e in expected]) * HARTREE_PER_EV
    forces = np.array([[e.forces.ravel()] for e in expected])
    virials = np.array([[e.virial] for e in expected]) * HARTREE_PER_EV
    wanted = {
        "energies": energies,
        "forces": forces * HARTREE_PER_EV / BOHR_PER_ANGSTROM,
        "virials": np.triu(virials),
    }
    # i-PI keeps the upper triangle of the (symmetric) virial
    found["virials"] = np.triu(found["virials"])
    assert_same(wanted, found, TOLERANCE)
    assert np.ptp(wanted["energies"]) > 1e-5


@pytest.mark.parametrize(
    ("mode", "beads"), [("unix", 1), ("inet", 1), ("unix", BEADS), ("inet", BEADS), ("shm", BEADS)]
)
def test_socket_is_in_process(archive_f64, tmp_path, in_process, mode, beads):
    with new_server(mode) as server:
        write_input(tmp_path, server.forcefield(batch=beads), beads)
        with (
            simulation(tmp_path) as process,
            client(archive_f64, server, tmp_path) as served,
        ):
            found = seen(process, tmp_path)
            output = finish(served)
    assert served.returncode == 0, output
    assert "i-PI said EXIT" in output
    assert_same(in_process[beads], found, TOLERANCE)


def test_batch_is_one_pass_and_the_same_trajectory(archive_f64, tmp_path, in_process):
    """Three beads: as many calls of the model as force evaluations when they are batched, three
    times as many when they are not; the trajectories are the same."""
    calls = {}
    for batch in (1, BEADS):
        folder = tmp_path / str(batch)
        with new_server("unix") as server:
            # time for all beads to queue, so that no batch leaves incomplete
            latency = "<latency> 0.02 </latency>"
            write_input(folder, server.forcefield(batch, latency), BEADS)
            with simulation(folder) as process, client(archive_f64, server, folder) as served:
                assert_same(in_process[BEADS], seen(process, folder), TOLERANCE)
                counts = finish(served).splitlines()[-1].split()
                calls[batch] = int(counts[0])
    assert calls[1] == BEADS * calls[BEADS]


def test_extras_are_trajectories(archive_f64, tmp_path):
    """`extra_type` finds the raw energy and the spread over the rotations, in eV."""
    write_input(tmp_path, direct(archive_f64, "2"), steps=1)
    with running("i-pi", "input.xml", folder=tmp_path) as process:
        output = finish(process)
    assert process.returncode == 0, output
    raw, spread = np.loadtxt(tmp_path / "run.rotations_0")[0]
    model = pet_driver.load(archive_f64)
    expected = model.evaluate(read(tmp_path / "start.xyz"), grid="2")
    assert raw == pytest.approx(expected.raw_energy, abs=1e-5)
    assert spread == pytest.approx(expected.rotation_std, rel=1e-5)


def test_the_cost_of_frames_is_stated_once(archive_f64):
    lines = []
    water = molecule("H2O")
    model = pet_driver.load(archive_f64)
    for grid in ("2i", "ecse"):
        potential = Potential(model, water.numbers, grid, periodic=False, report=lines.append)
        for _ in range(2):
            potential.compute([np.eye(3)], [water.positions * BOHR_PER_ANGSTROM])
    assert lines == [
        "pet-driver: ecse: 6 frames for 3 atoms, as many edges as in 7.0 raw evaluations"
    ]
