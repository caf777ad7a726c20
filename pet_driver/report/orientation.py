"""Orientational free energy of molecules: flat where the potential does not prefer a direction.

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

from pet_driver.report.comparison import Group, Shown, compare
from pet_driver.report.drawing import Drawing, Number, plus_minus
from pet_driver.report.sampled import structure
from pet_driver.runs.record import Run

SCALE = 0.4  # kT, as in the paper


@dataclass(frozen=True)
class Map:
    """F(cos theta, phi) of one run.

    Attributes:
        free_energy: [C, P] in kT, its mean weighted by the density taken off; infinite where
            nothing was seen.
        spread: root mean square of F, weighted by the density, kT.
        error: the same of the standard error from blocks, kT; NaN for a single frame.
    """

    free_energy: np.ndarray
    spread: float
    error: float


def molecule_orientation(runs: Sequence[Run]) -> Drawing:
    """F(cos theta, phi) of one molecule at constant temperature."""
    serving = [r for r in runs if (r.system, r.motion) == ("molecule", "nvt")]
    return _draw(serving, "orientation-molecule", "Orientation of a molecule")


def liquid_orientation(runs: Sequence[Run]) -> Drawing:
    """F(cos theta, phi) of the molecules of a liquid."""
    serving = [r for r in runs if r.system == "bulk" and r.motion in ("nve", "nvt", "npt")]
    return _draw(serving, "orientation-liquid", "Orientation in the liquid")


def _draw(runs: Sequence[Run], name: str, title: str) -> Drawing:
    groups, notes = compare(runs, _free_energy)
    columns = max(len(group.shown) for group in groups)
    figure = Figure(figsize=(3.0 * columns + 1.0, 2.6 * len(groups) + 0.3), layout="constrained")
    axes = figure.subplots(len(groups), columns, squeeze=False, sharex=True, sharey=True)
    for row, group in zip(axes, groups, strict=True):
        for axis in row[len(group.shown) :]:
            axis.remove()
        for axis, one in zip(row, group.shown, strict=False):
            image = _panel(axis, group, one)
        row[0].set_ylabel(r"cos $\theta$")
    bar = figure.colorbar(image, ax=figure.axes, extend="both", ticks=[-SCALE, 0.0, SCALE])
    bar.set_label(r"$F(\cos\theta, \phi)$ (kT)")
    numbers = [_number(group, one) for group in groups for one in group.shown]
    caption = (
        "Free energy of the direction from the oxygen to the midpoint of its hydrogens, in the "
        "frame of the laboratory: flat for a potential that is invariant, within the error, which "
        "is that of a point of the map, from blocks of the run. The first fifth of each run is "
        "left out. Grey: never seen. A run must be long against the time in which a molecule "
        "forgets its direction (a few ps in the liquid): a shorter one shows where molecules "
        "pointed by chance, and its blocks give too small an error."
    )
    return Drawing(name, title, caption, figure, numbers, notes=notes)


def _panel(axis: Axes, group: Group, one: Shown) -> matplotlib.image.AxesImage:
    colours = matplotlib.colormaps["RdBu_r"].with_extremes(bad="0.75")
    image = axis.imshow(
        np.ma.masked_invalid(one.found.free_energy),
        origin="lower",
        extent=(-np.pi, np.pi, -1.0, 1.0),
        aspect="auto",
        cmap=colours,
        vmin=-SCALE,
        vmax=SCALE,
    )
    axis.set_title(f"{group.title}\n{one.label}\n{_in_words(one.found)}")
    axis.set_xticks([-np.pi, 0.0, np.pi], [r"$-\pi$", "0", r"$\pi$"])
    axis.set_yticks([-1.0, 0.0, 1.0])
    axis.set_xlabel(r"$\phi$")
    axis.tick_params(labelbottom=True)
    axis.spines[:].set_visible(True)
    return image


def _in_words(found: Map) -> str:
    error = "unknown" if np.isnan(found.error) else f"{found.error:.2g}"
    return f"rms {found.spread:.2g}, error {error} kT"


def _number(group: Group, one: Shown) -> Number:
    text = f"{plus_minus(one.found.spread, one.found.error)} kT"
    values = {"rms_kt": one.found.spread, "error_kt": one.found.error}
    return Number(f"root mean square of F, {group.title}, {one.label}", text, values)


def _free_energy(run: Run) -> Map:
    """The map of a run. Beads are averaged over; their errors are not independent."""
    beads = structure(run, "orientation")
    density = np.mean([found.density for found in beads], axis=0)
    error = np.mean([found.density_error for found in beads], axis=0)
    seen = density > 0
    with np.errstate(divide="ignore"):
        free_energy = -np.log(density)
    weights = density[seen]
    free_energy -= np.average(free_energy[seen], weights=weights)
    spread = np.sqrt(np.average(free_energy[seen] ** 2, weights=weights))
    typical = np.sqrt(np.average((error[seen] / weights) ** 2, weights=weights))
    return Map(free_energy, float(spread), float(typical))
