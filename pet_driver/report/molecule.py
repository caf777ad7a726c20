"""One molecule: angular momentum, and the spectrum of what breaks its conservation.

Figures 1a and 1c of Langer, Pozdnyakov, Ceriotti, Mach. Learn.: Sci. Technol. 5 (2024) 04LT01.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pet_driver import analysis
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
from pet_driver.report.observe import broken_energies, open_positions
from pet_driver.runs.record import Run

HIGHEST = 4500.0  # cm^-1; above the O-H stretch there is nothing


def angular_momentum(runs: Sequence[Run]) -> Drawing:
    """Components and modulus of one molecule's angular momentum over time."""
    serving = [r for r in runs if (r.system, r.motion, r.n_beads) == ("molecule", "nve", 1)]
    groups, notes = compare(serving, _angular_momentum)
    shown = [(group, one) for group in groups for one in group.shown]
    figure, axes = panels(len(shown), width=2.6, columns=4, sharey=True)
    numbers = []
    for axis, (group, one) in zip(axes, shown, strict=True):
        where = one.label if len(groups) == 1 else f"{group.title}, {one.label}"
        times, momentum = one.found
        for component, colour in enumerate((ORANGE, SKY, GREEN)):
            name = f"$L_{'xyz'[component]}$"
            axis.plot(*thinned(times, momentum[:, component]), color=colour, label=name)
        modulus = np.linalg.norm(momentum, axis=1)
        axis.plot(*thinned(times, modulus), "k--", label="$|L|$")
        axis.set(title=where.replace(f"{group.title}, ", f"{group.title}\n"), xlabel="time (ps)")
        wander = float(np.linalg.norm(momentum - momentum[0], axis=1).max())
        text = f"{wander:.3g} eV fs ({100 * wander / modulus[0]:.3g} %)"
        values = {"change_ev_fs": wander, "relative": wander / modulus[0]}
        numbers.append(Number(f"largest change of L, {where}", text, values))
    axes[0].set_ylabel("angular momentum (eV fs)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
    caption = (
        "One water molecule without a thermostat. Angular momentum is conserved only as far as "
        "the potential does not depend on the orientation."
    )
    title = "Angular momentum of a molecule"
    return Drawing("angular-momentum", title, caption, figure, numbers, notes=notes)


def _angular_momentum(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Times [F] (ps) and angular momentum [F, 3] (eV fs)."""
    universe = open_positions(run, velocities=True)
    found = analysis.AngularMomentum(universe.atoms).run()
    return found.times, found.results.angular_momentum[:, 0]


def potential_spectrum(runs: Sequence[Run]) -> Drawing:
    """Power spectra of the potential energy and of its part that depends on orientation."""
    serving = [r for r in runs if r.system == "molecule" and r.n_beads == 1 and _has_both(r)]
    groups, notes = compare(serving, _spectra, needs_partner=False)
    shown = [(group, one) for group in groups for one in group.shown]
    figure, axes = panels(len(shown), width=3.8, sharey=True)
    numbers = []
    for axis, (group, one) in zip(axes, shown, strict=True):
        for spectrum, name, colour in zip(
            one.found[:2], ("potential energy", "raw $-$ averaged"), (BLUE, VERMILION), strict=True
        ):
            seen = (spectrum.frequency > 0) & (spectrum.frequency < HIGHEST)
            power = 1e6 * spectrum.power[seen]
            axis.semilogy(spectrum.frequency[seen], power, color=colour, label=name)
        axis.set(title=f"{group.title}\n{one.label}", xlabel="frequency (cm$^{-1}$)")
        axis.set_xlim(0, None)
        whole, broken = (1e3 * value for value in one.found[2:])
        text = f"{broken:.3g} meV, of {whole:.3g} meV of the potential energy"
        values = {"broken_mev": broken, "potential_mev": whole}
        what = f"root mean square of raw - averaged, {group.title}, {one.label}"
        numbers.append(Number(what, text, values))
    axes[0].set_ylabel("power (meV$^2$ cm)")
    legend_below(figure)
    caption = (
        "Power spectra of the potential energy along the run and of the part of it that depends "
        "on the orientation, raw less averaged (Welch's method, segments of a quarter of the run). "
        "The rotation of the molecule shows at low frequency, the vibrations above it."
    )
    title = "Spectrum of the non-equivariant energy"
    return Drawing("potential-spectrum", title, caption, figure, numbers, notes=notes)


def _has_both(run: Run) -> bool:
    if run.motion not in ("nve", "nvt"):
        return False
    if treatment(run) == AVERAGED:
        return bool(run.rotations) or not run.engine.startswith("i-PI")
    return treatment(run) == RAW and _watches_the_average(run)


def _watches_the_average(run: Run) -> bool:
    """Whether i-PI wrote the energies of two force fields."""
    with open(run.path(run.properties), errors="replace") as handle:
        header = handle.read(4096)
    return "pot_component_raw(1)" in header


def _spectra(run: Run) -> tuple[analysis.Spectrum, analysis.Spectrum, float, float]:
    """Spectra (eV^2 cm) of the potential and of its broken part, and their deviations (eV)."""
    found = broken_energies(run)
    gaps = np.diff(found.steps)
    if len(gaps) == 0 or np.ptp(gaps) > 0:
        raise PetDriverError("its energies are not evenly spaced in time")
    interval = 1e-3 * run.timestep * float(gaps[0])
    spectra = [analysis.power_spectrum(s, interval) for s in (found.potential, found.broken)]
    return *spectra, float(found.potential.std()), float(found.broken.std())
