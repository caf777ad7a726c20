"""Input files with other outputs, models, beads and parameters than those of the examples."""

import os
import signal
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

import pet_driver
from pet_driver import analysis
from pet_driver.cli.examples import copy_example
from pet_driver.errors import PetDriverError
from pet_driver.runs import Settings, execute, read_run
from pet_driver.runs.describe import _ipi_files
from pet_driver.runs.execute import read_segment
from pet_driver.runs.segment_files import last_step
from pet_driver.runs.segments import EXIT
from tests.runs.conftest import INPUTS, PATIENCE, command, edit, steps_in

PIMD = "water-liquid-pimd/ipi-in-process.xml"


def copied(folder: Path, name: str, *changes: tuple[str, str]) -> Path:
    """Copy an input file and what it refers to, and replace texts in it."""
    copy_example(Path(name).parent.name, folder / "inputs")
    return edit(folder / "inputs" / Path(name).name, *changes)


@pytest.mark.parametrize(("beads", "batch"), [(12, 6), (4, 4), (8, 8), (7, 7), (11, 1)])
def test_batch_size_divides_number_of_beads(tmp_path, beads, batch):
    """i-PI waits forever for a batch that is not full."""
    input_file = copied(tmp_path, PIMD, ('nbeads="8"', f'nbeads="{beads}"'))
    segment = read_segment(input_file, tmp_path / "run", Settings())
    assert int(segment.simulation_input.root.findtext("ffdirect/batch_size")) == batch


def test_run_with_beads_that_are_not_a_multiple_of_the_batch_size(tmp_path):
    input_file = copied(tmp_path, PIMD, ('nbeads="8"', 'nbeads="3"'), ("> 8 <", "> 2 <"))
    structure = INPUTS / "water-molecule-nve" / "water.xyz"
    found = execute(
        input_file, tmp_path / "run", Settings(steps=2, structure=structure, time_limit=120)
    )
    assert (found.state, found.steps, found.n_beads) == ("finished", 2, 3)


def test_two_checkpoints_have_different_strides(molecule_input, tmp_path):
    root = read_segment(molecule_input, tmp_path, Settings()).simulation_input.root
    strides = [int(one.get("stride")) for one in root.findall("output/checkpoint")]
    assert strides == [20, 21]


def test_weights_of_all_force_fields_identify_the_run(tmp_path):
    for name, model in (("a.pt", "water-small"), ("b.pt", "water-small-ensemble-2")):
        pet_driver.export(model, tmp_path / name)
    input_file = copied(tmp_path, "water-molecule-delta/ipi.xml")
    for grid, name in (("0", "a.pt"), ("2i", "b.pt")):
        edit(
            input_file,
            (
                f"{{model: water-small, template: water.xyz, grid: {grid},",
                f"{{model: {tmp_path / name}, template: water.xyz, grid: {grid},",
            ),
        )
    found = execute(input_file, tmp_path / "run", Settings(steps=4))
    assert found.provenance["archive"] == "a.pt, b.pt"
    with pytest.raises(PetDriverError, match=r"its force fields have .*a.pt, .*b.pt; change them"):
        read_segment(input_file, tmp_path / "run", Settings(model="water-small"))
    pet_driver.export("water-small-ensemble-3", tmp_path / "b.pt")
    with pytest.raises(PetDriverError, match=r"holds another run \(weights"):
        execute(input_file, tmp_path / "run", Settings(steps=8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("</system>", "</system><system></system>"), "needs an input file with one <system>"),
        (("[ step, ", "[ "), "do not contain the step, which pet-driver run needs"),
        (("grid: 0,", "gird: 2i,"), "unknown gird among the <parameters>; they are model,"),
    ],
)
def test_input_files_that_cannot_be_run_are_errors(molecule_input, tmp_path, change, message):
    edit(molecule_input, change)
    for clients in (0, 1):
        with pytest.raises(PetDriverError, match=message):
            execute(molecule_input, tmp_path / "run", Settings(steps=4, clients=clients))
    assert not (tmp_path / "run" / "screen.txt").exists()


