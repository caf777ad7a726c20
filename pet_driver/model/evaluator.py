"""Many structures -> batches within a memory bound -> energies, forces, virials."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols
from torch import Tensor

from pet_driver.backends.cpu import binding
from pet_driver.backends.devices import check_device
from pet_driver.backends.memory import explained_shortage, keep_freed_memory
from pet_driver.backends.shared_rules import MAX_EDGES_CPU, MAX_EDGES_CUDA
from pet_driver.errors import PetDriverError
from pet_driver.model.archive import Archive
from pet_driver.neighbors.edges import forces_and_virials
from pet_driver.neighbors.structure import Structure
from pet_driver.neighbors.verlet_list import AtomBatch, EdgeBatch, VerletLists
from pet_driver.symmetry.grid_names import NO_FRAMES, draws, parse_grid_name

PORTION = 20_000  # atoms whose neighbours are looked for at once
DEFAULT_MAX_EDGES = {"cpu": MAX_EDGES_CPU, "cuda": MAX_EDGES_CUDA}


@dataclass(frozen=True)
class Results:
    """What is known of one structure after an evaluation.

    Attributes:
        energy: eV, averaged over the grid.
        forces: [N, 3] in eV/A, minus the gradient of ``energy``.
        full_virial: [3, 3] in eV, minus the derivative of ``energy`` by a strain, as it comes.
        energies: [N] in eV, by atom; they add up to ``energy``.
        raw_energy: eV, of the structure as it stands, not averaged.
        rotation_std: weighted standard deviation of the energy over the grid, eV.
        rotation_energies: energy under each rotation of :meth:`Model.rotations`, eV.
        ensemble_std: standard deviation of ``energy`` over the members of an ensemble, eV;
            zero for a single model, as is ``force_std``.
        force_std: [N] in eV/A; of every atom the root mean square, over the members, of how far
            a member's force is from the mean.
    """

    energy: float
    forces: np.ndarray
    full_virial: np.ndarray
    energies: np.ndarray
    raw_energy: float
    rotation_std: float
    rotation_energies: np.ndarray
    ensemble_std: float
    force_std: np.ndarray

    @property
    def virial(self) -> np.ndarray:
        """[3, 3] in eV, minus the derivative of ``energy`` by a strain; symmetrized."""
        return 0.5 * (self.full_virial + self.full_virial.T)

    def check_finite(self) -> None:
        """Refuse an energy, forces or a virial that are not numbers.

        Raises:
            PetDriverError: one of them is NaN or infinite.
        """
        if not math.isfinite(self.energy + self.forces.sum() + self.full_virial.sum()):
            raise PetDriverError(
                "the model returned NaN or infinite energies or forces: two atoms lie on top of "
                "each other, or the structure is far outside what the model was trained on"
            )

    @property
    def antisymmetric_virial(self) -> float:
        """Norm of the antisymmetric part that is dropped from ``virial``, eV; it is not zero for a
        potential that is not rotationally invariant."""
        return float(np.linalg.norm(0.5 * (self.full_virial - self.full_virial.T)))


class Model:
    """An archive ready to evaluate structures.

    Args:
        archive: the model.
        device: where its module lives.
        grid: average over this grid unless a call says otherwise; ``None`` means the archive's.
        max_edges: bound on edges times rotations in one network pass, hence on memory.

    Attributes:
        counter: the next draw of random rotations. Every call with a random grid that does not
            name its own draw takes this one and adds 1 (with ``-each``: 1 for every structure).
            Set it to repeat or to continue a sequence.
    """

    def __init__(
        self,
        archive: Archive,
        device: str = "cpu",
        grid: str | None = None,
        max_edges: int | None = None,
    ) -> None:
        self.archive = archive
        self.device = torch.device(device)
        self.default_grid: str = archive.metadata["default_grid"] if grid is None else str(grid)
        if max_edges is not None and max_edges < 1:
            raise PetDriverError(f"max_edges is {max_edges}; it must be at least 1")
        self.max_edges = max_edges or DEFAULT_MAX_EDGES[self.device.type]
        self.counter = 0
        if self.device.type == "cpu":
            keep_freed_memory()
        self._by_kernels = binding.instruction_set(archive.module) is not None
        self._lists = VerletLists(self.cutoff, self.device, self._by_kernels)
        self._grids: dict[str, tuple[Tensor, Tensor, int]] = {}
        self.rotations(self.default_grid)

    @property
    def members(self) -> tuple[Model, ...]:
        """The models behind the results, as in an ensemble: this one."""
        return (self,)

    @property
    def metadata(self) -> dict[str, Any]:
        """What the archive says of itself."""
        return self.archive.metadata

    @property
    def path(self) -> os.PathLike:
        return self.archive.path

    @property
    def symbols(self) -> list[str]:
        return self.metadata["symbols"]

    @property
    def atomic_numbers(self) -> list[int]:
        return self.metadata["atomic_numbers"]

    @property
    def cutoff(self) -> float:
        """Longest edge, A."""
        return self.metadata["cutoff"]

    @property
    def interaction_range(self) -> float:
        """How far an atom's energy reaches, A."""
        return self.metadata["interaction_range"]

    def rotations(self, grid: str, counter: int = 0) -> tuple[Tensor, Tensor, int]:
        """Rotations [R, 3, 3], weights and frames of a grid, with the raw network first.

        The raw network is the identity, without frames; where the grid does not begin with it, it
        is put before the others at weight 0. Frames: 0 for none, 1 by
        environment, 2 pooled over the structure.

        Args:
            grid: see :mod:`pet_driver.symmetry.grids`.
            counter: which draw, where the grid is random.

        Raises:
            PetDriverError: there is no such grid.
        """
        if grid in self._grids:
            return self._grids[grid]
        try:
            rotations, weights, frames = self.archive.module.grid(grid, counter)
        except Exception as error:  # TorchScript raises its own type, with a trace
            message = str(error).rpartition("ValueError: ")[2].strip()
            raise PetDriverError(message) from None
        identity = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        if frames != NO_FRAMES or not torch.equal(rotations[0], identity):
            rotations = torch.cat([identity[None], rotations])
            weights = torch.cat([torch.zeros_like(weights[:1]), weights])
        if not parse_grid_name(grid).random:
            self._grids[grid] = (rotations, weights, frames)
        return rotations, weights, frames

    def evaluate(
        self,
        atoms: Atoms | Sequence[Atoms],
        grid: str | None = None,
        counter: int | None = None,
    ) -> Results | list[Results]:
        """Evaluate one ASE structure, or several of any sizes.

        What is not a number is returned as it comes; see :meth:`Results.check_finite`.

        Args:
            atoms: one structure or a sequence of them.
            grid: rotations to average over; see :mod:`pet_driver.symmetry.grids`.
            counter: which draw of a random grid; ``None`` means the next one.

        Raises:
            PetDriverError: an element that the model does not know, a broken structure, an
                unknown grid.
        """
        if isinstance(atoms, Atoms):
            return self.compute([Structure.from_ase(atoms)], grid, counter)[0]
        return self.compute([Structure.from_ase(a) for a in atoms], grid, counter)

    def compute(
        self,
        structures: Sequence[Structure],
        grid: str | None = None,
        counter: int | None = None,
    ) -> list[Results]:
        """Evaluate structures; the results keep their order.

        All share the rotations of the grid, and go through the network together. Where the grid
        draws for each structure, structure k has draw ``counter + k``, and goes alone.
        """
        results: list[Results] = []
        if not structures:
            return results
        grid = self.default_grid if grid is None else str(grid)
        portions = list(_portions(structures))
        for portion in portions[1:]:  # before the work on the first
            for structure in portion:
                self.check_species(structure.numbers)
        start = self.counter if counter is None else counter
        for portion in portions:
            results += self._compute_portion(self._edges(portion), grid, start, len(results))
        if counter is None:
            self.counter = start + draws(grid, len(structures))
        return results

    def _compute_portion(
        self, edges: EdgeBatch, grid: str, counter: int, before: int
    ) -> list[Results]:
        """Results of structures that come after so many others of one call."""
        results: list[Results] = []
        if parse_grid_name(grid).each:
            for k in range(len(edges.sizes)):
                drawn = self.rotations(grid, counter + before + k)
                results += self._compute_batch(edges.part(k, k + 1), *drawn)
            return results
        drawn = self.rotations(grid, counter)
        for part in self._batches(edges, len(drawn[0])):
            results += self._compute_batch(part, *drawn)
        return results

    def _edges(self, structures: Sequence[Structure]) -> EdgeBatch:
        atoms = AtomBatch.of(structures)
        edges = self._lists.edges(atoms)
        if edges is None:
            for structure in structures:
                self.check_species(structure.numbers)
            edges = self._lists.new_edges(structures, atoms)
        return edges

    def check_species(self, numbers: np.ndarray) -> None:
        """Refuse atomic numbers [N] of elements that the model does not know.

        Raises:
            PetDriverError: there are such; the message names them.
        """
        unknown = sorted(set(np.unique(numbers).tolist()) - set(self.atomic_numbers))
        if unknown:
            names = ", ".join(chemical_symbols[z] for z in unknown)
            raise PetDriverError(
                f"{self.path} does not know the element {names}; it was trained for "
                f"{', '.join(self.symbols)}"
            )

    def _batches(self, edges: EdgeBatch, n_rotations: int) -> Iterator[EdgeBatch]:
        """Structures whose edges times rotations stay within ``max_edges``.

        A structure that exceeds the bound alone is a batch of its own, and its rotations are
        worked off in several passes.
        """
        first, total = 0, 0
        for index, count in enumerate(edges.counts):
            size = count * n_rotations
            if index > first and total + size > self.max_edges:
                yield edges.part(first, index)
                first, total = index, 0
            total += size
        yield edges.part(first, len(edges.counts))

    def _compute_batch(
        self, edges: EdgeBatch, rotations: Tensor, weights: Tensor, frames: int
    ) -> list[Results]:
        # On a CPU nothing is fused, so that the bare interpreter of TorchScript is the fastest.
        with (
            explained_shortage(self.max_edges),
            torch.enable_grad(),
            torch.jit.optimized_execution(self.device.type != "cpu"),
        ):
            energies, by_atom, gradients, by_rotation = self.archive.module(
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
            self._by_kernels,
        )
        found = (energies, by_atom, forces, virials, by_rotation)
        # one transfer for all
        packed = torch.cat([values.reshape(-1) for values in found]).detach().cpu().numpy()
        return unpack(packed, edges.sizes, weights.cpu().numpy())


