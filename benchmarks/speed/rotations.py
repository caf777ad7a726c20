"""Measure the average over the rotations of a grid, in Python.

This package averages in one call. The peers evaluate all rotated structures, one by one and, if
they can, in one call; their results are rotated back and averaged. The ratio of a method is its
median time divided by that of this package: above 1, this package is faster.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed import structures
from benchmarks.speed.accuracy import errors, reference_answer
from benchmarks.speed.bench import Bench, log
from benchmarks.speed.contenders import OURS, OWN, Answer, Frame
from benchmarks.speed.measure import Comparison, measure_in_turn
from benchmarks.speed.process import ContenderError, Process

GRID = "2i"
# All rotations of a larger box in one call would need more memory than most machines have.
LARGEST_BATCH = 600  # atoms


def measure(bench: Bench, network: str, n_atoms: int, threads: int) -> None:
    """Time every method of every contender on one structure, and check its average."""
    from pet_driver.symmetry import rotation_grid

    grid, weights = rotation_grid(GRID)
    frames = structures.Frames(structures.water(n_atoms))
    reference = reference_answer(bench, network, frames[0], GRID)
    known = {"network": network, "atoms": n_atoms, "threads": threads, "grid": GRID}
    found: dict[str, dict[str, Any]] = {}
    functions: dict[str, Callable[[int], tuple[float, float]]] = {}
    with ExitStack() as stack:
        for name, model in bench.models(network).items():
            try:
                methods = start_methods(bench, stack, name, model, grid, (n_atoms, threads))
                for method, run in methods.items():
                    answer = run(frames[0])[2]
                    mean = answer if name in OWN else average(answer, grid, weights)
                    record = {"contender": name, "method": method} | errors(mean, reference)
                    found[method] = known | record
                    functions[method] = lambda index, run=run: run(frames[index])[:2]
            except ContenderError as error:
                bench.leave_out(f"{name} with {network}, rotated", str(error))
        comparison = measure_in_turn(functions, bench.plan)
    bench.add("rotations", [found[method] | timed(comparison, method) for method in found])


def start_methods(
    bench: Bench,
    stack: ExitStack,
    name: str,
    model: Path,
    grid: np.ndarray,
    size: tuple[int, int],
) -> dict[str, Callable[[Frame], tuple[float, float, Any]]]:
    """Start a process for each method by which a contender can average.

    Args:
        bench: the benchmark.
        stack: closes the processes.
        name: the contender.
        model: its model.
        grid: rotations [R, 3, 3].
        size: numbers of atoms and of threads.

    Returns:
        By method, a function of a structure that returns seconds, processor seconds and either
        the average (this package) or the answers for all rotations.
    """
    n_atoms, threads = size

    def start(method: str, *arguments: Any) -> Process:
        process = stack.enter_context(Process(name, threads, bench.device))
        process.call(method, model, *arguments)
        return process

    if name in OWN:
        process = start("prepare", {"grid": GRID})
        return {f"{name} {GRID}": lambda frame: process.call("time", frame)}
    single = start("prepare", {})
    found = {f"{name} one by one": lambda frame: one_by_one(single, rotated(frame, grid))}
    if len(grid) * n_atoms <= LARGEST_BATCH:
        with contextlib.suppress(ContenderError):  # not every contender evaluates batches
            batch = start("prepare_batch")
            found[f"{name} in one call"] = lambda frame: batch.call("time", rotated(frame, grid))
    return found


def one_by_one(process: Process, frames: Sequence[Frame]) -> tuple[float, float, list[Answer]]:
    """Evaluate every structure in its own call; the transfer between processes is not timed."""
    answers = [process.call("time", frame) for frame in frames]
    return sum(a[0] for a in answers), sum(a[1] for a in answers), [a[2] for a in answers]


def rotated(frame: Frame, grid: np.ndarray) -> list[Frame]:
    """Return the structure under every rotation of ``grid`` [R, 3, 3]."""
    return [Frame(frame.numbers, frame.positions @ r, frame.cell @ r, frame.periodic) for r in grid]


def average(answers: Sequence[Answer], grid: np.ndarray, weights: np.ndarray) -> Answer:
    """Return the weighted mean of the answers, each rotated back."""
    return Answer(
        sum(w * a.energy for w, a in zip(weights, answers, strict=True)),
        sum(w * a.forces @ r.T for w, a, r in zip(weights, answers, grid, strict=True)),
        sum(w * r @ a.virial @ r.T for w, a, r in zip(weights, answers, grid, strict=True)),
    )


def timed(comparison: Comparison, method: str) -> dict[str, Any]:
    """Return the times of a method and their ratio to those of this package."""
    ours = comparison.timings[f"{OURS} {GRID}"].median
    record = comparison.timings[method].record() | {"load": comparison.load}
    ratio = record["seconds"] / ours
    log(f"{method}: {1e3 * record['seconds']:.1f} ms, ratio to {OURS} {ratio:.2f}")
    return record | {"ratio": ratio}
