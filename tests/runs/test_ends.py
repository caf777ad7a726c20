"""How runs end, and unusual input files, structures, paths and folders."""

import errno
import fcntl
import shutil
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import molecule

import pet_driver
from pet_driver import analysis
from pet_driver.errors import PetDriverError
from pet_driver.model.archive import Archive, save
from pet_driver.runs import Settings, execute, lammps_input, read_run
from pet_driver.runs.execute import is_done, locked, read_segment
from pet_driver.runs.ipi_resume import RESUMED
from pet_driver.runs.segment_files import set_aside
from tests.runs.conftest import INPUTS, positions


def copied(name: str, folder: Path) -> Path:
    """Copy an input file with all files of its folder."""
    source = INPUTS / name
    shutil.copytree(source.parent, folder, ignore=shutil.ignore_patterns("*.md", "*.py"))
    return folder / source.name


def test_stopped_relaxation_resumes(tmp_path):
    """i-PI ends with exit code 0 both at its <total_time> and at a minimum."""
    input_file = copied("ice-relaxation/ipi-raw.xml", tmp_path / "input")
    text = input_file.read_text()
    input_file.write_text(
        text.replace("<total_steps>", "<total_time> 4 </total_time>\n  <total_steps>")
    )
    stopped = execute(input_file, tmp_path / "run", Settings())
    assert stopped.state == "stopped" and stopped.steps > 0
    again = execute(input_file, tmp_path / "run", Settings())
    assert again.steps > stopped.steps and not list((tmp_path / "run").glob("set-aside-*"))
    frames = positions(again.path(again.positions[0]))
    assert len(frames) >= again.steps, "every step has a frame"


def test_stopped_lammps_relaxation_resumes(tmp_path):
    input_file = copied("ice-relaxation/in.ice", tmp_path / "input")
    input_file.write_text(input_file.read_text().replace("restart       20 ", "restart       2 "))
    settings = Settings(time_limit=2)
    stopped = execute(input_file, tmp_path / "run", settings)
    assert stopped.state == "stopped" and stopped.steps > 0
    again = execute(input_file, tmp_path / "run", settings)
    assert again.steps > stopped.steps and not list((tmp_path / "run").glob("set-aside-*"))


def test_relaxation_that_used_all_steps_resumes_with_more(tmp_path):
    input_file = INPUTS / "ice-relaxation" / "ipi-raw.xml"
    short = execute(input_file, tmp_path / "run", Settings(steps=2))
    assert (short.state, short.steps, short.ran_out) == ("finished", 2, True)
    assert execute(input_file, tmp_path / "run", Settings(steps=2)) == short
    longer = execute(input_file, tmp_path / "run", Settings(steps=4))
    assert (longer.steps, longer.asked) == (4, 4)
    converged = replace(longer, asked=100)
    assert not converged.ran_out and is_done(converged, 500)


def test_structure_of_several_frames_that_are_not_beads_is_an_error(tmp_path):
    """i-PI would start from the mean of a trajectory."""
    input_file = INPUTS / "water-molecule-nve" / "ipi-raw.xml"
    frames = tmp_path / "frames.xyz"
    ase.io.write(frames, [molecule("H2O", vacuum=5.0)] * 3)
    with pytest.raises(PetDriverError, match="has 3 frames; i-PI would take them for beads"):
        execute(input_file, tmp_path / "run", Settings(structure=frames))
    assert not (tmp_path / "run" / "run.json").exists()


def test_replay_of_other_frames(tmp_path):
    input_file = INPUTS / "grid-scan" / "ipi.xml"
    frames = ase.io.read(INPUTS / "grid-scan" / "frames.xyz", ":")
    for frame in frames:
        frame.positions *= 1.01
        frame.cell *= 1.01
    ase.io.write(tmp_path / "other.xyz", frames)
    run = execute(input_file, tmp_path / "run", Settings(structure=tmp_path / "other.xyz", steps=3))
    found = analysis.PropertyFile(run.path(run.properties))["pot_component_raw(0)"]
    expected = pet_driver.load("water-small").evaluate(frames[:2])
    # i-PI's step 0 is the mean of all frames; see the README of the example.
    assert found[1] == pytest.approx(expected[0].energy, abs=1e-3)
    assert found[2] == pytest.approx(expected[1].energy, abs=1e-3)


def test_run_starts_from_checkpoint_of_another_run(molecule_input, molecule_run, tmp_path):
    """It starts with the last positions and velocities of the other run."""
    before, rest = molecule_input.read_text().split('<initialize nbeads="1">')
    file = f'<file mode="chk"> {molecule_run.path("RESTART")} </file>'
    molecule_input.write_text(
        f'{before}<initialize nbeads="1">{file}{rest[rest.index("</initialize>") :]}'
    )
    run = execute(molecule_input, tmp_path / "second", Settings(steps=4))
    assert run.steps == 4 and run.n_atoms == 3
    for name, array in ((run.positions[0], "positions"), (run.velocities[0], "velocities")):
        last, first = ase.io.read(molecule_run.path(name), -1), ase.io.read(run.path(name), 0)
        assert np.abs(last.arrays[array]).max() > 1e-3
        assert np.allclose(first.arrays[array], last.arrays[array], atol=1e-6)


