"""Opening what a run has written."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import NamedTuple, TypeVar

import MDAnalysis as mda
import numpy as np
from MDAnalysis.analysis.base import AnalysisBase
from MDAnalysis.analysis.results import Results
from MDAnalysis.coordinates.base import ReaderBase

from pet_driver import analysis
from pet_driver.analysis.properties import find_timestep
from pet_driver.analysis.units import factor
from pet_driver.errors import PetDriverError
from pet_driver.runs.record import Run

Found = TypeVar("Found")
Outcome = Results | PetDriverError


def is_lammps(run: Run) -> bool:
    return run.engine.startswith("LAMMPS")


def open_positions(run: Run, bead: int = 0, velocities: bool = False) -> mda.Universe:
    """The trajectory of one bead, with velocities from a file of their own where there is one."""
    if not run.positions:
        raise PetDriverError("the run has no trajectory")
    path = run.path(run.positions[bead])
    # Of a relaxation the steps are counted, unless its property file has a time.
    options: dict = {"timestep": run.timestep or find_timestep(path) or 1.0}
    if run.units:
        options["lammps_units"] = run.units
    if velocities and run.velocities:
        options["velocities"] = run.path(run.velocities[bead])
    return analysis.water_universe(path, **options)


def once_a_run(find: Callable[[Run], Found]) -> Callable[[Run], Found]:
    """What ``find`` finds in a run, kept as long as the run: several figures show parts of it."""
    kept: dict[int, Found] = {}

    @wraps(find)
    def found(run: Run) -> Found:
        if id(run) not in kept:
            kept[id(run)] = find(run)
            weakref.finalize(run, kept.pop, id(run), None)
        return kept[id(run)]

    return found


def run_each(
    makers: Mapping[str, Callable[[], AnalysisBase]], **frames: int | None
) -> dict[str, Outcome]:
    """Make observables of one Universe and run them in one pass; if one of them fails, each alone.

    Returns:
        by name the results, or what is in the way of them.
    """
    try:
        observables = {name: make() for name, make in makers.items()}
        analysis.run_collection(list(observables.values()), **frames)
        return {name: observable.results for name, observable in observables.items()}
    except PetDriverError:
        found: dict[str, Outcome] = {}
    for name, make in makers.items():
        try:
            found[name] = make().run(**frames).results
        except PetDriverError as error:
            found[name] = error
    return found


def results(outcomes: Iterable[Outcome]) -> list[Results]:
    """Results alone.

    Raises:
        PetDriverError: something was in the way of one of them.
    """
    found = []
    for outcome in outcomes:
        if isinstance(outcome, PetDriverError):
            raise outcome
        found.append(outcome)
    return found


def each_bead(run: Run) -> Iterator[tuple[mda.Universe, dict[str, int]]]:
    """The Universe of every bead, and its frames that count: first and last, the same for all.

    Raises:
        PetDriverError: the run has not written its beads one by one.
    """
    if len(run.positions) != run.n_beads:
        raise PetDriverError(
            f"it has {len(run.positions)} trajectories of {run.n_beads} beads; write the positions "
            "of all beads"
        )
    universes = [open_positions(run, bead) for bead in range(run.n_beads)]
    # of a run that is not finished, or was killed, some beads may have a frame more
    shortest = min(universes, key=lambda universe: len(universe.trajectory))
    frames = {"start": first_frame(shortest), "stop": len(shortest.trajectory)}
    for universe in universes:
        yield universe, frames


def first_frame(universe: mda.Universe) -> int:
    """The first frame that counts: the first fifth of a run is left out."""
    return len(universe.trajectory) // 5


def frame_interval(trajectory: ReaderBase) -> float:
    """The time between the first two frames in ps, infinite for a single one.

    Readers of dumps take the step for it where they are asked for ``dt``.
    """
    if len(trajectory) < 2:
        return np.inf
    first, second = (trajectory[k].time for k in (0, 1))
    return second - first


def open_properties(run: Run) -> analysis.PropertyTable:
    path = run.path(run.properties)
    if not is_lammps(run):
        return analysis.PropertyFile(path)
    # Where a log begins in the middle of an input file it says neither, and the run knows both.
    unit = {"metal": 1e-3, "real": 1.0}.get(run.units)  # of fs
    step = run.timestep * unit if unit and run.timestep else None
    return analysis.LAMMPSLog(path, run.units or None, step)


def potential(run: Run, table: analysis.PropertyTable) -> np.ndarray:
    """Potential energy in eV [F] of a run's table."""
    return table.energy("PotEng" if is_lammps(run) else "potential")


class Energies(NamedTuple):
    """Energies of the same frames: ``steps`` [F]; in eV, ``potential`` [F] as the run had it, and
    ``broken`` [F], the raw one less the averaged one."""

    steps: np.ndarray
    potential: np.ndarray
    broken: np.ndarray


def broken_energies(run: Run) -> Energies:
    """The part of the potential energy that depends on orientation, along a classical run.

    Three sources: two force fields side by side (``pot_component_raw(0)`` and ``(1)`` of i-PI),
    the raw energy among i-PI's extras, or that of ``compute pair`` in a log of LAMMPS.

    Raises:
        PetDriverError: the run has none of them.
    """
    table = open_properties(run)
    steps, energy = table["step"], potential(run, table)
    if "pot_component_raw(1)" in table:
        raw, averaged = (table.energy(f"pot_component_raw({k})") for k in (0, 1))
        return Energies(steps, energy, raw - averaged)
    if "c_rotations[1]" in table:
        return Energies(steps, energy, table.energy("c_rotations[1]") - energy)
    if len(run.rotations) != 1:
        raise PetDriverError("it has no raw energies beside the averaged ones")
    extras = analysis.ExtrasFile(run.path(run.rotations[0]))
    common, here, there = np.intersect1d(steps, extras["step"], return_indices=True)
    if len(common) == 0:
        raise PetDriverError(f"{run.rotations[0]} and {run.properties} have no step in common")
    return Energies(common, energy[here], extras.energy("raw_energy_ev")[there] - energy[here])


def temperature(run: Run) -> float | None:
    """Mean temperature (K) of the last four fifths of a run, None where it was not written."""
    table = open_properties(run)
    name = next((n for n in ("Temp", "temperature") if n in table), None)
    if name is None:
        return None
    unit = 1.0 if is_lammps(run) else factor("temperature", table.units[name], str(table.path))
    return unit * float(table[name][len(table) // 5 :].mean())
