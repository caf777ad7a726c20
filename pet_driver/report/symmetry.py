"""Figures of the output of ``pet-driver probe``: torque and symmetry error for different grids.

Figure 1b of Langer, Pozdnyakov, Ceriotti, Mach. Learn.: Sci. Technol. 5 (2024) 04LT01, and the
errors of its supporting information.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from pet_driver.errors import PetDriverError
from pet_driver.report.drawing import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    VERMILION,
    Drawing,
    NothingToDraw,
    Number,
    legend_below,
    panels,
)

FILE = "symmetry-probe.json"
MARKERS = list(
    zip((BLUE, VERMILION, GREEN, ORANGE, PURPLE), ("o", "s", "^", "D", "v"), strict=True)
)
# Langer et al., gas-phase molecule: evaluations, and error of the energy against 3i in meV.
PAPER = ((1, 2.82), (2, 1.06), (18, 0.084), (36, 0.045), (75, 0.015))


@dataclass(frozen=True)
class ProbeSummary:
    """Content of one ``symmetry-probe.json``.

    Attributes:
        label: the potential and the structures.
        molecule: whether all structures have three atoms.
        reference: ``grid``, ``evaluations`` and perhaps ``torque_rms_mev`` of the reference.
        grids: an entry for each grid, as in the file.
    """

    label: str
    molecule: bool
    reference: dict[str, Any]
    grids: list[dict[str, Any]]


def find_probes(folders: Iterable[Path]) -> list[ProbeSummary]:
    """Return all probes in and below some folders, sorted by path.

    Raises:
        PetDriverError: a file was not written by ``pet-driver probe``.
    """
    paths = {path.resolve() for folder in folders for path in folder.glob(f"**/{FILE}")}
    return [_read(path) for path in sorted(paths)]


def _read(path: Path) -> ProbeSummary:
    try:
        content = json.loads(path.read_text())
        atoms = content["atoms"]
        size = f"{min(atoms)}" if min(atoms) == max(atoms) else f"{min(atoms)} to {max(atoms)}"
        several = "s" if len(atoms) > 1 else ""
        name = Path(content["potential"]).stem
        label = f"{name}, {len(atoms)} structure{several} of {size} atoms"
        return ProbeSummary(label, set(atoms) == {3}, content["reference"], content["grids"])
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise PetDriverError(f"{path} was not written by `pet-driver probe`: {error!r}") from None


def torque(probes: Sequence[ProbeSummary]) -> Drawing:
    """Draw the root mean square torque on a molecule over the number of evaluations."""
    curves = []
    for probe in probes:
        entries = [*probe.grids, probe.reference]
        known = [
            (e["evaluations"], e["grid"], float(e["torque_rms_mev"]))
            for e in entries
            if e.get("torque_rms_mev")
        ]
        if probe.molecule and known:
            curves.append((probe.label, known))
    if not curves:
        raise NothingToDraw("")
    figure, (axis,) = panels(1, width=4.2, height=3.0)
    for (label, known), (color, marker) in zip(curves, _styles(curves), strict=True):
        axis.loglog(*_xy(known), color=color, marker=marker, label=label)
    _name_grids(axis, [(n, grid) for _, known in curves for n, grid, _ in known])
    axis.set_ylabel("torque, root mean square (meV)")
    legend_below(figure)
    numbers = [
        Number(f"torque, grid {grid}, {label}", f"{value:.3g} meV", {"rms_mev": value})
        for label, known in curves
        for _, grid, value in known
    ]
    caption = (
        "Torque on an isolated molecule, root mean square over the structures of the probe; it is "
        "zero for an invariant energy. Langer et al. found about 5 meV without averaging and "
        "0.02 meV with 3i."
    )
    return Drawing("torque", "Torque for different grids", caption, figure, numbers)


ERRORS = (
    ("energy_mae_mev", "energy (meV a structure)"),
    ("force_mae_mev_per_ang", "force (meV/Å)"),
)


def errors(probes: Sequence[ProbeSummary]) -> Drawing:
    """Draw the mean absolute errors of energy and force over the number of evaluations."""
    if not probes:
        raise NothingToDraw("")
    figure, axes = panels(len(ERRORS), width=3.6, height=3.0)
    numbers = []
    for axis, (key, label) in zip(axes, ERRORS, strict=True):
        grids = []
        for probe, (color, marker) in zip(probes, _styles(probes), strict=True):
            known = [(e["evaluations"], e["grid"], e[key]) for e in probe.grids if e[key] > 0.0]
            if known:
                axis.loglog(*_xy(known), color=color, marker=marker, label=probe.label)
            grids += [(n, grid) for n, grid, _ in known]
        if key == "energy_mae_mev":
            name = "Langer et al., molecule"
            axis.loglog(*zip(*PAPER, strict=True), ":", color=GREY, marker="o", mfc="w", label=name)
        _name_grids(axis, grids)
        axis.set_ylabel(f"error of the {label}")
    legend_below(figure)
    for probe in probes:
        for entry in probe.grids:
            values = {key: entry[key] for key, _ in ERRORS}
            text = f"{values[ERRORS[0][0]]:.3g} meV, {values[ERRORS[1][0]]:.3g} meV/Å"
            numbers.append(Number(f"error, grid {entry['grid']}, {probe.label}", text, values))
    references = ", ".join(sorted({probe.reference["grid"] for probe in probes}))
    caption = (
        f"Mean absolute errors relative to a fine grid ({references}), from `pet-driver probe`. "
        "Grey: the network of Langer et al. for a molecule."
    )
    return Drawing("symmetry-error", "Symmetry error for different grids", caption, figure, numbers)


def _styles(items: Sequence[Any]) -> list[tuple[str, str]]:
    return [MARKERS[k % len(MARKERS)] for k in range(len(items))]


def _xy(known: Sequence[tuple[int, str, float]]) -> tuple[list[int], list[float]]:
    ordered = sorted(known)
    return [n for n, _, _ in ordered], [value for _, _, value in ordered]


def _name_grids(axis: Axes, grids: Sequence[tuple[int, str]]) -> None:
    """Label the axis with the grids above it and their numbers of evaluations below."""
    named = dict(sorted(grids, reverse=True))
    axis.set_xlabel("evaluations")
    axis.set_xticks(list(named), list(map(str, named)))
    axis.minorticks_off()
    axis.tick_params(axis="y", which="minor", left=True)
    for n, grid in named.items():
        axis.annotate(
            grid,
            (n, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            color="0.4",
        )