def test_run_with_other_output_names_resumes(molecule_input, tmp_path):
    """No prefix, the step in another column, and a second table with an incomplete last row."""
    edit(
        molecule_input,
        ('prefix="raw"', 'prefix=""'),
        ("[ step, time{picosecond}, ", "[ time{picosecond}, step, "),
        (
            "<checkpoint ",
            '<properties filename="more" stride="4"> [ step ] </properties> <checkpoint ',
        ),
    )
    folder = tmp_path / "run"
    found = execute(molecule_input, folder, Settings(steps=40))
    assert (found.steps, found.properties) == (40, "out")
    assert last_step(folder / "out") == 40
    for name in (*found.positions, *found.velocities):
        assert found.path(name).is_file()
    with open(folder / "more", "a") as handle:
        handle.write(" 4.4e1")
    again = execute(molecule_input, folder, Settings(steps=60))
    assert again.steps == 60 and not list(folder.glob("set-aside-*"))
    rows = analysis.PropertyFile(folder / "more")["step"]
    assert rows[-1] == 60 and set(np.diff(rows)) == {4.0}


def test_trajectories_of_every_third_bead_are_found(tmp_path):
    old = '<trajectory filename="pos"'
    input_file = copied(tmp_path, PIMD, (old, f'{old} bead="-3"'))
    segment = read_segment(input_file, tmp_path, Settings())
    names = _ipi_files(segment.simulation_input, "positions", 8)
    assert [Path(name).stem[-2:] for name in names] == ["_0", "_3", "_6"]


def test_fewer_steps_than_completed_is_an_error(molecule_input, finished):
    """A finished run is returned as it is; nothing is deleted."""
    assert execute(molecule_input, finished, Settings(steps=20)).steps == 40
    record = finished / "run.json"
    record.write_text(record.read_text().replace('"finished"', '"stopped"'))
    for keep in (True, False):
        if not keep:
            (finished / "RESTART").unlink()
        with pytest.raises(PetDriverError, match=r"at step \d+, beyond the 20 that are asked for"):
            execute(molecule_input, finished, Settings(steps=20))
    assert not list(finished.glob("set-aside-*"))
    assert steps_in(finished / "raw.out") == 11


def test_signal_to_all_processes_of_a_job_stops_the_run(molecule_input, tmp_path):
    """Batch systems send one to all: i-PI gets it, and its supervisor asks it to end too."""
    folder = tmp_path / "run"
    process = subprocess.Popen(
        command(molecule_input, folder, "--steps", "200000"), stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + PATIENCE
    while steps_in(folder / "raw.out") < 5:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in (*map(int, children), process.pid):
        os.kill(pid, signal.SIGTERM)
    assert process.wait(PATIENCE) == 75
    restart = ElementTree.parse(folder / "RESTART").getroot()
    done = read_run(folder / "run.json").steps
    assert 0 < done <= int(restart.findtext("step")) < 200000
    assert not (folder / EXIT).exists(), "it would stop the next run segment"


def test_random_rotations_of_a_force_of_weight_zero_continue(tmp_path, archive_f64):
    """i-PI evaluates a force of weight 0, and draws a rotation, only when it writes an output."""
    input_file = INPUTS / "water-molecule-delta" / "ipi.xml"
    options = {"model": str(archive_f64), "grid": "random@1"}
    full = execute(input_file, tmp_path / "full", Settings(steps=24, **options))
    for steps in (10, 24):
        resumed = execute(input_file, tmp_path / "resumed", Settings(steps=steps, **options))
    column = "pot_component_raw(1)"
    ours, theirs = (analysis.PropertyFile(run.path(run.properties)) for run in (resumed, full))
    np.testing.assert_array_equal(ours["step"], theirs["step"])
    np.testing.assert_allclose(ours[column], theirs[column], atol=1e-7)
    assert np.abs(theirs[column] - theirs["pot_component_raw(0)"]).max() > 1e-4


@pytest.mark.parametrize("engine", ["i-PI", "LAMMPS"])
def test_model_replaces_one_that_is_missing(tmp_path, engine):
    """Also where the grid is the default of the model."""
    if engine == "i-PI":
        change = (
            "model: water-small, template: water.xyz, grid: 0",
            "model: my.pt, template: water.xyz",
        )
        input_file = copied(tmp_path, "water-molecule-nve/ipi-raw.xml", change)
    else:
        changes = (("index water-small ", "index my.pt "), ("grid ${grid}", ""))
        input_file = copied(tmp_path, "water-liquid-nvt/in.water", *changes)
    found = read_segment(input_file, tmp_path, Settings(model="water-small")).describe()
    assert found.grid == "0" and found.provenance["archive"] == "water-small.pt"
    message = rf"the model of .*{input_file.name}: my.pt is neither .*; choose another .* --model"
    with pytest.raises(PetDriverError, match=message):
        read_segment(input_file, tmp_path, Settings()).describe()
