"""i-PI gets the energies, forces and virials of the model, in its process and through sockets."""

from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.io import read

import pet_driver
from pet_driver.engines.ipi.potential import BOHR_PER_ANGSTROM, HARTREE_PER_EV, Potential
from pet_driver.symmetry.grid_names import draws
from tests.engines.conftest import BEADS, COUNTER, IPI_GRIDS, uses_in_process
from tests.engines.ipi_tools import (
    Trajectory,
    assert_same,
    counting_client,
    ffdirect,
    finish,
    new_server,
    run_ipi,
    simulation,
    structures_of,
    trajectory_of,
    write_input,
)
from tests.engines.structures import skewed_dimer

TOLERANCE = 1e-10


def assert_follows(model: pet_driver.Model, grid: str, trajectory: Trajectory) -> None:
    """Check every step of a trajectory against the model."""
    structures = structures_of(trajectory, skewed_dimer())
    if draws(grid, 1):
        # every step of i-PI is one evaluation, which takes the next draw
        results = [model.evaluate(s, grid, COUNTER + k) for k, s in enumerate(structures)]
    else:
        results = model.evaluate(structures, grid)
    expected = {
        "energies": np.array([[r.energy] for r in results]) * HARTREE_PER_EV,
        "forces": np.array([[r.forces.ravel()] for r in results])
        * (HARTREE_PER_EV / BOHR_PER_ANGSTROM),
        # i-PI keeps the upper triangle of the (symmetric) virial
        "virials": np.triu(np.array([[r.virial] for r in results])) * HARTREE_PER_EV,
    }
    found = trajectory | {"virials": np.triu(trajectory["virials"])}
    assert_same(expected, found, TOLERANCE)
    assert np.ptp(expected["energies"]) > 1e-5


def test_units_are_those_of_ipi() -> None:
    from ipi.utils.units import unit_to_internal

    assert unit_to_internal("length", "angstrom", 1.0) == BOHR_PER_ANGSTROM
    assert unit_to_internal("energy", "electronvolt", 1.0) == HARTREE_PER_EV


@uses_in_process
@pytest.mark.parametrize("grid", IPI_GRIDS)
def test_in_process_equals_evaluator(
    model_f64: pet_driver.Model, in_process: dict, grid: str
) -> None:
    """The name of the grid survives i-PI's input, and every evaluation has its own draw."""
    assert_follows(model_f64, grid, in_process[grid])


def test_unix_socket_equals_evaluator(
    archive_f64: Path, model_f64: pet_driver.Model, tmp_path: Path
) -> None:
    with new_server("unix") as server:
        write_input(tmp_path, server.ffsocket())
        with (
            simulation(tmp_path) as process,
            counting_client(archive_f64, server, tmp_path) as client,
        ):
            trajectory = trajectory_of(process, tmp_path)
            output = finish(client)
    assert client.returncode == 0, output
    assert "i-PI sent EXIT" in output
    assert_follows(model_f64, "0", trajectory)


@uses_in_process
def test_batch_is_one_call_of_the_model(
    archive_f64: Path, tmp_path: Path, in_process: dict
) -> None:
    """A batch of beads is one call of the model; the trajectory does not depend on the batches."""
    calls = {}
    for mode, batch in (("unix", 1), ("inet", BEADS), ("shm", BEADS)):
        folder = tmp_path / mode
        with new_server(mode) as server:
            # time for all beads to queue, so that no batch leaves incomplete
            latency = "<latency> 0.02 </latency>"
            write_input(folder, server.ffsocket(batch, latency), BEADS)
            with (
                simulation(folder) as process,
                counting_client(archive_f64, server, folder) as client,
            ):
                assert_same(in_process[BEADS], trajectory_of(process, folder), TOLERANCE)
                output = finish(client)
                assert client.returncode == 0, output
                calls[mode] = int(output.splitlines()[-1].split()[0])
    assert calls["unix"] == BEADS * calls["inet"] == BEADS * calls["shm"]


def test_extras_are_written_as_trajectories(
    archive_f64: Path, model_f64: pet_driver.Model, tmp_path: Path
) -> None:
    write_input(tmp_path, ffdirect(archive_f64, "2"), steps=1)
    run_ipi(tmp_path)
    raw_energy, rotation_std = np.loadtxt(tmp_path / "run.extras_0")[0]
    expected = model_f64.evaluate(read(tmp_path / "start.xyz"), grid="2")
    assert raw_energy == pytest.approx(expected.raw_energy, abs=1e-5)
    assert rotation_std == pytest.approx(expected.rotation_std, rel=1e-5)


def test_cost_of_exact_symmetrization_is_reported_once(model_f64: pet_driver.Model) -> None:
    lines = []
    water = molecule("H2O")
    for grid in ("2i", "ecse"):
        potential = Potential(model_f64, water.numbers, grid, periodic=False, report=lines.append)
        for _ in range(2):
            potential.compute([np.eye(3)], [water.positions * BOHR_PER_ANGSTROM])
    assert lines == [
        "pet-driver: ecse: 6 frames for 3 atoms, as many edges as in 7.0 raw evaluations"
    ]
