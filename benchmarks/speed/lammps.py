"""Measure LAMMPS: the time it reports for `Pair` against the network alone in Python.

The ratio is the time of `Pair` divided by that of the network on the same structures: 1.05 means
that neighbour lists, communication and the plugin take 5 % of the time of the network.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.speed import structures
from benchmarks.speed.accuracy import errors, reference_answer
from benchmarks.speed.bench import Bench, log
from benchmarks.speed.contenders import OURS, Answer
from benchmarks.speed.process import ContenderError, Process, environment

WARM = 5
INPUT = """units metal
atom_style atomic
boundary p p p
read_data start.data
pair_style pet {model} device {device} grid 0
pair_coeff * * O H
timestep 0.0005
velocity all create 300 31
fix 1 all nve
thermo_modify norm no
run 0 post no
print "ENERGY $(pe:%.16e)"
write_dump all custom forces.dump id fx fy fz modify sort id format float %.16e
run {warm} post no
run {steps}
"""


def measure(
    bench: Bench, network: str, n_atoms: int, threads: int, repeats: int, steps: int
) -> None:
    """Time LAMMPS and the network in turn; LAMMPS is left out if it is not installed."""
    atoms = structures.water(n_atoms)
    model = bench.models(network)[OURS]
    reference = reference_answer(bench, network, structures.not_displaced(atoms))
    frames = structures.Frames(atoms)
    pairs: list[tuple[float, float]] = []
    networks: list[tuple[float, float]] = []
    with Process("archive", threads, bench.device) as process:
        process.call("prepare", model, {})
        for _ in range(repeats):
            try:
                times, energy, forces = run(bench, model, atoms, threads, steps)
            except (ContenderError, ImportError) as error:
                bench.leave_out("pet-driver in LAMMPS", str(error))
                return
            pairs.append(times)
            alone = [process.call("time", frames[k])[:2] for k in range(WARM + steps)][WARM:]
            networks.append(tuple(statistics.mean(column) for column in zip(*alone, strict=True)))
    # the virial is not compared here: the tests compare the pressures of LAMMPS
    wrong = errors(Answer(energy, forces, reference.virial), reference)
    record = {
        "network": network,
        "atoms": n_atoms,
        "threads": threads,
        "pair_seconds": median(pairs),
        "archive_seconds": median(networks),
        "half_range": (max(pairs)[0] - min(pairs)[0]) / (2 * median(pairs)),
        "ratio": statistics.median(p[0] / n[0] for p, n in zip(pairs, networks, strict=True)),
        "processor_ratio": statistics.median(
            p[1] / n[1] for p, n in zip(pairs, networks, strict=True)
        ),
        "rounds": repeats,
        "energy_error": wrong["energy_error"],
        "force_error": wrong["force_error"],
        "agrees": wrong["agrees"],
    }
    log(
        f"LAMMPS, {n_atoms} atoms: Pair {1e3 * record['pair_seconds']:.1f} ms, the network alone "
        f"{1e3 * record['archive_seconds']:.1f} ms"
    )
    bench.add("lammps", [record])


def median(times: list[tuple[float, float]]) -> float:
    """Return the median of the wall-clock times, s."""
    return statistics.median(seconds for seconds, _ in times)


def run(
    bench: Bench, model: Path, atoms: structures.Atoms, threads: int, steps: int
) -> tuple[tuple[float, float], float, np.ndarray]:
    """Run LAMMPS once.

    Returns:
        Wall-clock and processor seconds of `Pair` per step; energy (eV) and forces (eV/A) of the
        first structure.

    Raises:
        ContenderError: LAMMPS failed.
    """
    from pet_driver.engines.lammps import build
    from pet_driver.engines.lammps.environment import find_environment
    from pet_driver.engines.lammps.launch import command, variables

    build()
    found = find_environment()
    text = INPUT.format(model=model.resolve(), device=bench.device, warm=WARM, steps=steps)
    with tempfile.TemporaryDirectory() as folder:
        write_data(Path(folder) / "start.data", atoms)
        (Path(folder) / "in.bench").write_text(text)
        done = subprocess.run(
            command(found, ["-in", "in.bench", "-log", "none", "-cite", "none"], 1),
            cwd=folder,
            env=os.environ | variables(found) | environment(threads),
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise ContenderError((done.stdout + done.stderr).strip().splitlines()[-1])
        table = np.loadtxt(Path(folder) / "forces.dump", skiprows=9)
    pair = re.findall(r"^Pair\s*\|\s*([\d.e+-]+)", done.stdout, flags=re.MULTILINE)
    energy = re.search(r"^ENERGY (\S+)", done.stdout, flags=re.MULTILINE)
    busy = re.findall(r"([\d.]+)% CPU use", done.stdout)
    seconds = float(pair[-1]) / steps
    return (seconds, seconds * float(busy[-1]) / 100), float(energy[1]), table[:, 1:]


def write_data(path: Path, atoms: structures.Atoms) -> None:
    """Write a LAMMPS data file with O as type 1 and H as type 2."""
    lengths = np.diag(np.array(atoms.cell))
    lines = ["water", "", f"{len(atoms)} atoms", "2 atom types", ""]
    lines += [f"0 {length:.16e} {x}lo {x}hi" for length, x in zip(lengths, "xyz", strict=True)]
    lines += ["", "Masses", "", "1 15.999", "2 1.008", "", "Atoms # atomic", ""]
    for k, (symbol, position) in enumerate(zip(atoms.symbols, atoms.positions, strict=True)):
        kind = 1 if symbol == "O" else 2
        lines.append(f"{k + 1} {kind} " + " ".join(f"{x:.16e}" for x in position))
    path.write_text("\n".join(lines) + "\n")
