"""Functions that open and read the output of a run."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any, NamedTuple, TypeAlias, TypeVar

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

T = TypeVar("T")
Outcome: TypeAlias = Results | PetDriverError


def is_lammps(run: Run) -> bool:
    """Return whether LAMMPS made the run."""
    return run.engine.startswith("LAMMPS")


def open_positions(run: Run, bead: int = 0, velocities: bool = False) -> mda.Universe:
    """Return a Universe with the trajectory of one bead.

    Args:
        run: the run.
        bead: index of the bead.
        velocities: whether to read the file of velocities, if the run has one.

    Raises:
        PetDriverError: the run has no trajectory, or it cannot be read.
    """
    if not run.positions:
        raise PetDriverError("the run has no trajectory")
    path = run.path(run.positions[bead])
    # a relaxation has no time step: 1 fs per step, unless its property file has a time
    options: dict[str, Any] = {"timestep": run.timestep or find_timestep(path) or 1.0}
    if run.units:
        options["lammps_units"] = run.units
    if velocities and run.velocities:
        options["velocities"] = run.path(run.velocities[bead])
    return analysis.water_universe(path, **options)


def cached_per_run(function: Callable[[Run], T]) -> Callable[[Run], T]:
    """Decorate a function of a run to be called once per run, as several figures use its result.

    The result is kept as long as the run; ``functools.cache`` would keep it for ever, and needs
    hashable arguments.
    """
    cache: dict[int, T] = {}

    @wraps(function)
    def cached(run: Run) -> T:
        if id(run) not in cache:
            cache[id(run)] = function(run)
            weakref.finalize(run, cache.pop, id(run), None)
        return cache[id(run)]

    return cached


class Frames(NamedTuple):
    """Frames to analyze, the arguments of ``run``."""

    start: int | None = None
    stop: int | None = None
    step: int | None = None


def run_observables(
    factories: Mapping[str, Callable[[], AnalysisBase]], frames: Frames
) -> dict[str, Outcome]:
    """Run observables of one Universe in one pass; if one of them fails, run each separately.

    Args:
        factories: functions that create the observables, by name.
        frames: the frames to analyze.

    Returns:
        The results, or the error, by name.
    """
    try:
        observables = {name: create() for name, create in factories.items()}
        analysis.run_collection(list(observables.values()), *frames)
        return {name: observable.results for name, observable in observables.items()}
    except PetDriverError:
        outcomes: dict[str, Outcome] = {}
    for name, create in factories.items():
        try:
            outcomes[name] = create().run(*frames).results
        except PetDriverError as error:
            outcomes[name] = error
    return outcomes


def successful_results(outcomes: Iterable[Outcome]) -> list[Results]:
    """Return the results.

    Raises:
        PetDriverError: the first error among the outcomes.
    """
    results = []
    for outcome in outcomes:
        if isinstance(outcome, PetDriverError):
            raise outcome
        results.append(outcome)
    return results


def bead_universes(run: Run) -> Iterator[tuple[mda.Universe, Frames]]:
    """Yield the Universe of every bead and the frames to analyze, the same for all beads.

    Raises:
        PetDriverError: the run has not written the trajectories of all its beads.
    """
    if len(run.positions) != run.n_beads:
        raise PetDriverError(
            f"it has {len(run.positions)} trajectories of {run.n_beads} beads; write the positions "
            "of all beads"
        )
    universes = [open_positions(run, bead) for bead in range(run.n_beads)]
    # in an unfinished or killed run, some beads may have one frame more than others
    shortest = min(universes, key=lambda universe: len(universe.trajectory))
    frames = Frames(first_frame(shortest), len(shortest.trajectory))
    for universe in universes:
        yield universe, frames


def first_frame(universe: mda.Universe) -> int:
    """Return the first frame to analyze: the first fifth of a run is left out."""
    return len(universe.trajectory) // 5


def frame_interval(trajectory: ReaderBase) -> float:
    """Return the time between the first two frames in ps, infinite for a single frame.

    The attribute ``dt`` of MDAnalysis' dump reader is the time step instead.
    """
    if len(trajectory) < 2:
        return np.inf
    first, second = (trajectory[k].time for k in (0, 1))
    return second - first


def open_properties(run: Run) -> analysis.PropertyTable:
    """Return the property file or the log of a run."""
    path = run.path(run.properties)
    if not is_lammps(run):
        return analysis.PropertyFile(path)
    # a log that starts in the middle of an input file has neither units nor time step
    femtosecond = {"metal": 1e-3, "real": 1.0}.get(run.units)  # in LAMMPS' unit of time
    step = run.timestep * femtosecond if femtosecond and run.timestep else None
    return analysis.LAMMPSLog(path, run.units or None, step)


def potential(run: Run, table: analysis.PropertyTable) -> np.ndarray:
    """Return the potential energy [F] in eV from the table of a run."""
    return table.energy("PotEng" if is_lammps(run) else "potential")


class EnergySeries(NamedTuple):
    """Energies along a run.

    Attributes:
        steps: [F].
        potential: potential energy of the run [F] in eV.
        symmetry_error: raw minus averaged energy [F] in eV.
    """

    steps: np.ndarray
    potential: np.ndarray
    symmetry_error: np.ndarray


def symmetry_error_series(run: Run) -> EnergySeries:
    """Return the symmetry error of the potential energy along a classical run.

    It is read from one of three sources: two force fields in one run of i-PI
    (``pot_component_raw(0)`` and ``(1)``), i-PI's extras, or ``compute pair`` in a log of LAMMPS.

    Raises:
        PetDriverError: the run has none of them.
    """
    table = open_properties(run)
    steps, energy = table["step"], potential(run, table)
    if "pot_component_raw(1)" in table:
        raw, averaged = (table.energy(f"pot_component_raw({k})") for k in (0, 1))
        return EnergySeries(steps, energy, raw - averaged)
    if "c_rotations[1]" in table:
        return EnergySeries(steps, energy, table.energy("c_rotations[1]") - energy)
    if len(run.rotations) != 1:
        raise PetDriverError("it has no raw energies in addition to the averaged ones")
    extras = analysis.ExtrasFile(run.path(run.rotations[0]))
    common, here, there = np.intersect1d(steps, extras["step"], return_indices=True)
    if len(common) == 0:
        raise PetDriverError(f"{run.rotations[0]} and {run.properties} have no step in common")
    return EnergySeries(common, energy[here], extras.energy("raw_energy_ev")[there] - energy[here])


def temperature(run: Run) -> float | None:
    """Return the mean temperature (K) of the last four fifths of a run, None if not written."""
    table = open_properties(run)
    name = next((n for n in ("Temp", "temperature") if n in table), None)
    if name is None:
        return None
    unit = 1.0 if is_lammps(run) else factor("temperature", table.units[name], str(table.path))
    return unit * float(table[name][len(table) // 5 :].mean())
