"""What an average over rotations costs in one call, against three ways of doing it by hand.

    python benchmarks/rotations.py [--model water-small] [--box inputs/structures/water-64.xyz]

On one CPU, with the number of threads of OMP_NUM_THREADS:

- one molecule, `2i` in one call, against 36 separate raw evaluations of rotated structures;
- the same molecule through i-PI in its own process, `2i` by the archive, against the same raw
  archive under i-PI's own `<ffrotations>` (36 rotations and inversions, in batches of 36);
- a box of liquid, `2i` in one call, against 36 separate raw evaluations, and the peak memory.

The ways are repeated in turn and medians are compared, so that a busy machine slows all of them.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import molecule
from ase.io import read
from ipi.scripting import InteractiveSimulation
from ipi.utils.depend import dstrip

import pet_driver
from pet_driver.engines.ipi import shim_path
from pet_driver.structures import read_structures
from pet_driver.symmetry import rotation_grid

ROOT = Path(__file__).parents[1]
GRID = "2i"

INPUT = """<simulation verbosity="quiet" safe_stride="1000000">
  <output prefix="run"/>
  <total_steps> 1000000 </total_steps>
  <prng><seed> 31 </seed></prng>
  {forcefield}
  <system>
    <initialize nbeads="1"><file mode="ase"> start.xyz </file>
      <velocities mode="thermal" units="kelvin"> 300 </velocities></initialize>
    <forces><force forcefield="pet"/></forces>
    <ensemble><temperature units="kelvin"> 300 </temperature></ensemble>
    <motion mode="dynamics">
      <dynamics mode="nve"><timestep units="femtosecond"> 0.5 </timestep></dynamics>
    </motion>
  </system>
</simulation>"""
DIRECT = """<ffdirect name="{name}"> <pes> custom </pes> <pes_path> {shim} </pes_path>
  <batch_size> {batch} </batch_size>
  <parameters> {{model: {model}, template: start.xyz, grid: {grid}}} </parameters> </ffdirect>"""
ROTATIONS = """<ffrotations name="pet">
  <grid_mode> legendre </grid_mode> <grid_order> 2 </grid_order> <inversion> True </inversion>
  {direct} </ffrotations>"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="water-small", help="archive or shipped name")
    parser.add_argument("--box", default=ROOT / "inputs/structures/water-64.xyz", type=Path)
    parser.add_argument("--repeats", default=7, type=int)
    parser.add_argument("--box-repeats", default=1, type=int)
    options = parser.parse_args()
    model = pet_driver.load(options.model)
    print(f"{options.model} ({model.metadata['dtype']}), {torch.get_num_threads()} thread(s)")

    water = one_molecule()
    timings = in_turn(one_call(model, water), separate_calls(model, water), options.repeats)
    say("one molecule, 36 separate calls", *timings, bar="at least 8")
    timings = through_ipi(options.model, water, options.repeats)
    say("one molecule, i-PI's ffrotations", *timings, bar="at least 3")
    box = read_structures(options.box)[0]
    together = one_call(model, box)
    together()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    timings = in_turn(together, separate_calls(model, box), options.box_repeats, warm=False)
    say(f"box of {len(box)} atoms, 36 separate calls", *timings, bar="at least 1")
    print(f"peak memory of the process with the box averaged in one call: {peak:.2f} GB (below 3)")


def say(what: str, ours: float, other: float, bar: str) -> None:
    ratio = f"{other / ours:6.2f} ({bar})"
    print(f"{what:40s} {1e3 * other:9.1f} ms; {GRID} {1e3 * ours:9.1f} ms; ratio {ratio}")


def one_molecule() -> Atoms:
    water = molecule("H2O")
    water.rotate(40, (1, 2, 3))
    water.set_cell([30.0] * 3)
    water.pbc = True
    water.center()
    return water


def one_call(model: pet_driver.Model, atoms: Atoms) -> Callable[[], object]:
    return lambda: model.evaluate(atoms, GRID)


def separate_calls(model: pet_driver.Model, atoms: Atoms) -> Callable[[], object]:
    rotations, _ = rotation_grid(GRID)
    turned = []
    for rotation in rotations:
        copy = atoms.copy()
        copy.set_cell(np.array(atoms.cell) @ rotation)
        copy.positions = atoms.positions @ rotation
        turned.append(copy)
    return lambda: [model.evaluate(copy, "0") for copy in turned]


def in_turn(
    ours: Callable[[], object], other: Callable[[], object], repeats: int, warm: bool = True
) -> tuple[float, float]:
    """Median times (s) of two functions that run one after the other, again and again."""
    for function in (ours, other) * 2 * warm:
        function()
    times: dict[Callable, list[float]] = {ours: [], other: []}
    for _ in range(repeats):
        for function, taken in times.items():
            started = time.perf_counter()
            function()
            taken.append(time.perf_counter() - started)
    return statistics.median(times[ours]), statistics.median(times[other])


def through_ipi(model: str, atoms: Atoms, repeats: int) -> tuple[float, float]:
    """Median times (s) of an i-PI step, averaged by the archive and by i-PI."""
    model = str(Path(model).resolve()) if Path(model).exists() else model
    parts = {"model": model, "shim": shim_path()}
    ours = DIRECT.format(name="pet", batch=1, grid=GRID, **parts)
    theirs = ROTATIONS.format(direct=DIRECT.format(name="inner", batch=36, grid="0", **parts))
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            atoms.write("start.xyz", format="extxyz")
            read("start.xyz")
            simulations = [
                InteractiveSimulation(INPUT.format(forcefield=field)) for field in (ours, theirs)
            ]
            energies = [float(dstrip(s.syslist[0].forces.pots)[0]) for s in simulations]
            # the two sets of rotations are inverse to each other, hence equal up to what they leave
            assert abs(energies[0] - energies[1]) < 1e-3, energies
            steps = [lambda s=s: s.run(1, write_outputs=False) for s in simulations]
            return in_turn(*steps, repeats)
        finally:
            os.chdir(here)


if __name__ == "__main__":
    main()
    os._exit(0)  # i-PI's threads do not end by themselves
