"""Measure LAMMPS on MPI ranks that compute ghost atoms or exchange messages, and predict both.

    python -m benchmarks.ranks [--rounds 3] [--steps 20] [-o benchmarks/results]

Boxes of liquid water run on one rank and on two, with one thread per rank. Two ranks either
exchange messages after every layer (`exchange on`) or compute the ghost atoms they need (`exchange
off`). Every round runs all cases once; medians over the rounds are reported, next to predictions
from the geometry:

- Ghost atoms: a rank computes all atoms within the interaction range R of its domain a x b x c,
  which is (abc + 2 (ab + bc + ca) R + pi (a + b + c) R^2 + 4/3 pi R^3) / abc times its own atoms,
  and at most all atoms.
- Messages: through a face of area A pass at most rho^2 pi r^4 A / 4 edges of length r in each
  direction (rho: number density of atoms). The features of each such edge are sent in every layer,
  forward and backward.
- Time: a step takes as long as on one rank, times the fraction of the edges, plus the messages.
- Load balance: all ranks wait for the one with the most atoms. How much it exceeds the mean is
  counted in cubes of a rank's size at random places of the liquid. (This underestimates the
  imbalance for cubes as large as the box, which repeats periodically.)

Not included: the latency of messages, and the competition of ranks for the memory of one machine.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import statistics
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

import pet_driver
from benchmarks.speed import structures
from benchmarks.speed.lammps import write_data
from benchmarks.speed.machine import describe, slug
from benchmarks.speed.process import environment
from pet_driver.engines.lammps import build
from pet_driver.engines.lammps.environment import find_environment
from pet_driver.engines.lammps.launch import command, variables

MODEL = "water-small"
SKIN = 2.0  # A, the default of LAMMPS
BANDWIDTH = 5e9  # bytes per second and rank, assumed for other machines
MEASURED = ["atoms", "ranks", "messages", "ms per step", "computed / own edges"]
MEASURED += ["edges between ranks"]
EXPECTED = ["atoms", "ranks", "computed / own atoms", "MB per step", "load balance"]
EXPECTED += ["efficiency with messages"]
INPUT = """units metal
atom_style atomic
boundary p p p
processors {grid}
read_data start.data
pair_style pet {model} device cpu grid 0 exchange {exchange}
pair_coeff * * O H
neighbor {skin} bin
timestep 0.0005
velocity all create 300 31
fix 1 all nve
run 3 post no
run {steps}
"""


@dataclass(frozen=True)
class Case:
    """A box, and the number of ranks that divide it along x."""

    atoms: int
    ranks: int
    exchange: str

    def box(self) -> Atoms:
        """Return the liquid; 1296 atoms are two boxes of 648, one for each of two ranks."""
        if self.atoms == 1296:
            return structures.water(648).repeat((2, 1, 1))
        return structures.water(self.atoms)


CASES = [
    Case(648, 1, "auto"),
    *(Case(n, 2, exchange) for n in (648, 1296) for exchange in ("on", "off")),
    Case(1944, 1, "auto"),
    *(Case(1944, 2, exchange) for exchange in ("on", "off")),
]


def run(case: Case, steps: int) -> tuple[float, float, float]:
    """Run LAMMPS once.

    Returns:
        Seconds per step; edges computed divided by the edges of the ranks' own atoms; fraction of
        the edges between ranks.
    """
    found = find_environment()
    text = INPUT.format(
        grid=f"{case.ranks} 1 1", model=MODEL, exchange=case.exchange, skin=SKIN, steps=steps
    )
    with tempfile.TemporaryDirectory() as folder:
        write_data(Path(folder) / "start.data", case.box())
        (Path(folder) / "in.bench").write_text(text)
        done = subprocess.run(
            command(found, ["-in", "in.bench", "-log", "none", "-cite", "none"], case.ranks),
            cwd=folder,
            env=os.environ | variables(found) | environment(1),
            capture_output=True,
            text=True,
        )
    if done.returncode != 0:
        raise SystemExit((done.stdout + done.stderr).strip().splitlines()[-1])
    seconds = float(re.findall(r"^Loop time of (\S+)", done.stdout, re.MULTILINE)[-1]) / steps
    times = re.search(r"compute (\S+) times the edges", done.stdout)
    shared = re.search(r"messages, of (\d+) among (\d+) edges", done.stdout)
    return (
        seconds,
        float(times[1]) if times else 1.0,
        int(shared[1]) / int(shared[2]) if shared else 0.0,
    )


def ghost_factor(domain: np.ndarray, reach: float, ranks: int) -> float:
    """Return the number of atoms that a rank computes divided by its own.

    Args:
        domain: [3], lengths (A) of the domain of a rank.
        reach: A, from the domain to the farthest ghost atom.
        ranks: number of ranks.
    """
    a, b, c = domain
    volume = a * b * c
    grown = (
        volume
        + 2 * (a * b + b * c + c * a) * reach
        + math.pi * (a + b + c) * reach**2
        + 4 / 3 * math.pi * reach**3
    )
    return min(ranks, grown / volume)


def shared_edges(
    domain: np.ndarray, split: tuple[int, ...], density: float, cutoff: float
) -> float:
    """Return the fraction of a rank's edges that lead to other ranks.

    Args:
        domain: [3], lengths (A) of the domain of a rank.
        split: axes along which there are several ranks.
        density: atoms per A^3.
        cutoff: A.
    """
    volume = float(np.prod(domain))
    faces = sum(2 * volume / domain[axis] for axis in split)
    across = density**2 * math.pi * cutoff**4 / 4 * faces
    return min(1.0, across / (density**2 * 4 / 3 * math.pi * cutoff**3 * volume))


def predict(case: Case, model: pet_driver.Model) -> tuple[float, float]:
    """Predict the second and third result of :func:`run` from the geometry."""
    box = case.box()
    lengths = np.diag(np.array(box.cell)) / (case.ranks, 1, 1)
    reach = model.archive.metadata["interaction_range"] + SKIN
    factor = 1.0 if case.exchange != "off" else ghost_factor(lengths, reach, case.ranks)
    split = (0,) if case.ranks > 1 and case.exchange != "off" else ()
    density = len(box) / box.get_volume()
    return factor, shared_edges(lengths, split, density, model.cutoff + SKIN)


def balance(domain: float, ranks: int) -> float:
    """Return mean / largest number of atoms in cubes of edge ``domain`` (A) at random places."""
    box = structures.water(5184)
    length = float(box.cell.lengths()[0])
    corners = np.random.default_rng(0).uniform(0.0, length, (ranks, 3))
    scaled = box.positions % length
    counts = [
        ((scaled - corner) % length < min(domain, length)).all(axis=1).sum() for corner in corners
    ]
    return float(np.mean(counts) / np.max(counts))


def extrapolate(model: pet_driver.Model, seconds: float, n_atoms: int) -> list[dict[str, float]]:
    """Predict larger boxes on more ranks from the time of one rank, linear in the atoms."""
    hypers = model.archive.metadata["hypers"]
    box = structures.water(192)
    density = len(box) / box.get_volume()
    edges_of_atom = density * 4 / 3 * math.pi * model.cutoff**3
    reach = model.archive.metadata["interaction_range"] + SKIN
    rows = []
    for atoms in (5184, 41472, 331776):
        for side in (2, 4, 8):
            domain = np.full(3, (atoms / density) ** (1 / 3) / side)
            ranks = side**3
            own = atoms / ranks
            shared = shared_edges(domain, (0, 1, 2), density, model.cutoff + SKIN)
            passes = 2 * hypers["num_gnn_layers"]
            # edges in the skin are sent, too
            skin = ((model.cutoff + SKIN) / model.cutoff) ** 3
            traffic = own * edges_of_atom * skin * shared * passes * hypers["d_pet"] * 4
            compute = seconds * own / n_atoms
            even = balance(float(domain[0]), ranks)
            rows.append(
                {
                    "atoms": atoms,
                    "ranks": ranks,
                    "ghost_factor": ghost_factor(domain, reach, ranks),
                    "megabytes": traffic / 1e6,
                    "balance": even,
                    "efficiency_exchange": compute / (compute / even + traffic / BANDWIDTH),
                }
            )
    return rows


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def measure(rounds: int, steps: int, model: pet_driver.Model) -> list[dict[str, object]]:
    """Run all cases, round by round; return medians and what one rank predicts."""
    found: dict[Case, list[tuple[float, float, float]]] = {case: [] for case in CASES}
    for _ in range(rounds):
        for case in CASES:
            found[case].append(run(case, steps))
    seconds = {case: statistics.median(one[0] for one in runs) for case, runs in found.items()}
    alone = {case.atoms: seconds[case] for case in CASES if case.ranks == 1}
    records = []
    for case, runs in found.items():
        factor, shared = predict(case, model)
        base = alone.get(case.atoms, 2 * alone[648]) / case.ranks
        records.append(
            asdict(case)
            | {"seconds": seconds[case], "predicted_seconds": base * factor}
            | {"edges_computed": runs[0][1], "predicted_edges": factor}
            | {"edges_shared": runs[0][2], "predicted_shared": shared}
        )
    return records


def render(records: list[dict], predicted: list[dict], machine: dict) -> str:
    """Return the page of results: measured, and predicted for larger machines."""
    measured = [
        [
            str(r["atoms"]),
            str(r["ranks"]),
            {"auto": "-", "on": "exchanged", "off": "ghosts computed"}[r["exchange"]],
            f"{1e3 * r['seconds']:.0f} ({1e3 * r['predicted_seconds']:.0f})",
            f"{r['edges_computed']:.2f} ({r['predicted_edges']:.2f})",
            f"{100 * r['edges_shared']:.0f} % ({100 * r['predicted_shared']:.0f} %)",
        ]
        for r in records
    ]
    expected = [
        [
            f"{r['atoms']:,}",
            str(r["ranks"]),
            f"{r['ghost_factor']:.1f}",
            f"{r['megabytes']:.1f}",
            f"{r['balance']:.2f}",
            f"{100 * r['efficiency_exchange']:.0f} %",
        ]
        for r in predicted
    ]
    return f"""# LAMMPS over MPI ranks, {MODEL}, on {machine["processor"]}

