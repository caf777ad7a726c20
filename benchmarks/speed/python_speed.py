"""Energy, forces and virial in Python: every network, size and number of threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed import flops, networks, structures
from benchmarks.speed.accuracy import errors, exact
from benchmarks.speed.bench import Bench, say
from benchmarks.speed.contenders import OWN, Answer, matmul
from benchmarks.speed.measure import Race, in_turn
from benchmarks.speed.process import ContenderError, Process

Cell = tuple[str, int]  # a network, a number of atoms


def measure(bench: Bench, cells: Iterable[Cell], threads: Sequence[int]) -> None:
    """All comparisons."""
    for network, n_atoms in cells:
        atoms = structures.water(n_atoms)
        frame = structures.frame(atoms, 0)
        reference = exact(bench, network, frame)
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
    """One comparison: a record a contender, the ratio being to the time of the fastest peer."""
    models = bench.models(known["network"]) | {"matmul": Path()}
    processes = {name: Process(name, known["threads"], bench.device) for name in models}
    try:
        checked = check(bench, known, processes, models, structures.frame(atoms, 0), reference)
        frames = structures.Frames(atoms)
        racers = {name: runner(processes[name], frames) for name in [*checked, "matmul"]}
        race = in_turn(racers, bench.plan)
    finally:
        for process in processes.values():
            process.close()
    rate = matmul.operations(bench.device) / race.timings["matmul"].median
    records = []
    for name, error in checked.items():
        record = known | {"contender": name, "load": race.load} | error
        record |= race.timings[name].record()
        record["ratio"] = record["seconds"] / fastest_peer(race)
        record["matmul_rate"] = rate
        records.append(record)
    report(known, records)
    return records


def check(
    bench: Bench,
    known: dict[str, Any],
    processes: dict[str, Process],
    models: dict[str, Path],
    frame: structures.Frame,
    reference: Answer,
) -> dict[str, dict[str, Any]]:
    """Errors of every contender that can evaluate the structure and computes the same network."""
    checked = {}
    for name, process in processes.items():
        try:
            process.call("prepare", models[name], {})
            if name == "matmul":
                continue
            error = errors(process.call("time", frame)[2], reference)
            if not error["agrees"]:
                raise ContenderError(f"it disagrees with float64: {error}")
            checked[name] = error
        except ContenderError as error:
            bench.leave_out(f"{name} with {known['network']}", str(error))
    return checked


def runner(process: Process, frames: structures.Frames) -> Callable[[int], tuple[float, float]]:
    """What :func:`in_turn` calls."""
    return lambda index: process.call("time", frames[index])[:2]


def fastest_peer(race: Race) -> float:
    """Seconds; not a number where there is no peer."""
    peers = [t.median for name, t in race.timings.items() if name not in (*OWN, "matmul")]
    return min(peers, default=float("nan"))


def report(known: dict[str, Any], records: list[dict[str, Any]]) -> None:
    """One line on the screen."""
    times = ", ".join(f"{r['contender']} {1e3 * r['seconds']:.1f}" for r in records)
    say(f"{known['network']}, {known['atoms']} atoms, {known['threads']} thread(s), ms: {times}")
