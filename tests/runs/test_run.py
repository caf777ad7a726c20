"""`pet-driver run` in real engines: killed, stopped and resumed runs, invalid input."""

import signal
import time
from pathlib import Path

import numpy as np
import pytest

from pet_driver import analysis
from pet_driver.errors import PetDriverError
from pet_driver.runs import Settings, execute, find_runs, parse_duration, read_run
from pet_driver.runs.execute import locked, read_segment
from tests.runs.conftest import INPUTS, edit, interrupt, positions, run, steps_in


def wait_until_free(folder: Path) -> None:
    """Wait until the engine of a killed run has ended: the kernel sends it a signal."""
    end = time.monotonic() + 60
    while True:
        try:
            with locked(folder):
                return
        except PetDriverError:
            assert time.monotonic() < end
            time.sleep(0.1)


def test_interrupted_run_equals_uninterrupted_run(molecule_input, archive_f64, tmp_path):
    """Killed once and stopped once, with random rotations, which must be those of the step."""
    options = ("--steps", "800", "--grid", "random@3", "--model", str(archive_f64))
    full, resumed = tmp_path / "full", tmp_path / "resumed"
    done = run(molecule_input, full, *options)
    assert done.returncode == 0, done.stderr
    for by, state in ((signal.SIGKILL, "running"), (signal.SIGTERM, "stopped")):
        rows = steps_in(resumed / "raw.out")
        code = interrupt(
            molecule_input,
            resumed,
            *options,
            when=lambda rows=rows: steps_in(resumed / "raw.out") > rows + 10,
            by=by,
        )
        assert code == (75 if by is signal.SIGTERM else -signal.SIGKILL)
        assert read_run(resumed / "run.json").state == state
        wait_until_free(resumed)
    done = run(molecule_input, resumed, *options)
    assert done.returncode == 0, done.stderr
    name = "raw.pos_0.extxyz"
    ours, theirs = positions(resumed / name), positions(full / name)
    assert len(theirs) == 201
    # The file has eight digits, the checkpoint fifteen.
    np.testing.assert_allclose(ours, theirs, atol=2e-6)
    for column in ("conserved", "potential"):
        ours, theirs = (analysis.PropertyFile(f / "raw.out")[column] for f in (resumed, full))
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_killed_lammps_run_equals_uninterrupted_run(liquid_input, tmp_path):
    options = ("--steps", "25", "--var", "ensemble=nve", "--var", "equilibrate=2")
    full, resumed = tmp_path / "full", tmp_path / "resumed"
    assert run(liquid_input, full, *options).returncode == 0
    interrupt(
        liquid_input,
        resumed,
        *options,
        when=lambda: (resumed / "water_restart_1").is_file(),
        by=signal.SIGKILL,
    )
    wait_until_free(resumed)
    done = run(liquid_input, resumed, *options)
    assert done.returncode == 0, done.stderr
    name = "water.lammpstrj"
    ours, theirs = positions(resumed / name), positions(full / name)
    assert len(ours) == len(theirs) == 6
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    ours, theirs = (analysis.LAMMPSLog(folder / "log.lammps") for folder in (resumed, full))
    np.testing.assert_array_equal(ours["step"][-6:], np.arange(0, 26, 5))
    np.testing.assert_allclose(ours["TotEng"][-6:], theirs["TotEng"][-6:], atol=2e-3)


def test_lammps_run_stopped_by_time_limit_resumes(liquid_input, tmp_path):
    folder = tmp_path / "run"
    options = ("--steps", "4000", "--var", "equilibrate=5")
    done = run(liquid_input, folder, *options, "--time-limit", "4")
    assert done.returncode == 75, done.stderr
    stopped = read_run(folder / "run.json")
    assert stopped.state == "stopped" and 0 < stopped.steps < 4000
    settings = Settings(steps=stopped.steps + 10, variables={"equilibrate": "5"})
    finished = execute(liquid_input, folder, settings)
    assert finished.state == "finished" and finished.steps == stopped.steps + 10
    assert finished.wall_time > stopped.wall_time
    assert len(positions(folder / "water.lammpstrj")) == finished.steps // 5 + 1


