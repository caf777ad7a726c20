"""Ice, or any structure, relaxed on the raw network and on its average.

The ice of Langer, Pozdnyakov, Ceriotti, Mach. Learn.: Sci. Technol. 5 (2024) 04LT01.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pet_driver.analysis.base import separation
from pet_driver.errors import PetDriverError
from pet_driver.report.comparison import AVERAGED, RAW, Group, Shown, compare, treatment
from pet_driver.report.drawing import Drawing, Number, legend_below, panels
from pet_driver.report.observe import broken_energies, open_positions, open_properties, potential
from pet_driver.runs.record import Run

# eV/atom: the mean symmetry error of relaxed cells, and that of the relaxation energy.
PAPER_RELAXED, PAPER_RELAXATION = 1.2e-5, 2.2e-6
SAME = 1e-3  # A, within which two runs start from one structure


@dataclass(frozen=True)
class Relaxation:
    """One relaxation.

    Attributes:
        steps: [F].
        energies: eV, of the sampled potential [F].
        ends: positions (A) of the first and of the last frame [2, N, 3]; None where the run has
            no trajectory.
        complete: whether the last frame is the last structure.
        cell: a, b, c (A), alpha, beta, gamma of the last one, or None.
        broken: eV, the raw energy less the averaged one of the same structure, at the start and
            at the end; None where it was not written.
    """

    steps: np.ndarray
    energies: np.ndarray
    ends: np.ndarray | None
    complete: bool
    cell: np.ndarray | None
    broken: tuple[float, float] | None


def relaxation(runs: Sequence[Run]) -> Drawing:
    """Energies before and after, and how far apart raw and averaged minima are."""
    groups, notes = compare((r for r in runs if r.motion == "relaxation"), _relaxation)
    figure, axes = panels(len(groups), width=3.8)
    numbers: list[Number] = []
    rows = []
    for axis, group in zip(axes, groups, strict=True):
        for one in group.shown:
            above = (one.found.energies - one.found.energies.min()) / one.run.n_atoms
            # The lowest one of all has no place on a logarithmic axis.
            seen = above > 0.0
            axis.semilogy(one.found.steps[seen], above[seen], label=one.label, **one.style)
            rows.append(_row(group, one))
            if one.run.ran_out:
                notes.append(f"{one.run.name}: its steps ran out before it came to a minimum")
        axis.set(title=group.title, xlabel="step")
        axis.set_ylabel("energy above the\nminimum (eV/atom)")
        numbers += _symmetry_error(group)
        raw = [one for one in group.shown if treatment(one.run) == RAW]
        for one in group.shown:
            if raw and treatment(one.run) != RAW:
                partner = next((r for r in raw if _same_start(r.found, one.found)), None)
                if partner is None:
                    notes.append(f"{one.run.name}: no raw run starts from the same structure")
                else:
                    numbers += _comparison(group, partner, one)
    legend_below(figure)
    header = (
        "structure", "potential", "unrelaxed, eV per molecule", "relaxed, eV per molecule",
        "relaxation, meV per molecule", "symmetry error, relaxed, eV/atom", "steps",
    )  # fmt: skip
    caption = (
        "Relaxation at constant volume. The symmetry error is the energy of the raw network less "
        "the averaged one, of the same structure. Langer et al. found a mean of "
        f"{PAPER_RELAXED:.1e} eV/atom for relaxed proton-disordered cells, and "
        f"{PAPER_RELAXATION:.1e} eV/atom for the relaxation energy. Nine digits, as i-PI "
        "writes them, resolve about 3e-7 eV/atom."
    )
    name, title = "ice-relaxation", "Relaxation of ice, raw and averaged"
    return Drawing(name, title, caption, figure, numbers, header, rows, notes)


def _row(group: Group, one: Shown) -> Sequence[str]:
    found, molecules = one.found, one.run.n_atoms / 3
    first, last = found.energies[0] / molecules, found.energies[-1] / molecules
    broken = "-" if found.broken is None else f"{abs(found.broken[1]) / one.run.n_atoms:.1e}"
    return (
        group.title, one.label, f"{first:.5f}", f"{last:.5f}", f"{1e3 * (last - first):.2f}",
        broken, f"{found.steps[-1]:.0f}",
    )  # fmt: skip


def _symmetry_error(group: Group) -> list[Number]:
    """Its mean over the relaxed structures of a group."""
    known = [one for one in group.shown if one.found.broken is not None]
    if not known:
        return []
    mean = float(np.mean([abs(one.found.broken[1]) / one.run.n_atoms for one in known]))
    text = f"{mean:.1e} eV/atom (Langer et al.: {PAPER_RELAXED:.1e})"
    return [Number(f"mean symmetry error, relaxed, {group.title}", text, {"ev_atom": mean})]


def _comparison(group: Group, raw: Shown, other: Shown) -> list[Number]:
    """How far the raw relaxation is from another one of the same structure."""
    where, atoms = f"{group.title}, raw and {other.label}", other.run.n_atoms
    pair = (raw.found, other.found)
    before, after = (abs(pair[0].energies[k] - pair[1].energies[k]) / atoms for k in (0, -1))
    change = [found.energies[-1] - found.energies[0] for found in pair]
    gained = abs(change[0] - change[1]) / atoms
    energies = [
        ("difference of the unrelaxed energies", before, ""),
        ("difference of the relaxed energies", after, ""),
        (
            "difference of the relaxation energies",
            gained,
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
    apart = separation(pair[0].ends[1], pair[1].ends[1], pair[1].cell)
    apart = apart - apart.mean(axis=0)  # a shift of the whole costs nothing
    largest = float(np.linalg.norm(apart, axis=1).max())
    return [*numbers, Number(what, f"{largest:.2g} Å", {"ang": largest})]


def _same_start(raw: Relaxation, other: Relaxation) -> bool:
    if raw.ends is None or other.ends is None:
        return False
    return bool(np.abs(separation(raw.ends[0], other.ends[0], other.cell)).max() < SAME)


def _relaxation(run: Run) -> Relaxation:
    table = open_properties(run)
    ends, cell, complete = None, None, False
    if run.positions:
        trajectory = open_positions(run).trajectory
        # one frame after the other lies in the same memory
        ends = np.array([trajectory[k].positions.astype(np.float64) for k in (0, -1)])
        cell = trajectory.ts.dimensions
        complete = trajectory.ts.data["step"] >= table["step"][-1]
    return Relaxation(table["step"], potential(run, table), ends, complete, cell, _broken(run))


def _broken(run: Run) -> tuple[float, float] | None:
    """Raw less averaged energy (eV) of the first and the last structure."""
    if treatment(run) != AVERAGED:
        return None  # a raw run evaluates no average, and an exact one is another energy
    try:
        found = broken_energies(run).broken
    except PetDriverError:
        return None
    return float(found[0]), float(found[-1])