`python -m benchmarks.ranks`; one thread per rank, boxes divided along x, a skin of {SKIN:g} A. In
brackets: predictions from the geometry; for the time, that of one rank divided by the number of
ranks, times computed / own edges.

{table(MEASURED, measured)}

## Prediction for more ranks

A cubic box divided into cubes on 8 to 512 ranks, from the time of one rank here. Without messages:
the number of atoms that a rank computes divided by its own. With messages: the data that a rank
sends in a step; the load balance, mean / largest number of atoms on a rank; and the efficiency, the
fraction of the time spent computing, at {BANDWIDTH / 1e9:g} GB/s. The latency of messages is not
included.

{table(EXPECTED, expected)}
"""


def main() -> None:
    """Run the cases; print the page and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("-o", "--output", type=Path, help="folder for the results")
    arguments = parser.parse_args()
    build()
    model = pet_driver.load(MODEL)
    records = measure(arguments.rounds, arguments.steps, model)
    largest = next(r for r in records if r["atoms"] == 1944 and r["ranks"] == 1)
    predicted = extrapolate(model, largest["seconds"], 1944)
    machine = describe("cpu")
    text = render(records, predicted, machine)
    print(text)
    if arguments.output:
        name = f"{slug(machine)}-ranks"
        (arguments.output / f"{name}.md").write_text(text)
        content = {"machine": machine, "cases": records, "predicted": predicted}
        (arguments.output / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