@pytest.mark.parametrize(
    ("input_file", "grid", "motion", "n_beads", "timestep"),
    [
        ("water-molecule-delta/ipi.xml", "0", "nve", 1, 0.5),
        ("water-molecule-nvt/ipi.xml", "2i", "nvt", 1, 5.0),
        ("water-liquid-mts/ipi.xml", "2i", "nvt", 1, 5.0),
        ("water-liquid-pimd/ipi-corrected.xml", "2i", "nvt", 8, 2.0),
        ("water-liquid-pimd/ipi-piglet.xml", "0", "nvt", 8, 0.5),
        ("water-liquid-npt/ipi.xml", "0", "npt", 1, 0.5),
        ("ice-relaxation/ipi-2i.xml", "2i", "relaxation", 1, 0.0),
        ("grid-scan/ipi.xml", "0", "replay", 1, 0.0),
        ("water-liquid-nvt/in.water", "0", "nvt", 1, 0.5),
        ("water-liquid-npt/in.water", "0", "npt", 1, 0.5),
        ("ice-relaxation/in.ice", "0", "relaxation", 1, 0.0),
    ],
)
def test_record_is_predicted_from_input_file(tmp_path, input_file, grid, motion, n_beads, timestep):
    found = read_segment(INPUTS / input_file, tmp_path, Settings()).describe()
    assert (found.grid, found.motion, found.n_beads) == (grid, motion, n_beads)
    assert found.timestep == pytest.approx(timestep, rel=1e-6)


def test_paths_relative_to_the_input_file_are_made_absolute(tmp_path):
    folder = INPUTS / "water-liquid-pimd"
    segment = read_segment(folder / "ipi-piglet.xml", tmp_path, Settings())
    names = [
        element.text.strip() for element in segment.simulation_input.root.iter() if element.text
    ]
    assert str(folder / "piglet-8.a") in names and str(folder / "piglet-8.c") in names


def test_positions_are_those_of_the_centroid_without_bead_files(tmp_path):
    input_file = INPUTS / "water-liquid-trpmd" / "ipi.xml"
    found = read_segment(input_file, tmp_path, Settings()).describe()
    assert found.positions == ["trpmd.centroid.extxyz"] and found.n_beads == 8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(steps=0), "steps 0: must be at least 1"),
        (Settings(grid="7z"), "7z"),
        (Settings(model="nothing.pt"), "nothing.pt is neither a file nor a shipped model"),
        (Settings(variables={"temperature": "5"}), "variables and ranks are for LAMMPS"),
        (Settings(ranks=2), "variables and ranks are for LAMMPS"),
    ],
)
def test_invalid_settings_are_errors(molecule_input, tmp_path, settings, message):
    with pytest.raises(PetDriverError, match=message):
        execute(molecule_input, tmp_path / "run", settings)
    assert not (tmp_path / "run" / "screen.txt").exists()


def test_settings_that_a_lammps_input_does_not_support_are_errors(liquid_input, tmp_path):
    with pytest.raises(PetDriverError, match=r"no variable pressure .* it has model, device"):
        execute(liquid_input, tmp_path / "run", Settings(variables={"pressure": "5"}))
    with pytest.raises(PetDriverError, match="clients are for i-PI"):
        execute(liquid_input, tmp_path / "run", Settings(clients=2))


def test_folder_with_other_files_or_another_run_is_an_error(molecule_input, finished, tmp_path):
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(PetDriverError, match=r"holds files but no run.json"):
        execute(molecule_input, folder, Settings(steps=4))
    assert (folder / "thesis.tex").is_file()
    with pytest.raises(PetDriverError, match=r"holds another run \(settings: '', now 'grid=i'\)"):
        execute(molecule_input, finished, Settings(steps=40, grid="i"))


def mark_as_running(folder: Path) -> None:
    """Change a record to that of a run whose supervisor was killed before the engine ended."""
    record = folder / "run.json"
    record.write_text(record.read_text().replace('"finished"', '"running"'))
    assert read_run(record).state == "running"


