"""`pet-driver run`: input files in real engines, killed, stopped, resumed."""

import json
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from pet_driver import analysis
from pet_driver.errors import PetDriverError
from pet_driver.runs import Settings, execute, find_runs, parse_duration, read_run
from pet_driver.runs.execute import locked, read_segment
from tests.runs.conftest import INPUTS, interrupt, positions, run, steps_in


def wait_until_free(folder: Path) -> None:
    """Until the engine of a killed run has gone: it gets its signal from the kernel."""
    end = time.monotonic() + 60
    while True:
        try:
            with locked(folder):
                return
        except PetDriverError:
            assert time.monotonic() < end
            time.sleep(0.1)


def test_molecule_goes_on_as_if_never_interrupted(molecule_input, archive_f64, tmp_path):
    """Once killed, once stopped, and with random rotations, which must be those of the step."""
    options = ("--steps", "2400", "--grid", "random@3", "--model", str(archive_f64))
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    done = run(molecule_input, whole, *options)
    assert done.returncode == 0, done.stderr
    for by, state in ((signal.SIGKILL, "running"), (signal.SIGTERM, "stopped")):
        rows = steps_in(broken / "raw.out")
        code = interrupt(
            molecule_input,
            broken,
            *options,
            when=lambda rows=rows: steps_in(broken / "raw.out") > rows + 20,
            by=by,
        )
        assert code == (75 if by is signal.SIGTERM else -signal.SIGKILL)
        assert read_run(broken / "run.json").state == state
        wait_until_free(broken)
    done = run(molecule_input, broken, *options)
    assert done.returncode == 0, done.stderr
    name = "raw.pos_0.extxyz"
    ours, theirs = positions(broken / name), positions(whole / name)
    assert len(theirs) == 601
    # Eight digits are in the file; the checkpoint has fifteen.
    np.testing.assert_allclose(ours, theirs, atol=2e-6)
    for column in ("conserved", "potential"):
        ours, theirs = (analysis.PropertyFile(f / "raw.out")[column] for f in (broken, whole))
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_liquid_goes_on_after_a_kill(liquid_input, tmp_path):
    options = ("--steps", "25", "--var", "ensemble=nve", "--var", "equilibrate=2")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert run(liquid_input, whole, *options).returncode == 0
    interrupt(
        liquid_input,
        broken,
        *options,
        when=lambda: (broken / "water_restart_1").is_file(),
        by=signal.SIGKILL,
    )
    wait_until_free(broken)
    done = run(liquid_input, broken, *options)
    assert done.returncode == 0, done.stderr
    name = "water.lammpstrj"
    ours, theirs = positions(broken / name), positions(whole / name)
    assert len(ours) == len(theirs) == 6
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    ours, theirs = (analysis.LAMMPSLog(folder / "log.lammps") for folder in (broken, whole))
    np.testing.assert_array_equal(ours["step"][-6:], np.arange(0, 26, 5))
    np.testing.assert_allclose(ours["TotEng"][-6:], theirs["TotEng"][-6:], atol=2e-3)


def test_time_limit(liquid_input, tmp_path):
    folder = tmp_path / "run"
    options = ("--steps", "4000", "--var", "equilibrate=5")
    done = run(liquid_input, folder, *options, "--time-limit", "8")
    assert done.returncode == 75, done.stderr
    stopped = read_run(folder / "run.json")
    assert stopped.state == "stopped" and 0 < stopped.steps < 4000
    settings = Settings(steps=stopped.steps + 10, variables={"equilibrate": "5"})
    finished = execute(liquid_input, folder, settings)
    assert finished.state == "finished" and finished.steps == stopped.steps + 10
    assert finished.wall_time > stopped.wall_time
    assert len(positions(folder / "water.lammpstrj")) == finished.steps // 5 + 1


def test_what_a_input_wrote_beside_itself_stays(liquid_input, tmp_path):
    """The same input file, run by hand before, has left files of the names that it writes."""
    old = [liquid_input.parent / name for name in ("water.lammpstrj", "water.final.data")]
    for path in old:
        path.write_text("mine\n")
    run = execute(
        liquid_input, tmp_path / "run", Settings(steps=10, variables={"equilibrate": "5"})
    )
    assert run.path(run.positions[0]).parent == tmp_path / "run"
    assert len(positions(run.path(run.positions[0]))) == 3
    assert [path.read_text() for path in old] == ["mine\n", "mine\n"]


def test_files_that_are_not_of_the_run_stay(molecule_input, tmp_path):
    folder = tmp_path / "run"
    execute(molecule_input, folder, Settings(steps=4))
    for name in ("raw.notes", "raw.png"):
        (folder / name).write_bytes(b"one\nno newline at the end")
    execute(molecule_input, folder, Settings(steps=8))
    for name in ("raw.notes", "raw.png"):
        assert (folder / name).read_bytes().endswith(b"at the end")


