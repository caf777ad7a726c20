"""Random grids in the engines: one draw a step, and the same draw after a restart."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.io import read

import pet_driver
from pet_driver.engines.ipi.driver import PETDriver
from pet_driver.engines.ipi.potential import BOHR_PER_ANGSTROM, HARTREE_PER_EV

from .ipi_tools import direct, finish, running, seen, simulation, write_input
from .lammps_input import evaluate, launch, water_box, write_structure

FORCE_TOLERANCE = 1e-9  # eV/A
GRID = "2i+random@7"

RUN = """
units metal
boundary p p p
{start}
pair_style pet {archive} device cpu grid {grid}
pair_coeff * * O H
neighbor 0.6 bin
timestep 0.0005
fix ensemble all nve
thermo 1
run {steps} {upto}
write_dump all custom {dump} id fx fy fz x y z modify sort id format float %.16e
{end}
"""


def run_lammps(folder: Path, ranks: int = 1, **parts: object) -> np.ndarray:
    """Forces and positions [N, 6] after a run."""
    defaults = {"grid": GRID, "upto": "", "end": ""}
    process = launch(folder, RUN.format(**(defaults | parts)), ranks)
    assert process.returncode == 0, process.stdout + process.stderr
    return np.loadtxt(folder / str(parts["dump"]), skiprows=9)[:, 1:]


@pytest.mark.parametrize(("grid", "ranks"), [(GRID, 1), ("random3", 2)])
def test_lammps_restarts_with_the_same_rotations(
    tmp_path: Path, archive_f64: Path, model_f64: pet_driver.Model, grid: str, ranks: int
) -> None:
    atoms = water_box(1, 6.0)
    write_structure(tmp_path / "structure.data", atoms)
    fresh = "read_data structure.data\nvelocity all create 300 5 loop geom"
    common = {"archive": archive_f64, "grid": grid, "ranks": ranks}
    whole = run_lammps(tmp_path, start=fresh, steps=8, dump="whole.dump", **common)
    half = run_lammps(
        tmp_path, start=fresh, steps=5, dump="half.dump", end="write_restart half", **common
    )
    going_on = "read_restart half"
    rest = run_lammps(tmp_path, start=going_on, steps=3, dump="rest.dump", **common)
    np.testing.assert_allclose(rest, whole, atol=FORCE_TOLERANCE, rtol=0)
    assert np.abs(half[:, 3:] - whole[:, 3:]).max() > 1e-4, "the run must resume after the restart"
    # the forces are those of the evaluator with the step as the counter
    atoms.positions = whole[:, 3:]
    expected = model_f64.evaluate(atoms, grid, counter=8).forces
    np.testing.assert_allclose(whole[:, :3], expected, atol=FORCE_TOLERANCE, rtol=0)
    other = model_f64.evaluate(atoms, grid, counter=5).forces
    assert np.abs(other - expected).max() > 1e-5, "another step must have other rotations"


@pytest.mark.parametrize("grid", ["lebedev3i", "O_h", "random2i@5", "random-each@5"])
def test_lammps_takes_every_grid(
    tmp_path: Path, archive_f64: Path, model_f64: pet_driver.Model, grid: str
) -> None:
    atoms = water_box(1, 6.0)
    found = evaluate(tmp_path, atoms, archive_f64, keywords=f"grid {grid}")
    expected = model_f64.evaluate(atoms, grid, counter=0)
    assert found.energy == pytest.approx(expected.energy, abs=1e-9)
    assert found.raw_energy == pytest.approx(expected.raw_energy, abs=1e-9)
    assert found.rotation_std == pytest.approx(expected.rotation_std, abs=1e-9)
    np.testing.assert_allclose(found.forces, expected.forces, atol=FORCE_TOLERANCE, rtol=0)


@pytest.mark.parametrize("grid", ["random", "2+random@12", "random2i-each@3", "lebedev3", "T_d"])
def test_ipi_takes_every_grid(archive_f64: Path, tmp_path: Path, grid: str) -> None:
    """The notation survives i-PI's input, and every evaluation has its own draw."""
    write_input(tmp_path, direct(archive_f64, grid, more=", counter: 30"), steps=3)
    with simulation(tmp_path, steps=3) as process:
        arrays = seen(process, tmp_path)
    model = pet_driver.load(archive_f64)
    atoms = read(tmp_path / "start.xyz")
    for step, positions in enumerate(arrays["positions"]):
        atoms.positions = positions.reshape(-1, 3) / BOHR_PER_ANGSTROM
        atoms.set_cell(arrays["cells"][step].T / BOHR_PER_ANGSTROM)
        expected = model.evaluate(atoms, grid, counter=30 + step).energy * HARTREE_PER_EV
        assert arrays["energies"][step][0] == pytest.approx(expected, abs=1e-10)


