"""Pairs of atoms within a reach: all distances at once for small systems, a grid for large ones."""

from __future__ import annotations

import numpy as np
from MDAnalysis.lib.distances import (
    capped_distance,
    distance_array,
    self_capped_distance,
    self_distance_array,
)

from pet_driver.analysis.minimum_image import is_orthorhombic, square_blocks

# above this many pairs a grid search beats the plain loop over all of them
_MAX_ALL_PAIRS = 4_000_000


class Pairs:
    """Pairs between two sets of atoms, or within one, that are closer than ``reach``.

    :param first: residue of each atom of the first set [N].
    :param second: residue of each atom of the second set [M]; None: pairs i < j within the first.
    :param intermolecular: leave out pairs of the same residue.
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
        if self._all:
            self._i, self._j = (
                np.triu_indices(n, 1) if self.within else np.divmod(np.arange(n * m), m)
            )
            self._left_out = np.flatnonzero(self._first[self._i] == self._second[self._j])
            self._buffer = np.empty(self.n_all if self.within else (n, m), np.float64)

    def count(self) -> int:
        """How many pairs there are in all that may be counted."""
        if not self.intermolecular:
            return self.n_all
        size = int(max(self._first.max(), self._second.max())) + 1
        a = np.bincount(self._first, minlength=size)
        if self.within:
            return self.n_all - int((a * (a - 1) // 2).sum())
        return self.n_all - int((a * np.bincount(self._second, minlength=size)).sum())

    def near(self, x, y, reach: float, cell) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Indices i [P], j [P] into the two sets and distances [P] (A) of the pairs within reach.

        :param x: positions of the first set [N, 3]; y: of the second [M, 3] (x again, within one).
        """
        if self._all:
            flat = self._all_distances(x, y, cell)
            chosen = np.flatnonzero(flat < reach)
            return self._i.take(chosen), self._j.take(chosen), flat.take(chosen)
        pairs, lengths = self._capped(x, y, reach, cell)
        return pairs[:, 0], pairs[:, 1], lengths

    def distances(self, x, y, reach: float, cell) -> np.ndarray:
        """The distances [P] (A) of the pairs within reach, in any order, in single precision."""
        if self._all and is_orthorhombic(cell):
            return self._by_blocks(x, y, reach, cell)
        if self._all:
            flat = self._all_distances(x, y, cell)
            return flat[flat < reach]
        return self._capped(x, y, reach, cell)[1]

    def _by_blocks(self, x, y, reach: float, cell) -> np.ndarray:
        rows, columns = self._i.take(self._left_out), self._j.take(self._left_out)
        squares = []
        for row, column, block in square_blocks(x, None if self.within else y, cell):
            if self.intermolecular:
                here = slice(*np.searchsorted(rows, [row, row + len(block)]))
                block[rows[here] - row, columns[here] - column] = np.inf
            squares.append(block[block < np.float32(reach) ** 2])
        return np.sqrt(np.concatenate(squares))

    def _all_distances(self, x, y, cell) -> np.ndarray:
        if self.within:
            self_distance_array(x, box=cell, result=self._buffer)
        else:
            distance_array(x, y, box=cell, result=self._buffer)
        flat = self._buffer.reshape(-1)
        if self.intermolecular:
            flat[self._left_out] = np.inf
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
