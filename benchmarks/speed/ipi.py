"""Measure steps of i-PI in its own process: this package's driver against i-PI's `metatomic`.

Each method is a run of i-PI of its own; the runs take turns. This package averages over rotations
inside the model, metatomic's energies are averaged by i-PI's `<ffrotations>`. The ratio of a method
is its time per step divided by that of this package: above 1, this package is faster.
"""

from __future__ import annotations

import pickle
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import ipi_input
from benchmarks.speed import structures
from benchmarks.speed.accuracy import errors, reference_answer
from benchmarks.speed.bench import Bench, log
from benchmarks.speed.contenders import OURS, Answer
from benchmarks.speed.process import ROOT, ContenderError, environment

GRID = "2i"
WARM = 5  # steps of a run that are not counted


@dataclass(frozen=True)
class Method:
    """A way to compute the forces in i-PI.

    Attributes:
        contender: the code that evaluates the network.
        forcefield: XML for the input of i-PI.
    """

    contender: str
    forcefield: str


def raw_methods(models: dict[str, Path], device: str, beads: int = 1) -> dict[str, Method]:
    """Return the methods without rotational averaging, with all beads in one call."""
    fields = ffdirects(models, device, "pet", beads)
    return {contender: Method(contender, text) for contender, text in fields.items()}


def averaged_methods(models: dict[str, Path], device: str) -> dict[str, Method]:
    """Return the averages over the grid: in the model, and by i-PI one by one and in one call."""
    ours = ffdirects({OURS: models[OURS]}, device, "pet", 1, grid=GRID)[OURS]
    found = {f"{OURS} {GRID}": Method(OURS, ours)}
    for batch in (1, 36):
        for contender, text in ffdirects(models, device, "inner", batch).items():
            name = f"ffrotations, {contender}, batches of {batch}"
            found[name] = Method(contender, ipi_input.ffrotations(text))
    return found


def ffdirects(
    models: dict[str, Path], device: str, name: str, batch: int, grid: str = "0"
) -> dict[str, str]:
    """Return the `<ffdirect>` of this package and of i-PI's metatomic driver, if installed."""
    found = {}
    if OURS in models:
        parameters = f"model: {models[OURS]}, device: {device}, grid: {grid}"
        found[OURS] = ipi_input.pet_ffdirect(parameters, name, batch)
    if "metatomic" in models:
        parameters = f"model: {models['metatomic']}, device: {device}"
        found["metatomic"] = ipi_input.metatomic_ffdirect(parameters, name, batch)
    return found


def measure(
    bench: Bench, network: str, n_atoms: int, threads: int, repeats: int, steps: int
) -> None:
    """Time raw steps of one structure and, for a molecule, averaged ones.

    Averages for larger structures are in :mod:`benchmarks.speed.rotations`.
    """
    models = bench.models(network)
    known = {"network": network, "atoms": n_atoms, "threads": threads, "beads": 1}
    compare(bench, known | {"grid": "0"}, raw_methods(models, bench.device), repeats, steps)
    if n_atoms == 3:
        methods = averaged_methods(models, bench.device)
        compare(bench, known | {"grid": GRID}, methods, repeats, steps)


def measure_beads(
    bench: Bench, network: str, n_atoms: int, beads: int, threads: int, repeats: int, steps: int
) -> None:
    """Time steps of path-integral dynamics, with all beads in one call."""
    known = {"network": network, "atoms": n_atoms, "threads": threads, "beads": beads}
    methods = raw_methods(bench.models(network), bench.device, beads)
    compare(bench, known | {"grid": "0"}, methods, repeats, steps)


def compare(
    bench: Bench, known: dict[str, Any], methods: dict[str, Method], repeats: int, steps: int
) -> None:
    """Run the methods in turn, ``repeats`` times each."""
    atoms = structures.water(known["atoms"])
    frame = structures.not_displaced(atoms)
    reference = reference_answer(bench, known["network"], frame, known["grid"])
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in methods}
    for _ in range(repeats):
        for name, method in list(methods.items()):
            try:
                runs[name].append(run(bench, known, method, atoms, steps))
            except ContenderError as error:
                bench.leave_out(f"{name} in i-PI, {known['atoms']} atoms", str(error))
                del methods[name], runs[name]
    records = [
        known | {"method": name, "contender": methods[name].contender} | summary(found, reference)
        for name, found in runs.items()
    ]
    ours = records[0]["seconds"]
    for record in records:
        record["ratio"] = record["seconds"] / ours
        milliseconds = f"{1e3 * record['seconds']:.2f} ms per step"
        log(f"i-PI, {known['atoms']} atoms, {record['method']}: {milliseconds}")
    bench.add("ipi", records)


def summary(found: list[dict[str, Any]], reference: Answer) -> dict[str, Any]:
    """Return the medians over the runs, each of which is the median over its steps."""
    medians = {
        part: [statistics.median(result[part]) for result in found]
        for part in ("step", "processor", "driver", "network")
    }
    step, network = statistics.median(medians["step"]), statistics.median(medians["network"])
    first = found[0]
    answer = Answer(first["energy"], first["forces"], reference.virial)
    wrong = {k: v for k, v in errors(answer, reference).items() if k != "virial_error"}
    return {
        "seconds": step,
        "half_range": (max(medians["step"]) - min(medians["step"])) / (2 * step),
        "processor_seconds": statistics.median(medians["processor"]),
        "driver_seconds": statistics.median(medians["driver"]),
        "network_seconds": network,
        "outside_network": statistics.median(
            1 - n / s for n, s in zip(medians["network"], medians["step"], strict=True)
        ),
        "rounds": len(found),
    } | wrong


def run(
    bench: Bench, known: dict[str, Any], method: Method, atoms: structures.Atoms, steps: int
) -> dict[str, Any]:
    """Run i-PI once.

    Raises:
        ContenderError: the run failed.
    """
    arguments = {
        "text": ipi_input.simulation(method.forcefield, known["beads"]),
        "ours": method.contender == OURS,
        "warm": WARM,
        "steps": steps,
        "device": bench.device,
    }
    with tempfile.TemporaryDirectory() as folder:
        atoms.write(Path(folder) / "start.xyz", format="extxyz")
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.speed.ipi_run"],
            input=pickle.dumps((folder, arguments)),
            capture_output=True,
            cwd=ROOT,
            env=environment(known["threads"]),
        )
    if done.returncode != 0 or not done.stdout:
        lines = done.stderr.decode().strip().splitlines() or ["there was no output"]
        raise ContenderError(f"exit code {done.returncode}: {lines[-1]}")
    return pickle.loads(done.stdout)
