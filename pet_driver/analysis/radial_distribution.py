"""Radial distribution functions.

``MDAnalysis.analysis.rdf.InterRDF`` gives neither an error nor a kernel density estimate, and is
slower on all pairs of a liquid.
"""

from __future__ import annotations

import numpy as np
from MDAnalysis.analysis.results import ResultsGroup
from MDAnalysis.coordinates.timestep import Timestep
from MDAnalysis.lib.mdamath import triclinic_vectors

from pet_driver.analysis.base import Atoms, BlockAnalysis, atoms_of, block_error
from pet_driver.analysis.pairs import Pairs
from pet_driver.analysis.smoothing import KERNEL_CUTOFF, smooth_distances
from pet_driver.errors import PetDriverError


class RadialDistribution(BlockAnalysis):
    """Radial distribution function g_AB(r) of two elements, with a standard error from blocks.

    g(r) = <count in the shell> V / (pairs x shell volume), like MDAnalysis' ``InterRDF``, but with
    the number of counted pairs instead of N_A N_B, so that an ideal gas of any size gives 1. With a
    kernel of 0.1 A it is figure 2c of Langer, Pozdnyakov, Ceriotti, Mach. Learn.: Sci. Technol. 5
    (2024) 04LT01.

    Args:
        group: atoms with elements; residues are molecules (see ``water_universe``).
        pair: ``"OO"``, ``"OH"`` or ``"HH"``, or two other elements, as ``("Na", "Cl")``.
        r_max: largest distance in A; by default half the smallest height of the cell over all
            frames, at most 10 A, less three kernel widths if there is a kernel.
        bin_width: width of a bin in A, or spacing of r with a kernel.
        intermolecular: leave out pairs within a residue.
        kernel: standard deviation of a Gaussian kernel in A; ``None`` means a histogram.
        n_blocks: number of blocks of frames for the error.

    Attributes:
        results.r: [K] in A.
        results.g: [K].
        results.error: standard error of ``g`` [K].
        results.blocks: g of each block [B, K].
        results.count: pairs per frame [K].
        results.peaks: maxima and minima, rows (r, g), from the highest maximum on.

    Raises:
        PetDriverError: no atoms of an element, no pairs, ``r_max`` larger than half the smallest
            height of the cell, or (in ``run``) a frame without a cell.
    """

    def __init__(
        self,
        group: Atoms,
        pair: str | tuple[str, str] = "OO",
        r_max: float | None = None,
        bin_width: float = 0.02,
        intermolecular: bool = True,
        kernel: float | None = None,
        n_blocks: int = 5,
        **kwargs,
    ):
        atoms = atoms_of(group)
        super().__init__(atoms.universe.trajectory, n_blocks=n_blocks, **kwargs)
        self.kernel = kernel
        elements = atoms.elements.astype(str)
        self._first, self._second = (atoms[elements == name] for name in pair)
        for name, found in zip(pair, (self._first, self._second), strict=True):
            if len(found) == 0:
                raise PetDriverError(f"no atom of element {name} in the group")
        second = None if pair[0] == pair[1] else self._second.resindices
        self._pairs = Pairs(self._first.resindices, second, intermolecular)
        self.n_pairs = self._pairs.count()
        if self.n_pairs == 0:
            raise PetDriverError(f"there is no pair {'-'.join(pair)} to count")
        self._requested = r_max
        self.r_max = largest_distance(r_max, self._trajectory.ts, kernel)
        self._edges = bin_edges(self.r_max, bin_width, kernel)

    def _prepare(self) -> None:
        self.results.count = np.zeros((self.n_blocks, len(self._edges) - 1))
        self.results.volume = np.zeros(self.n_blocks)
        self.results.n_frames = np.zeros(self.n_blocks)
        self.results.reach = np.full(self.n_blocks, np.inf)

    def _single_frame(self) -> None:
        ts, a, b = self._ts, self._first, self._second
        if ts.dimensions is None:
            raise PetDriverError(f"frame {ts.frame} has no cell; g(r) needs a volume")
        counts = self._pairs.counts(
            a.positions, b.positions, self._edges[1], len(self._edges) - 1, ts.dimensions
        )
        self.results.count[self._block] += counts
        self.results.volume[self._block] += ts.volume
        self.results.n_frames[self._block] += 1
        reach = largest_distance(self._requested, ts, self.kernel)
        self.results.reach[self._block] = min(self.results.reach[self._block], reach)

    def _get_aggregator(self) -> ResultsGroup:
        add = ResultsGroup.ndarray_sum
        return ResultsGroup(
            {"count": add, "volume": add, "n_frames": add, "reach": minimum_over_workers}
        )

    def _conclude(self) -> None:
        results = self.results
        centers = 0.5 * (self._edges[1:] + self._edges[:-1])
        shell = 4.0 / 3.0 * np.pi * np.diff(self._edges**3)
        frames = results.n_frames
        if self.kernel is not None:
            results.count = smooth_distances(results.count, centers, self.kernel)
            shell = 4.0 * np.pi * centers**2 * (self._edges[1] - self._edges[0])
        self.r_max = float(results.reach.min())
        inside = centers < self.r_max
        used = frames > 0

        def g(count, volume, n):
            return count * (volume / n / (self.n_pairs * n))[..., None] / shell

        total = frames.sum()
        results.r = centers[inside]
        results.blocks = g(results.count[used], results.volume[used], frames[used])[:, inside]
        mean = g(results.count.sum(0), np.float64(results.volume.sum()), np.float64(total))
        results.g = mean[inside]
        results.error = block_error(results.blocks)
        results.count = results.count.sum(0)[inside] / total
        results.peaks = extrema(results.r, results.g)


