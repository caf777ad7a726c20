"""LAMMPS over MPI ranks: what it costs to compute ghosts, or to exchange messages, and why.

    python -m benchmarks.ranks [--rounds 3] [--steps 20] [-o ranks.json]

One thread a rank. Boxes of liquid are run on one rank and on two, which exchange messages or
compute their ghosts; rounds go through all of them in turn, and medians are told. Beside what is
measured stands what geometry says:

- ghosts: a rank computes all atoms within the interaction range R of its box a x b x c, that is
  (abc + 2 (ab + bc + ca) R + pi (a + b + c) R^2 + 4/3 pi R^3) / abc times its own, and at most all
  atoms there are;
- messages: through a face of area A go rho^2 pi r^4 A / 4 edges of length r at most each way (rho:
  atoms by volume), and a row of each in every layer, forward and back;
- a step takes as long as on one rank, times the share of the edges, plus the traffic.
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
from benchmarks.speed.machine import describe
from benchmarks.speed.process import environment
from pet_driver.engines.lammps import build
from pet_driver.engines.lammps.environment import find_environment
from pet_driver.engines.lammps.run import command, variables

MODEL = "water-small"
SKIN = 2.0  # A, LAMMPS' own
BANDWIDTH = 5e9  # bytes a second and rank, assumed beyond this machine
DECK = """units metal
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
    deck = DECK.format(
        grid=f"{case.ranks} 1 1", model=MODEL, exchange=case.exchange, skin=SKIN, steps=steps
    )
    with tempfile.TemporaryDirectory() as folder:
        write_data(Path(folder) / "start.data", case.box())
        (Path(folder) / "in.bench").write_text(deck)
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
            rows.append(
                {
                    "atoms": atoms,
                    "ranks": ranks,
                    "ghost_factor": ghost_factor(domain, reach, ranks),
                    "megabytes": traffic / 1e6,
                    "efficiency_exchange": compute / (compute + traffic / BANDWIDTH),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    build()
    model = pet_driver.load(MODEL)
    found: dict[Case, list[tuple[float, float, float]]] = {case: [] for case in CASES}
    for _ in range(arguments.rounds):
        for case in CASES:
            found[case].append(run(case, arguments.steps))
    alone = {
        case.atoms: statistics.median(seconds for seconds, *_ in runs)
        for case, runs in found.items()
        if case.ranks == 1
    }
    records = []
    print("atoms ranks exchange   ms a step   edges computed   shared edges   time: predicted")
    for case, runs in found.items():
        seconds = statistics.median(one[0] for one in runs)
        _, times, shared = runs[0]
        factor, crossing = predict(case, model)
        base = alone.get(case.atoms, 2 * alone[648]) / case.ranks
        records.append(
            asdict(case)
            | {"seconds": seconds, "edges_computed": times, "edges_shared": shared}
            | {"predicted_edges": factor, "predicted_shared": crossing}
            | {"predicted_seconds": base * factor}
        )
        print(
            f"{case.atoms:5d} {case.ranks:5d} {case.exchange:>8s} {1e3 * seconds:11.1f} "
            f"{times:8.2f} ({factor:4.2f}) {shared:8.2f} ({crossing:4.2f}) "
            f"{1e3 * base * factor:11.1f}"
        )
    paper = on_paper(model, alone[1944], 1944)
    print("\non paper:  atoms ranks   ghosts: atoms computed   messages: MB a step, efficiency")
    for row in paper:
        print(
            f"{row['atoms']:16d} {row['ranks']:5d} {row['ghost_factor']:15.1f} "
            f"{row['megabytes']:20.2f} {row['efficiency_exchange']:14.3f}"
        )
    if arguments.output:
        text = {"machine": describe("cpu"), "cases": records, "on_paper": paper}
        arguments.output.write_text(json.dumps(text, indent=1) + "\n")


if __name__ == "__main__":
    main()
