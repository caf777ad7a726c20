"""Selected frames of a run for the interactive view, with unwrapped molecules and energies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pet_driver.analysis.base import water_indices
from pet_driver.analysis.vectors import minimum_image_vectors
from pet_driver.errors import PetDriverError
from pet_driver.report.comparison import describe, grid_label, state_note
from pet_driver.report.run_output import (
    frame_interval,
    is_lammps,
    open_positions,
    open_properties,
    potential,
)
from pet_driver.runs.record import Run

FRAMES = 50
INTERVAL = 10.0  # fs between frames, if the run has so many: enough to see molecules rotate
ATOMS = 40_000  # in all frames together: about a megabyte


@dataclass(frozen=True)
class Excerpt:
    """Evenly spaced frames from the end of a run, or from a whole relaxation.

    Attributes:
        title: what is shown.
        names: elements [N].
        positions: [F, N, 3] in A; molecules are unwrapped, with the oxygens inside the cell; a
            molecule in the gas phase is at the origin.
        cells: cell vectors as rows [F, 3, 3] in A; None for a molecule in the gas phase.
        time: [F] in ps, or the steps of a relaxation.
        energy: potential energy [F] in eV, or None if the run did not write it.
        has_time: whether ``time`` is a time, not a step.
    """

    title: str
    names: list[str]
    positions: np.ndarray
    cells: np.ndarray | None
    time: np.ndarray
    energy: np.ndarray | None
    has_time: bool


def excerpt(run: Run) -> Excerpt:
    """Return selected frames of a run, or of the first bead of a path integral.

    Raises:
        PetDriverError: the trajectory cannot be read, or a single frame is too large.
    """
    universe = open_positions(run)
    n_atoms = len(universe.atoms)
    frames = min(FRAMES, ATOMS // n_atoms, len(universe.trajectory))
    if frames == 0:
        raise PetDriverError(f"{n_atoms} atoms are more than a page can show")
    water = water_indices(universe)
    positions, cells, steps = [], [], []
    for index in _chosen(run, universe.trajectory, frames):
        ts = universe.trajectory[int(index)]
        cell = None if run.system == "molecule" else ts.triclinic_dimensions
        positions.append(_unwrapped(ts, water, cell))
        cells.append(cell)
        steps.append(ts.data["step"])
    has_time = run.timestep > 0.0
    bead = "" if run.n_beads == 1 or run.centroid else ", one of the beads"
    return Excerpt(
        title=f"{describe(run)}: {grid_label(run)}{state_note(run)}{bead}",
        names=universe.atoms.elements.tolist(),
        positions=np.array(positions),
        cells=None if any(cell is None for cell in cells) else np.array(cells),
        time=np.array(steps) * (1e-3 * run.timestep if has_time else 1.0),
        energy=_energies(run, np.array(steps)),
        has_time=has_time,
    )


def _chosen(run: Run, trajectory, count: int) -> np.ndarray:
    """Return the indices of the frames: the last ones of a dynamics, or some of all frames."""
    last = len(trajectory) - 1
    if run.timestep == 0.0:
        return np.unique(np.linspace(0, last, count).astype(int))
    stride = max(1, round(1e-3 * INTERVAL / frame_interval(trajectory)))
    return np.arange(last, -1, -stride)[:count][::-1]


def _unwrapped(ts, water: tuple[np.ndarray, ...], cell: np.ndarray | None) -> np.ndarray:
    """Return positions [N, 3] with oxygens inside the cell, and hydrogens next to them."""
    oxygen = ts.positions[water[0]].astype(np.float64)
    x = np.empty((ts.n_atoms, 3))
    if cell is None:
        wrapped = oxygen - oxygen.mean(axis=0)
    else:
        fractional = oxygen @ np.linalg.inv(cell.astype(np.float64))
        wrapped = (fractional - np.floor(fractional)) @ cell
    x[water[0]] = wrapped
    for hydrogen in water[1:]:
        bond = minimum_image_vectors(ts.positions[water[0]], ts.positions[hydrogen], ts.dimensions)
        x[hydrogen] = wrapped + bond
    return x


def _energies(run: Run, steps: np.ndarray) -> np.ndarray | None:
    """Return the potential energies (eV) at some steps, interpolated between the rows."""
    table = open_properties(run)
    if ("PotEng" if is_lammps(run) else "potential") not in table:
        return None
    return np.interp(steps, table["step"], potential(run, table))
