"""Verlet lists: pairs of atoms within the cutoff plus a skin, kept while the atoms move little.

In molecular dynamics the atoms move by hundredths of an angstrom from call to call. The pairs
within the cutoff plus a skin are searched once and stay on the device. As long as no other pair can
have come within the cutoff, the edges are those of the kept pairs that are within the cutoff now:
exactly the edges that a new search would find, without the search and without a transfer of more
than positions. The search itself (vesin) runs on the CPU.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import accumulate, pairwise

import numpy as np
import torch
from torch import Tensor

from pet_driver.neighbors.batches import AtomBatch, EdgeBatch
from pet_driver.neighbors.neighbor_list import find_edges

# A: large enough to last for tens of steps, small enough to add few pairs to the work of a step.
SKIN = 0.5
# Beads of path integrals move faster. A search pays if its list lasts for LASTING calls. After a
# list that lasted for fewer, the next one has twice the skin, up to WIDEST_SKIN (A); after one that
# lasted for several times more, half of it.
LASTING = 10
WIDEST_SKIN = 2.0
# A list that was not used for so many calls, times the number of lists, is dropped.
PATIENCE = 4
MAX_LISTS = 64
MAX_PAIRS = 10_000_000  # in all lists together, about 60 bytes each


class VerletList:
    """The pairs of a batch of structures within ``cutoff + skin`` (A).

    Args:
        atoms: the batch; it is copied.
        cutoff, skin: A.
        device: where the edges are needed.
        use_kernels: whether the C++ kernels select the edges.

    Attributes:
        served: how many times it has provided edges.

    Raises:
        PetDriverError: positions or a cell are not finite, or a cell is degenerate.
    """

    def __init__(
        self,
        atoms: AtomBatch,
        cutoff: float,
        skin: float,
        device: torch.device,
        use_kernels: bool = False,
    ) -> None:
        found = [find_edges(structure, cutoff + skin) for structure in atoms.structures()]
        self.atoms = atoms.copy()
        self.cutoff, self.skin, self.device = cutoff, skin, device
        self.served = 0
        self._use_kernels = use_kernels
        ends = list(accumulate([len(f.centers) for f in found], initial=0))
        starts = list(accumulate(atoms.sizes, initial=0))
        shifts = np.concatenate([f.shifts for f in found])
        lengths = [np.einsum("ij,ij->i", f.vectors, f.vectors).max(initial=0.0) for f in found]
        self._longest = math.sqrt(max(lengths))
        self._ends, self._pair_ends = ends, self._tensor(np.array(ends))
        self._shifts = self._tensor(shifts) if shifts.any() else None
        self._shift_vectors_of: tuple[Tensor, Tensor] | None = None  # cells, and S.cell for them
        self._all = EdgeBatch(
            numbers=self.atoms.numbers.to(device),
            structures=self._tensor(np.repeat(np.arange(len(atoms.sizes)), atoms.sizes)),
            owned=torch.ones(len(atoms.numbers), dtype=torch.bool, device=device),
            vectors=torch.zeros(0, 3, dtype=torch.float64, device=device),
            centers=self._concatenate([f.centers for f in found], starts),
            neighbors=self._concatenate([f.neighbors for f in found], starts),
            reverse=self._concatenate([f.reverse for f in found], ends),
            sizes=atoms.sizes,
            counts=[last - first for first, last in pairwise(ends)],
        )

    def __len__(self) -> int:
        return self._ends[-1]

    def bounds(self, atoms: AtomBatch) -> tuple[float, float]:
        """Return bounds on the lengths of pairs (A) at the present positions of ``atoms``.

        If the cell has changed, its deformation F moves the atoms, and they move by u in addition.
        A pair that had the length d then has a length between d min(stretch of F) - 2 max|u| and
        d max(stretch of F) + 2 max|u|.

        Returns:
            a length that every pair outside the list exceeds, minus infinity if nothing is known;
            a length that no pair in the list exceeds.
        """
        unknown = -math.inf, math.inf
        reference = self._reference(atoms)
        if not reference.has_same_atoms(atoms):
            return unknown
        least, largest, before = 1.0, 1.0, reference.positions
        if not torch.equal(reference.cells, atoms.cells):
            found = _deform(reference, atoms)
            if found is None:
                return unknown
            least, largest, before = found
        displacements = atoms.positions - before
        furthest = 0.0
        if displacements.shape[0] > 0:
            furthest = torch.linalg.vector_norm(displacements, dim=1).max().item()
        if not math.isfinite(furthest):
            return unknown
        outside = (self.cutoff + self.skin) * least - 2.0 * furthest
        return outside, self._longest * largest + 2.0 * furthest

    def edges(self, atoms: AtomBatch) -> EdgeBatch | None:
        """Return the edges of ``atoms`` within the cutoff, or None if the list may lack some."""
        outside, longest = self.bounds(atoms)
        if outside < self.cutoff:
            return None
        self.served += 1
        positions = atoms.positions.to(self.device)
        pairs, shift_vectors = self._all.pairs, self._shift_vectors(atoms.cells)
        if longest < self.cutoff:
            return replace(self._all, vectors=pairs.vectors(positions, shift_vectors))
        near, vectors, place = pairs.select(
            positions, shift_vectors, self.cutoff, self._use_kernels
        )
        return replace(
            self._all,
            vectors=vectors,
            centers=near.centers,
            neighbors=near.neighbors,
            reverse=near.reverse,
            counts=place.index_select(0, self._pair_ends).diff().tolist(),
        )

    def _reference(self, atoms: AtomBatch) -> AtomBatch:
        """Return the atoms of the search, on the device of ``atoms``."""
        self.atoms = self.atoms.to(atoms.positions.device)
        return self.atoms

    def _shift_vectors(self, cells: Tensor) -> Tensor | None:
        """Return S.cell of every pair [P, 3], kept for the last cells; None if every S is zero."""
        known, shifts = self._shift_vectors_of, self._shifts
        if shifts is None:
            return None
        if known is None or not torch.equal(known[0].to(cells.device), cells):
            on_device = cells.to(self.device)
            parts = [
                shifts[first:last].to(cell.dtype) @ cell
                for (first, last), cell in zip(pairwise(self._ends), on_device, strict=True)
            ]
            known = self._shift_vectors_of = (cells.clone(), torch.cat(parts))
        return known[1]

    def _concatenate(self, parts: list[np.ndarray], offsets: list[int]) -> Tensor:
        """Join the indices of all structures, each shifted by its offset."""
        shifted = [part + offset for part, offset in zip(parts, offsets, strict=False)]
        return self._tensor(np.concatenate(shifted))

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def _deform(before: AtomBatch, after: AtomBatch) -> tuple[float, float, Tensor] | None:
    """Deform ``before`` as the cells are deformed; None if the deformation is not defined.

    Returns:
        the least and the largest stretch of space; the deformed positions [N, 3].
    """
    if not all(map(all, after.pbc)) or not bool(torch.isfinite(after.cells).all()):
        return None
    # On the CPU: a few numbers, and LAPACK is faster than a GPU with them.
    deformations = torch.linalg.solve(before.cells.cpu(), after.cells.cpu())
    stretches = torch.linalg.svdvals(deformations)
    sizes = torch.tensor(after.sizes)
    by_atom = deformations.repeat_interleave(sizes, dim=0).to(before.positions.device)
    moved = torch.bmm(before.positions[:, None, :], by_atom).squeeze(1)
    return float(stretches.min()), float(stretches.max()), moved


class VerletLists:
    """The Verlet lists of the batches that were evaluated last.

    A batch is recognised by its atoms and their positions, so that the beads of a path integral,
    or replicas, may be evaluated in one batch or one by one, in any order.

    Args:
        cutoff: A.
        device: where the edges are needed.
        use_kernels: whether the C++ kernels select the edges.
    """

    def __init__(self, cutoff: float, device: torch.device, use_kernels: bool = False) -> None:
        self.cutoff, self.device, self.use_kernels = cutoff, device, use_kernels
        self._lists: list[VerletList] = []
        self._last_used: list[int] = []  # the last call that used each list
        self._next = 0  # the list to try first: batches mostly come in the same order
        self._calls = 0

    def edges(self, atoms: AtomBatch) -> EdgeBatch | None:
        """Return the edges of ``atoms`` by a list that is still valid; None if there is none."""
        self._calls += 1
        count = len(self._lists)
        for k in range(self._next, self._next + count):
            edges = self._lists[k % count].edges(atoms)
            if edges is not None:
                self._last_used[k % count] = self._calls
                self._next = k % count + 1
                return edges
        return None

    def search(self, atoms: AtomBatch) -> EdgeBatch:
        """Return the edges of ``atoms`` by a new list, after :meth:`edges` has found none.

        If no earlier batch is close to ``atoms`` the list has no skin: a structure that is
        evaluated only once needs none.

        Raises:
            PetDriverError: positions or a cell are not finite, or a cell is degenerate.
        """
        outside = [known.bounds(atoms)[0] for known in self._lists]
        skin = 0.0
        if max(outside, default=-math.inf) > self.cutoff - 2.0 * SKIN:
            nearest = int(np.argmax(outside))
            skin = self._next_skin(self._lists[nearest])
            if self._lists[nearest].skin == 0.0:
                del self._lists[nearest], self._last_used[nearest]
        found = VerletList(atoms, self.cutoff, skin, self.device, self.use_kernels)
        self._lists.append(found)
        self._last_used.append(self._calls)
        self._drop_unused()
        self._next = len(self._lists)
        edges = found.edges(atoms)
        assert edges is not None
        return edges

    def _next_skin(self, before: VerletList) -> float:
        """Return the skin (A) of the list that replaces ``before``."""
        if before.skin == 0.0:
            return SKIN
        if before.served >= 4 * LASTING:
            return max(0.5 * before.skin, SKIN)
        if before.served >= LASTING:
            return before.skin
        wider = min(2.0 * before.skin, WIDEST_SKIN)
        growth = ((self.cutoff + wider) / (self.cutoff + before.skin)) ** 3
        # Beads or replicas move alike, so that all lists will grow.
        fits = len(before) * growth * len(self._lists) <= MAX_PAIRS
        return wider if fits else before.skin

    def _drop_unused(self) -> None:
        """Drop lists that are no longer used, and the oldest ones above the memory bounds."""
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
