"""What figures show of a trajectory, found in one pass over its frames for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import MDAnalysis as mda
from MDAnalysis.analysis.base import AnalysisBase
from MDAnalysis.analysis.results import Results

from pet_driver import analysis
from pet_driver.report.observe import (
    Outcome,
    each_bead,
    first_frame,
    frame_interval,
    once_a_run,
    open_positions,
    results,
    run_each,
)
from pet_driver.runs.record import Run

BIN = 0.064  # A, that of the reference
KERNEL = 0.1  # A, that of the paper
WINDOW = 10.0  # ps, as in the paper; a quarter of a shorter run
LAGS = 400  # at most; more cost time and cannot be seen


def structure(run: Run, name: str) -> list[Results]:
    """Of every bead: "orientation" and, of a liquid, "OO", "OH", "HH", "smooth" (g_OO under a
    kernel) and "dipoles".

    Raises:
        PetDriverError: the trajectory does not give it.
    """
    return results(bead[name] for bead in _structures(run))


def motion(run: Run, name: str) -> Results:
    """By name, "displacement" of the oxygens or "rotation" of the molecules.

    Raises:
        PetDriverError: the trajectory does not give it.
    """
    return results([_motions(run)[name]])[0]


@once_a_run
def _structures(run: Run) -> list[dict[str, Outcome]]:
    return [
        run_each(_structure_of(universe, run.system == "bulk"), **frames)
        for universe, frames in each_bead(run)
    ]


def _structure_of(universe: mda.Universe, liquid: bool) -> dict[str, Callable[[], AnalysisBase]]:
    atoms = universe.atoms
    orientation = {"orientation": partial(analysis.OrientationalFreeEnergy, atoms)}
    if not liquid:
        return orientation
    oxygens, radial = universe.select_atoms("element O"), analysis.RadialDistribution
    return orientation | {
        "OO": partial(radial, oxygens, "OO", bin_width=BIN),
        "OH": partial(radial, atoms, "OH", bin_width=BIN),
        "HH": partial(radial, atoms, "HH", bin_width=BIN),
        "smooth": partial(radial, oxygens, "OO", kernel=KERNEL),
        "dipoles": partial(analysis.DipoleCorrelation, atoms),
    }


@once_a_run
def _motions(run: Run) -> dict[str, Outcome]:
    universe = open_positions(run)
    start, step, longest = _window(run, universe)
    makers = {
        "displacement": partial(analysis.MeanSquareDisplacement, universe, max_lag=longest),
        "rotation": partial(analysis.RotationalAutocorrelation, universe.atoms, max_lag=longest),
    }
    return run_each(makers, start=start, step=step)


def _window(run: Run, universe: mda.Universe) -> tuple[int, int, float | None]:
    """First frame, every how many frames, and the longest lag (ps; None: a quarter of the run)."""
    start = first_frame(universe)
    frames = len(universe.trajectory) - start
    lags = min(frames // 4, round(WINDOW / frame_interval(universe.trajectory)))
    longest = WINDOW if lags < frames // 4 else None
    return start, max(1, math.ceil(lags / LAGS)), longest
