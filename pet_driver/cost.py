"""What an exactly symmetrized evaluation will cost, before it is run."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from ase import Atoms

from pet_driver.errors import PetDriverError
from pet_driver.evaluator import Model
from pet_driver.neighbors import Structure, find_edges


@dataclass(frozen=True)
class Cost:
    """Size of one evaluation.

    Attributes:
        atoms: number of atoms.
        frames: number of frames in which atoms, or the structure, are seen.
        edges: edges that pass through the network, all frames together.
        raw_edges: edges of the structure.
    """

    atoms: int
    frames: int
    edges: int
    raw_edges: int

    @property
    def raw_evaluations(self) -> float:
        """How many evaluations of the raw network have as many edges."""
        return self.edges / max(1, self.raw_edges)

    def __str__(self) -> str:
        return (
            f"exact symmetrization: {self.frames} frames for {self.atoms} atoms, about "
            f"{self.raw_evaluations:.1f} raw evaluations"
        )


def predict_cost(model: Model, atoms: Atoms) -> Cost:
    """Cost of ``atoms`` by an exactly symmetrized ``model``, without running the network.

    Args:
        model: exported with ``--ecse``.
        atoms: one structure.

    Raises:
        PetDriverError: the model is not exactly symmetrized, or the structure is broken.
    """
    if not model.metadata.get("ecse"):
        raise PetDriverError(
            f"{model.path} is not exactly symmetrized; its cost is the number of rotations of "
            "the grid. Export it with --ecse"
        )
    structure = Structure.from_ase(atoms)
    model.check_species(structure.numbers)
    found = find_edges(structure, model.cutoff)
    n_atoms = len(structure.numbers)

    def tensor(array: object) -> torch.Tensor:
        return torch.as_tensor(array, device=model.device)

    frames, edges, raw_edges = model.archive.module.workload(
        tensor(structure.numbers),
        tensor(found.vectors),
        tensor(found.centers),
        tensor(found.neighbors),
        tensor(found.reverse),
        tensor([0] * n_atoms),
        tensor([True] * n_atoms),
        1,
        model.max_edges,
    )
    return Cost(n_atoms, frames, edges, raw_edges)