def test_unknown_value_of_a_variable_is_reported_from_the_screen(liquid_input, tmp_path):
    with pytest.raises(PetDriverError, match="variable ensemble is nvt or nve, not NVT"):
        execute(liquid_input, tmp_path / "run", Settings(variables={"ensemble": "NVT"}, steps=10))


def test_fix_halt_stops_but_does_not_finish_a_run(liquid_input, tmp_path):
    text = liquid_input.read_text()
    halt = "variable now equal step\nfix stop all halt 5 v_now >= 10 error soft\nrun           ${st"
    liquid_input.write_text(text.replace("run           ${st", halt))
    settings = Settings(steps=40, variables={"equilibrate": "1"})
    found = execute(liquid_input, tmp_path / "run", settings)
    assert (found.state, found.steps) == ("stopped", 10)


def test_random_default_grid_of_model_continues_on_resuming(molecule_input, tmp_path):
    """The input file names no grid: the model has a random one, whose counter follows the step."""
    archive = tmp_path / "random.pt"
    save(Archive.load("water-small").source(), archive, grid="random@3")
    assert "grid: 0, " in molecule_input.read_text()
    molecule_input.write_text(molecule_input.read_text().replace("grid: 0, ", ""))
    settings = {"model": str(archive)}
    execute(molecule_input, tmp_path / "run", Settings(steps=20, **settings))
    execute(molecule_input, tmp_path / "run", Settings(steps=24, **settings))
    resumed = ElementTree.parse(tmp_path / "run" / RESUMED).getroot()
    assert "counter: 20" in resumed.findtext("ffdirect/parameters")


def test_file_system_without_locks_gives_a_warning(tmp_path, monkeypatch, capsys):
    def refuse(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path):
        assert f"{tmp_path} cannot be locked (No locks available)" in capsys.readouterr().err


def test_paths_with_spaces_in_lammps(liquid_input, tmp_path, archive_f32):
    """The model, the structure next to the input file, or one named in the settings."""
    models = tmp_path / "my models"
    models.mkdir()
    for name in ("a.pt", "b c.pt"):
        shutil.copy(archive_f32, models / name)
    input_file = (
        shutil.copytree(liquid_input.parent, tmp_path / "my input files") / liquid_input.name
    )
    variables = {"equilibrate": "1"}
    settings = Settings(steps=4, model=str(models / "b c.pt"), variables=variables)
    found = execute(input_file, tmp_path / "my runs", settings)
    assert found.state == "finished"
    assert (tmp_path / "my runs" / "b_c.pt").resolve() == models / "b c.pt"
    assert (tmp_path / "my runs" / "water.data").resolve() == input_file.with_name("water.data")
    structure = input_file.with_name("water.data")
    other = Settings(steps=4, structure=structure, variables=variables)
    assert execute(liquid_input, tmp_path / "other", other).state == "finished"
    both = Settings(steps=4, model=f"{models / 'a.pt'}+{models / 'b c.pt'}")
    with pytest.raises(PetDriverError, match=r"b c.pt' has a space in it.*without one"):
        execute(liquid_input, tmp_path / "third", both)


@pytest.mark.parametrize("name", ["water-small+mine.pt", "my+model.pt", "a+b.pt+mine.pt"])
@pytest.mark.parametrize("by_variable", [True, False])
def test_file_names_with_plus_signs(liquid_input, tmp_path, archive_f32, name, by_variable):
    for one in ("mine.pt", "my+model.pt", "a+b.pt"):
        shutil.copy(archive_f32, liquid_input.parent / one)
    text = liquid_input.read_text()
    before, old = ("index ", "water-small ") if by_variable else ("pet ", "${model} ")
    assert before + old in text
    liquid_input.write_text(text.replace(before + old, f"{before}{name} "))
    simulation_input = lammps_input.read_input(liquid_input)
    changed = lammps_input.with_absolute_paths(simulation_input, tmp_path)
    (tmp_path / "in.changed").write_text(changed)
    written = lammps_input.read_input(tmp_path / "in.changed").model
    here = liquid_input.parent
    expected = {
        "water-small+mine.pt": f"water-small+{here}/mine.pt",
        "my+model.pt": f"{here}/my+model.pt",
        "a+b.pt+mine.pt": f"{here}/a+b.pt+{here}/mine.pt",
    }
    assert written == expected[name] == lammps_input.model_path(simulation_input, Settings())