def test_ipi_says_which_draw_it_had(archive_f64: Path, tmp_path: Path) -> None:
    """What the extras name brings the same forces back in a new process."""
    molecule("H2O").write(tmp_path / "water.xyz")
    options = {"model": str(archive_f64), "template": str(tmp_path / "water.xyz"), "grid": "random"}
    driver = PETDriver(**options)
    cell, positions = 40.0 * np.eye(3), 1.9 * molecule("H2O").positions
    outcomes = [driver.compute(cell, positions) for _ in range(3)]
    counters = [json.loads(outcome[3])["rotation_counter"] for outcome in outcomes]
    assert counters == [0, 1, 2]
    assert abs(outcomes[2][0] - outcomes[1][0]) > 1e-8
    again = PETDriver(**options, counter=counters[2]).compute(cell, positions)
    assert again[0] == outcomes[2][0]
    batch = PETDriver(**options | {"grid": "random-each"}).compute([cell] * 2, [positions] * 2)
    assert [json.loads(one[3])["rotation_counter"] for one in batch] == [0, 1]


def test_a_bad_counter_is_refused(archive_f64: Path, tmp_path: Path) -> None:
    write_input(tmp_path, direct(archive_f64, "random", more=", counter: soon"))
    with running("i-pi", "input.xml", folder=tmp_path) as process:
        output = finish(process)
    assert process.returncode == 1
    assert "counter: 'soon'" in output


def test_ipi_restarts_with_the_counter_of_its_step(archive_f64: Path, tmp_path: Path) -> None:
    """A checkpoint with `counter` set to what the extras named for its step: the same forces."""
    path = write_input(tmp_path, direct(archive_f64, "random@2", more=", counter: 0"), steps=6)
    outputs = (
        '<checkpoint filename="saved" stride="3" overwrite="False"/>'
        '<trajectory filename="forces" format="xyz"> forces </trajectory>'
        '<trajectory filename="draw" extra_type="rotation_counter"> extras </trajectory>'
    )
    path.write_text(path.read_text().replace("</output>", outputs + "</output>"))
    run_ipi(tmp_path, "input.xml")
    whole = read(tmp_path / "run.forces_0.xyz", ":", format="xyz")
    draws = np.loadtxt(tmp_path / "run.draw_0").ravel()
    saved = (tmp_path / "run.saved_1").read_text()
    step = int(re.search(r"<step>\s*(\d+)", saved)[1])
    saved = re.sub(r"counter:\s*0", f"counter: {int(draws[step])}", saved)
    (tmp_path / "continued.xml").write_text(saved.replace("prefix='run'", "prefix='rest'"))
    run_ipi(tmp_path, "continued.xml")
    rest = read(tmp_path / "rest.forces_0.xyz", ":", format="xyz")
    assert 2 <= len(rest) < len(whole)
    again = np.loadtxt(tmp_path / "rest.draw_0").ravel()
    assert again.tolist() == draws[-len(again) :].tolist()
    assert np.abs(whole[-1].positions - whole[step].positions).max() > 1e-5
    for one, other in zip(rest, whole[-len(rest) :], strict=True):
        np.testing.assert_allclose(one.positions, other.positions, atol=2e-7, rtol=0)  # six digits


def run_ipi(folder: Path, name: str) -> None:
    with running("i-pi", name, folder=folder) as process:
        output = finish(process)
    assert process.returncode == 0, output
