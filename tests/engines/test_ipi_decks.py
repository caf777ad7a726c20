"""The decks of inputs/ run as they stand in a clone, but for their length."""

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.engines.ipi_tools import finish, new_server, running

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path):
    """A clone's layout: the decks copied, the package linked."""
    shutil.copytree(ROOT / "inputs", tmp_path / "inputs")
    (tmp_path / "pet_driver").symlink_to(ROOT / "pet_driver")
    return tmp_path / "inputs"


def shorten(deck: Path, steps: int) -> None:
    text, count = re.subn(r"<total_steps>.*?</", f"<total_steps> {steps} </", deck.read_text())
    assert count == 1
    deck.write_text(text)


@pytest.mark.parametrize("name", ["raw", "2i", "ecse"])
def test_molecule(clone, name):
    deck = clone / "water-molecule-nve" / f"ipi-{name}.xml"
    shorten(deck, 20)
    with running("i-pi", deck.name, folder=deck.parent) as process:
        output = finish(process)
    assert process.returncode == 0, output
    conserved, potential = np.loadtxt(deck.parent / f"{name}.out", usecols=(2, 3)).T
    assert np.ptp(potential) > 0.01
    assert np.ptp(conserved) < 0.1 * np.ptp(potential)
    spread = np.loadtxt(deck.parent / f"{name}.rotations_0", usecols=1)
    assert np.all(spread > 0) if name == "2i" else np.all(spread == 0)


def test_liquid(clone):
    """The model in i-PI's process and behind a socket: the same first step."""
    folder = clone / "water-liquid-pimd"
    for deck in folder.glob("*.xml"):
        shorten(deck, 1)
    with running("i-pi", "ipi-in-process.xml", folder=folder) as process:
        output = finish(process)
    assert process.returncode == 0, output
    deck = folder / "ipi-socket.xml"
    with new_server("unix") as server:
        # the deck's own name may be in use on this machine
        deck.write_text(deck.read_text().replace("water-pimd", server.address))
        command = re.search(r"pet-driver (ipi .*) -->", deck.read_text())[1]
        client = [sys.executable, "-m", "pet_driver", *command.split()]
        with (
            running("i-pi", deck.name, folder=folder) as process,
            running(*client, folder=folder) as served,
        ):
            outputs = finish(process) + finish(served)
    assert (process.returncode, served.returncode) == (0, 0), outputs
    ours, theirs = (np.loadtxt(folder / f"{name}.out") for name in ("in-process", "socket"))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