def test_binary_trajectories_are_cut_at_frames(molecule_input, tmp_path):
    text = molecule_input.read_text().replace(
        'format="ase"> positions{ase}', 'format="bin"> positions'
    )
    molecule_input.write_text(text)
    whole = execute(molecule_input, tmp_path / "whole", Settings(steps=16))
    broken = execute(molecule_input, tmp_path / "broken", Settings(steps=8))
    path = broken.path(broken.positions[0])
    assert path.suffix == ".bin"
    path.write_bytes(path.read_bytes() + path.read_bytes()[:150])
    execute(molecule_input, tmp_path / "broken", Settings(steps=16))
    expected = positions(whole.path(whole.positions[0]))
    np.testing.assert_allclose(positions(path), expected, atol=1e-5)  # they are float32


@pytest.mark.parametrize(
    ("engine", "variables"), [("molecule_input", {}), ("liquid_input", {"equilibrate": "1"})]
)
def test_an_ensemble_beside_the_input(engine, variables, request, archive_f32, archive_f64):
    input_file = request.getfixturevalue(engine)
    for name, archive in (("a.pt", archive_f32), ("b.pt", archive_f64)):
        (input_file.parent / name).write_bytes(archive.read_bytes())
    input_file.write_text(input_file.read_text().replace("water-small", "a.pt+b.pt"))
    settings = Settings(steps=4, variables=variables)
    assert execute(input_file, input_file.parent / "run", settings).state == "finished"


def test_record(molecule_input, tmp_path):
    found = execute(molecule_input, tmp_path / "run", Settings(steps=20, seed=7))
    assert (found.system, found.motion, found.grid, found.n_atoms) == ("molecule", "nve", "0", 3)
    assert (found.timestep, found.steps, found.n_beads) == (0.5, 20, 1)
    files = [*found.positions, *found.velocities, *found.forces, *found.rotations]
    assert len(files) == 4
    for name in (*files, found.properties):
        assert found.path(name).is_file()
    assert found.provenance["settings"] == "seed=7"
    assert find_runs([tmp_path]) == [found]
    before = json.loads((tmp_path / "run" / "run.json").read_text())
    again = execute(molecule_input, tmp_path / "run", Settings(steps=20, seed=7))
    assert again.wall_time == before["wall_time"], "a finished run is left as it is"


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
def test_inputs_are_understood(tmp_path, input_file, grid, motion, n_beads, timestep):
    found = read_segment(INPUTS / input_file, tmp_path, Settings()).describe()
    assert (found.grid, found.motion, found.n_beads) == (grid, motion, n_beads)
    assert found.timestep == pytest.approx(timestep, rel=1e-6)


def test_files_beside_a_input_are_found_from_elsewhere(tmp_path):
    folder = INPUTS / "water-liquid-pimd"
    segment = read_segment(folder / "ipi-piglet.xml", tmp_path, Settings())
    names = [element.text.strip() for element in segment.input_file.root.iter() if element.text]
    assert str(folder / "piglet-8.a") in names and str(folder / "piglet-8.c") in names


def test_centroids_stand_for_beads(tmp_path):
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
def test_settings_that_mean_nothing(molecule_input, tmp_path, settings, message):
    with pytest.raises(PetDriverError, match=message):
        execute(molecule_input, tmp_path / "run", settings)
    assert not (tmp_path / "run" / "screen.txt").exists()


def test_variables_that_a_input_does_not_have(liquid_input, tmp_path):
    with pytest.raises(PetDriverError, match=r"no variable pressure .* it has model, device"):
        execute(liquid_input, tmp_path / "run", Settings(variables={"pressure": "5"}))
    with pytest.raises(PetDriverError, match="clients are for i-PI"):
        execute(liquid_input, tmp_path / "run", Settings(clients=2))


