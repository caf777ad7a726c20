"""Fixtures: short runs of i-PI and LAMMPS, and small Universes in memory."""

import shutil
import subprocess
import sys
from pathlib import Path

import MDAnalysis as mda
import numpy as np
import pytest

import pet_driver.analysis  # noqa: F401  (registers the reader)

BIN = Path(sys.executable).parent

INITIAL = """3
# CELL(abcABC): 10.0 11.0 12.0 85.0 95.0 100.0 cell{angstrom} positions{angstrom}
O 0.1 0.0 0.0
H 0.9572 0.1 0.0
H -0.2399 0.9272 0.3
"""

TRAJECTORIES = (
    ("pos", "xyz", "positions{angstrom}", "angstrom"),
    ("vel", "xyz", "velocities{ase}", "angstrom"),
    ("force", "xyz", "forces{ev/ang}", "angstrom"),
    ("newton", "xyz", "forces{piconewton}", "angstrom"),
    ("atomic", "xyz", "positions", "atomic_unit"),
    ("vatomic", "xyz", "velocities", "atomic_unit"),
    ("fatomic", "xyz", "forces", "atomic_unit"),
    ("xpos", "ase", "positions{ase}", "ase"),
    ("xvel", "ase", "velocities{ase}", "ase"),
    ("xforce", "ase", "forces{ase}", "ase"),
    ("ppos", "pdb", "positions{angstrom}", "angstrom"),
    ("bpos", "bin", "positions{nanometer}", "atomic_unit"),
    ("bvel", "bin", "velocities{m/s}", "angstrom"),
    ("centroid", "xyz", "x_centroid{angstrom}", "angstrom"),
    ("gyration", "xyz", "r_gyration{angstrom}", "angstrom"),
)


def ipi_input(steps: int) -> str:
    """Return an input file: three atoms in harmonic wells, two beads, NVE, all formats, 0.5 fs."""
    trajectories = "\n".join(
        f"<trajectory filename='{name}' stride='2' format='{form}' cell_units='{cell}'> {what} "
        "</trajectory>"
        for name, form, what, cell in TRAJECTORIES
    )
    return f"""<simulation verbosity='quiet'>
  <output prefix='run'>
    <properties stride='2' filename='out'> [ step, time{{picosecond}}, conserved{{electronvolt}},
      potential, kinetic_cv(O){{kelvin}}, cell_abcABC ] </properties>
    {trajectories}
    <checkpoint stride='14' filename='chk' overwrite='true'/>
  </output>
  <total_steps>{steps}</total_steps>
  <prng><seed>1</seed></prng>
  <ffdirect name='well'><pes>harmonic</pes><parameters>{{k1: 0.05}}</parameters></ffdirect>
  <system>
    <initialize nbeads='2'><file mode='xyz'>init.xyz</file>
      <velocities mode='thermal' units='kelvin'>300</velocities></initialize>
    <forces><force forcefield='well'/></forces>
    <ensemble><temperature units='kelvin'>300</temperature></ensemble>
    <motion mode='dynamics'><dynamics mode='nve'>
      <timestep units='femtosecond'>0.5</timestep></dynamics></motion>
  </system>
</simulation>
"""


def run_ipi(folder: Path, input_file: str) -> None:
    """Run i-PI in ``folder``; a failure shows its output."""
    done = subprocess.run(
        [BIN / "i-pi", input_file], cwd=folder, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stdout + done.stderr


def new_run(folder: Path, steps: int) -> Path:
    """Run i-PI for some steps in ``folder``."""
    (folder / "init.xyz").write_text(INITIAL)
    (folder / "input.xml").write_text(ipi_input(steps))
    run_ipi(folder, "input.xml")
    return folder


@pytest.fixture(scope="session")
def ipi_run(tmp_path_factory) -> Path:
    """An unbroken run of 20 steps: 11 frames of each trajectory."""
    return new_run(tmp_path_factory.mktemp("unbroken"), steps=20)


@pytest.fixture(scope="session")
def restarted_run(tmp_path_factory) -> Path:
    """The same run, stopped at step 18 and restarted from the checkpoint of step 14."""
    folder = new_run(tmp_path_factory.mktemp("restarted"), steps=18)
    checkpoint = (folder / "run.chk").read_text()
    assert "<total_steps>18</total_steps>" in checkpoint
    (folder / "again.xml").write_text(
        checkpoint.replace("<total_steps>18</total_steps>", "<total_steps>20</total_steps>")
    )
    run_ipi(folder, "again.xml")
    return folder


def lattice_water(n: int, spacing: float) -> np.ndarray:
    """Return positions [3 n^3, 3] of n^3 molecules O H H on a cubic lattice, rotated at random."""
    rng = np.random.default_rng(0)
    oxygen = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), -1).reshape(-1, 3) * spacing
    axes = np.linalg.qr(rng.normal(size=(n**3, 3, 3)))[0]
    half = np.deg2rad(104.5 / 2)
    arms = [
        0.97 * (np.cos(half) * axes[:, 0] + side * np.sin(half) * axes[:, 1]) for side in (1, -1)
    ]
    return np.stack([oxygen, oxygen + arms[0], oxygen + arms[1]], axis=1).reshape(-1, 3)


