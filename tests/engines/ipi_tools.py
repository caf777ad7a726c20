"""What the tests of i-PI share: inputs, and processes that cannot hang or outlive a test."""

import contextlib
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import molecule

HERE = Path(__file__).parent
# The commands of this environment, whether it is activated or not.
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PATH": PATH}
TIMEOUT = 180  # seconds for any process of a test

INPUT = """<simulation verbosity="low">
  <output prefix="run">
    <trajectory filename="rotations" extra_type="{extras}"> extras </trajectory>
  </output>
  <total_steps> {steps} </total_steps>
  <prng><seed> 31 </seed></prng>
  {forcefield}
  <system>
    <initialize nbeads="{beads}">
      <file mode="ase"> start.xyz </file>
      <velocities mode="thermal" units="kelvin"> 600 </velocities>
    </initialize>
    <forces><force forcefield="pet"/></forces>
    <ensemble><temperature units="kelvin"> 600 </temperature></ensemble>
    <motion mode="dynamics">
      <dynamics mode="nve"><timestep units="femtosecond"> 0.5 </timestep></dynamics>
    </motion>
  </system>
</simulation>"""


def skewed_dimer() -> Atoms:
    """Two molecules in a skewed cell that is smaller than twice the cutoff."""
    water = molecule("H2O")
    dimer = water + Atoms("OHH", water.positions[:, [2, 0, 1]] + [3.1, 0.4, 0.3])
    dimer.set_cell([[6.5, 0, 0], [1.2, 6.1, 0], [0.4, -0.9, 6.3]])
    dimer.pbc = True
    return dimer


def write_input(
    folder: Path, forcefield: str, beads: int = 1, steps: int = 5, atoms: Atoms | None = None
) -> Path:
    """An NVE run of `atoms`, by default of two molecules in a small skewed cell."""
    folder.mkdir(parents=True, exist_ok=True)
    (atoms or skewed_dimer()).write(folder / "start.xyz", format="extxyz")
    path = folder / "input.xml"
    extras = "raw_energy_ev,rotation_std_ev"
    path.write_text(INPUT.format(forcefield=forcefield, beads=beads, steps=steps, extras=extras))
    return path


def direct(model: Path, grid: str = "0", batch: int = 1, more: str = "") -> str:
    """An `<ffdirect>` with the shim of this package."""
    from pet_driver.engines.ipi import shim_path

    return f"""<ffdirect name="pet"> <pes> custom </pes> <pes_path> {shim_path()} </pes_path>
      <batch_size> {batch} </batch_size>
      <parameters> {{model: {model}, template: start.xyz, grid: {grid}{more}}} </parameters>
      </ffdirect>"""


@dataclass
class Server:
    """Where an `<ffsocket>` listens."""

    mode: str
    address: str
    port: int | None = None

    def forcefield(self, batch: int = 1, more: str = "") -> str:
        port = f"<port> {self.port} </port>" if self.port else ""
        return f"""<ffsocket name="pet" mode="{self.mode}"> <address> {self.address} </address>
          {port} <batch_size> {batch} </batch_size> {more} </ffsocket>"""

    @property
    def arguments(self) -> list[str]:
        return [self.mode, self.address, *([str(self.port)] if self.port else [])]


@contextlib.contextmanager
def new_server(mode: str) -> Iterator[Server]:
    """An address that nobody else uses; a unix socket that was left over is removed."""
    if mode == "inet":
        with socket.create_server(("localhost", 0)) as probe:
            port = probe.getsockname()[1]
        yield Server(mode, "localhost", port)
        return
    address = f"pet-driver-{uuid.uuid4().hex[:12]}"
    yield Server(mode, address)
    Path(f"/tmp/ipi_{address}").unlink(missing_ok=True)


@contextlib.contextmanager
def running(*command: str | Path, folder: Path) -> Iterator[subprocess.Popen]:
    """A process with its output in a pipe, killed at the end of the block."""
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=folder,
        env=ENVIRONMENT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def client(model: Path, server: Server, folder: Path, *more: str):
    """Starts ipi_client.py, which counts and can fail."""
    command = [sys.executable, HERE / "ipi_client.py", model, "start.xyz", *server.arguments]
    return running(*command, *more, folder=folder)


def simulation(folder: Path, steps: int = 5):
    """Starts ipi_simulation.py, which leaves seen.npz."""
    command = [sys.executable, HERE / "ipi_simulation.py", "input.xml", str(steps), "seen.npz"]
    return running(*command, folder=folder)


def finish(process: subprocess.Popen) -> str:
    """Waits for a process (TIMEOUT at most) and returns its output."""
    return process.communicate(timeout=TIMEOUT)[0]


def call(process: subprocess.Popen) -> None:
    """Sends a client that was started with --on-call to work."""
    process.stdin.write("go\n")
    process.stdin.flush()


def seen(process: subprocess.Popen, folder: Path) -> dict[str, np.ndarray]:
    """Waits for a simulation and returns what it saw."""
    output = finish(process)
    assert process.returncode == 0, output
    with np.load(folder / "seen.npz") as arrays:
        return dict(arrays)


def assert_same(left: dict[str, np.ndarray], right: dict[str, np.ndarray], tolerance: float):
    """Positions, energies, forces and virials agree to a relative tolerance of their scale."""
    for name in left:
        scale = np.abs(left[name]).max()
        assert scale > 1e-6, f"{name} carries no signal"
        assert np.abs(left[name] - right[name]).max() < tolerance * max(scale, 1.0), name
