"""Short runs of the shipped model in real engines, stopped or killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pet_driver import analysis
from pet_driver.runs import Run, Settings, execute

INPUTS = Path(__file__).parents[2] / "inputs"
PATIENCE = 300  # s


def copy_input(folder: Path, name: str, structure: str, *changes: tuple[str, str]) -> Path:
    """Copy an input file and its structure into a subfolder of ``folder``, with changes."""
    folder = folder / "inputs"
    folder.mkdir()
    shutil.copy(INPUTS / structure, folder)
    input_file = folder / Path(name).name
    shutil.copy(INPUTS / name, input_file)
    return edit(input_file, *changes)


def edit(input_file: Path, *changes: tuple[str, str]) -> Path:
    """Replace texts in an input file, which must contain them."""
    text = input_file.read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    input_file.write_text(text)
    return input_file


def copy_molecule_input(folder: Path) -> Path:
    return copy_input(
        folder,
        "water-molecule-nve/ipi-raw.xml",
        "water-molecule-nve/water.xyz",
        ('stride="1000"', 'stride="20"'),
    )


@pytest.fixture
def molecule_input(tmp_path: Path) -> Path:
    """One molecule at constant energy in i-PI, with a checkpoint every 20 steps."""
    return copy_molecule_input(tmp_path)


@pytest.fixture(scope="session")
def molecule_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of 40 steps of ``molecule_input``; tests must not change its folder."""
    folder = tmp_path_factory.mktemp("molecule")
    return execute(copy_molecule_input(folder), folder / "run", Settings(steps=40))


@pytest.fixture
def finished(molecule_run: Run, tmp_path: Path) -> Path:
    """A copy of the folder of ``molecule_run``, which ``molecule_input`` resumes."""
    return shutil.copytree(molecule_run.folder, tmp_path / "run")


@pytest.fixture
def liquid_input(tmp_path: Path) -> Path:
    """64 molecules in LAMMPS, with a restart file every 10 steps and output every 5."""
    return copy_input(
        tmp_path,
        "water-liquid-nvt/in.water",
        "water-liquid-nvt/water.data",
        ("restart       500 ", "restart       10 "),
        ("custom 20 ", "custom 5 "),
        ("thermo        20", "thermo        5"),
    )


def command(input_file: Path, folder: Path, *options: str) -> list[str]:
    """Return the command line of `pet-driver run`."""
    return [sys.executable, "-m", "pet_driver", "run", str(input_file), "-o", str(folder), *options]


def run(input_file: Path, folder: Path, *options: str) -> subprocess.CompletedProcess:
    """Run `pet-driver run` to its end."""
    return subprocess.run(
        command(input_file, folder, *options), capture_output=True, text=True, timeout=PATIENCE
    )


def interrupt(
    input_file: Path, folder: Path, *options: str, when: Callable[[], bool], by: signal.Signals
) -> int:
    """Start `pet-driver run`, send it a signal when a condition is met, return its exit code."""
    process = subprocess.Popen(
        command(input_file, folder, *options), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + PATIENCE
    while not when():
        assert process.poll() is None, (folder / "screen.txt").read_text()
        assert time.monotonic() < end
        time.sleep(0.05)
    os.kill(process.pid, by)
    return process.wait(PATIENCE)


def steps_in(path: Path) -> int:
    """Return how many rows of numbers a property file or a log has now."""
    if not path.is_file():
        return 0
    return sum(line.split()[:1] != [] and line.split()[0][0].isdigit() for line in open(path))


def positions(path: Path) -> np.ndarray:
    """Return the positions [F, N, 3] of a trajectory in A."""
    universe = analysis.water_universe(path, timestep=0.5)
    return np.array([universe.atoms.positions.copy() for _ in universe.trajectory])
