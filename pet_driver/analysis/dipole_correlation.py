"""Spatial correlation of molecular dipoles.

MDAnalysis has no such observable.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from MDAnalysis.analysis.results import ResultsGroup

from pet_driver.analysis.base import (
    Atoms,
    BlockAnalysis,
    atoms_of,
    block_error,
    dipole_directions,
    water_indices,
)
from pet_driver.analysis.minimum_image import vector_blocks
from pet_driver.analysis.pairs import Pairs
from pet_driver.analysis.radial_distribution import (
    bin_edges,
    largest_distance,
    minimum_over_workers,
)
from pet_driver.analysis.smoothing import smooth_distances
from pet_driver.analysis.vectors import dot


class DipoleCorrelation(BlockAnalysis):
    """Longitudinal and transverse correlations c_uu(r)/g(r) of the dipoles of two molecules.

    Averages over pairs of molecules with the O-O distance r, where the unit vector u points from O
    to the midpoint of the two H and n is the unit vector from one O to the other:

    - longitudinal: ``<(u_i.n)(u_j.n)>``
    - transverse: ``<u_i.u_j - (u_i.n)(u_j.n)>``, the sum over both transverse directions

    Their sum is ``<u_i.u_j>``. Figure 2d of Langer, Pozdnyakov, Ceriotti, Mach. Learn.: Sci.
    Technol. 5 (2024) 04LT01.

    Args:
        group: water with molecules as residues (``water_universe``).
        r_max: largest distance in A; by default half the smallest height of the cell over all
            frames, at most 10 A, less three kernel widths if there is a kernel.
        bin_width: spacing of r in A.
        kernel: standard deviation of the Gaussian kernel in r, in A; ``None`` means bins.
        n_blocks: number of blocks of frames for the error.

    Attributes:
        results.r: [K] in A.
        results.longitudinal: [K]; NaN at distances without pairs.
        results.transverse: [K]; NaN at distances without pairs.
        results.longitudinal_error: standard error [K].
        results.transverse_error: standard error [K].

    Raises:
        PetDriverError: the residues are not water molecules, or ``r_max`` is larger than half the
            smallest height of the cell.
    """

    def __init__(
        self,
        group: Atoms,
        r_max: float | None = None,
        bin_width: float = 0.02,
        kernel: float | None = 0.1,
        n_blocks: int = 5,
        **kwargs,
    ):
        super().__init__(atoms_of(group).universe.trajectory, n_blocks=n_blocks, **kwargs)
        self._water = water_indices(group)
        self._pairs = Pairs(np.arange(len(self._water[0])))
        self.kernel = kernel
        self._requested = r_max
        self.r_max = largest_distance(r_max, self._trajectory.ts, kernel)
        self._edges = bin_edges(self.r_max, bin_width, kernel)

    def _prepare(self) -> None:
        # sums by bin of: number of pairs, longitudinal correlation, u_i.u_j
        self.results.sums = np.zeros((self.n_blocks, 3, len(self._edges) - 1))
        self.results.reach = np.full(self.n_blocks, np.inf)

    def _single_frame(self) -> None:
        ts, n_bins = self._ts, len(self._edges) - 1
        reach = largest_distance(self._requested, ts, self.kernel)
        self.results.reach[self._block] = min(self.results.reach[self._block], reach)
        oxygen = ts.positions[self._water[0]]
        u = dipole_directions(ts, self._water)
        values = self._by_blocks if self._pairs.by_blocks(ts.dimensions) else self._by_pairs
        for lengths, along, scalar in values(oxygen, u):
            index = (lengths / (self._edges[1] - self._edges[0])).astype(np.intp)
            for row, weights in enumerate((None, along, scalar)):
                summed = np.bincount(index, weights, minlength=n_bins + 1)[:n_bins]
                self.results.sums[self._block, row] += summed

    def _by_pairs(self, oxygen: np.ndarray, u: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
        """Yield distances, (u_i.n)(u_j.n) and u_i.u_j of the pairs within ``r_max``, each [P]."""
        i, j, n, lengths = self._pairs.vectors(oxygen, oxygen, self._edges[-1], self._ts.dimensions)
        columns = np.ascontiguousarray(u.T)
        first, second = columns.take(i, axis=1), columns.take(j, axis=1)
        yield lengths, dot(first, n) * dot(second, n) / lengths**2, dot(first, second)

    def _by_blocks(self, oxygen: np.ndarray, u: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
        """Yield the same in single precision, from blocks of all pairs: several times faster."""
        columns = np.ascontiguousarray(u.T, np.float32)
        limit = np.float32(self._edges[-1]) ** 2
        for row, vectors, squares in vector_blocks(oxygen, self._ts.dimensions):
            first, second = columns[:, row : row + len(squares), None], columns[:, None, row:]
            along = dot(first, vectors)
            along *= dot(second, vectors)
            near = np.flatnonzero(squares < limit)
            found = (squares, along, dot(first, second))
            squares, along, scalar = (block.reshape(-1).take(near) for block in found)
            yield np.sqrt(squares), along / squares, scalar

    def _get_aggregator(self) -> ResultsGroup:
        return ResultsGroup({"sums": ResultsGroup.ndarray_sum, "reach": minimum_over_workers})

    def _conclude(self) -> None:
        results = self.results
        centers = 0.5 * (self._edges[1:] + self._edges[:-1])
        if self.kernel is not None:
            results.sums = smooth_distances(results.sums, centers, self.kernel)
        self.r_max = float(results.reach.min())
        inside = centers < self.r_max
        results.r = centers[inside]
        averages = _averages(results.sums.sum(0)[:, inside])
        used = results.sums[results.sums[:, 0].sum(axis=1) > 0]
        errors = block_error(np.array([_averages(block[:, inside]) for block in used]))
        if len(used) == 0:
            errors = np.full_like(averages, np.nan)
        results.longitudinal, results.transverse = averages
        results.longitudinal_error, results.transverse_error = errors


def _averages(sums: np.ndarray) -> np.ndarray:
    """Return the longitudinal and transverse averages [2, K] from the sums [3, K]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        longitudinal = np.where(sums[0] > 1e-12, sums[1] / sums[0], np.nan)
        total = np.where(sums[0] > 1e-12, sums[2] / sums[0], np.nan)
    return np.array([longitudinal, total - longitudinal])
