"""What input files of one's own may look like: other outputs, models, beads, parameters."""

import os
import shutil
import signal
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

import pet_driver
from pet_driver import analysis
from pet_driver.errors import PetDriverError
from pet_driver.runs import Settings, execute, read_run
from pet_driver.runs.describe import _ipi_files
from pet_driver.runs.execute import read_segment
from pet_driver.runs.segment_files import last_step
from pet_driver.runs.segments import EXIT
from tests.runs.conftest import INPUTS, PATIENCE, command, steps_in

PIMD = INPUTS / "water-liquid-pimd" / "ipi-in-process.xml"


def edited(input_file: Path, *changes: tuple[str, str]) -> Path:
    """The input file itself, with texts in place of others."""
    text = input_file.read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    input_file.write_text(text)
    return input_file


def mended(folder: Path, input_file: Path, *changes: tuple[str, str]) -> Path:
    """A copy of an input file, with what it names by relative paths found from there."""
    path = folder / "input files" / input_file.parent.name / input_file.name
    shutil.copytree(input_file.parent, path.parent)
    (folder / "input files" / "structures").symlink_to(INPUTS / "structures")
    (folder / "input files" / "water-molecule-nve").symlink_to(INPUTS / "water-molecule-nve")
    return edited(path, *changes)


@pytest.mark.parametrize(("beads", "batch"), [(12, 6), (4, 4), (8, 8), (7, 7), (11, 1)])
def test_batches_divide_the_beads(tmp_path, beads, batch):
    """i-PI waits for ever for what is left over."""
    input_file = mended(tmp_path, PIMD, ('nbeads="8"', f'nbeads="{beads}"'))
    segment = read_segment(input_file, tmp_path / "run", Settings())
    assert int(segment.input_file.root.findtext("ffdirect/batch_size")) == batch


def test_beads_that_are_no_multiple_of_the_batch(tmp_path):
    input_file = mended(tmp_path, PIMD, ('nbeads="8"', 'nbeads="3"'), ("> 8 <", "> 2 <"))
    structure = INPUTS / "water-molecule-nve" / "water.xyz"
    found = execute(
        input_file, tmp_path / "run", Settings(steps=2, structure=structure, time_limit=120)
    )
    assert (found.state, found.steps, found.n_beads) == ("finished", 2, 3)


def test_checkpoints_are_not_written_at_the_same_time(molecule_input, tmp_path):
    root = read_segment(molecule_input, tmp_path, Settings()).input_file.root
    strides = [int(one.get("stride")) for one in root.findall("output/checkpoint")]
    assert strides == [20, 21]


def test_a_start_that_failed_is_no_reason_to_warn(molecule_input, tmp_path, recwarn):
    """Nothing was done yet that would have to be done again."""
    path = molecule_input.with_name("water.xyz")
    whole = path.read_text()
    path.write_text(whole.replace("H ", "Na ", 1))
    with pytest.raises(PetDriverError, match="Na"):
        execute(molecule_input, tmp_path / "run", Settings(steps=4))
    path.write_text(whole)
    assert execute(molecule_input, tmp_path / "run", Settings(steps=4)).state == "finished"
    assert not [one for one in recwarn if "no whole checkpoint" in str(one.message)]


def test_torn_checkpoints_are_no_secret(molecule_input, tmp_path):
    folder = tmp_path / "run"
    execute(molecule_input, folder, Settings(steps=4))
    for path in [folder / "RESTART", *folder.glob("raw.chk*")]:
        path.write_text("")
    with pytest.warns(UserWarning, match=r"no whole checkpoint: the run begins anew.*set-aside-1"):
        execute(molecule_input, folder, Settings(steps=8))


def test_weights_of_all_force_fields_belong_to_the_run(tmp_path):
    for name, model in (("a.pt", "water-small"), ("b.pt", "water-small-ensemble-2")):
        pet_driver.export(model, tmp_path / name)
    input_file = mended(tmp_path, INPUTS / "water-molecule-delta" / "ipi.xml")
    for grid, name in (("0", "a.pt"), ("2i", "b.pt")):
        template = "../water-molecule-nve/water.xyz"
        edited(
            input_file,
            (
                f"{{model: water-small, template: {template}, grid: {grid},",
                f"{{model: {tmp_path / name}, template: {template}, grid: {grid},",
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
        (("</system>", "</system><system></system>"), "follows input files of one <system>"),
        (("[ step, ", "[ "), "have no step, by which a run is followed"),
        (("grid: 0,", "gird: 2i,"), "unknown gird among the <parameters>; they are model,"),
    ],
)
def test_inputs_that_cannot_be_followed(molecule_input, tmp_path, change, message):
    edited(molecule_input, change)
    for clients in (0, 1):
        with pytest.raises(PetDriverError, match=message):
            execute(molecule_input, tmp_path / "run", Settings(steps=4, clients=clients))
    assert not (tmp_path / "run" / "screen.txt").exists()


def test_outputs_under_other_names(molecule_input, tmp_path):
    """No prefix, the step in another column, a second table, a torn row of which is cut."""
    edited(
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


def test_every_third_bead(tmp_path):
    old = '<trajectory filename="pos"'
    input_file = mended(tmp_path, PIMD, (old, f'{old} bead="-3"'))
    segment = read_segment(input_file, tmp_path, Settings())
    names = _ipi_files(segment.input_file, "positions", 8)
    assert [Path(name).stem[-2:] for name in names] == ["_0", "_3", "_6"]


def test_fewer_steps_than_are_done(molecule_input, tmp_path):
    """Whether it had come to its end or not, nothing of it is thrown away."""
    folder = tmp_path / "run"
    execute(molecule_input, folder, Settings(steps=80))
    assert execute(molecule_input, folder, Settings(steps=40)).steps == 80
    record = folder / "run.json"
    record.write_text(record.read_text().replace('"finished"', '"stopped"'))
    for keep in (True, False):
        if not keep:
            (folder / "RESTART").unlink()
        with pytest.raises(PetDriverError, match=r"at step \d+, beyond the 40 that are asked for"):
            execute(molecule_input, folder, Settings(steps=40))
    assert not list(folder.glob("set-aside-*"))
    assert steps_in(folder / "raw.out") == 21


def test_signals_to_all_processes_of_a_job(molecule_input, tmp_path):
    """As batch systems send them: i-PI gets one, and is asked by its supervisor besides."""
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


def test_random_rotations_that_are_only_watched_go_on(tmp_path, archive_f64):
    """A force of weight 0 is asked for when an output is written, and draws only then."""
    input_file = INPUTS / "water-molecule-delta" / "ipi.xml"
    options = {"model": str(archive_f64), "grid": "random@1"}
    whole = execute(input_file, tmp_path / "whole", Settings(steps=24, **options))
    for steps in (10, 24):
        broken = execute(input_file, tmp_path / "broken", Settings(steps=steps, **options))
    column = "pot_component_raw(1)"
    ours, theirs = (analysis.PropertyFile(run.path(run.properties)) for run in (broken, whole))
    np.testing.assert_array_equal(ours["step"], theirs["step"])
    np.testing.assert_allclose(ours[column], theirs[column], atol=1e-7)
    assert np.abs(theirs[column] - theirs["pot_component_raw(0)"]).max() > 1e-4
