"""Batches of structures as tensors: their atoms, and their edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import numpy as np
import torch
from torch import Tensor

from pet_driver.errors import PetDriverError
from pet_driver.neighbors.edges import Pairs
from pet_driver.neighbors.structure import Structure

Periodicity = tuple[bool, bool, bool]


@dataclass(frozen=True)
class AtomBatch:
    """The atoms of a batch of B structures, one structure after another.

    The tensors share one device, and may share memory with what they were made from.

    Attributes:
        numbers: atomic numbers [N], int64.
        positions: [N, 3] in A, float64.
        cells: [B, 3, 3] in A, float64, one cell vector in each row; zero along directions without
            periodicity.
        sizes: number of atoms of each structure.
        pbc: periodicity of each structure along its cell vectors.
    """

    numbers: Tensor
    positions: Tensor
    cells: Tensor
    sizes: tuple[int, ...]
    pbc: tuple[Periodicity, ...]

    @classmethod
    def from_structures(cls, structures: Sequence[Structure]) -> AtomBatch:
        """Return the atoms of ``structures``, on the CPU."""
        pbc = tuple([structure.pbc for structure in structures])
        cells = np.where(np.array(pbc)[:, :, None], [s.cell for s in structures], 0.0)
        positions = np.concatenate([s.positions for s in structures])
        numbers = np.concatenate([s.numbers for s in structures])
        return cls(
            torch.from_numpy(numbers.astype(np.int64, copy=False)),
            torch.from_numpy(positions.astype(np.float64, copy=False)),
            torch.from_numpy(cells),
            tuple([len(s.numbers) for s in structures]),
            pbc,
        )

    @classmethod
    def from_tensors(
        cls, positions: Tensor, cells: Tensor, numbers: Tensor, batch: Tensor, pbc: Tensor
    ) -> AtomBatch:
        """Return a batch of tensors that share one device, without a copy of the atoms.

        Args:
            positions: [N, 3] in A, float64.
            cells: [B, 3, 3] in A, float64, one cell vector in each row.
            numbers: atomic numbers [N], int64.
            batch: index of the structure of each atom [N], int64, non-decreasing.
            pbc: periodicity along the cell vectors [B, 3], or [3] for all structures, bool.

        Raises:
            PetDriverError: a tensor of another type or shape, on another device, or a ``batch``
                that is not sorted or leaves out a structure.
        """
        n_atoms, n_structures, device = positions.shape[:1], cells.shape[:1], positions.device
        _check_tensor("positions", positions, torch.float64, (*n_atoms, 3), device)
        _check_tensor("cells", cells, torch.float64, (*n_structures, 3, 3), device)
        _check_tensor("atomic_numbers", numbers, torch.int64, n_atoms, device)
        _check_tensor("batch", batch, torch.int64, n_atoms, device)
        _check_tensor("pbc", pbc, torch.bool, (*n_structures[: pbc.dim() - 1], 3), device)
        pbc = pbc.expand(*n_structures, 3)
        sizes, periodicity = _read_batch(batch, pbc)
        cells = torch.where(pbc[:, :, None], cells.detach(), 0.0)
        return cls(numbers, positions.detach(), cells, sizes, periodicity)

    def to(self, device: torch.device) -> AtomBatch:
        """Return the batch on ``device``: itself if it is there."""
        if self.positions.device == device:
            return self
        return replace(
            self,
            numbers=self.numbers.to(device),
            positions=self.positions.to(device),
            cells=self.cells.to(device),
        )

    def copy(self) -> AtomBatch:
        """Return a copy that shares no memory."""
        return replace(
            self,
            numbers=self.numbers.clone(),
            positions=self.positions.clone(),
            cells=self.cells.clone(),
        )

    def part(self, first: int, last: int) -> AtomBatch:
        """Return the structures ``first`` to ``last``, the latter excluded."""
        if last - first == len(self.sizes):
            return self
        start = sum(self.sizes[:first])
        atoms = slice(start, start + sum(self.sizes[first:last]))
        return AtomBatch(
            self.numbers[atoms],
            self.positions[atoms],
            self.cells[first:last],
            self.sizes[first:last],
            self.pbc[first:last],
        )

    def structures(self) -> list[Structure]:
        """Return the structures as NumPy arrays, for a neighbour search on the CPU.

        From a GPU this copies positions, cells and numbers to the host.
        """
        host = self.to(torch.device("cpu"))
        numbers, positions, cells = (t.numpy() for t in (host.numbers, host.positions, host.cells))
        ends = pairwise(accumulate(self.sizes, initial=0))
        return [
            Structure(numbers[first:last], positions[first:last], cell, pbc)
            for (first, last), cell, pbc in zip(ends, cells, self.pbc, strict=True)
        ]

    def has_same_atoms(self, other: AtomBatch) -> bool:
        """Return whether both have the same elements in the same order, wherever they are."""
        same = self.sizes == other.sizes and self.pbc == other.pbc
        return same and torch.equal(self.numbers, other.numbers)


@dataclass(frozen=True)
class EdgeBatch:
    """The edges of B structures, one structure after another, as an archive takes them.

    Attributes:
        numbers: atomic numbers [N].
        structures: index of the structure of each atom [N].
        owned: whether the energy of an atom counts [N]: true for all.
        vectors: r_ij [E, 3] in A.
        centers, neighbors: atoms i and j [E].
        reverse: index of the edge (j, i, -S) [E].
        sizes: number of atoms of each structure.
        counts: number of edges of each structure.
    """

    numbers: Tensor
    structures: Tensor
    owned: Tensor
    vectors: Tensor
    centers: Tensor
    neighbors: Tensor
    reverse: Tensor
    sizes: Sequence[int]
    counts: Sequence[int]

    @property
    def pairs(self) -> Pairs:
        """The edges without their vectors."""
        return Pairs(self.centers, self.neighbors, self.reverse)

    def part(self, first: int, last: int) -> EdgeBatch:
        """Return the structures ``first`` to ``last``, the latter excluded."""
        if last - first == len(self.sizes):
            return self
        atom, edge = sum(self.sizes[:first]), sum(self.counts[:first])
        atoms = slice(atom, atom + sum(self.sizes[first:last]))
        edges = slice(edge, edge + sum(self.counts[first:last]))
        return EdgeBatch(
            self.numbers[atoms],
            self.structures[atoms] - first,
            self.owned[atoms],
            self.vectors[edges],
            self.centers[edges] - atom,
            self.neighbors[edges] - atom,
            self.reverse[edges] - edge,
            self.sizes[first:last],
            self.counts[first:last],
        )


def _check_tensor(
    name: str, tensor: Tensor, dtype: torch.dtype, shape: tuple[int, ...], device: torch.device
) -> None:
    """Raise PetDriverError unless the tensor has this type, shape and device."""
    if tensor.dtype != dtype:
        raise PetDriverError(f"{name} is {tensor.dtype}; convert it with .to({dtype})")
    if tensor.shape != shape:
        raise PetDriverError(
            f"{name} has the shape {list(tensor.shape)} where {list(shape)} is needed: positions "
            "[N, 3], cells [B, 3, 3], atomic numbers [N], batch [N], pbc [B, 3] or [3]"
        )
    if tensor.device != device:
        raise PetDriverError(
            f"{name} is on {tensor.device} and the positions are on {device}; move it with "
            f".to({str(device)!r})"
        )


def _read_batch(batch: Tensor, pbc: Tensor) -> tuple[tuple[int, ...], tuple[Periodicity, ...]]:
    """Return the sizes and the periodicity of the structures, in one transfer from the device.

    Raises:
        PetDriverError: ``batch`` is not sorted, or its indices are not 0 to B - 1.
    """
    n_structures = len(pbc)
    inside = batch.clamp(0, max(0, n_structures - 1))  # an index out of range would abort CUDA
    sizes = batch.new_zeros(n_structures).index_add_(0, inside, torch.ones_like(batch))
    wrong = (inside != batch).sum() + (batch[1:] < batch[:-1]).sum()
    packed = torch.cat([sizes, pbc.reshape(-1).to(sizes.dtype), wrong.reshape(1)]).tolist()
    if packed[-1] or not all(packed[:n_structures]) or n_structures == 0:
        raise PetDriverError(
            f"batch must give the structure of each atom as 0, 0, ..., {n_structures - 1}: sorted, "
            f"with at least one atom in each of the {n_structures} structures that have a cell"
        )
    flags = [bool(flag) for flag in packed[n_structures:-1]]
    periodicity = zip(flags[0::3], flags[1::3], flags[2::3], strict=True)
    return tuple(packed[:n_structures]), tuple(periodicity)
