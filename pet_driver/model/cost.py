"""Cost of a symmetrized evaluation, predicted without running the network."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from ase import Atoms

from pet_driver.model.ensemble import Ensemble
from pet_driver.model.evaluator import Model
from pet_driver.neighbors.neighbor_list import Edges, find_edges
from pet_driver.neighbors.structure import Structure
from pet_driver.symmetry.grid_names import NO_FRAMES, parse_grid_name


@dataclass(frozen=True)
class Cost:
    """Size of one evaluation.

    Attributes:
        grid: how the energy is symmetrized.
        atoms: number of atoms.
        frames: number of local reference frames, or of rotations.
        edges: edges that pass through the network, for all frames and members, including those
            of the raw network if its energy needs a pass of its own.
        raw_edges: edges of the raw network. With an adaptive cutoff and a grid of
            rotations these are all edges within the largest cutoff.
        members: number of models that are evaluated.
    """

    grid: str
    atoms: int
    frames: int
    edges: int
    raw_edges: int
    members: int = 1

    @property
    def raw_evaluations(self) -> float:
        """The number of evaluations of the raw network with as many edges."""
        return self.edges / max(1, self.raw_edges)

    def __str__(self) -> str:
        of = f" of each of {self.members} models" if self.members > 1 else ""
        kind = "frames" if parse_grid_name(self.grid).frames else "rotations"
        return (
            f"{self.grid}: {self.frames} {kind} for {self.atoms} atoms{of}, as many edges as "
            f"in {self.raw_evaluations:.1f} raw evaluations"
        )


def predict_cost(
    model: Model | Ensemble, atoms: Atoms | Structure, grid: str | None = None
) -> Cost:
    """Return the cost of one evaluation of ``atoms`` without running the network.

    Args:
        model: the model, or an ensemble of them.
        atoms: one structure.
        grid: see :mod:`pet_driver.symmetry.grids`; ``None`` means the model's default.

    Raises:
        PetDriverError: an unknown grid or element, positions or a cell that are not finite, or a
            degenerate cell.
    """
    grid = model.default_grid if grid is None else grid
    structure = Structure.from_ase(atoms) if isinstance(atoms, Atoms) else atoms
    costs = [_cost(member, structure, grid) for member in model.members]
    edges = sum(cost.edges for cost in costs)
    return replace(costs[0], edges=edges, members=len(costs))


def _cost(model: Model, structure: Structure, grid: str) -> Cost:
    """Return the cost of one evaluation by one model."""
    _, weights, kind = model.rotations(grid)
    n_rotations = int((weights != 0.0).sum())
    model.check_species(structure.numbers)
    found = find_edges(structure, model.cutoff)
    frames, edges, raw_edges = 1, len(found.centers), len(found.centers)
    if kind != NO_FRAMES:
        frames, edges, raw_edges = _workload(model, structure, found, kind)
    raw_pass = int(weights[0] == 0.0) * raw_edges
    n_atoms = len(structure.numbers)
    return Cost(grid, n_atoms, frames * n_rotations, edges * n_rotations + raw_pass, raw_edges)


def _workload(model: Model, structure: Structure, found: Edges, kind: int) -> tuple[int, int, int]:
    """Return the number of frames, of edges in all frames, and of edges of the raw network."""
    n_atoms = len(structure.numbers)

    def tensor(array: object) -> torch.Tensor:
        return torch.as_tensor(array, device=model.device)

    return model.archive.module.workload(
        tensor(structure.numbers),
        tensor(found.vectors),
        tensor(found.centers),
        tensor(found.neighbors),
        tensor(found.reverse),
        tensor([0] * n_atoms),
        tensor([True] * n_atoms),
        1,
        kind,
        model.max_edges,
    )