# kernel widths; pairs beyond half the cell are missing, and a kernel would include them
KERNEL_MARGIN = 3.0


def largest_distance(requested: float | None, ts: Timestep, kernel: float | None = None) -> float:
    """Return the largest distance in A at which all pairs of a frame are counted.

    Only the nearest image of each pair is counted, so this is half the smallest height of the cell.

    Args:
        requested: a smaller distance in A; ``None`` means the largest one, at most 10 A.
        ts: the frame.
        kernel: width of the kernel in A by which the counts are smoothed.

    Raises:
        PetDriverError: more than half the smallest height of the cell is requested.
    """
    if ts.dimensions is None:
        return requested or 10.0
    vectors = triclinic_vectors(ts.dimensions).astype(np.float64)
    heights = 1.0 / np.linalg.norm(np.linalg.inv(vectors), axis=0)
    half = float(0.5 * heights.min())
    if requested is not None and requested > half:
        raise PetDriverError(
            f"r_max = {requested:g} A reaches beyond half the smallest height of the cell, "
            f"{half:.4g} A in frame {ts.frame}, where pairs are missing; lower it, or leave it out"
        )
    return requested or min(10.0, half - KERNEL_MARGIN * (kernel or 0.0))


def minimum_over_workers(parts: list[np.ndarray]) -> np.ndarray:
    """Return the elementwise minimum of the arrays of all workers, for a ``ResultsGroup``."""
    return np.min(parts, axis=0)


def bin_edges(r_max: float, bin_width: float, kernel: float | None) -> np.ndarray:
    """Return the edges of bins in A from 0 to ``r_max``, extended by the cutoff of a kernel.

    Raises:
        PetDriverError: an argument is not positive.
    """
    if r_max <= 0 or bin_width <= 0 or (kernel is not None and kernel <= 0):
        raise PetDriverError(
            f"r_max ({r_max}), bin_width ({bin_width}) and kernel ({kernel}) must be positive"
        )
    reach = r_max + (KERNEL_CUTOFF * kernel if kernel is not None else 0.0)
    return bin_width * np.arange(int(np.ceil(reach / bin_width - 1e-9)) + 1)


_MAX_EXTREMA = 5  # the others are noise


def extrema(r: np.ndarray, g: np.ndarray, distance: float = 0.3) -> np.ndarray:
    """Return the highest maximum of g and the minima and maxima that follow alternately.

    An extremum is the lowest or highest value within ``distance`` A on both sides.

    Args:
        r: [K] in A.
        g: [K].
        distance: in A.

    Returns:
        Rows (r, g), at most 5.
    """
    highest = int(np.argmax(g))
    rows, sign = [(r[highest], g[highest])], 1
    width = max(1, round(distance / (r[1] - r[0]))) if len(r) > 1 else 1
    for k in range(highest + 1, len(g) - width):
        near = -sign * g[max(0, k - width) : k + width + 1]
        if -sign * g[k] == near.max() > near.min():
            rows.append((r[k], g[k]))
            sign = -sign
    return np.array(rows[:_MAX_EXTREMA])
