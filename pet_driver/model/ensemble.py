"""Several models as one potential: their mean, and how far they are apart.

An ensemble answers as a :class:`Model` does. Its members are evaluated one after another on the
same structures and rotations, so that they may differ in all but their elements: cutoff, size,
precision.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from pet_driver.backends.shared_rules import IDENTITY_ENTRIES
from pet_driver.errors import PetDriverError
from pet_driver.model.evaluator import Model, Results, weighted_std
from pet_driver.model.evaluator import load as load_one
from pet_driver.model.shipped import resolve_all
from pet_driver.neighbors.structure import Structure
from pet_driver.symmetry.grid_names import draws, parse_grid_name


class Ensemble:
    """The mean of several models.

    Args:
        members: models that know the same elements, on one device.
        grid: average over this grid unless a call says otherwise; ``None`` means that of the
            archives, which must agree on it.

    Attributes:
        members: the models.
        counter: the next draw of random rotations, as in :class:`Model`; members share each draw.

    Raises:
        PetDriverError: the members do not fit together, or do not know the grid.
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
        return self.members[0].symbols

    @property
    def atomic_numbers(self) -> list[int]:
        return self.members[0].atomic_numbers

    @property
    def cutoff(self) -> float:
        """Longest edge of any member, A."""
        return max(member.cutoff for member in self.members)

    @property
    def interaction_range(self) -> float:
        """How far an atom's energy reaches in any member, A."""
        return max(member.interaction_range for member in self.members)

    def check_species(self, numbers: np.ndarray) -> None:
        """As :meth:`Model.check_species`."""
        self.members[0].check_species(numbers)

    def rotations(self, grid: str, counter: int = 0) -> tuple[Tensor, Tensor, int]:
        """As :meth:`Model.rotations`; every member must know the grid."""
        chosen = [member.rotations(grid, counter) for member in self.members]
        return chosen[0]

    def evaluate(
        self,
        atoms: Atoms | Sequence[Atoms],
        grid: str | None = None,
        counter: int | None = None,
    ) -> Results | list[Results]:
        """As :meth:`Model.evaluate`."""
        if isinstance(atoms, Atoms):
            return self.compute([Structure.from_ase(atoms)], grid, counter)[0]
        return self.compute([Structure.from_ase(a) for a in atoms], grid, counter)

    def compute(
        self,
        structures: Sequence[Structure],
        grid: str | None = None,
        counter: int | None = None,
    ) -> list[Results]:
        """As :meth:`Model.compute`."""
        grid = self.default_grid if grid is None else str(grid)
        start = self.counter if counter is None else counter
        found = [member.compute(structures, grid, start) for member in self.members]
        if counter is None:
            self.counter = start + draws(grid, len(structures))
        each = parse_grid_name(grid).each
        weights = [
            self.members[0].rotations(grid, start + k)[1].cpu().numpy()
            for k in range(len(structures) if each else 1)
        ]
        return [
            combine(members, weights[k if each else 0])
            for k, members in enumerate(zip(*found, strict=True))
        ]


def combine(members: Sequence[Results], weights: np.ndarray) -> Results:
    """Mean and spreads of what the members say of one structure.

    Args:
        members: one result of each, over the same rotations.
        weights: [R] of the rotations.
    """
    rotation_energies = np.mean([m.rotation_energies for m in members], axis=0)
    forces = np.array([m.forces for m in members])
    apart = forces - forces.mean(axis=0)
    return Results(
        energy=float(np.mean([m.energy for m in members])),
        forces=forces.mean(axis=0),
        full_virial=np.mean([m.full_virial for m in members], axis=0),
        energies=np.mean([m.energies for m in members], axis=0),
        raw_energy=float(np.mean([m.raw_energy for m in members])),
        rotation_std=float(weighted_std(rotation_energies, weights)),
        rotation_energies=rotation_energies,
        ensemble_std=float(np.std([m.energy for m in members])),
        force_std=np.sqrt((apart**2).sum(axis=2).mean(axis=0)),
    )


def load(
    names: str | os.PathLike | Sequence[str | os.PathLike],
    device: str = "cpu",
    grid: str | None = None,
    max_edges: int | None = None,
) -> Model | Ensemble:
    """Load a model, or several as an ensemble.

    Args:
        names: a shipped model's name or the path of an archive; several of them with plus signs
            between, ``"a.pt+b.pt"``, or as a sequence.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, or ``"auto"``: CUDA where there is any.
        grid: average over this grid unless a call says otherwise; ``None`` means the archive's.
        max_edges: bound on edges times rotations in one network pass, hence on memory.

    Raises:
        PetDriverError: no such model, no such device, a damaged file, an unknown grid; members
            of an ensemble that do not fit together.
    """
    return unite([load_one(path, device, grid, max_edges) for path in resolve_all(names)], grid)


def unite(members: Sequence[Model], grid: str | None = None) -> Model | Ensemble:
    """The ensemble of the members; a single one stays what it is."""
    return members[0] if len(members) == 1 else Ensemble(members, grid)


def _check_members(members: Sequence[Model]) -> None:
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
        known[_identity(other)] = other.path


def _identity(member: Model) -> tuple[str, ...]:
    """Return what forces depend on: the weights, their scale, and the repulsion."""
    return tuple(str(member.metadata.get(entry)) for entry in IDENTITY_ENTRIES)


def _common_grid(members: Sequence[Model]) -> str:
    first = members[0]
    for other in members[1:]:
        if other.default_grid != first.default_grid:
            raise PetDriverError(
                f"the default grid of {first.path} is {first.default_grid}, that of {other.path} "
                f"is {other.default_grid}: choose one for the ensemble with the option grid"
            )
    return first.default_grid
