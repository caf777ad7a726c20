"""Ways to evaluate structures that a single model and an ensemble have in common."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np
import torch
from ase import Atoms
from ase.symbols import Symbols
from torch import Tensor

from pet_driver.errors import PetDriverError
from pet_driver.model.results import Results, TensorResults
from pet_driver.neighbors.batches import AtomBatch
from pet_driver.neighbors.neighbor_list import find_edges
from pet_driver.neighbors.structure import Structure
from pet_driver.symmetry.grid_names import draws

# Atoms closer than this lie on top of each other, A; pairs are searched within the second radius.
COINCIDENT, SEARCH_RADIUS = 0.1, 1.0


class Evaluator(ABC):
    """A potential that evaluates batches of structures.

    Attributes:
        default_grid: rotations to average over unless a call names others.
        counter: index of the next draw of random rotations. Every call with a random grid that
            does not name its own draw uses this one and adds 1 (with ``-each``: 1 for every
            structure). Set it to repeat or to continue a sequence.
    """

    default_grid: str
    counter: int

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """The device of the network, and of the tensors of :meth:`compute_tensors`."""

    @abstractmethod
    def check_species(self, numbers: np.ndarray) -> None:
        """Raise PetDriverError if the model does not know one of the atomic numbers [N]."""

    @abstractmethod
    def rotations(self, grid: str, counter: int = 0) -> tuple[Tensor, Tensor, int]:
        """Return rotations [R, 3, 3], weights [R] and the kind of frames of a grid.

        The first rotation is the identity without local reference frames, which gives the energy
        of the raw network. Where it does not belong to the grid it has the weight 0. Frames: 0 for
        none, 1 for those of each atom, 2 for those of all atoms of a structure.

        Args:
            grid: see :mod:`pet_driver.symmetry.grids`.
            counter: index of the draw, where the grid is random.

        Raises:
            PetDriverError: there is no such grid.
        """

    @abstractmethod
    def compute_batch(self, atoms: AtomBatch, grid: str, counter: int) -> TensorResults:
        """Evaluate the structures of a batch; the results are on the model's device.

        Args:
            atoms: on any device.
            grid: rotations to average over.
            counter: index of the draw, where the grid is random.

        Raises:
            PetDriverError: as for :meth:`evaluate`.
        """

    @overload
    def evaluate(
        self, atoms: Atoms, grid: str | None = None, counter: int | None = None
    ) -> Results: ...

    @overload
    def evaluate(
        self, atoms: Sequence[Atoms], grid: str | None = None, counter: int | None = None
    ) -> list[Results]: ...

    def evaluate(
        self,
        atoms: Atoms | Sequence[Atoms],
        grid: str | None = None,
        counter: int | None = None,
    ) -> Results | list[Results]:
        """Evaluate one ASE structure, or several of any sizes.

        Args:
            atoms: one structure or a sequence of them.
            grid: rotations to average over; see :mod:`pet_driver.symmetry.grids`.
            counter: index of the draw of a random grid; ``None`` means the next one.

        Raises:
            PetDriverError: something other than ASE structures, an element that the model does not
                know, positions or a cell that are not finite, a degenerate cell, an unknown grid,
                or energies or forces that are NaN or infinite, as those of atoms that lie on top
                of each other.
        """
        if isinstance(atoms, Atoms):
            return self.compute([Structure.from_ase(atoms)], grid, counter)[0]
        if isinstance(atoms, str | os.PathLike) or not isinstance(atoms, Iterable):
            raise PetDriverError(_explain_type(atoms))
        return self.compute([_from_ase(one) for one in atoms], grid, counter)

    def compute(
        self,
        structures: Sequence[Structure],
        grid: str | None = None,
        counter: int | None = None,
    ) -> list[Results]:
        """Evaluate structures; the results keep their order.

        All structures share the rotations of the grid and are evaluated together. With ``-each``,
        structure k has the draw ``counter + k`` and is evaluated alone.

        Args:
            structures: of any sizes.
            grid, counter: as for :meth:`evaluate`.

        Raises:
            PetDriverError: as for :meth:`evaluate`.
        """
        if not structures:
            return []
        atoms = AtomBatch.from_structures(structures)
        found = self._draw_and_compute(atoms, grid, counter).on_cpu()
        results = found.by_structure(atoms.sizes)
        if not found.is_finite:
            raise PetDriverError(_describe_first_not_finite(structures, results))
        return results

    def compute_tensors(
        self,
        positions: Tensor,
        cells: Tensor,
        atomic_numbers: Tensor,
        batch: Tensor,
        pbc: Tensor,
        grid: str | None = None,
        counter: int | None = None,
    ) -> TensorResults:
        """Evaluate structures given as tensors on the model's device.

        Results stay on the device. What leaves it: flags and counts, from which the host learns
        the sizes of tensors; and, where atoms have moved by more than half of the skin of a Verlet
        list (see :mod:`pet_driver.neighbors.verlet_list`) or are new, positions and cells, because
        the neighbour search runs on the CPU. Inputs are not changed, and may be overwritten after
        the call.

        Results that are NaN or infinite, as those of atoms that lie on top of each other, are
        returned without an error: looking for them would make the host wait for the device. See
        :attr:`TensorResults.is_finite`.

        Args:
            positions: [N, 3] in A, float64.
            cells: [B, 3, 3] in A, float64, one cell vector in each row; vectors of directions
                without periodicity are ignored.
            atomic_numbers: [N], int64.
            batch: index of the structure of each atom [N], int64: 0 to B - 1, sorted.
            pbc: periodicity along each cell vector [B, 3], or [3] for all structures, bool.
            grid, counter: as for :meth:`evaluate`.

        Raises:
            PetDriverError: as for :meth:`evaluate`, except for results that are not finite; a
                tensor of another type or shape, or on another device.
        """
        here = positions.device
        if here.type != self.device.type or self.device.index not in (None, here.index):
            raise PetDriverError(
                f"positions are on {here} and the model is on {self.device}: move them with "
                f".to({str(self.device)!r}), or load the model with device={str(here)!r}"
            )
        atoms = AtomBatch.from_tensors(positions, cells, atomic_numbers, batch, pbc)
        return self._draw_and_compute(atoms, grid, counter)

    def _draw_and_compute(
        self, atoms: AtomBatch, grid: str | None, counter: int | None
    ) -> TensorResults:
        """Evaluate a batch, and advance the counter if the call does not name its draw."""
        grid = self.default_grid if grid is None else str(grid)
        start = self.counter if counter is None else counter
        found = self.compute_batch(atoms, grid, start)
        if counter is None:
            self.counter = start + draws(grid, len(atoms.sizes))
        return found


def _from_ase(atoms: Atoms) -> Structure:
    if not isinstance(atoms, Atoms):
        raise PetDriverError(_explain_type(atoms))
    return Structure.from_ase(atoms)


def _explain_type(found: object) -> str:
    """Return a message about an argument of ``evaluate`` that is no ASE structure."""
    text = f"evaluate takes an ase.Atoms object or a sequence of them, not {type(found).__name__}"
    if isinstance(found, str | os.PathLike):
        name = os.fspath(found)
        text += f" {name!r}; read the file first: evaluate(ase.io.read({name!r}, ':'))"
    return text


def _describe_first_not_finite(structures: Sequence[Structure], results: Sequence[Results]) -> str:
    """Return a message about the first structure whose results are NaN or infinite."""
    index = next(index for index, result in enumerate(results) if not result.is_finite)
    structure = structures[index]
    where = f"structure {index}: " if len(structures) > 1 else ""
    text = (
        f"{where}the model returned NaN or infinite energies or forces for "
        f"{Symbols(structure.numbers).get_chemical_formula()}: "
    )
    edges = find_edges(structure, SEARCH_RADIUS)
    lengths = np.linalg.norm(edges.vectors, axis=1)
    closest = int(np.argmin(lengths)) if len(lengths) else -1
    if closest >= 0 and lengths[closest] < COINCIDENT:
        first, second = sorted((int(edges.centers[closest]), int(edges.neighbors[closest])))
        text += (
            f"atoms {first} and {second} (counted from 0) lie on top of each other, "
            f"{lengths[closest]:.2g} A apart; move or remove one of them"
        )
    else:
        text += "it is far outside the training data; leave it out, or train on such structures"
    return f"{text}; in a simulation, look at its last frames"
