"""Figures of one molecule: angular momentum, and spectrum of the non-equivariant energy.

Figures 1a and 1c of Langer, Pozdnyakov, Ceriotti, Mach. Learn.: Sci. Technol. 5 (2024) 04LT01.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pet_driver import analysis
from pet_driver.analysis.properties import property_names
from pet_driver.errors import PetDriverError
from pet_driver.report.comparison import AVERAGED, RAW, compare, treatment
from pet_driver.report.drawing import (
    BLUE,
    GREEN,
    ORANGE,
    SKY,
    VERMILION,
    Drawing,
    Number,
    legend_below,
    panels,
    thinned,
)
from pet_driver.report.run_output import open_positions, symmetry_error_series
from pet_driver.runs.record import Run

HIGHEST = 4500.0  # cm^-1, above the frequency of the O-H stretch


def angular_momentum(runs: Sequence[Run]) -> Drawing:
    """Draw the components and the modulus of the angular momentum of one molecule over time."""
    suitable = [r for r in runs if (r.system, r.motion, r.n_beads) == ("molecule", "nve", 1)]
    groups, notes = compare(suitable, _angular_momentum)
    shown = [(group, member) for group in groups for member in group.members]
    figure, axes = panels(len(shown), width=2.6, columns=4, sharey=True)
    numbers = []
    for axis, (group, member) in zip(axes, shown, strict=True):
        where = member.label if len(groups) == 1 else f"{group.title}, {member.label}"
        times, momentum = member.result
        for component, color in enumerate((ORANGE, SKY, GREEN)):
            name = f"$L_{'xyz'[component]}$"
            axis.plot(*thinned(times, momentum[:, component]), color=color, label=name)
        modulus = np.linalg.norm(momentum, axis=1)
        axis.plot(*thinned(times, modulus), "k--", label="$|L|$")
        axis.set(title=where.replace(f"{group.title}, ", f"{group.title}\n"), xlabel="time (ps)")
        change = float(np.linalg.norm(momentum - momentum[0], axis=1).max())
        text = f"{change:.3g} eV fs ({100 * change / modulus[0]:.3g} %)"
        values = {"change_ev_fs": change, "relative": change / modulus[0]}
        numbers.append(Number(f"largest change of L, {where}", text, values))
    axes[0].set_ylabel("angular momentum (eV fs)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
    caption = (
        "Angular momentum of one water molecule without a thermostat. It is conserved if the "
        "potential energy does not depend on the orientation."
    )
    title = "Angular momentum of a molecule"
    return Drawing("angular-momentum", title, caption, figure, numbers, notes=notes)


def _angular_momentum(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Return times [F] (ps) and angular momentum [F, 3] (eV fs)."""
    universe = open_positions(run, velocities=True)
    found = analysis.AngularMomentum(universe.atoms).run()
    return found.times, found.results.angular_momentum[:, 0]


def potential_spectrum(runs: Sequence[Run]) -> Drawing:
    """Draw the power spectra of the potential energy and of its part that breaks the symmetry."""
    suitable = [r for r in runs if r.system == "molecule" and r.n_beads == 1 and _has_both(r)]
    groups, notes = compare(suitable, _spectra, needs_partner=False)
    shown = [(group, member) for group in groups for member in group.members]
    figure, axes = panels(len(shown), width=3.8, sharey=True)
    numbers = []
    for axis, (group, member) in zip(axes, shown, strict=True):
        names = ("potential energy", "raw $-$ averaged")
        for spectrum, name, color in zip(member.result[:2], names, (BLUE, VERMILION), strict=True):
            seen = (spectrum.frequency > 0) & (spectrum.frequency < HIGHEST)
            power = 1e6 * spectrum.power[seen]
            axis.semilogy(spectrum.frequency[seen], power, color=color, label=name)
        axis.set(title=f"{group.title}\n{member.label}", xlabel="frequency (cm$^{-1}$)")
        axis.set_xlim(0, None)
        total, symmetry_error = (1e3 * value for value in member.result[2:])
        text = f"{symmetry_error:.3g} meV (potential energy: {total:.3g} meV)"
        values = {"symmetry_error_mev": symmetry_error, "potential_mev": total}
        what = f"root mean square of raw - averaged, {group.title}, {member.label}"
        numbers.append(Number(what, text, values))
    axes[0].set_ylabel("power (meV$^2$ cm)")
    legend_below(figure)
    caption = (
        "Power spectra of the potential energy along the run and of its part that depends on the "
        "orientation, raw minus averaged (Welch's method, segments of a quarter of the run). The "
        "rotation of the molecule is at low frequencies, its vibrations are at higher ones."
    )
    title = "Spectrum of the non-equivariant energy"
    return Drawing("potential-spectrum", title, caption, figure, numbers, notes=notes)


def _has_both(run: Run) -> bool:
    if run.motion not in ("nve", "nvt"):
        return False
    if treatment(run) == AVERAGED:
        return bool(run.rotations) or not run.engine.startswith("i-PI")
    return treatment(run) == RAW and _has_two_force_fields(run)


def _has_two_force_fields(run: Run) -> bool:
    """Return whether i-PI wrote the energies of two force fields."""
    return "pot_component_raw(1)" in property_names(run.path(run.properties))


def _spectra(run: Run) -> tuple[analysis.Spectrum, analysis.Spectrum, float, float]:
    """Return the spectra (eV^2 cm) and the standard deviations (eV) of two energies.

    They are the potential energy and its symmetry error: two spectra, then two deviations.
    """
    series = symmetry_error_series(run)
    gaps = np.diff(series.steps)
    if len(gaps) == 0 or np.ptp(gaps) > 0:
        raise PetDriverError("its energies are not evenly spaced in time")
    interval = 1e-3 * run.timestep * float(gaps[0])
    total = analysis.power_spectrum(series.potential, interval)
    error = analysis.power_spectrum(series.symmetry_error, interval)
    return total, error, float(series.potential.std()), float(series.symmetry_error.std())
