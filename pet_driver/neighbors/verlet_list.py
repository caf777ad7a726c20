"""Verlet lists: who may be whose neighbour, found once and kept while the atoms move little.

In molecular dynamics the atoms move by hundredths of an angstrom from call to call. The pairs
within the cutoff plus a skin are found once, and stay on the device; as long as no pair that is not
among them can have come within the cutoff, only positions travel there, and the edges are those of
the kept pairs that lie within the cutoff now. They are exactly those that a new search would find.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import numpy as np
import torch
from torch import Tensor

from pet_driver.neighbors.edges import Pairs
from pet_driver.neighbors.neighbor_list import find_edges
from pet_driver.neighbors.structure import Structure

# A: large enough to last for tens of steps, small enough to leave few pairs to sort out at each.
SKIN = 0.5
# Beads of path integrals move faster. A search pays if its list lasts for so many calls: if it
# lasted less, the next list has twice the skin, up to the widest (A); if several times longer, half
# of it.
LASTING = 10
WIDEST_SKIN = 2.0
# A list that went unused for so many calls, times the number of lists, is dropped.
PATIENCE = 4
MAX_LISTS = 64
MAX_PAIRS = 10_000_000  # in all lists together, at some 60 bytes each


@dataclass(frozen=True)
class AtomBatch:
    """The atoms of a batch of B structures, one structure after another.

    Attributes:
        numbers: atomic numbers [N].
        positions: [N, 3] in A.
        cells: [B, 3, 3] in A, the vectors in rows; zero along directions without periodicity.
        sizes: number of atoms of each structure.
        pbc: periodicity of each structure.
    """

    numbers: np.ndarray
    positions: np.ndarray
    cells: np.ndarray
    sizes: tuple[int, ...]
    pbc: tuple[tuple[bool, bool, bool], ...]

    @classmethod
    def of(cls, structures: Sequence[Structure]) -> AtomBatch:
        """A copy of the atoms of all ``structures``."""
        pbc = tuple([structure.pbc for structure in structures])
        return cls(
            np.concatenate([s.numbers for s in structures]).astype(np.int64, copy=False),
            np.concatenate([s.positions for s in structures]).astype(np.float64, copy=False),
            np.where(np.array(pbc)[:, :, None], [s.cell for s in structures], 0.0),
            tuple([len(s.numbers) for s in structures]),
            pbc,
        )

    def are_those_of(self, other: AtomBatch) -> bool:
        """Whether both are the same elements in the same order, however they lie."""
        same = self.sizes == other.sizes and self.pbc == other.pbc
        return same and np.array_equal(self.numbers, other.numbers)


@dataclass(frozen=True)
class EdgeBatch:
    """The edges of B structures, one structure after another, as an archive takes them.

    Attributes:
        numbers: atomic numbers [N].
        structures: which structure each atom is in [N].
        owned: atoms whose energy counts [N]: all.
        vectors: r_ij [E, 3] in A.
        centers, neighbors: i and j [E].
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
        return Pairs(self.centers, self.neighbors, self.reverse)

    def part(self, first: int, last: int) -> EdgeBatch:
        """Structures ``first`` to ``last``, the latter not included."""
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


