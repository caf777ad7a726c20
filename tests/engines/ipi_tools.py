"""Helpers for tests that run i-PI: input files, addresses, processes and their results."""

import contextlib
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from pet_driver.engines.ipi import shim_path
from pet_driver.engines.ipi.potential import BOHR_PER_ANGSTROM
from tests.engines.structures import skewed_dimer

HERE = Path(__file__).parent
# i-PI and MPI are found whether the environment is activated or not.
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PATH": PATH}
TIMEOUT = 180  # seconds for any process of a test

INPUT = """<simulation verbosity="low">
  <output prefix="run">
    <trajectory filename="extras" extra_type="raw_energy_ev,rotation_std_ev"> extras </trajectory>
  </output>
  <total_steps> {steps} </total_steps>
  <prng><seed> 31 </seed></prng>
  {forcefields}
  {systems}
</simulation>"""
SYSTEM = """<system prefix="{prefix}">
    <initialize nbeads="{beads}">
      <file mode="ase"> {start} </file>
      <velocities mode="thermal" units="kelvin"> 600 </velocities>
    </initialize>
    <forces><force forcefield="{forcefield}"/></forces>
    <ensemble><temperature units="kelvin"> 600 </temperature></ensemble>
    <motion mode="dynamics">
      <dynamics mode="nve"><timestep units="femtosecond"> 0.5 </timestep></dynamics>
    </motion>
  </system>"""

Trajectory = dict[str, np.ndarray]


@dataclass
class System:
    """A system of an i-PI simulation.

    Attributes:
        forcefield: XML of a force field with the name "pet".
        beads: number of beads.
        atoms: the structure at the start; ``None`` means :func:`skewed_dimer`.
    """

    forcefield: str
    beads: int = 1
    atoms: Atoms | None = None


def write_input(
    folder: Path, forcefield: str, beads: int = 1, steps: int = 5, atoms: Atoms | None = None
) -> Path:
    """Write the input of an NVE run of one system; its structure is ``start.xyz``."""
    folder.mkdir(parents=True, exist_ok=True)
    (atoms or skewed_dimer()).write(folder / "start.xyz", format="extxyz")
    system = SYSTEM.format(prefix="", beads=beads, start="start.xyz", forcefield="pet")
    path = folder / "input.xml"
    path.write_text(INPUT.format(forcefields=forcefield, systems=system, steps=steps))
    return path


def write_input_of_systems(folder: Path, systems: Sequence[System], steps: int) -> Path:
    """Write the input of one simulation of several systems; their structures are ``start-K.xyz``.

    One start of i-PI then serves for many cases.
    """
    forcefields, parts = [], []
    for k, system in enumerate(systems):
        start = f"start-{k}.xyz"
        (system.atoms or skewed_dimer()).write(folder / start, format="extxyz")
        named = system.forcefield.replace('name="pet"', f'name="pet-{k}"')
        forcefields.append(named.replace("start.xyz", start))
        parts.append(
            SYSTEM.format(prefix=f"s{k}", beads=system.beads, start=start, forcefield=f"pet-{k}")
        )
    path = folder / "input.xml"
    path.write_text(
        INPUT.format(forcefields="\n".join(forcefields), systems="\n".join(parts), steps=steps)
    )
    return path


def ffdirect(model: Path | str, grid: str = "0", batch: int = 1, more: str = "") -> str:
    """Return an ``<ffdirect>`` with the shim of this package."""
    return f"""<ffdirect name="pet"> <pes> custom </pes> <pes_path> {shim_path()} </pes_path>
      <batch_size> {batch} </batch_size>
      <parameters> {{model: {model}, template: start.xyz, grid: {grid}{more}}} </parameters>
      </ffdirect>"""


