"""Analysis of a trajectory in one pass, shared by all figures that need it."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import MDAnalysis as mda
from MDAnalysis.analysis.base import AnalysisBase
from MDAnalysis.analysis.results import Results

from pet_driver import analysis
from pet_driver.report.run_output import (
    Frames,
    Outcome,
    bead_universes,
    cached_per_run,
    first_frame,
    frame_interval,
    open_positions,
    run_observables,
    successful_results,
)
from pet_driver.runs.record import Run

BIN = 0.064  # A, as in the reference of the radial distributions
KERNEL = 0.1  # A, as in the paper
WINDOW = 10.0  # ps, longest lag, as in the paper; at most a quarter of the run
LAGS = 400  # largest number of lags


def structure(run: Run, name: str) -> list[Results]:
    """Return the results of a structural observable for every bead.

    Args:
        run: the run.
        name: "orientation"; for a liquid also "OO", "OH", "HH", "smooth" (g_OO with a kernel) and
            "dipoles".

    Raises:
        PetDriverError: the trajectory cannot be analyzed.
    """
    return successful_results(bead[name] for bead in _structures(run))


def motion(run: Run, name: str) -> Results:
    """Return the results of a dynamical observable.

    Args:
        run: the run.
        name: "displacement" of the oxygens or "rotation" of the molecules.

    Raises:
        PetDriverError: the trajectory cannot be analyzed.
    """
    return successful_results([_motions(run)[name]])[0]


@cached_per_run
def _structures(run: Run) -> list[dict[str, Outcome]]:
    return [
        run_observables(_structure_factories(universe, run.system == "bulk"), frames)
        for universe, frames in bead_universes(run)
    ]


def _structure_factories(
    universe: mda.Universe, liquid: bool
) -> dict[str, Callable[[], AnalysisBase]]:
    atoms = universe.atoms
    orientation = partial(analysis.OrientationalFreeEnergy, atoms)
    if not liquid:
        return {"orientation": orientation}
    oxygens, radial = universe.select_atoms("element O"), analysis.RadialDistribution
    return {
        "orientation": orientation,
        "OO": partial(radial, oxygens, "OO", bin_width=BIN),
        "OH": partial(radial, atoms, "OH", bin_width=BIN),
        "HH": partial(radial, atoms, "HH", bin_width=BIN),
        "smooth": partial(radial, oxygens, "OO", kernel=KERNEL),
        "dipoles": partial(analysis.DipoleCorrelation, atoms),
    }


@cached_per_run
def _motions(run: Run) -> dict[str, Outcome]:
    universe = open_positions(run)
    start, step, longest = _window(universe)
    factories: dict[str, Callable[[], AnalysisBase]] = {
        "displacement": partial(analysis.MeanSquareDisplacement, universe, max_lag=longest),
        "rotation": partial(analysis.RotationalAutocorrelation, universe.atoms, max_lag=longest),
    }
    return run_observables(factories, Frames(start, step=step))


def _window(universe: mda.Universe) -> tuple[int, int, float | None]:
    """Return first frame, frame step, and the longest lag (ps; None: a quarter of the run)."""
    start = first_frame(universe)
    frames = len(universe.trajectory) - start
    lags = min(frames // 4, round(WINDOW / frame_interval(universe.trajectory)))
    longest = WINDOW if lags < frames // 4 else None
    return start, max(1, math.ceil(lags / LAGS)), longest