def test_run_that_ended_after_its_supervisor_was_killed_is_finished(molecule_input, finished):
    mark_as_running(finished)
    before = (finished / "raw.pos_0.extxyz").read_bytes()
    again = execute(molecule_input, finished, Settings(steps=40))
    assert again.state == "finished" and again.steps == 40
    assert (finished / "raw.pos_0.extxyz").read_bytes() == before
    assert not list(finished.glob("set-aside-*"))


def test_checkpoint_of_the_last_step_without_restart_is_not_the_end(molecule_input, finished):
    """The engine was killed before it had written all files."""
    before = positions(finished / "raw.pos_0.extxyz")
    mark_as_running(finished)
    (finished / "RESTART").unlink()
    assert execute(molecule_input, finished, Settings(steps=40)).state == "finished"
    np.testing.assert_allclose(positions(finished / "raw.pos_0.extxyz"), before, atol=2e-6)


def test_run_with_the_default_number_of_steps_of_ipi_resumes(molecule_input, tmp_path):
    """Checkpoints of i-PI leave out default values, here the number of steps, 1000."""
    folder = tmp_path / "run"
    execute(molecule_input, folder, Settings(steps=1000))
    assert "total_steps" not in (folder / "RESTART").read_text()
    assert execute(molecule_input, folder, Settings(steps=1010)).steps == 1010


def test_missing_compiler_leaves_the_folder_unchanged(liquid_input, tmp_path, monkeypatch):
    monkeypatch.setenv("PET_DRIVER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", "no-compiler")
    for _ in range(2):
        with pytest.raises(PetDriverError, match="no C\\+\\+ compiler found"):
            execute(liquid_input, tmp_path / "run")
    assert not (tmp_path / "run" / "in.water").exists()


def test_paths_in_lammps_variables_are_made_absolute(liquid_input, tmp_path):
    segment = read_segment(
        liquid_input, tmp_path / "run", Settings(variables={"data": "water.data"})
    )
    assert segment.values["data"] == str(liquid_input.with_name("water.data"))


def test_files_that_are_not_input_files_are_errors(tmp_path):
    with pytest.raises(PetDriverError, match="there is no input file at"):
        execute(tmp_path / "in.water", tmp_path / "run", Settings())
    wrong = tmp_path / "input"
    wrong.write_text("<simulation><output>")
    with pytest.raises(PetDriverError, match="not a well-formed input of i-PI"):
        execute(wrong, tmp_path / "run")
    wrong.write_text("pair_style lj/cut 2.5\n")
    with pytest.raises(PetDriverError, match="neither of i-PI nor of LAMMPS with pair_style pet"):
        execute(wrong, tmp_path / "run")
    socket = INPUTS / "water-liquid-pimd" / "ipi-socket.xml"
    with pytest.raises(PetDriverError, match="give one with <ffdirect> and use --clients"):
        execute(socket, tmp_path / "run")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("30:00", 1800), ("23:30:00", 84600), ("1-12:00:00", 129600), ("2-06:00", 194400)],
)
def test_durations_are_parsed(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "1:2", "1-5", "-3"])
def test_invalid_durations_are_errors(text):
    with pytest.raises(PetDriverError, match="is not a duration"):
        parse_duration(text)


def test_record(molecule_run, molecule_input):
    run = molecule_run
    assert (run.system, run.motion, run.grid, run.n_atoms) == ("molecule", "nve", "0", 3)
    assert (run.timestep, run.steps, run.n_beads) == (0.5, 40, 1)
    files = [*run.positions, *run.velocities, *run.forces, *run.rotations]
    assert len(files) == 4
    for name in (*files, run.properties):
        assert run.path(name).is_file()
    assert find_runs([run.folder]) == [run]
    again = execute(molecule_input, run.folder, Settings(steps=40))
    assert again == run, "a finished run is left unchanged"
    seeded = read_segment(molecule_input, run.folder, Settings(seed=7)).describe()
    assert seeded.provenance["settings"] == "seed=7"


