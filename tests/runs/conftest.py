"""Runs of the shipped model, cut short or killed."""

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

INPUTS = Path(__file__).parents[2] / "inputs"
PATIENCE = 300  # s


@pytest.fixture
def molecule_input(tmp_path: Path) -> Path:
    """One molecule at constant energy in i-PI, with a checkpoint every 20 steps."""
    text = (INPUTS / "water-molecule-nve" / "ipi-raw.xml").read_text()
    assert 'stride="1000"' in text
    folder = tmp_path / "input files"
    folder.mkdir()
    shutil.copy(INPUTS / "water-molecule-nve" / "water.xyz", folder)
    input_file = folder / "ipi-raw.xml"
    input_file.write_text(text.replace('stride="1000"', 'stride="20"'))
    return input_file


@pytest.fixture
def liquid_input(tmp_path: Path) -> Path:
    """64 molecules at constant energy in LAMMPS, with a restart file every 10 steps."""
    text = (INPUTS / "water-liquid-nvt" / "in.water").read_text()
    for old, new in (("restart       500 ", "restart       10 "), ("custom 20 ", "custom 5 ")):
        assert old in text
        text = text.replace(old, new)
    folder = tmp_path / "input files"
    folder.mkdir()
    shutil.copy(INPUTS / "water-liquid-nvt" / "water.data", folder)
    input_file = folder / "in.water"
    input_file.write_text(text.replace("thermo        20", "thermo        5"))
    return input_file


def command(input_file: Path, folder: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "pet_driver", "run", str(input_file), "-o", str(folder), *options]


def run(input_file: Path, folder: Path, *options: str) -> subprocess.CompletedProcess:
    """`pet-driver run`, to its end."""
    return subprocess.run(
        command(input_file, folder, *options), capture_output=True, text=True, timeout=PATIENCE
    )


def interrupt(
    input_file: Path, folder: Path, *options: str, when: Callable[[], bool], by: signal.Signals
) -> int:
    """`pet-driver run`, and a signal to it alone; its exit code, once its engine is gone too."""
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
    """How many rows of numbers a property file or a log has now."""
    if not path.is_file():
        return 0
    return sum(line.split()[:1] != [] and line.split()[0][0].isdigit() for line in open(path))


def positions(path: Path) -> np.ndarray:
    """[F, N, 3] in A."""
    universe = analysis.water_universe(path, timestep=0.5)
    return np.array([universe.atoms.positions.copy() for _ in universe.trajectory])
