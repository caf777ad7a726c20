"""Measure time and memory of the observables of a liquid: 512 molecules, 2,000 frames.

    python benchmarks/analysis.py [--frames 2000] [--molecules 512] [--workers 2]

Writes a synthetic trajectory into a temporary folder (water molecules that move and rotate at
random, 10 fs between frames, positions and velocities in i-PI's format 'ase'), and analyzes it

- with all observables in one pass (`run_collection`);
- with one observable after the other, each with the best backend that it supports.

Target for the first: below 60 s and 1 GB of resident memory on two cores.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from MDAnalysis.analysis.base import AnalysisBase
from scipy.spatial.transform import Rotation

from pet_driver import analysis
from pet_driver.building import liquid

TIMESTEP, STRIDE = 0.5, 20  # fs; steps between frames
DISPLACEMENT, ROTATION = 0.02, 0.1  # A and radian between frames: diffusion as in water
SPEED = {"O": 0.039, "H": 0.157}  # sqrt(kT/m) at 300 K in ASE's unit


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", default=2000, type=int)
    parser.add_argument("--molecules", default=512, type=int)
    parser.add_argument("--workers", default=2, type=int)
    parser.add_argument("--collection-only", action="store_true", help="skip the single runs")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        size = write_trajectory(Path(folder), options.molecules, options.frames)
        print(f"{3 * options.molecules} atoms, {options.frames} frames, {size / 1e6:.0f} MB")
        time_collection(Path(folder), options.workers)
        if not options.collection_only:
            time_single_runs(Path(folder), options.workers)


def observables(folder: Path) -> dict[str, AnalysisBase]:
    """Return the observables of the run in ``folder`` by name, not yet run."""
    positions = folder / "run.pos_0.extxyz"
    u = analysis.water_universe(positions, timestep=TIMESTEP)
    moving = analysis.water_universe(
        positions, timestep=TIMESTEP, velocities=folder / "run.vel_0.extxyz"
    )
    return {
        "g_OO": analysis.RadialDistribution(u, "OO", kernel=0.1),
        "g_OH": analysis.RadialDistribution(u, "OH", kernel=0.1),
        "g_HH": analysis.RadialDistribution(u, "HH", kernel=0.1),
        "dipole correlations": analysis.DipoleCorrelation(u),
        "orientational free energy": analysis.OrientationalFreeEnergy(u),
        "hydrogen bonds": analysis.HydrogenBonds(u),
        "mean-square displacement": analysis.MeanSquareDisplacement(u),
        "rotational autocorrelation": analysis.RotationalAutocorrelation(u),
        "vibrational density of states": analysis.VibrationalDensityOfStates(moving),
    }


def time_collection(folder: Path, workers: int) -> None:
    """Time all observables in one pass."""
    started, used = time.perf_counter(), processor_time()
    with Memory() as memory:
        collection = list(observables(folder).values())
        opened = time.perf_counter() - started
        analysis.run_collection(collection, backend="multiprocessing", n_workers=workers)
    total, used = time.perf_counter() - started, processor_time() - used
    print(
        f"one pass, {workers} processes: {total:.1f} s (opening the files: {opened:.1f} s), "
        f"{used:.1f} s of processor time, peak of resident memory {memory.peak:.0f} MB"
    )


def processor_time() -> float:
    """Return the processor time in s of this process and its finished children."""
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, whose))


class Memory(threading.Thread):
    """Thread that records the peak of the resident memory of this process and its children.

    Pages that processes share are counted once (Linux' proportional set size).

    Attributes:
        peak: in MB.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak, self._ended = 0.0, threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.2):
            pids = [os.getpid(), *(child.pid for child in multiprocessing.active_children())]
            self.peak = max(self.peak, sum(map(proportional_size, pids)))

    def __enter__(self) -> Memory:
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self._ended.set()
        self.join()


def proportional_size(pid: int) -> float:
    """Return the proportional set size of a process in MB, 0 if it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return int(text.split("\nPss:")[1].split()[0]) / 1024


def time_single_runs(folder: Path, workers: int) -> None:
    """Time each observable in a run of its own."""
    total = 0.0
    for name, observable in observables(folder).items():
        parallel = observable.parallelizable and workers > 1
        started = time.perf_counter()
        if parallel:
            observable.run(backend="multiprocessing", n_workers=workers)
        else:
            observable.run()
        seconds = time.perf_counter() - started
        total += seconds
        print(f"  {name:32s} {seconds:6.1f} s  {'multiprocessing' if parallel else 'serial'}")
    print(f"  {'sum':32s} {total:6.1f} s")


def write_trajectory(folder: Path, n_molecules: int, n_frames: int) -> int:
    """Write positions and velocities of molecules in random motion; return the size in bytes."""
    box = liquid(n_molecules, seed=1)
    symbols = box.get_chemical_symbols()
    speeds = np.array([SPEED[symbol] for symbol in symbols])[:, None]
    random = np.random.default_rng(0)
    length = float(box.cell[0, 0])
    with (
        open(folder / "run.pos_0.extxyz", "w") as positions,
        open(folder / "run.vel_0.extxyz", "w") as velocities,
    ):
        for frame, x in enumerate(random_motion(box.positions, n_frames, random)):
            v = speeds * random.normal(size=x.shape)
            positions.write(extxyz("positions", x, symbols, length, frame))
            velocities.write(extxyz("velocities", v, symbols, length, frame))
        return positions.tell() + velocities.tell()


def random_motion(
    start: np.ndarray, n_frames: int, random: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield positions [3M, 3] of molecules O H H that move and rotate from frame to frame."""
    molecules = start.reshape(-1, 3, 3)
    oxygens, arms = molecules[:, :1].copy(), molecules - molecules[:, :1]
    for _ in range(n_frames):
        yield (oxygens + arms).reshape(-1, 3)
        oxygens += random.normal(0.0, DISPLACEMENT, oxygens.shape)
        vectors = random.normal(0.0, ROTATION, (len(arms), 3))
        arms = np.einsum("mab,mkb->mka", Rotation.from_rotvec(vectors).as_matrix(), arms)


def extxyz(
    quantity: str, values: np.ndarray, symbols: Sequence[str], length: float, frame: int
) -> str:
    """Return one frame in i-PI's format 'ase'."""
    lattice = " ".join(f"{length if k % 4 == 0 else 0.0:.8f}" for k in range(9))
    title = f"Step: {frame * STRIDE:11d}  Bead:       0 {quantity}{{ase}}  cell{{ase}}"
    head = (
        f'{len(values)}\nLattice="{lattice}" Properties=species:S:1:{quantity}:R:3 '
        f'ipi_comment="{title}" pbc="T T T"\n'
    )
    line = "%-2s %16.8f %16.8f %16.8f\n"
    fields = [part for symbol, row in zip(symbols, values, strict=True) for part in (symbol, *row)]
    return head + line * len(values) % tuple(fields)


if __name__ == "__main__":
    main()
