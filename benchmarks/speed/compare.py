"""The shortest comparison: milliseconds of every contender, for some networks, sizes and threads.

python -m benchmarks.speed.compare --networks small --sizes 192 648 --threads 1 2
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

from benchmarks.speed import contenders, networks, structures
from benchmarks.speed.measure import Plan, in_turn
from benchmarks.speed.process import ContenderError, Process

CACHE = Path(os.environ.get("PET_DRIVER_CACHE", Path.home() / ".cache/pet-driver")) / "benchmark"


def models(network: str, names: list[str]) -> dict[str, Path]:
    """The converted network of every contender that is installed."""
    checkpoint = CACHE / f"{network}.ckpt"
    if not checkpoint.is_file():
        networks.write_checkpoint(network, checkpoint)
    found = {}
    for name in names:
        with Process(name, 1) as process:
            try:
                process.call("versions")
                found[name] = process.call("convert", checkpoint, CACHE / name, {})
            except ContenderError as error:
                print(f"{name} is left out: {error}")
    return found


def compare(network: str, n_atoms: int, threads: int, paths: dict[str, Path], plan: Plan) -> None:
    """Print one line a contender."""
    atoms = structures.water(n_atoms)
    frames = {}
    processes = {name: Process(name, threads) for name in paths}
    for name, process in processes.items():
        process.call("prepare", paths[name], {})

    def runner(process: Process):
        def run(index: int) -> float:
            frames.setdefault(index, structures.frame(atoms, index))
            return process.call("time", frames[index])[:2]

        return run

    probe = structures.frame(atoms, 0)
    answers = {}
    for name, process in list(processes.items()):
        try:
            answers[name] = process.call("time", probe)[2]
        except ContenderError as error:
            print(f"{name} is left out: {error}")
            processes.pop(name).close()
    race = in_turn({name: runner(process) for name, process in processes.items()}, plan)
    ours = answers["pet-driver"]
    print(f"{network}, {n_atoms} atoms, {threads} thread(s), load {race.load:.1f}")
    for name, timing in race.timings.items():
        off = np.abs(answers[name].forces - ours.forces).max()
        virial = np.abs(answers[name].virial - ours.virial).max()
        ratio = timing.median / race.timings["pet-driver"].median
        print(
            f"  {name:12s} {1e3 * timing.median:9.1f} ms +- {100 * timing.spread:4.1f} %, "
            f"{1e3 * np.median(timing.used):7.1f} ms of processor time, "
            f"{ratio:5.2f} of ours, {len(timing.seconds)} rounds, "
            f"peak {processes[name].call('memory'):6.0f} MB; "
            f"from ours: E {answers[name].energy - ours.energy:.1e} eV, F {off:.1e} eV/A, "
            f"W {virial:.1e} eV",
            flush=True,
        )
    for process in processes.values():
        process.close()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(networks.NETWORKS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[192, 648])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--contenders", nargs="+", default=list(contenders.NAMES[:3]))
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    for network in options.networks:
        paths = models(network, options.contenders)
        for n_atoms in options.sizes:
            for threads in options.threads:
                compare(network, n_atoms, threads, paths, Plan(seconds=options.seconds))


if __name__ == "__main__":
    main()
