"""Pairs of atoms within a reach: all distances at once for small systems, a grid for large ones."""

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

from pet_driver.analysis.minimum_image import is_orthorhombic, square_blocks
from pet_driver.analysis.vectors import dot, separation

# above this many pairs a grid search beats the plain loop over all of them
_MAX_ALL_PAIRS = 4_000_000
_MARGIN = 1.0e-3  # A; more than single precision is wrong by


class Pairs:
    """Pairs between two sets of atoms, or within one, that are closer than ``reach``.

    Args:
        first: residue of each atom of the first set [N].
        second: residue of each atom of the second set [M]; ``None`` means pairs i < j within the
            first.
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
        """Both indices [P] of all pairs."""
        n, m = len(self._first), len(self._second)
        return np.triu_indices(n, 1) if self.within else np.divmod(np.arange(n * m), m)

    @cached_property
    def _left_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Both indices of the pairs of the same residue, by rows."""
        same = self._first[:, None] == self._second[None, :]
        return np.nonzero(np.triu(same, 1) if self.within else same)

    def count(self) -> int:
        """How many pairs there are in all that may be counted."""
        if not self.intermolecular:
            return self.n_all
        size = int(max(self._first.max(), self._second.max())) + 1
        a = np.bincount(self._first, minlength=size)
        if self.within:
            return self.n_all - int((a * (a - 1) // 2).sum())
        return self.n_all - int((a * np.bincount(self._second, minlength=size)).sum())

    def by_blocks(self, cell) -> bool:
        """Whether all pairs are gone through, by blocks of :mod:`minimum_image`."""
        return self._all and is_orthorhombic(cell)

    def near(self, x, y, reach: float, cell) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Indices i [P], j [P] into the two sets and distances [P] (A) of the pairs within reach.

        Args:
            x: positions of the first set [N, 3] in A.
            y: positions of the second set [M, 3] in A (``x`` again, within one).
            reach: A.
            cell: a, b, c (A), alpha, beta, gamma (degrees), or ``None``.
        """
        i, j, _, lengths = self.vectors(x, y, reach, cell)
        return i, j, lengths

    def vectors(self, x, y, reach: float, cell) -> tuple[np.ndarray, ...]:
        """As :meth:`near`, with the vectors from i to j: i [P], j [P], vectors [3, P], lengths."""
        if self.by_blocks(cell):
            i, j = self._close(x, y, reach + _MARGIN, cell)
            lengths = None
        elif self._all:
            flat = self._all_distances(x, y, cell)
            chosen = np.flatnonzero(flat < reach)
            i, j = (index.take(chosen) for index in self._indices)
            lengths = flat.take(chosen)
        else:
            pairs, lengths = self._capped(x, y, reach, cell)
            i, j = pairs[:, 0], pairs[:, 1]
        # axis by axis: several times faster than rows
        starts, stops = (np.ascontiguousarray(np.asarray(a, np.float64).T) for a in (x, y))
        vectors = separation(starts.take(i, axis=1), stops.take(j, axis=1), cell, axis=0)
        if lengths is None:
            lengths = np.sqrt(dot(vectors, vectors))
            inside = np.flatnonzero(lengths < reach)
            i, j, lengths = i.take(inside), j.take(inside), lengths.take(inside)
            vectors = vectors.take(inside, axis=1)
        return i, j, vectors, lengths

    def distances(self, x, y, reach: float, cell) -> np.ndarray:
        """The distances [P] (A) of the pairs within reach, in any order, in single precision."""
        return np.concatenate(list(self._distances(x, y, reach, cell)))

    def counts(self, x, y, width: float, n_bins: int, cell) -> np.ndarray:
        """How many distances lie in each of ``n_bins`` bins from 0 on, each ``width`` A wide."""
        total = np.zeros(n_bins, int)
        scale = np.float32(1.0 / width)
        for lengths in self._distances(x, y, width * n_bins, cell):
            # np.histogram on equal bins, without its checks
            index = (lengths * scale).astype(np.intp)
            total += np.bincount(index, minlength=n_bins + 1)[:n_bins]
        return total

    def _distances(self, x, y, reach: float, cell) -> Iterator[np.ndarray]:
        """The distances in portions that stay in the cache."""
        if self.by_blocks(cell):
            limit = np.float32(reach) ** 2
            for _, _, block in self._blocks(x, y, cell):
                flat = block.reshape(-1)
                # by number: several times faster than by mask
                near = flat.take(np.flatnonzero(flat < limit))
                yield np.sqrt(near, out=near)
        elif self._all:
            flat = self._all_distances(x, y, cell)
            yield flat[flat < reach]
        else:
            yield self._capped(x, y, reach, cell)[1]

    def _close(self, x, y, reach: float, cell) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the pairs within reach in single precision."""
        found = []
        for row, column, block in self._blocks(x, y, cell):
            flat = np.flatnonzero(block < np.float32(reach) ** 2)
            i = flat // block.shape[1]
            found.append((i + row, flat - i * block.shape[1] + column))
        return tuple(np.concatenate(indices) for indices in zip(*found, strict=True))

    def _blocks(self, x, y, cell):
        """Blocks of squared distances in which pairs of the same residue are infinite."""
        rows, columns = self._left_out
        for row, column, block in square_blocks(x, None if self.within else y, cell):
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
            # the place of (i, j) in a row of pairs i < j, or in a matrix
            place = rows * n - rows * (rows + 3) // 2 + columns - 1 if self.within else rows * m
            flat[place if self.within else place + columns] = np.inf
        return flat

    def _capped(self, x, y, reach: float, cell) -> tuple[np.ndarray, np.ndarray]:
        if self.within:
            pairs, lengths = self_capped_distance(x, reach, box=cell)
        else:
            pairs, lengths = capped_distance(x, y, reach, box=cell)
        if self.intermolecular:
            apart = self._first[pairs[:, 0]] != self._second[pairs[:, 1]]
            pairs, lengths = pairs[apart], lengths[apart]
        return pairs, lengths
