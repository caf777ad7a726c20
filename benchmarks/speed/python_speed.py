"""Measure energy, forces and virial in Python for every network, size and number of threads.

The ratio is the time of a contender divided by that of the fastest peer: below 1, it is faster than
all peers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed import flops, networks, structures
from benchmarks.speed.accuracy import errors, reference_answer
from benchmarks.speed.bench import Bench, log
from benchmarks.speed.contenders import OWN, Answer, matmul
from benchmarks.speed.measure import Comparison, measure_in_turn
from benchmarks.speed.process import ContenderError, Process

Cell = tuple[str, int]  # a network, a number of atoms


def measure(bench: Bench, cells: Iterable[Cell], threads: Sequence[int]) -> None:
    """Compare the contenders for every cell and number of threads."""
    for network, n_atoms in cells:
        atoms = structures.water(n_atoms)
        frame = structures.frame(atoms, 0)
        reference = reference_answer(bench, network, frame)
        operations = flops.count(networks.hypers(network), frame)
        for number in threads:
            known = {
                "network": network,
                "atoms": n_atoms,
                "threads": number,
                "edges": operations.edges,
                "operations": operations.total,
            }
            bench.add("speed", compare(bench, known, atoms, reference))


def compare(
    bench: Bench, known: dict[str, Any], atoms: structures.Atoms, reference: Answer
) -> list[dict[str, Any]]:
    """Compare the contenders on one structure; return one record for each."""
    models = bench.models(known["network"]) | {"matmul": Path()}
    processes = {name: Process(name, known["threads"], bench.device) for name in models}
    try:
        checked = check(bench, known, processes, models, structures.frame(atoms, 0), reference)
        frames = structures.Frames(atoms)
        functions = {name: timed(processes[name], frames) for name in [*checked, "matmul"]}
        comparison = measure_in_turn(functions, bench.plan)
    finally:
        for process in processes.values():
            process.close()
    timings = comparison.timings
    rate = matmul.operations(bench.device) / timings["matmul"].median
    records = []
    for name, error in checked.items():
        record = known | {"contender": name, "load": comparison.load} | error
        record |= timings[name].record()
        record["ratio"] = record["seconds"] / fastest_peer(comparison)
        record["matmul_rate"] = rate
        records.append(record)
    log_times(known, records)
    return records


def check(
    bench: Bench,
    known: dict[str, Any],
    processes: dict[str, Process],
    models: dict[str, Path],
    frame: structures.Frame,
    reference: Answer,
) -> dict[str, dict[str, Any]]:
    """Return the errors of every contender; leave out those that fail or disagree."""
    checked = {}
    for name, process in processes.items():
        try:
            process.call("prepare", models[name], {})
            if name == "matmul":
                continue
            error = errors(process.call("time", frame)[2], reference)
            if not error["agrees"]:
                raise ContenderError(f"{name} disagrees with float64: {error}")
            checked[name] = error
        except ContenderError as error:
            bench.leave_out(f"{name} with {known['network']}", str(error))
    return checked


def timed(process: Process, frames: structures.Frames) -> Callable[[int], tuple[float, float]]:
    """Return a function that evaluates structure ``index`` and returns its times (s)."""
    return lambda index: process.call("time", frames[index])[:2]


def fastest_peer(comparison: Comparison) -> float:
    """Return the median time (s) of the fastest peer, or NaN if there is none."""
    peers = [t.median for name, t in comparison.timings.items() if name not in (*OWN, "matmul")]
    return min(peers, default=float("nan"))


def log_times(known: dict[str, Any], records: list[dict[str, Any]]) -> None:
    """Print the times in one line."""
    times = ", ".join(f"{r['contender']} {1e3 * r['seconds']:.1f}" for r in records)
    log(f"{known['network']}, {known['atoms']} atoms, {known['threads']} thread(s), ms: {times}")
