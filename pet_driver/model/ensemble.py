"""Ensembles: several models as one potential, with the standard deviation over the members.

The members are evaluated one after another on the same structures and rotations. They must know
the same elements; cutoff, size and precision may differ.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pet_driver.backends.shared_rules import IDENTITY_ENTRIES
from pet_driver.errors import PetDriverError
from pet_driver.model.base import Evaluator
from pet_driver.model.evaluator import Model
from pet_driver.model.evaluator import load as load_one
from pet_driver.model.results import TensorResults
from pet_driver.model.shipped import resolve_all
from pet_driver.neighbors.batches import AtomBatch


class Ensemble(Evaluator):
    """The mean of several models.

    Args:
        members: models that know the same elements, on one device.
        grid: rotations to average over by default; ``None`` means the default of the archives,
            which must agree on it.

    Attributes:
        members: the models.
        counter: as for :class:`Evaluator`; the members share each draw.

    Raises:
        PetDriverError: the members know different elements, have different default grids, or
            are on different devices; two of them are the same model; there is no such grid.
    """

    def __init__(self, members: Sequence[Model], grid: str | None = None) -> None:
        self.members = tuple(members)
        self.counter = 0
        _check_members(self.members)
        self.default_grid = _common_grid(self.members) if grid is None else str(grid)
        self.rotations(self.default_grid)

    @property
    def path(self) -> str:
        """The paths of the members, in the notation of :func:`load`."""
        return "+".join(str(member.path) for member in self.members)

    @property
    def device(self) -> torch.device:
        return self.members[0].device

    @property
    def symbols(self) -> list[str]:
        """Symbols of the elements that the members know."""
        return self.members[0].symbols

    @property
    def atomic_numbers(self) -> list[int]:
        """Atomic numbers of the elements that the members know."""
        return self.members[0].atomic_numbers

    @property
    def cutoff(self) -> float:
        """Length of the longest edge of any member, A."""
        return max(member.cutoff for member in self.members)

    @property
    def interaction_range(self) -> float:
        """Largest distance (A) at which a displaced atom changes the energy of another."""
        return max(member.interaction_range for member in self.members)

    def check_species(self, numbers: np.ndarray) -> None:
        self.members[0].check_species(numbers)

    def rotations(self, grid: str, counter: int = 0) -> tuple[Tensor, Tensor, int]:
        chosen = [member.rotations(grid, counter) for member in self.members]
        return chosen[0]

    def compute_batch(self, atoms: AtomBatch, grid: str, counter: int) -> TensorResults:
        return TensorResults.mean(
            [member.compute_batch(atoms, grid, counter) for member in self.members]
        )


def load(
    names: str | os.PathLike | Sequence[str | os.PathLike],
    device: str = "cpu",
    grid: str | None = None,
    max_edges: int | None = None,
) -> Model | Ensemble:
    """Load a model, or several as an ensemble.

    Args:
        names: a shipped model's name or the path of an exported model; several of them joined by
            plus signs, ``"a.pt+b.pt"``, or as a sequence.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, or ``"auto"``: CUDA where available.
        grid: rotations to average over by default; ``None`` means the archive's default.
        max_edges: bound on edges times rotations in one network pass, which bounds the memory.

    Raises:
        PetDriverError: no such model, no such device, a damaged file, an unknown grid; members
            that cannot be combined.
    """
    return unite([load_one(path, device, grid, max_edges) for path in resolve_all(names)], grid)


def unite(members: Sequence[Model], grid: str | None = None) -> Model | Ensemble:
    """Return the ensemble of the members, or the model itself if there is only one."""
    return members[0] if len(members) == 1 else Ensemble(members, grid)


def _check_members(members: Sequence[Model]) -> None:
    """Raise PetDriverError if the members cannot be combined."""
    first, known = members[0], {_identity(members[0]): members[0].path}
    for other in members[1:]:
        if other.atomic_numbers != first.atomic_numbers:
            raise PetDriverError(
                f"members of an ensemble must know the same elements: {first.path} knows "
                f"{', '.join(first.symbols)}, but {other.path} {', '.join(other.symbols)}; leave "
                "one of them out"
            )
        if same := known.get(_identity(other)):
            raise PetDriverError(
                f"members {same} and {other.path} of an ensemble are one and the same model, and "
                "would never differ; leave one of them out"
            )
        if other.device != first.device:
            raise PetDriverError(
                f"members of an ensemble must be on one device: {first.path} is on {first.device}, "
                f"{other.path} on {other.device}; load them with the same device"
            )
        known[_identity(other)] = other.path


def _identity(member: Model) -> tuple[str, ...]:
    """Return what the forces depend on: weights, scale, and ZBL repulsion."""
    return tuple(str(member.metadata.get(entry)) for entry in IDENTITY_ENTRIES)


def _common_grid(members: Sequence[Model]) -> str:
    """Return the default grid of all members; raise PetDriverError if they have different ones."""
    first = members[0]
    for other in members[1:]:
        if other.default_grid != first.default_grid:
            raise PetDriverError(
                f"the default grid of {first.path} is {first.default_grid}, that of {other.path} "
                f"is {other.default_grid}: choose one for the ensemble with the option grid"
            )
    return first.default_grid
