"""Figures of runs: each function draws one, and returns it with the numbers it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib.figure import Figure

from pet_driver import analysis
from pet_driver.report.runs import Run
from pet_driver.symmetry.grid_names import NO_FRAMES, parse_grid_name

# First maxima of g_OO of revPBE0-D3 water at 300 K and experimental density, classical and with
# 56 beads: B. Cheng et al., PNAS 116 (2019) 1110.
REFERENCE_PEAKS = {"liquid-nvt": (2.83, 2.74), "liquid-pimd": (2.83, 2.62)}
LABELS = {"liquid-nvt": "classical", "liquid-pimd": "path integral"}


@dataclass(frozen=True)
class Drawing:
    """A figure, its caption, and its numbers as rows of (what, value)."""

    name: str
    figure: Figure
    caption: str
    numbers: list[tuple[str, str]]


def angular_momentum(runs: Sequence[Run]) -> Drawing:
    """Components and modulus of one molecule's angular momentum (figure 1a of the paper)."""
    runs = sorted(runs, key=lambda run: run.grid)
    figure = Figure(figsize=(0.9 + 3.2 * len(runs), 3.0), layout="constrained")
    axes = figure.subplots(1, len(runs), sharey=True, squeeze=False)[0]
    numbers = []
    for axis, run in zip(axes, runs, strict=True):
        universe = analysis.water_universe(
            run.path(run.positions[0]), velocities=run.path(run.velocities)
        )
        found = analysis.AngularMomentum(universe.atoms).run().results
        times = np.array([step.time for step in universe.trajectory])
        for component, label in enumerate("xyz"):
            axis.plot(times, found.angular_momentum[:, 0, component], label=f"$L_{label}$")
        axis.plot(times, found.modulus[:, 0], "k--", label="|L|")
        axis.set(title=grid_label(run), xlabel="time (ps)")
        wander = np.linalg.norm(found.angular_momentum[:, 0] - found.angular_momentum[0, 0], axis=1)
        numbers.append(
            (
                f"largest change of L, {grid_label(run)}",
                f"{wander.max():.3g} eV fs ({100 * wander.max() / found.modulus[0, 0]:.2g} %)",
            )
        )
    axes[0].set_ylabel("angular momentum (eV fs)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
    caption = (
        "One water molecule without a thermostat. Angular momentum is conserved only as far as "
        "the potential does not depend on the orientation."
    )
    return Drawing("angular-momentum", figure, caption, numbers)


def radial_distribution(runs: Sequence[Run]) -> Drawing:
    """g_OO of classical and quantum water; the first fifth of each run is left out."""
    figure = Figure(figsize=(5.0, 3.4), layout="constrained")
    axis = figure.subplots()
    numbers = []
    for run in runs:
        r, g, error = bead_average(run)
        label = f"{LABELS[run.kind]}, {run.engine.split()[0]}"
        (line,) = axis.plot(r, g, label=label)
        axis.fill_between(r, g - error, g + error, alpha=0.25, color=line.get_color())
        axis.plot(*REFERENCE_PEAKS[run.kind], "o", mfc="none", color=line.get_color())
        peak = int(g.argmax())
        numbers.append((f"first maximum of g_OO, {label}", f"{g[peak]:.2f} at {r[peak]:.2f} A"))
    axis.set(xlabel="r (A)", ylabel="$g_{OO}(r)$", xlim=(2.0, None))
    axis.axhline(1.0, color="0.8", lw=0.8, zorder=0)
    axis.legend()
    lengths = ", ".join(f"{run.duration:.3g} ps ({LABELS[run.kind]})" for run in runs)
    caption = (
        "Oxygen-oxygen radial distribution of 64 molecules at 300 K, with the standard error from "
        f"blocks, from runs of {lengths}: long enough to see a liquid, too short to publish. "
        "Circles: first maxima of the reference (Cheng et al., PNAS 2019)."
    )
    return Drawing("radial-distribution", figure, caption, numbers)


def bead_average(run: Run) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """r (A), g_OO and its standard error, averaged over the beads of a run."""
    found = []
    for positions in run.positions:
        universe = analysis.water_universe(run.path(positions), timestep=run.timestep)
        oxygens = universe.select_atoms("element O")
        start = len(universe.trajectory) // 5
        rdf = analysis.RadialDistribution(oxygens, "OO", bin_width=0.1)
        found.append(rdf.run(start=start).results)
    mean = np.mean([f.g for f in found], axis=0)
    # Beads of one run are correlated: their common error is that of the mean of their blocks.
    blocks = np.mean([f.blocks for f in found], axis=0)
    error = blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks)) if len(blocks) > 1 else 0 * mean
    return found[0].r, mean, error


def conserved_quantity(runs: Sequence[Run]) -> Drawing:
    """Conserved quantity of every run, by atom."""
    figure = Figure(figsize=(5.0, 3.4), layout="constrained")
    axis = figure.subplots()
    numbers = []
    for run in runs:
        kind = analysis.LAMMPSLog if run.engine.startswith("LAMMPS") else analysis.PropertyFile
        table = kind(run.path(run.properties))
        name = next(n for n in ("conserved", "Econserve", "TotEng") if n in table)
        time, energy = table.time(), table.energy(name)
        axis.plot(time, 1e3 * (energy - energy[0]) / run.n_atoms, label=run.name)
        drift = analysis.conserved_drift(table, run.n_atoms, start=0.2 * run.duration)
        numbers.append(
            (
                f"drift, {run.name}",
                f"{drift.slope:.1e} ± {drift.error:.0e} eV per atom per ps",
            )
        )
    axis.set(xlabel="time (ps)", ylabel="change of the conserved quantity\n(meV per atom)")
    axis.legend(fontsize="small")
    caption = (
        "Conserved quantity of each run, relative to its start. The drifts leave out the first "
        "fifth: the beads of a path integral start in one place and fly apart."
    )
    return Drawing("conserved-quantity", figure, caption, numbers)


def grid_label(run: Run) -> str:
    if run.grid == "0":
        return "raw"
    exact = parse_grid_name(run.grid).frames != NO_FRAMES
    return f"exactly symmetrized ({run.grid})" if exact else f"averaged over {run.grid}"