class VerletList:
    """The pairs of a batch of structures within ``cutoff + skin`` (A).

    Args:
        structures, atoms: the batch, in both forms.
        cutoff, skin: A.
        device: where the edges are wanted.
        by_kernels: whether the kernels sort them out.

    Attributes:
        served: how often it knew the edges.

    Raises:
        PetDriverError: a broken structure.
    """

    def __init__(
        self,
        structures: Sequence[Structure],
        atoms: AtomBatch,
        cutoff: float,
        skin: float,
        device: torch.device,
        by_kernels: bool = False,
    ) -> None:
        self.atoms = atoms
        self.cutoff, self.skin, self.device = cutoff, skin, device
        self.served = 0
        self._by_kernels = by_kernels
        found = [find_edges(structure, cutoff + skin) for structure in structures]
        ends = list(accumulate([len(f.centers) for f in found], initial=0))
        starts = list(accumulate(atoms.sizes, initial=0))
        shifts = np.concatenate([f.shifts for f in found])
        lengths = [np.einsum("ij,ij->i", f.vectors, f.vectors).max(initial=0.0) for f in found]
        self._longest = math.sqrt(max(lengths))
        self._ends, self._pair_ends = ends, self._tensor(np.array(ends))
        self._shifts = self._tensor(shifts) if shifts.any() else None
        self._shifted: tuple[np.ndarray, Tensor] | None = None
        self._all = EdgeBatch(
            numbers=self._tensor(atoms.numbers),
            structures=self._tensor(np.repeat(np.arange(len(atoms.sizes)), atoms.sizes)),
            owned=torch.ones(len(atoms.numbers), dtype=torch.bool, device=device),
            vectors=torch.zeros(0, 3, dtype=torch.float64, device=device),
            centers=self._joined([f.centers for f in found], starts),
            neighbors=self._joined([f.neighbors for f in found], starts),
            reverse=self._joined([f.reverse for f in found], ends),
            sizes=atoms.sizes,
            counts=[last - first for first, last in pairwise(ends)],
        )

    def __len__(self) -> int:
        return self._ends[-1]

    def lengths(self, atoms: AtomBatch) -> tuple[float, float]:
        """Bounds on the lengths of pairs (A) where ``atoms`` are now.

        A cell that changes deforms space by F, and the atoms move by u beside that: a pair that
        was d apart is now between d min(stretch of F) - 2 max|u| and d max(stretch of F) + 2 max|u|
        apart.

        Returns:
            a length that all pairs that are not kept exceed, minus infinity where nothing is known;
            a length that none of those that are kept exceeds.
        """
        unknown = -np.inf, np.inf
        if not self.atoms.are_those_of(atoms):
            return unknown
        least, largest, before = 1.0, 1.0, self.atoms.positions
        if not np.array_equal(self.atoms.cells, atoms.cells):
            if not np.all(atoms.pbc) or not np.isfinite(atoms.cells).all():
                return unknown
            deformations = np.linalg.solve(self.atoms.cells, atoms.cells)
            stretches = np.linalg.svd(deformations, compute_uv=False)
            least, largest = float(stretches.min()), float(stretches.max())
            before = np.einsum("ni,nij->nj", before, np.repeat(deformations, atoms.sizes, axis=0))
        moved = atoms.positions - before
        furthest = math.sqrt((moved * moved).sum(axis=1).max(initial=0.0))
        if not math.isfinite(furthest):
            return unknown
        others = (self.cutoff + self.skin) * least - 2.0 * furthest
        return others, self._longest * largest + 2.0 * furthest

    def edges(self, atoms: AtomBatch) -> EdgeBatch | None:
        """The edges of ``atoms`` within the cutoff; None where one of them may not be kept."""
        others, longest = self.lengths(atoms)
        if others < self.cutoff:
            return None
        self.served += 1
        positions = self._tensor(atoms.positions)
        pairs, shift_vectors = self._all.pairs, self._shift_vectors(atoms.cells)
        if longest < self.cutoff:
            return replace(self._all, vectors=pairs.vectors(positions, shift_vectors))
        near, vectors, place = pairs.near(positions, shift_vectors, self.cutoff, self._by_kernels)
        return replace(
            self._all,
            vectors=vectors,
            centers=near.centers,
            neighbors=near.neighbors,
            reverse=near.reverse,
            counts=place.index_select(0, self._pair_ends).diff().tolist(),
        )

    def _shift_vectors(self, cells: np.ndarray) -> Tensor | None:
        """S.cell of every pair [P, 3], kept until the cells change; None where every S is zero."""
        known, shifts = self._shifted, self._shifts
        if shifts is None:
            return None
        if known is None or not np.array_equal(known[0], cells):
            on_device = self._tensor(cells)
            parts = [
                shifts[first:last].to(cell.dtype) @ cell
                for (first, last), cell in zip(pairwise(self._ends), on_device, strict=True)
            ]
            known = self._shifted = (cells, torch.cat(parts))
        return known[1]

    def _joined(self, parts: list[np.ndarray], offsets: list[int]) -> Tensor:
        """Indices of each structure, moved on by its offset."""
        moved = [part + offset for part, offset in zip(parts, offsets, strict=False)]
        return self._tensor(np.concatenate(moved))

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)


