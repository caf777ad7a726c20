"""``pet-driver examples``: listed, copied, and run as copied."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import pet_driver as package
from pet_driver.cli import examples
from pet_driver.errors import PetDriverError
from pet_driver.runs import Settings, execute
from pet_driver.runs.execute import read_segment
from tests.cli.test_cli import pet_driver

NAMES = [example.name for example in examples.list_examples()]
INPUTS = Path(__file__).parents[2] / "inputs"


def test_list_has_one_line_per_folder_with_a_readme() -> None:
    lines = pet_driver("examples").stdout.splitlines()
    assert [line.split()[0] for line in lines] == NAMES
    assert sorted(NAMES) == sorted(path.parent.name for path in INPUTS.glob("*/README.md"))
    [line] = [line for line in lines if line.startswith("water-liquid-npt ")]
    assert line.endswith("(i-PI: ipi.xml; LAMMPS: in.water)")


def test_packed_folder_comes_before_that_of_the_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "pet_driver" / "__init__.py"
    module.parent.mkdir()
    monkeypatch.setattr(package, "__file__", str(module))
    with pytest.raises(PetDriverError, match="this installation has no examples"):
        examples.examples_folder()
    for folder in (tmp_path / "inputs", tmp_path / "pet_driver" / "inputs"):
        folder.mkdir()
        assert examples.examples_folder() == folder


@pytest.mark.parametrize("name", NAMES)
def test_copy_is_complete(name: str, tmp_path: Path) -> None:
    """No file of a copy refers to another folder of the examples, and the input files are read."""
    copied = examples.copy_example(name, tmp_path / "copy")
    assert {p.name for p in (INPUTS / name).iterdir() if p.is_file()} <= {p.name for p in copied}
    for path in copied:
        for reference in re.findall(r"\.\./([\w.-]+/[\w.-]+\w)", path.read_text()):
            assert not (INPUTS / reference).is_file(), path
    for path in copied:
        if path.name.startswith("in.") or path.suffix == ".xml":
            if "<ffsocket" in path.read_text():
                continue  # `pet-driver run` takes input files with <ffdirect>
            assert read_segment(path, tmp_path / "run", Settings()).describe().n_beads >= 1


@pytest.mark.parametrize("file", ["water-molecule-delta/ipi.xml", "water-liquid-npt/in.water"])
def test_copy_runs(file: str, tmp_path: Path) -> None:
    """Both refer to a structure in another folder."""
    name, input_file = file.split("/")
    done = pet_driver("examples", name, "-o", tmp_path / "copy")
    assert done.returncode == 0, done.stderr
    run = execute(tmp_path / "copy" / input_file, tmp_path / "run", Settings(steps=2))
    assert (run.state, run.steps) == ("finished", 2)


def test_copy_runs_in_ipi_itself(tmp_path: Path) -> None:
    """The copy names the potential where it is installed."""
    input_file = tmp_path / "copy" / "ipi-raw.xml"
    examples.copy_example("water-molecule-nve", input_file.parent)
    text = input_file.read_text()
    input_file.write_text(text.replace("<total_steps> 20000 ", "<total_steps> 2 "))
    program = Path(sys.executable).with_name("i-pi")
    command = [sys.executable, str(program), input_file.name]
    done = subprocess.run(command, cwd=input_file.parent, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    assert (input_file.parent / "raw.out").is_file()


def test_unknown_example_lists_the_examples(tmp_path: Path) -> None:
    with pytest.raises(PetDriverError, match=r"there is no example water; .* water-liquid-nvt"):
        examples.copy_example("water", tmp_path / "copy")


def test_folder_with_files_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(PetDriverError, match="exists already; choose another folder"):
        examples.copy_example("water-molecule-nve", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_output_without_name_is_an_error(tmp_path: Path) -> None:
    failed = pet_driver("examples", "-o", tmp_path / "copy")
    assert failed.returncode == 1 and "--output needs the NAME" in failed.stderr
