"""Figures of the dynamics of liquid water: mean-square displacement and rotation.

Figure 3 of Langer, Pozdnyakov, Ceriotti, Mach. Learn.: Sci. Technol. 5 (2024) 04LT01.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from MDAnalysis.analysis.results import Results

from pet_driver.analysis.displacement import DIFFUSIVE
from pet_driver.report.comparison import Group, LabelledRun, compare
from pet_driver.report.drawing import Drawing, Number, band, legend_below, panels, plus_minus
from pet_driver.report.liquid import bulk_dynamics
from pet_driver.report.run_output import open_positions, temperature
from pet_driver.report.trajectory_analysis import motion
from pet_driver.runs.record import Run

VISCOSITY = 0.85  # mPa s, experiment at 300 K


def mean_square_displacement(runs: Sequence[Run]) -> Drawing:
    """Draw the mean-square displacement of the oxygens, with the diffusion coefficient."""
    groups, notes = compare(_real_time(runs), _displacement)
    figure, axes = panels(len(groups))
    numbers = []
    for axis, group in zip(axes, groups, strict=True):
        for member in group.members:
            found = member.result["msd"]
            band(axis, found.time, found.msd, found.error, label=member.label, **member.style)
            numbers.append(_diffusion(group, member))
        _finish(axis, group, "mean-square displacement (Å$^2$)")
        axis.set_ylim(0.0, None)
    legend_below(figure)
    caption = (
        "Mean-square displacement of the oxygens, without the motion of their center, with the "
        "standard error from blocks, over a quarter of each run, at most 10 ps. The diffusion "
        "coefficient is that of this cell, from the slope of the second half. A periodic cell "
        "slows diffusion down; the correction given with the number uses the experimental "
        "viscosity of water (Yeh and Hummer, J. Phys. Chem. B 2004). Thermostats that act on every "
        "atom slow diffusion down as well. Langer et al. found about 16.3 Å² at 10 ps, for 512 "
        "molecules."
    )
    title = "Mean-square displacement"
    return Drawing("mean-square-displacement", title, caption, figure, numbers, notes=notes)


def dipole_autocorrelation(runs: Sequence[Run]) -> Drawing:
    """Draw the autocorrelation c_uu(t) of the dipoles of single molecules."""
    groups, notes = compare(_real_time(runs), _rotation)
    figure, axes = panels(len(groups))
    numbers = []
    for axis, group in zip(axes, groups, strict=True):
        for member in group.members:
            found = member.result
            band(axis, found.time, found.c1, found.c1_error, label=member.label, **member.style)
            error = found.c1_error[-1]
            text = f"{plus_minus(found.c1[-1], error)} at {found.time[-1]:.3g} ps"
            values = {"c": found.c1[-1], "c_error": error, "time_ps": found.time[-1]}
            what = f"c_uu at the end of its window, {group.title}, {member.label}"
            numbers.append(Number(what, text, values))
        _finish(axis, group, "$c_{uu}(t)$")
    legend_below(figure)
    caption = (
        "Autocorrelation of the dipole directions of single molecules, with the standard error "
        "from blocks, over a quarter of each run, at most 10 ps. Langer et al. found about 0.07 "
        "at 10 ps."
    )
    title = "Autocorrelation of single dipoles"
    return Drawing("dipole-autocorrelation", title, caption, figure, numbers, notes=notes)


def _finish(axis: Axes, group: Group, label: str) -> None:
    axis.set(title=group.title, xlabel="time (ps)", ylabel=label)
    axis.set_xlim(0.0, None)


def _real_time(runs: Sequence[Run]) -> list[Run]:
    """Return the runs with real-time dynamics: classical ones, and centroids of path integrals."""
    return [r for r in bulk_dynamics(runs) if r.n_beads == 1 or r.centroid]


def _displacement(run: Run) -> dict[str, Any]:
    cell = open_positions(run).dimensions
    cubic = cell is not None and np.ptp(cell[:3]) < 1e-3 and bool((cell[3:] == 90.0).all())
    length = float(cell[0]) if cubic else None
    msd = motion(run, "displacement")
    return {"msd": msd, "length": length, "temperature": temperature(run) or 300.0}


def _rotation(run: Run) -> Results:
    return motion(run, "rotation")


def _diffusion(group: Group, member: LabelledRun) -> Number:
    result = member.result
    diffusion, length = result["msd"].diffusion, result["length"]
    what = f"diffusion coefficient, {group.title}, {member.label}"
    if not diffusion.is_diffusive:
        return Number(what, f"the run is too short: the fit begins below {DIFFUSIVE:g} ps", {})
    text = f"{plus_minus(diffusion.coefficient, diffusion.error)} Å²/ps"
    values = {"ang2_ps": diffusion.coefficient, "ang2_ps_error": diffusion.error}
    if length is not None:
        correction = diffusion.finite_size_correction(result["temperature"], VISCOSITY, length)
        text += f" in a cell of {length:.2f} Å; finite-size correction +{correction:.2f} Å²/ps"
        values["finite_size_ang2_ps"] = correction
    return Number(what, text, values)