def test_unknown_force_field_is_an_error(molecule_input, tmp_path):
    text = molecule_input.read_text()
    assert 'forcefield="' in text
    head, _, rest = text.partition('forcefield="')
    molecule_input.write_text(f'{head}forcefield="mistyped"{rest.partition(chr(34))[2]}')
    with pytest.raises(PetDriverError, match=r"forces name mistyped; the force fields are \w+"):
        execute(molecule_input, tmp_path / "run", Settings(steps=4))


def test_files_are_set_aside_under_the_next_number(tmp_path):
    for name in ("set-aside-2", "set-aside-10"):
        (tmp_path / name).mkdir()
    (tmp_path / "mine.txt").write_text("mine")
    set_aside(tmp_path)
    assert (tmp_path / "set-aside-11" / "mine.txt").read_text() == "mine"


def test_temperature_and_units_are_read_from_input_files(tmp_path):
    for input_file, temperature, units in (
        ("water-liquid-pimd/ipi-piglet.xml", 300.0, ""),
        ("water-molecule-nve/ipi-raw.xml", None, ""),
        ("water-liquid-nvt/in.water", 300.0, "metal"),
        ("water-liquid-npt/in.water", 300.0, "metal"),
    ):
        found = read_segment(INPUTS / input_file, tmp_path, Settings()).describe()
        assert (found.temperature, found.units) == (temperature, units), input_file
    hot = Settings(variables={"temperature": "350"})
    assert read_segment(INPUTS / input_file, tmp_path, hot).describe().temperature == 350.0
    trpmd = read_segment(INPUTS / "water-liquid-trpmd" / "ipi.xml", tmp_path, Settings()).describe()
    assert trpmd.centroid


def test_lammps_finds_the_members_of_a_shipped_ensemble(liquid_input, tmp_path):
    settings = Settings(steps=2, model="water-small-ensemble", variables={"equilibrate": "1"})
    found = execute(liquid_input, tmp_path / "run", settings)
    assert found.state == "finished"
    members = len(pet_driver.load("water-small-ensemble").members)
    assert len(found.provenance["weights (SHA-256)"].split("+")) == members == 3


def test_changed_default_grid_of_the_model_is_another_run(molecule_input, tmp_path):
    """The input file names no grid: the run would continue on another potential energy."""
    text = molecule_input.read_text()
    assert "grid: 0, " in text
    molecule_input.write_text(text.replace("grid: 0, ", ""))
    archive, folder = tmp_path / "mine.pt", tmp_path / "run"
    pet_driver.export("water-small", archive, grid="0")
    assert execute(molecule_input, folder, Settings(steps=8, model=str(archive))).grid == "0"
    pet_driver.export("water-small", archive, grid="2i")
    with pytest.raises(PetDriverError, match=r"holds another run \(grid: '0', now '2i'\)"):
        execute(molecule_input, folder, Settings(steps=16, model=str(archive)))


def test_checkpoint_of_another_run_is_ignored(molecule_input, molecule_run, tmp_path):
    folder = tmp_path / "run"
    input_file = molecule_input.with_name("ipi-mine.xml")
    input_file.write_text(molecule_input.read_text().replace('prefix="raw"', 'prefix="mine"'))
    execute(input_file, folder, Settings(steps=24))
    shutil.copy(molecule_run.path("RESTART"), folder)
    found = execute(input_file, folder, Settings(steps=64))
    assert found.state == "finished"
    assert analysis.PropertyFile(folder / "mine.out")["step"][-1] == 64
    assert not list(folder.glob("raw.*"))


def test_run_that_failed_before_its_first_step_does_not_block_its_folder(
    molecule_input, tmp_path, recwarn
):
    """The message is that of the failed engine; there is no warning about steps to repeat."""
    wrong, folder = tmp_path / "salt.xyz", tmp_path / "run"
    ase.io.write(wrong, ase.Atoms("NaCl", [[0, 0, 0], [3, 0, 0]], cell=[9, 9, 9], pbc=True))
    with pytest.raises(PetDriverError, match="does not know the element Na, Cl") as raised:
        execute(molecule_input, folder, Settings(steps=8, structure=wrong))
    assert "failed at step 0 " in str(raised.value)
    assert "Traceback" not in str(raised.value) and len(str(raised.value).splitlines()) == 2
    assert read_run(folder / "run.json").state == "stopped"
    assert execute(molecule_input, folder, Settings(steps=8)).state == "finished"
    assert not [one for one in recwarn if "no complete checkpoint" in str(one.message)]


def test_run_in_the_working_folder(molecule_input, tmp_path, monkeypatch):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert execute(molecule_input, Path("."), Settings(steps=2)).name == "here"


def test_lammps_data_file_in_ipi_is_an_error(molecule_input, tmp_path):
    data = INPUTS / "water-liquid-nvt" / "water.data"
    with pytest.raises(PetDriverError, match="data file of LAMMPS, which i-PI does not read"):
        execute(molecule_input, tmp_path / "run", Settings(steps=8, structure=data))
