"""Measure a batch of structures in one call against one call per structure.

The speedup is the median time of the separate calls divided by the median time of the one call:
above 1, the batch is faster.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.speed import structures
from benchmarks.speed.bench import Bench, log
from benchmarks.speed.measure import measure_in_turn
from benchmarks.speed.process import ContenderError, Process

COPIES = 8
METHODS = ("time", "time_separately")  # of Worker


def measure(bench: Bench, network: str, n_atoms: int, threads: int) -> None:
    """Time COPIES displaced boxes in one call, and in COPIES calls, of every contender."""
    frames = structures.Frames(structures.water(n_atoms))
    functions: dict[str, Callable[[int], tuple[float, float]]] = {}
    with ExitStack() as stack:
        for name, model in bench.models(network).items():
            # Two processes, because a contender may compile itself for the sizes that it sees.
            for method in METHODS:
                process = stack.enter_context(Process(name, threads, bench.device))
                try:
                    process.call("prepare_batch", model)
                    process.call(method, [frames[0], frames[1]])
                except ContenderError as error:
                    bench.leave_out(f"{name} in batches", str(error))
                    break
                functions[f"{name} {method}"] = timed_batch(process, method, frames)
        comparison = measure_in_turn(functions, bench.plan)
    records = []
    for name in sorted({key.split()[0] for key in functions}):
        one, calls = (comparison.timings[f"{name} {method}"] for method in METHODS)
        speedup = calls.median / one.median
        records.append(
            {
                "network": network,
                "atoms": n_atoms,
                "threads": threads,
                "copies": COPIES,
                "contender": name,
                "load": comparison.load,
                "one_call": one.record(),
                "calls": calls.record(),
                "speedup": speedup,
            }
        )
        log(f"{COPIES} x {n_atoms} atoms, {name}: speedup of one call {speedup:.2f}")
    bench.add("batches", records)


def timed_batch(
    process: Process, method: str, frames: structures.Frames
) -> Callable[[int], tuple[float, float]]:
    """Return a function that evaluates the copies of round ``index`` and returns its times (s)."""

    def run(index: int) -> tuple[float, float]:
        return process.call(method, [frames[COPIES * index + k] for k in range(COPIES)])[:2]

    return run