def test_model_and_old_outputs_next_to_a_lammps_input(
    liquid_input, tmp_path, archive_f32, archive_f64
):
    """The input file names an ensemble next to it; files with the names of outputs are kept."""
    here = liquid_input.parent
    for name, archive in (("a.pt", archive_f32), ("b.pt", archive_f64)):
        (here / name).write_bytes(archive.read_bytes())
    edit(liquid_input, ("water-small", "a.pt+b.pt"))
    old = [here / name for name in ("water.lammpstrj", "water.final.data")]
    for path in old:
        path.write_text("mine\n")
    run = execute(
        liquid_input, tmp_path / "run", Settings(steps=10, variables={"equilibrate": "1"})
    )
    assert run.path(run.positions[0]).parent == tmp_path / "run"
    assert len(positions(run.path(run.positions[0]))) == 3
    assert [path.read_text() for path in old] == ["mine\n", "mine\n"]


def test_ensemble_next_to_an_ipi_input(molecule_input, archive_f32, archive_f64):
    here = molecule_input.parent
    for name, archive in (("a.pt", archive_f32), ("b.pt", archive_f64)):
        (here / name).write_bytes(archive.read_bytes())
    edit(molecule_input, ("water-small", "a.pt+b.pt"))
    assert execute(molecule_input, here / "run", Settings(steps=4)).state == "finished"


def test_resuming_keeps_files_that_do_not_belong_to_the_run(molecule_input, finished):
    for name in ("raw.notes", "raw.png"):
        (finished / name).write_bytes(b"one\nno newline at the end")
    assert execute(molecule_input, finished, Settings(steps=44)).steps == 44
    for name in ("raw.notes", "raw.png"):
        assert (finished / name).read_bytes().endswith(b"at the end")


def test_binary_trajectory_with_incomplete_frame_is_cut(molecule_input, molecule_run, tmp_path):
    edit(molecule_input, ('format="ase"> positions{ase}', 'format="bin"> positions'))
    run = execute(molecule_input, tmp_path / "run", Settings(steps=8))
    path = run.path(run.positions[0])
    assert path.suffix == ".bin"
    path.write_bytes(path.read_bytes() + path.read_bytes()[:150])
    execute(molecule_input, tmp_path / "run", Settings(steps=16))
    expected = positions(molecule_run.path(molecule_run.positions[0]))[:5]
    np.testing.assert_allclose(positions(path), expected, atol=1e-5)  # float32 in the file


def test_run_without_complete_checkpoint_starts_again_with_a_warning(molecule_input, finished):
    """Nothing of the earlier steps is deleted."""
    (finished / "RESTART").unlink()
    for path in finished.glob("raw.chk*"):
        path.write_text("")
    (finished / "notes.txt").write_text("looks good")
    before = (finished / "raw.pos_0.extxyz").read_text()
    with pytest.warns(UserWarning, match=r"no complete checkpoint: the run starts again.*aside-1"):
        assert execute(molecule_input, finished, Settings(steps=44)).steps == 44
    assert (finished / "set-aside-1" / "notes.txt").read_text() == "looks good"
    assert (finished / "set-aside-1" / "raw.pos_0.extxyz").read_text() == before


def test_corrected_input_runs_in_the_folder_of_the_failed_run(molecule_input, tmp_path):
    text = molecule_input.read_text()
    for right, wrong, message in (
        ("{model: water-small", "{model: water-smoll", "water-smoll"),
        ("<total_steps> 20000 <", "<total_steps> 2e4 <", "is '2e4'; write a whole number"),
        (", template: water.xyz", "", "no template among the <parameters>"),
    ):
        edit(molecule_input, (right, wrong))
        settings = Settings(steps=None if "20" in right else 4)
        with pytest.raises(PetDriverError, match=message):
            execute(molecule_input, tmp_path / "run", settings)
        molecule_input.write_text(text)
    assert execute(molecule_input, tmp_path / "run", Settings(steps=4)).state == "finished"


def test_progress_does_not_count_the_equilibration(liquid_input: Path, tmp_path: Path) -> None:
    shown = []
    settings = Settings(steps=2, variables={"equilibrate": "25"})
    execute(liquid_input, tmp_path / "run", settings, lambda *step: shown.append(step))
    assert shown[-1] == (2, 2) and max(step for step, _ in shown) == 2
