"""Who may be whose neighbour: found once, and kept while the atoms move little.

In molecular dynamics the atoms move by hundredths of an angstrom from call to call. The pairs
within the cutoff plus a skin are found once, and stay on the device; as long as no pair that is not
among them can have come within the cutoff, only positions travel there, and the edges are those of
the kept pairs that lie within the cutoff now. They are exactly those that a new search would find.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
import torch
from torch import Tensor

from pet_driver.neighbors import Structure, find_edges

# A: large enough to last for tens of steps, small enough to leave few pairs to sort out at each.
SKIN = 0.5
# A topology that went unused for this many calls for each topology there is belongs to the past.
PATIENCE = 4
MAX_TOPOLOGIES = 64
MAX_PAIRS = 10_000_000  # in all topologies together, at some 60 bytes each


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


class Topology:
    """The pairs of a batch of structures within ``cutoff + skin`` (A).

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
    ) -> None:
        self.atoms = atoms
        self.cutoff, self.skin, self.device = cutoff, skin, device
        found = [find_edges(structure, cutoff + skin) for structure in structures]
        atom_offsets = accumulate(atoms.sizes[:-1], initial=0)
        pair_offsets = list(accumulate([len(f.centers) for f in found], initial=0))
        shifted = list(zip(found, atom_offsets, pair_offsets, strict=False))
        self._ends = pair_offsets
        self._all_ends = self._tensor(np.array(pair_offsets))
        self._numbers = self._tensor(atoms.numbers)
        self._structures = self._tensor(np.repeat(np.arange(len(atoms.sizes)), atoms.sizes))
        self._centers = self._tensor(np.concatenate([f.centers + a for f, a, _ in shifted]))
        self._neighbors = self._tensor(np.concatenate([f.neighbors + a for f, a, _ in shifted]))
        self._reverse = self._tensor(np.concatenate([f.reverse + p for f, _, p in shifted]))
        shifts = np.concatenate([f.shifts for f in found])
        self._shifts = self._tensor(shifts) if shifts.any() else None
        self._crossings: tuple[np.ndarray, Tensor] | None = None
        self._owned = torch.ones_like(self._numbers, dtype=torch.bool)
        self._ones = torch.ones(3, dtype=torch.float64, device=device)

    def __len__(self) -> int:
        return self._ends[-1]

    def margin(self, atoms: AtomBatch) -> float:
        """How much further (A) the nearest pair that is not kept is than the cutoff, at least.

        Negative where a pair may be missing; minus infinity where these are other atoms.

        A cell that changes deforms space by F, and the atoms move by u beside that: a pair that
        was further apart than cutoff + skin is now further apart than
        (cutoff + skin) min(stretch of F) - 2 max|u|.
        """
        if not self.atoms.are_those_of(atoms):
            return -np.inf
        stretch, moved = 1.0, self.atoms.positions
        if not np.array_equal(self.atoms.cells, atoms.cells):
            if not np.all(atoms.pbc) or not np.isfinite(atoms.cells).all():
                return -np.inf
            deformations = np.linalg.solve(self.atoms.cells, atoms.cells)
            stretch = np.linalg.svd(deformations, compute_uv=False).min()
            of_atoms = np.repeat(deformations, atoms.sizes, axis=0)
            moved = np.einsum("ni,nij->nj", moved, of_atoms)
        moved = atoms.positions - moved
        furthest = np.sqrt(np.einsum("ij,ij->i", moved, moved).max(initial=0.0))
        margin = (self.cutoff + self.skin) * stretch - 2.0 * furthest - self.cutoff
        return float(margin) if margin == margin else -np.inf  # NaN in the positions

    def edges(self, atoms: AtomBatch) -> EdgeBatch:
        """The edges of ``atoms`` within the cutoff; their :meth:`margin` must not be negative."""
        positions = self._tensor(atoms.positions)
        vectors = positions.index_select(0, self._neighbors)
        vectors -= positions.index_select(0, self._centers)
        if self._shifts is not None:
            vectors += self._crossed(self._shifts, atoms.cells)
        # a product with ones is several times faster than a sum over so short an axis
        near = (vectors * vectors) @ self._ones < self.cutoff**2
        # rounding may put the two directions of one edge on either side of the cutoff
        near &= near.index_select(0, self._reverse)
        kept = near.nonzero().squeeze(1)
        centers, neighbors, reverse = self._centers, self._neighbors, self._reverse
        counts = [last - first for first, last in pairwise(self._ends)]
        if len(kept) < len(self):
            place = torch.cat([kept.new_zeros(1), near.cumsum(0)])  # of each pair among those kept
            vectors = vectors.index_select(0, kept)
            centers, neighbors = centers.index_select(0, kept), neighbors.index_select(0, kept)
            reverse = place.index_select(0, reverse.index_select(0, kept))
            counts = [len(kept)]
            if len(atoms.sizes) > 1:
                counts = place.index_select(0, self._all_ends).diff().tolist()
        return EdgeBatch(
            self._numbers,
            self._structures,
            self._owned,
            vectors,
            centers,
            neighbors,
            reverse,
            atoms.sizes,
            counts,
        )

    def _crossed(self, shifts: Tensor, cells: np.ndarray) -> Tensor:
        """S.cell of every pair [P, 3], kept until the cells change."""
        known = self._crossings
        if known is None or not np.array_equal(known[0], cells):
            on_device = self._tensor(cells)
            parts = [
                shifts[first:last].to(cell.dtype) @ cell
                for (first, last), cell in zip(pairwise(self._ends), on_device, strict=True)
            ]
            known = self._crossings = (cells, torch.cat(parts))
        return known[1]

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)


