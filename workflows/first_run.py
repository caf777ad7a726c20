"""The main job: one molecule and a box of water under the shipped potential, in both engines.

    python workflows/first_run.py [--output results] [--fraction 1.0]

Each run is a deck of inputs/, shortened; --fraction shortens it further. What is there already is
run again. The report is written at the end: results/report.html.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pet_driver import models
from pet_driver.archive import read_metadata
from pet_driver.engines import lammps
from pet_driver.errors import PetDriverError
from pet_driver.report import Run, write_report

INPUTS = Path(__file__).parents[1] / "inputs"
BINARIES = Path(sys.executable).parent


@dataclass(frozen=True)
class Job:
    """A deck, how much of it to run, and where its results lie."""

    name: str
    kind: str
    deck: str
    grid: str
    n_atoms: int
    steps: int
    positions: tuple[str, ...]
    properties: str
    velocities: str | None = None


JOBS = [
    Job(
        name=f"molecule, {grid if grid != '0' else 'raw'}",
        kind="molecule-nve",
        deck=f"water-molecule-nve/ipi-{prefix}.xml",
        grid=grid,
        n_atoms=3,
        steps=4000,
        positions=(f"{prefix}.pos_0.extxyz",),
        velocities=f"{prefix}.vel_0.extxyz",
        properties=f"{prefix}.out",
    )
    for grid, prefix in (("0", "raw"), ("2i", "2i"), ("ecse", "ecse"))
] + [
    Job(
        name="liquid, classical",
        kind="liquid-nvt",
        deck="water-liquid-nvt/in.water",
        grid="0",
        n_atoms=192,
        steps=1200,
        positions=("water.lammpstrj",),
        properties="log.lammps",
    ),
    Job(
        name="liquid, 8 beads",
        kind="liquid-pimd",
        deck="water-liquid-pimd/ipi-in-process.xml",
        grid="0",
        n_atoms=192,
        steps=160,
        positions=tuple(f"in-process.pos_{bead}.extxyz" for bead in range(8)),
        properties="in-process.out",
    ),
]


def prepare_ipi(deck: Path, folder: Path, steps: int) -> list[str]:
    """Write a copy of an i-PI deck with ``steps`` steps and absolute paths; how to run it."""
    text = re.sub(
        r"(?<![\w./])[\w./-]+\.(?:xyz|py)\b",
        lambda match: str((deck.parent / match[0]).resolve()),
        deck.read_text(),
    )
    tree = ElementTree.fromstring(text)
    tree.find("total_steps").text = str(steps)
    (folder / deck.name).write_bytes(ElementTree.tostring(tree))
    return [str(BINARIES / "i-pi"), deck.name]


def prepare_lammps(deck: Path, folder: Path, steps: int) -> list[str]:
    """Copy a LAMMPS deck with its data; how to run it."""
    for path in (deck, *deck.parent.glob("*.data")):
        (folder / path.name).write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "pet_driver", "lammps", "run"]
    equilibrate = str(min(200, steps))
    return [
        *command,
        "-in",
        deck.name,
        "-var",
        "steps",
        str(steps),
        "-var",
        "equilibrate",
        equilibrate,
    ]


def last_step(properties: Path) -> int:
    """The step of the last row of numbers in i-PI's property file or LAMMPS' log."""
    if not properties.is_file():
        return 0
    with open(properties, "rb") as handle:
        handle.seek(max(0, properties.stat().st_size - 16384))
        lines = handle.read().decode(errors="replace").splitlines()
    for line in reversed(lines):
        try:
            numbers = [float(word) for word in line.split()]
        except ValueError:
            continue
        if len(numbers) > 2:
            return int(numbers[0])
    return 0


def execute(job: Job, output: Path, advance: Callable[[int], None]) -> Run:
    """Run one job in a folder of its own, and leave its ``run.json`` there.

    Raises:
        PetDriverError: the engine failed; the message ends with its last lines.
    """
    deck = INPUTS / job.deck
    folder = output / job.name.replace(", ", "-").replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    is_ipi = deck.suffix == ".xml"
    command = (prepare_ipi if is_ipi else prepare_lammps)(deck, folder, job.steps)
    start = time.perf_counter()
    with open(folder / "screen.txt", "wb") as screen:
        process = subprocess.Popen(command, cwd=folder, stdout=screen, stderr=subprocess.STDOUT)
        while process.poll() is None:
            time.sleep(0.5)
            advance(last_step(folder / job.properties))
    wall_time = time.perf_counter() - start
    # i-PI ends with 0 also when it was stopped half-way: only the last step proves success.
    if process.returncode != 0 or last_step(folder / job.properties) < job.steps:
        tail = "\n".join((folder / "screen.txt").read_text(errors="replace").splitlines()[-15:])
        raise PetDriverError(f"'{job.name}' failed in {folder} ({command}):\n{tail}")
    run = Run(
        name=job.name,
        kind=job.kind,
        grid=job.grid,
        engine=f"i-PI {version('ipi')}" if is_ipi else f"LAMMPS {version('lammps')}",
        n_atoms=job.n_atoms,
        timestep=0.5,
        steps=job.steps,
        positions=list(job.positions),
        velocities=job.velocities,
        properties=job.properties,
        wall_time=wall_time,
        command=" ".join(Path(word).name if "/" in word else word for word in command),
        provenance=provenance(job),
        folder=folder,
    )
    run.write()
    return run


def provenance(job: Job) -> dict[str, str]:
    path = models.resolve("water-small")
    return {
        "deck": f"inputs/{job.deck}",
        "archive": path.name,
        "weights (SHA-256)": read_metadata(path)["weights_sha256"],
        "pet-driver": version("pet-driver"),
        "torch": version("torch"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
    }


def version(package: str) -> str:
    return importlib.metadata.version(package)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("results"))
    parser.add_argument("--fraction", type=float, default=1.0, help="of the steps of each run")
    arguments = parser.parse_args()
    console = Console()
    console.print("LAMMPS plugin:", lammps.build(), soft_wrap=True)
    columns = (
        TextColumn("{task.description:20s}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        for job in JOBS:
            job = replace(job, steps=max(20, round(job.steps * arguments.fraction / 20) * 20))
            if not console.is_terminal:  # a bar needs a terminal; a log gets lines
                console.print(f"{job.name}: {job.steps} steps")
            task = progress.add_task(job.name, total=job.steps)
            show = functools.partial(progress.update, task)
            run = execute(job, arguments.output, lambda step, show=show: show(completed=step))
            show(completed=job.steps)
            if not console.is_terminal:
                console.print(f"{job.name}: done in {run.wall_time:.0f} s")
    console.print("report:", write_report(arguments.output), soft_wrap=True)


if __name__ == "__main__":
    try:
        main()
    except PetDriverError as error:
        sys.exit(f"pet-driver: error: {error}")
