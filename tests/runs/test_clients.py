"""i-PI with socket clients: shared beads, clients that die, runs that resume."""

import os
import re
import socket
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from pet_driver.engines.ipi import PARAMETERS
from pet_driver.runs import Settings, execute, ipi_clients, ipi_input, ipi_resume, read_run
from pet_driver.runs import supervise as supervise_module
from pet_driver.runs.supervise import Commands, Outcome, supervise
from tests.runs.conftest import INPUTS, PATIENCE, command, positions, steps_in


def test_clients_give_the_trajectory_of_the_process_and_resume(
    molecule_input, molecule_run, tmp_path
):
    """The checkpoint has sockets instead of the potential, and a killed i-PI left its socket."""
    folder = tmp_path / "parts"
    for steps, clients in ((8, 1), (16, 2), (24, 0)):
        part = execute(molecule_input, folder, Settings(steps=steps, clients=clients))
        assert part.state == "finished" and part.steps == steps
        for address in re.findall(r"pet-driver-[0-9a-f]+-0", (folder / "RESTART").read_text()):
            left = socket.socket(socket.AF_UNIX)
            left.bind(f"{ipi_clients.SOCKETS}{address}")
            left.close()
    text = (folder / "ipi-raw.xml").read_text()
    assert "ffsocket" in text and "ffdirect" not in text, "the first part had a client"
    ours, whole = (positions(run.path(run.positions[0])) for run in (part, molecule_run))
    assert len(ours) == 7
    np.testing.assert_allclose(ours, whole[:7], atol=1e-7)


@pytest.mark.parametrize(
    ("input_file", "sizes"), [("ipi-in-process.xml", [3]), ("ipi-corrected.xml", [3, 1, 1])]
)
def test_clients_share_beads(input_file, sizes, tmp_path):
    """Eight beads for three clients: one batch of eight would leave two clients idle."""
    path = tmp_path / "ipi.xml"
    path.write_bytes((INPUTS / "water-liquid-pimd" / input_file).read_bytes())
    commands = ipi_clients.replace_by_clients(path, tmp_path, clients=3)
    fields = ElementTree.parse(path).getroot().findall("ffsocket")
    assert [len(group) for group in commands] == [3] * len(fields)
    assert [int(field.findtext("batch_size", "1")) for field in fields] == sizes


def test_clients_get_all_parameters(tmp_path):
    path = tmp_path / "ipi.xml"
    values = {name: str(number) for number, name in enumerate(PARAMETERS)}
    values |= {"model": "water-small", "template": "a.xyz", "device": "cpu", "periodic": "False"}
    text = (INPUTS / "water-molecule-nve" / "ipi-raw.xml").read_text()
    inside = ", ".join(f"{name}: {value}" for name, value in values.items())
    path.write_text(re.sub("<parameters>.*?</", f"<parameters> {{{inside}}} </", text))
    [[words]] = ipi_clients.replace_by_clients(path, tmp_path, clients=1)
    assert set(values.values()) <= {*words, "False"} and "--non-periodic" in words
    wide = {**os.environ, "COLUMNS": "200"}  # so that no option is cut off
    told = subprocess.run([*words[:4], "--help"], capture_output=True, text=True, env=wide)
    options = {word for word in words if word.startswith("--")}
    assert "--max-edges" in options and all(option in told.stdout for option in options)


def test_force_field_without_clients_ends_the_run(tmp_path, monkeypatch):
    """The other force field still has a client; i-PI would wait forever."""
    monkeypatch.setattr(supervise_module, "GRACE_AFTER_CLIENTS", 0.5)
    engine = [sys.executable, "-c", "import time; time.sleep(600)"]
    ends, waits = [sys.executable, "-c", "pass"], engine
    start = time.monotonic()
    commands = Commands(engine, [[ends], [waits, ends]])
    outcome = supervise(commands, tmp_path, lambda: 0, None, dict(os.environ))
    assert outcome is Outcome.FAILED and time.monotonic() - start < 120


@pytest.mark.parametrize(
    ("grid", "batch", "counter"),
    [("random", 8, 100), ("random", 4, 200), ("random-each", 8, 800), ("2i+random", 1, 800)],
)
def test_counter_of_random_rotations_includes_all_beads(grid, batch, counter, tmp_path):
    text = (INPUTS / "water-liquid-pimd" / "ipi-in-process.xml").read_text()
    text = text.replace("device: cpu", f"device: cpu, grid: {grid}")
    path = tmp_path / "ipi.xml"
    path.write_text(re.sub("<batch_size>.*?</", f"<batch_size> {batch} </", text))
    simulation_input = ipi_input.read_input(path)
    root = ElementTree.parse(path).getroot()
    assert simulation_input.prefix == root.find("output").get("prefix")
    ElementTree.SubElement(simulation_input.root, "step").text = "100"
    ipi_input.write_input(simulation_input.root, tmp_path / "RESTART")
    assert ipi_resume.resume(simulation_input, tmp_path, 200) == 100
    resumed = ElementTree.parse(tmp_path / ipi_resume.RESUMED).getroot().find("ffdirect")
    assert int(ipi_input.parameters(resumed)["counter"]) == counter


def test_killed_client_does_not_stall_the_run(tmp_path, monkeypatch):
    """i-PI may wait forever, although another client is running."""
    monkeypatch.setattr(supervise_module, "STALL_SECONDS", 2.0)
    monkeypatch.setattr(supervise_module, "STALL_FACTOR", 2.0)
    monkeypatch.setattr(supervise_module, "POLL", 0.1)
    engine = [sys.executable, "-c", "import time; time.sleep(600)"]
    dies = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    steps = iter(range(8))  # the last steps after the client died
    outcome = supervise(
        Commands(engine, [[dies, engine]]), tmp_path, lambda: next(steps, 7), None, dict(os.environ)
    )
    assert outcome is Outcome.FAILED and next(steps, None) is None
    assert "no step since a client died" in (tmp_path / "screen.txt").read_text()


def test_stall_detector_waits_longer_before_the_first_step(monkeypatch):
    """The time of a step is not known yet."""
    monkeypatch.setattr(supervise_module, "STALL_SECONDS", 0.2)
    stall = supervise_module.StallDetector()
    stall.record(0)
    time.sleep(0.3)
    assert not stall.is_stalled
    stall = supervise_module.StallDetector()
    for step in (0, 1, 2):
        stall.record(step)
    time.sleep(0.3)
    assert stall.is_stalled


def test_run_whose_clients_died_fails(molecule_input, tmp_path):
    folder = tmp_path / "run"
    process = subprocess.Popen(
        command(molecule_input, folder, "--steps", "100000", "--clients", "1"),
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + PATIENCE
    while steps_in(folder / "raw.out") < 5:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.1)
    address = re.search(r"<address>(.*?)</address>", (folder / "ipi-raw.xml").read_text())[1]
    assert subprocess.run(["pkill", "-KILL", "-f", address.strip()]).returncode == 0
    _, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1 and "failed at step" in error
    assert read_run(folder / "run.json").state == "stopped"