class TopologyCache:
    """The topologies of the batches that were asked for last.

    A batch is recognised by its atoms and where they are, so that beads or replicas may come
    together or one by one, in any order.

    Args:
        cutoff: A.
        device: where the edges are wanted.
    """

    def __init__(self, cutoff: float, device: torch.device) -> None:
        self.cutoff, self.device = cutoff, device
        self._topologies: list[Topology] = []
        self._last_used: list[int] = []  # in which call, of each
        self._turn = 0  # where to look first: batches mostly come in turn
        self._calls = 0
        self._nearest: tuple[float, int] = (-np.inf, 0)  # margin and index of a miss

    def find(self, atoms: AtomBatch) -> Topology | None:
        """A topology that is still good for ``atoms``."""
        self._calls += 1
        self._nearest = (-np.inf, 0)
        count = len(self._topologies)
        for k in range(self._turn, self._turn + count):
            topology = self._topologies[k % count]
            margin = topology.margin(atoms)
            if margin >= 0.0:
                self._last_used[k % count] = self._calls
                self._turn = k % count + 1
                return topology
            self._nearest = max(self._nearest, (margin, k % count))
        return None

    def build(self, structures: Sequence[Structure], atoms: AtomBatch) -> Topology:
        """A new topology, after :meth:`find` has found none.

        Atoms that were not near by before get no skin: nothing says that they come again.
        """
        margin, nearest = self._nearest
        skin = SKIN if margin > -2.0 * SKIN else 0.0
        if skin > 0.0 and self._topologies[nearest].skin == 0.0:
            del self._topologies[nearest], self._last_used[nearest]
        topology = Topology(structures, atoms, self.cutoff, skin, self.device)
        self._topologies.append(topology)
        self._last_used.append(self._calls)
        self._forget()
        self._turn = len(self._topologies)
        return topology

    def _forget(self) -> None:
        """Drops what is out of use, and keeps memory bounded."""
        oldest_first = np.argsort(self._last_used, kind="stable")
        patience = PATIENCE * len(oldest_first)
        count, pairs = len(oldest_first), sum(map(len, self._topologies))
        kept = []
        for k in oldest_first.tolist():
            stale = self._calls - self._last_used[k] > patience
            if stale or count > MAX_TOPOLOGIES or pairs > MAX_PAIRS:
                count, pairs = count - 1, pairs - len(self._topologies[k])
            else:
                kept.append(k)
        kept.sort()
        self._topologies = [self._topologies[k] for k in kept]
        self._last_used = [self._last_used[k] for k in kept]