def test_folders_of_something_else(molecule_input, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(PetDriverError, match="holds files that are no run's"):
        execute(molecule_input, folder, Settings(steps=4))
    assert (folder / "thesis.tex").is_file()
    (folder / "thesis.tex").unlink()
    execute(molecule_input, folder, Settings(steps=4))
    with pytest.raises(PetDriverError, match=r"holds another run \(settings: '', now 'grid=i'\)"):
        execute(molecule_input, folder, Settings(steps=4, grid="i"))


def test_a_run_without_a_checkpoint_begins_again_and_loses_nothing(molecule_input, tmp_path):
    folder = tmp_path / "run"
    found = execute(molecule_input, folder, Settings(steps=4))
    for path in [folder / "RESTART", *folder.glob("raw.chk*")]:
        path.unlink()
    (folder / "notes.txt").write_text("looks good")
    before = (folder / found.positions[0]).read_text()
    assert execute(molecule_input, folder, Settings(steps=8)).steps == 8
    assert (folder / "set-aside-1" / "notes.txt").read_text() == "looks good"
    assert (folder / "set-aside-1" / found.positions[0]).read_text() == before


def killed_at_the_end(folder: Path) -> None:
    """What is in a folder whose supervisor was killed before it saw the engine's end."""
    record = folder / "run.json"
    record.write_text(record.read_text().replace('"finished"', '"running"'))
    assert read_run(record).state == "running"


def test_an_engine_that_came_to_its_end_alone(molecule_input, tmp_path):
    folder = tmp_path / "run"
    execute(molecule_input, folder, Settings(steps=40))
    killed_at_the_end(folder)
    before = (folder / "raw.pos_0.extxyz").read_bytes()
    again = execute(molecule_input, folder, Settings(steps=40))
    assert again.state == "finished" and again.steps == 40
    assert (folder / "raw.pos_0.extxyz").read_bytes() == before
    assert not list(folder.glob("set-aside-*"))
    # It is still there to be resumed.
    assert execute(molecule_input, folder, Settings(steps=80)).steps == 80


def test_a_checkpoint_of_the_last_step_is_not_the_end(molecule_input, tmp_path):
    """Without a RESTART the engine was killed before it wrote all."""
    folder = tmp_path / "run"
    execute(molecule_input, folder, Settings(steps=40))
    before = positions(folder / "raw.pos_0.extxyz")
    killed_at_the_end(folder)
    (folder / "RESTART").unlink()
    assert execute(molecule_input, folder, Settings(steps=40)).state == "finished"
    np.testing.assert_allclose(positions(folder / "raw.pos_0.extxyz"), before, atol=2e-6)


def test_as_many_steps_as_i_pi_does_by_default(molecule_input, tmp_path):
    """i-PI's checkpoints leave out what has its default value: of 1000 steps, the number."""
    folder = tmp_path / "run"
    execute(molecule_input, folder, Settings(steps=1000))
    assert "total_steps" not in (folder / "RESTART").read_text()
    assert execute(molecule_input, folder, Settings(steps=1010)).steps == 1010


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("{model: water-small", "{model: water-smoll", "water-smoll"),
        ("<total_steps> 20000 <", "<total_steps> 2e4 <", "is '2e4'; write a whole number"),
        (", template: water.xyz", "", "no template among the <parameters>"),
    ],
)
def test_a_mended_input_runs_in_the_same_folder(molecule_input, tmp_path, right, wrong, message):
    text = molecule_input.read_text()
    assert right in text
    molecule_input.write_text(text.replace(right, wrong))
    with pytest.raises(PetDriverError, match=message):
        execute(molecule_input, tmp_path / "run", Settings(steps=None if "20" in right else 4))
    molecule_input.write_text(text)
    assert execute(molecule_input, tmp_path / "run", Settings(steps=4)).state == "finished"


def test_no_compiler_leaves_the_folder_as_it_was(liquid_input, tmp_path, monkeypatch):
    monkeypatch.setenv("PET_DRIVER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", "no-compiler")
    for _ in range(2):
        with pytest.raises(PetDriverError, match="no C\\+\\+ compiler found"):
            execute(liquid_input, tmp_path / "run")
    assert not (tmp_path / "run" / "in.water").exists()


def test_variables_that_are_files_are_found_from_the_folder_of_the_run(liquid_input, tmp_path):
    segment = read_segment(
        liquid_input, tmp_path / "run", Settings(variables={"data": "water.data"})
    )
    assert segment.values["data"] == str(liquid_input.with_name("water.data"))


def test_files_that_are_no_inputs(tmp_path):
    with pytest.raises(PetDriverError, match="there is no input file at"):
        execute(tmp_path / "in.water", tmp_path / "run", Settings())
    wrong = tmp_path / "input file"
    wrong.write_text("<simulation><output>")
    with pytest.raises(PetDriverError, match="not a well-formed input of i-PI"):
        execute(wrong, tmp_path / "run")
    wrong.write_text("pair_style lj/cut 2.5\n")
    with pytest.raises(PetDriverError, match="neither of i-PI nor of LAMMPS with pair_style pet"):
        execute(wrong, tmp_path / "run")
    socket = INPUTS / "water-liquid-pimd" / "ipi-socket.xml"
    with pytest.raises(PetDriverError, match="give one with <ffdirect> and ask for --clients"):
        execute(socket, tmp_path / "run")


def test_an_engine_that_fails(molecule_input, tmp_path):
    text = molecule_input.read_text()
    molecule_input.write_text(text.replace("template: water.xyz", "template: air.xyz"))
    with pytest.raises(PetDriverError, match=r"(?s)failed at step 0 .*air\.xyz"):
        execute(molecule_input, tmp_path / "run", Settings(steps=4))
    assert read_run(tmp_path / "run" / "run.json").state == "stopped"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("30:00", 1800), ("23:30:00", 84600), ("1-12:00:00", 129600), ("2-06:00", 194400)],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "1:2", "1-5", "-3"])
def test_what_is_no_duration(text):
    with pytest.raises(PetDriverError, match="is not a duration"):
        parse_duration(text)
