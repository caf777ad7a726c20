"""Pairs of atoms within a cutoff distance.

Small systems: the distances of all pairs (:mod:`pet_driver.analysis.minimum_image` in orthorhombic
cells, ``MDAnalysis.lib.distances`` in others), which are faster than a neighbor search for cutoffs
of about half the cell. Large systems: the neighbor search of MDAnalysis.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from MDAnalysis.lib.distances import (
    capped_distance,
    distance_array,
    self_capped_distance,
    self_distance_array,
)

from pet_driver.analysis.minimum_image import is_orthorhombic, squared_distance_blocks
from pet_driver.analysis.vectors import dot, minimum_image_vectors

_MAX_ALL_PAIRS = 4_000_000  # above this number of pairs the neighbor search is faster
_MARGIN = 1.0e-3  # A; larger than the error of distances in single precision


class Pairs:
    """Pairs of atoms of two sets, or of one set, within a cutoff.

    Args:
        first: residue of each atom of the first set [N].
        second: residue of each atom of the second set [M]; ``None`` means the pairs i < j within
            the first set.
        intermolecular: leave out pairs of the same residue.
    """

    def __init__(
        self, first: np.ndarray, second: np.ndarray | None = None, intermolecular: bool = True
    ):
        self._first, self._second = first, first if second is None else second
        self.within = second is None
        self.intermolecular = intermolecular
        n, m = len(first), len(self._second)
        self.n_all = n * (n - 1) // 2 if self.within else n * m
        self._all = self.n_all <= _MAX_ALL_PAIRS

    @cached_property
    def _indices(self) -> tuple[np.ndarray, np.ndarray]:
        """The indices i [P] and j [P] of all pairs."""
        n, m = len(self._first), len(self._second)
        i, j = np.triu_indices(n, 1) if self.within else np.divmod(np.arange(n * m), m)
        return i, j

    @cached_property
    def _left_out(self) -> tuple[np.ndarray, np.ndarray]:
        """The indices i and j of the pairs of the same residue, sorted by i."""
        same = self._first[:, None] == self._second[None, :]
        i, j = np.nonzero(np.triu(same, 1) if self.within else same)
        return i, j

    def count(self) -> int:
        """Return the number of pairs at any distance, without the left-out ones."""
        if not self.intermolecular:
            return self.n_all
        size = int(max(self._first.max(), self._second.max())) + 1
        a = np.bincount(self._first, minlength=size)
        if self.within:
            return self.n_all - int((a * (a - 1) // 2).sum())
        return self.n_all - int((a * np.bincount(self._second, minlength=size)).sum())

    def by_blocks(self, cell: np.ndarray | None) -> bool:
        """Return whether the distances of all pairs are computed in blocks."""
        return self._all and is_orthorhombic(cell)

    def near(
        self, x: np.ndarray, y: np.ndarray, cutoff: float, cell: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the pairs within a cutoff.

        Args:
            x: positions of the first set [N, 3] in A.
            y: positions of the second set [M, 3] in A (``x`` again for pairs within one set).
            cutoff: in A.
            cell: a, b, c (A), alpha, beta, gamma (degrees), or ``None``.

        Returns:
            Indices i [P] and j [P] into the two sets, and distances [P] in A.
        """
        i, j, _, lengths = self.vectors(x, y, cutoff, cell)
        return i, j, lengths

    def vectors(
        self, x: np.ndarray, y: np.ndarray, cutoff: float, cell: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the pairs within a cutoff, with their vectors.

        The arguments are those of :meth:`near`.

        Returns:
            Indices i [P] and j [P], vectors from i to j [3, P] in A, and distances [P] in A.
        """
        lengths = None
        if self.by_blocks(cell):
            i, j = self._candidates(x, y, cutoff + _MARGIN, cell)
        elif self._all:
            flat = self._all_distances(x, y, cell)
            chosen = np.flatnonzero(flat < cutoff)
            i, j = (index.take(chosen) for index in self._indices)
            lengths = flat.take(chosen)
        else:
            pairs, lengths = self._capped(x, y, cutoff, cell)
            i, j = pairs[:, 0], pairs[:, 1]
        # components as rows: several times faster than vectors as rows
        starts, stops = (np.ascontiguousarray(np.asarray(a, np.float64).T) for a in (x, y))
        vectors = minimum_image_vectors(starts.take(i, axis=1), stops.take(j, axis=1), cell, axis=0)
        if lengths is None:
            lengths = np.sqrt(dot(vectors, vectors))
            inside = np.flatnonzero(lengths < cutoff)
            i, j, lengths = i.take(inside), j.take(inside), lengths.take(inside)
            vectors = vectors.take(inside, axis=1)
        return i, j, vectors, lengths

    def distances(
        self, x: np.ndarray, y: np.ndarray, cutoff: float, cell: np.ndarray | None
    ) -> np.ndarray:
        """Return the distances [P] in A of the pairs within a cutoff, unordered, float32."""
        return np.concatenate(list(self._distances(x, y, cutoff, cell)))

    def counts(
        self, x: np.ndarray, y: np.ndarray, width: float, n_bins: int, cell: np.ndarray | None
    ) -> np.ndarray:
        """Return the histogram [n_bins] of the distances, in bins of ``width`` A from 0 on."""
        total = np.zeros(n_bins, int)
        scale = np.float32(1.0 / width)
        for lengths in self._distances(x, y, width * n_bins, cell):
            # np.histogram for equal bins, without its checks
            index = (lengths * scale).astype(np.intp)
            total += np.bincount(index, minlength=n_bins + 1)[:n_bins]
        return total

    def _distances(self, x, y, cutoff: float, cell) -> Iterator[np.ndarray]:
        """Yield the distances in arrays that fit into the processor's cache."""
        if self.by_blocks(cell):
            limit = np.float32(cutoff) ** 2
            for _, _, block in self._blocks(x, y, cell):
                flat = block.reshape(-1)
                # take by index is several times faster than a mask
                near = flat.take(np.flatnonzero(flat < limit))
                yield np.sqrt(near, out=near)
        elif self._all:
            flat = self._all_distances(x, y, cell)
            yield flat[flat < cutoff]
        else:
            yield self._capped(x, y, cutoff, cell)[1]

    def _candidates(self, x, y, cutoff: float, cell) -> tuple[np.ndarray, np.ndarray]:
        """Return the indices i and j of the pairs within a cutoff in single precision."""
        rows, columns = [], []
        for row, column, block in self._blocks(x, y, cell):
            flat = np.flatnonzero(block < np.float32(cutoff) ** 2)
            i = flat // block.shape[1]
            rows.append(i + row)
            columns.append(flat - i * block.shape[1] + column)
        return np.concatenate(rows), np.concatenate(columns)

    def _blocks(self, x, y, cell) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yield blocks of squared distances, infinite for pairs of the same residue."""
        rows, columns = self._left_out
        for row, column, block in squared_distance_blocks(x, None if self.within else y, cell):
            if self.intermolecular:
                here = slice(*np.searchsorted(rows, [row, row + len(block)]))
                block[rows[here] - row, columns[here] - column] = np.inf
            yield row, column, block

    def _all_distances(self, x, y, cell) -> np.ndarray:
        if self.within:
            flat = self_distance_array(x, box=cell)
        else:
            flat = distance_array(x, y, box=cell).reshape(-1)
        if self.intermolecular:
            rows, columns = self._left_out
            n, m = len(self._first), len(self._second)
            # index of (i, j) in the list of pairs i < j, or in the flat matrix
            place = rows * n - rows * (rows + 3) // 2 + columns - 1 if self.within else rows * m
            flat[place if self.within else place + columns] = np.inf
        return flat

    def _capped(self, x, y, cutoff: float, cell) -> tuple[np.ndarray, np.ndarray]:
        if self.within:
            pairs, lengths = self_capped_distance(x, cutoff, box=cell)
        else:
            pairs, lengths = capped_distance(x, y, cutoff, box=cell)
        if self.intermolecular:
            apart = self._first[pairs[:, 0]] != self._second[pairs[:, 1]]
            pairs, lengths = pairs[apart], lengths[apart]
        return pairs, lengths
