"""Figures of a real i-PI run and of a real probe, with the shipped model."""

import re
import shutil
from pathlib import Path

from ase.io import read

from pet_driver.probe import output
from pet_driver.probe import probe as measure
from pet_driver.report import molecule, symmetry
from pet_driver.runs.record import Run
from tests.engines.ipi_tools import finish, running

ROOT = Path(__file__).parents[2]
STEPS = 100


def test_molecule(tmp_path):
    """A short NVE run averaged over 2i, with the raw energy among the extras."""
    folder = tmp_path / "inputs" / "water-molecule-nve"
    shutil.copytree(ROOT / "inputs" / "water-molecule-nve", folder)
    (tmp_path / "pet_driver").symlink_to(ROOT / "pet_driver")
    input_file = folder / "ipi-2i.xml"
    text = re.sub(r"<total_steps>.*?</", f"<total_steps> {STEPS} </", input_file.read_text())
    input_file.write_text(text)
    with running("i-pi", input_file.name, folder=folder) as process:
        printed = finish(process)
    assert process.returncode == 0, printed
    run = Run(
        name="2i", system="molecule", motion="nve", grid="2i", engine="i-PI 3.3.1", n_atoms=3,
        n_beads=1, timestep=0.5, steps=STEPS, properties="2i.out", rotations=["2i.rotations_0"],
        positions=["2i.pos_0.extxyz"], velocities=["2i.vel_0.extxyz"], folder=folder,
    )  # fmt: skip
    (change,) = molecule.angular_momentum([run]).numbers
    assert 1e-6 < change.values["relative"] < 0.05
    (found,) = molecule.potential_spectrum([run]).numbers
    assert found.what.endswith("averaged over 2i")
    assert 0.1 < found.values["symmetry_error_mev"] < 10 < found.values["potential_mev"]


def test_probe(tmp_path):
    frame = read(ROOT / "inputs" / "grid-scan" / "frames.xyz", 0)
    found = measure("water-small", frame, grids=["0", "2"], reference="2i", resolution=0)
    output.write_probe(found, tmp_path)
    drawing = symmetry.torque(symmetry.find_probes([tmp_path]))
    raw, coarse, fine = (number.values["rms_mev"] for number in drawing.numbers)
    assert raw > coarse > 0.0 and raw > fine > 0.0
    assert drawing.numbers[-1].what.startswith("torque, grid 2i")
