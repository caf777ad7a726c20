"""A folder that still holds files of an earlier run: right values, or an error."""

from pathlib import Path

import numpy as np
import pytest

from pet_driver.analysis import equivariance_error, water_universe
from pet_driver.errors import PetDriverError

RESTART = """<simulation><output prefix='{prefix}'></output>
<system><motion><dynamics><timestep units='femtosecond'>{timestep}</timestep></dynamics></motion>
<beads natoms='3' nbeads='{n_beads}'></beads></system></simulation>
"""
INPUT = """<simulation><output prefix="run"></output><system>
<initialize nbeads="{n_beads}"><file mode="xyz">init.xyz</file></initialize></system></simulation>
"""


def bead(path: Path, shift: float, steps=(0, 2, 4)) -> None:
    frames = [
        f"3\n# CELL(abcABC): 9 9 9 90 90 90 Step: {step} positions{{angstrom}} cell{{angstrom}}\n"
        f"O {shift} 0.0 0.0\nH {shift + 0.96} 0.0 0.0\nH {shift - 0.24} 0.93 0.0\n"
        for step in steps
    ]
    path.write_text("".join(frames))


def properties(path: Path, timestep: float, last: int = 4) -> None:
    rows = "".join(f"{k} {k * timestep * 1e-3:.6e} 0.0\n" for k in range(last + 1))
    names = ("step", "time{picosecond}", "potential{electronvolt}")
    head = "".join(f"# column {k + 1} --> {name} : help\n" for k, name in enumerate(names))
    path.write_text(head + rows)


def extras(path: Path, steps=(0, 2, 4)) -> None:
    head = "#EXTRAS(raw_energy_ev,rotation_std_ev)# Step: {} Bead: 0\n  1.0 0.5\n"
    path.write_text("".join(head.format(step) for step in steps))


def restart(folder: Path, n_beads: int, prefix: str = "run", timestep: float = 0.5) -> None:
    text = RESTART.format(n_beads=n_beads, prefix=prefix, timestep=timestep)
    (folder / "RESTART").write_text(text)


def run(folder: Path, n_beads: int = 2, width: int = 1) -> None:
    """Write the files of a run, whose centroid has the O at 0.1 A times the mean bead number."""
    for k in range(n_beads):
        bead(folder / f"run.pos_{k:0{width}d}.xyz", 0.1 * k)
        extras(folder / f"run.rotations_{k}")
    properties(folder / "run.out", 0.5)


def more_beads_than_the_restart(folder: Path) -> None:
    run(folder, 4)
    restart(folder, 2)


def more_beads_than_the_input(folder: Path) -> None:
    run(folder, 4)
    (folder / "input.xml").write_text(INPUT.format(n_beads=2))


def a_gap(folder: Path) -> None:
    run(folder, 4)
    (folder / "run.pos_2.xyz").unlink()


def a_bead_missing(folder: Path) -> None:
    run(folder, 3)
    restart(folder, 4)


def a_longer_run(folder: Path) -> None:
    run(folder, 2)
    for k in (2, 3):
        bead(folder / f"run.pos_{k}.xyz", 7.0, range(0, 12, 2))


def another_stride(folder: Path) -> None:
    run(folder, 2)
    bead(folder / "run.pos_2.xyz", 7.0, (0, 3, 6))


def another_time_step(folder: Path) -> None:
    run(folder, 2)
    restart(folder, 2)
    properties(folder / "run.out", 0.25)


REFUSED = [
    (more_beads_than_the_restart, "4 files of beads.*RESTART says nbeads=2"),
    (more_beads_than_the_input, "4 files of beads.*input.xml says nbeads=2"),
    (a_gap, "are numbers 0, 1, 3"),
    (a_bead_missing, "3 files of beads.*nbeads=4"),
    (a_longer_run, "6 frames, where .* has 3"),
    (another_stride, "lacks step 2"),
    (another_time_step, "says a time step of 0.25 fs, but RESTART says 0.5 fs"),
]


@pytest.mark.parametrize(("prepare", "message"), REFUSED)
def test_left_overs_are_refused(tmp_path: Path, prepare, message: str) -> None:
    prepare(tmp_path)
    with pytest.raises(PetDriverError, match=message):
        water_universe(tmp_path / "run.pos_0.xyz", centroid=True)


def a_larger_ring_polymer(folder: Path) -> None:
    run(folder, 2)
    for k in range(16):
        bead(folder / f"run.pos_{k:02d}.xyz", 7.0)


def a_run_of_another_name(folder: Path) -> None:
    run(folder, 2)
    restart(folder, 8, prefix="equilibration", timestep=0.25)


def every_second_bead(folder: Path) -> None:
    """As written by ``<trajectory bead="-2">``."""
    for k in (0, 2):
        bead(folder / f"run.pos_{k}.xyz", 0.05 * k)
    properties(folder / "run.out", 0.5)
    restart(folder, 4)


def nothing(folder: Path) -> None:
    run(folder, 2)
    restart(folder, 2)


@pytest.mark.parametrize(
    "prepare", [a_larger_ring_polymer, a_run_of_another_name, every_second_bead, nothing]
)
def test_files_of_the_run_are_found(tmp_path: Path, prepare) -> None:
    prepare(tmp_path)
    u = water_universe(tmp_path / "run.pos_0.xyz", centroid=True)
    np.testing.assert_allclose(u.atoms.positions[0], [0.05, 0, 0], atol=1e-6)
    assert [ts.time for ts in u.trajectory] == pytest.approx([0.0, 0.001, 0.002])
    assert u.trajectory[0].data["beads"].shape == (2, 3, 3)


def test_left_overs_of_extras_are_refused(tmp_path: Path) -> None:
    run(tmp_path, 2)
    restart(tmp_path, 2)
    np.testing.assert_allclose(equivariance_error(tmp_path / "run.rotations_0").error, 1.0)
    extras(tmp_path / "run.rotations_2")
    with pytest.raises(PetDriverError, match="3 files of beads"):
        equivariance_error(tmp_path / "run.rotations_0")
    (tmp_path / "run.rotations_2").unlink()
    for k in (0, 1):
        extras(tmp_path / f"run.rotations_{k}", range(0, 20, 2))
    with pytest.raises(PetDriverError, match=r"ends at step 4, .* at step 18"):
        equivariance_error(tmp_path / "run.rotations_0")
