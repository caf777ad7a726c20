"""Several structures at once: a batch of copies, and one structure under the rotations of a grid.

A batch is compared with as many calls. The rotational average of this package is compared with the
peers' evaluations of all rotated structures, one by one and, where they can, in one call.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed import structures
from benchmarks.speed.accuracy import errors, exact
from benchmarks.speed.bench import Bench, say
from benchmarks.speed.contenders import OURS, OWN, Answer, Frame
from benchmarks.speed.measure import Race, in_turn
from benchmarks.speed.process import ContenderError, Process

COPIES = 8
GRID = "2i"
METHODS = ("time", "time_one_by_one")
# All rotations of a box in one call would take more memory than most machines have.
LARGEST_BATCH = 600  # atoms


def batches(bench: Bench, network: str, n_atoms: int, threads: int) -> None:
    """So many copies of a box in one call, and in a call each."""
    frames = structures.Frames(structures.water(n_atoms))
    racers: dict[str, Callable[[int], tuple[float, float]]] = {}
    with ExitStack() as stack:
        for name, model in bench.models(network).items():
            # a process for each: what compiles itself to the sizes that it sees shall see one
            for method in METHODS:
                process = stack.enter_context(Process(name, threads, bench.device))
                try:
                    process.call("prepare_batch", model)
                    process.call(method, [frames[0], frames[1]])
                except ContenderError as error:
                    bench.leave_out(f"{name} in batches", str(error))
                    break
                racers[f"{name} {method}"] = batch_runner(process, method, frames)
        race = in_turn(racers, bench.plan)
    records = []
    for name in sorted({key.split()[0] for key in racers}):
        one, calls = (race.timings[f"{name} {m}"] for m in METHODS)
        records.append(
            {
                "network": network,
                "atoms": n_atoms,
                "threads": threads,
                "copies": COPIES,
                "contender": name,
                "load": race.load,
                "one_call": one.record(),
                "calls": calls.record(),
                "gain": calls.median / one.median,
            }
        )
        say(f"{COPIES} x {n_atoms} atoms, {name}: {calls.median / one.median:.2f} calls' time")
    bench.add("batches", records)


def batch_runner(
    process: Process, method: str, frames: structures.Frames
) -> Callable[[int], tuple[float, float]]:
    """Evaluate the copies that belong to a round."""

    def run(index: int) -> tuple[float, float]:
        return process.call(method, [frames[COPIES * index + k] for k in range(COPIES)])[:2]

    return run


def rotations(bench: Bench, network: str, n_atoms: int, threads: int) -> None:
    """The average over a grid: this package in one call, the peers by hand."""
    from pet_driver.symmetry import rotation_grid

    grid, weights = rotation_grid(GRID)
    frames = structures.Frames(structures.water(n_atoms))
    reference = exact(bench, network, frames[0], GRID)
    known = {"network": network, "atoms": n_atoms, "threads": threads, "grid": GRID}
    found: dict[str, dict[str, Any]] = {}
    racers: dict[str, Callable[[int], tuple[float, float]]] = {}
    with ExitStack() as stack:
        for name, model in bench.models(network).items():
            try:
                for way, run in ways(bench, stack, name, model, grid, (n_atoms, threads)).items():
                    answer = run(frames[0])[2]
                    mean = answer if name in OWN else average(answer, grid, weights)
                    found[way] = known | {"contender": name, "way": way} | errors(mean, reference)
                    racers[way] = lambda index, run=run: run(frames[index])[:2]
            except ContenderError as error:
                bench.leave_out(f"{name} with {network}, rotated", str(error))
        race = in_turn(racers, bench.plan)
    bench.add("rotations", [record | timed(race, way) for way, record in found.items()])


def ways(
    bench: Bench,
    stack: ExitStack,
    name: str,
    model: Path,
    grid: np.ndarray,
    size: tuple[int, int],
) -> dict[str, Callable[[Frame], tuple[float, float, Any]]]:
    """The ways in which a contender can average a structure of ``size`` (atoms, threads): each
    gives seconds, processor seconds and answer. Each has a process of its own."""
    n_atoms, threads = size

    def start(method: str, *arguments: Any) -> Process:
        process = stack.enter_context(Process(name, threads, bench.device))
        process.call(method, model, *arguments)
        return process

    if name in OWN:
        process = start("prepare", {"grid": GRID})
        return {f"{name} {GRID}": lambda frame: process.call("time", frame)}
    single = start("prepare", {})
    found = {f"{name} one by one": lambda frame: one_by_one(single, turned(frame, grid))}
    if len(grid) * n_atoms <= LARGEST_BATCH:
        with contextlib.suppress(ContenderError):  # it has no call for several structures
            batch = start("prepare_batch")
            found[f"{name} in one call"] = lambda frame: batch.call("time", turned(frame, grid))
    return found


def one_by_one(process: Process, frames: Sequence[Frame]) -> tuple[float, float, list[Answer]]:
    """A call for every structure; what the processes say to each other is not timed."""
    answers = [process.call("time", frame) for frame in frames]
    return sum(a[0] for a in answers), sum(a[1] for a in answers), [a[2] for a in answers]


def turned(frame: Frame, grid: np.ndarray) -> list[Frame]:
    """The structure under every rotation."""
    return [Frame(frame.numbers, frame.positions @ r, frame.cell @ r, frame.periodic) for r in grid]


def average(answers: Sequence[Answer], grid: np.ndarray, weights: np.ndarray) -> Answer:
    """Weighted mean of the answers, turned back."""
    return Answer(
        sum(w * a.energy for w, a in zip(weights, answers, strict=True)),
        sum(w * a.forces @ r.T for w, a, r in zip(weights, answers, grid, strict=True)),
        sum(w * r @ a.virial @ r.T for w, a, r in zip(weights, answers, grid, strict=True)),
    )


def timed(race: Race, way: str) -> dict[str, Any]:
    """What the race tells of one way; the ratio is to the average in one call of this package."""
    ours = race.timings[f"{OURS} {GRID}"].median
    record = race.timings[way].record() | {"load": race.load}
    say(f"{way}: {1e3 * record['seconds']:.1f} ms, {record['seconds'] / ours:.2f} of ours")
    return record | {"ratio": record["seconds"] / ours}
