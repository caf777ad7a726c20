"""Results of the probe as tables, a JSON file and a figure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from pet_driver.probe.components import PARITIES
from pet_driver.probe.run import Probe

NAME = "symmetry-probe"
MILLI = 1e3


def write_probe(found: Probe, folder: Path) -> list[Path]:
    """Write ``symmetry-probe`` as .json, .png, .svg and .pdf; create the folder if needed.

    Returns:
        the paths of the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{NAME}.{suffix}" for suffix in ("json", "png", "svg", "pdf")]
    paths[0].write_text(json.dumps(as_dict(found), indent=1) + "\n")
    drawing = figure(found)
    for path in paths[1:]:
        drawing.savefig(path, dpi=200)
    return paths


def as_dict(found: Probe) -> dict[str, Any]:
    """Return all results by name, in the units of the names: meV and A."""
    grids = [
        {
            "grid": d.grid,
            "evaluations": d.evaluations,
            "energy_mae_mev": MILLI * d.energy,
            "energy_mae_mev_per_atom": MILLI * d.energy_per_atom,
            "force_mae_mev_per_ang": MILLI * d.forces,
            "force_rmse_mev_per_ang": MILLI * d.forces_rms,
            "virial_mae_mev_per_atom": _milli(d.virial_per_atom),
            "torque_rms_mev": _milli(d.torque),
            "molecular_torque_rmse_mev": _milli(d.molecular_torque),
            "curie_force_rms_mev_per_ang": _milli(found.curie_rms(d.grid)),
        }
        for d in found.deviations
    ]
    advice = found.recommendation
    return {
        "potential": found.potential,
        "structures": len(found.n_atoms),
        "atoms": found.n_atoms,
        "reference": {
            "grid": found.reference[0],
            "evaluations": found.reference[1],
            "torque_rms_mev": _milli(found.reference_torque),
        },
        "grids": grids,
        "components": _components(found),
        "group_orders": [test and test.order for test in next(iter(found.curie.values()))],
        "recommendation": {
            "grid": advice.grid,
            "evaluations": advice.evaluations,
            "energy_tolerance_mev_per_atom": MILLI * advice.energy_tolerance,
            "force_tolerance_mev_per_ang": MILLI * advice.force_tolerance,
        },
    }


def _components(found: Probe) -> dict[str, Any] | None:
    """Return the powers of the components, None if they were not computed."""
    if found.components is None:
        return None
    power, variance = found.components.power, found.components.variance
    return {
        "grid": found.resolution,
        "variance_mev2": MILLI**2 * variance,
        "beyond_mev2": MILLI**2 * found.components.beyond,
        "powers": [
            {
                "l": momentum,
                "parity": parity,
                "power_mev2": MILLI**2 * float(power[momentum, column]),
                "rms_mev": MILLI * float(np.sqrt(power[momentum, column])),
                "share": float(power[momentum, column] / variance) if variance else 0.0,
            }
            for momentum in range(len(power))
            for column, parity in enumerate(PARITIES)
            if (momentum, parity) != (0, "even")
        ],
    }


