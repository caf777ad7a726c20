"""Evaluation of one exported model, in network passes of bounded size."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from ase.data import chemical_symbols
from torch import Tensor

from pet_driver.backends.cpu import binding
from pet_driver.backends.devices import check_device
from pet_driver.backends.memory import explained_shortage, keep_freed_memory
from pet_driver.backends.shared_rules import MAX_EDGES_CPU, MAX_EDGES_CUDA
from pet_driver.errors import PetDriverError
from pet_driver.model.archive import Archive
from pet_driver.model.base import Evaluator
from pet_driver.model.results import TensorResults
from pet_driver.neighbors.batches import AtomBatch, EdgeBatch
from pet_driver.neighbors.edges import forces_and_virials
from pet_driver.neighbors.verlet_list import VerletLists
from pet_driver.symmetry.grid_names import NO_FRAMES, parse_grid_name
from pet_driver.symmetry.ranges import split_by_cost

# Atoms whose edges are held in memory at once, a few 100 MB.
MAX_ATOMS = 20_000
DEFAULT_MAX_EDGES = {"cpu": MAX_EDGES_CPU, "cuda": MAX_EDGES_CUDA}


class Model(Evaluator):
    """An exported model that evaluates structures.

    A pickle of it holds the path of the archive, from which other processes load the model again.

    Args:
        archive: the exported model.
        device: the device of its module.
        grid: rotations to average over by default; ``None`` means the archive's default.
        max_edges: bound on edges times rotations in one network pass, which bounds the memory.

    Raises:
        PetDriverError: there is no such grid, or ``max_edges`` is below 1.
    """

    def __init__(
        self,
        archive: Archive,
        device: str = "cpu",
        grid: str | None = None,
        max_edges: int | None = None,
    ) -> None:
        self.archive = archive
        self._device = torch.device(device)
        self.default_grid: str = archive.metadata["default_grid"] if grid is None else str(grid)
        if max_edges is not None and max_edges < 1:
            raise PetDriverError(f"max_edges is {max_edges}; it must be at least 1")
        self.max_edges = max_edges or DEFAULT_MAX_EDGES[self.device.type]
        self.counter = 0
        if self.device.type == "cpu":
            keep_freed_memory()
        self._use_kernels = binding.instruction_set(archive.module) is not None
        self._lists = VerletLists(self.cutoff, self.device, self._use_kernels)
        self._grids: dict[str, tuple[Tensor, Tensor, int]] = {}
        self.rotations(self.default_grid)

    def __reduce__(self) -> tuple[Callable[..., Model], tuple[Archive, str, str, int, int]]:
        """Pickle the path of the archive, which other processes load again, and the options."""
        options = (str(self.device), self.default_grid, self.max_edges, self.counter)
        return _rebuild, (self.archive, *options)

    @property
    def device(self) -> torch.device:
        return self._device

    @property
    def members(self) -> tuple[Model, ...]:
        """The models behind the results, as for an ensemble: this one."""
        return (self,)

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of the archive."""
        return self.archive.metadata

    @property
    def path(self) -> os.PathLike:
        """The path of the archive."""
        return self.archive.path

    @property
    def symbols(self) -> list[str]:
        """Symbols of the elements that the model knows."""
        return self.metadata["symbols"]

    @property
    def atomic_numbers(self) -> list[int]:
        """Atomic numbers of the elements that the model knows."""
        return self.metadata["atomic_numbers"]

    @property
    def cutoff(self) -> float:
        """Length of the longest edge, A."""
        return self.metadata["cutoff"]

    @property
    def interaction_range(self) -> float:
        """Largest distance (A) at which a displaced atom changes the energy of another."""
        return self.metadata["interaction_range"]

    def rotations(self, grid: str, counter: int = 0) -> tuple[Tensor, Tensor, int]:
        if grid in self._grids:
            return self._grids[grid]
        try:
            rotations, weights, frames = self.archive.module.grid(grid, counter)
        except Exception as error:  # TorchScript raises a type of its own, with a trace
            message = str(error).rpartition("ValueError: ")[2].strip()
            raise PetDriverError(message) from None
        identity = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        if frames != NO_FRAMES or not torch.equal(rotations[0], identity):
            rotations = torch.cat([identity[None], rotations])
            weights = torch.cat([torch.zeros_like(weights[:1]), weights])
        if not parse_grid_name(grid).random:
            self._grids[grid] = (rotations, weights, frames)
        return rotations, weights, frames

    def check_species(self, numbers: np.ndarray) -> None:
        unknown = sorted(set(np.unique(numbers).tolist()) - set(self.atomic_numbers))
        if unknown:
            names = ", ".join(chemical_symbols[z] for z in unknown)
            raise PetDriverError(
                f"{self.path} does not know the element {names}; it was trained for "
                f"{', '.join(self.symbols)}"
            )

    def compute_batch(self, atoms: AtomBatch, grid: str, counter: int) -> TensorResults:
        portions = split_by_cost(list(map(float, atoms.sizes)), MAX_ATOMS)
        if len(portions) > 1:  # find an unknown element before the work on the first portion
            self.check_species(atoms.numbers.cpu().numpy())
        parts: list[TensorResults] = []
        for first, last in portions:
            edges = self._edges(atoms.part(first, last))
            for part, drawn in self._passes(edges, grid, counter, first):
                parts.append(self._run(part, *drawn))
        return TensorResults.join(parts)

    def _edges(self, atoms: AtomBatch) -> EdgeBatch:
        """Return the edges of a batch, by a Verlet list or by a new search."""
        edges = self._lists.edges(atoms)
        if edges is None:
            self.check_species(atoms.numbers.cpu().numpy())
            edges = self._lists.search(atoms)
        return edges

    def _passes(
        self, edges: EdgeBatch, grid: str, counter: int, first: int
    ) -> Iterator[tuple[EdgeBatch, tuple[Tensor, Tensor, int]]]:
        """Yield batches of structures for one network pass, and their rotations.

        Edges times rotations stay within ``max_edges``. A structure that exceeds the bound alone is
        a batch of its own, whose rotations the network takes in several passes.

        Args:
            edges: of the structures.
            grid, counter: as for :meth:`compute_batch`.
            first: how many structures of the same call come before these.
        """
        if parse_grid_name(grid).each:
            for k in range(len(edges.sizes)):
                yield edges.part(k, k + 1), self.rotations(grid, counter + first + k)
            return
        drawn = self.rotations(grid, counter)
        n_rotations = drawn[0].shape[0]
        costs = [float(count * n_rotations) for count in edges.counts]
        for start, stop in split_by_cost(costs, self.max_edges):
            yield edges.part(start, stop), drawn

    def _run(
        self, edges: EdgeBatch, rotations: Tensor, weights: Tensor, frames: int
    ) -> TensorResults:
        """Evaluate structures in one call of the archive."""
        # On a CPU nothing is fused, so that the plain interpreter of TorchScript is the fastest.
        with (
            explained_shortage(self.max_edges),
            torch.enable_grad(),
            torch.jit.optimized_execution(self.device.type != "cpu"),
        ):
            energies, atomic_energies, gradients, rotation_energies = self.archive.module(
                edges.numbers,
                edges.vectors,
                edges.centers,
                edges.neighbors,
                edges.reverse,
                edges.structures,
                edges.owned,
                len(edges.sizes),
                rotations,
                weights,
                frames,
                self.max_edges,
            )
        forces, virials = forces_and_virials(
            edges.pairs,
            edges.vectors,
            gradients,
            edges.structures,
            edges.counts,
            self._use_kernels,
        )
        return TensorResults(
            energies=energies,
            forces=forces,
            full_virials=virials,
            atomic_energies=atomic_energies,
            rotation_energies=rotation_energies,
            weights=weights,
            ensemble_std=forces.new_zeros(len(edges.sizes)),
            force_std=forces.new_zeros(forces.shape[0]),
        )


def _rebuild(archive: Archive, device: str, grid: str, max_edges: int, counter: int) -> Model:
    """Return the model that was pickled with these options."""
    model = Model(archive, device, grid, max_edges)
    model.counter = counter
    return model


def load(
    name_or_path: str | os.PathLike,
    device: str = "cpu",
    grid: str | None = None,
    max_edges: int | None = None,
) -> Model:
    """Load one shipped model by name, or one exported model by path.

    Args:
        name_or_path: such as ``"water-small"`` or ``"my-model.pt"``.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, or ``"auto"``: CUDA where available.
        grid: rotations to average over by default; ``None`` means the archive's default.
        max_edges: bound on edges times rotations in one network pass, which bounds the memory.

    Raises:
        PetDriverError: no such model, no such device, a damaged file, an unknown grid.
    """
    device = str(check_device(device))
    return Model(Archive.load(name_or_path, device), device, grid, max_edges)
