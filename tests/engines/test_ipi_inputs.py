"""Every i-PI input of inputs/ runs as it is in a clone, with fewer steps."""

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.engines.ipi_tools import finish, new_server, run_ipi, running

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path):
    """Folder of input files beside the package, as in a clone."""
    shutil.copytree(ROOT / "inputs", tmp_path / "inputs")
    (tmp_path / "pet_driver").symlink_to(ROOT / "pet_driver")
    return tmp_path / "inputs"


def shorten(input_file: Path, steps: int) -> None:
    text, count = re.subn(
        r"<total_steps>.*?</", f"<total_steps> {steps} </", input_file.read_text()
    )
    assert count == 1
    input_file.write_text(text)


@pytest.mark.parametrize("name", ["raw", "2i", "ecse"])
def test_molecule_conserves_energy(clone, name):
    input_file = clone / "water-molecule-nve" / f"ipi-{name}.xml"
    shorten(input_file, 20)
    run_ipi(input_file.parent, input_file.name)
    conserved, potential = np.loadtxt(input_file.parent / f"{name}.out", usecols=(2, 3)).T
    assert np.ptp(potential) > 0.01
    assert np.ptp(conserved) < 0.1 * np.ptp(potential)
    rotation_std = np.loadtxt(input_file.parent / f"{name}.rotations_0", usecols=1)
    assert np.all(rotation_std > 0) if name == "2i" else np.all(rotation_std == 0)


def test_liquid_in_process_equals_liquid_through_a_socket(clone):
    folder = clone / "water-liquid-pimd"
    for input_file in folder.glob("*.xml"):
        shorten(input_file, 1)
    run_ipi(folder, "ipi-in-process.xml")
    input_file = folder / "ipi-socket.xml"
    with new_server("unix") as server:
        # the address in the input may be in use on this machine
        input_file.write_text(input_file.read_text().replace("water-pimd", server.address))
        command = re.search(r"pet-driver (ipi .*) -->", input_file.read_text())[1]
        client = [sys.executable, "-m", "pet_driver", *command.split()]
        with (
            running("i-pi", input_file.name, folder=folder) as process,
            running(*client, folder=folder) as served,
        ):
            outputs = finish(process) + finish(served)
    assert (process.returncode, served.returncode) == (0, 0), outputs
    in_process, socket = (np.loadtxt(folder / f"{name}.out") for name in ("in-process", "socket"))
    np.testing.assert_allclose(in_process[:, :-1], socket[:, :-1], rtol=1e-5)
    # The pressure is a sum of large terms that cancel, and may be nearly zero.
    scale = np.abs(socket[:, -1]).max()
    np.testing.assert_allclose(in_process[:, -1], socket[:, -1], rtol=0, atol=1e-5 * scale)


# The other inputs and their number of steps here, which depends on the cost of a step.
SHORTENED = {
    "grid-scan/ipi.xml": 20,
    "ice-relaxation/ipi-2i.xml": 1,
    "ice-relaxation/ipi-raw.xml": 3,
    "water-liquid-mts/ipi.xml": 1,
    "water-liquid-npt/ipi.xml": 4,
    "water-liquid-pimd/ipi-32-beads.xml": 1,
    "water-liquid-pimd/ipi-corrected.xml": 1,
    "water-liquid-pimd/ipi-piglet.xml": 1,
    "water-liquid-random/ipi.xml": 10,
    "water-liquid-trpmd/ipi.xml": 2,
    "water-molecule-delta/ipi.xml": 40,
    "water-molecule-nvt/ipi-gle.xml": 4,
    "water-molecule-nvt/ipi.xml": 4,
}


def test_every_input_is_tested():
    tested_above = {
        *(f"water-molecule-nve/ipi-{name}.xml" for name in ("raw", "2i", "ecse")),
        *(f"water-liquid-pimd/ipi-{name}.xml" for name in ("in-process", "socket")),
    }
    input_files = {
        path.relative_to(ROOT / "inputs").as_posix() for path in ROOT.glob("inputs/*/*.xml")
    }
    assert input_files == tested_above | set(SHORTENED)


@pytest.mark.parametrize("name", SHORTENED)
def test_input_runs(clone, name, archive_f64):
    input_file = clone / name
    shorten(input_file, SHORTENED[name])
    if name == "grid-scan/ipi.xml":
        # the errors of this model are above rounding, however good the shipped one is
        text = input_file.read_text()
        assert "model: water-small" in text
        input_file.write_text(text.replace("model: water-small", f"model: {archive_f64}"))
    run_ipi(input_file.parent, input_file.name)
    prefix = re.search(r'<output prefix="(.*?)">', input_file.read_text())[1]
    rows = np.loadtxt(input_file.parent / f"{prefix}.out")
    assert rows[-1, 0] >= SHORTENED[name] - 1
    energies = rows[:, -1] if name.startswith("ice") else rows[:, 3]
    assert np.all(np.isfinite(rows)) and np.ptp(energies) > 1e-4
    if name == "grid-scan/ipi.xml":
        scanned = rows[1:]  # step 0 is not a frame of the scanned trajectory
        assert len(scanned) == 20
        errors = np.abs(scanned[:, 1:] - scanned[:, 4:]).mean(axis=0)
        assert errors[0] > 10 * errors[2] > 0
    if name == "water-molecule-delta/ipi.xml":
        delta = rows[:, -2] - rows[:, -1]
        assert 1e-5 < np.abs(delta).max() < 0.2
    if name == "water-liquid-npt/ipi.xml":
        assert np.ptp(rows[:, -2]) > 0, "the volume must move"
    if name == "ice-relaxation/ipi-raw.xml":
        assert energies[-1] < energies[0]
