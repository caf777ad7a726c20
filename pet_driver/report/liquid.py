"""Figures of the structure of liquid water: radial distributions and dipole correlations.

Figures 2c and 2d of Langer, Pozdnyakov, Ceriotti, Mach. Learn.: Sci. Technol. 5 (2024) 04LT01.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from pet_driver.errors import PetDriverError
from pet_driver.report.comparison import Group, LabelledRun, compare
from pet_driver.report.drawing import Drawing, Number, band, legend_below, panels, plus_minus
from pet_driver.report.trajectory_analysis import BIN, KERNEL, structure
from pet_driver.runs.record import Run

RELAXATION = 2.0  # ps; about the time in which the liquid forgets its starting structure
EQUILIBRATION = 0.5  # ps; about the time in which beads spread from a classical structure
CLOSEST = 2.4  # A; there are almost no pairs of oxygens at shorter distances

# First maxima (r in A, g) of revPBE0-D3 water at 300 K and experimental density, classical and
# with 56 beads: B. Cheng et al., PNAS 116 (2019) 1110.
REFERENCE = {
    "OO": ((2.83, 2.74), (2.83, 2.62)),
    "OH": ((1.87, 1.30), (1.87, 1.17)),
    "HH": ((2.38, 1.49), (2.44, 1.34)),
}
# Upper limits (A) of the position of the first intermolecular maximum.
FIRST_SHELL = {"OO": 3.4, "OH": 2.4, "HH": 2.9}


class Radial(NamedTuple):
    """Radial distribution function.

    Attributes:
        r: [K] in A.
        g: [K].
        error: standard error [K]; zero if there is a single block.
    """

    r: np.ndarray
    g: np.ndarray
    error: np.ndarray

    def first_maximum(self, pair: str) -> int:
        """Return the index of the first maximum."""
        return int(np.where(self.r < FIRST_SHELL[pair], self.g, 0.0).argmax())


def bulk_dynamics(runs: Sequence[Run]) -> list[Run]:
    """Return the runs with dynamics of a bulk system."""
    return [r for r in runs if r.system == "bulk" and r.motion in ("nve", "nvt", "npt")]


def radial_distribution(runs: Sequence[Run]) -> Drawing:
    """Draw the radial distribution g_OO."""
    return _radial(runs, ("OO",), "radial-distribution", "Oxygen-oxygen radial distribution")


def hydrogen_distribution(runs: Sequence[Run]) -> Drawing:
    """Draw the intermolecular radial distributions g_OH and g_HH."""
    title = "Radial distributions of hydrogen"
    return _radial(runs, ("OH", "HH"), "radial-distribution-hydrogen", title)


def _radial(runs: Sequence[Run], pairs: Sequence[str], name: str, title: str) -> Drawing:
    groups, notes = compare(bulk_dynamics(runs), partial(_all_pairs, pairs=pairs))
    figure, axes = panels(len(groups) * len(pairs), columns=3 if len(pairs) == 1 else 2)
    cells = [(group, pair) for group in groups for pair in pairs]
    numbers = []
    for axis, (group, pair) in zip(axes, cells, strict=True):
        _radial_panel(axis, group, pair)
        numbers += _maxima(group, pair)
    legend_below(figure)
    lengths = ", ".join(
        f"{member.run.duration:.3g} ps ({group.title}, {member.label})"
        for group in groups
        for member in group.members
    )
    caption = (
        f"Intermolecular radial distribution in bins of {BIN:g} Å, with the standard error from "
        "blocks; the first fifth of each run is left out. Circles: first maxima of revPBE0-D3 "
        "water at 300 K and experimental density, in bins of the same width, classical or with "
        f"56 beads (Cheng et al., PNAS 2019). Lengths of the runs: {lengths}."
    )
    return Drawing(name, title, caption, figure, numbers, notes=notes + _short_runs(groups))


def _short_runs(groups: Sequence[Group]) -> list[str]:
    """Return notes about runs that are too short for the structure of a liquid."""
    return [
        f"{group.title}, {member.label}: a run of {member.run.duration:.2g} ps is too short for "
        f"the structure of the liquid, which takes about {RELAXATION:g} ps to forget its start; "
        "what is shown is the starting structure, and its error is too small"
        for group in groups
        for member in group.members
        if member.run.duration < RELAXATION
    ]


def _check_equilibrated(run: Run) -> None:
    """Raise PetDriverError if the beads of a run are still those of a classical structure."""
    if run.n_beads > 1 and run.duration < EQUILIBRATION:
        raise PetDriverError(
            f"{run.duration:.2g} ps are too short for {run.n_beads} beads, which take about "
            f"{EQUILIBRATION:g} ps to spread from a classical starting structure; run for longer"
        )


def _radial_panel(axis: Axes, group: Group, pair: str) -> None:
    for member in group.members:
        found = member.result[pair]
        band(axis, found.r, found.g, found.error, label=member.label, **member.style)
    classical, quantum = REFERENCE[pair]
    axis.plot(*(classical if group.n_beads == 1 else quantum), "ko", mfc="none", label="reference")
    axis.axhline(1.0, color="0.8", lw=0.8, zorder=0)
    axis.set(title=group.title, xlabel="r (Å)", ylabel=f"$g_{{\\rm {pair}}}(r)$")
    axis.set_xlim(2.0 if pair == "OO" else 1.0, None)
    axis.set_ylim(0.0, None)


def _maxima(group: Group, pair: str) -> list[Number]:
    numbers = []
    for member in group.members:
        found = member.result[pair]
        peak = found.first_maximum(pair)
        height, error = found.g[peak], found.error[peak]
        text = f"{plus_minus(height, error)} at {found.r[peak]:.2f} Å"
        values = {"height": height, "height_error": error, "position_ang": found.r[peak]}
        if pair == "OO":
            smooth = member.result["smooth"]
            top = smooth.first_maximum(pair)
            text += f"; {smooth.g[top]:.2f} at {smooth.r[top]:.2f} Å with a kernel of {KERNEL:g} Å"
            values["height_kernel"] = smooth.g[top]
        what = f"first maximum of g_{pair}, {group.title}, {member.label}"
        numbers.append(Number(what, text, values))
    return numbers


def _all_pairs(run: Run, pairs: Sequence[str]) -> dict[str, Radial]:
    found = {pair: _bead_average(run, pair) for pair in pairs}
    _check_equilibrated(run)
    if "OO" in pairs:
        found["smooth"] = _bead_average(run, "smooth")
    return found


def _bead_average(run: Run, name: str) -> Radial:
    beads = structure(run, name)
    # Beads of one run are correlated, so their blocks are averaged before the error is computed.
    blocks = np.mean([found.blocks for found in beads], axis=0)
    mean = np.mean([found.g for found in beads], axis=0)
    error = blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks)) if len(blocks) > 1 else 0 * mean
    return Radial(beads[0].r, mean, error)


def dipole_correlation(runs: Sequence[Run]) -> Drawing:
    """Draw the longitudinal and transverse correlations of two dipoles over their distance."""
    groups, notes = compare(bulk_dynamics(runs), _dipoles)
    figure, axes = panels(2 * len(groups), columns=2)
    cells = [(group, name) for group in groups for name in ("longitudinal", "transverse")]
    for axis, (group, name) in zip(axes, cells, strict=True):
        for member in group.members:
            r, curves, errors = member.result
            seen = r > CLOSEST
            curve = (r[seen], curves[name][seen], errors[name][seen])
            band(axis, *curve, label=member.label, **member.style)
        axis.axhline(0.0, color="0.8", lw=0.8, zorder=0)
        axis.set(title=group.title, xlabel="r (Å)", ylabel=f"{name} $c_{{uu}}(r)/g(r)$")
    legend_below(figure)
    caption = (
        "Correlation of the dipole directions u of two molecules with the O-O distance r, parallel "
        "(longitudinal) and perpendicular (transverse) to the line between the oxygens; their sum "
        f"is the mean of u.u. Gaussian kernel of {KERNEL:g} Å. Bands: standard error from blocks."
    )
    title = "Correlations of dipoles"
    numbers = [_contact(group, member) for group in groups for member in group.members]
    notes += _short_runs(groups)
    return Drawing("dipole-correlation", title, caption, figure, numbers, notes=notes)


def _contact(group: Group, member: LabelledRun) -> Number:
    """Return the correlations at the first maximum of g_OO, 2.8 A."""
    r, curves, errors = member.result
    k = int(np.abs(r - 2.8).argmin())
    names = ("longitudinal", "transverse")
    text = ", ".join(f"{name} {plus_minus(curves[name][k], errors[name][k])}" for name in names)
    values = {name: curves[name][k] for name in names}
    values |= {f"{name}_error": errors[name][k] for name in names}
    return Number(f"dipole correlation at 2.8 Å, {group.title}, {member.label}", text, values)


def _dipoles(run: Run) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return r [K] (A), curves [K] and errors [K] by name, averaged over beads."""
    beads = structure(run, "dipoles")
    _check_equilibrated(run)
    names = ("longitudinal", "transverse")
    curves = {name: np.mean([b[name] for b in beads], axis=0) for name in names}
    errors = {name: np.mean([b[f"{name}_error"] for b in beads], axis=0) for name in names}
    return beads[0].r, curves, errors