def _portions(structures: Sequence[Structure]) -> Iterator[Sequence[Structure]]:
    """Structures one after the other, so many that their edges take a few 100 MB at most."""
    first, atoms = 0, 0
    for index, structure in enumerate(structures):
        size = len(structure.numbers)
        if index > first and atoms + size > PORTION:
            yield structures[first:index]
            first, atoms = index, 0
        atoms += size
    yield structures[first:]


def unpack(packed: np.ndarray, sizes: Sequence[int], weights: np.ndarray) -> list[Results]:
    """Results by structure.

    Args:
        packed: one after another, all in eV and A, energies [B] and by atom [N], forces [N, 3],
            virials [B, 3, 3] and energies by rotation [R, B].
        sizes: number of atoms of each structure.
        weights: [R] of the rotations.
    """
    count, atoms = len(sizes), sum(sizes)
    forces_end = count + 4 * atoms
    by_atom = packed[count : count + atoms]
    forces = packed[count + atoms : forces_end].reshape(atoms, 3)
    virials = packed[forces_end : forces_end + 9 * count].reshape(count, 3, 3)
    by_rotation = packed[forces_end + 9 * count :].reshape(len(weights), count)
    ends = list(accumulate(sizes, initial=0))
    stds = weighted_std(by_rotation, weights)
    return [
        Results(
            energy=float(packed[index]),
            forces=forces[first:last],
            full_virial=virials[index],
            energies=by_atom[first:last],
            raw_energy=float(by_rotation[0, index]),
            rotation_std=float(stds[index]),
            rotation_energies=by_rotation[:, index],
            ensemble_std=0.0,
            force_std=np.zeros(last - first),
        )
        for index, (first, last) in enumerate(pairwise(ends))
    ]


def weighted_std(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Standard deviation over the first axis of ``values`` [R, B] with ``weights`` [R]."""
    if len(weights) == 1:
        return np.zeros(values.shape[1:])
    apart = values - weights @ values
    return np.sqrt((weights @ apart**2).clip(min=0.0))


def load(
    name_or_path: str | os.PathLike,
    device: str = "cpu",
    grid: str | None = None,
    max_edges: int | None = None,
) -> Model:
    """Load one shipped model by name, or one archive by path.

    Args:
        name_or_path: such as ``"water-small"`` or ``"my-model.pt"``.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, or ``"auto"``: CUDA where there is any.
        grid: average over this grid unless a call says otherwise; ``None`` means the archive's.
        max_edges: bound on edges times rotations in one network pass, hence on memory.

    Raises:
        PetDriverError: no such model, no such device, a damaged file, an unknown grid.
    """
    device = str(check_device(device))
    return Model(Archive.load(name_or_path, device), device, grid, max_edges)
