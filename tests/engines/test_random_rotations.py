"""Random grids in the engines: one draw per step, and the same draws after a restart.

That i-PI evaluates each random grid as the model does is in test_ipi.py.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.io import read

import pet_driver
from pet_driver.engines.ipi.driver import PETDriver

from .ipi_tools import ffdirect, run_ipi, write_input
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
    """Run LAMMPS and return the forces and positions [N, 6] of its last step."""
    defaults = {"grid": GRID, "upto": "", "end": ""}
    process = launch(folder, RUN.format(**(defaults | parts)), ranks)
    assert process.returncode == 0, process.stdout + process.stderr
    return np.loadtxt(folder / str(parts["dump"]), skiprows=9)[:, 1:]


@pytest.mark.parametrize(("grid", "ranks"), [(GRID, 1), ("random3", 2)])
def test_lammps_restart_continues_with_the_same_rotations(
    tmp_path: Path, archive_f64: Path, model_f64: pet_driver.Model, grid: str, ranks: int
) -> None:
    atoms = water_box(1, 6.0)
    write_structure(tmp_path / "structure.data", atoms)
    # One run of 8 steps writes the restart of step 5 on its way.
    fresh = "read_data structure.data\nvelocity all create 300 5 loop geom\nrestart 5 half.*"
    common = {"archive": archive_f64, "grid": grid, "ranks": ranks}
    full = run_lammps(tmp_path, start=fresh, steps=8, dump="full.dump", **common)
    resumed = run_lammps(
        tmp_path, start="read_restart half.5", steps=3, dump="resumed.dump", **common
    )
    np.testing.assert_allclose(resumed, full, atol=FORCE_TOLERANCE, rtol=0)
    assert np.abs(atoms.positions - full[:, 3:]).max() > 1e-4, "the atoms must have moved"
    # the forces are those of the evaluator with the step as the counter
    atoms.positions = full[:, 3:]
    expected = model_f64.evaluate(atoms, grid, counter=8).forces
    np.testing.assert_allclose(full[:, :3], expected, atol=FORCE_TOLERANCE, rtol=0)
    other = model_f64.evaluate(atoms, grid, counter=5).forces
    assert np.abs(other - expected).max() > 1e-5, "another step must have other rotations"


@pytest.mark.parametrize("grid", ["lebedev3i", "O_h", "random2i@5", "random-each@5"])
def test_lammps_evaluates_every_grid(
    tmp_path: Path, archive_f64: Path, model_f64: pet_driver.Model, grid: str
) -> None:
    atoms = water_box(1, 6.0)
    found = evaluate(tmp_path, atoms, archive_f64, keywords=f"grid {grid}")
    expected = model_f64.evaluate(atoms, grid, counter=0)
    assert found.energy == pytest.approx(expected.energy, abs=1e-9)
    assert found.raw_energy == pytest.approx(expected.raw_energy, abs=1e-9)
    assert found.rotation_std == pytest.approx(expected.rotation_std, abs=1e-9)
    np.testing.assert_allclose(found.forces, expected.forces, atol=FORCE_TOLERANCE, rtol=0)


def test_ipi_extras_hold_the_counter_of_the_draw(archive_f64: Path, tmp_path: Path) -> None:
    """With the counter from the extras, a new process reproduces the same forces."""
    molecule("H2O").write(tmp_path / "water.xyz")
    options = {"model": str(archive_f64), "template": str(tmp_path / "water.xyz"), "grid": "random"}
    driver = PETDriver(**options)
    cell, positions = 40.0 * np.eye(3), 1.9 * molecule("H2O").positions
    outcomes = [driver.compute(cell, positions) for _ in range(3)]
    counters = [json.loads(outcome[3])["rotation_counter"] for outcome in outcomes]
    assert counters == [0, 1, 2]
    assert abs(outcomes[2][0] - outcomes[1][0]) > 1e-8
    repeated = PETDriver(**options, counter=counters[2]).compute(cell, positions)
    assert repeated[0] == outcomes[2][0]
    batch = PETDriver(**options | {"grid": "random-each"}).compute([cell] * 2, [positions] * 2)
    assert [json.loads(one[3])["rotation_counter"] for one in batch] == [0, 1]


def test_ipi_restart_with_the_counter_of_its_step(archive_f64: Path, tmp_path: Path) -> None:
    """A checkpoint whose ``counter`` is set from the extras of its step gives the same forces."""
    path = write_input(tmp_path, ffdirect(archive_f64, "random@2", more=", counter: 0"), steps=6)
    outputs = (
        '<checkpoint filename="saved" stride="3" overwrite="False"/>'
        '<trajectory filename="forces" format="xyz"> forces </trajectory>'
        '<trajectory filename="counter" extra_type="rotation_counter"> extras </trajectory>'
    )
    path.write_text(path.read_text().replace("</output>", outputs + "</output>"))
    run_ipi(tmp_path)
    full = read(tmp_path / "run.forces_0.xyz", ":", format="xyz")
    counters = np.loadtxt(tmp_path / "run.counter_0").ravel()
    saved = (tmp_path / "run.saved_1").read_text()
    step = int(re.search(r"<step>\s*(\d+)", saved)[1])
    saved = re.sub(r"counter:\s*0", f"counter: {int(counters[step])}", saved)
    (tmp_path / "resumed.xml").write_text(saved.replace("prefix='run'", "prefix='resumed'"))
    run_ipi(tmp_path, "resumed.xml")
    resumed = read(tmp_path / "resumed.forces_0.xyz", ":", format="xyz")
    assert 2 <= len(resumed) < len(full)
    repeated = np.loadtxt(tmp_path / "resumed.counter_0").ravel()
    assert repeated.tolist() == counters[-len(repeated) :].tolist()
    assert np.abs(full[-1].positions - full[step].positions).max() > 1e-5
    for one, other in zip(resumed, full[-len(resumed) :], strict=True):
        np.testing.assert_allclose(one.positions, other.positions, atol=2e-7, rtol=0)  # six digits
