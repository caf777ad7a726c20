"""Figure and table of relaxations with the raw and the averaged energy.

The ice of Langer, Pozdnyakov, Ceriotti, Mach. Learn.: Sci. Technol. 5 (2024) 04LT01.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pet_driver.analysis.vectors import minimum_image_vectors
from pet_driver.errors import PetDriverError
from pet_driver.report.comparison import AVERAGED, RAW, Group, LabelledRun, compare, treatment
from pet_driver.report.drawing import Drawing, Number, legend_below, panels
from pet_driver.report.run_output import (
    open_positions,
    open_properties,
    potential,
    symmetry_error_series,
)
from pet_driver.runs.record import Run

# eV/atom: the mean symmetry error of relaxed cells, and that of the relaxation energy.
PAPER_RELAXED, PAPER_RELAXATION = 1.2e-5, 2.2e-6
SAME = 1e-3  # A; two runs start from the same structure if no atom differs by more


@dataclass(frozen=True)
class Relaxation:
    """Energies and structures of one relaxation.

    Attributes:
        steps: [F].
        energies: energy that was minimized [F] in eV.
        ends: positions of the first and of the last frame [2, N, 3] in A; None if the run has no
            trajectory.
        complete: whether the last frame is the last structure.
        cell: a, b, c (A), alpha, beta, gamma of the last frame, or None.
        symmetry_error: raw minus averaged energy of the first and of the last structure in eV; None
            if it was not written.
    """

    steps: np.ndarray
    energies: np.ndarray
    ends: np.ndarray | None
    complete: bool
    cell: np.ndarray | None
    symmetry_error: tuple[float, float] | None


def relaxation(runs: Sequence[Run]) -> Drawing:
    """Draw the energies of relaxations, and compare the raw and the averaged minima."""
    groups, notes = compare((r for r in runs if r.motion == "relaxation"), _relaxation)
    figure, axes = panels(len(groups), width=3.8)
    numbers: list[Number] = []
    rows = []
    for axis, group in zip(axes, groups, strict=True):
        for member in group.members:
            above = (member.result.energies - member.result.energies.min()) / member.run.n_atoms
            positive = above > 0.0  # on the logarithmic axis
            axis.semilogy(
                member.result.steps[positive], above[positive], label=member.label, **member.style
            )
            rows.append(_row(group, member))
            if member.run.ran_out:
                notes.append(f"{member.run.name}: it used all its steps before reaching a minimum")
        axis.set(title=group.title, xlabel="step")
        axis.set_ylabel("energy above the\nminimum (eV/atom)")
        numbers += _symmetry_error(group)
        raw = [member for member in group.members if treatment(member.run) == RAW]
        for member in group.members:
            if raw and treatment(member.run) != RAW:
                partner = next((r for r in raw if _same_start(r.result, member.result)), None)
                if partner is None:
                    notes.append(f"{member.run.name}: no raw run starts from the same structure")
                else:
                    numbers += _comparison(group, partner, member)
    legend_below(figure)
    header = (
        "structure", "energy", "unrelaxed, eV per molecule", "relaxed, eV per molecule",
        "relaxation, meV per molecule", "symmetry error, relaxed, eV/atom", "steps",
    )  # fmt: skip
    caption = (
        "Relaxation at constant volume. The symmetry error is the energy of the raw network minus "
        "the averaged energy of the same structure. Langer et al. found a mean of "
        f"{PAPER_RELAXED:.1e} eV/atom for relaxed proton-disordered cells, and "
        f"{PAPER_RELAXATION:.1e} eV/atom for the relaxation energy. The nine digits that i-PI "
        "writes resolve about 3e-7 eV/atom."
    )
    name, title = "ice-relaxation", "Relaxation of ice, raw and averaged"
    return Drawing(name, title, caption, figure, numbers, header, rows, notes)


def _row(group: Group, member: LabelledRun) -> Sequence[str]:
    result, n_atoms = member.result, member.run.n_atoms
    first, last = 3 * result.energies[0] / n_atoms, 3 * result.energies[-1] / n_atoms
    error = "-" if result.symmetry_error is None else f"{_error_per_atom(member):.1e}"
    return (
        group.title, member.label, f"{first:.5f}", f"{last:.5f}", f"{1e3 * (last - first):.2f}",
        error, f"{result.steps[-1]:.0f}",
    )  # fmt: skip


def _error_per_atom(member: LabelledRun) -> float:
    """Return the modulus of the symmetry error of the relaxed structure in eV/atom."""
    return abs(member.result.symmetry_error[1]) / member.run.n_atoms


def _symmetry_error(group: Group) -> list[Number]:
    """Return the mean symmetry error over the relaxed structures of a group."""
    known = [member for member in group.members if member.result.symmetry_error is not None]
    if not known:
        return []
    mean = float(np.mean([_error_per_atom(member) for member in known]))
    text = f"{mean:.1e} eV/atom (Langer et al.: {PAPER_RELAXED:.1e})"
    return [Number(f"mean symmetry error, relaxed, {group.title}", text, {"ev_atom": mean})]


def _comparison(group: Group, raw: LabelledRun, other: LabelledRun) -> list[Number]:
    """Compare a raw relaxation with another one of the same structure."""
    where, atoms = f"{group.title}, raw and {other.label}", other.run.n_atoms
    pair = (raw.result, other.result)
    before, after = (abs(pair[0].energies[k] - pair[1].energies[k]) / atoms for k in (0, -1))
    change = [found.energies[-1] - found.energies[0] for found in pair]
    difference = abs(change[0] - change[1]) / atoms
    energies = [
        ("difference of the unrelaxed energies", before, ""),
        ("difference of the relaxed energies", after, ""),
        (
            "difference of the relaxation energies",
            difference,
            f" (Langer et al.: {PAPER_RELAXATION:.1e})",
        ),
    ]
    numbers = [
        Number(f"{what}, {where}", f"{value:.1e} eV/atom{paper}", {"ev_atom": value})
        for what, value, paper in energies
    ]
    what = f"largest displacement between the minima, {where}"
    if not all(found.complete for found in pair):
        why = "not known: a trajectory ends before the minimum; write every step"
        return [*numbers, Number(what, why, {})]
    apart = minimum_image_vectors(pair[0].ends[1], pair[1].ends[1], pair[1].cell)
    apart = apart - apart.mean(axis=0)  # the energy does not depend on a translation
    largest = float(np.linalg.norm(apart, axis=1).max())
    return [*numbers, Number(what, f"{largest:.2g} Å", {"ang": largest})]


def _same_start(raw: Relaxation, other: Relaxation) -> bool:
    if raw.ends is None or other.ends is None:
        return False
    return bool(np.abs(minimum_image_vectors(raw.ends[0], other.ends[0], other.cell)).max() < SAME)


def _relaxation(run: Run) -> Relaxation:
    table = open_properties(run)
    ends, cell, complete = None, None, False
    if run.positions:
        trajectory = open_positions(run).trajectory
        # a copy of each frame, because MDAnalysis reuses the array of positions
        ends = np.array([trajectory[k].positions.astype(np.float64) for k in (0, -1)])
        cell = trajectory.ts.dimensions
        complete = trajectory.ts.data["step"] >= table["step"][-1]
    energies = potential(run, table)
    return Relaxation(table["step"], energies, ends, complete, cell, _run_symmetry_error(run))


def _run_symmetry_error(run: Run) -> tuple[float, float] | None:
    """Return the raw minus the averaged energy (eV) of the first and of the last structure."""
    if treatment(run) != AVERAGED:
        return None  # a raw run computes no average, and exact symmetrization is no average
    try:
        series = symmetry_error_series(run).symmetry_error
    except PetDriverError:
        return None
    return float(series[0]), float(series[-1])
