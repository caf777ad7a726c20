"""Command line of the speed benchmark: python -m benchmarks.speed [--quick] [--parts ...]."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import speed
from benchmarks.speed import (
    batches,
    ipi,
    lammps,
    machine,
    memory,
    python_speed,
    report,
    rotations,
)
from benchmarks.speed.bench import Bench, log
from benchmarks.speed.contenders import COMPILED, NAMES
from benchmarks.speed.measure import Plan
from benchmarks.speed.networks import NETWORKS
from benchmarks.speed.structures import SIZES
from pet_driver.backends.compiler_cache import cache_folder

FOLDER = Path(__file__).parents[1] / "results"


@dataclass(frozen=True)
class Scope:
    """Sizes and numbers of repetitions of all parts.

    Attributes:
        cells: networks and numbers of atoms for the times of evaluations.
        memory: networks and numbers of atoms for the peak memory.
        rotated: numbers of atoms for the rotational averages in Python.
        engine_sizes: numbers of atoms for the runs of i-PI.
        repeats: number of runs of each method in i-PI and LAMMPS.
        steps: number of counted steps in each of these runs.
        seconds: see :class:`Plan`.
    """

    cells: tuple[tuple[str, int], ...]
    memory: tuple[tuple[str, int], ...]
    rotated: tuple[int, ...]
    engine_sizes: tuple[int, ...]
    repeats: int
    steps: int
    seconds: float


QUICK = Scope(
    cells=(("small", 192), ("small", 648), ("xs_like", 192)),
    memory=(("small", 648),),
    rotated=(3,),
    engine_sizes=(3,),
    repeats=1,
    steps=10,
    seconds=12.0,
)
FULL = Scope(
    cells=(
        *((network, atoms) for network in NETWORKS for atoms in (192, 648, 1944)),
        ("small", 3),
        ("small", 5184),
    ),
    memory=(
        *(("small", atoms) for atoms in (192, 648, 1944, 5184)),
        *(("xs_like", atoms) for atoms in (192, 648, 1944)),
        *(("s_like", atoms) for atoms in (192, 648)),
    ),
    rotated=(3, 192),
    engine_sizes=(3, 192, 648),
    repeats=5,
    steps=20,
    seconds=240.0,
)


def main() -> None:
    """Measure, and write the results, the tables and the figures."""
    options = parse()
    scope = QUICK if options.quick else FULL
    description = machine.describe(options.device)
    name = options.name or machine.slug(description) + ("-quick" if options.quick else "")
    results = options.output / f"{name}.json"
    plan = Plan(seconds=options.seconds or scope.seconds)
    bench = Bench(results, cache_folder() / "benchmark", options.device, plan)
    if options.parts != list(PARTS) and results.is_file():
        bench.values = json.loads(results.read_text())  # keep the parts that are not measured now
        bench.left_out = bench.values.get("left_out", {})
    bench.values["machine"] = description
    # one entry for each part, because the parts may be measured on different days
    plans = bench.values.setdefault("plans", {})
    settings = vars(plan) | {"quick": options.quick, "date": description["date"]}
    plans |= dict.fromkeys(options.parts, settings)
    if options.parts:
        bench.find_contenders(options.contenders)
    for part in options.parts:
        log(f"-- {part}")
        bench.values[part] = []
        PARTS[part](bench, scope, options)
    for path in report.write(results):
        print(path)


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed",
        description=speed.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a few sizes, in minutes")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", nargs="+", type=int, help="default: 1 and 2; 1 with a GPU")
    parser.add_argument(
        "--contenders", nargs="+", choices=NAMES, help=f"default: all; on a CPU all but {COMPILED}"
    )
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[3, *SIZES])
    parser.add_argument(
        "--parts",
        nargs="*",
        default=list(PARTS),
        choices=list(PARTS),
        help="parts to measure; the results of the others are kept. Without a name after it, only "
        "the tables and figures are written again",
    )
    parser.add_argument("--seconds", type=float, help="time limit of one comparison")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder for the results")
    parser.add_argument("--name", help="name of the files; default: the processor or GPU")
    options = parser.parse_args()
    if options.threads is None:
        options.threads = [1] if options.device == "cuda" else [1, 2]
    if options.contenders is None:
        slow = options.device == "cpu"
        options.contenders = [name for name in NAMES if not (slow and name == COMPILED)]
    return options


def chosen(cells: tuple[tuple[str, int], ...], options: argparse.Namespace) -> list:
    """Return the networks and sizes that the command line selects."""
    return [
        (network, atoms)
        for network, atoms in cells
        if network in options.networks and atoms in options.sizes
    ]


def measure_speed(bench: Bench, scope: Scope, options: argparse.Namespace) -> None:
    python_speed.measure(bench, chosen(scope.cells, options), options.threads)


def measure_memory(bench: Bench, scope: Scope, options: argparse.Namespace) -> None:
    memory.measure(bench, chosen(scope.memory, options), max(options.threads))


def measure_batches(bench: Bench, scope: Scope, options: argparse.Namespace) -> None:
    for threads in options.threads:
        batches.measure(bench, "small", 192, threads)


def measure_rotations(bench: Bench, scope: Scope, options: argparse.Namespace) -> None:
    for n_atoms in scope.rotated:
        for threads in options.threads[: 1 if n_atoms == 3 else None]:
            rotations.measure(bench, "small", n_atoms, threads)


def measure_ipi(bench: Bench, scope: Scope, options: argparse.Namespace) -> None:
    repeats, steps = scope.repeats, scope.steps
    threads = max(options.threads)
    for n_atoms in scope.engine_sizes:
        # one thread for a molecule: more do not make it faster
        ipi.measure(bench, "small", n_atoms, 1 if n_atoms == 3 else threads, repeats, steps)
    for number in options.threads:
        ipi.measure_beads(bench, "small", 192, 8, number, repeats, steps)


def measure_lammps(bench: Bench, scope: Scope, options: argparse.Namespace) -> None:
    for threads in options.threads:
        lammps.measure(bench, "small", 648, threads, scope.repeats, scope.steps)


PARTS: dict[str, Callable[[Bench, Scope, argparse.Namespace], None]] = {
    "speed": measure_speed,
    "memory": measure_memory,
    "batches": measure_batches,
    "rotations": measure_rotations,
    "ipi": measure_ipi,
    "lammps": measure_lammps,
}


if __name__ == "__main__":
    main()
