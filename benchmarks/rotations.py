"""What an average over rotations costs in one call, against three ways of doing it by hand.

    python benchmarks/rotations.py [--model water-small] [--box inputs/structures/water-64.xyz]

On one CPU, with the number of threads of OMP_NUM_THREADS:

- one molecule, `2i` in one call, against 36 separate raw evaluations of rotated structures;
- steps of the same molecule in i-PI's own process, `2i` by the archive, against the same raw
  archive under i-PI's own `<ffrotations>` (36 rotations and inversions, one by one as by default,
  and in batches of 36);
- a box of liquid, `2i` in one call, against 36 separate raw evaluations, and the peak memory.

The ways are repeated in turn and medians are compared, so that a busy machine slows all of them.
Simulations of i-PI run one at a time in processes of their own: its threads never stop polling.
"""

from __future__ import annotations

import argparse
import multiprocessing
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
from timing import in_turn

import pet_driver
from pet_driver.building.structures import read_structures
from pet_driver.engines.ipi import shim_path
from pet_driver.symmetry import rotation_grid

ROOT = Path(__file__).parents[1]
GRID = "2i"
IPI_STEPS = 16  # a run, the first four of them not counted

INPUT = """<simulation verbosity="quiet" safe_stride="1000000" threading="false">
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
    parser.add_argument("--ipi-repeats", default=3, type=int)
    parser.add_argument("--box-repeats", default=1, type=int)
    options = parser.parse_args()
    model = pet_driver.load(options.model)
    print(f"{options.model} ({model.metadata['dtype']}), {torch.get_num_threads()} thread(s)")

    water = one_molecule()
    timings = in_turn(one_call(model, water), separate_calls(model, water), options.repeats)
    say("one molecule, 36 separate calls", *timings, bar="at least 8")
    ours, single, batched = through_ipi(options.model, options.ipi_repeats)
    say("one molecule in i-PI, ffrotations", ours, single, bar="at least 3")
    say("the same, batch_size 36", ours, batched, bar="at least 3")
    box = read_structures(options.box)[0]
    together = one_call(model, box)
    together()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    timings = in_turn(together, separate_calls(model, box), options.box_repeats)
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


def through_ipi(model: str, repeats: int) -> list[float]:
    """Median times (s) of an i-PI step: `2i` by the archive, by i-PI one by one, and in batches."""
    model = str(Path(model).resolve()) if Path(model).exists() else model
    parts = {"model": model, "shim": shim_path()}
    inner = [DIRECT.format(name="inner", batch=n, grid="0", **parts) for n in (1, 36)]
    ways = [DIRECT.format(name="pet", batch=1, grid=GRID, **parts)]
    ways += [ROTATIONS.format(direct=direct) for direct in inner]
    found: list[list[tuple[float, float]]] = [[] for _ in ways]
    for _ in range(repeats):
        for way, results in zip(ways, found, strict=True):
            results.append(in_own_process(way))
    energies = [results[0][1] for results in found]
    # i-PI's rotations are the inverse ones: the averages differ by what either leaves
    assert max(energies) - min(energies) < 1e-4, energies
    return [statistics.median(time for time, _ in results) for results in found]


def in_own_process(forcefield: str) -> tuple[float, float]:
    """Median time (s) of a step, and the energy (hartree) before the first, of a fresh i-PI."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=run_ipi, args=(forcefield, sender))
    process.start()
    sender.close()
    result = receiver.recv()
    process.join()
    return result


def run_ipi(forcefield: str, sender) -> None:
    """Run some steps and send their median time and the first energy.

    All steps are one run, as in the program i-pi: every run of its own would write a RESTART.
    """
    import warnings

    from ipi.scripting import InteractiveSimulation
    from ipi.utils.depend import dstrip

    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        one_molecule().write("start.xyz", format="extxyz")
        simulation = InteractiveSimulation(INPUT.format(forcefield=forcefield))
        energy = float(dstrip(simulation.syslist[0].forces.pots)[0])
        step, times = simulation.run_step, []

        def timed_step(number: int) -> None:
            started = time.perf_counter()
            step(number)
            times.append(time.perf_counter() - started)

        simulation.run_step = timed_step
        simulation.run(IPI_STEPS, write_outputs=False)
        sender.send((statistics.median(times[4:]), energy))
        os.chdir("/")
    os._exit(0)  # i-PI's threads do not end by themselves


if __name__ == "__main__":
    main()
