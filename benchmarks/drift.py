"""Measure the energy drift in NVE dynamics for each backend and precision.

    python -m benchmarks.drift [--picoseconds 1] [--model water-small] [-o TABLE.md]

64 water molecules start with the same positions and velocities and run without a thermostat: with
the C++ kernels in float64 and float32, and with TorchScript in float32. Each run is a process of
its own, one after the other. The drift is the slope of a linear fit to the total energy after the
first tenth of the run; its error is estimated from blocks of correlated values. The last column is
the largest difference of a coordinate from the first run after 50 steps, before chaos dominates.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from ase import units
from ase.io import read
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from ase.md.verlet import VelocityVerlet
from tqdm import trange

import pet_driver

ROOT = Path(__file__).parents[1]
BACKENDS = (  # name, dtype, PET_DRIVER_KERNELS
    ("C++", "float64", "on"),
    ("C++", "float32", "on"),
    ("TorchScript", "float32", "off"),
)
TIMESTEP = 0.5  # fs
EARLY = 50  # steps, after which positions are compared
TEMPERATURE = 300  # K


def main() -> None:
    """Run every backend and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="water-small", help="archive or shipped name")
    parser.add_argument("--box", default=ROOT / "inputs/structures/water-64.xyz", type=Path)
    parser.add_argument("--picoseconds", default=1.0, type=float)
    parser.add_argument("-o", "--output", type=Path, help="Markdown file to write the table to")
    parser.add_argument("--run", nargs=2, metavar=("ARCHIVE", "RESULT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        archive, result = options.run
        run(archive, options.box, options.picoseconds, Path(result))
        return
    table = compare(options.model, options.box, options.picoseconds)
    print(table)
    if options.output:
        options.output.write_text(table + "\n")


def compare(model: str, box: Path, picoseconds: float) -> str:
    """Return a table with the drift of every backend."""
    from pet_driver.analysis.drift import linear_drift  # not needed in the processes of the runs

    lines = [
        f"{box.stem}, {picoseconds:g} ps at constant energy, steps of {TIMESTEP} fs, {model}.",
        "",
        "| backend | drift, eV/(atom ps) | fluctuation, eV/atom | difference, A |",
        "| --- | --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory() as folder:
        reference = None
        for name, dtype, kernels in BACKENDS:
            archive = Path(folder, f"{dtype}.pt")
            if not archive.is_file():
                pet_driver.export(model, archive, dtype=dtype)
            found = run_in_process(archive, box, picoseconds, kernels)
            reference = found["early"] if reference is None else reference
            n_atoms = len(found["early"])
            keep = len(found["energy"]) // 10
            drift = linear_drift(found["time"][keep:], found["energy"][keep:] / n_atoms)
            difference = np.abs(found["early"] - reference).max()
            lines.append(
                f"| {name}, {dtype} | {drift.slope:+.1e} ± {drift.error:.0e} "
                f"| {drift.fluctuation:.1e} | {difference:.0e} |"
            )
    return "\n".join(lines)


def run_in_process(archive: Path, box: Path, picoseconds: float, kernels: str) -> dict:
    """Run one backend in a process of its own and return the arrays of :func:`run`."""
    result = archive.with_suffix(f".{kernels}.npz")
    command = [sys.executable, __file__, "--box", box, "--picoseconds", str(picoseconds)]
    environment = {**os.environ, "PET_DRIVER_KERNELS": kernels}
    subprocess.run([*command, "--run", archive, result], check=True, env=environment)
    return dict(np.load(result))


def run(archive: str, box: Path, picoseconds: float, result: Path) -> None:
    """Run NVE dynamics; write time (ps), total energy (eV) and early positions (A)."""
    atoms = read(box)
    atoms.calc = pet_driver.PETCalculator(pet_driver.load(archive), "0")
    MaxwellBoltzmannDistribution(
        atoms, temperature_K=TEMPERATURE, rng=np.random.default_rng(1), force_temp=True
    )
    Stationary(atoms)
    dynamics = VelocityVerlet(atoms, TIMESTEP * units.fs)
    energy, early = [], None
    for step in trange(round(picoseconds * 1000 / TIMESTEP), desc=Path(archive).stem):
        dynamics.run(1)
        energy.append(atoms.get_total_energy())
        if step + 1 == EARLY:
            early = atoms.positions.copy()
    time = TIMESTEP / 1000 * (1 + np.arange(len(energy)))
    np.savez(result, time=time, energy=energy, early=early)


if __name__ == "__main__":
    main()
