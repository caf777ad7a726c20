"""A few frames of a run to be looked at: whole molecules, with the energy of each frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pet_driver.analysis.base import separation, water_indices
from pet_driver.errors import PetDriverError
from pet_driver.report.comparison import describe, grid_label, mark
from pet_driver.report.observe import (
    frame_interval,
    is_lammps,
    open_positions,
    open_properties,
    potential,
)
from pet_driver.runs.record import Run

FRAMES = 50
INTERVAL = 10.0  # fs between them, if the run has frames as dense: enough to see molecules turn
ATOMS = 40_000  # of all frames together: about a megabyte


@dataclass(frozen=True)
class Excerpt:
    """Evenly spaced frames, of the end of a run or of a whole relaxation.

    Attributes:
        title: what is seen.
        names: elements [N].
        positions: [F, N, 3] in A; molecules are whole, their oxygens inside the cell; a molecule
            in the gas phase sits at the origin.
        cells: vectors in rows [F, 3, 3] in A; None for a molecule in the gas phase.
        time: [F] in ps, or the step of a relaxation.
        energy: potential energy [F] in eV, or None where the run did not write it.
        moves: whether ``time`` is a time.
    """

    title: str
    names: list[str]
    positions: np.ndarray
    cells: np.ndarray | None
    time: np.ndarray
    energy: np.ndarray | None
    moves: bool


def excerpt(run: Run) -> Excerpt:
    """Some frames of a run, of the first bead of a path integral.

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
        positions.append(_whole(ts, water, cell))
        cells.append(cell)
        steps.append(ts.data["step"])
    moves = run.timestep > 0.0
    bead = "" if run.n_beads == 1 or run.centroid else ", one of the beads"
    return Excerpt(
        title=f"{describe(run)}: {grid_label(run)}{mark(run)}{bead}",
        names=universe.atoms.elements.tolist(),
        positions=np.array(positions),
        cells=None if any(cell is None for cell in cells) else np.array(cells),
        time=np.array(steps) * (1e-3 * run.timestep if moves else 1.0),
        energy=_energies(run, np.array(steps)),
        moves=moves,
    )


def _chosen(run: Run, trajectory, count: int) -> np.ndarray:
    """Which frames: the last ones of a run in time, some of all others."""
    last = len(trajectory) - 1
    if run.timestep == 0.0:
        return np.unique(np.linspace(0, last, count).astype(int))
    stride = max(1, round(1e-3 * INTERVAL / frame_interval(trajectory)))
    return np.arange(last, -1, -stride)[:count][::-1]


def _whole(ts, water: tuple[np.ndarray, ...], cell: np.ndarray | None) -> np.ndarray:
    """Positions [N, 3] with the hydrogens at their oxygen, and that inside the cell."""
    oxygen = ts.positions[water[0]].astype(np.float64)
    x = np.empty((ts.n_atoms, 3))
    if cell is None:
        home = oxygen - oxygen.mean(axis=0)
    else:
        fractional = oxygen @ np.linalg.inv(cell.astype(np.float64))
        home = (fractional - np.floor(fractional)) @ cell
    x[water[0]] = home
    for hydrogen in water[1:]:
        bond = separation(ts.positions[water[0]], ts.positions[hydrogen], ts.dimensions)
        x[hydrogen] = home + bond
    return x


def _energies(run: Run, steps: np.ndarray) -> np.ndarray | None:
    """Potential energies (eV) at some steps, by interpolation where they lie between rows."""
    table = open_properties(run)
    if ("PotEng" if is_lammps(run) else "potential") not in table:
        return None
    return np.interp(steps, table["step"], potential(run, table))
