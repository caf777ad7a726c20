"""Figure of the conserved quantity, which shows errors of forces, time step and thermostat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pet_driver import analysis
from pet_driver.errors import PetDriverError
from pet_driver.report.comparison import compare
from pet_driver.report.drawing import Drawing, Number, band, binned, legend_below, panels
from pet_driver.report.run_output import is_lammps, open_properties
from pet_driver.runs.record import Run

COLUMNS = ("conserved", "Econserve", "TotEng")


def conserved_quantity(runs: Sequence[Run]) -> Drawing:
    """Draw the conserved quantity per atom of every run, with its drift."""
    suitable = [r for r in runs if r.motion in ("nve", "nvt", "npt")]
    groups, notes = compare(suitable, _conserved, needs_partner=False)
    figure, axes = panels(len(groups))
    numbers = []
    for axis, group in zip(axes, groups, strict=True):
        for member in group.members:
            time, energy, drift = member.result
            times, means, deviations = binned(time, 1e3 * energy / member.run.n_atoms)
            band(axis, times, means - means[0], deviations, label=member.label, **member.style)
            numbers.append(_number(f"drift, {member.run.name}", drift))
        axis.set(title=group.title, xlabel="time (ps)")
        axis.set_ylabel("change of the conserved\nquantity (meV/atom)")
    legend_below(figure)
    caption = (
        "Conserved quantity of each run, relative to its start: means over intervals of the run, "
        "and, as a band, the standard deviation within them. The drifts leave out the first fifth "
        "of the run, because the beads of a path integral start at the same positions."
    )
    title = "Conserved quantity"
    return Drawing("conserved-quantity", title, caption, figure, numbers, notes=notes)


def _number(what: str, drift: analysis.Drift | None) -> Number:
    if drift is None:
        return Number(what, "the run is too short", {})
    text = f"{drift.slope:.1e} ± {drift.error:.0e} eV/(atom ps)"
    values = {"ev_atom_ps": drift.slope, "ev_atom_ps_error": drift.error}
    return Number(what, text, values)


def _conserved(run: Run) -> tuple[np.ndarray, np.ndarray, analysis.Drift | None]:
    """Return times [F] (ps), the conserved quantity [F] (eV), and its drift."""
    table = open_properties(run)
    # LAMMPS' total energy does not include the work of a thermostat or barostat
    known = COLUMNS if run.motion == "nve" or not is_lammps(run) else COLUMNS[:2]
    name = next((n for n in known if n in table), None)
    if name is None:
        remedy = "econserve to thermo_style" if is_lammps(run) else "conserved to its properties"
        raise PetDriverError(f"{run.properties} has no conserved quantity; add {remedy}")
    try:
        drift = analysis.conserved_drift(table, run.n_atoms, name, start=0.2 * run.duration)
    except PetDriverError:
        drift = None  # too few samples
    return table.time(), table.energy(name), drift
