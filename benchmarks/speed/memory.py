"""Measure the peak memory, in a new process for every contender and structure."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.speed import structures
from benchmarks.speed.bench import Bench, log
from benchmarks.speed.process import ContenderError, Process

EVALUATIONS = 4  # memory may still grow after the first one: code is compiled, caches fill


def measure(bench: Bench, cells: Iterable[tuple[str, int]], threads: int) -> None:
    """Measure the peak memory (MB) before the first evaluation and after EVALUATIONS."""
    for network, n_atoms in cells:
        frames = structures.Frames(structures.water(n_atoms))
        for name, model in bench.models(network).items():
            with Process(name, threads, bench.device) as process:
                try:
                    loaded = process.call("prepare", model, {})
                    for index in range(EVALUATIONS):
                        process.call("time", frames[index])
                    peak = process.call("memory")
                except ContenderError as error:
                    bench.leave_out(f"{name} with {network}, {n_atoms} atoms", str(error))
                    continue
            record = {"network": network, "atoms": n_atoms, "threads": threads}
            bench.add("memory", [record | {"contender": name, "loaded": loaded, "peak": peak}])
            log(f"{network}, {n_atoms} atoms: {name} {peak:.0f} MB at most")
