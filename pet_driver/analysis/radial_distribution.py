"""Radial distribution functions of water."""

from __future__ import annotations

import numpy as np
from MDAnalysis.analysis.results import ResultsGroup
from MDAnalysis.coordinates.timestep import Timestep
from MDAnalysis.lib.mdamath import triclinic_vectors

from pet_driver.analysis.base import BlockAnalysis, atoms_of, block_error
from pet_driver.analysis.pairs import Pairs
from pet_driver.analysis.smoothing import KERNEL_REACH, smooth_distances
from pet_driver.errors import PetDriverError


class RadialDistribution(BlockAnalysis):
    """g_AB(r) of two elements, with the error of the mean from blocks.

    g(r) = <count in the shell> V / (pairs x shell volume), as MDAnalysis' ``InterRDF``, with the
    pairs that can be counted in place of N_A N_B: an ideal gas of any size gives 1. The kernel
    of 0.1 A is that of figure 2c of Langer, Pozdnyakov, Ceriotti, Mach. Learn.: Sci. Technol. 5
    (2024) 04LT01.

    Args:
        group: atoms with elements; residues are molecules (see ``water_universe``).
        pair: ``"OO"``, ``"OH"`` or ``"HH"`` (two elements; two-letter ones as ``("Na", "Cl")``).
        r_max: A; by default half the smallest height that the cell has in any frame, at most 10 A,
            and where there is a kernel three of its widths less.
        bin_width: A; the width of a bin, or the spacing of r under a kernel.
        intermolecular: leave out pairs within a residue.
        kernel: width of a Gaussian kernel in A; ``None`` means a plain histogram.
        n_blocks: blocks of frames for the error.

    Attributes:
        results.r: [K] in A.
        results.g: [K].
        results.error: [K], of ``g``.
        results.blocks: [B, K], g of each block.
        results.count: [K], pairs a frame.
        results.peaks: rows (r, g) of the maxima and minima.
    """

    def __init__(
        self,
        group,
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
        self._wanted = r_max
        self.r_max = largest_distance(r_max, self._trajectory.ts, kernel)
        self._edges = distance_grid(self.r_max, bin_width, kernel)

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
        reach = largest_distance(self._wanted, ts, self.kernel)
        self.results.reach[self._block] = min(self.results.reach[self._block], reach)

    def _get_aggregator(self) -> ResultsGroup:
        add = ResultsGroup.ndarray_sum
        return ResultsGroup({"count": add, "volume": add, "n_frames": add, "reach": smallest})

    def _conclude(self) -> None:
        results = self.results
        centres = 0.5 * (self._edges[1:] + self._edges[:-1])
        shell = 4.0 / 3.0 * np.pi * np.diff(self._edges**3)
        frames = results.n_frames
        if self.kernel is not None:
            results.count = smooth_distances(results.count, centres, self.kernel)
            shell = 4.0 * np.pi * centres**2 * (self._edges[1] - self._edges[0])
        self.r_max = float(results.reach.min())
        inside = centres < self.r_max
        used = frames > 0

        def g(count, volume, n):
            return count * (volume / n / (self.n_pairs * n))[..., None] / shell

        total = frames.sum()
        results.r = centres[inside]
        results.blocks = g(results.count[used], results.volume[used], frames[used])[:, inside]
        whole = g(results.count.sum(0), np.float64(results.volume.sum()), np.float64(total))
        results.g = whole[inside]
        results.error = block_error(results.blocks)
        results.count = results.count.sum(0)[inside] / total
        results.peaks = extrema(results.r, results.g)


KERNEL_MARGIN = 3.0  # widths; beyond half the cell pairs are missing, and a kernel looks there


def largest_distance(wanted: float | None, ts: Timestep, kernel: float | None = None) -> float:
    """How far pairs of a frame can be counted: of each only the nearest image is.

    Args:
        wanted: A; ``None``: as far as there is no pair missing, at most 10 A.
        ts: the frame.
        kernel: width in A of the kernel that the counts go through.

    Raises:
        PetDriverError: more is wanted than half the smallest height of the cell.
    """
    if ts.dimensions is None:
        return wanted or 10.0
    vectors = triclinic_vectors(ts.dimensions).astype(np.float64)
    heights = 1.0 / np.linalg.norm(np.linalg.inv(vectors), axis=0)
    half = float(0.5 * heights.min())
    if wanted is not None and wanted > half:
        raise PetDriverError(
            f"r_max = {wanted:g} A reaches beyond half the smallest height of the cell, "
            f"{half:.4g} A in frame {ts.frame}, where pairs are missing; lower it, or leave it out"
        )
    return wanted or min(10.0, half - KERNEL_MARGIN * (kernel or 0.0))


def smallest(parts: list[np.ndarray]) -> np.ndarray:
    """For what workers bring back: the smallest of each entry."""
    return np.min(parts, axis=0)


def distance_grid(r_max: float, bin_width: float, kernel: float | None) -> np.ndarray:
    """Edges of bins from 0 to r_max, and on to where a kernel reaches in from."""
    if r_max <= 0 or bin_width <= 0 or (kernel is not None and kernel <= 0):
        raise PetDriverError(
            f"r_max ({r_max}), bin_width ({bin_width}) and kernel ({kernel}) must be positive"
        )
    reach = r_max + (KERNEL_REACH * kernel if kernel is not None else 0.0)
    return bin_width * np.arange(int(np.ceil(reach / bin_width - 1e-9)) + 1)


_MAX_EXTREMA = 5  # what follows is noise


def extrema(r: np.ndarray, g: np.ndarray, reach: float = 0.3) -> np.ndarray:
    """Rows (r, g) of the extrema of g from its highest maximum on, minima and maxima by turns.

    An extremum is the lowest or highest value within ``reach`` A on both sides.
    """
    at = int(np.argmax(g))
    rows, sign = [(r[at], g[at])], 1
    width = max(1, round(reach / (r[1] - r[0]))) if len(r) > 1 else 1
    for k in range(at + 1, len(g) - width):
        near = -sign * g[max(0, k - width) : k + width + 1]
        if -sign * g[k] == near.max() > near.min():
            rows.append((r[k], g[k]))
            sign = -sign
    return np.array(rows[:_MAX_EXTREMA])
