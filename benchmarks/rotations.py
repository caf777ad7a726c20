"""Measure the cost of a rotational average in one call against other ways to average.

    python -m benchmarks.rotations [--model water-small] [--box inputs/structures/water-64.xyz]

Times on a CPU with OMP_NUM_THREADS threads, for the grid `2i` of 36 rotations and inversions:

- one molecule: `2i` in one call, against 36 raw evaluations of rotated structures;
- the same molecule in the i-PI process: `2i` in the model, against the raw model under i-PI's
  `<ffrotations>`, one rotation at a time (the default) and in batches of 36;
- a box of liquid water: `2i` in one call, against 36 raw evaluations; and the peak memory.

Each ratio is the time of the other way divided by the time of this package: above 1, this package
is faster. The ways alternate and medians are compared, so that other load on the machine affects
all alike. Each i-PI simulation is a process of its own, because its threads keep polling.
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
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from ase import Atoms

import pet_driver
from benchmarks import ipi_input
from benchmarks.speed.structures import water
from benchmarks.timing import alternate
from pet_driver.building.structures import read_structures
from pet_driver.symmetry import rotation_grid

ROOT = Path(__file__).parents[1]
GRID = "2i"
IPI_STEPS = 16  # steps of a run, the first four of which are not counted


def main() -> None:
    """Print the times and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="water-small", help="archive or shipped name")
    parser.add_argument("--box", default=ROOT / "inputs/structures/water-64.xyz", type=Path)
    parser.add_argument("--repeats", default=7, type=int)
    parser.add_argument("--ipi-repeats", default=3, type=int)
    parser.add_argument("--box-repeats", default=1, type=int)
    options = parser.parse_args()
    model = pet_driver.load(options.model)
    print(f"{options.model} ({model.metadata['dtype']}), {torch.get_num_threads()} thread(s)")

    molecule = water(3)
    times = alternate(one_call(model, molecule), separate_calls(model, molecule), options.repeats)
    print_ratio("one molecule, 36 separate calls", *times, target="at least 8")
    ours, single, batched = times_in_ipi(options.model, options.ipi_repeats)
    print_ratio("one molecule in i-PI, ffrotations", ours, single, target="at least 3")
    print_ratio("the same, batch_size 36", ours, batched, target="at least 3")
    box = read_structures(options.box)[0]
    average_box = one_call(model, box)
    average_box()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    times = alternate(average_box, separate_calls(model, box), options.box_repeats)
    print_ratio(f"box of {len(box)} atoms, 36 separate calls", *times, target="at least 1")
    print(f"peak memory with the box averaged in one call: {peak:.2f} GB (target: below 3)")


def print_ratio(name: str, ours: float, other: float, target: str) -> None:
    """Print both times (s) and the ratio of the other to ours."""
    ratio = f"{other / ours:6.2f} (target: {target})"
    print(f"{name:40s} {1e3 * other:9.1f} ms; {GRID} {1e3 * ours:9.1f} ms; ratio {ratio}")


def one_call(model: pet_driver.Model, atoms: Atoms) -> Callable[[], object]:
    """Return a function that averages in one call of the model."""
    return lambda: model.evaluate(atoms, GRID)


def separate_calls(model: pet_driver.Model, atoms: Atoms) -> Callable[[], object]:
    """Return a function that evaluates the structure once under every rotation."""
    rotations, _ = rotation_grid(GRID)
    rotated = []
    for rotation in rotations:
        copy = atoms.copy()
        copy.set_cell(np.array(atoms.cell) @ rotation)
        copy.positions = atoms.positions @ rotation
        rotated.append(copy)
    return lambda: [model.evaluate(copy, "0") for copy in rotated]


def times_in_ipi(model: str, repeats: int) -> list[float]:
    """Return median times (s) of an i-PI step: `2i` in the model, and by i-PI in batches of 1, 36.

    The runs alternate.
    """
    model = str(Path(model).resolve()) if Path(model).exists() else model
    raw = [
        ipi_input.pet_ffdirect(f"model: {model}, grid: 0", name="inner", batch=batch)
        for batch in (1, 36)
    ]
    forcefields = [ipi_input.pet_ffdirect(f"model: {model}, grid: {GRID}")]
    forcefields += [ipi_input.ffrotations(inner) for inner in raw]
    found: list[list[tuple[float, float]]] = [[] for _ in forcefields]
    for _ in range(repeats):
        for forcefield, results in zip(forcefields, found, strict=True):
            results.append(run_in_process(forcefield))
    energies = [results[0][1] for results in found]
    # i-PI's grid is the transpose of ours: the averages differ by the remaining anisotropy
    assert max(energies) - min(energies) < 1e-4, energies
    return [statistics.median(time for time, _ in results) for results in found]


def run_in_process(forcefield: str) -> tuple[float, float]:
    """Run i-PI in a new process; return the median time (s) of a step and the first energy."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=run_ipi, args=(forcefield, sender))
    process.start()
    sender.close()
    result = receiver.recv()
    process.join()
    return result


def run_ipi(forcefield: str, sender: Connection) -> None:
    """Run some steps; send their median time (s) and the first energy (hartree).

    All steps are one run, as in the program i-pi: every separate run would write a RESTART.
    """
    import warnings

    from ipi.scripting import InteractiveSimulation
    from ipi.utils.depend import dstrip

    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        water(3).write("start.xyz", format="extxyz")
        text = ipi_input.simulation(forcefield, attributes=' threading="false"')
        simulation = InteractiveSimulation(text)
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
    os._exit(0)  # the threads of i-PI never end


if __name__ == "__main__":
    main()