class VerletLists:
    """The Verlet lists of the batches that were asked for last.

    A batch is recognised by its atoms and where they are, so that beads or replicas may come
    together or one by one, in any order.

    Args:
        cutoff: A.
        device: where the edges are wanted.
        by_kernels: whether the kernels sort them out.
    """

    def __init__(self, cutoff: float, device: torch.device, by_kernels: bool = False) -> None:
        self.cutoff, self.device, self.by_kernels = cutoff, device, by_kernels
        self._lists: list[VerletList] = []
        self._last_used: list[int] = []  # in which call, of each
        self._turn = 0  # where to look first: batches mostly come in turn
        self._calls = 0

    def edges(self, atoms: AtomBatch) -> EdgeBatch | None:
        """The edges of ``atoms`` by a list that is still good; None where there is none."""
        self._calls += 1
        count = len(self._lists)
        for k in range(self._turn, self._turn + count):
            edges = self._lists[k % count].edges(atoms)
            if edges is not None:
                self._last_used[k % count] = self._calls
                self._turn = k % count + 1
                return edges
        return None

    def new_edges(self, structures: Sequence[Structure], atoms: AtomBatch) -> EdgeBatch:
        """The edges of ``atoms`` by a new list, where :meth:`edges` knows none.

        Atoms that were not near by before get no skin: nothing says that they come again.

        Raises:
            PetDriverError: a broken structure.
        """
        others = [known.lengths(atoms)[0] for known in self._lists]
        skin = 0.0
        if max(others, default=-np.inf) > self.cutoff - 2.0 * SKIN:
            nearest = int(np.argmax(others))
            skin = self._next_skin(self._lists[nearest])
            if self._lists[nearest].skin == 0.0:
                del self._lists[nearest], self._last_used[nearest]
        found = VerletList(structures, atoms, self.cutoff, skin, self.device, self.by_kernels)
        self._lists.append(found)
        self._last_used.append(self._calls)
        self._forget()
        self._turn = len(self._lists)
        edges = found.edges(atoms)
        assert edges is not None
        return edges

    def _next_skin(self, before: VerletList) -> float:
        """Skin (A) of the list that follows on ``before``."""
        if before.skin == 0.0:
            return SKIN
        if before.served >= 4 * LASTING:
            return max(0.5 * before.skin, SKIN)
        if before.served >= LASTING:
            return before.skin
        wider = min(2.0 * before.skin, WIDEST_SKIN)
        more = ((self.cutoff + wider) / (self.cutoff + before.skin)) ** 3
        # that of all beads or replicas, which move alike
        fits = len(before) * more * len(self._lists) <= MAX_PAIRS
        return wider if fits else before.skin

    def _forget(self) -> None:
        """Drops what is out of use, and keeps memory bounded."""
        oldest_first = np.argsort(self._last_used, kind="stable")
        patience = PATIENCE * len(oldest_first)
        count, pairs = len(oldest_first), sum(map(len, self._lists))
        kept = []
        for k in oldest_first.tolist():
            stale = self._calls - self._last_used[k] > patience
            if stale or count > MAX_LISTS or pairs > MAX_PAIRS:
                count, pairs = count - 1, pairs - len(self._lists[k])
            else:
                kept.append(k)
        kept.sort()
        self._lists = [self._lists[k] for k in kept]
        self._last_used = [self._last_used[k] for k in kept]