def memory_water(
    positions: np.ndarray, box: float | np.ndarray, dt: float = 0.01, **arrays
) -> mda.Universe:
    """Return a Universe of water in memory.

    Args:
        positions: [F, 3M, 3] in A, in the order O H H.
        box: edge of the cubic cell in A, or [F].
        dt: time between frames in ps.
        arrays: velocities or forces.
    """
    positions = np.asarray(positions, np.float32)
    n_atoms = positions.shape[1]
    molecules = n_atoms // 3
    u = mda.Universe.empty(n_atoms, molecules, atom_resindex=np.repeat(np.arange(molecules), 3))
    elements = np.tile(["O", "H", "H"], molecules).astype(object)
    for name in ("names", "types", "elements"):
        u.add_TopologyAttr(name, elements)
    u.add_TopologyAttr("masses", np.tile([15.9994, 1.00794, 1.00794], molecules))
    first = np.arange(0, n_atoms, 3)
    pairs = np.concatenate([np.stack([first, first + k], 1) for k in (1, 2)])
    u.add_TopologyAttr("bonds", [tuple(int(i) for i in pair) for pair in pairs])
    edges = np.broadcast_to(np.asarray(box, np.float32)[..., None], (*np.shape(box), 3))
    dimensions = np.concatenate([edges, np.full_like(edges, 90.0)], axis=-1)
    u.load_new(positions, order="fac", dimensions=dimensions, dt=dt, **arrays)
    return u


LAMMPS_INPUT = """units {units}
atom_style atomic
boundary p p p
read_data water.data
mass 1 15.9994
mass 2 1.00794
pair_style zero 4.0
pair_coeff * *
velocity all create 300.0 4928459
fix nve all nve
timestep {timestep}
thermo 5
thermo_style custom step temp pe ke etotal
dump traj all custom 5 run.lammpstrj id type element mass x y z vx vy vz fx fy fz
dump_modify traj element O H
run 20
"""


@pytest.fixture(scope="session", params=["metal", "real"])
def lammps_run(request, tmp_path_factory) -> tuple[Path, str]:
    """8 molecules without forces, 1 fs, 5 frames: the folder and the units."""
    units = request.param
    folder = tmp_path_factory.mktemp(f"lammps-{units}")
    x = lattice_water(2, 4.0)
    shuffled = np.random.default_rng(1).permutation(24)  # molecules not in O H H order
    rows = [
        f"{k + 1} {1 if old % 3 == 0 else 2} {x[old, 0]} {x[old, 1]} {x[old, 2]}"
        for k, old in enumerate(shuffled)
    ]
    header = "water\n\n24 atoms\n2 atom types\n\n"
    box = "".join(f"-1 7 {a}lo {a}hi\n" for a in "xyz")
    (folder / "water.data").write_text(f"{header}{box}\nAtoms # atomic\n\n" + "\n".join(rows))
    timestep = {"metal": 0.001, "real": 1.0}[units]
    (folder / "in.lmp").write_text(LAMMPS_INPUT.format(units=units, timestep=timestep))
    lmp = shutil.which("lmp", path=str(BIN)) or "lmp"
    done = subprocess.run(
        [lmp, "-in", "in.lmp"], cwd=folder, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, units
