"""Measure the symmetry error of a model: deviations of coarse grids from a fine grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from pet_driver.model.evaluator import Model
from pet_driver.report.symmetry import ProbeSummary
from pet_driver.report.symmetry import errors as draw_errors

GRIDS = ("0", "i", "2", "2i", "3")
FINEST = "3i"
# For large cells, such as ice with up to a thousand atoms: 36 evaluations instead of 150.
COARSE_GRIDS, COARSE_FINEST = ("0", "i", "2"), "2i"
LARGE = 250  # atoms


@dataclass(frozen=True)
class SymmetryErrors:
    """Mean absolute deviations from a fine grid, over structures.

    Attributes:
        frames: number of structures.
        atoms: number of atoms of the smallest and of the largest.
        reference: name of the fine grid.
        energy: by grid, meV per structure.
        force: by grid, meV/A, of force components.
        evaluations: by grid, number of rotations.
    """

    frames: int
    atoms: tuple[int, int]
    reference: str
    energy: dict[str, float]
    force: dict[str, float]
    evaluations: dict[str, int]


def symmetry_errors(model: Model, frames: Sequence[Atoms]) -> SymmetryErrors:
    """Evaluate every frame on every grid."""
    large = max(map(len, frames)) > LARGE
    grids, finest = (COARSE_GRIDS, COARSE_FINEST) if large else (GRIDS, FINEST)
    energy: dict[str, list[float]] = {grid: [] for grid in grids}
    force: dict[str, list[np.ndarray]] = {grid: [] for grid in grids}
    for atoms in frames:
        exact = model.evaluate(atoms, finest)
        for grid in grids:
            found = model.evaluate(atoms, grid)
            energy[grid].append(1e3 * abs(found.energy - exact.energy))
            force[grid].append(1e3 * np.abs(found.forces - exact.forces).ravel())
    sizes = [len(atoms) for atoms in frames]
    return SymmetryErrors(
        frames=len(frames),
        atoms=(min(sizes), max(sizes)),
        reference=finest,
        energy={grid: float(np.mean(values)) for grid, values in energy.items()},
        force={grid: float(np.concatenate(values).mean()) for grid, values in force.items()},
        evaluations={g: int((model.rotations(g)[1] != 0).sum()) for g in grids},
    )


def draw(found: dict[str, SymmetryErrors], path: Path) -> None:
    """Draw energy and force errors against the number of evaluations, as in the paper."""
    measured = [
        ProbeSummary(
            label=f"{name}, {one.frames} of {one.atoms[0]} atoms or more",
            molecule=one.atoms == (3, 3),
            reference={"grid": one.reference},
            grids=[
                {
                    "grid": grid,
                    "evaluations": one.evaluations[grid],
                    "energy_mae_mev": one.energy[grid],
                    "force_mae_mev_per_ang": one.force[grid],
                }
                for grid in one.energy
            ],
        )
        for name, one in found.items()
    ]
    draw_errors(measured).figure.savefig(path, bbox_inches="tight")
