"""Figures of the orientational free energy: constant if the potential is invariant.

Figures 1d, 1e, 2a and 2b of Langer, Pozdnyakov, Ceriotti, Mach. Learn.: Sci. Technol. 5 (2024)
04LT01.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pet_driver.report.comparison import Group, LabelledRun, compare
from pet_driver.report.drawing import Drawing, Number, plus_minus
from pet_driver.report.liquid import bulk_dynamics
from pet_driver.report.trajectory_analysis import structure
from pet_driver.runs.record import Run

SCALE = 0.4  # kT, limit of the color scale, as in the paper


@dataclass(frozen=True)
class FreeEnergyMap:
    """Free energy F(cos theta, phi) of one run.

    Attributes:
        free_energy: [C, P] in kT, minus its mean weighted by the density; infinite where no
            molecule was found.
        rms: root mean square of F, weighted by the density, in kT.
        error: root mean square of the standard error of F, in kT; NaN for a single frame.
    """

    free_energy: np.ndarray
    rms: float
    error: float


def molecule_orientation(runs: Sequence[Run]) -> Drawing:
    """Draw F(cos theta, phi) of one molecule at constant temperature."""
    suitable = [r for r in runs if (r.system, r.motion) == ("molecule", "nvt")]
    return _draw(suitable, "orientation-molecule", "Orientation of a molecule")


def liquid_orientation(runs: Sequence[Run]) -> Drawing:
    """Draw F(cos theta, phi) of the molecules of a liquid."""
    return _draw(bulk_dynamics(runs), "orientation-liquid", "Orientation in the liquid")


def _draw(runs: Sequence[Run], name: str, title: str) -> Drawing:
    groups, notes = compare(runs, _free_energy)
    columns = max(len(group.members) for group in groups)
    figure = Figure(figsize=(3.0 * columns + 1.0, 2.6 * len(groups) + 0.3), layout="constrained")
    axes = figure.subplots(len(groups), columns, squeeze=False, sharex=True, sharey=True)
    for row, group in zip(axes, groups, strict=True):
        for axis in row[len(group.members) :]:
            axis.remove()
        for axis, member in zip(row, group.members, strict=False):
            image = _panel(axis, group, member)
        row[0].set_ylabel(r"cos $\theta$")
    bar = figure.colorbar(image, ax=figure.axes, extend="both", ticks=[-SCALE, 0.0, SCALE])
    bar.set_label(r"$F(\cos\theta, \phi)$ (kT)")
    numbers = [_number(group, member) for group in groups for member in group.members]
    caption = (
        "Free energy of the direction from the oxygen to the midpoint of the hydrogens in the "
        "laboratory frame. For an invariant potential it is constant within the error, which is "
        "that of a point of the map, from blocks of the run. The first fifth of each run is left "
        "out. Grey: no molecule was found there. A run must be much longer than the rotational "
        "correlation time (a few ps in the liquid); the map of a shorter run shows the initial "
        "directions, and its error is too small."
    )
    return Drawing(name, title, caption, figure, numbers, notes=notes)


def _panel(axis: Axes, group: Group, member: LabelledRun) -> matplotlib.image.AxesImage:
    colors = matplotlib.colormaps["RdBu_r"].with_extremes(bad="0.75")
    image = axis.imshow(
        np.ma.masked_invalid(member.result.free_energy),
        origin="lower",
        extent=(-np.pi, np.pi, -1.0, 1.0),
        aspect="auto",
        cmap=colors,
        vmin=-SCALE,
        vmax=SCALE,
    )
    axis.set_title(f"{group.title}\n{member.label}\n{_in_words(member.result)}")
    axis.set_xticks([-np.pi, 0.0, np.pi], [r"$-\pi$", "0", r"$\pi$"])
    axis.set_yticks([-1.0, 0.0, 1.0])
    axis.set_xlabel(r"$\phi$")
    axis.tick_params(labelbottom=True)
    axis.spines[:].set_visible(True)
    return image


def _in_words(found: FreeEnergyMap) -> str:
    error = "unknown" if np.isnan(found.error) else f"{found.error:.2g}"
    return f"rms {found.rms:.2g}, error {error} kT"


def _number(group: Group, member: LabelledRun) -> Number:
    text = f"{plus_minus(member.result.rms, member.result.error)} kT"
    values = {"rms_kt": member.result.rms, "error_kt": member.result.error}
    return Number(f"root mean square of F, {group.title}, {member.label}", text, values)


def _free_energy(run: Run) -> FreeEnergyMap:
    """Return the free energy of a run, with densities and their errors averaged over beads."""
    beads = structure(run, "orientation")
    density = np.mean([found.density for found in beads], axis=0)
    error = np.mean([found.density_error for found in beads], axis=0)
    seen = density > 0
    with np.errstate(divide="ignore"):
        free_energy = -np.log(density)
    weights = density[seen]
    free_energy -= np.average(free_energy[seen], weights=weights)
    rms = np.sqrt(np.average(free_energy[seen] ** 2, weights=weights))
    rms_error = np.sqrt(np.average((error[seen] / weights) ** 2, weights=weights))
    return FreeEnergyMap(free_energy, float(rms), float(rms_error))