def deviation_table(found: Probe) -> Table:
    """Return a table of the deviations from the reference by grid, cheapest first."""
    name, evaluations = found.reference
    headers = ["grid", "evalu-\nations", "energy\nmeV", "energy\nmeV/atom", "force\nmeV/A"]
    headers += ["virial\nmeV/atom", "torque\nmeV", "torque on\nmolecules", "Curie\nmeV/A"]
    table = Table(
        *headers,
        title=f"Mean absolute error against {name} ({evaluations} evaluations)",
        caption="torques and Curie's test: root mean square",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for d in found.deviations:
        values = [d.energy, d.energy_per_atom, d.forces, d.virial_per_atom, d.torque]
        values += [d.molecular_torque, found.curie_rms(d.grid)]
        cells = ["-" if v is None else _short(MILLI * v) for v in values]
        table.add_row(d.grid, str(d.evaluations), *cells)
    return table


def component_table(found: Probe) -> Table:
    """Return a table of the components of the raw energy: rms, and share of the variance."""
    table = Table(
        "l",
        *PARITIES,
        title=f"Broken part of the raw energy, meV ({found.resolution})",
        box=box.SIMPLE_HEAD,
    )
    assert found.components is not None
    total = found.components.variance or 1.0

    def cell(power: float) -> str:
        return f"{MILLI * np.sqrt(power):.3g} ({power / total:.1%})"

    for momentum, (even, odd) in enumerate(found.components.power):
        table.add_row(str(momentum), cell(even) if momentum else "invariant", cell(odd))
    table.add_row(f"above {momentum}", cell(found.components.beyond), "")
    return table


def advice(found: Probe) -> str:
    """Return one sentence that names the recommended grid."""
    wanted = found.recommendation
    limits = (
        f"{MILLI * wanted.energy_tolerance:g} meV/atom and {MILLI * wanted.force_tolerance:g} meV/A"
    )
    if wanted.grid is None:
        names = ", ".join(d.grid for d in found.deviations)
        return f"none of {names} is within {limits}: take a finer grid or wider tolerances"
    raw = " (the raw network)" if wanted.grid == "0" else ""
    return f"cheapest grid within {limits}: {wanted.grid}{raw}, {wanted.evaluations} evaluations"


def figure(found: Probe) -> Figure:
    """Draw errors against evaluations, and components by angular momentum and parity."""
    panels = 2 if found.components is None else 3
    drawing = Figure(figsize=(3.9 * panels, 3.4), layout="constrained")
    axes = drawing.subplots(1, panels)
    _draw_errors(
        axes[0], found, {"energy": "energy (meV)", "energy_per_atom": "energy per atom (meV)"}
    )
    _draw_errors(
        axes[1],
        found,
        {
            "forces": "force (meV/A)",
            "virial_per_atom": "virial (meV/atom)",
            "torque": "torque (meV)",
            "molecular_torque": "torque on molecules (meV)",
        },
    )
    limits = found.recommendation
    for axis, limit in ((axes[0], limits.energy_tolerance), (axes[1], limits.force_tolerance)):
        axis.axhline(MILLI * limit, color="0.5", ls=":", label="tolerance")
        axis.legend(fontsize="small", loc="lower left")
    if found.components is not None:
        _draw_components(axes[2], found)
    return drawing


def _draw_errors(axis: Axes, found: Probe, quantities: dict[str, str]) -> None:
    """Draw deviations against the number of evaluations."""
    evaluations = [d.evaluations for d in found.deviations]
    for name, label in quantities.items():
        values = [getattr(d, name) for d in found.deviations]
        # A logarithmic axis cannot show an error of exactly zero.
        points = [(n, MILLI * v) for n, v in zip(evaluations, values, strict=True) if v]
        if points:
            axis.loglog(*zip(*points, strict=True), "o-", label=label)
    for d in found.deviations:
        axis.annotate(
            d.grid,
            (d.evaluations, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, -3),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize="small",
            color="0.4",
        )
    axis.set(xlabel="evaluations", ylabel=f"error against {found.reference[0]}")
    axis.margins(y=0.15)


def _draw_components(axis: Axes, found: Probe) -> None:
    """Draw the root mean square of each component."""
    assert found.components is not None
    power = found.components.power
    momenta = np.arange(len(power))
    for column, parity in enumerate(PARITIES):
        axis.bar(momenta + 0.4 * column - 0.2, MILLI * np.sqrt(power[:, column]), 0.4, label=parity)
    beyond = MILLI * np.sqrt(found.components.beyond)
    axis.bar(len(power), beyond, 0.8, color="0.7", label="above")
    axis.set(xlabel="angular momentum l", ylabel="energy, root mean square (meV)")
    largest = MILLI * np.sqrt(max(power.max(), found.components.beyond))
    if largest > 0.0:
        axis.set(yscale="log", ylim=(1e-5 * largest, 3.0 * largest))
    axis.set_xticks([*momenta, len(power)], [*map(str, momenta), f">{momenta[-1]}"])
    axis.legend(fontsize="small")


def _short(value: float) -> str:
    """Format a value with two significant digits."""
    return f"{value:.0f}" if value >= 100.0 else f"{value:.2g}"


def _milli(value: float | None) -> float | None:
    """Convert eV to meV."""
    return None if value is None else MILLI * value
