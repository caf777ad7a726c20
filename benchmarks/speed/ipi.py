"""Steps of i-PI in its own process: this package's driver against i-PI's `metatomic`.

Every way is a run of its own, and the ways are run in turn. i-PI averages metatomic's energies over
rotations with its own `<ffrotations>`; this package averages inside the archive.
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

from benchmarks.speed import structures
from benchmarks.speed.accuracy import errors, exact
from benchmarks.speed.bench import Bench, say
from benchmarks.speed.contenders import OURS, Answer
from benchmarks.speed.process import ROOT, ContenderError, environment

GRID = "2i"
WARM = 5

INPUT = """<simulation verbosity="quiet" safe_stride="1000000">
  <output prefix="run"/>
  <total_steps> 1000000 </total_steps>
  <prng><seed> 31 </seed></prng>
  {forcefield}
  <system>
    <initialize nbeads="{beads}"><file mode="ase"> start.xyz </file>
      <velocities mode="thermal" units="kelvin"> 300 </velocities></initialize>
    <forces><force forcefield="pet"/></forces>
    <ensemble><temperature units="kelvin"> 300 </temperature></ensemble>
    <motion mode="dynamics"> {dynamics} </motion>
  </system>
</simulation>"""
NVE = """<dynamics mode="nve"><timestep units="femtosecond"> 0.5 </timestep></dynamics>"""
PILE = """<dynamics mode="nvt"><timestep units="femtosecond"> 0.5 </timestep>
      <thermostat mode="pile_l"><tau units="femtosecond"> 100 </tau></thermostat></dynamics>"""
DIRECT = """<ffdirect name="{name}"> <pes> {pes} </pes> {path}
  <batch_size> {batch} </batch_size>
  <parameters> {{model: {model}, template: start.xyz, device: {device}{more}}} </parameters>
  </ffdirect>"""
ROTATIONS = """<ffrotations name="pet">
  <grid_mode> legendre </grid_mode> <grid_order> 2 </grid_order> <inversion> True </inversion>
  {direct} </ffrotations>"""


@dataclass(frozen=True)
class Way:
    """One way to get the forces.

    Attributes:
        contender: whose network.
        forcefield: as in i-PI's input.
    """

    contender: str
    forcefield: str


def raw_ways(models: dict[str, Path], device: str, beads: int = 1) -> dict[str, Way]:
    """The network as it stands, all beads in one call."""
    return {name: Way(name, text) for name, text in directs(models, device, "pet", beads).items()}


def averaged_ways(models: dict[str, Path], device: str) -> dict[str, Way]:
    """The average over the grid: in the archive, and by i-PI one by one and in one call."""
    ours = directs({OURS: models[OURS]}, device, "pet", 1, f", grid: {GRID}")[OURS]
    found = {f"{OURS} {GRID}": Way(OURS, ours)}
    for batch in (1, 36):
        for name, text in directs(models, device, "inner", batch).items():
            way = f"ffrotations, {name}, batches of {batch}"
            found[way] = Way(name, ROTATIONS.format(direct=text))
    return found


def directs(
    models: dict[str, Path], device: str, name: str, batch: int, more: str = ""
) -> dict[str, str]:
    """`<ffdirect>` of this package and of i-PI's metatomic driver."""
    from pet_driver.engines.ipi import shim_path

    kinds = {
        OURS: ("custom", f"<pes_path> {shim_path()} </pes_path>", more or ", grid: 0"),
        "metatomic": ("metatomic", "", ""),
    }
    return {
        contender: DIRECT.format(
            name=name, pes=pes, path=path, batch=batch, model=model, device=device, more=extra
        )
        for contender, (pes, path, extra) in kinds.items()
        for model in [models.get(contender)]
        if model is not None
    }


def measure(
    bench: Bench, network: str, n_atoms: int, threads: int, repeats: int, steps: int
) -> None:
    """Raw and averaged steps of one structure. Averages of anything larger than a molecule are
    left to :mod:`benchmarks.speed.together`."""
    models = bench.models(network)
    known = {"network": network, "atoms": n_atoms, "threads": threads, "beads": 1}
    race(bench, known | {"grid": "0"}, raw_ways(models, bench.device), repeats, steps)
    if n_atoms == 3:
        ways = averaged_ways(models, bench.device)
        race(bench, known | {"grid": GRID}, ways, repeats, steps)


def beads(
    bench: Bench, network: str, n_atoms: int, number: int, threads: int, repeats: int, steps: int
) -> None:
    """Path integrals: what part of a step is not the network."""
    known = {"network": network, "atoms": n_atoms, "threads": threads, "beads": number}
    ways = raw_ways(bench.models(network), bench.device, number)
    race(bench, known | {"grid": "0"}, ways, repeats, steps)


def race(
    bench: Bench, known: dict[str, Any], ways: dict[str, Way], repeats: int, steps: int
) -> None:
    """Run the ways in turn, so often."""
    atoms = structures.water(known["atoms"])
    still = structures.plain(atoms)
    reference = exact(bench, known["network"], still, known["grid"])
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in list(ways.items()):
            try:
                runs[name].append(run(bench, known, way, atoms, steps))
            except ContenderError as error:
                bench.leave_out(f"{name} in i-PI, {known['atoms']} atoms", str(error))
                del ways[name], runs[name]
    records = [
        known | {"way": name, "contender": ways[name].contender} | summary(found, reference)
        for name, found in runs.items()
    ]
    ours = records[0]["seconds"]
    for record in records:
        record["ratio"] = record["seconds"] / ours
        milliseconds = f"{1e3 * record['seconds']:.2f} ms a step"
        say(f"i-PI, {known['atoms']} atoms, {record['way']}: {milliseconds}")
    bench.add("ipi", records)


def summary(found: list[dict[str, Any]], reference: Answer) -> dict[str, Any]:
    """Medians over all steps of all runs; a run's median tells the spread."""
    medians = {
        part: [statistics.median(result[part]) for result in found]
        for part in ("step", "used", "driver", "network")
    }
    step, network = statistics.median(medians["step"]), statistics.median(medians["network"])
    first = found[0]
    answer = Answer(first["energy"], first["forces"], reference.virial)
    wrong = {k: v for k, v in errors(answer, reference).items() if k != "virial_error"}
    return {
        "seconds": step,
        "spread": (max(medians["step"]) - min(medians["step"])) / (2 * step),
        "processor_seconds": statistics.median(medians["used"]),
        "driver_seconds": statistics.median(medians["driver"]),
        "network_seconds": network,
        "not_network": statistics.median(
            1 - n / s for n, s in zip(medians["network"], medians["step"], strict=True)
        ),
        "rounds": len(found),
    } | wrong


def run(
    bench: Bench, known: dict[str, Any], way: Way, atoms: structures.Atoms, steps: int
) -> dict[str, Any]:
    """One run of i-PI.

    Raises:
        ContenderError: it failed.
    """
    dynamics = NVE if known["beads"] == 1 else PILE
    input_file = INPUT.format(forcefield=way.forcefield, beads=known["beads"], dynamics=dynamics)
    ours = way.contender == OURS
    arguments = {
        "input file": input_file,
        "ours": ours,
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
        said = done.stderr.decode().strip().splitlines() or ["it said nothing"]
        raise ContenderError(f"exit code {done.returncode}: {said[-1]}")
    return pickle.loads(done.stdout)
