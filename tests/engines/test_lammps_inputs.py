"""The LAMMPS input files in inputs/ run unchanged, shortened by their own variables."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SHORTENED = {
    "ice-relaxation/in.ice": ("steps", "3"),
    "water-large-lammps/in.water": ("replicate", "1", "steps", "4"),
    "water-liquid-npt/in.water": ("steps", "20"),
    "water-liquid-nvt/in.water": ("equilibrate", "4", "steps", "4"),
}


def run(input_file: Path, *variables: str, ranks: int = 1) -> str:
    """Run an input file with the command of its README, and return the output."""
    pairs = zip(variables[::2], variables[1::2], strict=True)
    options = [word for name, value in pairs for word in ("-var", name, value)]
    command = [sys.executable, "-m", "pet_driver", "lammps", "run", "--ranks", str(ranks)]
    done = subprocess.run(
        [*command, "-in", input_file.name, *options],
        cwd=input_file.parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_all_input_files_are_tested() -> None:
    input_files = {
        path.relative_to(ROOT / "inputs").as_posix() for path in ROOT.glob("inputs/*/in.*")
    }
    assert input_files == set(SHORTENED)


@pytest.mark.parametrize("name", SHORTENED)
def test_input(tmp_path: Path, name: str) -> None:
    shutil.copytree(ROOT / "inputs", tmp_path / "inputs")
    input_file = tmp_path / "inputs" / name
    output = run(input_file, *SHORTENED[name])
    assert "Total wall time" in output
    assert list(input_file.parent.glob("*.final.data")) or list(
        input_file.parent.glob("*.relaxed.data")
    )
    if name == "ice-relaxation/in.ice":
        first, _, last = re.search(
            r"Energy initial, next-to-last, final =\s+(\S+)\s+(\S+)\s+(\S+)", output
        ).groups()
        assert float(last) < float(first)


def test_large_run_continues_from_a_restart_file(tmp_path: Path) -> None:
    """On two ranks, with a restart file every two steps, it ends at the same step."""
    shutil.copytree(ROOT / "inputs", tmp_path / "inputs")
    input_file = tmp_path / "inputs" / "water-large-lammps" / "in.water"
    input_file.write_text(input_file.read_text().replace("restart       500 ", "restart       2 "))
    run(input_file, "replicate", "1", "steps", "4", ranks=2)
    output = run(input_file, "replicate", "1", "steps", "6", "restart", "water_restart_2", ranks=2)
    assert re.search(r"^\s+4 .*\n(.*\n)*?\s+6 ", output, re.MULTILINE), output
