"""LAMMPS over MPI ranks: what it costs to compute ghosts, or to exchange messages, and why.

    python -m benchmarks.ranks [--rounds 3] [--steps 20] [-o benchmarks/results]

One thread a rank. Boxes of liquid are run on one rank and on two, which exchange messages or
compute their ghosts; rounds go through all of them in turn, and medians are told. Beside what is
measured stands what geometry says:

- ghosts: a rank computes all atoms within the interaction range R of its box a x b x c, that is
  (abc + 2 (ab + bc + ca) R + pi (a + b + c) R^2 + 4/3 pi R^3) / abc times its own, and at most all
  atoms there are;
- messages: through a face of area A go rho^2 pi r^4 A / 4 edges of length r at most each way (rho:
  atoms by volume), and a row of each in every layer, forward and back;
- a step takes as long as on one rank, times the share of the edges, plus the traffic;
- all wait for the rank with the most atoms: cubes of a rank's size at random places of the liquid
  tell by how much it exceeds the mean (not where they are as large as the box that it repeats).

Not in it: the latency of messages, and what ranks of one machine take from each other.
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
from pet_driver.engines.lammps.run import command, variables

MODEL = "water-small"
SKIN = 2.0  # A, LAMMPS' own
BANDWIDTH = 5e9  # bytes a second and rank, assumed beyond this machine
MEASURED = ["atoms", "ranks", "messages", "ms a step", "edges by own", "edges between ranks"]
EXPECTED = ["atoms", "ranks", "atoms computed by own", "MB a step", "mean atoms by most"]
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
    """One run: a box over ranks that split it along x."""

    atoms: int
    ranks: int
    exchange: str

    def box(self) -> Atoms:
        """The liquid; 1296 atoms are twice the box of 648, for two ranks."""
        if self.atoms == 1296:
            return structures.water(648).repeat((2, 1, 1))
        return structures.water(self.atoms)


CASES = [
    Case(648, 1, "auto"),
    *(Case(n, 2, how) for n in (648, 1296) for how in ("on", "off")),
    Case(1944, 1, "auto"),
    *(Case(1944, 2, how) for how in ("on", "off")),
]


def run(case: Case, steps: int) -> tuple[float, float, float]:
    """Seconds a step; edges computed for each of the own atoms; share of edges between ranks."""
    found = find_environment()
    input_file = INPUT.format(
        grid=f"{case.ranks} 1 1", model=MODEL, exchange=case.exchange, skin=SKIN, steps=steps
    )
    with tempfile.TemporaryDirectory() as folder:
        write_data(Path(folder) / "start.data", case.box())
        (Path(folder) / "in.bench").write_text(input_file)
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
    """Atoms that a rank computes for each of its own; ``domain`` [3] are the lengths of its box."""
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
    """Edges from one rank to others, by its edges; ``split``: the axes with several ranks."""
    volume = float(np.prod(domain))
    faces = sum(2 * volume / domain[axis] for axis in split)
    across = density**2 * math.pi * cutoff**4 / 4 * faces
    return min(1.0, across / (density**2 * 4 / 3 * math.pi * cutoff**3 * volume))


def predict(case: Case, model: pet_driver.Model) -> tuple[float, float]:
    """What geometry says of the second and third number of :func:`run`."""
    box = case.box()
    lengths = np.diag(np.array(box.cell)) / (case.ranks, 1, 1)
    reach = model.archive.metadata["interaction_range"] + SKIN
    factor = 1.0 if case.exchange != "off" else ghost_factor(lengths, reach, case.ranks)
    split = (0,) if case.ranks > 1 and case.exchange != "off" else ()
    density = len(box) / box.get_volume()
    return factor, shared_edges(lengths, split, density, model.cutoff + SKIN)


def balance(domain: float, ranks: int) -> float:
    """Mean over most atoms in cubes with edges of ``domain`` (A) at random places of the liquid."""
    box = structures.water(5184)
    length = float(box.cell.lengths()[0])
    corners = np.random.default_rng(0).uniform(0.0, length, (ranks, 3))
    scaled = box.positions % length
    counts = [
        ((scaled - corner) % length < min(domain, length)).all(axis=1).sum() for corner in corners
    ]
    return float(np.mean(counts) / np.max(counts))


def on_paper(model: pet_driver.Model, seconds: float, n_atoms: int) -> list[dict[str, float]]:
    """Larger boxes on more ranks, from the time of one rank, linear in atoms."""
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
            # rows of the skin go along
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
    """Markdown."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def measure(rounds: int, steps: int, model: pet_driver.Model) -> list[dict[str, object]]:
    """All cases in turn, beside what is predicted from one rank."""
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


def render(records: list[dict], paper: list[dict], machine: dict) -> str:
    """What is measured, and what larger machines would do."""
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
        for r in paper
    ]
    return f"""# LAMMPS over MPI ranks, {MODEL}, on {machine["processor"]}

`python -m benchmarks.ranks`; one thread a rank, boxes split along x, a skin of {SKIN:g} A. In
brackets what geometry predicts, and for the time one rank's divided by the ranks, times the edges
computed.

{table(MEASURED, measured)}

## On paper

Cubes of a box on 8 to 512 ranks, from the time of one rank here: how many times its own atoms a
rank that computes its ghosts has to compute; and for messages, what a rank sends in a step, how
even the liquid lies on the ranks, and what part of the time is left for computing at
{BANDWIDTH / 1e9:g} GB/s. The latency of messages is not in it.

{table(EXPECTED, expected)}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("-o", "--output", type=Path, help="folder for the results")
    arguments = parser.parse_args()
    build()
    model = pet_driver.load(MODEL)
    records = measure(arguments.rounds, arguments.steps, model)
    largest = next(r for r in records if r["atoms"] == 1944 and r["ranks"] == 1)
    paper = on_paper(model, largest["seconds"], 1944)
    machine = describe("cpu")
    text = render(records, paper, machine)
    print(text)
    if arguments.output:
        name = f"{slug(machine)}-ranks"
        (arguments.output / f"{name}.md").write_text(text)
        content = {"machine": machine, "cases": records, "on_paper": paper}
        (arguments.output / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