@dataclass
class Server:
    """Address of an ``<ffsocket>``."""

    mode: str
    address: str
    port: int | None = None

    def ffsocket(self, batch: int = 1, more: str = "") -> str:
        """Return the ``<ffsocket>``."""
        port = f"<port> {self.port} </port>" if self.port else ""
        return f"""<ffsocket name="pet" mode="{self.mode}"> <address> {self.address} </address>
          {port} <batch_size> {batch} </batch_size> {more} </ffsocket>"""

    @property
    def arguments(self) -> list[str]:
        """Arguments of ipi_client.py."""
        return [self.mode, self.address, *([str(self.port)] if self.port else [])]

    @property
    def options(self) -> list[str]:
        """Options of ``pet-driver ipi``."""
        where = {"unix": ["-u"], "shm": ["--shm"], "inet": ["-p", str(self.port)]}[self.mode]
        return [*where, "-a", self.address]


@contextlib.contextmanager
def new_server(mode: str) -> Iterator[Server]:
    """Choose an address that is not in use, and remove the unix socket afterwards."""
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
    """Start a process with its output in a pipe, and kill it at the end of the block."""
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


def counting_client(model: Path, server: Server, folder: Path, *more: str):
    """Start ipi_client.py, which counts calls of its model and can fail."""
    command = [sys.executable, HERE / "ipi_client.py", model, "start.xyz", *server.arguments]
    return running(*command, *more, folder=folder)


def command_line_client(model: Path | str, server: Server, folder: Path, *more: str):
    """Start ``pet-driver ipi``."""
    command = [sys.executable, "-m", "pet_driver", "ipi", model, "-t", "start.xyz"]
    return running(*command, *server.options, *more, folder=folder)


def simulation(folder: Path, steps: int = 5):
    """Start ipi_simulation.py, which writes trajectory.npz."""
    command = [sys.executable, HERE / "ipi_simulation.py", "input.xml", str(steps)]
    return running(*command, "trajectory.npz", folder=folder)


def finish(process: subprocess.Popen) -> str:
    """Wait for a process (TIMEOUT at most) and return its output."""
    return process.communicate(timeout=TIMEOUT)[0]


def run_ipi(folder: Path, name: str = "input.xml", status: int = 0) -> str:
    """Run ``i-pi`` on an input, check its exit status and return its output."""
    with running("i-pi", name, folder=folder) as process:
        output = finish(process)
    assert process.returncode == status, output
    return output


def let_connect(process: subprocess.Popen) -> None:
    """Let a client that was started with --wait connect."""
    process.stdin.write("go\n")
    process.stdin.flush()


def trajectories_of(process: subprocess.Popen, folder: Path) -> list[Trajectory]:
    """Wait for a simulation and return the trajectory of each system."""
    output = finish(process)
    assert process.returncode == 0, output
    found: dict[int, Trajectory] = {}
    with np.load(folder / "trajectory.npz") as arrays:
        for key, values in arrays.items():
            system, name = key.split(".")
            found.setdefault(int(system), {})[name] = values
    return [found[k] for k in range(len(found))]


def trajectory_of(process: subprocess.Popen, folder: Path) -> Trajectory:
    """Wait for a simulation of one system and return its trajectory."""
    (trajectory,) = trajectories_of(process, folder)
    return trajectory


def structures_of(trajectory: Trajectory, atoms: Atoms) -> list[Atoms]:
    """Return the structures (A) of the first bead, with the elements of ``atoms``.

    The cells are those of i-PI: its conversion factor differs from that of ASE in the eighth digit.
    """
    structures = []
    for positions, cell in zip(trajectory["positions"][:, 0], trajectory["cells"], strict=True):
        structures.append(atoms.copy())
        structures[-1].set_cell(cell.T / BOHR_PER_ANGSTROM)
        structures[-1].positions = positions.reshape(-1, 3) / BOHR_PER_ANGSTROM
    return structures


def assert_same(left: Trajectory, right: Trajectory, tolerance: float) -> None:
    """Check that two trajectories agree to a tolerance relative to the largest value."""
    for name in left:
        scale = np.abs(left[name]).max()
        assert scale > 1e-6, f"{name} is zero: the comparison would be trivial"
        assert np.abs(left[name] - right[name]).max() < tolerance * max(scale, 1.0), name
